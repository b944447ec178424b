/* From the checked tree to typed code, for one combination of the types of its references. */
#include "base/buf.h"
#include "lambda/internal.h"

struct result {
    int type;                  /* KAP_TYPE_NONE: `error` says why */
    struct kap_code *code;
    const char *error;         /* complete, with the calls around it */
};

struct spec_ctx {
    const struct kap_lambda *l;
    struct kap_spec *spec;
};

static struct result specialise(struct spec_ctx *x, const struct kap_lnode *n);

void kap_run_fail(struct kap_run *r, const struct kap_lnode *n, enum kap_status status, const char *text)
{
    if (r->status != KAP_OK)
        return; /* the first one counts */
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_lnode_context(&b, n);
    r->status = kap_fail(r->err, status, "%s%s", kap_buf_str(&b).p, text);
}

/* --- code that fails --- */

static void raise(const struct kap_code *c, struct kap_run *r)
{
    if (r->status == KAP_OK)
        r->status = kap_fail(r->err, KAP_EINVAL, "%s", c->error);
}
static double raise_f(const struct kap_code *c, struct kap_run *r)
{
    raise(c, r);
    return 0;
}
static int64_t raise_i(const struct kap_code *c, struct kap_run *r)
{
    raise(c, r);
    return 0;
}
static bool raise_b(const struct kap_code *c, struct kap_run *r)
{
    raise(c, r);
    return false;
}
static struct kap_str raise_s(const struct kap_code *c, struct kap_run *r)
{
    raise(c, r);
    return KAP_STR("");
}
static const struct kap_regex *raise_re(const struct kap_code *c, struct kap_run *r)
{
    raise(c, r);
    return NULL;
}

static struct kap_code *new_code(struct spec_ctx *x, const struct kap_lnode *n, enum kap_type type)
{
    struct kap_code *c = KAP_ARENA_NEW(x->spec->arena, struct kap_code);
    c->node = n;
    c->slot = -1;
    c->type = type;
    return c;
}

static struct result raising(struct spec_ctx *x, const struct kap_lnode *n, enum kap_type type, const char *error)
{
    struct kap_code *c = new_code(x, n, type);
    c->error = error;
    switch (type) {
    case KAP_FLOAT:
        c->eval.f = raise_f;
        break;
    case KAP_BOOL:
        c->eval.b = raise_b;
        break;
    case KAP_STRING:
        c->eval.s = raise_s;
        break;
    case KAP_REGEX:
        c->eval.re = raise_re;
        break;
    case KAP_INT:
    case KAP_TIME:
    case KAP_DURATION:
    case KAP_MISSING:
        c->eval.i = raise_i;
        break;
    }
    return (struct result){ .type = (int)type, .code = c };
}

/* The text in `b` behind the calls around `n`, kept with the code; empties b. */
static const char *keep_error(struct spec_ctx *x, const struct kap_lnode *n, struct kap_buf *b)
{
    KAP_AUTO_BUF struct kap_buf all = { 0 };
    kap_lnode_context(&all, n);
    kap_buf_add(&all, kap_buf_str(b));
    kap_buf_done(b);
    return kap_arena_str(x->spec->arena, kap_buf_str(&all)).p;
}

static struct result failed(struct spec_ctx *x, const struct kap_lnode *n, struct kap_buf *b)
{
    return (struct result){ .type = KAP_TYPE_NONE, .error = keep_error(x, n, b) };
}

static struct result leaf(struct spec_ctx *x, const struct kap_lnode *n, enum kap_type type)
{
    struct kap_code *c = new_code(x, n, type);
    c->slot = n->slot;
    return (struct result){ .type = (int)type, .code = c };
}

/* --- unary --- */

static double neg_f(const struct kap_code *c, struct kap_run *r)
{
    return -1 * kap_code_f(c->left, r);
}
static int64_t neg_i(const struct kap_code *c, struct kap_run *r)
{
    return (int64_t)(0 - (uint64_t)kap_code_i(c->left, r));
}
static bool not_b(const struct kap_code *c, struct kap_run *r)
{
    return !kap_code_b(c->left, r);
}

