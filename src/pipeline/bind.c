#include "pipeline/bind.h"

#include "pipeline/handler.h"
#include "base/buf.h"
#include "base/duration.h"
#include "base/mem.h"
#include "base/number.h"

#include <ctype.h>
#include <stdio.h>

#define HINT_BYTES 256
#define HINT_NAMES 256

bool kap_bind_name_is(struct kap_str name, const char *method)
{
    const size_t n = strlen(method);
    return n > 0 && name.n == n && toupper((unsigned char)name.p[0]) == toupper((unsigned char)method[0]) &&
           memcmp(name.p + 1, method + 1, n - 1) == 0;
}

const struct kap_prop *kap_bind_find(const struct kap_prop *props, struct kap_str name)
{
    for (const struct kap_prop *p = props; p && p->kind != KAP_PROP_END; p++) {
        if (p->name && kap_bind_name_is(name, p->name))
            return p;
    }
    return NULL;
}

/* ---- setting one property ---- */

static const char *wanted(enum kap_prop_kind kind)
{
    switch (kind) {
    case KAP_PROP_INT: return "an int";
    case KAP_PROP_FLOAT: return "a float";
    case KAP_PROP_BOOL: return "a boolean, TRUE or FALSE";
    case KAP_PROP_DURATION: return "a duration";
    case KAP_PROP_LAMBDA: return "a lambda expression";
    default: return "a string";
    }
}

static void describe(struct kap_buf *b, const struct kap_arg *a)
{
    switch (a->kind) {
    case KAP_ARG_LAMBDA: kap_buf_adds(b, "a lambda expression"); return;
    case KAP_ARG_NODE: kap_buf_addf(b, "node %s", a->node->name); return;
    case KAP_ARG_STAR: kap_buf_adds(b, "*"); return;
    case KAP_ARG_LIST: kap_buf_adds(b, "a list"); return;
    case KAP_ARG_FIELD: kap_buf_adds(b, "a field reference"); return;
    case KAP_ARG_TIME: kap_buf_adds(b, "time(..)"); return;
    case KAP_ARG_VALUE: break;
    }
    switch (a->value.type) {
    case KAP_INT: kap_buf_addf(b, "int %lld", (long long)a->value.i); break;
    case KAP_FLOAT:
        kap_buf_adds(b, "float ");
        kap_number_format(b, a->value.f, 'g', -1);
        break;
    case KAP_STRING: kap_buf_addf(b, "string '%.*s'", KAP_STR_ARG(a->value.s)); break;
    case KAP_BOOL: kap_buf_addf(b, "boolean %s", a->value.b ? "TRUE" : "FALSE"); break;
    case KAP_DURATION:
        kap_buf_adds(b, "duration ");
        kap_duration_format_influx(b, a->value.i);
        break;
    default: kap_buf_adds(b, kap_type_name(a->value.type)); break;
    }
}

static enum kap_status wrong_type(const struct kap_prop *p, const struct kap_arg *a, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf b = { .max = 512 };
    describe(&b, a);
    return kap_fail(err, KAP_EINVAL, "cannot use %.*s, it wants %s", KAP_STR_ARG(kap_buf_str(&b)),
                    wanted(p->kind));
}

static enum kap_status set_strings(struct kap_strings *s, struct kap_arena *arena, const struct kap_prop *p,
                                   const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    for (size_t i = 0; i < nargs; i++) {
        if (args[i].kind != KAP_ARG_VALUE || args[i].value.type != KAP_STRING)
            return wrong_type(p, &args[i], err);
    }
    const size_t kept = p->kind == KAP_PROP_STRINGS_ADD ? s->n : 0;
    struct kap_str *v = KAP_ARENA_ARRAY(arena, struct kap_str, kept + nargs + 1);
    for (size_t i = 0; i < kept; i++)
        v[i] = s->v[i];
    for (size_t i = 0; i < nargs; i++)
        v[kept + i] = kap_arena_str(arena, args[i].value.s);
    *s = (struct kap_strings){ v, kept + nargs };
    return KAP_OK;
}

