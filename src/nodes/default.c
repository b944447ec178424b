#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/util.h"

struct config {
    struct kap_keyed_values fields, tags;
};

enum { FIELDS_DEFAULTED, TAGS_DEFAULTED };
static const char *const counters[] = { "fields_defaulted", "tags_defaulted", NULL };

struct state {
    const struct config *cfg;
    struct kap_field_buf fields;
    struct kap_tag_buf tags;
    struct kap_group *batch_group; /* of the batch that passes */
};

static enum kap_status open_default(struct kap_node *n, void *state, struct kap_error *err)
{
    ((struct state *)state)->cfg = kap_node_config(n);
    return KAP_OK;
}

static void close_default(struct kap_node *n, void *state)
{
    struct state *s = state;
    kap_field_buf_done(&s->fields);
    kap_tag_buf_done(&s->tags);
}

static void default_fields(struct kap_node *n, struct state *s, const struct kap_point *p)
{
    kap_field_buf_copy(&s->fields, p->fields, p->nfields);
    for (size_t i = 0; i < s->cfg->fields.n; i++) {
        const struct kap_keyed_value *d = &s->cfg->fields.v[i];
        const struct kap_value *v = kap_field_buf_get(&s->fields, d->key);
        if (v && v->type != KAP_MISSING)
            continue;
        kap_field_buf_set(&s->fields, d->key, d->v);
        kap_node_count(n, FIELDS_DEFAULTED, 1);
    }
}

/* The tags with what was missing or empty; a reference. */
static const struct kap_tags *default_tags(struct kap_node *n, struct state *s, const struct kap_tags *tags)
{
    bool changed = false;
    for (size_t i = 0; i < s->cfg->tags.n; i++) {
        const struct kap_keyed_value *d = &s->cfg->tags.v[i];
        const struct kap_str *v = kap_tags_get(tags, d->key);
        if (v && v->n)
            continue;
        if (!changed)
            kap_tag_buf_copy(&s->tags, tags);
        changed = true;
        kap_tag_buf_set(&s->tags, d->key, d->v.s);
        kap_node_count(n, TAGS_DEFAULTED, 1);
    }
    return changed ? kap_tag_buf_tags(&s->tags) : kap_tags_ref(tags);
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    default_fields(n, s, p);
    struct kap_point q = kap_point_with(p, &s->fields);
    q.tags = default_tags(n, s, p->tags);
    q.group = q.tags == p->tags ? kap_group_ref(p->group) : kap_regroup(n, p->group, p->name, q.tags, false);
    kap_emit_point(n, &q);
    kap_group_unref(kap_node_groups(n), q.group);
    kap_tags_unref(q.tags);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    struct kap_batch_begin nb = *b;
    const struct kap_tags *tags = default_tags(n, s, b->group->tags);
    nb.group = tags == b->group->tags ? kap_group_ref(b->group) : kap_batch_regroup(n, b->group, b->name, tags);
    kap_tags_unref(tags);
    s->batch_group = nb.group;
    kap_emit_begin(n, &nb);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    default_fields(n, s, p);
    struct kap_point q = kap_point_with(p, &s->fields);
    q.tags = default_tags(n, s, p->tags);
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

static enum kap_status set_field(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                 struct kap_error *err)
{
    return kap_keyed_set_any(&((struct config *)config)->fields, arena, args, nargs, "field", err);
}

static enum kap_status set_tag(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                               struct kap_error *err)
{
    return kap_keyed_set_string(&((struct config *)config)->tags, arena, args, nargs, "tag", err);
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    const struct config *cfg = node->config;
    c->tags |= cfg->tags.n > 0;
    kap_columns_below(node, c);
}

static const struct kap_prop props[] = {
    { .kind = KAP_PROP_CALL, .name = "field", .signature = "(name string, value int, float, bool or string)",
      .set = set_field, .doc = "The value of a field where it is missing." },
    { .kind = KAP_PROP_CALL, .name = "tag", .signature = "(name string, value string)", .set = set_tag,
      .doc = "The value of a tag where it is missing or empty." },
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .open = open_default,
    .close = close_default,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
    .counters = counters,
    .needs = needs,
};

const struct kap_node_type kap_node_default = {
    .name = "default",
    .kind = "default",
    .doc = "Gives missing fields and missing or empty tags a value.",
    .signature = "()",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .props = props,
    .run = &run,
};
