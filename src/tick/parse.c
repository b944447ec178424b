#include "base/buf.h"
#include "base/duration.h"
#include "base/mem.h"
#include "tick/ast.h"

/* How much of the line messages quote on either side of an unexpected token. */
#define QUOTE_BYTES 10

struct parser {
    struct kap_str text;
    struct kap_lexer lexer;
    struct kap_arena *arena;
    struct kap_tick_regexes *regexes;
    struct kap_token look[2]; /* read ahead */
    int nlook;
    struct kap_token last;    /* consumed latest */
    int nesting;
    struct kap_error *err;
    enum kap_status status;
};

static struct kap_expr *expression(struct parser *p);
static struct kap_expr *primary_expr(struct parser *p);
static struct kap_expr *primary(struct parser *p);

/* ---- tokens ---- */

static const struct kap_token *peek_at(struct parser *p, int k)
{
    while (p->nlook <= k)
        p->look[p->nlook++] = kap_lexer_next(&p->lexer);
    return &p->look[k];
}

static const struct kap_token *peek(struct parser *p)
{
    return peek_at(p, 0);
}

/* A comment that nobody took stays in the script: it moves on to the next token. */
static struct kap_token next(struct parser *p)
{
    (void)peek(p);
    const struct kap_comment *left = p->last.comment;
    p->last = p->look[0];
    p->look[0] = p->look[1];
    p->nlook--;
    p->last.comment = kap_comment_join(p->arena, left, p->last.comment);
    return p->last;
}

static const struct kap_comment *take_comment(struct parser *p)
{
    const struct kap_comment *c = p->last.comment;
    p->last.comment = NULL;
    return c;
}

/* ---- errors ---- */

static void *unexpected(struct parser *p, const struct kap_token *t, const char *expected)
{
    if (p->status != KAP_OK)
        return NULL;
    size_t from = t->pos > QUOTE_BYTES ? t->pos - QUOTE_BYTES : 0;
    for (size_t i = from; i < t->pos; i++) {
        if (p->text.p[i] == '\n')
            from = i + 1;
    }
    size_t to = KAP_MIN(t->pos + QUOTE_BYTES, p->text.n);
    const char *newline = to > t->pos ? memchr(p->text.p + t->pos, '\n', to - t->pos) : NULL;
    if (newline)
        to = (size_t)(newline - p->text.p);
    const struct kap_str name =
        t->type == KAP_TOKEN_ERROR ? t->text : kap_str(kap_token_name(t->type, t->op));
    p->status =
        kap_fail(p->err, KAP_EINVAL, "parser: unexpected %.*s line %d char %d in \"%.*s\". expected: %s",
                 KAP_STR_ARG(name), t->line, t->character, (int)(to - from), p->text.p + from, expected);
    return NULL;
}

static void *failed(struct parser *p, enum kap_status status)
{
    if (p->status == KAP_OK) {
        p->status = status;
        (void)kap_wrap(p->err, "parser");
    }
    return NULL;
}

static void *too_deep(struct parser *p, const struct kap_token *t, int limit)
{
    return failed(p, kap_fail(p->err, KAP_ELIMIT,
                              "expression is nested more than %d levels deep line %d char %d", limit, t->line,
                              t->character));
}

static bool expect(struct parser *p, enum kap_token_type type)
{
    const struct kap_token t = next(p);
    if (t.type == type)
        return true;
    char quoted[32];
    (void)snprintf(quoted, sizeof quoted, "\"%s\"", kap_token_name(type, KAP_OP_NONE));
    unexpected(p, &t, quoted);
    return false;
}

/* ---- building ---- */

static struct kap_expr *new_expr(struct parser *p, enum kap_expr_kind kind, const struct kap_token *at)
{
    struct kap_expr *e = KAP_ARENA_NEW(p->arena, struct kap_expr);
    e->kind = kind;
    e->line = at->line;
    e->character = at->character;
    e->depth = 1;
    return e;
}

static struct kap_expr *check_depth(struct parser *p, struct kap_expr *e)
{
    if (e->depth <= KAP_TICK_DEPTH)
        return e;
    const struct kap_token at = { .line = e->line, .character = e->character };
    return too_deep(p, &at, KAP_TICK_DEPTH);
}

