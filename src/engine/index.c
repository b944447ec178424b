/* The index of what tasks want. Branches stand under the measurement that they name, or under "any"; those
 * that ask for a tag value stand under that value, so that a thousand tasks that watch a host each cost a
 * series one look-up. */
#include "engine/core.h"

#include "base/mem.h"

struct list {
    struct kap_branch **v;
    uint32_t n, cap;
};

struct by_tag {
    const struct kap_sym *tag;
    struct kap_map *values;   /* struct list by value */
    struct list all;          /* for series without the tag: a field may have that name */
};

struct bucket {
    struct list plain;
    struct by_tag *tags;
    uint32_t ntags, cap_tags;
};

struct kap_index {
    struct bucket any;
    struct kap_map *by_name;  /* struct bucket by address of the name */
    struct list found;
};

struct kap_index *kap_index_new(void)
{
    struct kap_index *ix = KAP_NEW(struct kap_index);
    ix->by_name = kap_map_new();
    return ix;
}

static void bucket_done(struct bucket *b)
{
    for (uint32_t i = 0; i < b->ntags; i++) {
        size_t k = 0;
        void *value;
        while (kap_map_next(b->tags[i].values, &k, NULL, &value)) {
            kap_free((void *)((struct list *)value)->v);
            kap_free(value);
        }
        kap_map_free(b->tags[i].values);
        kap_free((void *)b->tags[i].all.v);
    }
    kap_free(b->tags);
    kap_free((void *)b->plain.v);
}

void kap_index_free(struct kap_index *ix)
{
    if (!ix)
        return;
    size_t i = 0;
    void *value;
    while (kap_map_next(ix->by_name, &i, NULL, &value)) {
        bucket_done((struct bucket *)value);
        kap_free(value);
    }
    bucket_done(&ix->any);
    kap_map_free(ix->by_name);
    kap_free((void *)ix->found.v);
    kap_free(ix);
}

static void list_add(struct list *l, struct kap_branch *b)
{
    KAP_GROW(l->v, l->cap, l->n + 1);
    l->v[l->n++] = b;
}

static void list_remove(struct list *l, const struct kap_branch *b)
{
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->v[i] == b) {
            l->v[i] = l->v[--l->n];
            return;
        }
    }
}

static void list_append(struct list *to, const struct list *from)
{
    for (uint32_t i = 0; i < from->n; i++)
        list_add(to, from->v[i]);
}

static struct kap_str address(const struct kap_sym *const *y)
{
    return kap_strn((const char *)y, sizeof *y);
}

static struct bucket *bucket_of(struct kap_index *ix, const struct kap_sym *name, bool make)
{
    if (!name)
        return &ix->any;
    struct bucket *b = (struct bucket *)kap_map_get(ix->by_name, address(&name));
    if (!b && make) {
        b = KAP_NEW(struct bucket);
        kap_map_put(ix->by_name, address(&name), b);
    }
    return b;
}

static struct by_tag *tag_of(struct bucket *b, const struct kap_sym *tag, bool make)
{
    for (uint32_t i = 0; i < b->ntags; i++)
        if (b->tags[i].tag == tag)
            return &b->tags[i];
    if (!make)
        return NULL;
    KAP_GROW(b->tags, b->cap_tags, b->ntags + 1);
    struct by_tag *bt = &b->tags[b->ntags++];
    *bt = (struct by_tag){ .tag = tag, .values = kap_map_new() };
    return bt;
}

void kap_index_add(struct kap_index *ix, struct kap_branch *b)
{
    struct bucket *bucket = bucket_of(ix, b->key.name, true);
    if (!b->key.tag) {
        list_add(&bucket->plain, b);
        return;
    }
    struct by_tag *bt = tag_of(bucket, b->key.tag, true);
    list_add(&bt->all, b);
    struct list *l = (struct list *)kap_map_get(bt->values, b->key.tag_value);
    if (!l) {
        l = KAP_NEW(struct list);
        kap_map_put(bt->values, b->key.tag_value, l);
    }
    list_add(l, b);
}

void kap_index_remove(struct kap_index *ix, struct kap_branch *b)
{
    struct bucket *bucket = bucket_of(ix, b->key.name, false);
    if (!bucket)
        return;
    if (!b->key.tag) {
        list_remove(&bucket->plain, b);
        return;
    }
    struct by_tag *bt = tag_of(bucket, b->key.tag, false);
    struct list *l = bt ? (struct list *)kap_map_get(bt->values, b->key.tag_value) : NULL;
    if (!l)
        return;
    list_remove(&bt->all, b);
    list_remove(l, b);
    if (l->n == 0) {
        kap_map_del(bt->values, b->key.tag_value);
        kap_free((void *)l->v);
        kap_free(l);
    }
}

static void collect(struct list *found, const struct bucket *b, const struct kap_series *s)
{
    list_append(found, &b->plain);
    for (uint32_t i = 0; i < b->ntags; i++) {
        const struct kap_str *value = kap_tags_get(s->tags, b->tags[i].tag);
        const struct list *l =
            value ? (const struct list *)kap_map_get(b->tags[i].values, *value) : &b->tags[i].all;
        if (l)
            list_append(found, l);
    }
}

size_t kap_index_candidates(struct kap_index *ix, const struct kap_series *s, struct kap_branch ***ret)
{
    ix->found.n = 0;
    collect(&ix->found, &ix->any, s);
    const struct bucket *b = bucket_of(ix, s->name, false);
    if (b)
        collect(&ix->found, b, s);
    *ret = ix->found.v;
    return ix->found.n;
}
