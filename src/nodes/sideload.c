#include "nodes/sideload.h"

#include <math.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "base/number.h"
#include "nodes/nodes.h"
#include "nodes/services.h"
#include "nodes/sideload_source.h"
#include "nodes/util.h"
#include "template/template.h"

struct config {
    struct kap_str source;
    struct kap_strings order;
    struct kap_keyed_values fields, tags;
};

struct state {
    const struct config *cfg;
    struct kap_sideload_source *source;
    unsigned generation;
    struct kap_template **order;
    struct kap_str *paths;       /* of one point */
    struct kap_field_buf fields;
    struct kap_tag_buf tags;
};

static atomic_uint generation;

void kap_sideload_reload(void)
{
    atomic_fetch_add(&generation, 1);
}

static void close_sideload(struct kap_node *n, void *state)
{
    struct state *s = state;
    for (size_t i = 0; s->order && i < s->cfg->order.n; i++)
        kap_template_free(s->order[i]);
    kap_free(s->order);
    kap_free(s->paths);
    kap_sideload_source_free(s->source);
    kap_field_buf_done(&s->fields);
    kap_tag_buf_done(&s->tags);
}

static enum kap_status prepare(struct kap_node *n, struct state *s, struct kap_error *err)
{
    KAP_TRY(kap_sideload_source_new(kap_node_services(n), s->cfg->source, &s->source, err));
    for (size_t i = 0; i < s->cfg->order.n; i++)
        KAP_TRY(kap_template_new("order", s->cfg->order.v[i], KAP_TEMPLATE_TEXT, &s->order[i], err));
    return KAP_OK;
}

static enum kap_status open_sideload(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    s->generation = atomic_load(&generation);
    s->order = KAP_ARRAY(struct kap_template *, s->cfg->order.n + 1);
    s->paths = KAP_ARRAY(struct kap_str, s->cfg->order.n + 1);
    const enum kap_status status = prepare(n, s, err);
    if (status != KAP_OK)
        close_sideload(n, state);
    return status;
}

static void reload(struct kap_node *n, struct state *s)
{
    const unsigned now = atomic_load_explicit(&generation, memory_order_relaxed);
    struct kap_error err;
    if (now == s->generation)
        return;
    s->generation = now;
    if (kap_sideload_source_load(s->source, &err) != KAP_OK) /* the old values stay */
        kap_node_error(n, NULL, "failed to reload: %s", err.msg);
}

static enum kap_status find_paths(struct kap_node *n, struct state *s, const struct kap_point *p, struct kap_error *err)
{
    struct kap_arena *a = kap_node_scratch(n);
    const struct kap_tvalue dot = kap_t_tags(a, p->tags);
    for (size_t i = 0; i < s->cfg->order.n; i++) {
        KAP_AUTO_BUF struct kap_buf path = { 0 };
        KAP_TRY(kap_template_render(s->order[i], dot, a, &path, err));
        s->paths[i] = kap_arena_str(a, kap_buf_str(&path));
    }
    return KAP_OK;
}

static bool to_bool(struct kap_str s, struct kap_value *ret)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
    for (size_t i = 0; i < KAP_COUNT(yes); i++) {
        if (kap_str_is(s, yes[i]) || kap_str_is(s, no[i])) {
            *ret = kap_value_b(kap_str_is(s, yes[i]));
            return true;
        }
    }
    return false;
}

/* A value in the type of the default; false: it cannot be converted. */
static bool convert(struct kap_node *n, const struct kap_value *v, enum kap_type type, struct kap_value *ret)
{
    *ret = *v;
    if (v->type == type)
        return true;
    int64_t i;
    double f;
    switch (type) {
    case KAP_INT:
        if (v->type == KAP_FLOAT && fabs(v->f) < 9.2e18 && trunc(v->f) == v->f)
            *ret = kap_value_i((int64_t)v->f);
        else if (v->type == KAP_STRING && kap_str_to_i64(v->s, &i))
            *ret = kap_value_i(i);
        break;
    case KAP_FLOAT:
        if (v->type == KAP_STRING && kap_str_to_f64(v->s, &f))
            *ret = kap_value_f(f);
        break;
    case KAP_BOOL:
        if (v->type == KAP_STRING)
            return to_bool(v->s, ret);
        break;
    case KAP_STRING:
        if (v->type == KAP_BOOL) {
            *ret = kap_value_s(v->b ? KAP_STR("true") : KAP_STR("false"));
        } else if (v->type == KAP_FLOAT) {
            KAP_AUTO_BUF struct kap_buf b = { 0 };
            kap_number_format(&b, v->f, 'f', -1);
            *ret = kap_value_s(kap_arena_str(kap_node_scratch(n), kap_buf_str(&b)));
        }
        break;
    default:
        break;
    }
    return ret->type == type;
}

