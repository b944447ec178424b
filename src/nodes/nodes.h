/* All node kinds. One file each; adding one touches this list only. */
#ifndef KAP_NODES_NODES_H
#define KAP_NODES_NODES_H

#include "nodes/node.h"

/* Ends with NULL. */
extern const struct kap_node_type *const kap_node_types[];

extern const struct kap_node_type kap_node_stream, kap_node_batch, kap_node_from, kap_node_query;
extern const struct kap_node_type kap_node_where, kap_node_eval, kap_node_window, kap_node_log, kap_node_http_out,
    kap_node_group_by;
/* Made by stats and deadman only: takes the place of a child where a node has none. */
extern const struct kap_node_type kap_node_noop;

#endif
