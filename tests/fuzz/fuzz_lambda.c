/* Lambda expressions against a naive oracle: the bytes choose an expression and the types of its fields; the compiled
 * form and a tree walk that knows the rules only must agree on the value, or both fail. */
#include "base/buf.h"
#include "base/mem.h"
#include "lambda/lambda.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELDS 4

struct input {
    const uint8_t *p;
    size_t n;
    struct kap_arena *a;
    int budget;
};

struct point {
    struct kap_value v[FIELDS];
};

static const char *const field_names[FIELDS] = { "a", "b", "c", "d" };

static unsigned pick(struct input *in, unsigned n)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++ % n;
}

/* --- random expressions --- */

static struct kap_value random_value(struct input *in)
{
    static const double floats[] = { 0, 1, -1.5, 1e300, 3, 0.1, -0.0, 12345678.9 };
    static const int64_t ints[] = { 0, 1, -1, 7, INT64_MAX, INT64_MIN, 60, 1000000007 };
    static const char *const strings[] = { "", "a", "abc", "ab\xc5\xbc", "10" };
    switch (pick(in, 6)) {
    case 0:
        return kap_value_f(floats[pick(in, 8)]);
    case 1:
        return kap_value_i(ints[pick(in, 8)]);
    case 2:
        return kap_value_s(kap_str(strings[pick(in, 5)]));
    case 3:
        return kap_value_b(pick(in, 2));
    case 4:
        return kap_value_dur(ints[pick(in, 8)]);
    default:
        return (struct kap_value){ .type = KAP_MISSING };
    }
}

static struct kap_expr *node(struct input *in, enum kap_expr_kind kind)
{
    struct kap_expr *e = KAP_ARENA_NEW(in->a, struct kap_expr);
    e->kind = kind;
    return e;
}

static struct kap_expr *random_expr(struct input *in, int depth);

static struct kap_expr *random_leaf(struct input *in)
{
    const struct kap_value v = random_value(in);
    if (v.type != KAP_MISSING)
        return kap_expr_literal(in->a, v);
    struct kap_expr *e = node(in, KAP_EXPR_REFERENCE);
    e->name = kap_str(field_names[pick(in, FIELDS)]);
    return e;
}

static struct kap_expr *random_call(struct input *in, int depth)
{
    static const struct {
        const char *name;
        size_t nargs;
    } calls[] = { { "if", 3 }, { "abs", 1 }, { "strLength", 1 }, { "isPresent", 1 }, { "float", 1 }, { "max", 2 }, { "no", 1 } };
    struct kap_expr *e = node(in, KAP_EXPR_CALL);
    const unsigned i = pick(in, 7);
    e->name = kap_str(calls[i].name);
    e->nargs = calls[i].nargs;
    e->args = KAP_ARENA_ARRAY(in->a, struct kap_expr *, e->nargs);
    for (size_t k = 0; k < e->nargs; k++)
        e->args[k] = random_expr(in, depth + 1);
    return e;
}

static struct kap_expr *random_expr(struct input *in, int depth)
{
    const unsigned what = pick(in, 8);
    if (depth > 12 || --in->budget < 0 || what < 2 || in->n == 0)
        return random_leaf(in);
    if (what == 2)
        return random_call(in, depth);
    struct kap_expr *e = node(in, what == 3 ? KAP_EXPR_UNARY : KAP_EXPR_BINARY);
    if (what == 3) {
        e->op = pick(in, 2) ? KAP_OP_NOT : KAP_OP_NEG;
        e->left = random_expr(in, depth + 1);
        return e;
    }
    static const enum kap_op ops[] = { KAP_OP_ADD, KAP_OP_SUB, KAP_OP_MUL, KAP_OP_DIV, KAP_OP_MOD, KAP_OP_EQ, KAP_OP_NE,
                                       KAP_OP_LT,  KAP_OP_LE,  KAP_OP_GT,  KAP_OP_GE,  KAP_OP_AND, KAP_OP_OR };
    e->op = ops[pick(in, KAP_COUNT(ops))];
    e->left = random_expr(in, depth + 1);
    e->right = random_expr(in, depth + 1);
    return e;
}

/* --- the oracle: types first, but into comparisons and logic only when they are evaluated --- */

#define BAD (-1)

