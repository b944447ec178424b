#include "handlers/handlers.h"
#include "handlers/util.h"

#include "base/map.h"

/* Gathers events from the first that comes until the interval is over, each group (`group-by`) for itself. Every owner of
 * the topic does so; the interval begins with an event, not with a beat of its own clock, so that the owners' results are
 * about the same events. */

struct options {
    struct kap_str id, topic, message;
    struct kap_strings group_by;
    int64_t interval_ns;
};

struct window {                  /* of one group */
    struct window *next;
    char *group;                 /* "host=a,dc=b"; "" */
    const struct kap_tags *tags; /* its tags */
    struct kap_event **events;
    size_t n, cap;
    int64_t due_ns;
};

struct state {
    struct kap_map *windows;     /* by group; NULL: none yet */
    struct window *first, *last; /* in the order in which they opened, which is that of their ends */
    size_t n;                    /* events in all of them */
};

#define MAX_EVENTS 100000 /* gathered; the result of the oldest window then goes out before its time */

static void init(void *options)
{
    *(struct options *)options = (struct options){
        .id = KAP_STR(""),
        .topic = KAP_STR(""),
        .message = KAP_STR("Received {{ .Count }} events in the last {{.Interval}}."),
    };
}

static enum kap_status render(const struct options *o, size_t count, const char *group, struct kap_arena *arena,
                              struct kap_str *ret, struct kap_error *err)
{
    const struct kap_tpair v[] = {
        { KAP_STR("Count"), { .kind = KAP_T_INT, .i = (int64_t)count } },
        { KAP_STR("Interval"), kap_t_duration(o->interval_ns) },
        { KAP_STR("Group"), kap_t_str(kap_str(group)) },
    };
    const struct kap_tstruct st = { "alert.aggregateMessageData", KAP_COUNT(v), v };
    struct kap_template *t;
    KAP_TRY(kap_template_new("message", o->message, KAP_TEMPLATE_TEXT, &t, err));
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    const enum kap_status status = kap_template_render(t, kap_t_struct(&st), arena, &out, err);
    kap_template_free(t);
    if (status == KAP_OK)
        *ret = kap_arena_str(arena, kap_buf_str(&out));
    return status;
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    const struct options *o = options;
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct kap_str message;
    if (o->interval_ns <= 0)
        return kap_fail(err, KAP_EINVAL, "interval must be greater than 0");
    if (render(o, 0, "", arena, &message, err) != KAP_OK)
        return kap_wrap(err, "failed to evaluate message template with aggregate message data");
    return KAP_OK;
}

static void take(struct kap_event *to, const struct kap_event *ev)
{
    to->level = KAP_MAX(to->level, ev->level);
    to->time_ns = KAP_MAX(to->time_ns, ev->time_ns);
    to->duration_ns = KAP_MAX(to->duration_ns, ev->duration_ns);
    to->no_external &= ev->no_external;
}

/* A copy of a row that lives as long as the new event. */
static void add_rows(struct kap_event *to, const struct kap_event *ev)
{
    for (size_t i = 0; i < ev->nrows; i++) {
        const struct kap_row *from = ev->rows[i];
        struct kap_row *r = KAP_NEW(struct kap_row);
        *r = *from;
        r->arena = kap_arena_new();
        r->tags = kap_tags_ref(from->tags);
        r->columns = KAP_ARENA_ARRAY(r->arena, struct kap_str, from->ncolumns + 1);
        for (size_t k = 0; k < from->ncolumns; k++)
            r->columns[k] = kap_arena_str(r->arena, from->columns[k]);
        const size_t n = from->ncolumns * from->nvalues;
        r->values = KAP_ARENA_ARRAY(r->arena, struct kap_value, n + 1);
        for (size_t k = 0; k < n; k++) {
            r->values[k] = from->values[k];
            if (r->values[k].type == KAP_STRING)
                r->values[k].s = kap_arena_str(r->arena, from->values[k].s);
        }
        to->rows[to->nrows++] = r;
    }
}

/* The ID of a group's events: the option, then the group. */
static struct kap_str event_id(const struct options *o, const struct window *w, struct kap_arena *arena)
{
    if (!*w->group)
        return kap_arena_str(arena, o->id);
    return kap_str(kap_arena_printf(arena, "%.*s:%s", KAP_STR_ARG(o->id), w->group));
}

static struct kap_event *gather(const struct options *o, const struct window *w)
{
    struct kap_event *agg = kap_event_new();
    KAP_AUTO_BUF struct kap_buf details = { 0 };
    size_t nrows = 0;
    agg->time_ns = INT64_MIN;
    agg->no_external = true;
    for (size_t i = 0; i < w->n; i++) {
        take(agg, w->events[i]);
        nrows += w->events[i]->nrows;
        if (i)
            kap_buf_addc(&details, '\n');
        kap_buf_add(&details, w->events[i]->message);
    }
    agg->rows = KAP_ARENA_ARRAY(agg->arena, struct kap_row *, nrows + 1);
    for (size_t i = 0; i < w->n; i++)
        add_rows(agg, w->events[i]);
    agg->topic = kap_arena_str(agg->arena, o->topic);
    agg->id = event_id(o, w, agg->arena);
    agg->details = kap_arena_str(agg->arena, kap_buf_str(&details));
    agg->task = agg->run = agg->name = agg->category = agg->message = KAP_STR("");
    agg->group = kap_arena_str(agg->arena, kap_str(w->group));
    kap_tags_unref(agg->tags);
    agg->tags = kap_tags_ref(w->tags);
    agg->node = kap_str(kap_arena_printf(agg->arena, "aggregate:%.*s", KAP_STR_ARG(w->events[0]->topic)));
    agg->sequence = w->events[w->n - 1]->sequence;
    render(o, w->n, w->group, agg->arena, &agg->message, NULL); /* checked when the handler was made */
    return agg;
}