static enum kap_status assign_one(void *member, struct kap_arena *arena, const struct kap_prop *p,
                                  const struct kap_arg *a, struct kap_error *err)
{
    if (p->kind == KAP_PROP_LAMBDA) {
        if (a->kind != KAP_ARG_LAMBDA)
            return wrong_type(p, a, err);
        *(const struct kap_expr **)member = a->lambda;
        return KAP_OK;
    }
    static const enum kap_type types[] = {
        [KAP_PROP_INT] = KAP_INT,   [KAP_PROP_FLOAT] = KAP_FLOAT,       [KAP_PROP_STRING] = KAP_STRING,
        [KAP_PROP_BOOL] = KAP_BOOL, [KAP_PROP_DURATION] = KAP_DURATION,
    };
    if (a->kind != KAP_ARG_VALUE || a->value.type != types[p->kind])
        return wrong_type(p, a, err);
    switch (p->kind) {
    case KAP_PROP_INT:
    case KAP_PROP_DURATION: *(int64_t *)member = a->value.i; break;
    case KAP_PROP_FLOAT: *(double *)member = a->value.f; break;
    case KAP_PROP_BOOL: *(bool *)member = a->value.b; break;
    default: *(struct kap_str *)member = kap_arena_str(arena, a->value.s); break;
    }
    return KAP_OK;
}

static bool takes_one(enum kap_prop_kind kind)
{
    return kind == KAP_PROP_INT || kind == KAP_PROP_FLOAT || kind == KAP_PROP_STRING ||
           kind == KAP_PROP_BOOL || kind == KAP_PROP_DURATION || kind == KAP_PROP_LAMBDA;
}

static enum kap_status check_count(const struct kap_prop *p, const char *shown, size_t nargs,
                                   struct kap_error *err)
{
    if (!takes_one(p->kind) || nargs == 1)
        return KAP_OK;
    return kap_fail(err, KAP_EINVAL, "too many arguments to set property %c%s on %s",
                    toupper((unsigned char)p->name[0]), p->name + 1, shown);
}

static enum kap_status assign(void *config, struct kap_arena *arena, const struct kap_prop *p,
                              const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    if (p->kind == KAP_PROP_CALL)
        return p->set(config, arena, args, nargs, err);
    void *member = (char *)config + p->offset;
    if (p->kind == KAP_PROP_STRINGS || p->kind == KAP_PROP_STRINGS_ADD)
        return set_strings(member, arena, p, args, nargs, err);
    if (p->kind == KAP_PROP_FLAG) {
        if (nargs > 0)
            return kap_fail(err, KAP_EINVAL, "too many arguments, it takes none");
        *(bool *)member = true;
        return KAP_OK;
    }
    return assign_one(member, arena, p, args, err);
}

enum kap_status kap_bind_set(void *config, struct kap_arena *arena, const struct kap_prop *prop,
                             const char *shown, const struct kap_arg *args, size_t nargs,
                             struct kap_error *err)
{
    KAP_TRY(check_count(prop, shown, nargs, err));
    return assign(config, arena, prop, args, nargs, err);
}

/* ---- finding what a call means ---- */

static bool callable(const struct kap_graph_node *on, const struct kap_node_type *t)
{
    if (!t->name)
        return false;
    const bool source = on == on->graph->nodes[0];
    switch (t->below) {
    case KAP_BELOW_ANY: return true;
    case KAP_BELOW_SOURCE: return source ? t->wants == on->edge : t->repeatable && t == on->type;
    case KAP_BELOW_CHAIN: return !source && !on->type->no_children && t->wants != KAP_EDGE_NONE;
    }
    return false;
}

static const struct kap_node_type *find_chain(const struct kap_graph_node *on, struct kap_str name)
{
    for (const struct kap_node_type *const *t = on->graph->registry->nodes; *t; t++) {
        if ((*t)->name && kap_bind_name_is(name, (*t)->name) && callable(on, *t))
            return *t;
    }
    return NULL;
}

static const struct kap_handler_type *find_handler(const struct kap_graph_node *on, struct kap_str name)
{
    if (!on->type->has_handlers || !on->graph->registry->handlers)
        return NULL;
    for (const struct kap_handler_type *const *h = on->graph->registry->handlers; *h; h++) {
        if ((*h)->method && kap_bind_name_is(name, (*h)->method))
            return *h;
    }
    return NULL;
}

static const struct kap_node_type *find_udf(const struct kap_graph_node *on, struct kap_str name)
{
    const struct kap_registry *r = on->graph->registry;
    return r->udf ? r->udf(r->ctx, name) : NULL;
}

static const struct kap_handler_type *current_handler(struct kap_bind_target on)
{
    return on.handler >= 0 ? on.node->handlers[on.handler].type : NULL;
}

static bool has_property(struct kap_bind_target on, struct kap_str name)
{
    const struct kap_handler_type *h = current_handler(on);
    return kap_bind_name_is(name, "quiet") || (h && kap_bind_find(h->props, name)) ||
           kap_bind_find(on.node->type->props, name) || find_handler(on.node, name);
}

