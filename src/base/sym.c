#include "base/sym.h"
#include "base/mem.h"
#include <pthread.h>
#include <stdatomic.h>

/* Readers probe a table that never changes in place except by adding: a grown table is published whole and the old
 * one stays for readers that still hold it (tables double, so all old ones together are smaller than the new). */
struct table {
    size_t nslots;
    _Atomic(struct kap_sym *) slots[];
};

static _Atomic(struct table *) current;
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;
static uint32_t count;
static struct table **retired; /* kept reachable on purpose */
static size_t nretired, retired_cap;

/* A symbol without text, which needs no room for one but its end. */
static const union {
    struct kap_sym sym;
    char bytes[sizeof(struct kap_sym) + 1];
} empty;
const struct kap_sym *const kap_sym_empty = &empty.sym;

static struct kap_sym *probe(const struct table *t, struct kap_str s, uint64_t hash)
{
    if (!t)
        return NULL;
    for (size_t i = hash & (t->nslots - 1);; i = (i + 1) & (t->nslots - 1)) {
        struct kap_sym *y = atomic_load_explicit(&t->slots[i], memory_order_acquire);
        if (!y)
            return NULL;
        if (y->hash == hash && kap_str_eq(kap_sym_str(y), s))
            return y;
    }
}

static void add(struct table *t, struct kap_sym *y)
{
    size_t i = y->hash & (t->nslots - 1);
    while (atomic_load_explicit(&t->slots[i], memory_order_relaxed))
        i = (i + 1) & (t->nslots - 1);
    atomic_store_explicit(&t->slots[i], y, memory_order_release);
}

static struct table *grow(struct table *old)
{
    const size_t nslots = old ? old->nslots * 2 : 1024;
    struct table *t = kap_calloc(1, sizeof *t + nslots * sizeof t->slots[0]);
    t->nslots = nslots;
    for (size_t i = 0; old && i < old->nslots; i++) {
        struct kap_sym *y = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
        if (y)
            add(t, y);
    }
    if (old) {
        KAP_GROW(retired, retired_cap, nretired + 1);
        retired[nretired++] = old;
    }
    atomic_store_explicit(&current, t, memory_order_release);
    return t;
}

const struct kap_sym *kap_sym_find(struct kap_str s)
{
    return s.n ? probe(atomic_load_explicit(&current, memory_order_acquire), s, kap_str_hash(s)) : kap_sym_empty;
}

const struct kap_sym *kap_sym(struct kap_str s)
{
    const struct kap_sym *found = kap_sym_find(s);
    if (found)
        return found;
    const uint64_t hash = kap_str_hash(s);
    pthread_mutex_lock(&adding);
    struct table *t = atomic_load_explicit(&current, memory_order_relaxed);
    struct kap_sym *y = probe(t, s, hash);
    if (!y) {
        if (!t || (count + 1) * 2 > t->nslots)
            t = grow(t);
        y = kap_calloc(1, sizeof *y + s.n + 1);
        y->id = ++count;
        y->n = (uint32_t)s.n;
        y->hash = hash;
        memcpy(y->s, s.p, s.n);
        add(t, y);
    }
    pthread_mutex_unlock(&adding);
    return y;
}

const struct kap_sym *kap_sym_c(const char *s)
{
    return kap_sym(kap_str(s));
}

int kap_sym_cmp(const struct kap_sym *a, const struct kap_sym *b)
{
    return a == b ? 0 : kap_str_cmp(kap_sym_str(a), kap_sym_str(b));
}
