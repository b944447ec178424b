#include "base/buf.h"
#include "base/duration.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/number.h"
#include "lambda/lambda.h"
#include "pipeline/bind.h"
#include "template/template.h"
#include "tick/ast.h"
#include "tick/vars.h"

#define DEADMAN_ID "{{ .Group }}:NODE_NAME for task '{{ .TaskName }}'"
#define DEADMAN_MESSAGE                                                                                          \
    "{{ .ID }} is {{ if eq .Level \"OK\" }}alive{{ else }}dead{{ end }}: "                                       \
    "{{ index .Fields \"emitted\" | printf \"%0.3f\" }} points/INTERVAL."

const struct kap_deadman kap_deadman_default = {
    .interval_ns = 10 * KAP_S,
    .id = { DEADMAN_ID, sizeof DEADMAN_ID - 1 },
    .message = { DEADMAN_MESSAGE, sizeof DEADMAN_MESSAGE - 1 },
};

/* A value of the script. `handler` is the latest one of an alert node, see struct kap_bind_target. */
struct value {
    struct kap_arg arg;
    int handler;
    size_t nodes;              /* of a lambda, with everything put in */
    bool is_name;              /* an identifier that nobody asked for yet; `name` */
    struct kap_str name;
};

struct eval {
    const struct kap_tick_options *opt;
    struct kap_graph *graph;
    struct kap_arena *arena;   /* the graph's */
    struct kap_map *scope;     /* name -> struct value */
    struct kap_tick_vars *vars; /* found in the script */
    struct kap_tick_hint *hint;
    struct kap_error *err;
};

static enum kap_status eval_expr(struct eval *x, const struct kap_expr *e, struct value *ret);

/* ---- scope ---- */

static void define(struct eval *x, struct kap_str name, const struct value *v)
{
    struct value *copy = KAP_ARENA_NEW(x->arena, struct value);
    *copy = *v;
    (void)kap_map_put(x->scope, name, copy);
}

static int compare_names(const void *a, const void *b)
{
    const struct kap_str *x = a, *y = b;
    return kap_str_cmp(*x, *y);
}

static void hint_at(struct eval *x, const struct kap_expr *at)
{
    x->hint->line = at->line;
    x->hint->character = at->character;
}

static enum kap_status undefined(struct eval *x, struct kap_str name, const struct kap_expr *at)
{
    const size_t n = kap_map_len(x->scope) + 1; /* and the function time() */
    KAP_AUTO_FREE struct kap_str *names = KAP_ARRAY(struct kap_str, n);
    KAP_AUTO_FREE const char **terminated = KAP_ARRAY(const char *, n);
    size_t i = 0, found = 0;
    while (kap_map_next(x->scope, &i, &names[found], NULL))
        found++;
    names[found] = KAP_STR("time");
    qsort(names, n, sizeof *names, compare_names);
    KAP_AUTO_BUF struct kap_buf list = { .max = 1024 };
    for (i = 0; i < n; i++) {
        terminated[i] = kap_arena_str(x->arena, names[i]).p;
        kap_buf_addf(&list, "%s%s", i ? "," : "", terminated[i]);
    }
    hint_at(x, at);
    const int k = kap_closest(kap_arena_str(x->arena, name).p, terminated, n);
    if (k >= 0)
        (void)snprintf(x->hint->text, sizeof x->hint->text, "did you mean %s?", terminated[k]);
    return kap_fail(x->err, KAP_EINVAL, "name \"%.*s\" is undefined. Names in scope: %s", KAP_STR_ARG(name),
                    list.p);
}

static enum kap_status look_up(struct eval *x, struct kap_str name, const struct kap_expr *at,
                               struct value *ret)
{
    const struct value *v = kap_map_get(x->scope, name);
    if (!v)
        return undefined(x, name, at);
    *ret = *v;
    ret->arg.at = at;
    return KAP_OK;
}

/* Evaluates to something that is not a bare name. */
static enum kap_status eval_value(struct eval *x, const struct kap_expr *e, struct value *ret)
{
    KAP_TRY(eval_expr(x, e, ret));
    return ret->is_name ? look_up(x, ret->name, e, ret) : KAP_OK;
}

static struct value of_value(struct kap_value v, const struct kap_expr *at)
{
    return (struct value){ .arg = { .kind = KAP_ARG_VALUE, .value = v, .at = at }, .handler = -1 };
}

