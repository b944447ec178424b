#include "nodes/columns.h"
#include "nodes/nodes.h"

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
}

static const struct kap_node_run run = { .needs = needs };

const struct kap_node_type kap_node_noop = {
    .kind = "noop",
    .shown = "NoOpNode",
    .doc = "Does nothing. Added below a node without children whose statistics are asked for.",
    .signature = "()",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .run = &run,
};
