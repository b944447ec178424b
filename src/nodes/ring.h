/* A queue of points in columns: times, and one array for each field that is kept, in chunks of a fixed number of
 * points, so that a long queue wastes no more than two partly filled chunks. 16 bytes a point for one number, plus
 * the chunk's headers; tags cost nothing while a whole chunk shares one tag set.
 * A field that changes its type gets another column; strings lie in the chunk's own text.
 * Ownership: the ring owns copies of what it keeps; tag sets are referenced. Threads: one at a time. */
#ifndef KAP_NODES_RING_H
#define KAP_NODES_RING_H

#include "nodes/columns.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct kap_ring_chunk;

struct kap_ring {
    struct kap_ring_chunk *first, *last;
    uint32_t skip;   /* points of the first chunk that are gone */
    size_t n;        /* points in the ring */
    size_t bytes;    /* memory held, for accounting */
};

void kap_ring_push(struct kap_ring *r, const struct kap_point *p, const struct kap_columns *keep);
int64_t kap_ring_first_time(const struct kap_ring *r); /* not when empty */
int64_t kap_ring_last_time(const struct kap_ring *r);
void kap_ring_pop(struct kap_ring *r, size_t n);
void kap_ring_done(struct kap_ring *r);

/* Walks the points, oldest first: `fields` is filled, *p borrows it and the ring until the ring changes. Tags are the
 * group's where the ring keeps none. */
struct kap_ring_iter {
    const struct kap_ring_chunk *chunk;
    uint32_t i;
};
struct kap_ring_iter kap_ring_begin(const struct kap_ring *r);
bool kap_ring_next(const struct kap_ring *r, struct kap_ring_iter *it, struct kap_field_buf *fields, struct kap_point *p);

void kap_ring_save(const struct kap_ring *r, struct kap_snap *w);
void kap_ring_load(struct kap_ring *r, struct kap_snap *in, const struct kap_columns *keep);

#endif