static const struct kap_value *reference(const struct point *pt, const struct kap_expr *e)
{
    for (int i = 0; i < FIELDS; i++)
        if (kap_str_is(e->name, field_names[i]))
            return &pt->v[i];
    abort();
}

static int arithmetic_type(enum kap_op op, int l, int r)
{
    const bool add = op == KAP_OP_ADD, sub = op == KAP_OP_SUB, mul = op == KAP_OP_MUL, div = op == KAP_OP_DIV;
    if (l == r && l == KAP_INT)
        return KAP_INT;
    if (l == r && l == KAP_FLOAT)
        return op == KAP_OP_MOD ? BAD : KAP_FLOAT;
    if (l == r && l == KAP_STRING)
        return add ? KAP_STRING : BAD;
    if (l == r && l == KAP_DURATION)
        return add || sub ? KAP_DURATION : div ? KAP_INT : BAD;
    if (l == KAP_DURATION && (r == KAP_INT || r == KAP_FLOAT))
        return mul || div ? KAP_DURATION : BAD;
    if (r == KAP_DURATION && (l == KAP_INT || l == KAP_FLOAT))
        return mul ? KAP_DURATION : BAD;
    return BAD;
}

static int type_of(const struct point *pt, const struct kap_expr *e);

static int call_type(const struct point *pt, const struct kap_expr *e)
{
    int t[3] = { BAD, BAD, BAD };
    for (size_t i = 0; i < e->nargs; i++)
        if ((t[i] = type_of(pt, e->args[i])) == BAD)
            return BAD;
    if (kap_str_is(e->name, "if"))
        return t[0] == KAP_BOOL && t[1] == t[2] && t[1] != KAP_MISSING ? t[1] : BAD;
    if (kap_str_is(e->name, "abs"))
        return t[0] == KAP_FLOAT ? KAP_FLOAT : BAD;
    if (kap_str_is(e->name, "max"))
        return t[0] == KAP_FLOAT && t[1] == KAP_FLOAT ? KAP_FLOAT : BAD;
    if (kap_str_is(e->name, "strLength"))
        return t[0] == KAP_STRING ? KAP_INT : BAD;
    if (kap_str_is(e->name, "isPresent"))
        return t[0] != KAP_DURATION ? KAP_BOOL : BAD;
    if (kap_str_is(e->name, "float"))
        return t[0] == KAP_MISSING || t[0] == KAP_DURATION ? BAD : KAP_FLOAT;
    return BAD;
}

static int type_of(const struct point *pt, const struct kap_expr *e)
{
    switch (e->kind) {
    case KAP_EXPR_LITERAL:
        return (int)e->value.type;
    case KAP_EXPR_REFERENCE:
        return (int)reference(pt, e)->type;
    case KAP_EXPR_UNARY:
        return e->op == KAP_OP_NOT ? (int)KAP_BOOL : type_of(pt, e->left);
    case KAP_EXPR_CALL:
        return call_type(pt, e);
    default:
        break;
    }
    if (e->op > KAP_OP_MOD)
        return KAP_BOOL;
    const int l = type_of(pt, e->left), r = type_of(pt, e->right);
    return l == BAD || r == BAD ? BAD : arithmetic_type(e->op, l, r);
}

static bool eval(const struct point *pt, const struct kap_expr *e, struct kap_arena *a, struct kap_value *ret);

static int64_t cut(double f)
{
    return f >= -9223372036854775808.0 && f < 9223372036854775808.0 ? (int64_t)f : INT64_MIN;
}

static bool int_arithmetic(enum kap_op op, int64_t x, int64_t y, int64_t *ret)
{
    const __int128 wide = op == KAP_OP_ADD ? (__int128)x + y : op == KAP_OP_SUB ? (__int128)x - y :
                          op == KAP_OP_MUL ? (__int128)x * y : y == 0 ? 0 : op == KAP_OP_DIV ? (__int128)x / y : (__int128)x % y;
    if ((op == KAP_OP_DIV || op == KAP_OP_MOD) && y == 0)
        return false;
    *ret = (int64_t)(uint64_t)wide;
    return true;
}