static void type_guard(struct kap_buf *b, int got, const char *wanted)
{
    kap_buf_addf(b, "TypeGuard: expression returned unexpected type %s, expected %s",
                 got == KAP_TYPE_NONE ? "invalid type" : kap_type_name((enum kap_type)got), wanted);
}

void kap_lnode_not_bool(struct kap_buf *b, const struct kap_lnode *n, int type)
{
    if (type == KAP_MISSING && n->e->kind == KAP_EXPR_REFERENCE)
        kap_buf_addf(b, "reference \"%.*s\" is missing value", KAP_STR_ARG(n->e->name));
    else if (n->e->kind == KAP_EXPR_BINARY)
        kap_buf_addf(b, "expression returned unexpected type %s",
                     type == KAP_INT ? "int64" : type == KAP_FLOAT ? "float64" : "<nil>");
    else
        type_guard(b, type, "boolean");
}

static struct result specialise_not(struct spec_ctx *x, const struct kap_lnode *n)
{
    const struct result of = specialise(x, n->left);
    if (of.error)
        return raising(x, n, KAP_BOOL, of.error);
    if (of.type != KAP_BOOL) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        kap_lnode_not_bool(&b, n->left, of.type);
        return raising(x, n, KAP_BOOL, keep_error(x, n, &b));
    }
    struct kap_code *c = new_code(x, n, KAP_BOOL);
    c->left = of.code;
    c->eval.b = not_b;
    return (struct result){ .type = KAP_BOOL, .code = c };
}

static struct result specialise_minus(struct spec_ctx *x, const struct kap_lnode *n)
{
    const struct result of = specialise(x, n->left);
    if (of.error)
        return of;
    struct kap_code *c = new_code(x, n, (enum kap_type)of.type);
    c->left = of.code;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    switch (of.type) {
    case KAP_FLOAT:
        c->eval.f = neg_f;
        break;
    case KAP_INT:
    case KAP_DURATION:
        c->eval.i = neg_i;
        break;
    case KAP_BOOL: /* the reference negates it */
        c->eval.b = not_b;
        break;
    case KAP_MISSING:
        if (n->left->e->kind == KAP_EXPR_REFERENCE)
            kap_buf_addf(&b, "reference \"%.*s\" is missing value", KAP_STR_ARG(n->left->e->name));
        else
            kap_buf_adds(&b, "value is missing");
        return raising(x, n, KAP_MISSING, keep_error(x, n, &b));
    default:
        type_guard(&b, n->const_type, kap_type_name((enum kap_type)of.type));
        return raising(x, n, (enum kap_type)of.type, keep_error(x, n, &b));
    }
    return (struct result){ .type = of.type, .code = c };
}

/* --- binary --- */

/* Why a comparison has no rule, looking at values: a missing side is named. */
static void explain_mismatch(struct kap_buf *b, const struct kap_lnode *n, int left, int right)
{
    const struct kap_lnode *missing = left == KAP_MISSING ? n->left : right == KAP_MISSING ? n->right : NULL;
    if (!missing)
        kap_op_mismatch(b, n->e->op, left, right);
    else if (missing->e->kind == KAP_EXPR_REFERENCE)
        kap_buf_addf(b, "%s reference value \"%.*s\" is missing value", missing == n->left ? "left" : "right",
                     KAP_STR_ARG(missing->e->name));
    else
        kap_buf_addf(b, "%s value is missing", missing == n->left ? "left" : "right");
}

static struct result specialise_binary(struct spec_ctx *x, const struct kap_lnode *n)
{
    const bool math = kap_op_is_math(n->e->op);
    const struct result left = specialise(x, n->left);
    const struct result right = specialise(x, n->right);
    const char *error = left.error ? left.error : right.error;
    const struct kap_rule *rule = error ? NULL : kap_rule_find(n->e->op, left.type, right.type);
    if (!rule && !error) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        if (math)
            kap_op_mismatch(&b, n->e->op, left.type, right.type);
        else
            explain_mismatch(&b, n, left.type, right.type);
        error = keep_error(x, n, &b);
    }
    if (error || !rule)
        return math ? (struct result){ .type = KAP_TYPE_NONE, .error = error } : raising(x, n, KAP_BOOL, error);
    struct kap_code *c = new_code(x, n, rule->ret);
    c->left = left.code;
    c->right = right.code;
    c->eval.any = rule->eval;
    return (struct result){ .type = (int)rule->ret, .code = c };
}

