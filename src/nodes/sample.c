#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct config {
    int64_t n;           /* every n-th point; or */
    int64_t duration_ns; /* points whose time is a multiple of this */
};

struct group {
    int64_t count;
};

static enum kap_status open_sample(struct kap_node *n, void *state, struct kap_error *err)
{
    const struct config *c = kap_node_config(n);
    if (c->n <= 0 && c->duration_ns == 0)
        return kap_fail(err, KAP_EINVAL, "invalid sample rate: must be positive integer or duration");
    return KAP_OK;
}

static bool keep(struct kap_node *n, struct group *g, int64_t time_ns)
{
    const struct config *c = kap_node_config(n);
    const int64_t count = g->count++;
    if (c->duration_ns != 0)
        return kap_time_truncate(time_ns, c->duration_ns) == time_ns;
    return count % c->n == 0;
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    if (keep(n, gs, p->time_ns))
        kap_emit_point(n, p);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct kap_batch_begin nb = *b;
    nb.size_hint = 0;
    ((struct group *)gs)->count = 0;
    kap_emit_begin(n, &nb);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    if (keep(n, gs, p->time_ns))
        kap_emit_batch_point(n, p);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_buf *out)
{
    if (!g)
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_i64(&w, ((const struct group *)gs)->count);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_str data,
                            struct kap_error *err)
{
    if (!g || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    ((struct group *)gs)->count = kap_snap_get_i64(&r);
    return kap_snap_end(&r, err);
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct config *c = config;
    if (nargs == 1 && args[0].kind == KAP_ARG_VALUE && args[0].value.type == KAP_INT)
        c->n = args[0].value.i;
    else if (nargs == 1 && args[0].kind == KAP_ARG_VALUE && args[0].value.type == KAP_DURATION)
        c->duration_ns = args[0].value.i;
    else
        return kap_fail(err, KAP_EINVAL, "must pass int64 or duration to new sample node");
    return KAP_OK;
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    kap_columns_below(node, c);
}

static const struct kap_node_run run = {
    .group_size = sizeof(struct group),
    .open = open_sample,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .save = save,
    .load = load,
    .needs = needs,
};

const struct kap_node_type kap_node_sample = {
    .name = "sample",
    .kind = "sample",
    .doc = "Passes on every n-th point of a group or batch, or the points whose time is a multiple of a duration.",
    .signature = "(rate int or duration)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .args = args,
    .run = &run,
};
