#include "nodes/nodes.h"

static const struct kap_node_run run = { 0 };

const struct kap_node_type kap_node_batch = {
    .name = "batch",
    .kind = "batch",
    .doc = "The root of a batch task: its query children fetch data from InfluxDB on a schedule.",
    .signature = "()",
    .wants = KAP_EDGE_NONE,
    .provides = KAP_EDGE_BATCH,
    .run = &run,
};
