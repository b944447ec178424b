#include "base/arena.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>

#define FIRST_BLOCK_BYTES                                                                                    \
    960 /* with the arena itself in one piece that malloc keeps at hand for each thread */
#define SECOND_BLOCK_BYTES 2048
#define LARGEST_BLOCK_BYTES (256 * 1024)
#define ALIGN 16

struct block {
    struct block *next;
    size_t size, used;
    char bytes[] __attribute__((aligned(ALIGN)));
};

struct kap_arena {
    struct block *head; /* the one being filled */
    size_t bytes, next_size;
    struct block first;
};

struct kap_arena *kap_arena_new(void)
{
    struct kap_arena *a = kap_alloc(sizeof *a + FIRST_BLOCK_BYTES);
    a->first.next = NULL;
    a->first.size = FIRST_BLOCK_BYTES;
    a->first.used = 0;
    a->head = &a->first;
    a->bytes = FIRST_BLOCK_BYTES;
    a->next_size = SECOND_BLOCK_BYTES;
    return a;
}

/* All but the first, which is a part of the arena. */
static void free_blocks(struct block *b)
{
    while (b->next) {
        struct block *next = b->next;
        kap_free(b);
        b = next;
    }
}

void kap_arena_free(struct kap_arena *a)
{
    if (!a)
        return;
    free_blocks(a->head);
    kap_free(a);
}

/* Keeps the newest block, unless it is so large that one huge message would hold its memory for ever. */
void kap_arena_reset(struct kap_arena *a)
{
    struct block *keep = a->head;
    if (keep->next) {
        free_blocks(keep->next);
        keep->next = &a->first;
    }
    if (keep->size > LARGEST_BLOCK_BYTES) {
        kap_free(keep);
        keep = &a->first;
        a->next_size = SECOND_BLOCK_BYTES;
    }
    a->head = keep;
    a->first.used = keep->used = 0;
    a->bytes = FIRST_BLOCK_BYTES + (keep->next ? keep->size : 0);
}

static void *in_new_block(struct kap_arena *a, size_t size)
{
    const size_t block_size = KAP_MAX(size, a->next_size);
    struct block *b = kap_alloc(sizeof *b + block_size);
    b->size = block_size;
    b->used = size;
    b->next = a->head;
    a->head = b;
    a->bytes += block_size;
    if (a->next_size < LARGEST_BLOCK_BYTES)
        a->next_size *= 2;
    return b->bytes;
}

void *kap_arena_raw(struct kap_arena *a, size_t size)
{
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct block *b = a->head;
    if (b->size - b->used < size)
        return in_new_block(a, size);
    void *p = b->bytes + b->used;
    b->used += size;
    return p;
}

void *kap_arena_alloc(struct kap_arena *a, size_t size)
{
    return memset(kap_arena_raw(a, size), 0, size);
}

struct kap_str kap_arena_str(struct kap_arena *a, struct kap_str s)
{
    char *copy = kap_arena_raw(a, s.n + 1);
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return (struct kap_str){ copy, s.n };
}

char *kap_arena_strdup(struct kap_arena *a, const char *s)
{
    const size_t n = strlen(s);
    return memcpy(kap_arena_raw(a, n + 1), s, n + 1);
}

char *kap_arena_printf(struct kap_arena *a, const char *fmt, ...)
{
    char local[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    const int n = vsnprintf(local, sizeof local, fmt, ap);
    va_end(ap);
    char *text = kap_arena_raw(a, n < 0 ? 1 : (size_t)n + 1);
    if (n < 0)
        text[0] = '\0';
    else if ((size_t)n < sizeof local)
        memcpy(text, local, (size_t)n + 1);
    else
        vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

size_t kap_arena_bytes(const struct kap_arena *a)
{
    return a->bytes;
}

void kap_cleanup_arena(struct kap_arena **a)
{
    kap_arena_free(*a);
}
