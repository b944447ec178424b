#include "nodes/stats.h"
#include "nodes/nodes.h"
#include "nodes/util.h"

struct config {
    const struct kap_graph_node *source;
    int64_t interval_ns;
    bool align; /* kept for scripts: times are multiples of the interval in any case, alike on every member */
};

enum { TICK = 1 };

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

static void timer(struct kap_node *n, void *state, uint64_t id, int64_t now_ns)
{
    const struct config *c = kap_node_config(n);
    struct kap_field emitted = { .key = kap_sym_c("emitted") };
    struct kap_group *g;
    int64_t points;
    for (uint32_t i = 0; kap_node_next_emitted(n, c->source, &i, &g, &points);) {
        emitted.v = kap_value_i(points);
        const struct kap_point p = {
            .time_ns = kap_time_truncate(now_ns, c->interval_ns),
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
    next_tick(n);
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
    .open = open_stats,
    .timer = timer,
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
