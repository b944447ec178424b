#include "base/buf.h"
#include "base/duration.h"
#include "base/mem.h"
#include "base/number.h"
#include "tick/ast.h"

#define STEP 4 /* of indentation */

static void add_indent(struct kap_buf *b, int indent)
{
    for (int i = 0; i < indent; i++)
        kap_buf_addc(b, ' ');
}

static void add_comment(struct kap_buf *b, const struct kap_comment *c, int indent, bool on_new_line)
{
    if (!on_new_line)
        kap_buf_addc(b, '\n');
    for (size_t i = 0; i < c->nlines; i++) {
        const struct kap_str line = c->lines[i];
        if (!kap_str_is(line, "\n")) {
            add_indent(b, indent);
            kap_buf_adds(b, line.n ? "// " : "//");
            kap_buf_add(b, line);
        }
        kap_buf_addc(b, '\n');
    }
}

static void add_escaped(struct kap_buf *b, struct kap_str s, char quote)
{
    kap_buf_addc(b, quote);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == quote)
            kap_buf_addc(b, '\\');
        kap_buf_addc(b, s.p[i]);
    }
    kap_buf_addc(b, quote);
}

static void add_float(struct kap_buf *b, double f)
{
    const size_t from = b->n;
    kap_number_format(b, f, 'f', -1);
    if (b->p && !memchr(b->p + from, '.', b->n - from))
        kap_buf_adds(b, ".0");
}

static void add_int(struct kap_buf *b, const struct kap_expr *e)
{
    if (e->text.n > 1 && e->text.p[0] == '0')
        kap_buf_addf(b, "0%llo", (unsigned long long)e->value.i);
    else
        kap_number_i64(b, e->value.i);
}

static void add_regex(struct kap_buf *b, const struct kap_expr *e)
{
    if (!e->text.p) {
        add_escaped(b, kap_regex_pattern(e->value.re), '/');
        return;
    }
    kap_buf_addc(b, '/');
    kap_buf_add(b, e->text);
    kap_buf_addc(b, '/');
}

static void add_literal(struct kap_buf *b, const struct kap_expr *e)
{
    switch (e->value.type) {
    case KAP_FLOAT: add_float(b, e->value.f); break;
    case KAP_INT: add_int(b, e); break;
    case KAP_BOOL: kap_buf_adds(b, e->value.b ? "TRUE" : "FALSE"); break;
    case KAP_DURATION:
        if (e->text.n > 0)
            kap_buf_add(b, e->text);
        else
            kap_duration_format_influx(b, e->value.i);
        break;
    case KAP_REGEX: add_regex(b, e); break;
    default:
        if (e->quote != KAP_QUOTE_TRIPLE) {
            add_escaped(b, e->value.s, '\'');
            break;
        }
        kap_buf_adds(b, "'''");
        kap_buf_add(b, e->value.s);
        kap_buf_adds(b, "'''");
    }
}

static void add_call(struct kap_buf *b, const struct kap_expr *e, int indent)
{
    kap_buf_add(b, e->name);
    kap_buf_addc(b, '(');
    for (size_t i = 0; i < e->nargs; i++) {
        if (i > 0)
            kap_buf_adds(b, e->multi_line ? "," : ", ");
        if (e->multi_line)
            kap_buf_addc(b, '\n');
        kap_tick_format_expr(b, e->args[i], indent + STEP, e->multi_line);
    }
    if (e->multi_line) {
        kap_buf_addc(b, '\n');
        add_indent(b, indent);
    }
    kap_buf_addc(b, ')');
}

static void add_list(struct kap_buf *b, const struct kap_expr *e, int indent)
{
    kap_buf_addc(b, '[');
    for (size_t i = 0; i < e->nargs; i++) {
        if (i > 0)
            kap_buf_adds(b, ", ");
        kap_tick_format_expr(b, e->args[i], indent, false);
    }
    kap_buf_addc(b, ']');
}

static void add_binary(struct kap_buf *b, const struct kap_expr *e, int indent)
{
    if (e->parens) {
        kap_buf_addc(b, '(');
        indent += STEP;
    }
    kap_tick_format_expr(b, e->left, indent, false);
    kap_buf_addf(b, " %s%c", kap_op_text(e->op), e->multi_line ? '\n' : ' ');
    kap_tick_format_expr(b, e->right, indent, e->multi_line);
    if (e->parens)
        kap_buf_addc(b, ')');
}

