/* alert: levels from lambdas, and an event for every point or batch whose level is worth telling.
 *
 * The level is the highest of those above or at the present one whose expression holds; else, where the present level has
 * a reset that does not hold, it stays; else it is the highest that holds below. A level whose expression fails is
 * skipped. State restarts from the topic: the first message of a group asks for the state of its event ID.
 *
 * The expressions' own state (sigma, count, spread) is one for all groups, as in the reference. */
#include "alert/inhibit.h"
#include "base/error.h"
#include "base/mem.h"
#include "lambda/lambda.h"
#include "nodes/nodes.h"
#include "nodes/services.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"
#include "template/template.h"

#define LEVELS (KAP_LEVEL_CRITICAL + 1)
#define DEFAULT_HISTORY 21
#define MAX_HISTORY 100000
/* Weights of changes in the history: from MAX_WEIGHT / WEIGHT_DIFF for the oldest to MAX_WEIGHT for the newest. */
#define WEIGHT_DIFF 1.5
#define MAX_WEIGHT 1.2
#define SAME_SLOTS 256
#define SNAPSHOT_VERSION 1

enum { TRIGGERED, INHIBITED, OKS, INFOS, WARNS, CRITS };
static const char *const counters[] = { "alerts_triggered", "alerts_inhibited", "oks_triggered", "infos_triggered",
                                        "warns_triggered",  "crits_triggered",  NULL };

struct inhibit {
    struct kap_str category;
    struct kap_strings tags;
};

struct config {
    struct kap_str id, message, details, topic, category;
    const struct kap_expr *levels[LEVELS], *resets[LEVELS]; /* [KAP_LEVEL_OK] unused */
    bool state_changes_only, no_recoveries, all, use_flapping;
    int64_t max_silence_ns;      /* of stateChangesOnly; 0: any */
    double flap_low, flap_high;
    int64_t history;
    struct kap_str level_tag, level_field, message_field, duration_field, id_tag, id_field;
    struct inhibit *inhibits;
    size_t ninhibits;
};

struct same { uint64_t key; uint32_t n; }; /* events of one (event ID, time, level) so far */

struct state {
    const struct config *cfg;
    struct kap_lambda *levels[LEVELS], *resets[LEVELS];
    struct kap_lambda_state *level_states[LEVELS], *reset_states[LEVELS];
    struct kap_template *id, *message, *details;
    char *anonymous;             /* topic of the inline handlers; NULL: there are none */
    bool opened;                 /* that topic */
    bool changes_only;           /* as the script or the configuration wants it */
    size_t history;
    uint64_t sequence;
    struct same same[SAME_SLOTS];
    struct kap_batch batch;
    bool annotates_tags, annotates_fields;
    struct kap_field_buf fields;
    struct kap_tag_buf tags;
};

/* The event ID of the latest message, which is that of the next one with the same name and tags. */
struct known_id {
    const struct kap_sym *name;
    const struct kap_tags *tags; /* a reference, so that the pointer tells them apart; NULL: nothing is known */
    char *text;
    size_t n;
};

struct group {
    struct known_id id;
    uint8_t *history;            /* levels, a ring */
    size_t at;                   /* the newest */
    bool started, changed, expired, flapping;
    int64_t first_ns, last_ns;   /* triggered */
    struct kap_inhibitor **inhibitors;
};

/* What was decided about a message. */
struct verdict {
    enum kap_level level, previous;
    int64_t time_ns, duration_ns;
};

/* The data of a message, for templates and the event. */
struct subject {
    const struct kap_sym *name;
    const struct kap_group *group;
    const struct kap_tags *tags;
    const struct kap_field *fields;
    size_t nfields;
};

/* --- definition --- */

static void init(void *config)
{
    *(struct config *)config = (struct config){
        .id = KAP_STR("{{ .Name }}:{{ .Group }}"),
        .message = KAP_STR("{{ .ID }} is {{ .Level }}"),
        .details = KAP_STR("{{ json . }}"),
        .topic = KAP_STR(""), .category = KAP_STR(""), .history = DEFAULT_HISTORY,
        .level_tag = KAP_STR(""), .level_field = KAP_STR(""), .message_field = KAP_STR(""),
        .duration_field = KAP_STR(""), .id_tag = KAP_STR(""), .id_field = KAP_STR(""),
    };
}