/* ---- lambdas: a copy with the values of vars put in ---- */

static enum kap_status not_literal(struct eval *x, const struct kap_arg *a)
{
    KAP_AUTO_BUF struct kap_buf shown = { 0 };
    if (a->kind == KAP_ARG_NODE)
        kap_graph_shown(&shown, a->node->type);
    else
        kap_buf_adds(&shown, a->kind == KAP_ARG_LIST   ? "list"
                             : a->kind == KAP_ARG_STAR ? "star"
                                                       : "function");
    return kap_fail(x->err, KAP_EINVAL, "unsupported literal type %s", shown.p);
}

static enum kap_status too_big(struct eval *x)
{
    return kap_fail(x->err, KAP_ELIMIT, "lambda expression has more than %d parts with all its vars put in",
                    KAP_TICK_LAMBDA_NODES);
}

static enum kap_status put_in(struct eval *x, const struct kap_expr *at, size_t *nodes, struct kap_expr **ret)
{
    struct value v = { 0 };
    KAP_TRY(look_up(x, at->name, at, &v));
    struct kap_expr *e;
    if (v.arg.kind == KAP_ARG_VALUE) {
        e = kap_expr_literal(x->arena, v.arg.value);
    } else if (v.arg.kind == KAP_ARG_LAMBDA) {
        e = KAP_ARENA_NEW(x->arena, struct kap_expr);
        *e = *v.arg.lambda;
        e->parens = e->kind == KAP_EXPR_BINARY;
        *nodes += v.nodes;
    } else {
        return not_literal(x, &v.arg);
    }
    e->line = at->line;
    e->character = at->character;
    e->depth = KAP_MAX(e->depth, 1);
    *ret = e;
    return KAP_OK;
}

static enum kap_status resolve(struct eval *x, const struct kap_expr *e, size_t *nodes, struct kap_expr **ret)
{
    if (++*nodes > KAP_TICK_LAMBDA_NODES)
        return too_big(x);
    if (e->kind == KAP_EXPR_IDENTIFIER)
        return put_in(x, e, nodes, ret);
    if (e->kind == KAP_EXPR_STAR || e->kind == KAP_EXPR_LIST || e->kind == KAP_EXPR_CHAIN ||
        e->kind == KAP_EXPR_LAMBDA) {
        return kap_fail(x->err, KAP_EINVAL, "line %d char %d: not allowed in an expression", e->line,
                        e->character);
    }
    struct kap_expr *copy = KAP_ARENA_NEW(x->arena, struct kap_expr);
    *copy = *e;
    copy->comment = NULL;
    copy->depth = 1;
    if (e->left) {
        KAP_TRY(resolve(x, e->left, nodes, &copy->left));
        copy->depth = KAP_MAX(copy->depth, copy->left->depth + 1);
    }
    if (e->right) {
        KAP_TRY(resolve(x, e->right, nodes, &copy->right));
        copy->depth = KAP_MAX(copy->depth, copy->right->depth + 1);
    }
    if (e->nargs > 0)
        copy->args = KAP_ARENA_ARRAY(x->arena, struct kap_expr *, e->nargs);
    for (size_t i = 0; i < e->nargs; i++) {
        KAP_TRY(resolve(x, e->args[i], nodes, &copy->args[i]));
        copy->depth = KAP_MAX(copy->depth, copy->args[i]->depth + 1);
    }
    if (copy->depth > KAP_TICK_DEPTH || *nodes > KAP_TICK_LAMBDA_NODES)
        return too_big(x);
    *ret = copy;
    return KAP_OK;
}

/* What cannot work once the task runs, `found`: told, or in strict mode refused. */
static enum kap_status cannot_work(struct eval *x, const struct kap_expr *at, const struct kap_error *found)
{
    if (x->opt->warn)
        x->opt->warn(x->opt->warn_ctx, at->line, at->character, found->msg);
    if (!x->opt->strict)
        return KAP_OK;
    hint_at(x, at);
    return kap_fail(x->err, found->status, "line %d char %d: %s", at->line, at->character, found->msg);
}

static enum kap_status check_lambda(struct eval *x, const struct kap_expr *e, const struct kap_expr *at)
{
    struct kap_lambda *l = NULL;
    struct kap_error err;
    if (!x->opt->warn && !x->opt->strict)
        return KAP_OK;
    const enum kap_status st = kap_lambda_new(e, NULL, &l, &err);
    kap_lambda_free(l);
    return st == KAP_OK ? KAP_OK : cannot_work(x, at, &err);
}