static void add_shown(struct kap_buf *b, struct kap_bind_target on)
{
    const struct kap_handler_type *h = current_handler(on);
    if (!h) {
        kap_graph_shown(b, on.node->type);
    } else if (h->shown) {
        kap_buf_addf(b, "*pipeline.%s", h->shown);
    } else {
        kap_buf_addf(b, "*pipeline.%c%sHandler", toupper((unsigned char)h->method[0]), h->method + 1);
    }
}

/* ---- messages ---- */

static enum kap_status at_place(const struct kap_bind_call *call, enum kap_status st, struct kap_error *err)
{
    if (call->line > 0)
        (void)kap_wrap(err, "line %d char %d", call->line, call->character);
    return st;
}

/* A call that did not like its arguments. */
static enum kap_status call_failed(struct kap_bind_target on, const struct kap_bind_call *call,
                                   enum kap_status st, struct kap_error *err)
{
    for (size_t i = 0; i < call->nargs; i++) {
        if (call->args[i].kind != KAP_ARG_FIELD)
            continue;
        (void)kap_fail(err, st, "cannot assign *ast.ReferenceNode to type string, "
                                "did you use double quotes instead of single quotes?");
        return at_place(call, st, err);
    }
    KAP_AUTO_BUF struct kap_buf shown = { 0 };
    add_shown(&shown, on);
    (void)kap_wrap(err, "error calling func \"%.*s\" on obj %s", KAP_STR_ARG(call->name), shown.p);
    return at_place(call, st, err);
}

static size_t gather(struct kap_bind_target on, enum kap_op op, const char **names)
{
    size_t n = 0;
    if (op == KAP_OP_PIPE) {
        for (const struct kap_node_type *const *t = on.node->graph->registry->nodes; *t && n < HINT_NAMES;
             t++) {
            if (callable(on.node, *t))
                names[n++] = (*t)->name;
        }
        return n;
    }
    const struct kap_handler_type *h = current_handler(on);
    for (const struct kap_prop *p = h ? h->props : NULL; p && p->kind != KAP_PROP_END && n < HINT_NAMES;
         p++) {
        if (p->name)
            names[n++] = p->name;
    }
    for (const struct kap_prop *p = on.node->type->props; p && p->kind != KAP_PROP_END && n < HINT_NAMES;
         p++) {
        if (p->name)
            names[n++] = p->name;
    }
    const struct kap_handler_type *const *all = on.node->graph->registry->handlers;
    for (; on.node->type->has_handlers && all && *all && n < HINT_NAMES; all++) {
        if ((*all)->method)
            names[n++] = (*all)->method;
    }
    return n;
}

static void suggest(struct kap_bind_target on, const struct kap_bind_call *call, char *hint)
{
    if (!hint)
        return;
    const char *names[HINT_NAMES];
    KAP_AUTO_FREE char *name = kap_strndup(call->name.p, call->name.n);
    const enum kap_op ops[] = { call->op == KAP_OP_DOT ? KAP_OP_DOT : KAP_OP_PIPE,
                                call->op == KAP_OP_DOT ? KAP_OP_PIPE : KAP_OP_DOT };
    for (size_t i = 0; i < KAP_COUNT(ops); i++) {
        const size_t n = gather(on, ops[i], names);
        const int k = kap_closest(name, names, n);
        if (k >= 0) {
            (void)snprintf(hint, HINT_BYTES, "did you mean %s%s(..)?", kap_op_text(ops[i]), names[k]);
            return;
        }
    }
    if (on.node->type->no_children)
        (void)snprintf(hint, HINT_BYTES, "%s is the end of a chain", on.node->name);
}

static enum kap_status not_found(struct kap_bind_target on, const struct kap_bind_call *call, char *hint,
                                 struct kap_error *err)
{
    const struct kap_str name = call->name;
    const bool chain = find_chain(on.node, name), property = has_property(on, name),
               udf = find_udf(on.node, name);
    const char *kind = call->op == KAP_OP_PIPE ? "chaining method"
                       : call->op == KAP_OP_DOT ? "property method"
                                                : "dynamic method";
    const char *other = NULL;
    char op = 0;
    if (call->op != KAP_OP_DOT && property)
        other = "property", op = '.';
    else if (call->op != KAP_OP_PIPE && chain)
        other = "chaining method", op = '|';
    else if (call->op != KAP_OP_AT && udf)
        other = "dynamic method", op = '@';

    KAP_AUTO_BUF struct kap_buf shown = { 0 };
    add_shown(&shown, on);
    if (other) {
        (void)kap_fail(err, KAP_EINVAL, "no %s \"%.*s\" on %s, but %s does exist. Use '%c' operator instead: "
                       "'node%c%.*s(..)'.",
                       kind, KAP_STR_ARG(name), shown.p, other, op, op, KAP_STR_ARG(name));
    } else {
        (void)kap_fail(err, KAP_EINVAL, "no method or property \"%.*s\" on %s", KAP_STR_ARG(name), shown.p);
        suggest(on, call, hint);
    }
    return at_place(call, KAP_EINVAL, err);
}