static bool arithmetic(const struct kap_expr *e, struct kap_value x, struct kap_value y, struct kap_arena *a, struct kap_value *ret)
{
    *ret = (struct kap_value){ .type = (enum kap_type)arithmetic_type(e->op, (int)x.type, (int)y.type) };
    if (ret->type == KAP_STRING) {
        ret->s = kap_str(kap_arena_printf(a, "%.*s%.*s", KAP_STR_ARG(x.s), KAP_STR_ARG(y.s)));
        return true;
    }
    if (ret->type == KAP_FLOAT) {
        ret->f = e->op == KAP_OP_ADD ? x.f + y.f : e->op == KAP_OP_SUB ? x.f - y.f : e->op == KAP_OP_MUL ? x.f * y.f : x.f / y.f;
        return true;
    }
    if (x.type != KAP_FLOAT && y.type != KAP_FLOAT)
        return int_arithmetic(e->op, x.i, y.i, &ret->i);
    const double l = x.type == KAP_FLOAT ? x.f : (double)x.i, r = y.type == KAP_FLOAT ? y.f : (double)y.i;
    ret->i = cut(e->op == KAP_OP_MUL ? l * r : l / r);
    return true;
}

/* -1, 0, 1; 2: unordered (NaN) */
static int order(struct kap_value x, struct kap_value y)
{
    if (x.type == KAP_STRING)
        return kap_str_cmp(x.s, y.s) < 0 ? -1 : !kap_str_eq(x.s, y.s);
    if (x.type == KAP_BOOL)
        return x.b == y.b ? 0 : 1;
    if (x.type != KAP_FLOAT && y.type != KAP_FLOAT)
        return x.i < y.i ? -1 : x.i > y.i;
    const double l = x.type == KAP_FLOAT ? x.f : (double)x.i, r = y.type == KAP_FLOAT ? y.f : (double)y.i;
    return l < r ? -1 : l > r ? 1 : l == r ? 0 : 2;
}

static bool can_compare(enum kap_op op, int l, int r)
{
    const bool numbers = (l == KAP_INT || l == KAP_FLOAT) && (r == KAP_INT || r == KAP_FLOAT);
    if (op == KAP_OP_AND || op == KAP_OP_OR)
        return l == KAP_BOOL && r == KAP_BOOL;
    if (l == KAP_BOOL && r == KAP_BOOL)
        return op == KAP_OP_EQ || op == KAP_OP_NE;
    return numbers || (l == r && (l == KAP_STRING || l == KAP_DURATION));
}

static bool compare(const struct point *pt, const struct kap_expr *e, struct kap_arena *a, struct kap_value *ret)
{
    struct kap_value x, y;
    if (!can_compare(e->op, type_of(pt, e->left), type_of(pt, e->right)) || !eval(pt, e->left, a, &x))
        return false;
    *ret = x;
    if ((e->op == KAP_OP_AND && !x.b) || (e->op == KAP_OP_OR && x.b))
        return true;
    if (!eval(pt, e->right, a, &y))
        return false;
    if (e->op == KAP_OP_AND || e->op == KAP_OP_OR) {
        *ret = y;
        return true;
    }
    const int o = order(x, y);
    const bool result = e->op == KAP_OP_EQ ? o == 0 : e->op == KAP_OP_NE ? o != 0 : e->op == KAP_OP_LT ? o == -1 :
                        e->op == KAP_OP_LE ? o == -1 || o == 0 : e->op == KAP_OP_GT ? o == 1 : o == 1 || o == 0;
    *ret = kap_value_b(result);
    return true;
}

/* The texts here, and what comes of adding them, are numbers when they have digits only. */
static bool float_of_digits(struct kap_str s, struct kap_value *ret)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    if (s.n == 0)
        return false;
    *ret = kap_value_f(strtod(s.p, NULL));
    return true;
}

