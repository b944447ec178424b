#include "handlers/handlers.h"
#include "handlers/util.h"

/* Gathers events from the first that comes until the interval is over. Every owner of the topic does so; the interval
 * begins with an event, not with a beat of its own clock, so that the owners' results are about the same events. */

struct options {
    struct kap_str id, topic, message;
    int64_t interval_ns;
};

struct state {
    struct kap_event **events;
    size_t n, cap;
    int64_t due_ns;
};

#define MAX_EVENTS 100000 /* gathered; the result then goes out before its time */

static void init(void *options)
{
    *(struct options *)options = (struct options){
        .id = KAP_STR(""),
        .topic = KAP_STR(""),
        .message = KAP_STR("Received {{ .Count }} events in the last {{.Interval}}."),
    };
}

static enum kap_status render(const struct options *o, size_t count, struct kap_arena *arena, struct kap_str *ret,
                              struct kap_error *err)
{
    const struct kap_tpair v[] = {
        { KAP_STR("Count"), { .kind = KAP_T_INT, .i = (int64_t)count } },
        { KAP_STR("Interval"), kap_t_duration(o->interval_ns) },
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
    if (render(o, 0, arena, &message, err) != KAP_OK)
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

static struct kap_event *gather(const struct options *o, const struct state *s)
{
    struct kap_event *agg = kap_event_new();
    KAP_AUTO_BUF struct kap_buf details = { 0 };
    size_t nrows = 0;
    agg->time_ns = INT64_MIN;
    agg->no_external = true;
    for (size_t i = 0; i < s->n; i++) {
        take(agg, s->events[i]);
        nrows += s->events[i]->nrows;
        if (i)
            kap_buf_addc(&details, '\n');
        kap_buf_add(&details, s->events[i]->message);
    }
    agg->rows = KAP_ARENA_ARRAY(agg->arena, struct kap_row *, nrows + 1);
    for (size_t i = 0; i < s->n; i++)
        add_rows(agg, s->events[i]);
    agg->topic = kap_arena_str(agg->arena, o->topic);
    agg->id = kap_arena_str(agg->arena, o->id);
    agg->details = kap_arena_str(agg->arena, kap_buf_str(&details));
    agg->task = agg->run = agg->name = agg->group = agg->category = agg->message = KAP_STR("");
    agg->node = kap_str(kap_arena_printf(agg->arena, "aggregate:%.*s", KAP_STR_ARG(s->events[0]->topic)));
    agg->sequence = s->events[s->n - 1]->sequence;
    render(o, s->n, agg->arena, &agg->message, NULL); /* checked when the handler was made */
    return agg;
}

static void drop_events(struct state *s)
{
    for (size_t i = 0; i < s->n; i++)
        kap_event_unref(s->events[i]);
    s->n = 0;
}

static int64_t flush(const struct options *o, struct state *s, const struct kap_handler_env *env)
{
    struct kap_event *agg = gather(o, s);
    drop_events(s);
    env->publish(env->ctx, agg->topic, agg);
    kap_event_unref(agg);
    return 0;
}

static int64_t collect(const void *options, void *state, const struct kap_handler_env *env, struct kap_event *ev,
                       int64_t now_ns)
{
    const struct options *o = options;
    struct state *s = state;
    if (s->n == 0)
        s->due_ns = now_ns + o->interval_ns;
    KAP_GROW(s->events, s->cap, s->n + 1);
    s->events[s->n++] = kap_event_ref(ev);
    return s->n >= MAX_EVENTS ? flush(o, s, env) : s->due_ns;
}

static int64_t tick(const void *options, void *state, const struct kap_handler_env *env, int64_t now_ns)
{
    struct state *s = state;
    if (s->n == 0)
        return 0;
    return now_ns < s->due_ns ? s->due_ns : flush(options, s, env);
}

static void state_close(void *state)
{
    struct state *s = state;
    drop_events(s);
    kap_free((void *)s->events);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct options, id, NULL, "id", "ID of the new events."),
    KAP_PROP_AT(DURATION, struct options, interval_ns, NULL, "interval", "How long events are gathered, in ns."),
    KAP_PROP_AT(STRING, struct options, topic, NULL, "topic", "The topic that the new events go to."),
    KAP_PROP_AT(STRING, struct options, message, NULL, "message", "Template of the message; sees .Count and .Interval."),
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
