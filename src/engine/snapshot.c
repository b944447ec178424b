#include "engine/run.h"

#include "base/mem.h"

/* Snapshots of a shard:
 * "KS1", then a blob for each node with save(): name, node-wide state, and for each group its dimensions,
 * tags and state. All numbers little endian, texts with their length in front. Groups are told by
 * measurement, dimensions and tags, so that a snapshot outlives the process and the order of groups. */

static void put_u32(struct kap_buf *b, uint32_t v)
{
    const unsigned char le[4] = { (unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16),
                                  (unsigned char)(v >> 24) };
    kap_buf_addn(b, le, sizeof le);
}

static void put_str(struct kap_buf *b, struct kap_str s)
{
    put_u32(b, (uint32_t)s.n);
    kap_buf_add(b, s);
}

static bool get_u32(struct kap_str *d, uint32_t *ret)
{
    if (d->n < 4)
        return false;
    const unsigned char *p = (const unsigned char *)d->p;
    *ret = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    *d = kap_strn(d->p + 4, d->n - 4);
    return true;
}

static bool get_str(struct kap_str *d, struct kap_str *ret)
{
    uint32_t n;
    if (!get_u32(d, &n) || n > d->n)
        return false;
    *ret = kap_strn(d->p, n);
    *d = kap_strn(d->p + n, d->n - n);
    return true;
}

static void put_group(struct kap_buf *b, const struct kap_group *g)
{
    put_u32(b, g->dims.by_name);
    put_str(b, g->name ? kap_sym_str(g->name) : kap_strn("", 0));
    put_u32(b, g->dims.n);
    for (uint32_t i = 0; i < g->dims.n; i++)
        put_str(b, kap_sym_str(g->dims.names[i]));
    put_u32(b, g->tags->n);
    for (uint32_t i = 0; i < g->tags->n; i++) {
        put_str(b, kap_sym_str(g->tags->v[i].key));
        put_str(b, g->tags->v[i].val);
    }
}

static bool get_names(struct kap_str *d, struct kap_arena *a, uint32_t *n, const struct kap_sym ***ret)
{
    if (!get_u32(d, n) || *n > d->n / 4)
        return false;
    *ret = KAP_ARENA_ARRAY(a, const struct kap_sym *, *n);
    for (uint32_t i = 0; i < *n; i++) {
        struct kap_str s;
        if (!get_str(d, &s))
            return false;
        (*ret)[i] = kap_sym(s);
    }
    return true;
}

static bool get_tags(struct kap_str *d, struct kap_arena *a, const struct kap_tags **ret)
{
    uint32_t n;
    if (!get_u32(d, &n) || n > d->n / 8)
        return false;
    struct kap_tag *v = KAP_ARENA_ARRAY(a, struct kap_tag, n);
    for (uint32_t i = 0; i < n; i++) {
        struct kap_str key;
        if (!get_str(d, &key) || !get_str(d, &v[i].val))
            return false;
        v[i].key = kap_sym(key);
    }
    *ret = kap_tags_new(v, n);
    return true;
}

static struct kap_group *get_group(struct kap_shard *s, struct kap_str *d)
{
    uint32_t by_name;
    struct kap_str name;
    struct kap_dims dims = { 0 };
    const struct kap_tags *tags;
    if (!get_u32(d, &by_name) || !get_str(d, &name) || !get_names(d, s->scratch, &dims.n, &dims.names) ||
        !get_tags(d, s->scratch, &tags))
        return NULL;
    dims.by_name = by_name != 0;
    struct kap_group *g = kap_groups_get(s->groups, &dims, kap_sym(name), tags, false);
    kap_tags_unref(tags);
    return g;
}

static void save_node(struct kap_node *n, struct kap_buf *out)
{
    KAP_AUTO_BUF struct kap_buf blob = { 0 };
    put_str(out, kap_str(n->gn->name));
    n->run->save(n, n->state, NULL, NULL, &blob);
    put_str(out, kap_buf_str(&blob));
    put_u32(out, n->norder - n->holes);
    for (uint32_t i = 0; i < n->norder; i++) {
        if (!n->order[i])
            continue;
        put_group(out, n->order[i]->group);
        kap_buf_reset(&blob);
        n->run->save(n, n->state, n->run->group_size ? n->order[i]->data : NULL, n->order[i]->group, &blob);
        put_str(out, kap_buf_str(&blob));
    }
}

void kap_shard_save(struct kap_shard *s, struct kap_buf *out)
{
    bool any = false;
    for (size_t i = 0; i < s->n; i++) {
        if (!s->nodes[i].run->save)
            continue;
        if (!any)
            kap_buf_adds(out, "KS1");
        any = true;
        save_node(&s->nodes[i], out);
    }
    kap_arena_reset(s->scratch);
}

static enum kap_status load_node(struct kap_shard *s, struct kap_node *n, struct kap_str *d,
                                 struct kap_error *err)
{
    struct kap_str blob;
    uint32_t ngroups;
    if (!get_str(d, &blob) || !get_u32(d, &ngroups))
        return kap_fail(err, KAP_EINVAL, "the snapshot is cut short");
    if (blob.n)
        KAP_TRY(n->run->load(n, n->state, NULL, NULL, blob, err));
    for (uint32_t i = 0; i < ngroups; i++) {
        struct kap_group *g = get_group(s, d);
        if (!g || !get_str(d, &blob)) {
            if (g)
                kap_group_unref(s->groups, g);
            return kap_fail(err, KAP_EINVAL, "the snapshot is cut short");
        }
        void *gs = kap_node_group_state(n, g);
        const enum kap_status st = n->run->load(n, n->state, gs, g, blob, err);
        kap_group_unref(s->groups, g);
        KAP_TRY(st);
    }
    return KAP_OK;
}

enum kap_status kap_shard_load(struct kap_shard *s, struct kap_str data, struct kap_error *err)
{
    if (!kap_str_has_prefix(data, KAP_STR("KS1")))
        return kap_fail(err, KAP_EINVAL, "not a snapshot of a task");
    struct kap_str d = kap_strn(data.p + 3, data.n - 3);
    enum kap_status st = KAP_OK;
    while (d.n && st == KAP_OK) {
        struct kap_str name;
        struct kap_node *n = NULL;
        if (get_str(&d, &name) && !memchr(name.p, '\0', name.n)) {
            for (size_t i = 0; i < s->n; i++)
                if (kap_str_is(name, s->nodes[i].gn->name) && s->nodes[i].run->load)
                    n = &s->nodes[i];
        }
        st = n ? load_node(s, n, &d, err) : kap_fail(err, KAP_EINVAL, "the snapshot is of another graph");
    }
    kap_arena_reset(s->scratch);
    return st;
}
