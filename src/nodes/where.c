#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/util.h"

struct config {
    const struct kap_expr *expression;
};

struct state {
    struct kap_lambda *lambda;
};

struct group {
    struct kap_lambda_state *lambda; /* NULL: the expression keeps nothing */
};

static enum kap_status open_where(struct kap_node *n, void *state, struct kap_error *err)
{
    const struct config *c = kap_node_config(n);
    struct state *s = state;
    if (kap_lambda_new(c->expression, NULL, &s->lambda, err) != KAP_OK)
        return kap_wrap(err, "Failed to compile expression in where clause");
    return KAP_OK;
}

static void close_where(struct kap_node *n, void *state)
{
    kap_lambda_free(((struct state *)state)->lambda);
}

static void group_open(struct kap_node *n, void *state, void *gs, struct kap_group *g)
{
    ((struct group *)gs)->lambda = kap_lambda_state_new(((struct state *)state)->lambda);
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *g)
{
    kap_lambda_state_free(((struct group *)gs)->lambda);
}

static bool passes(struct kap_node *n, struct state *s, struct group *gs, const struct kap_point *p)
{
    struct kap_error err;
    bool pass = false;
    if (kap_node_predicate(n, s->lambda, gs->lambda, p, &pass, &err) == KAP_OK)
        return pass;
    kap_node_error(n, p->group, "error while evaluating expression: %s", err.msg);
    return false;
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    if (passes(n, state, gs, p))
        kap_emit_point(n, p);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct kap_batch_begin nb = *b;
    nb.size_hint = 0;
    kap_emit_begin(n, &nb);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    if (passes(n, state, gs, p))
        kap_emit_batch_point(n, p);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_buf *out)
{
    if (g && ((struct group *)gs)->lambda)
        kap_lambda_state_save(((struct group *)gs)->lambda, out);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_str data,
                            struct kap_error *err)
{
    struct group *group = gs;
    return g && group->lambda && data.n ? kap_lambda_state_load(group->lambda, data, err) : KAP_OK;
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct config *c = config;
    if (nargs != 1 || args[0].kind != KAP_ARG_LAMBDA)
        return kap_fail(err, KAP_EINVAL, "where expects one lambda expression");
    c->expression = args[0].lambda;
    return KAP_OK;
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    kap_columns_expr(c, ((const struct config *)node->config)->expression);
    kap_columns_below(node, c);
}

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_where,
    .close = close_where,
    .group_open = group_open,
    .group_close = group_close,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .save = save,
    .load = load,
    .needs = needs,
};

const struct kap_node_type kap_node_where = {
    .name = "where",
    .kind = "where",
    .doc = "Passes on the points for which the expression is true. A point that it cannot be evaluated for is dropped "
           "and counted as an error.",
    .signature = "(expression lambda)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .args = args,
    .run = &run,
};
