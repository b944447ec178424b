/* Arena: many allocations, one free. One per lifetime: a compile, a task, a batch, a request.
 * Ownership: the arena owns every byte until kap_arena_reset() or kap_arena_free().
 * Threads: one at a time. Failure: none (see mem.h); callers bound their input. */
#ifndef KAP_BASE_ARENA_H
#define KAP_BASE_ARENA_H

#include "base/str.h"

struct kap_arena;

struct kap_arena *kap_arena_new(void);
void kap_arena_free(struct kap_arena *a);          /* NULL is fine */
void kap_arena_reset(struct kap_arena *a);         /* keeps the largest block for reuse */
void *kap_arena_alloc(struct kap_arena *a, size_t size);  /* zeroed, 16-byte aligned */
void *kap_arena_raw(struct kap_arena *a, size_t size);    /* not zeroed, 16-byte aligned */
char *kap_arena_strdup(struct kap_arena *a, const char *s);
struct kap_str kap_arena_str(struct kap_arena *a, struct kap_str s); /* a terminated copy */
char *kap_arena_printf(struct kap_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t kap_arena_bytes(const struct kap_arena *a); /* held from the system */
#define KAP_ARENA_NEW(a, type) ((type *)kap_arena_alloc((a), sizeof(type)))
#define KAP_ARENA_ARRAY(a, type, n) ((type *)kap_arena_alloc((a), (n) * sizeof(type)))
void kap_cleanup_arena(struct kap_arena **a);
#define KAP_AUTO_ARENA __attribute__((cleanup(kap_cleanup_arena)))

#endif