/* What is printed in front of everything else of e. */
static const struct kap_comment *leading_comment(const struct kap_expr *e)
{
    while (e->kind == KAP_EXPR_CHAIN)
        e = e->left;
    return e->comment;
}

/* True when the formatter puts a line break in front of the place of e (its operator), so that it is on a
 * later line than what comes before when the script is read again. Layout must not change by that. */
static bool breaks_before_place(const struct kap_expr *e)
{
    return e->kind == KAP_EXPR_CHAIN || (e->kind == KAP_EXPR_BINARY && e->left->spans) || leading_comment(e);
}

/* Comments of a leftmost operand are printed before the whole expression, so they belong to it. */
static void lift_comment(struct parser *p, struct kap_expr *e, struct kap_expr *operand)
{
    e->comment = kap_comment_join(p->arena, operand->comment, e->comment);
    operand->comment = NULL;
}

/* Text between quotes with the escapes of that quote undone. */
static struct kap_str unquote(struct parser *p, struct kap_str s, char quote)
{
    if (!memchr(s.p, '\\', s.n))
        return s;
    char *out = kap_arena_raw(p->arena, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == quote)
            i++;
        out[n++] = s.p[i];
    }
    out[n] = 0;
    return kap_strn(out, n);
}

static struct kap_str inner(const struct kap_token *t, size_t quotes)
{
    return kap_strn(t->text.p + quotes, t->text.n - 2 * quotes);
}

/* ---- literals ---- */

static bool octal(struct kap_str s, int64_t *ret)
{
    int64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] > '7' || v > (INT64_MAX - 7) / 8)
            return false;
        v = v * 8 + (s.p[i] - '0');
    }
    *ret = v;
    return true;
}

static struct kap_expr *number(struct parser *p)
{
    const struct kap_token t = next(p);
    struct kap_expr *e = new_expr(p, KAP_EXPR_LITERAL, &t);
    e->comment = take_comment(p);
    e->text = t.text;
    bool ok;
    if (memchr(t.text.p, '.', t.text.n)) {
        double f = 0;
        ok = kap_str_to_f64(t.text, &f) && __builtin_isfinite(f);
        e->value = kap_value_f(f);
    } else {
        int64_t i = 0;
        ok = t.text.p[0] == '0' && t.text.n > 1 ? octal(t.text, &i) : kap_str_to_i64(t.text, &i);
        e->value = kap_value_i(i);
    }
    if (ok)
        return e;
    return failed(p, kap_fail(p->err, KAP_EINVAL, "illegal number syntax: \"%.*s\"", KAP_STR_ARG(t.text)));
}

static struct kap_expr *duration(struct parser *p)
{
    const struct kap_token t = next(p);
    struct kap_expr *e = new_expr(p, KAP_EXPR_LITERAL, &t);
    e->comment = take_comment(p);
    e->text = t.text;
    int64_t ns = 0;
    const enum kap_status st = kap_duration_parse_influx(t.text, &ns, p->err);
    if (st != KAP_OK)
        return failed(p, st);
    e->value = kap_value_dur(ns);
    return e;
}

static struct kap_expr *string(struct parser *p)
{
    const struct kap_token t = next(p);
    struct kap_expr *e = new_expr(p, KAP_EXPR_LITERAL, &t);
    e->comment = take_comment(p);
    if (t.text.n >= 6 && memcmp(t.text.p, "'''", 3) == 0) {
        e->quote = KAP_QUOTE_TRIPLE;
        e->value = kap_value_s(inner(&t, 3));
    } else {
        e->value = kap_value_s(unquote(p, inner(&t, 1), '\''));
    }
    e->spans = memchr(t.text.p, '\n', t.text.n) != NULL;
    return e;
}

