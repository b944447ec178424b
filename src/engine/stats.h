/* Statistics of a running task, as the API shows them: task-stats {throughput}, node-stats per node, and the
 * counts at the edges, for pipeline/dot.h. Plain data. Ownership: arrays belong to the struct
 * (kap_task_stats_done()); names are borrowed from the task's graph, so keep a reference on it while they are
 * read. */
#ifndef KAP_ENGINE_STATS_H
#define KAP_ENGINE_STATS_H

#include "base/json.h"
#include "pipeline/graph.h"

struct kap_edge_stats {
    const struct kap_graph_node *to;
    int64_t processed;               /* points, or whole batches */
};

struct kap_node_stats {
    const struct kap_graph_node *node;
    int64_t avg_exec_time_ns, collected, emitted, errors, working_cardinality;
    int64_t bytes;                   /* memory charged to the node */
    int64_t cpu_ns;                  /* processor time, estimated by sampling */
    const char *const *counter_names; /* the node's own, ncounters; sorted as the node lists them */
    int64_t *counters;
    size_t ncounters;
    struct kap_edge_stats *edges;    /* to its children, in order */
    size_t nedges;
};

struct kap_task_stats {
    double throughput;               /* messages per second over the last whole second */
    int64_t bytes, cpu_ns;           /* sums over the nodes */
    struct kap_node_stats *nodes;    /* in the order of the graph */
    size_t n;
};

void kap_task_stats_done(struct kap_task_stats *st);
/* {"task-stats":{"throughput":0},"node-stats":{"from1":{"avg_exec_time_ns":..,...},..}}: keys in byte order.
 */
void kap_task_stats_json(const struct kap_task_stats *st, struct kap_json *j);
#endif