/* --- calls --- */

static double call_f(const struct kap_code *c, struct kap_run *r)
{
    const struct kap_value v = kap_code_call(c, r);
    return v.type == KAP_FLOAT ? v.f : 0;
}
static int64_t call_i(const struct kap_code *c, struct kap_run *r)
{
    const struct kap_value v = kap_code_call(c, r);
    return v.type == KAP_INT || v.type == KAP_TIME || v.type == KAP_DURATION ? v.i : 0;
}
static bool call_b(const struct kap_code *c, struct kap_run *r)
{
    const struct kap_value v = kap_code_call(c, r);
    return v.type == KAP_BOOL && v.b;
}
static struct kap_str call_s(const struct kap_code *c, struct kap_run *r)
{
    const struct kap_value v = kap_code_call(c, r);
    return v.type == KAP_STRING ? v.s : KAP_STR("");
}
static const struct kap_regex *call_re(const struct kap_code *c, struct kap_run *r)
{
    const struct kap_value v = kap_code_call(c, r);
    return v.type == KAP_REGEX ? v.re : NULL;
}
static double call_math(const struct kap_code *c, struct kap_run *r)
{
    return c->math(kap_code_f(c->args[0], r));
}

static void set_call(struct kap_code *c)
{
    switch (c->type) {
    case KAP_FLOAT:
        c->eval.f = c->math ? call_math : call_f;
        return;
    case KAP_INT:
    case KAP_TIME:
    case KAP_DURATION:
    case KAP_MISSING:
        c->eval.i = call_i;
        return;
    case KAP_BOOL:
        c->eval.b = call_b;
        return;
    case KAP_STRING:
        c->eval.s = call_s;
        return;
    case KAP_REGEX:
        c->eval.re = call_re;
        return;
    }
}

/* The references in scope, without the missing arguments named already. */
static void scope_names(struct kap_buf *b, const struct kap_lambda *l, const struct kap_lnode *n,
                        const enum kap_type *types)
{
    bool first = true;
    for (size_t i = 0; i < l->nrefs; i++) {
        bool named = false;
        for (size_t k = 0; k < n->nargs; k++)
            named |= types[k] == KAP_MISSING && n->args[k]->slot == (int)i;
        if (named)
            continue;
        kap_buf_addf(b, "%s\"%s\"", first ? "" : ", ", l->refs[i].name->s);
        first = false;
    }
}

static void explain_missing(struct kap_buf *b, const struct kap_lambda *l, const struct kap_lnode *n,
                            const enum kap_type *types, size_t nmissing)
{
    kap_buf_addf(b, "Cannot call function \"%s\" argument%s ", n->fn->name, nmissing > 1 ? "s" : "");
    bool first = true;
    for (size_t i = 0; i < n->nargs; i++) {
        if (types[i] != KAP_MISSING)
            continue;
        if (!first)
            kap_buf_adds(b, ", ");
        kap_lnode_text(b, n->args[i]);
        first = false;
    }
    kap_buf_addf(b, " %s missing, values in scope are [", nmissing > 1 ? "are" : "is");
    scope_names(b, l, n, types);
    kap_buf_addc(b, ']');
}

static void explain_signature(struct kap_buf *b, const struct kap_lnode *n, const enum kap_type *types)
{
    kap_buf_addf(b, "Cannot call function \"%s\" with args (", n->fn->name);
    for (size_t i = 0; i < n->nargs; i++) {
        if (i > 0)
            kap_buf_addc(b, ',');
        kap_lnode_text(b, n->args[i]);
        kap_buf_addf(b, ": %s", kap_type_name(types[i]));
    }
    kap_buf_adds(b, "), available signatures are ");
    kap_lambda_fn_signatures(b, n->fn);
    kap_buf_addc(b, '.');
}

