#include "base/mem.h"
#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/util.h"

struct config {
    struct kap_strings fields, tags;
};

enum { FIELDS_DELETED, TAGS_DELETED };
static const char *const counters[] = { "fields_deleted", "tags_deleted", NULL };

struct state {
    const struct kap_sym **fields, **tags;
    size_t nfields, ntags;
    struct kap_field_buf kept;
    struct kap_tag_buf kept_tags;
    struct kap_group *batch_group; /* of the batch that passes */
};

static const struct kap_sym **syms(struct kap_strings s)
{
    const struct kap_sym **v = KAP_ARRAY(const struct kap_sym *, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        v[i] = kap_sym(s.v[i]);
    return v;
}

static enum kap_status open_delete(struct kap_node *n, void *state, struct kap_error *err)
{
    const struct config *c = kap_node_config(n);
    struct state *s = state;
    s->fields = syms(c->fields);
    s->nfields = c->fields.n;
    s->tags = syms(c->tags);
    s->ntags = c->tags.n;
    return KAP_OK;
}

static void close_delete(struct kap_node *n, void *state)
{
    struct state *s = state;
    kap_free(s->fields);
    kap_free(s->tags);
    kap_field_buf_done(&s->kept);
    kap_tag_buf_done(&s->kept_tags);
}

static void delete_fields(struct kap_node *n, struct state *s, const struct kap_point *p)
{
    kap_field_buf_copy(&s->kept, p->fields, p->nfields);
    for (size_t i = 0; i < s->nfields; i++)
        if (kap_field_buf_del(&s->kept, s->fields[i]))
            kap_node_count(n, FIELDS_DELETED, 1);
}

/* The tags that stay; a reference. */
static const struct kap_tags *delete_tags(struct kap_node *n, struct state *s, const struct kap_tags *tags)
{
    bool changed = false;
    for (size_t i = 0; i < s->ntags; i++) {
        if (!kap_tags_get(tags, s->tags[i]))
            continue;
        if (!changed)
            kap_tag_buf_copy(&s->kept_tags, tags);
        changed = true;
        kap_tag_buf_del(&s->kept_tags, s->tags[i]);
        kap_node_count(n, TAGS_DELETED, 1);
    }
    return changed ? kap_tag_buf_tags(&s->kept_tags) : kap_tags_ref(tags);
}

/* A deleted tag is no dimension any more. A reference. */
static struct kap_group *group_of(struct kap_node *n, struct state *s, const struct kap_point *p,
                                  const struct kap_tags *tags)
{
    const struct kap_dims *old = &p->group->dims;
    const struct kap_sym **names = KAP_ARENA_ARRAY(kap_node_scratch(n), const struct kap_sym *, old->n + 1);
    struct kap_dims d = { .by_name = old->by_name, .names = names };
    for (uint32_t i = 0; i < old->n; i++)
        if (!kap_syms_has(s->tags, s->ntags, old->names[i]))
            names[d.n++] = old->names[i];
    if (d.n == old->n)
        return kap_group_ref(p->group);
    return kap_groups_get(kap_node_groups(n), &d, p->name, tags, false);
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    delete_fields(n, s, p);
    struct kap_point q = kap_point_with(p, &s->kept);
    q.tags = delete_tags(n, s, p->tags);
    q.group = group_of(n, s, p, q.tags);
    kap_emit_point(n, &q);
    kap_group_unref(kap_node_groups(n), q.group);
    kap_tags_unref(q.tags);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    struct kap_batch_begin nb = *b;
    const struct kap_tags *tags = delete_tags(n, s, b->group->tags);
    nb.group = tags == b->group->tags ? kap_group_ref(b->group) : kap_batch_regroup(n, b->group, b->name, tags);
    kap_tags_unref(tags);
    s->batch_group = nb.group;
    kap_emit_begin(n, &nb);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    delete_fields(n, s, p);
    struct kap_point q = kap_point_with(p, &s->kept);
    q.tags = delete_tags(n, s, p->tags);
    q.group = s->batch_group;
    kap_emit_batch_point(n, &q);
    kap_tags_unref(q.tags);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    struct kap_batch_begin nb = *b;
    nb.group = s->batch_group;
    kap_emit_end(n, &nb);
    kap_group_unref(kap_node_groups(n), nb.group);
    s->batch_group = NULL;
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    c->tags |= ((const struct config *)node->config)->tags.n > 0;
    kap_columns_below(node, c);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRINGS_ADD, struct config, fields, "field", NULL, "A field to delete."),
    KAP_PROP_AT(STRINGS_ADD, struct config, tags, "tag", NULL,
                "A tag to delete; if it is a group tag the grouping loses it."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .open = open_delete,
    .close = close_delete,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
    .counters = counters,
    .needs = needs,
};

const struct kap_node_type kap_node_delete = {
    .name = "delete",
    .kind = "delete",
    .doc = "Deletes fields and tags.",
    .signature = "()",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .props = props,
    .run = &run,
};
