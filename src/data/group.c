#include "data/group.h"

#include "base/buf.h"
#include "base/mem.h"

/* Dimensions are kept once for each distinct list, so that groups of one groupBy share them and compare by
 * pointer. */
struct dims {
    struct dims *next;
    uint64_t hash;
    struct kap_dims d;
    const struct kap_sym *names[];
};

struct entry {                /* struct kap_group first: one allocation, with the id behind it */
    struct kap_group g;
    uint64_t hash;
    const struct dims *dims;
    struct entry *next;       /* of the same bucket */
};

struct kap_groups {
    struct entry **buckets;
    size_t nbuckets, n;       /* a power of two */
    struct dims *dims;
    uint32_t limit;           /* indices handed out so far */
    uint32_t *unused;         /* indices given back, the last one is taken first */
    uint32_t nunused, cap_unused;
};

struct kap_groups *kap_groups_new(void)
{
    return KAP_NEW(struct kap_groups);
}

static void free_entry(struct entry *e)
{
    kap_tags_unref(e->g.tags);
    kap_free(e);
}

void kap_groups_free(struct kap_groups *gs)
{
    if (!gs)
        return;
    for (size_t i = 0; i < gs->nbuckets; i++)
        for (struct entry *e = gs->buckets[i], *next; e; e = next) {
            next = e->next;
            free_entry(e);
        }
    for (struct dims *d = gs->dims, *next; d; d = next) {
        next = d->next;
        kap_free(d);
    }
    kap_free((void *)gs->buckets);
    kap_free(gs->unused);
    kap_free(gs);
}

static const struct dims *intern_dims(struct kap_groups *gs, const struct kap_dims *dims)
{
    uint64_t hash = dims->by_name;
    for (uint32_t i = 0; i < dims->n; i++)
        hash = hash * 31 + dims->names[i]->hash;
    for (struct dims *d = gs->dims; d; d = d->next) {
        if (d->hash == hash && d->d.by_name == dims->by_name && d->d.n == dims->n &&
            (dims->n == 0 ||
             memcmp((const void *)d->names, (const void *)dims->names, dims->n * sizeof *d->names) == 0))
            return d;
    }
    struct dims *d = (struct dims *)kap_alloc(sizeof *d + dims->n * sizeof *d->names);
    d->hash = hash;
    d->d = (struct kap_dims){ dims->by_name, dims->n, d->names };
    if (dims->n)
        memcpy((void *)d->names, (const void *)dims->names, dims->n * sizeof *d->names);
    d->next = gs->dims;
    gs->dims = d;
    return d;
}

static struct kap_str value_of(const struct kap_tags *tags, const struct kap_sym *key)
{
    const struct kap_str *v = kap_tags_get(tags, key);
    return v ? *v : kap_strn("", 0);
}