static struct kap_expr *regex(struct parser *p)
{
    const struct kap_token t = next(p);
    struct kap_expr *e = new_expr(p, KAP_EXPR_LITERAL, &t);
    e->comment = take_comment(p);
    e->text = inner(&t, 1);
    e->regex = unquote(p, e->text, '/');
    struct kap_regex *re = NULL;
    const enum kap_status st = kap_regex_new(e->regex, &re, p->err);
    if (st != KAP_OK)
        return failed(p, st);
    KAP_GROW(p->regexes->v, p->regexes->cap, p->regexes->n + 1);
    p->regexes->v[p->regexes->n++] = re;
    e->value = (struct kap_value){ .type = KAP_REGEX, .re = re };
    return e;
}

static struct kap_expr *boolean(struct parser *p)
{
    const struct kap_token t = next(p);
    struct kap_expr *e = new_expr(p, KAP_EXPR_LITERAL, &t);
    e->comment = take_comment(p);
    e->value = kap_value_b(t.type == KAP_TOKEN_TRUE);
    return e;
}

static struct kap_expr *star(struct parser *p)
{
    const struct kap_token t = next(p);
    struct kap_expr *e = new_expr(p, KAP_EXPR_STAR, &t);
    e->comment = take_comment(p);
    return e;
}

static struct kap_expr *reference(struct parser *p)
{
    if (!expect(p, KAP_TOKEN_REFERENCE))
        return NULL;
    struct kap_expr *e = new_expr(p, KAP_EXPR_REFERENCE, &p->last);
    e->name = unquote(p, inner(&p->last, 1), '"');
    e->comment = take_comment(p);
    return e;
}

static struct kap_expr *identifier(struct parser *p)
{
    if (!expect(p, KAP_TOKEN_IDENT))
        return NULL;
    struct kap_expr *e = new_expr(p, KAP_EXPR_IDENTIFIER, &p->last);
    e->name = p->last.text;
    e->comment = take_comment(p);
    return e;
}

/* ---- calls, lists ---- */

struct items {
    struct kap_expr **v;
    size_t n, cap;
};

/* Items up to the closing token, parted by commas; one at the end is fine. */
static bool list_items(struct parser *p, enum kap_token_type close,
                       struct kap_expr *(*item)(struct parser *p), struct kap_expr *into)
{
    struct items items = { 0 };
    while (peek(p)->type != close) {
        struct kap_expr *e = item(p);
        if (!e) {
            kap_free(items.v);
            return false;
        }
        KAP_GROW(items.v, items.cap, items.n + 1);
        items.v[items.n++] = e;
        into->depth = KAP_MAX(into->depth, e->depth + 1);
        if (peek(p)->type != KAP_TOKEN_COMMA)
            break;
        next(p);
    }
    into->nargs = items.n;
    into->args = KAP_ARENA_ARRAY(p->arena, struct kap_expr *, items.n + 1);
    if (items.n > 0)
        memcpy(into->args, items.v, items.n * sizeof(struct kap_expr *));
    kap_free(items.v);
    return expect(p, close);
}

static struct kap_expr *call(struct parser *p, struct kap_expr *(*argument)(struct parser *p))
{
    struct kap_expr *e = identifier(p);
    if (!e || !expect(p, KAP_TOKEN_LPAREN))
        return NULL;
    if (++p->nesting > KAP_TICK_NESTING)
        return too_deep(p, &p->last, KAP_TICK_NESTING);
    e->kind = KAP_EXPR_CALL;
    if (!list_items(p, KAP_TOKEN_RPAREN, argument, e))
        return NULL;
    p->nesting--;
    for (size_t i = 0; i < e->nargs; i++) {
        const struct kap_expr *arg = e->args[i];
        const bool last = i + 1 == e->nargs;
        e->multi_line |=
            leading_comment(arg) || (last ? arg->line != e->line || breaks_before_place(arg) : arg->spans);
        e->spans |= e->multi_line || arg->spans;
    }
    return check_depth(p, e);
}

static struct kap_expr *list_item(struct parser *p)
{
    switch (peek(p)->type) {
    case KAP_TOKEN_IDENT: return identifier(p);
    case KAP_TOKEN_STRING: return string(p);
    case KAP_TOKEN_STAR: return star(p);
    default: return unexpected(p, peek(p), "\"identifier\",\"string\",\"*\"");
    }
}