/* The templates of alerts. Those of a template's vars without values are not known yet: they are "". */
static enum kap_status check_template(struct eval *x, const struct kap_bind_call *call,
                                      const struct kap_bind_target *on)
{
    static const struct {
        const char *property;
        unsigned flags;
    } templates[] = { { "id", KAP_TEMPLATE_TEXT },
                      { "message", KAP_TEMPLATE_TEXT },
                      { "details", KAP_TEMPLATE_HTML | KAP_TEMPLATE_JSON } };
    struct kap_error err;
    if ((!x->opt->warn && !x->opt->strict) || call->op != KAP_OP_DOT || on->handler >= 0 ||
        strcmp(on->node->type->name, "alert") != 0 || call->nargs != 1 ||
        call->args[0].kind != KAP_ARG_VALUE || call->args[0].value.type != KAP_STRING)
        return KAP_OK;
    for (size_t i = 0; i < KAP_COUNT(templates); i++) {
        if (kap_str_is(call->name, templates[i].property) &&
            kap_template_check(templates[i].property, call->args[0].value.s, templates[i].flags, &err) !=
                KAP_OK)
            return cannot_work(x, call->args[0].at, &err);
    }
    return KAP_OK;
}

static enum kap_status eval_lambda(struct eval *x, const struct kap_expr *body, const struct kap_expr *at,
                                   struct value *ret)
{
    struct value v = { .arg = { .kind = KAP_ARG_LAMBDA, .at = at }, .handler = -1 };
    struct kap_expr *resolved = NULL;
    KAP_TRY(resolve(x, body, &v.nodes, &resolved));
    v.arg.lambda = resolved;
    KAP_TRY(check_lambda(x, resolved, at ? at : resolved));
    *ret = v;
    return KAP_OK;
}

/* Operators and functions on constants: the lambda compiler does the work. */
static enum kap_status eval_constant(struct eval *x, const struct kap_expr *e, struct value *ret)
{
    size_t nodes = 0;
    struct kap_expr *resolved = NULL;
    struct kap_lambda *l = NULL;
    KAP_TRY(resolve(x, e, &nodes, &resolved));
    KAP_TRY(kap_lambda_new(resolved, NULL, &l, x->err));
    const struct kap_lambda_env env = { .scratch = x->arena };
    struct kap_lambda_state *state = kap_lambda_state_new(l);
    struct kap_value v = { 0 };
    enum kap_status st =
        kap_lambda_pure(l) || kap_lambda_stateful(l)
            ? kap_lambda_eval(l, state, &env, &v, x->err)
            : kap_fail(x->err, KAP_EINVAL, "line %d char %d: not a constant", e->line, e->character);
    kap_lambda_state_free(state);
    kap_lambda_free(l);
    if (st != KAP_OK)
        return st;
    if (v.type == KAP_STRING)
        v.s = kap_arena_str(x->arena, v.s);
    *ret = of_value(v, e);
    return KAP_OK;
}

/* ---- operators ---- */

/* As Go prints the value of an interface. */
static void show(struct kap_buf *b, const struct kap_arg *a)
{
    if (a->kind != KAP_ARG_VALUE) {
        kap_buf_adds(b, a->kind == KAP_ARG_NODE     ? a->node->name
                        : a->kind == KAP_ARG_LAMBDA ? "a lambda expression"
                        : a->kind == KAP_ARG_LIST   ? "a list"
                        : a->kind == KAP_ARG_FIELD  ? "a field reference"
                                                    : "*");
        return;
    }
    switch (a->value.type) {
    case KAP_INT: kap_number_i64(b, a->value.i); break;
    case KAP_FLOAT: kap_number_format(b, a->value.f, 'g', -1); break;
    case KAP_BOOL: kap_buf_adds(b, a->value.b ? "true" : "false"); break;
    case KAP_DURATION: kap_duration_format_go(b, a->value.i); break;
    case KAP_STRING: kap_buf_add(b, a->value.s); break;
    case KAP_REGEX: kap_buf_add(b, kap_regex_pattern(a->value.re)); break;
    default: kap_buf_adds(b, kap_type_name(a->value.type));
    }
}