static uint64_t group_hash(const struct dims *d, const struct kap_sym *name, const struct kap_tags *tags)
{
    uint64_t h = d->hash ^ (d->d.by_name ? name->hash : 0);
    for (uint32_t i = 0; i < d->d.n; i++) {
        h ^= kap_str_hash(value_of(tags, d->d.names[i]));
        h *= UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    return h;
}

static bool is_group(const struct entry *e, const struct dims *d, const struct kap_sym *name,
                     const struct kap_tags *tags)
{
    if (e->dims != d || (d->d.by_name && e->g.name != name))
        return false;
    for (uint32_t i = 0; i < d->d.n; i++)
        if (!kap_str_eq(value_of(e->g.tags, d->d.names[i]), value_of(tags, d->d.names[i])))
            return false;
    return true;
}

static void rehash(struct kap_groups *gs)
{
    const size_t nbuckets = gs->nbuckets ? gs->nbuckets * 2 : 16;
    struct entry **buckets = KAP_ARRAY(struct entry *, nbuckets);
    for (size_t i = 0; i < gs->nbuckets; i++)
        for (struct entry *e = gs->buckets[i], *next; e; e = next) {
            next = e->next;
            e->next = buckets[e->hash & (nbuckets - 1)];
            buckets[e->hash & (nbuckets - 1)] = e;
        }
    kap_free((void *)gs->buckets);
    gs->buckets = buckets;
    gs->nbuckets = nbuckets;
}

static void group_id(struct kap_buf *b, const struct kap_dims *d, const struct kap_sym *name,
                     const struct kap_tags *tags)
{
    if (d->by_name) {
        kap_buf_add(b, kap_sym_str(name));
        if (d->n)
            kap_buf_addc(b, '\n');
    } else if (d->n == 0) {
        kap_buf_adds(b, "nil");
    }
    for (uint32_t i = 0; i < d->n; i++) {
        if (i)
            kap_buf_addc(b, ',');
        kap_buf_add(b, kap_sym_str(d->names[i]));
        kap_buf_addc(b, '=');
        kap_buf_add(b, value_of(tags, d->names[i]));
    }
}

/* The tags of the group: those of the dimensions. The point's own set when that is the same. */
static const struct kap_tags *group_tags(const struct kap_dims *d, const struct kap_tags *tags,
                                         bool empty_missing)
{
    struct kap_tag few[16];
    struct kap_tag *v = d->n <= KAP_COUNT(few) ? few : KAP_ARRAY(struct kap_tag, d->n);
    size_t n = 0;
    for (uint32_t i = 0; i < d->n; i++) {
        const struct kap_str *val = kap_tags_get(tags, d->names[i]);
        if (val || empty_missing)
            v[n++] = (struct kap_tag){ d->names[i], val ? *val : kap_strn("", 0) };
    }
    bool same = n == tags->n;
    for (uint32_t i = 0; same && i < d->n; i++)
        same = kap_tags_get(tags, d->names[i]) != NULL;
    const struct kap_tags *ret = same ? kap_tags_ref(tags) : kap_tags_new(v, n);
    if (v != few)
        kap_free(v);
    return ret;
}

static uint32_t take_index(struct kap_groups *gs)
{
    if (gs->nunused == 0)
        return gs->limit++;
    return gs->unused[--gs->nunused];
}

struct kap_group *kap_groups_get(struct kap_groups *gs, const struct kap_dims *dims,
                                 const struct kap_sym *name, const struct kap_tags *tags, bool empty_missing)
{
    const struct dims *d = intern_dims(gs, dims);
    const uint64_t hash = group_hash(d, name, tags);
    for (struct entry *e = gs->nbuckets ? gs->buckets[hash & (gs->nbuckets - 1)] : NULL; e; e = e->next)
        if (e->hash == hash && is_group(e, d, name, tags))
            return kap_group_ref(&e->g);

    if (gs->n >= gs->nbuckets)
        rehash(gs);
    KAP_AUTO_BUF struct kap_buf id = { 0 };
    group_id(&id, &d->d, name, tags);
    struct entry *e = (struct entry *)kap_calloc(1, sizeof *e + id.n + 1);
    char *text = (char *)(e + 1);
    if (id.n)
        memcpy(text, id.p, id.n);
    e->hash = hash;
    e->dims = d;
    e->g = (struct kap_group){
        .refs = 1,
        .index = take_index(gs),
        .name = d->d.by_name ? name : NULL,
        .tags = group_tags(&d->d, tags, empty_missing),
        .dims = d->d,
        .id = kap_strn(text, id.n),
    };
    e->next = gs->buckets[hash & (gs->nbuckets - 1)];
    gs->buckets[hash & (gs->nbuckets - 1)] = e;
    gs->n++;
    return &e->g;
}

struct kap_group *kap_group_ref(struct kap_group *g)
{
    g->refs++;
    return g;
}

void kap_group_unref(struct kap_groups *gs, struct kap_group *g)
{
    if (!g || --g->refs > 0)
        return;
    struct entry *e = (struct entry *)(void *)g;
    struct entry **at = &gs->buckets[e->hash & (gs->nbuckets - 1)];
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    gs->n--;
    KAP_GROW(gs->unused, gs->cap_unused, gs->nunused + 1);
    gs->unused[gs->nunused++] = g->index;
    free_entry(e);
}

uint32_t kap_groups_limit(const struct kap_groups *gs)
{
    return gs->limit;
}
