#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/snapshot.h"
#include "nodes/stats.h"
#include "nodes/util.h"

struct config {
    struct kap_str field, as;
    int64_t unit_ns;
    bool non_negative;
};

struct state {
    const struct config *cfg;
    const struct kap_sym *field, *as;
    struct kap_field_buf fields;
    int64_t stats_ns; /* below a stats node: its interval; else 0 */
};

struct group {
    bool has;
    double value;
    int64_t time_ns;
};

static enum kap_status open_derivative(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    s->field = kap_sym(s->cfg->field);
    s->as = kap_sym(s->cfg->as);
    s->stats_ns = kap_stats_interval(kap_node_graph(n)->parents[0]);
    return KAP_OK;
}

static void close_derivative(struct kap_node *n, void *state)
{
    kap_field_buf_done(&((struct state *)state)->fields);
}

/* The rate of change since the point before; false: nothing to emit. */
static bool rate(struct kap_node *n, struct state *s, struct group *g, const struct kap_point *p, double *ret)
{
    const struct kap_value *v = kap_point_field(p, s->field);
    if (!v || (v->type != KAP_FLOAT && v->type != KAP_INT)) {
        kap_node_error(n, p->group, "cannot perform derivative: field is the wrong type (field %s, type %s)",
                       s->field->s, kap_go_type(v ? v->type : KAP_MISSING));
        return false;
    }
    const struct group before = *g;
    *g = (struct group){ .has = true, .value = v->type == KAP_INT ? (double)v->i : v->f, .time_ns = p->time_ns };
    if (!before.has)
        return false;
    const double elapsed_ns = (double)(g->time_ns - before.time_ns);
    if (elapsed_ns == 0) {
        kap_node_error(n, p->group, "cannot perform derivative: elaspsed time was 0");
        return false;
    }
    const double diff = g->value - before.value;
    /* A stats node that skipped an interval: the server stood still, and what arrives now says nothing about the time
     * meanwhile. So a deadman never takes the server's own sleep for the death of what it watches. */
    if (s->stats_ns && g->time_ns - before.time_ns > s->stats_ns)
        return false;
    if (s->cfg->non_negative && diff < 0)
        return false;
    *ret = diff / (elapsed_ns / (double)s->cfg->unit_ns);
    return true;
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    double v;
    if (!rate(n, s, gs, p, &v))
        return;
    kap_field_buf_copy(&s->fields, p->fields, p->nfields);
    kap_field_buf_set(&s->fields, s->as, kap_value_f(v));
    const struct kap_point q = kap_point_with(p, &s->fields);
    kap_emit_point(n, &q);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct kap_batch_begin nb = *b;
    nb.size_hint = b->size_hint ? b->size_hint - 1 : 0;
    ((struct group *)gs)->has = false;
    kap_emit_begin(n, &nb);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    double v;
    if (!rate(n, s, gs, p, &v))
        return;
    kap_field_buf_copy(&s->fields, p->fields, p->nfields);
    kap_field_buf_set(&s->fields, s->as, kap_value_f(v));
    const struct kap_point q = kap_point_with(p, &s->fields);
    kap_emit_batch_point(n, &q);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_buf *out)
{
    const struct group *g = gs;
    if (!kg || !g->has)
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_f64(&w, g->value);
    kap_snap_i64(&w, g->time_ns);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_str data,
                            struct kap_error *err)
{
    const struct state *s = state;
    struct group *g = gs;
    if (!kg || !data.n || s->stats_ns) /* counts of a stats node have begun anew */
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    g->value = kap_snap_get_f64(&r);
    g->time_ns = kap_snap_get_i64(&r);
    g->has = true;
    return kap_snap_end(&r, err);
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    const struct config *cfg = node->config;
    kap_columns_pass(node, c, kap_sym(cfg->as));
    kap_columns_add(c, kap_sym(cfg->field));
}

static void init(void *config)
{
    ((struct config *)config)->unit_ns = INT64_C(1000000000);
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct config *c = config;
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_STRING, "derivative", err));
    if (nargs != 1)
        return kap_fail(err, KAP_EINVAL, "derivative expects one field");
    c->field = c->as = kap_arena_str(arena, args[0].value.s);
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct config, as, "as", NULL, "The name of the result; it replaces the field by default."),
    KAP_PROP_AT(DURATION, struct config, unit_ns, "unit", NULL, "The time that the rate refers to; 1s by default."),
    KAP_PROP_AT(FLAG, struct config, non_negative, "nonNegative", NULL, "Drops negative results."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_derivative,
    .close = close_derivative,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .save = save,
    .load = load,
    .needs = needs,
};

const struct kap_node_type kap_node_derivative = {
    .name = "derivative",
    .kind = "derivative",
    .doc = "The rate of change of a field between a point and the one before it.",
    .signature = "(field string)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .init = init,
    .args = args,
    .props = props,
    .run = &run,
};
