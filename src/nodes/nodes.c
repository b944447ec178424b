#include "nodes/nodes.h"

const struct kap_node_type *const kap_node_types[] = {
    &kap_node_stream,
    &kap_node_batch,
    &kap_node_from,
    &kap_node_where,
    &kap_node_eval,
    &kap_node_window,
    &kap_node_group_by,
    &kap_node_http_out,
    &kap_node_log,
    NULL,
};
