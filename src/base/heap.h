/* Binary min-heap of pointers with a caller's order; items may be removed from the middle when they keep
 * their index. Ownership: items are borrowed. Threads: one at a time. */
#ifndef KAP_BASE_HEAP_H
#define KAP_BASE_HEAP_H

#include <stddef.h>

typedef int (*kap_heap_cmp_fn)(const void *a, const void *b);           /* < 0: a first */
typedef void (*kap_heap_moved_fn)(void *item, size_t index);            /* may be NULL */

struct kap_heap {
    void **items;
    size_t n, cap;
    kap_heap_cmp_fn cmp;
    kap_heap_moved_fn moved;
};

void kap_heap_init(struct kap_heap *h, kap_heap_cmp_fn cmp, kap_heap_moved_fn moved);
void kap_heap_done(struct kap_heap *h);
void kap_heap_push(struct kap_heap *h, void *item);
void *kap_heap_peek(const struct kap_heap *h); /* NULL when empty */
void *kap_heap_pop(struct kap_heap *h);        /* NULL when empty */
void *kap_heap_remove(struct kap_heap *h, size_t index);

#endif