static struct kap_expr *list(struct parser *p)
{
    const struct kap_token t = next(p);
    struct kap_expr *e = new_expr(p, KAP_EXPR_LIST, &t);
    e->comment = take_comment(p);
    if (!list_items(p, KAP_TOKEN_RBRACKET, list_item, e))
        return NULL;
    for (size_t i = 0; i < e->nargs; i++)
        e->spans |= e->args[i]->spans || e->args[i]->comment;
    return e;
}

/* ---- operators ---- */

static bool is_operator(const struct kap_token *t)
{
    return t->type == KAP_TOKEN_OPERATOR;
}

static int precedence(enum kap_op op)
{
    switch (op) {
    case KAP_OP_OR: return 0;
    case KAP_OP_AND: return 1;
    case KAP_OP_EQ:
    case KAP_OP_NE:
    case KAP_OP_MATCH:
    case KAP_OP_NOT_MATCH: return 2;
    case KAP_OP_LT:
    case KAP_OP_LE:
    case KAP_OP_GT:
    case KAP_OP_GE: return 3;
    case KAP_OP_ADD:
    case KAP_OP_SUB: return 4;
    default: return 5;
    }
}

static struct kap_expr *binary(struct parser *p, const struct kap_token *op, struct kap_expr *left,
                               struct kap_expr *right, const struct kap_comment *comment)
{
    struct kap_expr *e = new_expr(p, KAP_EXPR_BINARY, op);
    e->op = op->op;
    e->left = left;
    e->right = right;
    e->multi_line = left->line != right->line || left->spans || breaks_before_place(right);
    e->spans = e->multi_line || right->spans;
    e->comment = comment;
    lift_comment(p, e, left);
    e->depth = 1 + KAP_MAX(left->depth, right->depth);
    return check_depth(p, e);
}

/* Operator-precedence parsing; all operators are left-associative. */
static struct kap_expr *climb(struct parser *p, struct kap_expr *left, int min)
{
    while (left && is_operator(peek(p)) && precedence(peek(p)->op) >= min) {
        const struct kap_token op = next(p);
        const struct kap_comment *comment = take_comment(p);
        struct kap_expr *right = primary(p);
        const int own = precedence(op.op);
        while (right && is_operator(peek(p)) && precedence(peek(p)->op) > own)
            right = climb(p, right, precedence(peek(p)->op));
        left = right ? binary(p, &op, left, right, comment) : NULL;
    }
    return left;
}

static struct kap_expr *parenthesised(struct parser *p)
{
    next(p);
    const struct kap_comment *comment = take_comment(p);
    struct kap_expr *e = primary_expr(p);
    if (!e)
        return NULL;
    if (e->kind == KAP_EXPR_BINARY)
        e->parens = true;
    e->comment = kap_comment_join(p->arena, comment, e->comment);
    return expect(p, KAP_TOKEN_RPAREN) ? e : NULL;
}

static struct kap_expr *unary(struct parser *p)
{
    const struct kap_token t = next(p);
    struct kap_expr *e = new_expr(p, KAP_EXPR_UNARY, &t);
    e->op = t.type == KAP_TOKEN_NOT ? KAP_OP_NOT : KAP_OP_NEG;
    e->comment = take_comment(p);
    e->left = primary(p);
    if (!e->left)
        return NULL;
    lift_comment(p, e, e->left);
    e->spans = e->left->spans;
    e->depth = e->left->depth + 1;
    return check_depth(p, e);
}

