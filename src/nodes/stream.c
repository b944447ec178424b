#include "nodes/from.h"

static const struct kap_node_run run = { 0 };

const struct kap_node_type kap_node_stream = {
    .name = "stream",
    .kind = "stream",
    .doc = "The root of a stream task: all points of the databases and retention policies that the task is bound to.",
    .signature = "()",
    .wants = KAP_EDGE_NONE,
    .provides = KAP_EDGE_STREAM,
    .run = &run,
};