static enum kap_status set_state_changes(void *config, struct kap_arena *arena, const struct kap_arg *args,
                                         size_t nargs, struct kap_error *err)
{
    struct config *c = config;
    if (nargs > 1)
        return kap_fail(err, KAP_EINVAL, "stateChangesOnly expects at most one duration");
    if (nargs == 1)
        KAP_TRY(kap_arg_check(args, nargs, 0, KAP_DURATION, "stateChangesOnly", err));
    c->state_changes_only = true;
    c->max_silence_ns = nargs ? args[0].value.i : 0;
    return KAP_OK;
}

static enum kap_status set_flapping(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                    struct kap_error *err)
{
    struct config *c = config;
    if (nargs != 2)
        return kap_fail(err, KAP_EINVAL, "flapping expects a low and a high threshold");
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_FLOAT, "flapping", err));
    KAP_TRY(kap_arg_check(args, nargs, 1, KAP_FLOAT, "flapping", err));
    c->use_flapping = true;
    c->flap_low = args[0].value.f;
    c->flap_high = args[1].value.f;
    return KAP_OK;
}

static enum kap_status set_inhibit(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                   struct kap_error *err)
{
    struct config *c = config;
    struct kap_strings texts;
    KAP_TRY(kap_args_strings(&texts, arena, args, nargs, "inhibit", err));
    if (texts.n == 0)
        return kap_fail(err, KAP_EINVAL, "inhibit expects a category");
    struct inhibit *v = KAP_ARENA_ARRAY(arena, struct inhibit, c->ninhibits + 1);
    if (c->ninhibits)
        memcpy(v, c->inhibits, c->ninhibits * sizeof *v);
    v[c->ninhibits++] = (struct inhibit){ texts.v[0], { texts.v + 1, texts.n - 1 } };
    c->inhibits = v;
    return KAP_OK;
}

#define PROP(k, member, name, text) KAP_PROP_AT(k, struct config, member, name, NULL, text)

static const struct kap_prop props[] = {
    PROP(STRING, topic, "topic", "Topic that the events go to as well."),
    PROP(STRING, category, "category", "Category by which other alerts inhibit this one."),
    PROP(STRING, id, "id", "Template of the event ID."),
    PROP(STRING, message, "message", "Template of the message."),
    PROP(STRING, details, "details", "HTML template of the details."),
    PROP(LAMBDA, levels[KAP_LEVEL_INFO], "info", "Holds when the level is INFO."),
    PROP(LAMBDA, levels[KAP_LEVEL_WARNING], "warn", "Holds when the level is WARNING."),
    PROP(LAMBDA, levels[KAP_LEVEL_CRITICAL], "crit", "Holds when the level is CRITICAL."),
    PROP(LAMBDA, resets[KAP_LEVEL_INFO], "infoReset", "The level INFO is left only when this holds."),
    PROP(LAMBDA, resets[KAP_LEVEL_WARNING], "warnReset", "The level WARNING is left only when this holds."),
    PROP(LAMBDA, resets[KAP_LEVEL_CRITICAL], "critReset", "The level CRITICAL is left only when this holds."),
    PROP(FLAG, all, "all", "In a batch, all points must reach a level."),
    PROP(FLAG, no_recoveries, "noRecoveries", "Do not tell of a return to OK."),
    { .kind = KAP_PROP_CALL, .name = "stateChangesOnly", .signature = "(maxInterval ...duration)",
      .set = set_state_changes, .doc = "Tell of changes of the level only, and again after maxInterval of silence." },
    { .kind = KAP_PROP_CALL, .name = "flapping", .signature = "(low float, high float)", .set = set_flapping,
      .doc = "Be silent while the weighted share of changes in the history is above high, until it is below low." },
    PROP(INT, history, "history", "Number of levels that flapping looks at, 21 unless set."),
    PROP(STRING, level_tag, "levelTag", "Tag that gets the level, in the data that flow on."),
    PROP(STRING, level_field, "levelField", "Field that gets the level."),
    PROP(STRING, message_field, "messageField", "Field that gets the message."),
    PROP(STRING, duration_field, "durationField", "Field that gets the duration in nanoseconds."),
    PROP(STRING, id_tag, "idTag", "Tag that gets the event ID."),
    PROP(STRING, id_field, "idField", "Field that gets the event ID."),
    { .kind = KAP_PROP_CALL, .name = "inhibit", .signature = "(category string, equalTags ...string)",
      .set = set_inhibit, .doc = "While this alert is not OK, silence alerts of the category with equal tags." },
    { .kind = KAP_PROP_END },
};

/* --- start and end of the task --- */