static void explain_call(struct kap_buf *b, const struct kap_lambda *l, const struct kap_lnode *n,
                         const enum kap_type *types)
{
    size_t nmissing = 0;
    for (size_t i = 0; i < n->nargs; i++)
        nmissing += types[i] == KAP_MISSING;
    if (nmissing > 0)
        explain_missing(b, l, n, types, nmissing);
    else
        explain_signature(b, n, types);
}

static struct result specialise_call(struct spec_ctx *x, const struct kap_lnode *n)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    if (!n->fn && !n->extra) {
        kap_buf_addf(&b, "undefined function: \"%.*s\"", KAP_STR_ARG(n->e->name));
        return failed(x, n, &b);
    }
    if (n->fn && n->nargs > KAP_LAMBDA_ARGS) {
        kap_buf_addf(&b, "too many arguments provided: \"%s\" takes at most %d", n->fn->name, KAP_LAMBDA_ARGS);
        return failed(x, n, &b);
    }
    enum kap_type types[KAP_LAMBDA_ARGS] = { KAP_MISSING };
    const struct kap_code **args = KAP_ARENA_ARRAY(x->spec->arena, const struct kap_code *, n->nargs);
    for (size_t i = 0; i < n->nargs; i++) {
        const struct result arg = specialise(x, n->args[i]);
        if (arg.error)
            return arg;
        types[i] = (enum kap_type)arg.type;
        args[i] = arg.code;
    }
    const int type = n->extra ? (int)n->extra->type : kap_lambda_fn_result(n->fn, types, n->nargs);
    if (type < 0) {
        explain_call(&b, x->l, n, types);
        return failed(x, n, &b);
    }
    struct kap_code *c = new_code(x, n, (enum kap_type)type);
    c->args = args;
    c->nargs = n->nargs;
    c->math = n->fn ? n->fn->math : NULL;
    set_call(c);
    return (struct result){ .type = type, .code = c };
}

static struct result specialise(struct spec_ctx *x, const struct kap_lnode *n)
{
    switch (n->e->kind) {
    case KAP_EXPR_LITERAL:
        return leaf(x, n, n->e->value.type);
    case KAP_EXPR_REFERENCE:
        return leaf(x, n, (enum kap_type)x->spec->types[n->slot]);
    case KAP_EXPR_UNARY:
        return n->e->op == KAP_OP_NOT ? specialise_not(x, n) : specialise_minus(x, n);
    case KAP_EXPR_BINARY:
        return specialise_binary(x, n);
    default: /* check.c lets nothing else through */
        return specialise_call(x, n);
    }
}

void kap_lambda_specialise(const struct kap_lambda *l, struct kap_spec *spec)
{
    kap_arena_reset(spec->arena);
    struct spec_ctx x = { .l = l, .spec = spec };
    const struct result root = specialise(&x, l->root);
    spec->root = root.code;
    spec->error = root.error;
    spec->type = root.error ? KAP_MISSING : (enum kap_type)root.type;
}

struct kap_value kap_code_value(const struct kap_code *c, struct kap_run *r)
{
    if (c->slot >= 0)
        return r->values[c->slot];
    struct kap_value v = { .type = c->type };
    switch (c->type) {
    case KAP_FLOAT:
        v.f = c->eval.f(c, r);
        break;
    case KAP_INT:
    case KAP_TIME:
    case KAP_DURATION:
        v.i = c->eval.i(c, r);
        break;
    case KAP_BOOL:
        v.b = c->eval.b(c, r);
        break;
    case KAP_STRING:
        v.s = c->eval.s(c, r);
        break;
    case KAP_REGEX:
        v.re = c->eval.re(c, r);
        break;
    case KAP_MISSING: /* nothing to compute: the functions that take it look at the type alone */
        break;
    }
    return v;
}