static struct kap_value look_up(struct kap_node *n, struct state *s, const struct kap_keyed_value *d, const struct kap_group *g)
{
    const struct kap_value *v = NULL;
    for (size_t i = 0; i < s->cfg->order.n && !v; i++)
        v = kap_sideload_source_get(s->source, s->paths[i], kap_sym_str(d->key));
    if (!v || v->type == KAP_MISSING)
        return d->v;
    struct kap_value ret;
    if (convert(n, v, d->v.type, &ret))
        return ret;
    kap_node_error(n, g, "failed to load key: cannot convert value of type %s to type %s (key %s)",
                   kap_go_type(v->type), kap_go_type(d->v.type), d->key->s);
    return d->v;
}

/* p with what was loaded; tags are a reference. */
static struct kap_point loaded(struct kap_node *n, struct state *s, const struct kap_point *p)
{
    struct kap_error err;
    struct kap_point q = *p;
    reload(n, s);
    kap_tags_ref(q.tags);
    if (find_paths(n, s, p, &err) != KAP_OK) {
        kap_node_error(n, p->group, "failed to evaluate order template: %s", err.msg);
        return q;
    }
    kap_field_buf_copy(&s->fields, p->fields, p->nfields);
    for (size_t i = 0; i < s->cfg->fields.n; i++)
        kap_field_buf_set(&s->fields, s->cfg->fields.v[i].key, look_up(n, s, &s->cfg->fields.v[i], p->group));
    q.fields = s->fields.v;
    q.nfields = s->fields.n;
    if (!s->cfg->tags.n)
        return q;
    kap_tag_buf_copy(&s->tags, p->tags);
    for (size_t i = 0; i < s->cfg->tags.n; i++)
        kap_tag_buf_set(&s->tags, s->cfg->tags.v[i].key, look_up(n, s, &s->cfg->tags.v[i], p->group).s);
    kap_tags_unref(q.tags);
    q.tags = kap_tag_buf_tags(&s->tags);
    return q;
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    struct kap_point q = loaded(n, s, p);
    q.group = q.tags == p->tags ? kap_group_ref(p->group) : kap_regroup(n, p->group, p->name, q.tags, false);
    kap_emit_point(n, &q);
    kap_group_unref(kap_node_groups(n), q.group);
    kap_tags_unref(q.tags);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    const struct kap_point q = loaded(n, state, p);
    kap_emit_batch_point(n, &q);
    kap_tags_unref(q.tags);
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

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct config, source, "source", NULL,
                "Where values come from: file:// and an absolute folder, a URL, or a [[httppost]] endpoint."),
    KAP_PROP_AT(STRINGS, struct config, order, "order", NULL,
                "Paths below the source, templates over the point's tags; the first that has a key counts."),
    { .kind = KAP_PROP_CALL, .name = "field", .signature = "(key string, default int, float, bool or string)",
      .set = set_field, .doc = "A key to add as a field; its value is converted to the type of the default." },
    { .kind = KAP_PROP_CALL, .name = "tag", .signature = "(key string, default string)", .set = set_tag,
      .doc = "A key to add as a tag." },
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .open = open_sideload,
    .close = close_sideload,
    .point = point,
    .batch_point = batch_point,
};

const struct kap_node_type kap_node_sideload = {
    .name = "sideload",
    .kind = "sideload",
    .doc = "Adds fields and tags from files or from a URL, chosen by the tags of the point.",
    .signature = "()",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .props = props,
    .run = &run,
};