static enum kap_status open_expressions(struct state *s, struct kap_error *err)
{
    static const char *const names[] = { "", "info", "warn", "crit" };
    for (int l = KAP_LEVEL_INFO; l <= KAP_LEVEL_CRITICAL; l++) {
        const struct kap_expr *level = s->cfg->levels[l], *reset = level ? s->cfg->resets[l] : NULL;
        if (level && kap_lambda_new(level, NULL, &s->levels[l], err) != KAP_OK)
            return kap_wrap(err, "Failed to compile stateful expression for %s", names[l]);
        if (reset && kap_lambda_new(reset, NULL, &s->resets[l], err) != KAP_OK)
            return kap_wrap(err, "Failed to compile stateful expression for %sReset", names[l]);
        if (level)
            s->level_states[l] = kap_lambda_state_new(s->levels[l]);
        if (reset)
            s->reset_states[l] = kap_lambda_state_new(s->resets[l]);
    }
    return KAP_OK;
}

static enum kap_status open_templates(struct state *s, struct kap_error *err)
{
    KAP_TRY(kap_template_new("id", s->cfg->id, KAP_TEMPLATE_TEXT, &s->id, err));
    KAP_TRY(kap_template_new("message", s->cfg->message, KAP_TEMPLATE_TEXT, &s->message, err));
    return kap_template_new("details", s->cfg->details, KAP_TEMPLATE_HTML | KAP_TEMPLATE_JSON, &s->details, err);
}

static enum kap_status open_topic(struct kap_node *n, struct state *s, struct kap_error *err)
{
    const struct kap_graph_node *gn = kap_node_graph(n);
    const struct kap_services *sv = kap_node_services(n);
    bool changes_only = false;
    const size_t globals = sv->alert_globals ? sv->alert_globals(sv->ctx, gn, &changes_only) : 0;
    s->changes_only = s->cfg->state_changes_only || changes_only;
    if (gn->nhandlers + globals == 0)
        return KAP_OK;
    const struct kap_str scope = sv->scope.n ? sv->scope : KAP_STR("main");
    s->anonymous = kap_asprintf("%.*s:%.*s:%s", KAP_STR_ARG(scope), KAP_STR_ARG(kap_node_task(n)), kap_node_name(n));
    if (sv->alert_open)
        KAP_TRY(sv->alert_open(sv->ctx, kap_str(s->anonymous), gn, err));
    s->opened = true;
    return KAP_OK;
}

static void close_alert(struct kap_node *n, void *state)
{
    struct state *s = state;
    const struct kap_services *sv = kap_node_services(n);
    if (s->opened && sv->alert_close)
        sv->alert_close(sv->ctx, kap_str(s->anonymous), kap_node_graph(n));
    for (int l = 0; l < LEVELS; l++) {
        kap_lambda_state_free(s->level_states[l]);
        kap_lambda_state_free(s->reset_states[l]);
        kap_lambda_free(s->levels[l]);
        kap_lambda_free(s->resets[l]);
    }
    kap_template_free(s->id);
    kap_template_free(s->message);
    kap_template_free(s->details);
    kap_batch_clear(kap_node_groups(n), &s->batch);
    kap_free((void *)s->batch.points);
    kap_field_buf_done(&s->fields);
    kap_tag_buf_done(&s->tags);
    kap_free(s->anonymous);
}

static enum kap_status open_parts(struct kap_node *n, struct state *s, struct kap_error *err)
{
    const struct config *c = s->cfg;
    KAP_TRY(open_expressions(s, err));
    KAP_TRY(open_templates(s, err));
    if (c->use_flapping && (c->flap_low > 1 || c->flap_high > 1))
        return kap_fail(err, KAP_EINVAL, "alert flap thresholds are percentages and should be between 0 and 1");
    return open_topic(n, s, err);
}

static enum kap_status open_alert(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    const struct config *c = s->cfg = kap_node_config(n);
    s->history = (size_t)KAP_MIN(KAP_MAX(c->history, 2), MAX_HISTORY);
    s->annotates_tags = c->level_tag.n || c->id_tag.n;
    s->annotates_fields = c->level_field.n || c->id_field.n || c->duration_field.n || c->message_field.n;
    s->sequence = (uint64_t)kap_node_now(n); /* grows over restarts as well */
    const enum kap_status status = open_parts(n, s, err);
    if (status != KAP_OK)
        close_alert(n, s);
    return status;
}

/* --- levels --- */