static struct kap_expr *primary_unlimited(struct parser *p)
{
    const struct kap_token *t = peek(p);
    switch (t->type) {
    case KAP_TOKEN_LPAREN: return parenthesised(p);
    case KAP_TOKEN_NUMBER: return number(p);
    case KAP_TOKEN_STRING: return string(p);
    case KAP_TOKEN_TRUE:
    case KAP_TOKEN_FALSE: return boolean(p);
    case KAP_TOKEN_DURATION: return duration(p);
    case KAP_TOKEN_REGEX: return regex(p);
    case KAP_TOKEN_STAR: return star(p);
    case KAP_TOKEN_REFERENCE: return reference(p);
    case KAP_TOKEN_IDENT:
        return peek_at(p, 1)->type == KAP_TOKEN_LPAREN ? call(p, primary_expr) : identifier(p);
    case KAP_TOKEN_NOT: return unary(p);
    case KAP_TOKEN_OPERATOR:
        if (t->op == KAP_OP_SUB)
            return unary(p);
        break;
    default: break;
    }
    return unexpected(
        p, peek(p),
        "\"number\",\"string\",\"duration\",\"identifier\",\"TRUE\",\"FALSE\",\"==\",\"(\",\"-\",\"!\"");
}

static struct kap_expr *primary(struct parser *p)
{
    if (++p->nesting > KAP_TICK_NESTING)
        return too_deep(p, peek(p), KAP_TICK_NESTING);
    struct kap_expr *e = primary_unlimited(p);
    p->nesting--;
    return e;
}

static struct kap_expr *primary_expr(struct parser *p)
{
    return climb(p, primary(p), 0);
}

/* ---- chains and statements ---- */

static struct kap_expr *chain(struct parser *p, struct kap_expr *left)
{
    while (left) {
        const enum kap_token_type type = peek(p)->type;
        if (type != KAP_TOKEN_DOT && type != KAP_TOKEN_PIPE && type != KAP_TOKEN_AT)
            break;
        const struct kap_token op = next(p);
        struct kap_expr *e = new_expr(p, KAP_EXPR_CHAIN, &op);
        e->op = type == KAP_TOKEN_DOT ? KAP_OP_DOT : type == KAP_TOKEN_PIPE ? KAP_OP_PIPE : KAP_OP_AT;
        e->comment = take_comment(p);
        e->left = left;
        e->spans = true;
        const bool is_call = type == KAP_TOKEN_PIPE ||
                             (peek(p)->type == KAP_TOKEN_IDENT && peek_at(p, 1)->type == KAP_TOKEN_LPAREN);
        e->right = is_call ? call(p, expression) : identifier(p);
        if (!e->right)
            return NULL;
        /* The left side of a chain is walked in a loop, so it adds no depth. */
        e->depth = KAP_MAX(left->kind == KAP_EXPR_CHAIN ? left->depth : left->depth + 1, e->right->depth + 1);
        left = check_depth(p, e);
    }
    return left;
}

static bool goes_on(enum kap_token_type type)
{
    return type == KAP_TOKEN_DOT || type == KAP_TOKEN_PIPE || type == KAP_TOKEN_AT || type == KAP_TOKEN_VAR ||
           type == KAP_TOKEN_IDENT;
}

static struct kap_expr *lambda(struct parser *p)
{
    const struct kap_token t = next(p);
    struct kap_expr *e = new_expr(p, KAP_EXPR_LAMBDA, &t);
    e->comment = take_comment(p);
    e->left = primary_expr(p);
    if (!e->left)
        return NULL;
    e->spans = e->left->spans || leading_comment(e->left);
    e->depth = e->left->depth + 1;
    return check_depth(p, e);
}

static struct kap_expr *expression(struct parser *p)
{
    switch (peek(p)->type) {
    case KAP_TOKEN_LAMBDA: return lambda(p);
    case KAP_TOKEN_LBRACKET: return list(p);
    case KAP_TOKEN_IDENT: break;
    default: return primary_expr(p);
    }
    const enum kap_token_type second = peek_at(p, 1)->type;
    if (goes_on(second))
        return chain(p, identifier(p));
    if (second != KAP_TOKEN_LPAREN)
        return primary_expr(p);
    struct kap_expr *e = call(p, expression);
    if (!e)
        return NULL;
    return goes_on(peek(p)->type) ? chain(p, e) : climb(p, e, 0);
}