static enum kap_status eval_unary(struct eval *x, const struct kap_expr *e, struct value *ret)
{
    struct value v;
    KAP_TRY(eval_value(x, e->left, &v));
    const enum kap_type type = v.arg.kind == KAP_ARG_VALUE ? v.arg.value.type : KAP_MISSING;
    if (e->op == KAP_OP_NOT && type == KAP_BOOL) {
        v.arg.value.b = !v.arg.value.b;
    } else if (e->op == KAP_OP_NEG && type == KAP_FLOAT) {
        v.arg.value.f = -v.arg.value.f;
    } else if (e->op == KAP_OP_NEG && (type == KAP_INT || type == KAP_DURATION)) {
        v.arg.value.i = (int64_t)(0 - (uint64_t)v.arg.value.i);
    } else {
        KAP_AUTO_BUF struct kap_buf shown = { .max = 256 };
        show(&shown, &v.arg);
        return kap_fail(x->err, KAP_EINVAL, "line %d char %d: invalid arugument to '%s' %s", e->line,
                        e->character, kap_op_text(e->op), shown.p ? shown.p : "");
    }
    v.arg.at = e;
    *ret = v;
    return KAP_OK;
}

static enum kap_status eval_list(struct eval *x, const struct kap_expr *e, struct value *ret)
{
    struct kap_arg *list = KAP_ARENA_ARRAY(x->arena, struct kap_arg, e->nargs + 1);
    for (size_t i = 0; i < e->nargs; i++) {
        struct value v;
        KAP_TRY(eval_value(x, e->args[i], &v));
        list[i] = v.arg;
    }
    *ret = (struct value){ .arg = { .kind = KAP_ARG_LIST, .list = list, .nlist = e->nargs, .at = e },
                           .handler = -1 };
    return KAP_OK;
}

/* ---- calls ---- */

/* One list as the only argument stands for its items. */
static enum kap_status eval_args(struct eval *x, const struct kap_expr *call, const struct kap_arg **ret,
                                 size_t *n)
{
    struct kap_arg *args = KAP_ARENA_ARRAY(x->arena, struct kap_arg, call->nargs + 1);
    for (size_t i = 0; i < call->nargs; i++) {
        struct value v;
        KAP_TRY(eval_value(x, call->args[i], &v));
        args[i] = v.arg;
    }
    const bool one_list = call->nargs == 1 && args[0].kind == KAP_ARG_LIST;
    *ret = one_list ? args[0].list : args;
    *n = one_list ? args[0].nlist : call->nargs;
    return KAP_OK;
}

static enum kap_status eval_time(struct eval *x, const struct kap_expr *e, struct value *ret)
{
    const struct kap_arg *args;
    size_t n;
    KAP_TRY(eval_args(x, e, &args, &n));
    for (size_t i = 0; i < n || i == 0; i++) {
        if (i >= n || i > 1 || args[i].kind != KAP_ARG_VALUE || args[i].value.type != KAP_DURATION) {
            return kap_fail(
                x->err, KAP_EINVAL,
                "line %d char %d: error calling func \"time\" on obj <nil>: it wants a duration and, if need "
                "be, an offset",
                e->line, e->character);
        }
    }
    struct value v = { .arg = { .kind = KAP_ARG_TIME, .value = args[0].value, .at = e }, .handler = -1 };
    v.arg.offset_ns = n > 1 ? args[1].value.i : 0;
    *ret = v;
    return KAP_OK;
}

static enum kap_status eval_function(struct eval *x, const struct kap_expr *e, struct value *ret)
{
    if (kap_str_is(e->name, "time"))
        return eval_time(x, e, ret);
    if (eval_constant(x, e, ret) == KAP_OK)
        return KAP_OK;
    if (strstr(x->err->msg, "undefined function") || kap_map_get(x->scope, e->name)) {
        hint_at(x, e);
        return kap_fail(x->err, KAP_EINVAL, "line %d char %d: no global function \"%.*s\" defined", e->line,
                        e->character, KAP_STR_ARG(e->name));
    }
    const enum kap_status st = x->err->status;
    (void)kap_wrap(x->err, "line %d char %d", e->line, e->character);
    return st;
}