static bool holds(struct kap_node *n, struct kap_lambda *l, struct kap_lambda_state *ls, const struct kap_point *p,
                  enum kap_level level, const char *what, bool *ret)
{
    struct kap_error err;
    if (kap_node_predicate(n, l, ls, p, ret, &err) == KAP_OK)
        return true;
    kap_node_error(n, p->group, "error evaluating %s for level %s: %s", what, kap_level_name(level), err.msg);
    return false;
}

/* The highest level from `from` down to above `to` whose expression holds; OK: none. */
static enum kap_level first_match(struct kap_node *n, struct state *s, const struct kap_point *p, int from, int to)
{
    for (int l = from; l > KAP_MAX(to, (int)KAP_LEVEL_OK); l--) {
        bool match;
        if (s->levels[l] &&
            holds(n, s->levels[l], s->level_states[l], p, (enum kap_level)l, "expression", &match) && match)
            return (enum kap_level)l;
    }
    return KAP_LEVEL_OK;
}

static enum kap_level level_of(struct kap_node *n, struct state *s, const struct kap_point *p, enum kap_level current)
{
    const enum kap_level higher = first_match(n, s, p, KAP_LEVEL_CRITICAL, (int)current - 1);
    if (higher != KAP_LEVEL_OK)
        return higher;
    bool reset = true;
    if (s->resets[current] &&
        holds(n, s->resets[current], s->reset_states[current], p, current, "reset expression", &reset) && !reset)
        return current;
    return first_match(n, s, p, current, KAP_LEVEL_OK);
}

/* --- state of a group --- */

static enum kap_level current_level(const struct group *g)
{
    return (enum kap_level)g->history[g->at];
}

static double share_of_changes(const struct state *s, const struct group *g)
{
    const size_t n = s->history;
    double changes = 0, weight = MAX_WEIGHT / WEIGHT_DIFF;
    const double step = (MAX_WEIGHT - weight) / (double)(n - 1);
    for (size_t i = 0; i < n - 1; i++) {
        const size_t c = (i + g->at) % n, p = (c + n - 1) % n;
        if (g->history[c] != g->history[p])
            changes += weight;
        weight += step;
    }
    return changes / (double)(n - 1);
}

static void add_level(const struct state *s, struct group *g, int64_t time_ns, enum kap_level level)
{
    const struct config *c = s->cfg;
    g->changed = current_level(g) != level;
    g->at = (g->at + 1) % s->history;
    g->history[g->at] = (uint8_t)level;
    if (c->use_flapping) {
        const double share = share_of_changes(s, g);
        if (g->flapping ? share < c->flap_low : share > c->flap_high)
            g->flapping = !g->flapping;
    }
    g->expired = !g->changed && c->max_silence_ns != 0 && time_ns - g->last_ns >= c->max_silence_ns;
}

static void triggered(struct kap_node *n, const struct state *s, struct group *g, int64_t time_ns)
{
    g->last_ns = time_ns;
    if (g->history[(g->at + s->history - 1) % s->history] == KAP_LEVEL_OK)
        g->first_ns = time_ns;
    for (size_t i = 0; g->inhibitors && i < s->cfg->ninhibits; i++)
        kap_inhibitor_set(kap_node_services(n)->inhibitors, g->inhibitors[i], current_level(g) != KAP_LEVEL_OK);
}

static void group_open(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    const struct state *s = state;
    struct group *g = gs;
    struct kap_inhibitors *registry = kap_node_services(n)->inhibitors;
    g->history = kap_calloc(1, s->history);
    kap_node_charge(n, (int64_t)s->history);
    if (!registry || s->cfg->ninhibits == 0)
        return;
    g->inhibitors = KAP_ARRAY(struct kap_inhibitor *, s->cfg->ninhibits);
    for (size_t i = 0; i < s->cfg->ninhibits; i++) {
        const struct inhibit *in = &s->cfg->inhibits[i];
        struct kap_tag *tags = KAP_ARRAY(struct kap_tag, in->tags.n + 1);
        for (size_t t = 0; t < in->tags.n; t++) {
            tags[t].key = kap_sym(in->tags.v[t]);
            const struct kap_str *v = kap_tags_get(kg->tags, tags[t].key);
            tags[t].val = v ? *v : KAP_STR("");
        }
        const struct kap_tags *set = kap_tags_new(tags, in->tags.n);
        g->inhibitors[i] = kap_inhibitors_add(registry, in->category, set);
        kap_tags_unref(set);
        kap_free(tags);
    }
}

