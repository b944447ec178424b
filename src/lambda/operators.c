#include "base/buf.h"
#include "lambda/internal.h"

/* --- code of operators; operands are evaluated left to right, as functions in them may keep state --- */

#define BINARY(name, ret, type_l, get_l, type_r, get_r, expr)                                                    \
    static ret name(const struct kap_code *c, struct kap_run *r)                                                 \
    {                                                                                                            \
        const type_l x = get_l(c->left, r);                                                                      \
        const type_r y = get_r(c->right, r);                                                                     \
        return expr;                                                                                             \
    }
#define COMPARE(suffix, type_l, get_l, type_r, get_r)                                                            \
    BINARY(eq_##suffix, bool, type_l, get_l, type_r, get_r, x == y)                                              \
    BINARY(ne_##suffix, bool, type_l, get_l, type_r, get_r, x != y)                                              \
    BINARY(lt_##suffix, bool, type_l, get_l, type_r, get_r, x < y)                                               \
    BINARY(le_##suffix, bool, type_l, get_l, type_r, get_r, x <= y)                                              \
    BINARY(gt_##suffix, bool, type_l, get_l, type_r, get_r, x > y)                                               \
    BINARY(ge_##suffix, bool, type_l, get_l, type_r, get_r, x >= y)

COMPARE(ff, double, kap_code_f, double, kap_code_f)
COMPARE(ii, int64_t, kap_code_i, int64_t, kap_code_i)
COMPARE(fi, double, kap_code_f, double, (double)kap_code_i)
COMPARE(if, double, (double)kap_code_i, double, kap_code_f)

/* Most comparisons are decided by the length or the first byte. */
static inline bool same_text(struct kap_str x, struct kap_str y)
{
    return x.n == y.n && (x.n == 0 || (x.p[0] == y.p[0] && (x.n == 1 || memcmp(x.p, y.p, x.n) == 0)));
}
BINARY(eq_ss, bool, struct kap_str, kap_code_s, struct kap_str, kap_code_s, same_text(x, y))
BINARY(ne_ss, bool, struct kap_str, kap_code_s, struct kap_str, kap_code_s, !same_text(x, y))
BINARY(lt_ss, bool, struct kap_str, kap_code_s, struct kap_str, kap_code_s, kap_str_cmp(x, y) < 0)
BINARY(le_ss, bool, struct kap_str, kap_code_s, struct kap_str, kap_code_s, kap_str_cmp(x, y) <= 0)
BINARY(gt_ss, bool, struct kap_str, kap_code_s, struct kap_str, kap_code_s, kap_str_cmp(x, y) > 0)
BINARY(ge_ss, bool, struct kap_str, kap_code_s, struct kap_str, kap_code_s, kap_str_cmp(x, y) >= 0)
BINARY(eq_bb, bool, bool, kap_code_b, bool, kap_code_b, x == y)
BINARY(ne_bb, bool, bool, kap_code_b, bool, kap_code_b, x != y)

BINARY(add_ff, double, double, kap_code_f, double, kap_code_f, x + y)
BINARY(sub_ff, double, double, kap_code_f, double, kap_code_f, x - y)
BINARY(mul_ff, double, double, kap_code_f, double, kap_code_f, x *y)
BINARY(div_ff, double, double, kap_code_f, double, kap_code_f, x / y)

/* Integers wrap around, as Go's do. */
BINARY(add_ii, int64_t, int64_t, kap_code_i, int64_t, kap_code_i, (int64_t)((uint64_t)x + (uint64_t)y))
BINARY(sub_ii, int64_t, int64_t, kap_code_i, int64_t, kap_code_i, (int64_t)((uint64_t)x - (uint64_t)y))
BINARY(mul_ii, int64_t, int64_t, kap_code_i, int64_t, kap_code_i, (int64_t)((uint64_t)x * (uint64_t)y))
BINARY(mul_if, int64_t, int64_t, kap_code_i, double, kap_code_f, kap_float_to_int((double)x *y))
BINARY(mul_fi, int64_t, double, kap_code_f, int64_t, kap_code_i, kap_float_to_int(x *(double)y))
BINARY(div_if, int64_t, int64_t, kap_code_i, double, kap_code_f, kap_float_to_int((double)x / y))

static int64_t divide_by_zero(struct kap_run *r)
{
    if (r->status == KAP_OK)
        r->status = kap_fail(r->err, KAP_EINVAL, "runtime error: integer divide by zero");
    return 0;
}

static int64_t div_ii(const struct kap_code *c, struct kap_run *r)
{
    const int64_t x = kap_code_i(c->left, r);
    const int64_t y = kap_code_i(c->right, r);
    if (y == 0)
        return divide_by_zero(r);
    return y == -1 ? (int64_t)(0 - (uint64_t)x) : x / y;
}

static int64_t mod_ii(const struct kap_code *c, struct kap_run *r)
{
    const int64_t x = kap_code_i(c->left, r);
    const int64_t y = kap_code_i(c->right, r);
    if (y == 0)
        return divide_by_zero(r);
    return y == -1 ? 0 : x % y;
}

static struct kap_str add_ss(const struct kap_code *c, struct kap_run *r)
{
    const struct kap_str x = kap_code_s(c->left, r);
    const struct kap_str y = kap_code_s(c->right, r);
    char *p = kap_arena_raw(r->env->scratch, x.n + y.n + 1);
    if (x.n)
        memcpy(p, x.p, x.n);
    if (y.n)
        memcpy(p + x.n, y.p, y.n);
    p[x.n + y.n] = 0;
    return kap_strn(p, x.n + y.n);
}

static bool and_bb(const struct kap_code *c, struct kap_run *r)
{
    return kap_code_b(c->left, r) && r->status == KAP_OK && kap_code_b(c->right, r);
}

static bool or_bb(const struct kap_code *c, struct kap_run *r)
{
    return kap_code_b(c->left, r) || (r->status == KAP_OK && kap_code_b(c->right, r));
}

static bool match(const struct kap_code *c, struct kap_run *r)
{
    const struct kap_str s = kap_code_s(c->left, r);
    const struct kap_regex *re = kap_code_re(c->right, r);
    bool matched = false;
    if (r->status != KAP_OK)
        return false;
    struct kap_error err;
    const enum kap_status status = kap_regex_match(re, s, &matched, &err);
    if (status != KAP_OK)
        kap_run_fail(r, c->node, status, err.msg);
    return matched;
}

static bool not_match(const struct kap_code *c, struct kap_run *r)
{
    return !match(c, r);
}

/* --- which operators exist --- */

#define RULE(op, l, r, ret, fn) { KAP_OP_##op, KAP_##l, KAP_##r, KAP_##ret, (void (*)(void))(fn) }
#define COMPARISONS(l, r, suffix)                                                                                \
    RULE(EQ, l, r, BOOL, eq_##suffix), RULE(NE, l, r, BOOL, ne_##suffix), RULE(LT, l, r, BOOL, lt_##suffix),     \
        RULE(LE, l, r, BOOL, le_##suffix), RULE(GT, l, r, BOOL, gt_##suffix), RULE(GE, l, r, BOOL, ge_##suffix)

static const struct kap_rule rules[] = {
    RULE(AND, BOOL, BOOL, BOOL, and_bb),
    RULE(OR, BOOL, BOOL, BOOL, or_bb),
    RULE(EQ, BOOL, BOOL, BOOL, eq_bb),
    RULE(NE, BOOL, BOOL, BOOL, ne_bb),
    COMPARISONS(FLOAT, FLOAT, ff),
    COMPARISONS(INT, INT, ii),
    COMPARISONS(FLOAT, INT, fi),
    COMPARISONS(INT, FLOAT, if),
    COMPARISONS(STRING, STRING, ss),
    COMPARISONS(DURATION, DURATION, ii),
    RULE(MATCH, STRING, REGEX, BOOL, match),
    RULE(NOT_MATCH, STRING, REGEX, BOOL, not_match),
    RULE(ADD, FLOAT, FLOAT, FLOAT, add_ff),
    RULE(SUB, FLOAT, FLOAT, FLOAT, sub_ff),
    RULE(MUL, FLOAT, FLOAT, FLOAT, mul_ff),
    RULE(DIV, FLOAT, FLOAT, FLOAT, div_ff),
    RULE(ADD, INT, INT, INT, add_ii),
    RULE(SUB, INT, INT, INT, sub_ii),
    RULE(MUL, INT, INT, INT, mul_ii),
    RULE(DIV, INT, INT, INT, div_ii),
    RULE(MOD, INT, INT, INT, mod_ii),
    RULE(ADD, DURATION, DURATION, DURATION, add_ii),
    RULE(SUB, DURATION, DURATION, DURATION, sub_ii),
    RULE(MUL, DURATION, INT, DURATION, mul_ii),
    RULE(MUL, INT, DURATION, DURATION, mul_ii),
    RULE(MUL, DURATION, FLOAT, DURATION, mul_if),
    RULE(MUL, FLOAT, DURATION, DURATION, mul_fi),
    RULE(DIV, DURATION, INT, DURATION, div_ii),
    RULE(DIV, DURATION, FLOAT, DURATION, div_if),
    RULE(DIV, DURATION, DURATION, INT, div_ii),
    RULE(ADD, STRING, STRING, STRING, add_ss),
};

const struct kap_rule *kap_rules(size_t *n)
{
    *n = sizeof rules / sizeof *rules;
    return rules;
}

const struct kap_rule *kap_rule_find(enum kap_op op, int left, int right)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].op == op && (int)rules[i].left == left && (int)rules[i].right == right)
            return &rules[i];
    return NULL;
}

bool kap_op_is_math(enum kap_op op)
{
    return op >= KAP_OP_ADD && op <= KAP_OP_MOD;
}

bool kap_op_is_logical(enum kap_op op)
{
    return op == KAP_OP_AND || op == KAP_OP_OR;
}

/* Whether any rule for the operator has the type on either side. */
static bool type_has_op(int type, enum kap_op op)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].op == op && ((int)rules[i].left == type || (int)rules[i].right == type))
            return true;
    return false;
}

static const char *type_name(int type)
{
    return type == KAP_TYPE_NONE ? "invalid type" : kap_type_name((enum kap_type)type);
}

void kap_op_mismatch(struct kap_buf *b, enum kap_op op, int left, int right)
{
    const char *kind = kap_op_is_math(op) ? "math" : kap_op_is_logical(op) ? "logical" : "comparison";
    if (left != KAP_TYPE_NONE && !type_has_op(left, op))
        kap_buf_addf(b, "invalid %s operator %s for type %s", kind, kap_op_text(op), type_name(left));
    else
        kap_buf_addf(b, "mismatched type to binary operator. got %s %s %s. see bool(), int(), float(), string(), "
                     "duration()", type_name(left), kap_op_text(op), type_name(right));
}
