/* deadman(threshold, interval, conditions..): an alert when a node emits no more than `threshold` points per interval.
 * Short for |stats(interval).align()|derivative('emitted').unit(interval).nonNegative()|alert().crit(..). */
#include "base/duration.h"
#include "nodes/nodes.h"
#include "nodes/stats.h"
#include "nodes/util.h"
#include "pipeline/bind.h"

static enum kap_status set(struct kap_graph_node *node, const char *name, struct kap_arg arg, bool flag,
                           struct kap_error *err)
{
    const struct kap_prop *p = kap_bind_find(node->type->props, kap_str(name));
    if (!p)
        return kap_fail(err, KAP_EINTERNAL, "%s has no property %s", node->type->name, name);
    return kap_bind_set(node->config, node->graph->arena, p, node->type->name, &arg, flag ? 0 : 1, err);
}

static struct kap_arg value(struct kap_value v)
{
    return (struct kap_arg){ .kind = KAP_ARG_VALUE, .value = v };
}

/* `text` with the first `what` replaced. */
static struct kap_str replaced(struct kap_arena *a, struct kap_str text, const char *what, struct kap_str with)
{
    const char *at = memmem(text.p, text.n, what, strlen(what));
    if (!at)
        return text;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_addn(&b, text.p, (size_t)(at - text.p));
    kap_buf_add(&b, with);
    const char *rest = at + strlen(what);
    kap_buf_addn(&b, rest, (size_t)(text.p + text.n - rest));
    return kap_arena_str(a, kap_buf_str(&b));
}

static struct kap_expr *binary(struct kap_arena *a, enum kap_op op, const struct kap_expr *left,
                               const struct kap_expr *right)
{
    struct kap_expr *e = KAP_ARENA_NEW(a, struct kap_expr);
    e->kind = KAP_EXPR_BINARY;
    e->op = op;
    e->left = kap_expr_copy(a, left);
    e->right = kap_expr_copy(a, right);
    return e;
}

/* "emitted" <= threshold AND conditions.. */
static enum kap_status condition(struct kap_arena *a, double threshold, const struct kap_arg *more, size_t nmore,
                                 struct kap_arg *ret, struct kap_error *err)
{
    const struct kap_expr emitted = { .kind = KAP_EXPR_REFERENCE, .name = KAP_STR("emitted") };
    const struct kap_expr *e = binary(a, KAP_OP_LE, &emitted, kap_expr_literal(a, kap_value_f(threshold)));
    for (size_t i = 0; i < nmore; i++) {
        if (more[i].kind != KAP_ARG_LAMBDA)
            return kap_fail(err, KAP_EINVAL, "deadman: argument %zu must be a lambda expression", i + 3);
        e = binary(a, KAP_OP_AND, e, more[i].lambda);
    }
    *ret = (struct kap_arg){ .kind = KAP_ARG_LAMBDA, .lambda = e };
    return KAP_OK;
}

static enum kap_status add_alert(struct kap_graph_node *below, struct kap_graph_node *watched, double threshold,
                                 int64_t interval_ns, const struct kap_arg *more, size_t nmore,
                                 struct kap_graph_node **ret, struct kap_error *err)
{
    struct kap_graph *g = below->graph;
    const struct kap_node_type *type = kap_registry_kind(g->registry, "alert");
    if (!type)
        return kap_fail(err, KAP_EINTERNAL, "there is no alert node");
    struct kap_graph_node *alert;
    struct kap_arg crit;
    KAP_TRY(condition(g->arena, threshold, more, nmore, &crit, err));
    KAP_TRY(kap_graph_add(g, below, type, &alert, err));
    KAP_AUTO_BUF struct kap_buf interval = { 0 };
    kap_duration_format_go(&interval, interval_ns);
    const struct kap_str id = replaced(g->arena, g->deadman.id, "NODE_NAME", kap_str(watched->name));
    const struct kap_str message = replaced(g->arena, g->deadman.message, "INTERVAL", kap_buf_str(&interval));
    KAP_TRY(set(alert, "crit", crit, false, err));
    KAP_TRY(set(alert, "id", value(kap_value_s(id)), false, err));
    KAP_TRY(set(alert, "message", value(kap_value_s(message)), false, err));
    *ret = alert;
    return KAP_OK;
}

static enum kap_status expand(struct kap_graph_node *parent, const struct kap_arg *args, size_t nargs,
                              struct kap_graph_node **ret, struct kap_error *err)
{
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_FLOAT, "deadman", err));
    KAP_TRY(kap_arg_check(args, nargs, 1, KAP_DURATION, "deadman", err));
    const int64_t interval_ns = args[1].value.i;
    struct kap_graph_node *stats, *rate;
    KAP_TRY(kap_stats_add(parent, interval_ns, true, &stats, err));
    KAP_TRY(kap_graph_add(parent->graph, stats, &kap_node_derivative, &rate, err));
    const struct kap_arg field = value(kap_value_s(KAP_STR("emitted")));
    KAP_TRY(rate->type->args(rate->config, rate, parent->graph->arena, &field, 1, err));
    KAP_TRY(set(rate, "unit", value(kap_value_dur(interval_ns)), false, err));
    KAP_TRY(set(rate, "nonNegative", field, true, err));
    return add_alert(rate, parent, args[0].value.f, interval_ns, args + 2, nargs - 2, ret, err);
}

const struct kap_node_type kap_node_deadman = {
    .name = "deadman",
    .kind = "deadman",
    .doc = "An alert that is critical when a node emits no more than threshold points in an interval, and the "
           "conditions hold.",
    .signature = "(threshold float, interval duration, conditions ...lambda)",
    .below = KAP_BELOW_ANY,
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_STREAM,
    .expand = expand,
};
