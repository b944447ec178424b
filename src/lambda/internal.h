/* What the files of this room share. The way of an expression: checked tree (check.c, struct kap_lnode, once per
 * kap_lambda_new), then typed code for the observed types of its references (specialise.c, struct kap_code, cached),
 * whose operators are in operators.c and functions in functions*.c.
 *
 * The reference finds types before values, but looks into comparisons and logical operators only as it evaluates
 * them; therefore a type error inside one is code that fails when it is reached (kap_code_raise), so that a decided
 * AND/OR never reaches it, while all other type errors fail the expression at once. */
#ifndef KAP_LAMBDA_INTERNAL_H
#define KAP_LAMBDA_INTERNAL_H

#include "base/random.h"
#include "lambda/functions.h"
#include "lambda/lambda.h"
#include "lambda/regex.h"

#define KAP_TYPES 8      /* enum kap_type */
#define KAP_TYPE_NONE (-1)
#define KAP_LAMBDA_DEPTH 2000
#define KAP_LAMBDA_ARGS 4
#define KAP_LAMBDA_SPECS 4

struct kap_lnode {
    const struct kap_expr *e;
    const struct kap_lnode *parent;
    int arg;                   /* position in the parent's arguments, from 1; 0: the parent is no call */
    struct kap_lnode *left, *right, **args;
    size_t nargs;
    const struct kap_lambda_fn *fn;
    const struct kap_lambda_extra *extra;
    int slot;                  /* in kap_lambda.values: references and constants; else -1 */
    int const_type;            /* known without data; KAP_TYPE_NONE: depends on them */
    bool dynamic;
};

struct kap_ref {
    const struct kap_sym *name;
    bool time;
    uint32_t field_hint, tag_hint; /* where it was the last time */
};

struct kap_lambda_state {
    uint64_t expr_hash;
    int64_t count;
    double sigma_n, sigma_mean, sigma_m2;
    double spread_min, spread_max;
    struct kap_random random;
};

struct kap_run {
    const struct kap_value *values;
    const struct kap_lambda_env *env;
    struct kap_lambda_state *state;
    struct kap_error *err;
    enum kap_status status;     /* other than KAP_OK: failed, err is set */
};

struct kap_code {
    union {
        double (*f)(const struct kap_code *c, struct kap_run *r);
        int64_t (*i)(const struct kap_code *c, struct kap_run *r);   /* INT, TIME, DURATION */
        bool (*b)(const struct kap_code *c, struct kap_run *r);
        struct kap_str (*s)(const struct kap_code *c, struct kap_run *r);
        const struct kap_regex *(*re)(const struct kap_code *c, struct kap_run *r);
        void (*any)(void);
    } eval;
    int slot;                   /* not negative: a reference or a constant, nothing to call */
    enum kap_type type;
    const struct kap_code *left, *right, **args;
    size_t nargs;
    double (*math)(double);
    const struct kap_lnode *node;
    const char *error;          /* what kap_code_raise says */
};

/* One operator on one pair of types; kap_rules() has all that exist. */
struct kap_rule {
    enum kap_op op;
    enum kap_type left, right, ret;
    void (*eval)(void);         /* one of kap_code.eval, by `ret` */
};

struct kap_spec {               /* code for one combination of types */
    int8_t *types;              /* of each reference */
    struct kap_arena *arena;
    const struct kap_code *root; /* NULL: it fails with `error` */
    enum kap_type type;
    const char *error;
};

struct kap_lambda {
    struct kap_arena *arena;
    struct kap_expr *expr;
    const struct kap_lambda_extra *extra;
    struct kap_lnode *root;
    struct kap_ref *refs;
    size_t nrefs, refs_cap;
    const struct kap_sym **names;  /* refs but "time" */
    size_t nnames;
    struct kap_value *values;      /* nrefs, then the constants */
    size_t nvalues, values_cap;
    bool stateful, pure;
    uint64_t hash;
    struct kap_spec specs[KAP_LAMBDA_SPECS];
    unsigned last_spec, next_spec;
};

/* check.c */
enum kap_status kap_lambda_check(struct kap_lambda *l, struct kap_error *err);
void kap_lnode_text(struct kap_buf *b, const struct kap_lnode *n);
/* operators.c: NULL: no such operator on these types */
const struct kap_rule *kap_rule_find(enum kap_op op, int left, int right);
const struct kap_rule *kap_rules(size_t *n); /* all, for the documentation */
bool kap_op_is_math(enum kap_op op);
bool kap_op_is_logical(enum kap_op op);
void kap_op_mismatch(struct kap_buf *b, enum kap_op op, int left, int right);
/* specialise.c: fills spec for spec->types */
void kap_lambda_specialise(const struct kap_lambda *l, struct kap_spec *spec);
/* Text that says why a value of this type is no boolean, as `n` would. */
void kap_lnode_not_bool(struct kap_buf *b, const struct kap_lnode *n, int type);
/* Fails the run at node `n`: "Failed to handle 1 argument: .." in front for each call around it. */
void kap_run_fail(struct kap_run *r, const struct kap_lnode *n, enum kap_status status, const char *text);
void kap_lnode_context(struct kap_buf *b, const struct kap_lnode *n);
/* functions.c: evaluates arguments, then calls */
struct kap_value kap_code_call(const struct kap_code *c, struct kap_run *r);

static inline double kap_code_f(const struct kap_code *c, struct kap_run *r)
{
    return c->slot >= 0 ? r->values[c->slot].f : c->eval.f(c, r);
}
static inline int64_t kap_code_i(const struct kap_code *c, struct kap_run *r)
{
    return c->slot >= 0 ? r->values[c->slot].i : c->eval.i(c, r);
}
static inline bool kap_code_b(const struct kap_code *c, struct kap_run *r)
{
    return c->slot >= 0 ? r->values[c->slot].b : c->eval.b(c, r);
}
static inline struct kap_str kap_code_s(const struct kap_code *c, struct kap_run *r)
{
    return c->slot >= 0 ? r->values[c->slot].s : c->eval.s(c, r);
}
static inline const struct kap_regex *kap_code_re(const struct kap_code *c, struct kap_run *r)
{
    return c->slot >= 0 ? r->values[c->slot].re : c->eval.re(c, r);
}
struct kap_value kap_code_value(const struct kap_code *c, struct kap_run *r);

/* Go's conversion of a float to int64 on amd64: out of range and NaN give the smallest integer. */
static inline int64_t kap_float_to_int(double f)
{
    return f >= -9223372036854775808.0 && f < 9223372036854775808.0 ? (int64_t)f : INT64_MIN;
}

#endif