/* node.property without parentheses: its value. */
static enum kap_status read_property(struct eval *x, const struct kap_expr *link, const struct value *on,
                                     struct value *ret)
{
    const struct kap_graph_node *n = on->arg.node;
    const struct kap_prop *p = kap_bind_find(n->type->props, link->right->name);
    const void *m = p ? (const char *)n->config + p->offset : NULL;
    switch (p ? p->kind : KAP_PROP_END) {
    case KAP_PROP_INT: *ret = of_value(kap_value_i(*(const int64_t *)m), link); return KAP_OK;
    case KAP_PROP_DURATION: *ret = of_value(kap_value_dur(*(const int64_t *)m), link); return KAP_OK;
    case KAP_PROP_FLOAT: *ret = of_value(kap_value_f(*(const double *)m), link); return KAP_OK;
    case KAP_PROP_STRING: *ret = of_value(kap_value_s(*(const struct kap_str *)m), link); return KAP_OK;
    case KAP_PROP_BOOL:
    case KAP_PROP_FLAG: *ret = of_value(kap_value_b(*(const bool *)m), link); return KAP_OK;
    default: break;
    }
    KAP_AUTO_BUF struct kap_buf shown = { 0 };
    kap_graph_shown(&shown, n->type);
    hint_at(x, link->right);
    (void)snprintf(x->hint->text, sizeof x->hint->text, "methods are called with parentheses: %s%.*s(..)",
                   kap_op_text(link->op), KAP_STR_ARG(link->right->name));
    return kap_fail(x->err, KAP_EINVAL, "line %d char %d: object %s has no property %.*s", link->line,
                    link->character, shown.p, KAP_STR_ARG(link->right->name));
}

static enum kap_status eval_link(struct eval *x, const struct kap_expr *link, struct value *v)
{
    const struct kap_expr *right = link->right;
    const struct kap_arg *args = NULL;
    size_t nargs = 0;
    if (right->kind == KAP_EXPR_CALL)
        KAP_TRY(eval_args(x, right, &args, &nargs));
    if (v->arg.kind != KAP_ARG_NODE) {
        hint_at(x, right);
        (void)snprintf(x->hint->text, sizeof x->hint->text, "only nodes have methods");
        return kap_fail(x->err, KAP_EINVAL, "line %d char %d: cannot get properties of non pointer value",
                        right->line, right->character);
    }
    if (right->kind != KAP_EXPR_CALL)
        return read_property(x, link, v, v);
    const struct kap_bind_call call = { .op = link->op, .name = right->name, .args = args, .nargs = nargs,
                                        .line = right->line, .character = right->character };
    struct kap_bind_target target = { v->arg.node, v->handler };
    const enum kap_status st = kap_bind_call(target, &call, &target, x->hint->text, x->err);
    if (st != KAP_OK) {
        hint_at(x, right);
        return st;
    }
    KAP_TRY(check_template(x, &call, &target));
    *v = (struct value){ .arg = { .kind = KAP_ARG_NODE, .node = target.node, .at = link },
                         .handler = target.handler };
    return KAP_OK;
}

static enum kap_status eval_chain(struct eval *x, const struct kap_expr *e, struct value *ret)
{
    size_t n = 0;
    const struct kap_expr *base = e;
    for (; base->kind == KAP_EXPR_CHAIN; base = base->left)
        n++;
    KAP_AUTO_FREE const struct kap_expr **links = KAP_ARRAY(const struct kap_expr *, n);
    for (size_t i = n; i-- > 0; e = e->left)
        links[i] = e;
    KAP_TRY(eval_value(x, base, ret));
    for (size_t i = 0; i < n; i++)
        KAP_TRY(eval_link(x, links[i], ret));
    return KAP_OK;
}

static enum kap_status eval_expr(struct eval *x, const struct kap_expr *e, struct value *ret)
{
    switch (e->kind) {
    case KAP_EXPR_LITERAL: *ret = of_value(e->value, e); return KAP_OK;
    case KAP_EXPR_STAR:
        *ret = (struct value){ .arg = { .kind = KAP_ARG_STAR, .at = e }, .handler = -1 };
        return KAP_OK;
    case KAP_EXPR_REFERENCE:
        *ret = (struct value){ .arg = { .kind = KAP_ARG_FIELD, .at = e }, .handler = -1 };
        return KAP_OK;
    case KAP_EXPR_IDENTIFIER:
        *ret = (struct value){ .is_name = true, .name = e->name, .handler = -1 };
        return KAP_OK;
    case KAP_EXPR_UNARY: return eval_unary(x, e, ret);
    case KAP_EXPR_BINARY: return eval_constant(x, e, ret);
    case KAP_EXPR_CALL: return eval_function(x, e, ret);
    case KAP_EXPR_LAMBDA: return eval_lambda(x, e->left, e, ret);
    case KAP_EXPR_LIST: return eval_list(x, e, ret);
    case KAP_EXPR_CHAIN: return eval_chain(x, e, ret);
    }
    return KAP_EINTERNAL;
}

