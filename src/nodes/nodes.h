/* All node kinds. One file each; adding one touches this list only. */
#ifndef KAP_NODES_NODES_H
#define KAP_NODES_NODES_H

#include "nodes/node.h"

/* Ends with NULL. */
extern const struct kap_node_type *const kap_node_types[];

extern const struct kap_node_type kap_node_alert;
extern const struct kap_node_type kap_node_stream, kap_node_batch, kap_node_from, kap_node_query, kap_node_http_post,
    kap_node_sideload;
extern const struct kap_node_type kap_node_where, kap_node_eval, kap_node_window, kap_node_log, kap_node_http_out,
    kap_node_group_by;
extern const struct kap_node_type kap_node_count_field, kap_node_sum, kap_node_mean, kap_node_median,
    kap_node_mode, kap_node_spread, kap_node_stddev, kap_node_min, kap_node_max, kap_node_first,
    kap_node_last, kap_node_percentile, kap_node_top, kap_node_bottom, kap_node_distinct, kap_node_elapsed,
    kap_node_difference, kap_node_moving_average, kap_node_cumulative_sum, kap_node_holt_winters,
    kap_node_holt_winters_with_fit;
extern const struct kap_node_type kap_node_shift, kap_node_sample, kap_node_derivative,
    kap_node_change_detect, kap_node_state_duration, kap_node_state_count, kap_node_default,
    kap_node_delete, kap_node_trickle, kap_node_union, kap_node_join, kap_node_flatten;
extern const struct kap_node_type kap_node_combine, kap_node_barrier, kap_node_stats, kap_node_deadman,
    kap_node_kapacitor_loopback, kap_node_influxdb_out;
/* Made by stats and deadman only: takes the place of a child where a node has none. */
extern const struct kap_node_type kap_node_noop;

#endif
