#include "lambda/expr.h"
#include "base/buf.h"
#include "base/duration.h"
#include "base/number.h"
#include "lambda/regex.h"

const char *kap_op_text(enum kap_op op)
{
    static const char *const texts[] = {
        [KAP_OP_NONE] = "",    [KAP_OP_ADD] = "+",       [KAP_OP_SUB] = "-",  [KAP_OP_MUL] = "*",
        [KAP_OP_DIV] = "/",    [KAP_OP_MOD] = "%",       [KAP_OP_EQ] = "==",  [KAP_OP_NE] = "!=",
        [KAP_OP_LT] = "<",     [KAP_OP_LE] = "<=",       [KAP_OP_GT] = ">",   [KAP_OP_GE] = ">=",
        [KAP_OP_MATCH] = "=~", [KAP_OP_NOT_MATCH] = "!~", [KAP_OP_AND] = "AND", [KAP_OP_OR] = "OR",
        [KAP_OP_NOT] = "!",    [KAP_OP_NEG] = "-",       [KAP_OP_PIPE] = "|", [KAP_OP_DOT] = ".",
        [KAP_OP_AT] = "@",
    };
    return texts[op];
}

/* Text between `quote`s, inner quotes escaped. */
static void format_quoted(struct kap_buf *b, struct kap_str s, char quote)
{
    kap_buf_addc(b, quote);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == quote)
            kap_buf_addc(b, '\\');
        kap_buf_addc(b, s.p[i]);
    }
    kap_buf_addc(b, quote);
}

static void format_string(struct kap_buf *b, const struct kap_expr *e)
{
    if (e->quote == KAP_QUOTE_SINGLE) {
        format_quoted(b, e->value.s, '\'');
        return;
    }
    kap_buf_adds(b, "'''");
    kap_buf_add(b, e->value.s);
    kap_buf_adds(b, "'''");
}

/* Integers written with a leading zero are octal and stay so. */
static void format_int(struct kap_buf *b, const struct kap_expr *e)
{
    if (e->text.n > 1 && e->text.p[0] == '0')
        kap_buf_addf(b, "0%llo", (unsigned long long)e->value.i);
    else
        kap_number_i64(b, e->value.i);
}

static void format_float(struct kap_buf *b, double f)
{
    const size_t start = b->n;
    kap_number_format(b, f, 'f', -1);
    const struct kap_str text = kap_buf_str(b);
    if (text.n > start && !memchr(text.p + start, '.', text.n - start))
        kap_buf_adds(b, ".0");
}

static void format_regex(struct kap_buf *b, const struct kap_expr *e)
{
    kap_buf_addc(b, '/');
    if (e->text.n) {
        kap_buf_add(b, e->text);
    } else {
        const struct kap_str pattern = e->regex.n || !e->value.re ? e->regex : kap_regex_pattern(e->value.re);
        for (size_t i = 0; i < pattern.n; i++) {
            if (pattern.p[i] == '/')
                kap_buf_addc(b, '\\');
            kap_buf_addc(b, pattern.p[i]);
        }
    }
    kap_buf_addc(b, '/');
}

static void format_literal(struct kap_buf *b, const struct kap_expr *e)
{
    switch (e->value.type) {
    case KAP_FLOAT:
        format_float(b, e->value.f);
        return;
    case KAP_INT:
        format_int(b, e);
        return;
    case KAP_STRING:
        format_string(b, e);
        return;
    case KAP_BOOL:
        kap_buf_adds(b, e->value.b ? "TRUE" : "FALSE");
        return;
    case KAP_DURATION:
        if (e->text.n)
            kap_buf_add(b, e->text);
        else
            kap_duration_format_influx(b, e->value.i);
        return;
    case KAP_REGEX:
        format_regex(b, e);
        return;
    case KAP_TIME:
    case KAP_MISSING:
        return;
    }
}