static bool declaration(struct parser *p, struct kap_tick_stmt *s)
{
    next(p);
    s->comment = take_comment(p);
    const struct kap_expr *name = identifier(p);
    if (!name)
        return false;
    s->name = name->name;
    s->comment = kap_comment_join(p->arena, s->comment, name->comment);
    if (peek(p)->type == KAP_TOKEN_ASSIGN) {
        next(p);
        s->kind = KAP_TICK_VAR;
        s->expr = expression(p);
        return s->expr != NULL;
    }
    const struct kap_expr *type = identifier(p);
    if (!type)
        return false;
    s->kind = KAP_TICK_TYPED;
    s->type_name = type->name;
    s->comment = kap_comment_join(p->arena, s->comment, type->comment);
    return true;
}

static bool dbrp(struct parser *p, struct kap_tick_stmt *s)
{
    next(p);
    s->kind = KAP_TICK_DBRP;
    s->comment = take_comment(p);
    const struct kap_expr *db = reference(p);
    if (!db || !expect(p, KAP_TOKEN_DOT))
        return false;
    const struct kap_expr *rp = reference(p);
    if (!rp)
        return false;
    s->dbrp = (struct kap_dbrp){ db->name, rp->name };
    s->comment = kap_comment_join(p->arena, s->comment, kap_comment_join(p->arena, db->comment, rp->comment));
    return true;
}

/* Statements have no end mark. "5 (-3)" are two, which the formatter must not print as "5 -3", nor "(a) (b +
 * c)" as a call of a: operands at the border keep their parentheses. */
static void guard(const struct kap_tick_stmt *before, struct kap_expr *e)
{
    const bool takes_operators =
        before->expr && before->expr->kind != KAP_EXPR_CHAIN && before->expr->kind != KAP_EXPR_LIST;
    while (e->kind == KAP_EXPR_BINARY && !e->parens)
        e = e->left;
    if (e->kind == KAP_EXPR_STAR || (e->kind == KAP_EXPR_LITERAL && e->value.type == KAP_REGEX) ||
        (e->kind == KAP_EXPR_UNARY && e->op == KAP_OP_NEG && takes_operators))
        e->parens = true;
    if (!e->parens)
        return;
    struct kap_expr *end = before->expr;
    while (end && !end->parens && (end->kind == KAP_EXPR_BINARY || end->kind == KAP_EXPR_UNARY ||
                                   end->kind == KAP_EXPR_LAMBDA))
        end = end->kind == KAP_EXPR_BINARY ? end->right : end->left;
    if (end && end->kind == KAP_EXPR_IDENTIFIER)
        end->parens = true;
}

static bool statement(struct parser *p, struct kap_tick_stmt *s)
{
    switch (peek(p)->type) {
    case KAP_TOKEN_VAR: return declaration(p, s);
    case KAP_TOKEN_DBRP: return dbrp(p, s);
    default:
        s->kind = KAP_TICK_EXPR;
        s->expr = expression(p);
        return s->expr != NULL;
    }
}

static void add_stmt(struct kap_tick_script *s, const struct kap_tick_stmt *stmt)
{
    KAP_GROW(s->stmts, s->stmts_cap, s->nstmts + 1);
    s->stmts[s->nstmts++] = *stmt;
}

static bool program(struct parser *p, struct kap_tick_script *s)
{
    while (peek(p)->type != KAP_TOKEN_EOF) {
        struct kap_tick_stmt stmt = { 0 };
        if (!statement(p, &stmt))
            return false;
        if (stmt.kind == KAP_TICK_EXPR && s->nstmts > 0)
            guard(&s->stmts[s->nstmts - 1], stmt.expr);
        add_stmt(s, &stmt);
        s->ndbrps += stmt.kind == KAP_TICK_DBRP;
    }
    next(p);
    const struct kap_tick_stmt end = { .kind = KAP_TICK_COMMENT, .comment = take_comment(p) };
    if (end.comment)
        add_stmt(s, &end);
    s->dbrps = KAP_ARENA_ARRAY(s->arena, struct kap_dbrp, s->ndbrps + 1);
    size_t n = 0;
    for (size_t i = 0; i < s->nstmts; i++) {
        if (s->stmts[i].kind == KAP_TICK_DBRP)
            s->dbrps[n++] = s->stmts[i].dbrp;
    }
    return true;
}

/* ---- entry points ---- */

