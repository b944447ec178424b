/* The run time of nodes: what a node file implements (struct kap_node_run) and what it may call (kap_emit_*, ...).
 *
 * A running task is one or more shards; a shard has one kap_node for each node of the graph. All calls into a node come
 * from the worker that runs the shard, one at a time: no locks, no queues between nodes, a node pushes to its children by
 * calling kap_emit_*. Messages are borrowed for the call.
 *
 * Group state: `run->group_size` bytes, zeroed, made at the group's first message, then group_open(); group_close() when
 * the group is deleted or the task stops. Nodes with several parents get `in`, the index of the parent (0..).
 *
 * Nothing may depend on thread timing, hash order, the wall clock (kap_node_now() is injected) or the system's random
 * numbers: the same input gives the same output on every member, byte for byte. */
#ifndef KAP_NODES_NODE_H
#define KAP_NODES_NODE_H

#include "base/clock.h"
#include "data/point.h"
#include "pipeline/graph.h"

struct kap_node;
struct kap_columns;  /* nodes/columns.h */
struct kap_services; /* nodes/services.h */

struct kap_barrier {
    int64_t time_ns;          /* no later message of the group is older */
    struct kap_group *group;
};

/* What a source asks for, as far as an index can use it. NULL: any. A point whose tag `tag` is there and differs from
 * `tag_value` is never wanted. */
struct kap_route_key {
    const struct kap_sym *db, *rp, *name;
    const struct kap_sym *tag;
    struct kap_str tag_value;          /* borrowed from the node until it closes */
};

enum kap_wanted {
    KAP_UNWANTED,
    KAP_MAYBE_WANTED, /* it depends on the point */
    KAP_WANTED,       /* all points of the series */
};

struct kap_node_run {
    size_t state_size;                                            /* node-wide state, zeroed */
    size_t group_size;                                            /* state per group, zeroed; 0: none (gs is NULL) */
    enum kap_status (*open)(struct kap_node *n, void *state, struct kap_error *err);   /* task start; compile lambdas here */
    void (*close)(struct kap_node *n, void *state);               /* task stop; groups are closed before */
    void (*group_open)(struct kap_node *n, void *state, void *gs, struct kap_group *g);
    void (*group_close)(struct kap_node *n, void *state, void *gs, struct kap_group *g);

    /* NULL members pass the message on to the children (for points and batches too). `gs` is NULL for a node without
     * group_size, group_open and group_close; such a node shows a working_cardinality of 0. */
    void (*point)(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in);
    void (*begin)(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in);
    void (*batch_point)(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in);
    void (*end)(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in);
    void (*barrier)(struct kap_node *n, void *state, void *gs, const struct kap_barrier *b, int in);
    /* After it returns the run time closes and forgets the group's state here. NULL: just passed on. */
    void (*delete_group)(struct kap_node *n, void *state, void *gs, struct kap_group *g, int in);
    /* A finite stream (replay) has ended on parent `in`: emit what is held back. The run time passes it on when all
     * parents are done. */
    void (*finish)(struct kap_node *n, void *state, int in);
    void (*timer)(struct kap_node *n, void *state, uint64_t id, int64_t now_ns);

    /* Snapshot and restore; NULL: the node has no state worth keeping. One blob per group, in a versioned encoding;
     * and one for the node-wide state (g and gs NULL). */
    void (*save)(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_buf *out);
    enum kap_status (*load)(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_str data,
                            struct kap_error *err);
    /* Sources below the stream root (from). The engine keeps an index of what each of them wants, decided once per
     * series; it saves calls and group look-ups, `point` must check again what was not decided.
     * route_key fills what the index may go by (ret is zeroed: everything is wanted). route tells whether points of
     * this series are wanted and, when it can be said, the group they fall into (*group, a reference; left NULL:
     * `point` finds it). Points then arrive with p->group set, otherwise NULL, and with p->decided set when the answer
     * was KAP_WANTED. Both may be NULL. */
    void (*route_key)(struct kap_node *n, void *state, struct kap_route_key *ret);
    enum kap_wanted (*route)(struct kap_node *n, void *state, const struct kap_point *series, struct kap_group **group);

    /* Adds to `c` what this node and those below read of its input (see nodes/columns.h); NULL: everything. */
    void (*needs)(const struct kap_graph_node *node, struct kap_columns *c);
    /* Extra counters shown in node-stats; ends with NULL name; values are counted with kap_node_count(). */
    const char *const *counters;
};

/* What a node knows. */
const void *kap_node_config(const struct kap_node *n);
const struct kap_graph_node *kap_node_graph(const struct kap_node *n);
const char *kap_node_name(const struct kap_node *n);     /* "window2" */
struct kap_str kap_node_task(const struct kap_node *n);  /* task ID */
struct kap_str kap_node_task_run(const struct kap_node *n); /* enable revision or replay; identity of its events */
const struct kap_services *kap_node_services(const struct kap_node *n);
struct kap_groups *kap_node_groups(const struct kap_node *n);
int64_t kap_node_now(const struct kap_node *n);          /* wall clock, ns */
/* Reset when the message that entered the shard has been worked off: for results of one call. */
struct kap_arena *kap_node_scratch(struct kap_node *n);

/* Emitting to all children. Fields and tags may be the caller's own or borrowed from the input. */
void kap_emit_point(struct kap_node *n, const struct kap_point *p);
void kap_emit_begin(struct kap_node *n, const struct kap_batch_begin *b);
void kap_emit_batch_point(struct kap_node *n, const struct kap_point *p);
void kap_emit_end(struct kap_node *n, const struct kap_batch_begin *b);
void kap_emit_barrier(struct kap_node *n, const struct kap_barrier *b);
void kap_emit_delete_group(struct kap_node *n, struct kap_group *g);
void kap_emit_batch(struct kap_node *n, const struct kap_batch *b); /* begin, points, end */

/* State of a group at this node; made when missing. */
void *kap_node_group_state(struct kap_node *n, struct kap_group *g);
/* All groups with state here, in order of first appearance: uint32_t i = 0; while (kap_node_next_group(...)). */
bool kap_node_next_group(struct kap_node *n, uint32_t *i, struct kap_group **g, void **gs);

/* Closes and gives back the group's state at this node; kap_emit_delete_group() tells those below. */
void kap_node_forget_group(struct kap_node *n, struct kap_group *g);
/* What another node of the task emitted, by group: points, in batches too; for the stats node. kap_node_watch() in
 * open() starts the counting; then uint32_t i = 0; while (kap_node_next_emitted(...)): order of first appearance. */
void kap_node_watch(struct kap_node *n, const struct kap_graph_node *source);
bool kap_node_next_emitted(struct kap_node *n, const struct kap_graph_node *source, uint32_t *i, struct kap_group **g,
                           int64_t *points);

/* A run-time error: counted, logged with task, node, group (rate-limited, not when quiet); never stops other groups. */
void kap_node_error(struct kap_node *n, const struct kap_group *g, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A failure that ends the task: it stops executing once the present message is worked off, and shows this text as its
 * error, with the node's name in front. */
void kap_node_fail(struct kap_node *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void kap_node_count(struct kap_node *n, size_t counter, int64_t add); /* index into run->counters */
/* Retained memory, charged to the node from the first byte (negative: given back). */
void kap_node_charge(struct kap_node *n, int64_t bytes);
/* timer(id) at wall time at_ns on the shard's worker; setting an id again replaces it; at_ns 0 cancels. */
void kap_node_set_timer(struct kap_node *n, uint64_t id, int64_t at_ns);

#endif
