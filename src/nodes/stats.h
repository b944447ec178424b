/* stats: a source of its own that tells how many points another node has emitted.
 * Counts begin with the task's start. Groups that were there before a restart are told of with a count of 0. */
#ifndef KAP_NODES_STATS_H
#define KAP_NODES_STATS_H

#include "pipeline/graph.h"

/* Adds a stats source about `node` to the graph, and a noop below the node when it has no children. */
enum kap_status kap_stats_add(struct kap_graph_node *node, int64_t interval_ns, bool align,
                              struct kap_graph_node **ret, struct kap_error *err);

/* The interval of a stats node; 0: it is another kind. */
int64_t kap_stats_interval(const struct kap_graph_node *node);

#endif