/* From the innermost link outwards, in a loop: chains may be long. */
static void add_chain(struct kap_buf *b, const struct kap_expr *e, int indent, bool on_new_line)
{
    size_t n = 0;
    const struct kap_expr *base = e;
    for (; base->kind == KAP_EXPR_CHAIN; base = base->left)
        n++;
    KAP_AUTO_FREE const struct kap_expr **links = KAP_ARRAY(const struct kap_expr *, n);
    for (size_t i = n; i-- > 0; e = e->left)
        links[i] = e;
    kap_tick_format_expr(b, base, indent, on_new_line);
    for (size_t i = 0; i < n; i++) {
        const int in = indent + (links[i]->op == KAP_OP_DOT ? 2 * STEP : STEP);
        kap_buf_addc(b, '\n');
        if (links[i]->comment)
            add_comment(b, links[i]->comment, in, true);
        add_indent(b, in);
        kap_buf_adds(b, kap_op_text(links[i]->op));
        kap_tick_format_expr(b, links[i]->right, in, false);
    }
}

void kap_tick_format_expr(struct kap_buf *b, const struct kap_expr *e, int indent, bool on_new_line)
{
    if (e->kind == KAP_EXPR_CHAIN) {
        add_chain(b, e, indent, on_new_line);
        return;
    }
    if (e->comment)
        add_comment(b, e->comment, indent, on_new_line);
    if (e->comment || on_new_line)
        add_indent(b, indent);
    const bool guarded = e->parens && e->kind != KAP_EXPR_BINARY; /* against the statement next to it */
    if (guarded)
        kap_buf_addc(b, '(');
    switch (e->kind) {
    case KAP_EXPR_LITERAL: add_literal(b, e); break;
    case KAP_EXPR_REFERENCE: add_escaped(b, e->name, '"'); break;
    case KAP_EXPR_IDENTIFIER: kap_buf_add(b, e->name); break;
    case KAP_EXPR_UNARY:
        kap_buf_adds(b, kap_op_text(e->op));
        kap_tick_format_expr(b, e->left, indent, false);
        break;
    case KAP_EXPR_BINARY: add_binary(b, e, indent); break;
    case KAP_EXPR_CALL: add_call(b, e, indent); break;
    case KAP_EXPR_LAMBDA:
        kap_buf_adds(b, "lambda: ");
        kap_tick_format_expr(b, e->left, indent, false);
        break;
    case KAP_EXPR_STAR: kap_buf_addc(b, '*'); break;
    case KAP_EXPR_LIST: add_list(b, e, indent); break;
    case KAP_EXPR_CHAIN: break;
    }
    if (guarded)
        kap_buf_addc(b, ')');
}

void kap_tick_format(const struct kap_tick_script *s, struct kap_buf *out)
{
    for (size_t i = 0; i < s->nstmts; i++) {
        const struct kap_tick_stmt *stmt = &s->stmts[i];
        if (i > 0)
            kap_buf_addc(out, '\n');
        if (stmt->comment)
            add_comment(out, stmt->comment, 0, true);
        switch (stmt->kind) {
        case KAP_TICK_EXPR: kap_tick_format_expr(out, stmt->expr, 0, true); break;
        case KAP_TICK_VAR:
            kap_buf_addf(out, "var %.*s = ", KAP_STR_ARG(stmt->name));
            kap_tick_format_expr(out, stmt->expr, 0, false);
            break;
        case KAP_TICK_TYPED:
            kap_buf_addf(out, "var %.*s %.*s", KAP_STR_ARG(stmt->name), KAP_STR_ARG(stmt->type_name));
            break;
        case KAP_TICK_DBRP:
            kap_buf_adds(out, "dbrp ");
            add_escaped(out, stmt->dbrp.db, '"');
            kap_buf_addc(out, '.');
            add_escaped(out, stmt->dbrp.rp, '"');
            break;
        case KAP_TICK_COMMENT: break;
        }
        kap_buf_addc(out, '\n');
    }
}