static void init(struct parser *p, struct kap_str text, struct kap_arena *arena,
                 struct kap_tick_regexes *regexes, struct kap_error *err)
{
    *p = (struct parser){ .text = text, .arena = arena, .regexes = regexes, .err = err };
    kap_lexer_init(&p->lexer, text, arena);
}

static void free_regexes(struct kap_tick_regexes *r)
{
    for (size_t i = 0; i < r->n; i++)
        kap_regex_unref(r->v[i]);
    kap_free(r->v);
}

enum kap_status kap_tick_parse(struct kap_str text, struct kap_tick_script **ret, struct kap_error *err)
{
    struct kap_error scratch;
    if (text.n > KAP_TICK_SCRIPT_BYTES)
        return kap_fail(err, KAP_ELIMIT, "parser: script has %zu bytes, more than %d", text.n,
                        KAP_TICK_SCRIPT_BYTES);
    struct kap_tick_script *s = KAP_NEW(struct kap_tick_script);
    s->refs = 1;
    s->arena = kap_arena_new();
    struct parser p;
    init(&p, kap_arena_str(s->arena, text), s->arena, &s->regexes, err ? err : &scratch);
    if (!program(&p, s)) {
        kap_tick_script_unref(s);
        return p.status;
    }
    *ret = s;
    return KAP_OK;
}

struct kap_tick_script *kap_tick_script_ref(struct kap_tick_script *s)
{
    __atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void kap_tick_script_unref(struct kap_tick_script *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    free_regexes(&s->regexes);
    kap_free(s->stmts);
    kap_arena_free(s->arena);
    kap_free(s);
}

enum kap_status kap_tick_lambda_parse(struct kap_str text, struct kap_tick_lambda **ret,
                                      struct kap_error *err)
{
    struct kap_error scratch;
    if (text.n > KAP_TICK_SCRIPT_BYTES)
        return kap_fail(err, KAP_ELIMIT, "parser: expression has %zu bytes, more than %d", text.n,
                        KAP_TICK_SCRIPT_BYTES);
    struct kap_tick_lambda *l = KAP_NEW(struct kap_tick_lambda);
    l->arena = kap_arena_new();
    struct parser p;
    init(&p, kap_arena_str(l->arena, text), l->arena, &l->regexes, err ? err : &scratch);
    l->expr = primary_expr(&p);
    if (!l->expr || !expect(&p, KAP_TOKEN_EOF)) {
        kap_tick_lambda_free(l);
        return p.status;
    }
    *ret = l;
    return KAP_OK;
}

void kap_tick_lambda_free(struct kap_tick_lambda *l)
{
    if (!l)
        return;
    free_regexes(&l->regexes);
    kap_arena_free(l->arena);
    kap_free(l);
}

const struct kap_expr *kap_tick_lambda_expr(const struct kap_tick_lambda *l)
{
    return l->expr;
}

size_t kap_tick_dbrps(const struct kap_tick_script *s, const struct kap_dbrp **ret)
{
    *ret = s->dbrps;
    return s->ndbrps;
}

enum kap_task_type kap_tick_task_type(const struct kap_tick_script *s)
{
    enum kap_task_type found = KAP_TASK_INVALID;
    for (size_t i = 0; i < s->nstmts; i++) {
        const struct kap_tick_stmt *stmt = &s->stmts[i];
        const struct kap_expr *e = stmt->expr;
        if (!e ||
            (stmt->kind == KAP_TICK_EXPR && e->kind != KAP_EXPR_CHAIN)) /* "stream" alone says nothing */
            continue;
        while (e->kind == KAP_EXPR_CHAIN)
            e = e->left;
        if (e->kind != KAP_EXPR_IDENTIFIER)
            continue;
        const bool batch = kap_str_is(e->name, "batch");
        if (!batch && !kap_str_is(e->name, "stream"))
            continue;
        const enum kap_task_type type = batch ? KAP_TASK_BATCH : KAP_TASK_STREAM;
        if (found != KAP_TASK_INVALID && found != type)
            return KAP_TASK_INVALID;
        found = type;
    }
    return found;
}