static void format_args(struct kap_buf *b, const struct kap_expr *e)
{
    for (size_t i = 0; i < e->nargs; i++) {
        if (i > 0)
            kap_buf_adds(b, ", ");
        kap_expr_format(b, e->args[i]);
    }
}

static void format_binary(struct kap_buf *b, const struct kap_expr *e)
{
    if (e->parens)
        kap_buf_addc(b, '(');
    kap_expr_format(b, e->left);
    kap_buf_addf(b, " %s ", kap_op_text(e->op));
    kap_expr_format(b, e->right);
    if (e->parens)
        kap_buf_addc(b, ')');
}

void kap_expr_format(struct kap_buf *b, const struct kap_expr *e)
{
    switch (e->kind) {
    case KAP_EXPR_LITERAL:
        format_literal(b, e);
        return;
    case KAP_EXPR_REFERENCE:
        format_quoted(b, e->name, '"');
        return;
    case KAP_EXPR_IDENTIFIER:
        kap_buf_add(b, e->name);
        return;
    case KAP_EXPR_UNARY:
        kap_buf_adds(b, kap_op_text(e->op));
        kap_expr_format(b, e->left);
        return;
    case KAP_EXPR_BINARY:
        format_binary(b, e);
        return;
    case KAP_EXPR_CALL:
        kap_buf_add(b, e->name);
        kap_buf_addc(b, '(');
        format_args(b, e);
        kap_buf_addc(b, ')');
        return;
    case KAP_EXPR_LAMBDA:
        kap_buf_adds(b, "lambda: ");
        kap_expr_format(b, e->left);
        return;
    case KAP_EXPR_STAR:
        kap_buf_addc(b, '*');
        return;
    case KAP_EXPR_LIST:
        kap_buf_addc(b, '[');
        format_args(b, e);
        kap_buf_addc(b, ']');
        return;
    case KAP_EXPR_CHAIN:
        kap_expr_format(b, e->left);
        kap_buf_adds(b, kap_op_text(e->op));
        kap_expr_format(b, e->right);
        return;
    }
}

static const struct kap_comment *copy_comment(struct kap_arena *a, const struct kap_comment *from)
{
    if (!from)
        return NULL;
    struct kap_comment *to = KAP_ARENA_NEW(a, struct kap_comment);
    to->nlines = from->nlines;
    to->lines = KAP_ARENA_ARRAY(a, struct kap_str, from->nlines);
    for (size_t i = 0; i < from->nlines; i++)
        to->lines[i] = kap_arena_str(a, from->lines[i]);
    return to;
}

struct kap_expr *kap_expr_copy(struct kap_arena *a, const struct kap_expr *e)
{
    if (!e)
        return NULL;
    struct kap_expr *to = KAP_ARENA_NEW(a, struct kap_expr);
    *to = *e;
    to->name = kap_arena_str(a, e->name);
    to->text = kap_arena_str(a, e->text);
    to->regex = kap_arena_str(a, e->regex);
    if (e->kind == KAP_EXPR_LITERAL && e->value.type == KAP_STRING)
        to->value.s = kap_arena_str(a, e->value.s);
    to->left = kap_expr_copy(a, e->left);
    to->right = kap_expr_copy(a, e->right);
    to->args = KAP_ARENA_ARRAY(a, struct kap_expr *, e->nargs);
    for (size_t i = 0; i < e->nargs; i++)
        to->args[i] = kap_expr_copy(a, e->args[i]);
    to->comment = copy_comment(a, e->comment);
    return to;
}

struct kap_expr *kap_expr_literal(struct kap_arena *a, struct kap_value v)
{
    struct kap_expr *e = KAP_ARENA_NEW(a, struct kap_expr);
    e->kind = KAP_EXPR_LITERAL;
    e->value = v;
    if (v.type == KAP_STRING)
        e->value.s = kap_arena_str(a, v.s);
    if (v.type == KAP_REGEX && v.re)
        e->regex = kap_arena_str(a, kap_regex_pattern(v.re));
    return e;
}