/* ---- statements ---- */

static struct kap_str description(struct eval *x, const struct kap_comment *c)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    for (size_t i = 0; c && i < c->nlines; i++) {
        if (i > 0)
            kap_buf_addc(&text, '\n');
        kap_buf_add(&text, c->lines[i]);
    }
    return kap_arena_str(x->arena, kap_buf_str(&text));
}

static enum kap_status given_value(struct eval *x, const struct kap_tick_var *given, const char *expected,
                                   bool matches, struct value *ret)
{
    if (!matches)
        return kap_fail(x->err, KAP_EINVAL, "invalid type supplied for %.*s, got %s exp %s",
                        KAP_STR_ARG(given->name), kap_tick_type_name(given->type), expected);
    struct value v = { .handler = -1 };
    KAP_TRY(kap_tick_var_value(given, x->graph, &v.arg, x->err));
    if (v.arg.kind == KAP_ARG_LAMBDA)
        KAP_TRY(eval_lambda(x, v.arg.lambda, NULL, &v));
    *ret = v;
    return KAP_OK;
}

static const struct kap_tick_var *given(const struct eval *x, struct kap_str name)
{
    return x->opt->vars ? kap_tick_vars_find(x->opt->vars, name) : NULL;
}

static enum kap_status eval_var(struct eval *x, const struct kap_tick_stmt *s)
{
    struct value v;
    KAP_TRY(eval_value(x, s->expr, &v));
    if (kap_map_get(x->scope, s->name) || kap_str_is(s->name, "time"))
        return kap_fail(x->err, KAP_EINVAL, "attempted to redefine %.*s, vars are immutable",
                        KAP_STR_ARG(s->name));
    enum kap_var_type type = KAP_VAR_BOOL;
    const bool is_plain = kap_tick_arg_type(&v.arg, &type);
    if (is_plain)
        kap_tick_vars_add(x->vars, s->name, description(x, s->comment), type, &v.arg);
    const struct kap_tick_var *g = given(x, s->name);
    if (g)
        KAP_TRY(given_value(x, g, is_plain ? kap_tick_type_name(type) : "invalid type",
                            is_plain && g->type == type, &v));
    define(x, s->name, &v);
    return KAP_OK;
}

static enum kap_status eval_typed(struct eval *x, const struct kap_tick_stmt *s)
{
    enum kap_var_type type;
    if (!kap_tick_type_find(s->type_name, &type))
        return kap_fail(x->err, KAP_EINVAL, "invalid var type \"%.*s\"", KAP_STR_ARG(s->type_name));
    kap_tick_vars_add(x->vars, s->name, description(x, s->comment), type, NULL);
    struct value v = { .handler = -1 };
    const struct kap_tick_var *g = given(x, s->name);
    if (g)
        KAP_TRY(given_value(x, g, kap_tick_type_name(type), g->type == type, &v));
    else if (x->opt->is_template)
        v.arg = kap_tick_zero_value(type, x->graph);
    else
        return kap_fail(x->err, KAP_EINVAL, "missing value for var \"%.*s\".", KAP_STR_ARG(s->name));
    define(x, s->name, &v);
    return KAP_OK;
}

static enum kap_status eval_stmt(struct eval *x, const struct kap_tick_stmt *s)
{
    struct value unused;
    switch (s->kind) {
    case KAP_TICK_EXPR: return eval_expr(x, s->expr, &unused);
    case KAP_TICK_VAR: return eval_var(x, s);
    case KAP_TICK_TYPED: return eval_typed(x, s);
    case KAP_TICK_DBRP:
    case KAP_TICK_COMMENT: break;
    }
    return KAP_OK;
}

