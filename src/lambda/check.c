/* The checked tree: names resolved to slots, functions to the table, and what the reference refuses when a task is
 * enabled: operators whose operand types are known without data. */
#include "base/buf.h"
#include "base/duration.h"
#include "base/mem.h"
#include "base/number.h"
#include "lambda/internal.h"

struct checker {
    struct kap_lambda *l;
    struct kap_error *err;
    int depth;
};

static enum kap_status check(struct checker *ck, const struct kap_expr *e, struct kap_lnode **ret);

static int ref_slot(struct kap_lambda *l, struct kap_str name)
{
    const struct kap_sym *sym = kap_sym(name);
    for (size_t i = 0; i < l->nrefs; i++)
        if (l->refs[i].name == sym)
            return (int)i;
    KAP_GROW(l->refs, l->refs_cap, l->nrefs + 1);
    l->refs[l->nrefs] = (struct kap_ref){ .name = sym, .time = kap_str_is(name, "time") };
    return (int)l->nrefs++;
}

/* Slots of constants follow those of references, which are not all known yet: numbered from 0 here, moved by
 * shift_constants. */
static int constant_slot(struct kap_lambda *l, struct kap_value v)
{
    KAP_GROW(l->values, l->values_cap, l->nvalues + 1);
    l->values[l->nvalues] = v;
    return (int)l->nvalues++;
}

static enum kap_status check_literal(struct checker *ck, struct kap_lnode *n)
{
    struct kap_value v = n->e->value;
    if (v.type == KAP_REGEX) {
        struct kap_regex *re = NULL;
        if (v.re)
            re = kap_regex_ref(v.re);
        else
            KAP_TRY(kap_regex_new(n->e->regex, &re, ck->err));
        v.re = re; /* released in kap_lambda_free */
    }
    n->slot = constant_slot(ck->l, v);
    n->const_type = (int)v.type;
    return KAP_OK;
}

static enum kap_status check_child(struct checker *ck, const struct kap_lnode *parent, const struct kap_expr *e,
                                   struct kap_lnode **ret, const char *what, int arg)
{
    struct kap_lnode *child;
    if (check(ck, e, &child) != KAP_OK)
        return arg ? kap_wrap(ck->err, "Failed to handle %d argument", arg) :
                     kap_wrap(ck->err, "Failed to handle %s", what);
    child->parent = parent;
    child->arg = arg;
    *ret = child;
    return KAP_OK;
}

static enum kap_status check_unary(struct checker *ck, struct kap_lnode *n)
{
    KAP_TRY(check_child(ck, n, n->e->left, &n->left, "node", 0));
    n->const_type = n->e->op == KAP_OP_NOT ? (int)KAP_BOOL : n->left->const_type;
    n->dynamic = n->const_type == KAP_TYPE_NONE && n->left->dynamic;
    return KAP_OK;
}

static enum kap_status check_binary(struct checker *ck, struct kap_lnode *n)
{
    const enum kap_op op = n->e->op;
    KAP_TRY(check_child(ck, n, n->e->left, &n->left, "left node", 0));
    KAP_TRY(check_child(ck, n, n->e->right, &n->right, "right node", 0));
    const struct kap_rule *rule = kap_rule_find(op, n->left->const_type, n->right->const_type);
    if (!kap_op_is_math(op))
        n->const_type = KAP_BOOL;
    else if (rule)
        n->const_type = (int)rule->ret;
    n->dynamic = n->const_type == KAP_TYPE_NONE && (n->left->dynamic || n->right->dynamic);
    if (n->left->dynamic || n->right->dynamic || rule)
        return KAP_OK;
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    kap_op_mismatch(&text, op, n->left->const_type, n->right->const_type);
    return kap_fail(ck->err, KAP_EINVAL, "%s", kap_buf_str(&text).p);
}

static const struct kap_lambda_extra *extra_find(const struct kap_lambda_extra *extra, struct kap_str name)
{
    for (; extra && extra->name; extra++)
        if (kap_str_is(name, extra->name))
            return extra;
    return NULL;
}

static enum kap_status check_call(struct checker *ck, struct kap_lnode *n)
{
    n->dynamic = true;
    /* Without arguments the function of the place wins over a built-in one: duration() in match expressions. */
    n->extra = n->e->nargs == 0 ? extra_find(ck->l->extra, n->e->name) : NULL;
    if (n->extra)
        ck->l->pure = false;
    else
        n->fn = kap_lambda_fn_find(n->e->name);
    if (n->fn && n->fn->flags) {
        ck->l->pure = false;
        ck->l->stateful |= (n->fn->flags & KAP_FN_STATE) != 0;
    }
    n->nargs = n->e->nargs;
    n->args = KAP_ARENA_ARRAY(ck->l->arena, struct kap_lnode *, n->nargs);
    for (size_t i = 0; i < n->nargs; i++)
        KAP_TRY(check_child(ck, n, n->e->args[i], &n->args[i], NULL, (int)i + 1));
    return KAP_OK;
}

