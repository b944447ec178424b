/* The graph that a script describes: nodes, edges, properties. Read-only once built and checked; a running task keeps
 * a reference. Ownership: shared, counted; the graph's arena owns nodes, configs, expressions.
 * Threads: built by one, then read by all. */
#ifndef KAP_PIPELINE_GRAPH_H
#define KAP_PIPELINE_GRAPH_H

#include "pipeline/descriptor.h"

struct kap_handler_type; /* alert/handler.h */

enum kap_task_type { KAP_TASK_STREAM, KAP_TASK_BATCH, KAP_TASK_INVALID };

struct kap_graph_handler {          /* an inline handler of an alert node */
    const struct kap_handler_type *type;
    void *options;                  /* type->options_size bytes, in the graph's arena */
};

struct kap_graph_node {
    const struct kap_node_type *type;
    struct kap_graph *graph;
    int id;                          /* running number in script order */
    const char *name;                /* kind + id: "window2" */
    void *config;
    bool quiet;                      /* .quiet() */
    enum kap_edge edge;              /* what it provides here: STREAM, BATCH or NONE */
    struct kap_graph_node **parents; /* in order of linking */
    size_t nparents;
    struct kap_graph_node **children;
    size_t nchildren;
    struct kap_graph_handler *handlers;
    size_t nhandlers;
};

struct kap_dbrp { struct kap_str db, rp; };

struct kap_graph {
    enum kap_task_type type;
    struct kap_graph_node **nodes;   /* by id */
    size_t n;
    struct kap_dbrp *dbrps;          /* of dbrp statements */
    size_t ndbrps;
    struct kap_arena *arena;
    uint32_t refs;                   /* use the functions */
};

/* What scripts may use. Lists end with NULL. `udf` names of the configuration are looked up by the daemon. */
struct kap_registry {
    const struct kap_node_type *const *nodes;
    const struct kap_handler_type *const *handlers;
};

struct kap_graph *kap_graph_new(enum kap_task_type type);
struct kap_graph *kap_graph_ref(struct kap_graph *g);
void kap_graph_unref(struct kap_graph *g); /* NULL is fine */
/* Adds a node below `parent` (NULL: a root), config zeroed and init()ed; checks edge types. */
enum kap_status kap_graph_add(struct kap_graph *g, struct kap_graph_node *parent, const struct kap_node_type *type,
                              struct kap_graph_node **ret, struct kap_error *err);
enum kap_status kap_graph_link(struct kap_graph_node *parent, struct kap_graph_node *child, struct kap_error *err);
/* Runs every node's check(). */
enum kap_status kap_graph_check(const struct kap_graph *g, struct kap_error *err);

#endif
