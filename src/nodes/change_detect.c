#include "base/mem.h"
#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct config {
    struct kap_strings fields;
};

struct state {
    size_t n;
    const struct kap_sym **fields;
};

/* The watched fields of the last point that was passed on: NULL: there was none. */
struct group {
    struct kap_value *v;   /* state.n; MISSING also where the field was not there */
    struct kap_buf *text;  /* of strings, one each */
};

static enum kap_status open_change_detect(struct kap_node *n, void *state, struct kap_error *err)
{
    const struct config *c = kap_node_config(n);
    struct state *s = state;
    s->n = c->fields.n;
    s->fields = KAP_ARRAY(const struct kap_sym *, s->n + 1);
    for (size_t i = 0; i < s->n; i++)
        s->fields[i] = kap_sym(c->fields.v[i]);
    return KAP_OK;
}

static void close_change_detect(struct kap_node *n, void *state)
{
    kap_free(((struct state *)state)->fields);
}

static void forget(struct kap_node *n, const struct state *s, struct group *g)
{
    if (!g->v)
        return;
    for (size_t i = 0; i < s->n; i++)
        kap_buf_done(&g->text[i]);
    kap_free(g->text);
    kap_free(g->v);
    *g = (struct group){ 0 };
    kap_node_charge(n, -(int64_t)(s->n * (sizeof *g->v + sizeof *g->text)));
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    forget(n, state, gs);
}

typedef const struct kap_value *(*get_fn)(const void *from, const struct kap_sym *key, size_t i);

static void remember(struct kap_node *n, const struct state *s, struct group *g, get_fn get, const void *from)
{
    if (!g->v) {
        g->v = KAP_ARRAY(struct kap_value, s->n + 1);
        g->text = KAP_ARRAY(struct kap_buf, s->n + 1);
        kap_node_charge(n, (int64_t)(s->n * (sizeof *g->v + sizeof *g->text)));
    }
    for (size_t i = 0; i < s->n; i++) {
        const struct kap_value *v = get(from, s->fields[i], i);
        g->v[i] = v ? *v : (struct kap_value){ .type = KAP_MISSING };
        if (g->v[i].type != KAP_STRING)
            continue;
        kap_buf_reset(&g->text[i]);
        kap_buf_add(&g->text[i], g->v[i].s);
        g->v[i].s = kap_buf_str(&g->text[i]);
    }
}

static const struct kap_value *of_point(const void *from, const struct kap_sym *key, size_t i)
{
    return kap_point_field(from, key);
}

static const struct kap_value *of_list(const void *from, const struct kap_sym *key, size_t i)
{
    return &((const struct kap_value *)from)[i];
}

static bool differs(const struct group *g, size_t i, const struct kap_value *v)
{
    if (!g->v || g->v[i].type == KAP_MISSING)
        return v->type != KAP_MISSING;
    return !kap_value_eq(&g->v[i], v);
}

static bool changed(struct kap_node *n, const struct state *s, struct group *g, const struct kap_point *p)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct kap_value *v = kap_point_field(p, s->fields[i]);
        if (!v) {
            kap_node_error(n, p->group, "Invalid field in change detect: expected field %s not found",
                           s->fields[i]->s);
            continue;
        }
        if (!differs(g, i, v))
            continue;
        remember(n, s, g, of_point, p);
        return true;
    }
    return false;
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    if (changed(n, state, gs, p))
        kap_emit_point(n, p);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct kap_batch_begin nb = *b;
    nb.size_hint = 0;
    forget(n, state, gs);
    kap_emit_begin(n, &nb);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    if (changed(n, state, gs, p))
        kap_emit_batch_point(n, p);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_buf *out)
{
    const struct state *s = state;
    const struct group *g = gs;
    if (!kg || !g->v)
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    for (size_t i = 0; i < s->n; i++)
        kap_snap_value(&w, &g->v[i]);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_str data,
                            struct kap_error *err)
{
    const struct state *s = state;
    if (!kg || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    KAP_AUTO_FREE struct kap_value *v = KAP_ARRAY(struct kap_value, s->n + 1);
    for (size_t i = 0; i < s->n; i++)
        v[i] = kap_snap_get_value(&r);
    KAP_TRY(kap_snap_end(&r, err));
    remember(n, s, gs, of_list, v);
    return KAP_OK;
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    const struct config *cfg = node->config;
    for (size_t i = 0; i < cfg->fields.n; i++)
        kap_columns_add(c, kap_sym(cfg->fields.v[i]));
    kap_columns_below(node, c);
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    return kap_args_strings(&((struct config *)config)->fields, arena, args, nargs, "changeDetect", err);
}

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_change_detect,
    .close = close_change_detect,
    .group_close = group_close,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .save = save,
    .load = load,
    .needs = needs,
};

const struct kap_node_type kap_node_change_detect = {
    .name = "changeDetect",
    .kind = "changeDetect",
    .doc = "Passes on a point only when one of the fields differs, in value or type, from the point passed on before.",
    .signature = "(fields ...string)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .args = args,
    .run = &run,
};
