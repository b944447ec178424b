/* from(): what a task selects from the stream of points; read by the engine's router. */
#ifndef KAP_NODES_FROM_H
#define KAP_NODES_FROM_H

#include "nodes/util.h"

struct kap_from {
    struct kap_str database, retention_policy, measurement; /* empty: any */
    const struct kap_expr *where;                           /* NULL: none; repeated calls are joined with AND */
    struct kap_group_by group_by;
    int64_t truncate_ns, round_ns;                          /* truncate comes first */
};

extern const struct kap_node_type kap_node_stream, kap_node_from;

#endif
