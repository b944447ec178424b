/* A test rig: one graph on a private shard, without threads, fed by its caller, on a clock that its caller
 * moves. For unit tests of nodes, for replays and for `kapacitor test`.
 *
 *     struct kap_rig *rig;
 *     must(kap_rig_new(graph, &(struct kap_rig_options){ 0 }, &rig, &err));
 *     kap_rig_collect(rig, "window1", out);               // text of what window1 emits, into a kap_buf
 *     must(kap_rig_write(rig, "db", "rp", "cpu,host=a v=1 1\n", &err));
 *     kap_rig_advance(rig, 10 * KAP_S);
 *     kap_rig_finish(rig);
 *
 * Ownership: the rig references the graph; services are borrowed (NULL: services that do nothing; where their
 * clock is NULL or services are NULL it is the rig's). Threads: one at a time. */
#ifndef KAP_ENGINE_RIG_H
#define KAP_ENGINE_RIG_H

#include "data/block.h"
#include "engine/capture.h"
#include "engine/stats.h"
#include "nodes/services.h"

struct kap_rig;

/* Services that do nothing: no topic, no network. Its clock is NULL: copy and set one. */
extern const struct kap_services kap_services_none;

struct kap_rig_options {
    struct kap_str task;                  /* ID; "": "test" */
    struct kap_str run;                   /* of its events; borrowed while the rig lives */
    const struct kap_services *services;
    int64_t now_ns;                       /* where the rig's clock starts */
};

enum kap_status kap_rig_new(struct kap_graph *g, const struct kap_rig_options *opts, struct kap_rig **ret,
                            struct kap_error *err);
void kap_rig_free(struct kap_rig *rig);   /* closes all; NULL is fine */
/* For nodes without a script: a graph of one root ("stream" or "batch", given by `edge`) that passes all on,
 * and below it one node of `type`, whose zeroed and init()ed config `setup` fills. The node is called KIND1.
 */
enum kap_status kap_rig_new_node(const struct kap_node_type *type, enum kap_edge edge,
                                 void (*setup)(void *config, struct kap_graph_node *node, void *ctx),
                                 void *ctx, const struct kap_rig_options *opts, struct kap_rig **ret,
                                 struct kap_error *err);

struct kap_node *kap_rig_node(struct kap_rig *rig, const char *name);
struct kap_groups *kap_rig_groups(struct kap_rig *rig);

/* Points enter at the root; `lines` is line protocol, times in nanoseconds. All or nothing. */
enum kap_status kap_rig_write(struct kap_rig *rig, const char *db, const char *rp, const char *lines,
                              struct kap_error *err);
/* A point enters at a node ("" or NULL: the root). Without a group it is in the group "nil", unless it enters
 * at a root, from where from() finds its group. */
void kap_rig_point(struct kap_rig *rig, const char *node, const struct kap_point *p);
void kap_rig_batch(struct kap_rig *rig, const char *node, const struct kap_batch *b);
/* A batch that has no group yet: it gets that of its tags. */
void kap_rig_block(struct kap_rig *rig, const char *node, const struct kap_block *b);
/* A batch in text: its points as lines of line protocol, all of one group by the tags named in `dims` ("" :
 * none; "host,dc"); its time is `time_ns`. */
enum kap_status kap_rig_write_batch(struct kap_rig *rig, const char *node, const char *name, int64_t time_ns,
                                    const char *dims, const char *lines, struct kap_error *err);
void kap_rig_barrier(struct kap_rig *rig, const char *node, const struct kap_barrier *b);
void kap_rig_delete_group(struct kap_rig *rig, const char *node, struct kap_group *g);
void kap_rig_finish(struct kap_rig *rig); /* the input has ended */

int64_t kap_rig_now(const struct kap_rig *rig);
/* Moves the clock on to the time and fires what is due on the way, each at its time. */
void kap_rig_advance(struct kap_rig *rig, int64_t to_ns);

/* What a node emits: to callbacks (borrowed, one capture for each node; `capture` is copied)... */
void kap_rig_capture(struct kap_rig *rig, const char *node, const struct kap_capture *capture);
/* ...or as text, one line for each message, appended to `out`:
 *     point NAME GROUP-ID {tag=v,..} {field=v,..} TIME-NS       fields sorted by name, ints with i, strings
 * quoted begin NAME GROUP-ID TIME-NS / "  point .." / end barrier GROUP-ID TIME-NS / delete GROUP-ID */
void kap_rig_collect(struct kap_rig *rig, const char *node, struct kap_buf *out);

/* True when a node ended the task by kap_node_fail(); the text in err. */
bool kap_rig_failed(const struct kap_rig *rig, struct kap_error *err);
void kap_rig_stats(const struct kap_rig *rig, struct kap_task_stats *ret); /* owned: kap_task_stats_done() */
/* State of all nodes, and its way back into a rig of the same graph. */
void kap_rig_save(struct kap_rig *rig, struct kap_buf *out);
enum kap_status kap_rig_load(struct kap_rig *rig, struct kap_str data, struct kap_error *err);

#endif
