#include "data/point.h"

#include "base/mem.h"

const struct kap_value *kap_point_field(const struct kap_point *p, const struct kap_sym *key)
{
    for (uint32_t i = 0; i < p->nfields; i++)
        if (p->fields[i].key == key)
            return &p->fields[i].v;
    return NULL;
}

size_t kap_point_bytes(const struct kap_point *p)
{
    size_t n = sizeof *p + p->nfields * sizeof *p->fields;
    for (uint32_t i = 0; i < p->nfields; i++)
        if (p->fields[i].v.type == KAP_STRING)
            n += p->fields[i].v.s.n;
    return n;
}

struct kap_point *kap_point_copy(const struct kap_point *p)
{
    struct kap_point *c = (struct kap_point *)kap_alloc(kap_point_bytes(p));
    struct kap_field *fields = (struct kap_field *)(c + 1);
    char *text = (char *)(fields + p->nfields);
    *c = *p;
    c->fields = fields;
    for (uint32_t i = 0; i < p->nfields; i++) {
        fields[i] = p->fields[i];
        if (fields[i].v.type != KAP_STRING)
            continue;
        struct kap_str *s = &fields[i].v.s;
        if (s->n)
            memcpy(text, s->p, s->n);
        s->p = text;
        text += s->n;
    }
    kap_tags_ref(c->tags);
    if (c->group)
        kap_group_ref(c->group);
    return c;
}

void kap_point_free(struct kap_groups *gs, struct kap_point *p)
{
    if (!p)
        return;
    kap_tags_unref(p->tags);
    if (p->group)
        kap_group_unref(gs, p->group);
    kap_free(p);
}

void kap_batch_add(struct kap_batch *b, const struct kap_point *p)
{
    KAP_GROW(b->points, b->cap, b->n + 1);
    b->points[b->n++] = kap_point_copy(p);
}

void kap_batch_clear(struct kap_groups *gs, struct kap_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        kap_point_free(gs, b->points[i]);
    kap_free((void *)b->points);
    b->points = NULL;
    b->n = b->cap = 0;
}
