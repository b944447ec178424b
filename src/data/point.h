/* Points and batch headers, as they travel between nodes.
 * Ownership: everything in a message is borrowed until the call that delivers it returns. A node that keeps a
 * point copies it (kap_point_copy, or columns of its own). Fields keep the order of the input; output that
 * shows fields sorts them by name. Field keys are unique within a point. Threads: the shard's worker. */
#ifndef KAP_DATA_POINT_H
#define KAP_DATA_POINT_H

#include "base/arena.h"
#include "data/group.h"
#include "data/value.h"

struct kap_field {
    const struct kap_sym *key;
    struct kap_value v;
};

struct kap_point {
    int64_t time_ns;                /* the data's time */
    const struct kap_sym *db, *rp;  /* empty symbol inside batches */
    const struct kap_sym *name;     /* measurement */
    const struct kap_tags *tags;    /* all tags of the point */
    struct kap_group *group;
    uint32_t nfields;
    bool decided;                   /* on the way in only: see kap_node_run.route */
    const struct kap_field *fields;
};

struct kap_batch_begin {
    int64_t time_ns;              /* tmax: the batch's time */
    const struct kap_sym *name;
    struct kap_group *group;      /* group->tags are the batch's tags */
    uint32_t size_hint;           /* number of points to come if known, else 0 */
};

const struct kap_value *kap_point_field(const struct kap_point *p,
                                        const struct kap_sym *key); /* NULL: none */
/* A deep copy in one allocation (strings too); tags and group are referenced. Owned; free with
 * kap_point_free. */
struct kap_point *kap_point_copy(const struct kap_point *p);
void kap_point_free(struct kap_groups *gs, struct kap_point *p);
size_t kap_point_bytes(const struct kap_point *p);

/* A whole batch collected, for nodes that need all of it. */
struct kap_batch {
    struct kap_batch_begin begin;
    struct kap_point **points;  /* each by kap_point_copy */
    size_t n, cap;
};
void kap_batch_add(struct kap_batch *b, const struct kap_point *p);  /* copies */
void kap_batch_clear(struct kap_groups *gs, struct kap_batch *b);

#endif
