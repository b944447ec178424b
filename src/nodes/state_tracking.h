/* stateDuration and stateCount: a field that tells how long a condition has held, -1 while it does not. */
#ifndef KAP_NODES_STATE_TRACKING_H
#define KAP_NODES_STATE_TRACKING_H

#include "nodes/util.h"

struct kap_tracking_config {
    const struct kap_expr *expression;
    struct kap_str as;
    int64_t unit_ns;    /* stateDuration */
    bool counts_points; /* stateCount */
};

extern const struct kap_node_run kap_tracking_run;
enum kap_status kap_tracking_args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                                  const struct kap_arg *args, size_t nargs, struct kap_error *err);

#endif