static void forget_id(struct kap_node *n, struct known_id *known)
{
    if (!known->tags)
        return;
    kap_node_charge(n, -(int64_t)known->n);
    kap_tags_unref(known->tags);
    kap_free(known->text);
    *known = (struct known_id){ 0 };
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    const struct state *s = state;
    struct group *g = gs;
    forget_id(n, &g->id);
    for (size_t i = 0; g->inhibitors && i < s->cfg->ninhibits; i++)
        kap_inhibitors_remove(kap_node_services(n)->inhibitors, g->inhibitors[i]);
    kap_free((void *)g->inhibitors);
    kap_free(g->history);
    kap_node_charge(n, -(int64_t)s->history);
}

static bool topic_state(struct kap_node *n, struct kap_str topic, struct kap_str id, struct kap_event_state *ret)
{
    const struct kap_services *sv = kap_node_services(n);
    return topic.n && sv->alert_restore && sv->alert_restore(sv->ctx, topic, id, ret);
}

/* The first message of a group: its level as the topic knows it; the anonymous topic comes first. */
static void start(struct kap_node *n, const struct state *s, struct group *g, struct kap_str id)
{
    g->started = true;
    struct kap_event_state st;
    if (!(s->anonymous && topic_state(n, kap_str(s->anonymous), id, &st)) && !topic_state(n, s->cfg->topic, id, &st))
        return;
    if (st.level == KAP_LEVEL_OK)
        return;
    add_level(s, g, st.time_ns, st.level);
    triggered(n, s, g, st.time_ns - st.duration_ns);
    g->last_ns = st.time_ns;
}

/* --- templates --- */

static size_t id_info(struct kap_node *n, const struct subject *sub, struct kap_tpair *v)
{
    const struct kap_services *sv = kap_node_services(n);
    struct kap_arena *a = kap_node_scratch(n);
    struct kap_tpair *server = KAP_ARENA_ARRAY(a, struct kap_tpair, 3);
    server[0] = (struct kap_tpair){ KAP_STR("Hostname"), kap_t_str(sv->hostname) };
    server[1] = (struct kap_tpair){ KAP_STR("ClusterID"), kap_t_str(sv->cluster_id) };
    server[2] = (struct kap_tpair){ KAP_STR("ServerID"), kap_t_str(sv->server_id) };
    struct kap_tstruct *info = KAP_ARENA_NEW(a, struct kap_tstruct);
    *info = (struct kap_tstruct){ "kapacitor.serverInfo", 3, server };
    v[0] = (struct kap_tpair){ KAP_STR("Name"), kap_t_str(kap_sym_str(sub->name)) };
    v[1] = (struct kap_tpair){ KAP_STR("TaskName"), kap_t_str(kap_node_task(n)) };
    v[2] = (struct kap_tpair){ KAP_STR("Group"), kap_t_str(sub->group->id) };
    v[3] = (struct kap_tpair){ KAP_STR("Tags"), kap_t_tags(a, sub->tags) };
    v[4] = (struct kap_tpair){ KAP_STR("ServerInfo"), kap_t_struct(info) };
    return 5;
}

static bool render(struct kap_node *n, const struct kap_template *t, const struct kap_tstruct *data,
                   const struct kap_group *g, struct kap_str *ret)
{
    if (kap_template_constant(t, ret))
        return true;
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    if (kap_template_render(t, kap_t_struct(data), kap_node_scratch(n), &out, &err) != KAP_OK) {
        kap_node_error(n, g, "%s", err.msg);
        return false;
    }
    *ret = kap_arena_str(kap_node_scratch(n), kap_buf_str(&out));
    return true;
}

/* The ID depends on nothing but the node, the group, the name and the tags. */
static bool render_id(struct kap_node *n, const struct state *s, struct group *g, const struct subject *sub,
                      struct kap_str *ret)
{
    if (kap_template_constant(s->id, ret))
        return true;
    struct known_id *known = &g->id;
    if (known->tags != sub->tags || known->name != sub->name) {
        struct kap_tpair v[5];
        const struct kap_tstruct data = { "kapacitor.idInfo", id_info(n, sub, v), v };
        struct kap_str id;
        if (!render(n, s->id, &data, sub->group, &id))
            return false;
        forget_id(n, known);
        *known = (struct known_id){ sub->name, kap_tags_ref(sub->tags), kap_strndup(id.p, id.n), id.n };
        kap_node_charge(n, (int64_t)id.n);
    }
    *ret = kap_strn(known->text, known->n);
    return true;
}

