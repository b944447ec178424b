#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/util.h"

struct config {
    int64_t shift_ns;
};

static enum kap_status open_shift(struct kap_node *n, void *state, struct kap_error *err)
{
    const struct config *c = kap_node_config(n);
    if (c->shift_ns == 0)
        return kap_fail(err, KAP_EINVAL, "invalid shift value: must be non zero duration");
    return KAP_OK;
}

static int64_t shifted(struct kap_node *n, int64_t time_ns)
{
    return (int64_t)((uint64_t)time_ns + (uint64_t)((const struct config *)kap_node_config(n))->shift_ns);
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct kap_point q = *p;
    q.time_ns = shifted(n, p->time_ns);
    kap_emit_point(n, &q);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct kap_batch_begin nb = *b;
    nb.time_ns = shifted(n, b->time_ns);
    kap_emit_begin(n, &nb);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct kap_point q = *p;
    q.time_ns = shifted(n, p->time_ns);
    kap_emit_batch_point(n, &q);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct kap_batch_begin nb = *b;
    nb.time_ns = shifted(n, b->time_ns);
    kap_emit_end(n, &nb);
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_DURATION, "shift", err));
    if (nargs != 1)
        return kap_fail(err, KAP_EINVAL, "shift expects one duration");
    ((struct config *)config)->shift_ns = args[0].value.i;
    return KAP_OK;
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    kap_columns_below(node, c);
}

static const struct kap_node_run run = {
    .open = open_shift,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
    .needs = needs,
};

const struct kap_node_type kap_node_shift = {
    .name = "shift",
    .kind = "shift",
    .doc = "Moves points and batches in time, forward or back.",
    .signature = "(shift duration)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .args = args,
    .run = &run,
};
