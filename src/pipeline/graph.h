/* The graph that a script describes: nodes, edges, properties. Read-only once built and checked; a running
 * task keeps a reference. Ownership: shared, counted; the graph's arena owns nodes, configs, expressions.
 * Threads: built by one, then read by all. */
#ifndef KAP_PIPELINE_GRAPH_H
#define KAP_PIPELINE_GRAPH_H

#include "pipeline/descriptor.h"

struct kap_buf;
struct kap_handler_type; /* pipeline/handler.h */
struct kap_graph_owned;

enum kap_task_type { KAP_TASK_STREAM, KAP_TASK_BATCH, KAP_TASK_INVALID };

/* What scripts may use. Lists end with NULL; handlers may be NULL. */
struct kap_registry {
    const struct kap_node_type *const *nodes;
    const struct kap_handler_type *const *handlers;
    /* @name(): a UDF's type, valid until the process ends; NULL: no such UDF. The function may be NULL. */
    const struct kap_node_type *(*udf)(void *ctx, struct kap_str name);
    void *ctx;
};

struct kap_graph_handler {          /* an inline handler of an alert node */
    const struct kap_handler_type *type;
    void *options;                  /* type->options_size bytes, in the graph's arena */
};

struct kap_graph_node {
    const struct kap_node_type *type;
    struct kap_graph *graph;
    int id; /* running number of links in script order: a node with n parents takes n */
    size_t index;                    /* in graph->nodes */
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

struct kap_deadman {                 /* the [deadman] section of the configuration */
    int64_t interval_ns;
    double threshold;
    struct kap_str id, message;      /* with NODE_NAME and INTERVAL to be replaced */
    bool global;                     /* every task gets a deadman at its source */
};

struct kap_graph {
    enum kap_task_type type;
    struct kap_graph_node **nodes;   /* in the order they were made; ids have gaps (see above) */
    size_t n;
    int next_id;
    const struct kap_registry *registry;
    struct kap_deadman deadman;      /* defaults that deadman() uses */
    struct kap_dbrp *dbrps;          /* of dbrp statements */
    size_t ndbrps;
    struct kap_arena *arena;
    struct kap_graph_owned *owned;   /* see kap_graph_own() */
    uint32_t refs;                   /* use the functions */
};

struct kap_graph *kap_graph_new(enum kap_task_type type);
struct kap_graph *kap_graph_ref(struct kap_graph *g);
void kap_graph_unref(struct kap_graph *g); /* NULL is fine */
/* Keeps `p` until the graph goes: free_fn(p) is called then. */
void kap_graph_own(struct kap_graph *g, void *p, void (*free_fn)(void *p));
/* Adds a node below `parent` (NULL: a root), config zeroed and init()ed; checks edge types. */
enum kap_status kap_graph_add(struct kap_graph *g, struct kap_graph_node *parent,
                              const struct kap_node_type *type, struct kap_graph_node **ret,
                              struct kap_error *err);
/* Makes `parent` one more parent of `child`, which gets a new id and name by it (as in the reference). */
enum kap_status kap_graph_link(struct kap_graph_node *parent, struct kap_graph_node *child,
                               struct kap_error *err);
/* Adds an inline handler to an alert node, options zeroed and init()ed. */
struct kap_graph_handler *kap_graph_add_handler(struct kap_graph_node *node,
                                                const struct kap_handler_type *type);
/* Runs every node's check(), parents before children. */
enum kap_status kap_graph_check(const struct kap_graph *g, struct kap_error *err);
/* The nodes, parents before children, in the order in which the reference lists them (DOT, statistics).
 * Owned array of g->n borrowed nodes. */
const struct kap_graph_node **kap_graph_sorted(const struct kap_graph *g) __attribute__((malloc));
/* The type of a kind in the registry, e.g. "noop" for composite methods; NULL: none. */
const struct kap_node_type *kap_registry_kind(const struct kap_registry *r, const char *kind);
/* How messages name a node's type: "*pipeline.FromNode". */
void kap_graph_shown(struct kap_buf *b, const struct kap_node_type *type);

#endif