/* ---- calling ---- */

static enum kap_status call_chain(struct kap_bind_target on, const struct kap_node_type *type,
                                  const struct kap_bind_call *call, struct kap_bind_target *ret,
                                  struct kap_error *err)
{
    struct kap_graph *g = on.node->graph;
    struct kap_graph_node *n = NULL;
    enum kap_status st;
    if (type->expand) {
        st = type->expand(on.node, call->args, call->nargs, &n, err);
    } else {
        st = kap_graph_add(g, on.node, type, &n, err);
        if (st == KAP_OK && type->args)
            st = type->args(n->config, n, g->arena, call->args, call->nargs, err);
        else if (st == KAP_OK && call->nargs > 0)
            st = kap_fail(err, KAP_EINVAL, "too many arguments, it takes none");
    }
    if (st != KAP_OK)
        return call_failed(on, call, st, err);
    *ret = (struct kap_bind_target){ n, -1 };
    return KAP_OK;
}

static enum kap_status call_property(struct kap_bind_target on, void *config, const struct kap_prop *p,
                                     const struct kap_bind_call *call, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf shown = { 0 };
    add_shown(&shown, on);
    enum kap_status st = check_count(p, shown.p, call->nargs, err);
    if (st != KAP_OK)
        return at_place(call, st, err);
    st = assign(config, on.node->graph->arena, p, call->args, call->nargs, err);
    return st == KAP_OK ? st : call_failed(on, call, st, err);
}

static enum kap_status call_handler(struct kap_bind_target on, const struct kap_handler_type *type,
                                    const struct kap_bind_call *call, struct kap_bind_target *ret,
                                    struct kap_error *err)
{
    const struct kap_graph_handler *h = kap_graph_add_handler(on.node, type);
    enum kap_status st = KAP_OK;
    if (type->args)
        st = type->args(h->options, on.node->graph->arena, call->args, call->nargs, err);
    else if (call->nargs > 0)
        st = kap_fail(err, KAP_EINVAL, "too many arguments, it takes none");
    if (st != KAP_OK)
        return call_failed((struct kap_bind_target){ on.node, -1 }, call, st, err);
    *ret = (struct kap_bind_target){ on.node, (int)on.node->nhandlers - 1 };
    return KAP_OK;
}

static enum kap_status call_dot(struct kap_bind_target on, const struct kap_bind_call *call,
                                struct kap_bind_target *ret, char *hint, struct kap_error *err)
{
    const struct kap_handler_type *h = current_handler(on);
    const struct kap_prop *p = h ? kap_bind_find(h->props, call->name) : NULL;
    void *config = p ? on.node->handlers[on.handler].options : on.node->config;
    if (!p)
        p = kap_bind_find(on.node->type->props, call->name);
    if (p) {
        KAP_TRY(call_property(on, config, p, call, err));
        *ret = on;
        return KAP_OK;
    }
    const struct kap_handler_type *type = find_handler(on.node, call->name);
    if (type)
        return call_handler(on, type, call, ret, err);
    if (kap_bind_name_is(call->name, "quiet")) {
        if (call->nargs > 0)
            return call_failed(on, call, kap_fail(err, KAP_EINVAL, "too many arguments, it takes none"), err);
        on.node->quiet = true;
        *ret = on;
        return KAP_OK;
    }
    if (on.node->type->option) {
        const enum kap_status st = on.node->type->option(on.node->config, on.node, on.node->graph->arena,
                                                         call->name, call->args, call->nargs, err);
        if (st != KAP_OK && st != KAP_ENOTFOUND)
            return call_failed(on, call, st, err);
        if (st == KAP_OK) {
            *ret = on;
            return KAP_OK;
        }
    }
    return not_found(on, call, hint, err);
}

enum kap_status kap_bind_call(struct kap_bind_target on, const struct kap_bind_call *call,
                              struct kap_bind_target *ret, char *hint, struct kap_error *err)
{
    struct kap_error scratch;
    if (!err)
        err = &scratch;
    if (hint)
        hint[0] = 0;
    if (call->op == KAP_OP_DOT)
        return call_dot(on, call, ret, hint, err);
    const struct kap_node_type *type =
        call->op == KAP_OP_PIPE ? find_chain(on.node, call->name) : find_udf(on.node, call->name);
    return type ? call_chain(on, type, call, ret, err) : not_found(on, call, hint, err);
}