static bool call(const struct point *pt, const struct kap_expr *e, struct kap_arena *a, struct kap_value *ret)
{
    struct kap_value v[3];
    for (size_t i = 0; i < e->nargs; i++) {
        if (type_of(pt, e->args[i]) == KAP_MISSING)
            v[i] = (struct kap_value){ .type = KAP_MISSING };
        else if (!eval(pt, e->args[i], a, &v[i]))
            return false;
    }
    if (kap_str_is(e->name, "if"))
        *ret = v[0].b ? v[1] : v[2];
    else if (kap_str_is(e->name, "abs"))
        *ret = kap_value_f(fabs(v[0].f));
    else if (kap_str_is(e->name, "strLength"))
        *ret = kap_value_i((int64_t)v[0].s.n);
    else if (kap_str_is(e->name, "isPresent"))
        *ret = kap_value_b(v[0].type != KAP_MISSING);
    else if (kap_str_is(e->name, "max"))
        *ret = kap_value_f(isnan(v[0].f) ? (v[1].f == INFINITY ? v[1].f : NAN) : isnan(v[1].f) ?
                           (v[0].f == INFINITY ? v[0].f : NAN) : v[0].f > v[1].f ? v[0].f : v[1].f);
    else if (v[0].type == KAP_STRING)
        return float_of_digits(v[0].s, ret);
    else
        *ret = kap_value_f(v[0].type == KAP_FLOAT ? v[0].f : v[0].type == KAP_INT ? (double)v[0].i : v[0].b);
    return true;
}

static bool eval(const struct point *pt, const struct kap_expr *e, struct kap_arena *a, struct kap_value *ret)
{
    const int type = type_of(pt, e);
    struct kap_value x, y;
    if (type == BAD || type == KAP_MISSING)
        return false;
    switch (e->kind) {
    case KAP_EXPR_LITERAL:
        *ret = e->value;
        return true;
    case KAP_EXPR_REFERENCE:
        *ret = *reference(pt, e);
        return true;
    case KAP_EXPR_CALL:
        return call(pt, e, a, ret);
    case KAP_EXPR_UNARY:
        if (!eval(pt, e->left, a, &x) || x.type == KAP_STRING || (e->op == KAP_OP_NOT && x.type != KAP_BOOL))
            return false;
        *ret = x;
        if (x.type == KAP_BOOL)
            ret->b = !x.b;
        else if (x.type == KAP_FLOAT)
            ret->f = -x.f;
        else
            ret->i = (int64_t)(0 - (uint64_t)x.i);
        return true;
    default:
        break;
    }
    if (e->op > KAP_OP_MOD)
        return compare(pt, e, a, ret);
    return eval(pt, e->left, a, &x) && eval(pt, e->right, a, &y) && arithmetic(e, x, y, a, ret);
}

/* --- both --- */

static bool agree(struct kap_value x, struct kap_value y)
{
    if (x.type == KAP_FLOAT && y.type == KAP_FLOAT && isnan(x.f) && isnan(y.f))
        return true;
    return kap_value_eq(&x, &y);
}

static void show(const struct kap_expr *e, bool expected, bool got, const char *message)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_expr_format(&b, e);
    fprintf(stderr, "%s: oracle %s, code %s (%s)\n", kap_buf_str(&b).p, expected ? "succeeds" : "fails",
            got ? "succeeds" : "fails", message);
    abort();
}

static void check_point(struct kap_lambda *l, const struct kap_expr *e, const struct point *pt, struct kap_arena *a)
{
    struct kap_field fields[FIELDS];
    struct kap_lambda_env env = { .fields = fields, .scratch = a };
    struct kap_error err = { 0 };
    struct kap_value want = { 0 }, got = { 0 };
    for (int i = 0; i < FIELDS; i++)
        if (pt->v[i].type != KAP_MISSING)
            fields[env.nfields++] = (struct kap_field){ .key = kap_sym_c(field_names[i]), .v = pt->v[i] };
    const bool expected = eval(pt, e, a, &want);
    const bool good = kap_lambda_eval(l, NULL, &env, &got, &err) == KAP_OK;
    if (expected != good || (good && !agree(want, got)))
        show(e, expected, good, err.msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { .p = data, .n = size, .a = kap_arena_new(), .budget = 60 };
    struct point points[3];
    struct kap_error err;
    struct kap_lambda *l;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < FIELDS; k++)
            points[i].v[k] = random_value(&in);
    const struct kap_expr *e = random_expr(&in, 0);
    if (kap_lambda_new(e, NULL, &l, &err) == KAP_OK) {
        for (int i = 0; i < 6; i++)
            check_point(l, e, &points[i % 3], in.a);
        kap_lambda_free(l);
    }
    kap_arena_free(in.a);
    return 0;
}