/* Regexes and lambdas among the given values are checked first, those of unknown names too. */
static enum kap_status check_given(struct eval *x)
{
    for (size_t i = 0; x->opt->vars && i < x->opt->vars->n; i++) {
        struct kap_arg unused;
        const struct kap_tick_var *v = &x->opt->vars->v[i];
        const enum kap_status st = kap_tick_var_value(v, x->graph, &unused, x->err);
        if (st != KAP_OK) {
            (void)kap_wrap(x->err, "invalid var %.*s", KAP_STR_ARG(v->name));
            return st;
        }
    }
    return KAP_OK;
}

/* ---- the whole ---- */

static void unref_script(void *p)
{
    kap_tick_script_unref(p);
}

static enum kap_status add_source(struct eval *x, struct kap_graph_node **ret)
{
    const char *name = x->graph->type == KAP_TASK_BATCH ? "batch" : "stream";
    const struct kap_node_type *type = kap_registry_kind(x->opt->registry, name);
    if (!type)
        return kap_fail(x->err, KAP_EINTERNAL, "there is no node kind %s", name);
    KAP_TRY(kap_graph_add(x->graph, NULL, type, ret, x->err));
    const struct value v = { .arg = { .kind = KAP_ARG_NODE, .node = *ret }, .handler = -1 };
    define(x, kap_str(name), &v);
    return KAP_OK;
}

/* [deadman] global: one at the source of every task. */
static enum kap_status add_global_deadman(struct eval *x, struct kap_graph_node *source)
{
    const struct kap_arg args[] = {
        { .kind = KAP_ARG_VALUE, .value = kap_value_f(x->graph->deadman.threshold) },
        { .kind = KAP_ARG_VALUE, .value = kap_value_dur(x->graph->deadman.interval_ns) },
    };
    const struct kap_bind_call call = {
        .op = KAP_OP_PIPE, .name = KAP_STR("deadman"), .args = args, .nargs = 2
    };
    struct kap_bind_target target = { source, -1 };
    return kap_bind_call(target, &call, &target, NULL, x->err);
}

static void copy_dbrps(struct eval *x, const struct kap_tick_script *s)
{
    x->graph->dbrps = s->dbrps; /* the script lives as long as the graph */
    x->graph->ndbrps = s->ndbrps;
}

static enum kap_status eval_script(struct eval *x, const struct kap_tick_script *s)
{
    struct kap_graph_node *source = NULL;
    copy_dbrps(x, s);
    KAP_TRY(add_source(x, &source));
    KAP_TRY(check_given(x));
    for (size_t i = 0; i < s->nstmts; i++)
        KAP_TRY(eval_stmt(x, &s->stmts[i]));
    if (x->graph->deadman.global)
        KAP_TRY(add_global_deadman(x, source));
    KAP_TRY(kap_graph_check(x->graph, x->err));
    if (!x->opt->is_template && x->graph->n <= 1)
        return kap_fail(x->err, KAP_EINVAL, "task does nothing");
    return KAP_OK;
}

enum kap_status kap_tick_eval(struct kap_tick_script *s, const struct kap_tick_options *opt,
                              struct kap_graph **ret, struct kap_tick_vars *vars, struct kap_tick_hint *hint,
                              struct kap_error *err)
{
    struct kap_error own_err = { 0 };
    struct kap_tick_hint own_hint = { 0 };
    struct kap_tick_vars found = { 0 };
    const enum kap_task_type type = opt->type == KAP_TASK_INVALID ? kap_tick_task_type(s) : opt->type;
    if (hint)
        *hint = (struct kap_tick_hint){ 0 };
    if (type == KAP_TASK_INVALID)
        return kap_fail(err, KAP_EINVAL, "invalid task type: invalid");
    struct eval x = { .opt = opt, .graph = kap_graph_new(type), .scope = kap_map_new(), .vars = &found,
                      .hint = hint ? hint : &own_hint, .err = err ? err : &own_err };
    x.arena = x.graph->arena;
    x.graph->registry = opt->registry;
    x.graph->deadman = opt->deadman ? *opt->deadman : kap_deadman_default;
    kap_graph_own(x.graph, kap_tick_script_ref(s), unref_script);
    const enum kap_status st = eval_script(&x, s);
    kap_map_free(x.scope);
    if (st != KAP_OK)
        kap_graph_unref(x.graph);
    else
        *ret = x.graph;
    if (st == KAP_OK && vars)
        *vars = found;
    else
        kap_tick_vars_done(&found);
    return st;
}