/* A template that fails costs its text, not the event. */
static void render_texts(struct kap_node *n, const struct state *s, const struct subject *sub, const struct verdict *v,
                         struct kap_event *ev)
{
    struct kap_tpair info[11];
    size_t m = id_info(n, sub, info);
    info[m++] = (struct kap_tpair){ KAP_STR("ID"), kap_t_str(ev->id) };
    info[m++] = (struct kap_tpair){ KAP_STR("Fields"), kap_t_fields(kap_node_scratch(n), sub->fields, sub->nfields) };
    info[m++] = (struct kap_tpair){ KAP_STR("Level"), kap_t_str(kap_str(kap_level_name(v->level))) };
    info[m++] = (struct kap_tpair){ KAP_STR("Time"), kap_t_time(v->time_ns) };
    info[m++] = (struct kap_tpair){ KAP_STR("Duration"), kap_t_duration(v->duration_ns) };
    const struct kap_tstruct for_message = { "kapacitor.messageInfo", m, info };
    struct kap_str text;
    if (render(n, s->message, &for_message, sub->group, &text))
        ev->message = kap_arena_str(ev->arena, text);
    else
        ev->message = kap_str(kap_arena_printf(ev->arena, "%.*s is %s", KAP_STR_ARG(ev->id), kap_level_name(v->level)));
    info[m++] = (struct kap_tpair){ KAP_STR("Message"), kap_t_str(ev->message) };
    const struct kap_tstruct for_details = { "kapacitor.detailsInfo", m, info };
    ev->details = render(n, s->details, &for_details, sub->group, &text) ? kap_arena_str(ev->arena, text) : KAP_STR("");
}

/* --- events --- */

/* How many events of this ID, time and level came before. Slots are few: a count is lost when 256 other events have
 * passed meanwhile, which no stream of equal points is known to do. */
static uint32_t count_same(struct state *s, const struct kap_event *ev)
{
    uint64_t key = kap_str_hash(ev->id) ^ ((uint64_t)ev->time_ns * UINT64_C(0x9e3779b97f4a7c15));
    key = (key ^ (key >> 29)) * UINT64_C(0xbf58476d1ce4e5b9) + (uint64_t)ev->level + 1;
    struct same *slot = &s->same[(key >> 32) % SAME_SLOTS];
    if (slot->key != key)
        *slot = (struct same){ .key = key };
    return slot->n++;
}

static void copy_subject(struct kap_event *ev, const struct subject *sub)
{
    ev->name = kap_arena_str(ev->arena, kap_sym_str(sub->name));
    ev->group = kap_arena_str(ev->arena, sub->group->id);
    kap_tags_unref(ev->tags);
    ev->tags = kap_tags_ref(sub->tags);
    ev->fields = KAP_ARENA_ARRAY(ev->arena, struct kap_field, sub->nfields + 1);
    for (size_t i = 0; i < sub->nfields; i++) {
        ev->fields[i] = sub->fields[i];
        if (ev->fields[i].v.type == KAP_STRING)
            ev->fields[i].v.s = kap_arena_str(ev->arena, sub->fields[i].v.s);
    }
    ev->nfields = sub->nfields;
}

/* Takes the row. */
static struct kap_event *make_event(struct kap_node *n, struct state *s, const struct subject *sub,
                                    const struct verdict *v, struct kap_str id, struct kap_row *row)
{
    const struct kap_str topic = s->anonymous ? kap_str(s->anonymous) : s->cfg->topic;
    struct kap_event *ev = kap_event_new();
    ev->topic = kap_arena_str(ev->arena, topic);
    ev->task = kap_arena_str(ev->arena, kap_node_task(n));
    ev->node = kap_arena_str(ev->arena, kap_str(kap_node_name(n)));
    ev->run = kap_arena_str(ev->arena, kap_node_task_run(n));
    ev->category = kap_arena_str(ev->arena, s->cfg->category);
    ev->id = kap_arena_str(ev->arena, id);
    ev->time_ns = v->time_ns;
    ev->level = v->level;
    ev->previous = v->previous;
    ev->duration_ns = v->duration_ns;
    ev->recoverable = !s->cfg->no_recoveries;
    ev->nth = count_same(s, ev);
    ev->sequence = s->sequence++;
    ev->rows = KAP_ARENA_ARRAY(ev->arena, struct kap_row *, 1);
    ev->rows[ev->nrows++] = row;
    copy_subject(ev, sub);
    render_texts(n, s, sub, v, ev);
    return ev;
}

