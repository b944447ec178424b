#include "data/block.h"

#include "base/mem.h"

struct kap_block *kap_block_new(const struct kap_sym *name, const struct kap_tags *tags, bool by_name)
{
    struct kap_block *b = KAP_NEW(struct kap_block);
    b->name = name;
    b->tags = kap_tags_ref(tags);
    b->by_name = by_name;
    b->arena = kap_arena_new();
    return b;
}

void kap_block_free(struct kap_block *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n; i++)
        kap_tags_unref(b->points[i].tags);
    kap_free(b->points);
    kap_tags_unref(b->tags);
    kap_arena_free(b->arena);
    kap_free(b);
}

void kap_block_add(struct kap_block *b, int64_t time_ns, const struct kap_tags *tags,
                   const struct kap_field *fields, size_t nfields)
{
    struct kap_field *own = KAP_ARENA_ARRAY(b->arena, struct kap_field, nfields);
    uint32_t n = 0;
    for (size_t i = 0; i < nfields; i++) {
        if (fields[i].v.type == KAP_MISSING)
            continue;
        own[n] = fields[i];
        if (own[n].v.type == KAP_STRING)
            own[n].v.s = kap_arena_str(b->arena, own[n].v.s);
        n++;
    }
    KAP_GROW(b->points, b->cap, b->n + 1);
    b->points[b->n++] = (struct kap_point){ .time_ns = time_ns,
                                            .db = kap_sym_empty,
                                            .rp = kap_sym_empty,
                                            .name = b->name,
                                            .tags = kap_tags_ref(tags ? tags : b->tags),
                                            .nfields = n,
                                            .fields = own };
}
