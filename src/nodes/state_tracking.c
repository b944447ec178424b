#include "nodes/state_tracking.h"
#include "nodes/columns.h"
#include "nodes/snapshot.h"

struct state {
    const struct kap_tracking_config *cfg;
    const struct kap_sym *as;
    struct kap_lambda *lambda;
    struct kap_field_buf fields;
};

struct group {
    struct kap_lambda_state *lambda;
    bool inside;
    int64_t since_ns, count;
};

static enum kap_status open_tracking(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    s->as = kap_sym(s->cfg->as);
    return kap_lambda_new(s->cfg->expression, NULL, &s->lambda, err);
}

static void close_tracking(struct kap_node *n, void *state)
{
    struct state *s = state;
    kap_lambda_free(s->lambda);
    kap_field_buf_done(&s->fields);
}

static void group_open(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    ((struct group *)gs)->lambda = kap_lambda_state_new(((struct state *)state)->lambda);
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    kap_lambda_state_free(((struct group *)gs)->lambda);
}

static struct kap_value track(const struct state *s, struct group *g, int64_t time_ns, bool inside)
{
    if (inside && !g->inside) {
        g->since_ns = time_ns;
        g->count = 0;
    }
    g->inside = inside;
    if (s->cfg->counts_points)
        return kap_value_i(inside ? ++g->count : -1);
    return kap_value_f(inside ? (double)(time_ns - g->since_ns) / (double)s->cfg->unit_ns : -1);
}

/* The point with the new field; false: it is dropped and the state stays. */
static bool make(struct kap_node *n, struct state *s, struct group *g, const struct kap_point *p, struct kap_point *q)
{
    struct kap_error err;
    bool inside;
    if (kap_node_predicate(n, s->lambda, g->lambda, p, &inside, &err) != KAP_OK) {
        kap_node_error(n, p->group, "error while evaluating expression: %s", err.msg);
        return false;
    }
    kap_field_buf_copy(&s->fields, p->fields, p->nfields);
    kap_field_buf_set(&s->fields, s->as, track(s, g, p->time_ns, inside));
    *q = kap_point_with(p, &s->fields);
    return true;
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct kap_point q;
    if (make(n, state, gs, p, &q))
        kap_emit_point(n, &q);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    ((struct group *)gs)->inside = false;
    kap_emit_begin(n, b);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct kap_point q;
    if (make(n, state, gs, p, &q))
        kap_emit_batch_point(n, &q);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_buf *out)
{
    const struct group *g = gs;
    if (!kg)
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_u64(&w, g->inside);
    kap_snap_i64(&w, g->since_ns);
    kap_snap_i64(&w, g->count);
    kap_snap_lambda(&w, g->lambda);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_str data,
                            struct kap_error *err)
{
    struct group *g = gs;
    if (!kg || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    g->inside = kap_snap_get_u64(&r) != 0;
    g->since_ns = kap_snap_get_i64(&r);
    g->count = kap_snap_get_i64(&r);
    KAP_TRY(kap_snap_get_lambda(&r, g->lambda, err));
    return kap_snap_end(&r, err);
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    const struct kap_tracking_config *cfg = node->config;
    kap_columns_pass(node, c, kap_sym(cfg->as));
    kap_columns_expr(c, cfg->expression);
}

enum kap_status kap_tracking_args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                                  const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    if (nargs != 1 || args[0].kind != KAP_ARG_LAMBDA)
        return kap_fail(err, KAP_EINVAL, "%s expects one lambda expression", node->type->name);
    ((struct kap_tracking_config *)config)->expression = args[0].lambda;
    return KAP_OK;
}

const struct kap_node_run kap_tracking_run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_tracking,
    .close = close_tracking,
    .group_open = group_open,
    .group_close = group_close,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .save = save,
    .load = load,
    .needs = needs,
};
