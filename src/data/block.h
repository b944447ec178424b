/* A batch that belongs to no task yet: what a query answers for one series, or one record of a .brpl file.
 * Its group is made by the shard that takes it (engine/rig.h, engine/engine.h), by the names of its tags.
 * Ownership: owned by its maker; points, fields and strings live in its arena. Threads: one at a time. */
#ifndef KAP_DATA_BLOCK_H
#define KAP_DATA_BLOCK_H

#include "data/point.h"

struct kap_block {
    const struct kap_sym *name;
    const struct kap_tags *tags; /* referenced */
    bool by_name;                /* the measurement is a part of the group */
    bool has_time;               /* false: time_ns is not known */
    int64_t time_ns;             /* of the batch */
    struct kap_point *points;    /* group NULL */
    size_t n, cap;
    struct kap_arena *arena;
};

struct kap_block *kap_block_new(const struct kap_sym *name, const struct kap_tags *tags, bool by_name);
void kap_block_free(struct kap_block *b); /* NULL is fine */
/* A copy of fields and strings; tags NULL: the block's, else referenced. Nulls are left out. */
void kap_block_add(struct kap_block *b, int64_t time_ns, const struct kap_tags *tags,
                   const struct kap_field *fields, size_t nfields);

#endif
