/* The graph as Graphviz DOT and as JSON. Byte for byte the reference's DOT text. Threads: reads the graph
 * only. */
#ifndef KAP_PIPELINE_DOT_H
#define KAP_PIPELINE_DOT_H

#include "base/json.h"
#include "pipeline/graph.h"

/* digraph NAME {stream0 -> from1; ..} */
void kap_graph_dot(const struct kap_graph *g, struct kap_str name, struct kap_buf *out);

/* Statistics of a running task. */
struct kap_dot_stats {
    void *ctx;
    double throughput; /* points (stream) or batches (batch) per second at the source */
    /* Calls each() for every counter of the node, in order of name, values as shown ("3", "12.5µs"). */
    void (*node)(void *ctx, const struct kap_graph_node *n,
                 void (*each)(void *to, const char *name, const char *value), void *to);
    /* Points or batches that went from `from` to its child number `child`. */
    int64_t (*edge)(void *ctx, const struct kap_graph_node *from, size_t child);
};

/* With counters: as attributes, or as labels for display (`labels`). */
void kap_graph_dot_running(const struct kap_graph *g, struct kap_str name, const struct kap_dot_stats *stats,
                           bool labels, struct kap_buf *out);

/* {"nodes":[{"id","type","name","properties":{..}}],"edges":[{"parent","child"}]}; secrets are left out. */
void kap_graph_json(const struct kap_graph *g, struct kap_json *j);

#endif