static void free_window(struct window *w)
{
    for (size_t i = 0; i < w->n; i++)
        kap_event_unref(w->events[i]);
    kap_free((void *)w->events);
    kap_tags_unref(w->tags);
    kap_free(w->group);
    kap_free(w);
}

/* Closes the oldest window and publishes what is in it. */
static void flush(const struct options *o, struct state *s, const struct kap_handler_env *env)
{
    struct window *w = s->first;
    s->first = w->next;
    if (!s->first)
        s->last = NULL;
    s->n -= w->n;
    kap_map_del(s->windows, kap_str(w->group));
    struct kap_event *agg = gather(o, w);
    free_window(w);
    env->publish(env->ctx, agg->topic, agg);
    kap_event_unref(agg);
}

static struct kap_str tag_of(const struct kap_event *ev, struct kap_str key)
{
    const struct kap_str *value = ev->tags ? kap_tags_get(ev->tags, kap_sym(key)) : NULL;
    return value ? *value : KAP_STR("");
}

static const struct kap_tags *group_tags(const struct options *o, const struct kap_event *ev)
{
    struct kap_tag *tags = KAP_ARRAY(struct kap_tag, o->group_by.n + 1);
    for (size_t i = 0; i < o->group_by.n; i++)
        tags[i] = (struct kap_tag){ kap_sym(o->group_by.v[i]), tag_of(ev, o->group_by.v[i]) };
    const struct kap_tags *set = kap_tags_new(tags, o->group_by.n);
    kap_free(tags);
    return set;
}

static struct window *window_of(const struct options *o, struct state *s, const struct kap_event *ev, int64_t now_ns)
{
    KAP_AUTO_BUF struct kap_buf group = { 0 };
    for (size_t i = 0; i < o->group_by.n; i++) {
        const struct kap_str value = tag_of(ev, o->group_by.v[i]);
        kap_buf_addf(&group, "%s%.*s=%.*s", i ? "," : "", KAP_STR_ARG(o->group_by.v[i]), KAP_STR_ARG(value));
    }
    if (!s->windows)
        s->windows = kap_map_new();
    struct window *w = kap_map_get(s->windows, kap_buf_str(&group));
    if (w)
        return w;
    w = KAP_NEW(struct window);
    w->group = kap_strndup(group.n ? group.p : "", group.n);
    w->tags = group_tags(o, ev);
    w->due_ns = now_ns + o->interval_ns;
    *(s->last ? &s->last->next : &s->first) = w;
    s->last = w;
    kap_map_put(s->windows, kap_str(w->group), w);
    return w;
}

static int64_t collect(const void *options, void *state, const struct kap_handler_env *env, struct kap_event *ev,
                       int64_t now_ns)
{
    const struct options *o = options;
    struct state *s = state;
    struct window *w = window_of(o, s, ev, now_ns);
    KAP_GROW(w->events, w->cap, w->n + 1);
    w->events[w->n++] = kap_event_ref(ev);
    if (++s->n >= MAX_EVENTS)
        flush(o, s, env);
    return s->first ? s->first->due_ns : 0;
}

static int64_t tick(const void *options, void *state, const struct kap_handler_env *env, int64_t now_ns)
{
    struct state *s = state;
    while (s->first && s->first->due_ns <= now_ns)
        flush(options, s, env);
    return s->first ? s->first->due_ns : 0;
}

static void state_close(void *state)
{
    struct state *s = state;
    while (s->first) {
        struct window *w = s->first;
        s->first = w->next;
        free_window(w);
    }
    kap_map_free(s->windows);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct options, id, NULL, "id", "ID of the new events."),
    KAP_PROP_AT(DURATION, struct options, interval_ns, NULL, "interval", "How long events are gathered, in ns."),
    KAP_PROP_AT(STRING, struct options, topic, NULL, "topic", "The topic that the new events go to."),
    KAP_PROP_AT(STRING, struct options, message, NULL, "message",
                "Template of the message; sees .Count, .Interval and .Group."),
    KAP_PROP_AT(STRINGS, struct options, group_by, NULL, "group-by",
                "Tags: events that differ in one of them are gathered apart, and the new event's ID ends with them."),
    { .kind = KAP_PROP_END },
};

const struct kap_handler_type kap_handler_aggregate = {
    .kind = "aggregate",
    .doc = "Gathers the events of a topic for a while and publishes one event about them on another topic.",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .options_shown = "alert.AggregateHandlerConfig",
    .check = check,
    .internal = true,
    .state_size = sizeof(struct state),
    .collect = collect,
    .tick = tick,
    .state_close = state_close,
};
