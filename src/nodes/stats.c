#include "nodes/stats.h"
#include "nodes/nodes.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct config {
    const struct kap_graph_node *source;
    int64_t interval_ns;
    bool align; /* kept for scripts: times are multiples of the interval in any case, alike on every member */
};

struct state {
    uint64_t ticks;    /* since the start */
};

/* A group that the source has emitted, or did before the last restart. Those are told of with a count of 0 until they are
 * there again: a group that died while the server was down must not go unnoticed. */
struct group {
    bool restored;     /* and not seen since */
    uint64_t seen;     /* the latest tick at which the source had it */
};

enum { TICK = 1 };
/* A restored group is kept over the next restart as well when this start was too short to tell of it. */
#define TOLD_TICKS 3

static void next_tick(struct kap_node *n)
{
    const struct config *c = kap_node_config(n);
    kap_node_set_timer(n, TICK, kap_time_truncate(kap_node_now(n), c->interval_ns) + c->interval_ns);
}

static enum kap_status open_stats(struct kap_node *n, void *state, struct kap_error *err)
{
    const struct config *c = kap_node_config(n);
    if (c->interval_ns <= 0)
        return kap_fail(err, KAP_EINVAL, "stats node must have positive interval");
    kap_node_watch(n, c->source);
    next_tick(n);
    return KAP_OK;
}

static void emit(struct kap_node *n, struct kap_group *g, int64_t time_ns, int64_t points)
{
    struct kap_field emitted = { .key = kap_sym_c("emitted"), .v = kap_value_i(points) };
    const struct kap_point p = {
        .time_ns = time_ns,
        .db = kap_sym_empty,
        .rp = kap_sym_empty,
        .name = kap_sym_c("stats"),
        .tags = g->tags,
        .group = g,
        .nfields = 1,
        .fields = &emitted,
    };
    kap_emit_point(n, &p);
}

/* Groups that are here and not at the source: restored ones, which count, and deleted ones, which go. */
static void tell_absent(struct kap_node *n, const struct state *s, int64_t time_ns)
{
    struct kap_group *kg;
    void *gs;
    for (uint32_t i = 0; kap_node_next_group(n, &i, &kg, &gs);) {
        const struct group *g = gs;
        if (g->seen == s->ticks)
            continue;
        if (g->restored)
            emit(n, kg, time_ns, 0);
        else
            kap_node_forget_group(n, kg);
    }
}

static void timer(struct kap_node *n, void *state, uint64_t id, int64_t now_ns)
{
    const struct config *c = kap_node_config(n);
    struct state *s = state;
    const int64_t time_ns = kap_time_truncate(now_ns, c->interval_ns);
    struct kap_group *kg;
    int64_t points;
    s->ticks++;
    for (uint32_t i = 0; kap_node_next_emitted(n, c->source, &i, &kg, &points);) {
        struct group *g = kap_node_group_state(n, kg);
        *g = (struct group){ .seen = s->ticks };
        emit(n, kg, time_ns, points);
    }
    tell_absent(n, s, time_ns);
    next_tick(n);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_buf *out)
{
    const struct state *s = state;
    const struct group *g = gs;
    if (!kg || (g->restored && s->ticks >= TOLD_TICKS))
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_i64(&w, 1);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_str data,
                            struct kap_error *err)
{
    if (!kg || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    ((struct group *)gs)->restored = kap_snap_get_i64(&r) == 1;
    return kap_snap_end(&r, err);
}

int64_t kap_stats_interval(const struct kap_graph_node *node)
{
    return node->type == &kap_node_stats ? ((const struct config *)node->config)->interval_ns : 0;
}

enum kap_status kap_stats_add(struct kap_graph_node *node, int64_t interval_ns, bool align,
                              struct kap_graph_node **ret, struct kap_error *err)
{
    struct kap_graph_node *stats;
    KAP_TRY(kap_graph_add(node->graph, NULL, &kap_node_stats, &stats, err));
    *(struct config *)stats->config = (struct config){ .source = node, .interval_ns = interval_ns, .align = align };
    if (node->nchildren == 0) {
        struct kap_graph_node *noop;
        KAP_TRY(kap_graph_add(node->graph, node, &kap_node_noop, &noop, err));
    }
    *ret = stats;
    return KAP_OK;
}

static enum kap_status expand(struct kap_graph_node *parent, const struct kap_arg *args, size_t nargs,
                              struct kap_graph_node **ret, struct kap_error *err)
{
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_DURATION, "stats", err));
    if (nargs != 1)
        return kap_fail(err, KAP_EINVAL, "stats expects one interval");
    return kap_stats_add(parent, args[0].value.i, false, ret, err);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(FLAG, struct config, align, "align", NULL, "Times are multiples of the interval."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_stats,
    .timer = timer,
    .save = save,
    .load = load,
};

const struct kap_node_type kap_node_stats = {
    .name = "stats",
    .kind = "stats",
    .doc = "Emits, at each interval and for each group, how many points the node it is called on has emitted.",
    .signature = "(interval duration)",
    .below = KAP_BELOW_ANY,
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_STREAM,
    .config_size = sizeof(struct config),
    .props = props,
    .expand = expand,
    .run = &run,
};
