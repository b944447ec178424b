#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/util.h"

struct state {
    const struct kap_sym *name;
};

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    ((struct state *)state)->name = b->name;
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct kap_point q = *p;
    q.name = ((const struct state *)state)->name;
    kap_emit_point(n, &q);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    kap_columns_below(node, c);
}

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
    .needs = needs,
};

const struct kap_node_type kap_node_trickle = {
    .name = "trickle",
    .kind = "trickle",
    .doc = "Turns batches into a stream of their points.",
    .signature = "()",
    .wants = KAP_EDGE_BATCH,
    .provides = KAP_EDGE_STREAM,
    .run = &run,
};