static void collect(struct kap_node *n, const struct state *s, struct kap_event *ev)
{
    const struct kap_services *sv = kap_node_services(n);
    if (sv->inhibitors && kap_inhibited(sv->inhibitors, ev->category, ev->tags)) {
        kap_node_count(n, INHIBITED, 1);
        return;
    }
    kap_node_count(n, TRIGGERED, 1);
    kap_node_count(n, OKS + (size_t)ev->level, 1);
    if (!sv->alert_collect)
        return;
    if (ev->topic.n)
        sv->alert_collect(sv->ctx, ev);
    if (s->anonymous && s->cfg->topic.n) {
        struct kap_event *named = kap_event_derive(ev, s->cfg->topic);
        sv->alert_collect(sv->ctx, named);
        kap_event_unref(named);
    }
}

/* Notes the level; true: an event is due, and *v is complete. */
static bool decide(struct kap_node *n, struct state *s, struct group *g, struct verdict *v, bool is_batch)
{
    const struct config *c = s->cfg;
    v->previous = current_level(g);
    add_level(s, g, v->time_ns, v->level);
    const bool silent = (c->use_flapping && g->flapping) || (s->changes_only && !g->changed && !g->expired);
    /* A recovery of a batch is told also while flapping, that of a point is not. */
    if (v->level == KAP_LEVEL_OK ? !g->changed || (silent && !is_batch) : silent)
        return false;
    triggered(n, s, g, v->time_ns);
    v->duration_ns = g->last_ns - g->first_ns;
    return v->level != KAP_LEVEL_OK || !c->no_recoveries;
}

/* --- data that flow on --- */

static const struct kap_tags *annotated_tags(struct state *s, const struct kap_tags *tags, const struct kap_event *ev)
{
    const struct config *c = s->cfg;
    kap_tag_buf_copy(&s->tags, tags);
    if (c->level_tag.n)
        kap_tag_buf_set(&s->tags, kap_sym(c->level_tag), kap_str(kap_level_name(ev->level)));
    if (c->id_tag.n)
        kap_tag_buf_set(&s->tags, kap_sym(c->id_tag), ev->id);
    return kap_tag_buf_tags(&s->tags);
}

static struct kap_point annotated_fields(struct state *s, const struct kap_point *p, const struct kap_event *ev)
{
    const struct config *c = s->cfg;
    kap_field_buf_copy(&s->fields, p->fields, p->nfields);
    if (c->level_field.n)
        kap_field_buf_set(&s->fields, kap_sym(c->level_field), kap_value_s(kap_str(kap_level_name(ev->level))));
    if (c->message_field.n)
        kap_field_buf_set(&s->fields, kap_sym(c->message_field), kap_value_s(ev->message));
    if (c->id_field.n)
        kap_field_buf_set(&s->fields, kap_sym(c->id_field), kap_value_s(ev->id));
    if (c->duration_field.n)
        kap_field_buf_set(&s->fields, kap_sym(c->duration_field), kap_value_i(ev->duration_ns));
    return kap_point_with(p, &s->fields);
}

static void pass_point(struct kap_node *n, struct state *s, const struct kap_point *p, const struct kap_event *ev)
{
    struct kap_point q = s->annotates_fields ? annotated_fields(s, p, ev) : *p;
    if (!s->annotates_tags) {
        kap_emit_point(n, &q);
        return;
    }
    q.tags = annotated_tags(s, p->tags, ev);
    q.group = kap_regroup(n, p->group, p->name, q.tags, false);
    kap_emit_point(n, &q);
    kap_group_unref(kap_node_groups(n), q.group);
    kap_tags_unref(q.tags);
}

static void pass_batch_point(struct kap_node *n, struct state *s, const struct kap_point *p, struct kap_group *group,
                             const struct kap_event *ev)
{
    struct kap_point q = s->annotates_fields ? annotated_fields(s, p, ev) : *p;
    q.group = group;
    if (!s->annotates_tags) {
        kap_emit_batch_point(n, &q);
        return;
    }
    q.tags = annotated_tags(s, p->tags, ev);
    kap_emit_batch_point(n, &q);
    kap_tags_unref(q.tags);
}

static void pass_batch(struct kap_node *n, struct state *s, const struct kap_event *ev)
{
    struct kap_batch_begin b = s->batch.begin;
    struct kap_group *regrouped = NULL;
    if (s->annotates_tags) {
        const struct kap_tags *tags = annotated_tags(s, b.group->tags, ev);
        b.group = regrouped = kap_batch_regroup(n, b.group, b.name, tags);
        kap_tags_unref(tags);
    }
    kap_emit_begin(n, &b);
    for (size_t i = 0; i < s->batch.n; i++)
        pass_batch_point(n, s, s->batch.points[i], b.group, ev);
    kap_emit_end(n, &b);
    if (regrouped)
        kap_group_unref(kap_node_groups(n), regrouped);
}

