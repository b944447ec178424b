/* Messages that a node with several parents holds back: points, whole batches, barriers.
 * Ownership: a message owns its copies and is charged to its node. Threads: the shard's worker. */
#ifndef KAP_NODES_MULTI_H
#define KAP_NODES_MULTI_H

#include "nodes/node.h"
#include "nodes/snapshot.h"

struct kap_message {
    enum { KAP_MESSAGE_NONE, KAP_MESSAGE_POINT, KAP_MESSAGE_BATCH, KAP_MESSAGE_BARRIER } kind;
    struct kap_point *point;
    struct kap_batch *batch;     /* holds a reference to its group */
    struct kap_barrier barrier;  /* as well */
    size_t bytes;
};

struct kap_message kap_message_point(struct kap_node *n, const struct kap_point *p);  /* copies */
struct kap_message kap_message_batch(struct kap_node *n, struct kap_batch *b);        /* takes the points */
struct kap_message kap_message_barrier(struct kap_node *n, const struct kap_barrier *b);
void kap_message_done(struct kap_node *n, struct kap_message *m);

int64_t kap_message_time(const struct kap_message *m);
const struct kap_sym *kap_message_name(const struct kap_message *m);
struct kap_group *kap_message_group(const struct kap_message *m);
/* `rename`: the measurement instead of its own; NULL: its own. */
void kap_message_emit(struct kap_node *n, const struct kap_message *m, const struct kap_sym *rename);

void kap_snap_message(struct kap_snap *w, const struct kap_message *m);
bool kap_snap_get_message(struct kap_snap *r, struct kap_node *n, struct kap_message *m); /* false when bad */

/* Links the nodes that a method was given as further parents. */
enum kap_status kap_link_nodes(struct kap_graph_node *node, const struct kap_arg *args, size_t nargs,
                               struct kap_error *err);

#endif
