#include "base/mem.h"
#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct config {
    struct kap_strings on;
    struct kap_str delimiter;
    int64_t tolerance_ns;
    bool drop_field_name;
};

struct state {
    const struct config *cfg;
    const struct kap_sym **on;
};

/* The flat point of one time as it grows. Its fields' text lies in an arena that is reset with each point. */
struct group {
    bool timed;              /* time_ns is set */
    bool open;               /* points of this time came */
    int64_t time_ns;
    const struct kap_sym *name;
    struct kap_field_buf fields;
    struct kap_arena *text;
    size_t charged;
};

static enum kap_status open_flatten(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    s->on = KAP_ARRAY(const struct kap_sym *, s->cfg->on.n + 1);
    for (size_t i = 0; i < s->cfg->on.n; i++)
        s->on[i] = kap_sym(s->cfg->on.v[i]);
    return KAP_OK;
}

static void close_flatten(struct kap_node *n, void *state)
{
    kap_free(((struct state *)state)->on);
}

static void charge(struct kap_node *n, struct group *g)
{
    const size_t bytes = g->fields.cap * sizeof *g->fields.v + (g->text ? kap_arena_bytes(g->text) : 0);
    kap_node_charge(n, (int64_t)bytes - (int64_t)g->charged);
    g->charged = bytes;
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    struct group *g = gs;
    kap_field_buf_done(&g->fields);
    kap_arena_free(g->text);
    g->text = NULL;
    charge(n, g);
}

static void clear(struct group *g)
{
    g->open = false;
    g->fields.n = 0;
    if (g->text)
        kap_arena_reset(g->text);
}

/* Adds a point's fields under names made of its tags; false: a tag is missing. */
static void add(struct kap_node *n, const struct state *s, struct group *g, const struct kap_point *p)
{
    KAP_AUTO_BUF struct kap_buf name = { 0 };
    g->open = true;
    for (size_t i = 0; i < s->cfg->on.n; i++) {
        const struct kap_str *tag = kap_tags_get(p->tags, s->on[i]);
        if (!tag) {
            kap_node_error(n, p->group, "point missing tag for flatten operation: tag %s is missing from point",
                           s->on[i]->s);
            return;
        }
        if (i > 0)
            kap_buf_add(&name, s->cfg->delimiter);
        kap_buf_add(&name, *tag);
    }
    const size_t prefix = name.n;
    for (uint32_t i = 0; i < p->nfields; i++) {
        name.n = prefix;
        if (!s->cfg->drop_field_name) {
            if (prefix)
                kap_buf_add(&name, s->cfg->delimiter);
            kap_buf_add(&name, kap_sym_str(p->fields[i].key));
        }
        struct kap_value v = p->fields[i].v;
        if (v.type == KAP_STRING) {
            if (!g->text)
                g->text = kap_arena_new();
            v.s = kap_arena_str(g->text, v.s);
        }
        kap_field_buf_set(&g->fields, kap_sym(kap_buf_str(&name)), v);
    }
}

static struct kap_point flat(const struct group *g, struct kap_group *kg)
{
    return (struct kap_point){
        .time_ns = g->time_ns,
        .db = kap_sym_empty,
        .rp = kap_sym_empty,
        .name = g->name,
        .tags = kg->tags,
        .group = kg,
        .nfields = g->fields.n,
        .fields = g->fields.v,
    };
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    struct group *g = gs;
    const int64_t t_ns = kap_time_round(p->time_ns, s->cfg->tolerance_ns);
    if (!g->name)
        g->name = p->name;
    if (g->timed && t_ns != g->time_ns && g->open) {
        const struct kap_point q = flat(g, p->group);
        if (q.nfields)
            kap_emit_point(n, &q);
        clear(g);
    }
    g->timed = true;
    g->time_ns = t_ns;
    add(n, s, g, p);
    charge(n, g);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct group *g = gs;
    struct kap_batch_begin nb = *b;
    nb.size_hint = 0;
    clear(g);
    g->name = b->name;
    g->timed = false;
    kap_emit_begin(n, &nb);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    struct group *g = gs;
    const int64_t t_ns = kap_time_round(p->time_ns, s->cfg->tolerance_ns);
    if (g->timed && t_ns != g->time_ns && g->open) {
        const struct kap_point q = flat(g, p->group);
        if (q.nfields)
            kap_emit_batch_point(n, &q);
        clear(g);
    }
    g->timed = true;
    g->time_ns = t_ns;
    add(n, s, g, p);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct group *g = gs;
    if (g->open) {
        const struct kap_point q = flat(g, b->group);
        kap_emit_batch_point(n, &q);
        clear(g);
    }
    kap_emit_end(n, b);
    charge(n, g);
}

static void barrier(struct kap_node *n, void *state, void *gs, const struct kap_barrier *b, int in)
{
    struct group *g = gs;
    if (g->open && b->time_ns > g->time_ns) {
        const struct kap_point q = flat(g, b->group);
        kap_emit_point(n, &q);
        clear(g);
    }
    kap_emit_barrier(n, b);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_buf *out)
{
    const struct group *g = gs;
    if (!kg || !g->timed)
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    const struct kap_point q = flat(g, kg);
    kap_snap_u64(&w, g->open);
    kap_snap_point(&w, &q);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_str data,
                            struct kap_error *err)
{
    struct group *g = gs;
    if (!kg || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    const bool is_open = kap_snap_get_u64(&r) != 0;
    struct kap_point *p = kap_snap_get_point(&r, kap_node_groups(n));
    if (p) {
        g->timed = true;
        g->open = is_open;
        g->time_ns = p->time_ns;
        g->name = p->name;
        for (uint32_t i = 0; i < p->nfields; i++) {
            struct kap_value v = p->fields[i].v;
            if (v.type == KAP_STRING) {
                if (!g->text)
                    g->text = kap_arena_new();
                v.s = kap_arena_str(g->text, v.s);
            }
            kap_field_buf_add(&g->fields, p->fields[i].key, v);
        }
        kap_point_free(kap_node_groups(n), p);
        charge(n, g);
    }
    return kap_snap_end(&r, err);
}

static void init(void *config)
{
    ((struct config *)config)->delimiter = KAP_STR(".");
}

static enum kap_status set_drop(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                struct kap_error *err)
{
    struct config *c = config;
    c->drop_field_name = true;
    if (nargs == 0)
        return KAP_OK;
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_BOOL, "dropOriginalFieldName", err));
    c->drop_field_name = args[0].value.b;
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRINGS, struct config, on, "on", NULL, "The tags whose values make the new field names."),
    KAP_PROP_AT(STRING, struct config, delimiter, "delimiter", NULL, "Between the parts of a name; \".\" by default."),
    KAP_PROP_AT(DURATION, struct config, tolerance_ns, "tolerance", NULL,
                "Times are rounded to multiples of this before they are compared."),
    { .kind = KAP_PROP_CALL, .name = "dropOriginalFieldName", .signature = "(drop ...bool)", .set = set_drop,
      .doc = "Leaves the old field name out of the new one." },
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_flatten,
    .close = close_flatten,
    .group_close = group_close,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
    .barrier = barrier,
    .save = save,
    .load = load,
};

const struct kap_node_type kap_node_flatten = {
    .name = "flatten",
    .kind = "flatten",
    .doc = "Makes the points of a group that have one time into one point; the values of tags become parts of field "
           "names.",
    .signature = "()",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .init = init,
    .props = props,
    .run = &run,
};