/* --- messages --- */

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    struct group *g = gs;
    const struct subject sub = { p->name, p->group, p->tags, p->fields, p->nfields };
    struct kap_str id;
    if (!render_id(n, s, g, &sub, &id))
        return;
    if (!g->started)
        start(n, s, g, id);
    struct verdict v = { .time_ns = p->time_ns };
    v.level = level_of(n, s, p, current_level(g));
    if (!decide(n, s, g, &v, false))
        return;
    struct kap_event *ev = make_event(n, s, &sub, &v, id, kap_row_from_point(p));
    collect(n, s, ev);
    pass_point(n, s, p, ev);
    kap_event_unref(ev);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    kap_batch_clear(kap_node_groups(n), &s->batch);
    s->batch.begin = *b;
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    kap_batch_add(&((struct state *)state)->batch, p);
}

/* The level of the batch and the point that stands for it. */
static const struct kap_point *level_of_batch(struct kap_node *n, struct state *s, const struct group *g,
                                              enum kap_level *level)
{
    enum kap_level lowest = KAP_LEVEL_CRITICAL, highest = KAP_LEVEL_OK;
    const struct kap_point *chosen = NULL;
    for (size_t i = 0; i < s->batch.n; i++) {
        const enum kap_level l = level_of(n, s, s->batch.points[i], current_level(g));
        lowest = KAP_MIN(lowest, l);
        if (l > highest || !chosen) {
            highest = l;
            chosen = s->batch.points[i];
        }
    }
    *level = s->cfg->all ? lowest : highest;
    return chosen;
}

static void judge_batch(struct kap_node *n, struct state *s, struct group *g)
{
    const struct kap_batch_begin *b = &s->batch.begin;
    struct subject sub = { b->name, b->group, b->group->tags, NULL, 0 };
    struct kap_str id;
    if (!render_id(n, s, g, &sub, &id))
        return;
    if (!g->started)
        start(n, s, g, id);
    if (s->batch.n == 0)
        return;
    struct verdict v;
    const struct kap_point *chosen = level_of_batch(n, s, g, &v.level);
    v.time_ns = s->cfg->all || v.level == KAP_LEVEL_OK ? b->time_ns : chosen->time_ns;
    if (!decide(n, s, g, &v, true))
        return;
    sub.fields = chosen->fields;
    sub.nfields = chosen->nfields;
    struct kap_event *ev = make_event(n, s, &sub, &v, id, kap_row_from_batch(&s->batch));
    collect(n, s, ev);
    pass_batch(n, s, ev);
    kap_event_unref(ev);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    s->batch.begin = *b;
    judge_batch(n, s, gs);
    kap_batch_clear(kap_node_groups(n), &s->batch);
}

/* --- snapshots: the state of the expressions; levels are the topic's --- */

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_buf *out)
{
    const struct state *s = state;
    if (g)
        return;
    struct kap_snap w = kap_snap_writer(out, SNAPSHOT_VERSION);
    for (int l = KAP_LEVEL_INFO; l < LEVELS; l++) {
        kap_snap_lambda(&w, s->level_states[l]);
        kap_snap_lambda(&w, s->reset_states[l]);
    }
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_str data,
                            struct kap_error *err)
{
    struct state *s = state;
    if (g)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, SNAPSHOT_VERSION, err));
    for (int l = KAP_LEVEL_INFO; l < LEVELS; l++) {
        KAP_TRY(kap_snap_get_lambda(&r, s->level_states[l], err));
        KAP_TRY(kap_snap_get_lambda(&r, s->reset_states[l], err));
    }
    return kap_snap_end(&r, err);
}

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_alert,
    .close = close_alert,
    .group_open = group_open,
    .group_close = group_close,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
    .save = save,
    .load = load,
    .counters = counters,
};

const struct kap_node_type kap_node_alert = {
    .name = "alert",
    .kind = "alert",
    .doc = "Finds the level of each point or batch, and sends an event to its handlers and its topic when there is "
           "something to tell. Data pass on when an event is sent.",
    .signature = "()",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .init = init,
    .props = props,
    .has_handlers = true,
    .run = &run,
};
