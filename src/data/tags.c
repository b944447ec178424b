#include "data/tags.h"
#include <stdatomic.h>

#include "base/mem.h"

static struct kap_tags empty = { .refs = 1 };
const struct kap_tags *const kap_tags_empty = &empty;

static struct kap_tags *counted(const struct kap_tags *t)
{
    return (struct kap_tags *)(uintptr_t)t;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 32);
}

/* Stable insertion of `tag` by key; a key that is there already takes the new value. Sets are small, and
 * those that arrive are nearly always sorted, which costs one comparison each. */
static void insert(struct kap_tags *t, struct kap_tag tag)
{
    uint32_t at = t->n;
    while (at > 0) {
        const int cmp = t->v[at - 1].key == tag.key ? 0 : kap_sym_cmp(t->v[at - 1].key, tag.key);
        if (cmp == 0) {
            t->v[at - 1].val = tag.val;
            return;
        }
        if (cmp < 0)
            break;
        at--;
    }
    memmove(&t->v[at + 1], &t->v[at], (t->n - at) * sizeof *t->v);
    t->v[at] = tag;
    t->n++;
}

const struct kap_tags *kap_tags_new(const struct kap_tag *v, size_t n)
{
    if (n == 0)
        return kap_tags_empty;
    size_t text = 0;
    for (size_t i = 0; i < n; i++)
        text += v[i].val.n + 1;
    struct kap_tags *t = (struct kap_tags *)kap_alloc(sizeof *t + n * sizeof *v + text);
    atomic_init(&t->refs, 1);
    t->n = 0;
    t->hash = 0;
    for (size_t i = 0; i < n; i++)
        insert(t, v[i]);
    char *to = (char *)(t->v + n);
    for (uint32_t i = 0; i < t->n; i++) {
        const struct kap_str from = t->v[i].val;
        if (from.n)
            memcpy(to, from.p, from.n);
        to[from.n] = '\0';
        t->v[i].val = kap_strn(to, from.n);
        to += from.n + 1;
        t->hash = mix(mix(t->hash, t->v[i].key->hash), kap_str_hash(from));
    }
    return t;
}

const struct kap_tags *kap_tags_ref(const struct kap_tags *t)
{
    if (t != kap_tags_empty)
        atomic_fetch_add_explicit(&counted(t)->refs, 1, memory_order_relaxed);
    return t;
}

void kap_tags_unref(const struct kap_tags *t)
{
    if (!t || t == kap_tags_empty)
        return;
    if (atomic_fetch_sub_explicit(&counted(t)->refs, 1, memory_order_acq_rel) == 1)
        kap_free(counted(t));
}

const struct kap_str *kap_tags_get(const struct kap_tags *t, const struct kap_sym *key)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->v[i].key == key)
            return &t->v[i].val;
    return NULL;
}

bool kap_tags_eq(const struct kap_tags *a, const struct kap_tags *b)
{
    if (a == b)
        return true;
    if (a->n != b->n || a->hash != b->hash)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->v[i].key != b->v[i].key || !kap_str_eq(a->v[i].val, b->v[i].val))
            return false;
    return true;
}

size_t kap_tags_bytes(const struct kap_tags *t)
{
    if (t == kap_tags_empty)
        return 0;
    size_t n = sizeof *t + t->n * sizeof *t->v;
    for (uint32_t i = 0; i < t->n; i++)
        n += t->v[i].val.n + 1;
    return n;
}