static enum kap_status check_kind(struct checker *ck, struct kap_lnode *n)
{
    switch (n->e->kind) {
    case KAP_EXPR_LITERAL:
        return check_literal(ck, n);
    case KAP_EXPR_REFERENCE:
        n->slot = ref_slot(ck->l, n->e->name);
        n->dynamic = true;
        return KAP_OK;
    case KAP_EXPR_UNARY:
        return check_unary(ck, n);
    case KAP_EXPR_BINARY:
        return check_binary(ck, n);
    case KAP_EXPR_CALL:
        return check_call(ck, n);
    case KAP_EXPR_LAMBDA:
    case KAP_EXPR_IDENTIFIER:
    case KAP_EXPR_STAR:
    case KAP_EXPR_LIST:
    case KAP_EXPR_CHAIN:
        break;
    }
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    kap_expr_format(&text, n->e);
    return kap_fail(ck->err, KAP_EINVAL, "%s cannot be used in a lambda expression", kap_buf_str(&text).p);
}

static enum kap_status check(struct checker *ck, const struct kap_expr *e, struct kap_lnode **ret)
{
    if (e->kind == KAP_EXPR_LAMBDA) /* a var that holds a lambda */
        return check(ck, e->left, ret);
    struct kap_lnode *n = KAP_ARENA_NEW(ck->l->arena, struct kap_lnode);
    n->e = e;
    n->slot = -1;
    n->const_type = KAP_TYPE_NONE;
    KAP_TRY(check_kind(ck, n));
    *ret = n;
    return KAP_OK;
}

static void shift_constants(struct kap_lnode *n, int by)
{
    if (!n)
        return;
    if (n->e->kind == KAP_EXPR_LITERAL)
        n->slot += by;
    shift_constants(n->left, by);
    shift_constants(n->right, by);
    for (size_t i = 0; i < n->nargs; i++)
        shift_constants(n->args[i], by);
}

/* References first, then constants; and the names that are not "time". */
static void lay_out_values(struct kap_lambda *l)
{
    struct kap_value *values = KAP_ARRAY(struct kap_value, l->nrefs + l->nvalues + 1);
    if (l->nvalues)
        memcpy(values + l->nrefs, l->values, l->nvalues * sizeof *values);
    kap_free(l->values);
    l->values = values;
    l->nvalues += l->nrefs;
    l->values_cap = l->nvalues;
    shift_constants(l->root, (int)l->nrefs);
    l->names = KAP_ARENA_ARRAY(l->arena, const struct kap_sym *, l->nrefs);
    for (size_t i = 0; i < l->nrefs; i++) {
        if (l->refs[i].time)
            l->pure = false;
        else
            l->names[l->nnames++] = l->refs[i].name;
    }
}

enum kap_status kap_lambda_check(struct kap_lambda *l, struct kap_error *err)
{
    struct kap_error own = { 0 };
    struct checker ck = { .l = l, .err = err ? err : &own };
    KAP_TRY(check(&ck, l->expr, &l->root));
    lay_out_values(l);
    return KAP_OK;
}

/* --- text of a node in messages, as the reference prints it --- */

static void literal_text(struct kap_buf *b, const struct kap_expr *e)
{
    switch (e->value.type) {
    case KAP_FLOAT:
        kap_number_format(b, e->value.f, 'g', -1);
        return;
    case KAP_INT:
        kap_number_i64(b, e->value.i);
        return;
    case KAP_BOOL:
        kap_buf_adds(b, e->value.b ? "true" : "false");
        return;
    case KAP_DURATION:
        kap_duration_format_go(b, e->value.i);
        return;
    case KAP_STRING:
        kap_buf_add(b, e->value.s);
        return;
    case KAP_REGEX:
        kap_buf_add(b, e->text.n ? e->text : e->regex);
        return;
    case KAP_TIME:
    case KAP_MISSING:
        return;
    }
}

void kap_lnode_text(struct kap_buf *b, const struct kap_lnode *n)
{
    const struct kap_expr *e = n->e;
    if (e->kind == KAP_EXPR_LITERAL) {
        literal_text(b, e);
    } else if (e->kind == KAP_EXPR_REFERENCE) {
        kap_buf_addf(b, "\"%.*s\"", KAP_STR_ARG(e->name));
    } else if (e->kind == KAP_EXPR_UNARY) {
        kap_buf_adds(b, kap_op_text(e->op));
        kap_lnode_text(b, n->left);
    } else if (e->kind == KAP_EXPR_BINARY) {
        kap_lnode_text(b, n->left);
        kap_buf_addf(b, " %s ", kap_op_text(e->op));
        kap_lnode_text(b, n->right);
    } else {
        kap_buf_addf(b, "%.*s(", KAP_STR_ARG(e->name));
        for (size_t i = 0; i < n->nargs; i++) {
            if (i > 0)
                kap_buf_adds(b, ", ");
            kap_lnode_text(b, n->args[i]);
        }
        kap_buf_addc(b, ')');
    }
}

void kap_lnode_context(struct kap_buf *b, const struct kap_lnode *n)
{
    int args[KAP_LAMBDA_DEPTH];
    int count = 0;
    for (; n && count < KAP_LAMBDA_DEPTH; n = n->parent)
        if (n->arg)
            args[count++] = n->arg;
    while (count > 0)
        kap_buf_addf(b, "Failed to handle %d argument: ", args[--count]);
}
