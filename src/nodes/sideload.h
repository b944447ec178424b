/* sideload: values from files or from a URL that are added to points. */
#ifndef KAP_NODES_SIDELOAD_H
#define KAP_NODES_SIDELOAD_H

#include "nodes/node.h"

extern const struct kap_node_type kap_node_sideload;

/* All sideload nodes read their sources again before their next point (POST /sideload/reload). Threads: all. */
void kap_sideload_reload(void);

#endif
