/* The run time of one graph: a shard, the nodes in it and the edges between them. Private to the engine room;
 * node files see it through nodes/node.h.
 *
 * A node pushes a message to its children by calling them (run to completion): there is no queue inside a
 * shard. Ownership: a shard owns its nodes, their states and its groups; it holds a reference to the graph.
 * Threads: one at a time, except for counters, which are written by that one and may be read by all. */
#ifndef KAP_ENGINE_RUN_H
#define KAP_ENGINE_RUN_H

#include "base/heap.h"
#include <stdatomic.h>
#include "base/map.h"
#include "data/block.h"
#include "engine/capture.h"
#include "engine/stats.h"
#include "nodes/node.h"
#include "nodes/services.h"

/* A counter with one writer. */
typedef _Atomic int64_t kap_counter;
static inline void kap_counter_add(kap_counter *c, int64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline int64_t kap_counter_get(const kap_counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

struct kap_out {           /* one edge */
    struct kap_node *to;
    int in;                /* index of this parent at `to` */
    kap_counter count;     /* points, or whole batches */
};

struct kap_group_state {
    struct kap_group *group;
    uint32_t order;        /* place in kap_node.order */
    _Alignas(16) char data[];
};

struct kap_timer {
    struct kap_node *node;
    uint64_t id;
    int64_t at_ns;
    uint64_t seq;          /* equal times fire in the order they were set */
    size_t place;
};

struct kap_watch;          /* watch.c */

/* What every message touches stands first. */
struct kap_node {
    const struct kap_node_run *run;
    struct kap_shard *shard;
    void *state;
    struct kap_out *out;
    uint32_t nout, nby_index;
    struct kap_group_state **by_index;    /* groups with state, by index of the group */
    const struct kap_capture *capture;
    struct kap_watch *watch;              /* counts by group for stats nodes; NULL: nobody asks */
    bool grouped, opened;
    kap_counter collected;                /* what entered at this node, not over an edge */
    struct kap_group_state **order;       /* groups in order of appearance, with holes */
    uint32_t norder, cap_order, holes;
    const struct kap_graph_node *gn;
    size_t finished;                      /* parents that are done */
    struct kap_map *timers;
    int64_t error_window_ns;              /* log lines about errors are limited per second */
    int errors_logged;
    kap_counter errors, cardinality, bytes, avg_exec_ns, cpu_ns;
    size_t ncounters;
    kap_counter *counters;
};

struct kap_shard {
    uint32_t entered;                     /* messages, to sample times */
    bool timing;
    _Atomic bool failed;                  /* a node has ended the task: see failure */
    int64_t child_ns;
    struct kap_arena *scratch;
    struct kap_groups *groups;
    const struct kap_services *services;
    struct kap_node *nodes;               /* in the order of the graph */
    size_t n;
    struct kap_graph *graph;
    struct kap_str task;
    struct kap_str run; /* enable revision or replay; set by whoever made the shard; borrowed */
    struct kap_heap timers;
    uint64_t timer_seq;
    void (*timers_moved)(struct kap_shard *s, void *ctx); /* the earliest timer changed */
    void *timers_ctx;
    struct kap_error failure;             /* the first of kap_node_fail() */
};

/* Makes the nodes of a graph and opens them, parents first. On failure nothing is left open. */
enum kap_status kap_shard_new(struct kap_graph *g, struct kap_str task, const struct kap_services *services,
                              struct kap_shard **ret, struct kap_error *err);
/* Closes all groups and nodes, children first. NULL is fine. */
void kap_shard_free(struct kap_shard *s);
struct kap_node *kap_shard_node(struct kap_shard *s, const char *name); /* NULL: none of that name */

/* State of a group, NULL when there is none yet; closes and forgets it. */
void *kap_node_find_state(const struct kap_node *n, const struct kap_group *g);
void kap_node_forget_group(struct kap_node *n, struct kap_group *g);

/* One message enters; the scratch arena is reset when it has been worked off. */
void kap_shard_point(struct kap_shard *s, struct kap_node *to, const struct kap_point *p);
void kap_shard_batch(struct kap_shard *s, struct kap_node *to, const struct kap_batch *b);
/* A batch without a group: it gets that of its tags, and of its name when it asks for it. */
void kap_shard_block(struct kap_shard *s, struct kap_node *to, const struct kap_block *b);
void kap_shard_barrier(struct kap_shard *s, struct kap_node *to, const struct kap_barrier *b);
void kap_shard_delete_group(struct kap_shard *s, struct kap_node *to, struct kap_group *g);
void kap_shard_finish(struct kap_shard *s);

/* Timers that are due; returns the time of the next one, 0: none. */
int64_t kap_shard_fire(struct kap_shard *s, int64_t now_ns);
int64_t kap_shard_next_timer(const struct kap_shard *s);

/* Statistics, from any thread while the shard lives. Owned: kap_task_stats_done(). */
void kap_shard_stats(const struct kap_shard *s, struct kap_task_stats *ret);

/* A snapshot of all nodes' state, and its way back into a fresh shard of the same graph. */
void kap_shard_save(struct kap_shard *s, struct kap_buf *out);
enum kap_status kap_shard_load(struct kap_shard *s, struct kap_str data, struct kap_error *err);

/* A stats node watches `n`: what it emits is counted by group. */
void kap_watch_count(struct kap_node *n, struct kap_group *g, int64_t points);
void kap_watch_forget(struct kap_node *n, struct kap_group *g);
void kap_watch_free(struct kap_node *n);

#endif
