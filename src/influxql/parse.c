#include "base/duration.h"
#include "base/mem.h"
#include "influxql/ast.h"
#include "lambda/regex.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <strings.h>

struct parser {
    struct ql_lexer lexer;
    struct kap_arena *arena;
    int depth, operators;
    enum kap_status status;
    struct kap_error *err;
};

static struct ql_expr *parse_expr(struct parser *p);
static struct ql_select *parse_select(struct parser *p);

/* ---- tokens and errors ---- */

static struct ql_lexeme peek(const struct parser *p)
{
    return ql_lex(&p->lexer);
}

static struct ql_lexeme next(struct parser *p)
{
    const struct ql_lexeme t = ql_lex(&p->lexer);
    p->lexer.pos = t.end;
    return t;
}

/* InfluxDB's scanner reads the end once with a word or white space before it, and then again. */
static bool reads_to_the_end(char last)
{
    return isalpha((unsigned char)last) || isspace((unsigned char)last) || last == '_' || last == '"';
}

static void *fail_at(struct parser *p, enum kap_status status, const struct ql_lexeme *t, const char *message)
{
    int line = 1, character = 1;
    for (size_t i = 0; i < t->pos && i < p->lexer.text.n; i++) {
        const unsigned char c = (unsigned char)p->lexer.text.p[i];
        if (c == '\n') {
            line++;
            character = 1;
        } else if ((c & 0xC0) != 0x80) { /* characters, not bytes */
            character++;
        }
    }
    if (t->type == QL_EOF && p->lexer.text.n && reads_to_the_end(p->lexer.text.p[p->lexer.text.n - 1]))
        character++;
    if (p->status == KAP_OK)
        p->status = kap_fail(p->err, status, "%s at line %d, char %d", message, line, character);
    return NULL;
}

static void *fail(struct parser *p, const char *message)
{
    if (p->status == KAP_OK)
        p->status = kap_fail(p->err, KAP_EINVAL, "%s", message);
    return NULL;
}

static struct kap_str shown(const struct ql_lexeme *t)
{
    static const char *const names[] = {
        [QL_ILLEGAL] = "ILLEGAL",
        [QL_EOF] = "EOF",
        [QL_IDENT] = "IDENT",
        [QL_NUMBER] = "NUMBER",
        [QL_INTEGER] = "INTEGER",
        [QL_DURATION] = "DURATIONVAL",
        [QL_STRING] = "STRING",
        [QL_BADSTRING] = "BADSTRING",
        [QL_BADESCAPE] = "BADESCAPE",
        [QL_PARAM] = "BOUNDPARAM",
        [QL_REGEX] = "REGEX",
        [QL_BADREGEX] = "BADREGEX",
        [QL_OPERATOR] = "",
        [QL_LPAREN] = "(",
        [QL_RPAREN] = ")",
        [QL_COMMA] = ",",
        [QL_COLON] = ":",
        [QL_DOUBLECOLON] = "::",
        [QL_SEMICOLON] = ";",
        [QL_DOT] = ".",
        [QL_KEYWORD] = "",
    };
    return t->text.n ? t->text : kap_str(names[t->type]);
}

static void *unexpected(struct parser *p, const struct ql_lexeme *t, const char *expected)
{
    char message[512];
    const struct kap_str found = shown(t);
    (void)snprintf(message, sizeof message, "found %.*s, expected %s", (int)KAP_MIN(found.n, 300), found.p,
                   expected);
    return fail_at(p, KAP_EINVAL, t, message);
}

static bool is_keyword(const struct ql_lexeme *t, const char *keyword)
{
    return t->type == QL_KEYWORD && strcmp(t->keyword, keyword) == 0;
}

static bool accept_keyword(struct parser *p, const char *keyword)
{
    const struct ql_lexeme t = peek(p);
    if (!is_keyword(&t, keyword))
        return false;
    p->lexer.pos = t.end;
    return true;
}

static bool expect_keyword(struct parser *p, const char *keyword)
{
    const struct ql_lexeme t = next(p);
    return is_keyword(&t, keyword) || unexpected(p, &t, keyword);
}

static bool accept(struct parser *p, enum ql_token type)
{
    const struct ql_lexeme t = peek(p);
    if (t.type != type)
        return false;
    p->lexer.pos = t.end;
    return true;
}

static bool expect(struct parser *p, enum ql_token type, const char *expected)
{
    const struct ql_lexeme t = next(p);
    return t.type == type || unexpected(p, &t, expected);
}

/* Things that are gathered until their number is known. */
struct items {
    void **v;
    size_t n, cap;
};

static void add_item(struct items *items, void *item)
{
    KAP_GROW(items->v, items->cap, items->n + 1);
    items->v[items->n++] = item;
}

static void *take_items(struct parser *p, struct items *items)
{
    void **v = KAP_ARENA_ARRAY(p->arena, void *, items->n + 1);
    if (items->n > 0)
        memcpy(v, items->v, items->n * sizeof *v);
    kap_free(items->v);
    return v;
}

/* ---- expressions ---- */

static struct ql_expr *new_expr(struct parser *p, enum ql_kind kind, struct kap_str text)
{
    struct ql_expr *e = KAP_ARENA_NEW(p->arena, struct ql_expr);
    e->kind = kind;
    e->text = text;
    return e;
}

/* A regex when one comes; NULL with status OK: none does. */
static struct ql_expr *parse_regex(struct parser *p)
{
    const struct ql_lexeme t = ql_lex_regex(&p->lexer);
    if (t.type == QL_EOF)
        return NULL;
    if (t.type == QL_BADREGEX)
        return fail_at(p, KAP_EINVAL, &t, "bad regex: ");
    struct kap_regex *re = NULL;
    struct kap_error why;
    if (kap_regex_new(t.text, &re, &why) != KAP_OK)
        return fail_at(p, KAP_EINVAL, &t, why.msg);
    kap_regex_unref(re); /* InfluxDB runs it; only its syntax matters here */
    p->lexer.pos = t.end;
    return new_expr(p, QL_EXPR_REGEX, t.text);
}

#define SEGMENTS_MAX 3

/* db.rp.name, each part quoted or not; parts between may be empty. A regex may follow the last dot. */
static size_t parse_segments(struct parser *p, struct kap_str *segments)
{
    size_t n = 0;
    struct ql_lexeme t = next(p);
    if (t.type != QL_IDENT) {
        unexpected(p, &t, "identifier");
        return 0;
    }
    segments[n++] = t.text;
    for (;;) {
        t = peek(p);
        if (t.type != QL_DOT || t.space_before)
            return n;
        p->lexer.pos = t.end;
        const char c = t.end < p->lexer.text.n ? p->lexer.text.p[t.end] : 0;
        if (c == '/' || c == ':')
            return n;
        struct kap_str segment = KAP_STR("");
        if (c != '.') {
            t = next(p);
            if (t.type != QL_IDENT) {
                unexpected(p, &t, "identifier");
                return 0;
            }
            segment = t.text;
        }
        if (n == SEGMENTS_MAX) {
            fail_at(p, KAP_EINVAL, &t, "too many segments in identifier");
            return 0;
        }
        segments[n++] = segment;
    }
}

static struct ql_expr *parse_var(struct parser *p)
{
    static const char *const casts[] = { "float", "integer", "unsigned", "string", "boolean" };
    struct kap_str segments[SEGMENTS_MAX];
    const size_t n = parse_segments(p, segments);
    if (n == 0)
        return NULL;
    KAP_AUTO_BUF struct kap_buf name = { 0 };
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            kap_buf_addc(&name, '.');
        kap_buf_add(&name, segments[i]);
    }
    struct ql_expr *e = new_expr(p, QL_EXPR_VAR, kap_arena_str(p->arena, kap_buf_str(&name)));
    if (!accept(p, QL_DOUBLECOLON))
        return e;
    const struct ql_lexeme t = next(p);
    if (is_keyword(&t, "FIELD") || is_keyword(&t, "TAG")) {
        e->cast = is_keyword(&t, "TAG") ? "tag" : "field";
        return e;
    }
    for (size_t i = 0; t.type == QL_IDENT && i < KAP_COUNT(casts); i++) {
        if (t.text.n == strlen(casts[i]) && strncasecmp(t.text.p, casts[i], t.text.n) == 0) {
            e->cast = casts[i];
            return e;
        }
    }
    return unexpected(p, &t, t.type == QL_IDENT ? "float, integer, unsigned, string, boolean, field, tag"
                                                : "float, integer, string, boolean, field, tag");
}

static struct kap_str lower(struct parser *p, struct kap_str s)
{
    char *out = kap_arena_raw(p->arena, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        out[i] = (char)tolower((unsigned char)s.p[i]);
    out[s.n] = 0;
    return kap_strn(out, s.n);
}

/* The opening parenthesis is consumed. */
static struct ql_expr *parse_call(struct parser *p, struct kap_str name)
{
    struct ql_expr *e = new_expr(p, QL_EXPR_CALL, lower(p, name));
    struct items args = { 0 };
    if (accept(p, QL_RPAREN))
        return e;
    do {
        struct ql_expr *arg = parse_regex(p);
        if (!arg && p->status == KAP_OK)
            arg = parse_expr(p);
        if (!arg)
            break;
        add_item(&args, arg);
    } while (accept(p, QL_COMMA));
    e->nargs = args.n;
    e->args = take_items(p, &args);
    return p->status == KAP_OK && expect(p, QL_RPAREN, ")") ? e : NULL;
}

static bool opens_call(const struct parser *p)
{
    const struct ql_lexeme t = peek(p);
    return t.type == QL_LPAREN && !t.space_before;
}

static struct ql_expr *parse_name(struct parser *p)
{
    const size_t from = p->lexer.pos;
    const struct ql_lexeme t = next(p);
    if (opens_call(p)) {
        (void)next(p);
        return parse_call(p, t.text);
    }
    p->lexer.pos = from;
    return parse_var(p);
}

static struct ql_expr *parse_distinct(struct parser *p)
{
    (void)next(p);
    if (opens_call(p)) {
        (void)next(p);
        return parse_call(p, KAP_STR("distinct"));
    }
    const struct ql_lexeme t = next(p);
    if (t.type != QL_IDENT)
        return unexpected(p, &t, t.space_before ? "identifier" : "(, identifier");
    return new_expr(p, QL_EXPR_DISTINCT, t.text);
}

static struct ql_expr *parse_integer(struct parser *p, const struct ql_lexeme *t)
{
    struct ql_expr *e = new_expr(p, QL_EXPR_INT, t->text);
    if (kap_str_to_i64(t->text, &e->i))
        return e;
    e->kind = QL_EXPR_UNSIGNED;
    for (size_t i = 0; i < t->text.n; i++) {
        if (__builtin_mul_overflow(e->u, 10, &e->u) ||
            __builtin_add_overflow(e->u, (uint64_t)(t->text.p[i] - '0'), &e->u))
            return fail_at(p, KAP_EINVAL, t, "unable to parse integer");
    }
    return e;
}

static struct ql_expr *parse_wildcard(struct parser *p)
{
    struct ql_expr *e = new_expr(p, QL_EXPR_WILDCARD, KAP_STR("*"));
    if (!accept(p, QL_DOUBLECOLON))
        return e;
    const struct ql_lexeme t = next(p);
    if (!is_keyword(&t, "FIELD") && !is_keyword(&t, "TAG"))
        return unexpected(p, &t, "field, tag");
    e->cast = is_keyword(&t, "TAG") ? "tag" : "field";
    return e;
}

static struct ql_expr *parse_unary(struct parser *p);

static struct ql_expr *parse_signed(struct parser *p, bool minus)
{
    const struct ql_lexeme t = peek(p);
    if (t.type != QL_NUMBER && t.type != QL_INTEGER && t.type != QL_DURATION && t.type != QL_LPAREN &&
        t.type != QL_IDENT)
        return unexpected(p, &t, "identifier, number, duration, (");
    struct ql_expr *e = parse_unary(p);
    if (!e)
        return NULL;
    switch (e->kind) {
    case QL_EXPR_NUMBER: e->f = minus ? -e->f : e->f; return e;
    case QL_EXPR_INT:
    case QL_EXPR_DURATION: e->i = minus ? (int64_t)(0 - (uint64_t)e->i) : e->i; return e;
    case QL_EXPR_UNSIGNED:
        if (!minus)
            return e;
        if (e->u != (uint64_t)INT64_MAX + 1)
            return fail_at(p, KAP_EINVAL, &t, "constant underflows int64");
        e->kind = QL_EXPR_INT;
        e->i = INT64_MIN;
        return e;
    default: break;
    }
    struct ql_expr *factor = new_expr(p, QL_EXPR_INT, KAP_STR(""));
    factor->i = minus ? -1 : 1;
    struct ql_expr *product = new_expr(p, QL_EXPR_BINARY, KAP_STR(""));
    product->op = QL_MUL;
    product->left = factor;
    product->right = e;
    return product;
}

static struct ql_expr *parse_literal(struct parser *p, const struct ql_lexeme *t)
{
    struct ql_expr *e;
    switch (t->type) {
    case QL_STRING: return new_expr(p, QL_EXPR_STRING, t->text);
    case QL_NUMBER:
        e = new_expr(p, QL_EXPR_NUMBER, t->text);
        return kap_str_to_f64(t->text, &e->f) ? e : fail_at(p, KAP_EINVAL, t, "unable to parse number");
    case QL_INTEGER: return parse_integer(p, t);
    case QL_DURATION:
        e = new_expr(p, QL_EXPR_DURATION, t->text);
        return kap_duration_parse_influx(t->text, &e->i, NULL) == KAP_OK ? e : fail(p, "invalid duration");
    case QL_PARAM:
        if (t->text.n == 1)
            return fail(p, "empty bound parameter");
        return fail_at(p, KAP_EINVAL, t, "missing parameter");
    default: return unexpected(p, t, "identifier, string, number, bool");
    }
}

static struct ql_expr *parse_parenthesised(struct parser *p)
{
    struct ql_expr *e = new_expr(p, QL_EXPR_PAREN, KAP_STR(""));
    e->right = parse_expr(p);
    return e->right && expect(p, QL_RPAREN, ")") ? e : NULL;
}

static struct ql_expr *parse_unary_inner(struct parser *p)
{
    struct ql_lexeme t = peek(p);
    if (t.type == QL_IDENT)
        return parse_name(p);
    if (is_keyword(&t, "DISTINCT"))
        return parse_distinct(p);
    p->lexer.pos = t.end;
    if (t.type == QL_LPAREN)
        return parse_parenthesised(p);
    if (is_keyword(&t, "TRUE") || is_keyword(&t, "FALSE")) {
        struct ql_expr *e = new_expr(p, QL_EXPR_BOOL, t.text);
        e->b = is_keyword(&t, "TRUE");
        return e;
    }
    if (t.type == QL_OPERATOR && t.op == QL_MUL)
        return parse_wildcard(p);
    if (t.type == QL_OPERATOR && (t.op == QL_ADD || t.op == QL_SUB))
        return parse_signed(p, t.op == QL_SUB);
    return parse_literal(p, &t);
}

static struct ql_expr *parse_unary(struct parser *p)
{
    const struct ql_lexeme t = peek(p);
    if (++p->depth > KAP_INFLUXQL_DEPTH)
        return fail_at(p, KAP_ELIMIT, &t, "query is nested too deeply");
    struct ql_expr *e = parse_unary_inner(p);
    p->depth--;
    return e;
}

static int precedence(enum ql_op op)
{
    switch (op) {
    case QL_OR: return 1;
    case QL_AND: return 2;
    case QL_ADD:
    case QL_SUB:
    case QL_BITOR:
    case QL_BITXOR: return 4;
    case QL_MUL:
    case QL_DIV:
    case QL_MOD:
    case QL_BITAND: return 5;
    default: return 3;
    }
}

static struct ql_expr *parse_operand(struct parser *p, enum ql_op op)
{
    if (op != QL_MATCH && op != QL_NOT_MATCH)
        return parse_unary(p);
    struct ql_expr *e = parse_regex(p);
    if (e || p->status != KAP_OK)
        return e;
    const struct ql_lexeme t = next(p);
    return unexpected(p, &t, "regex");
}

/* Operators go into the right edge of the tree, where those that bind more loosely end. */
static struct ql_expr *parse_expr(struct parser *p)
{
    struct ql_expr *root = parse_unary(p);
    while (root) {
        const struct ql_lexeme t = peek(p);
        if (t.type != QL_OPERATOR)
            return root;
        if (++p->operators > KAP_INFLUXQL_OPERATORS)
            return fail_at(p, KAP_ELIMIT, &t, "query has too many operators");
        p->lexer.pos = t.end;
        struct ql_expr *right = parse_operand(p, t.op);
        if (!right)
            return NULL;
        struct ql_expr **place = &root;
        while ((*place)->kind == QL_EXPR_BINARY && precedence((*place)->op) < precedence(t.op))
            place = &(*place)->right;
        struct ql_expr *e = new_expr(p, QL_EXPR_BINARY, KAP_STR(""));
        e->op = t.op;
        e->left = *place;
        e->right = right;
        *place = e;
    }
    return NULL;
}

/* ---- clauses ---- */

/* The comparison or logical operator that has no place in a SELECT clause, if any. */
static const char *misplaced_operator(const struct ql_expr *e)
{
    if (e->kind == QL_EXPR_PAREN)
        return misplaced_operator(e->right);
    if (e->kind == QL_EXPR_CALL) {
        for (size_t i = 0; i < e->nargs; i++) {
            const char *op = misplaced_operator(e->args[i]);
            if (op)
                return op;
        }
    }
    if (e->kind != QL_EXPR_BINARY)
        return NULL;
    if (precedence(e->op) <= 3)
        return ql_op_text(e->op);
    const char *op = misplaced_operator(e->left);
    return op ? op : misplaced_operator(e->right);
}

static bool parse_field(struct parser *p, struct ql_field *f)
{
    f->expr = parse_regex(p);
    if (!f->expr) {
        const struct ql_lexeme t = peek(p);
        if (p->status != KAP_OK || !(f->expr = parse_expr(p)))
            return false;
        const char *op = misplaced_operator(f->expr);
        if (op) {
            char message[128];
            (void)snprintf(message, sizeof message, "invalid operator %s in SELECT clause", op);
            return fail_at(p, KAP_EINVAL, &t, message);
        }
    }
    if (!accept_keyword(p, "AS"))
        return true;
    const struct ql_lexeme alias = next(p);
    f->alias = alias.text;
    return alias.type == QL_IDENT || unexpected(p, &alias, "identifier");
}

static bool parse_fields(struct parser *p, struct ql_select *s)
{
    struct items fields = { 0 };
    do {
        struct ql_field *f = KAP_ARENA_NEW(p->arena, struct ql_field);
        if (!parse_field(p, f))
            break;
        add_item(&fields, f);
    } while (accept(p, QL_COMMA));
    s->nfields = fields.n;
    s->fields = take_items(p, &fields);
    return p->status == KAP_OK;
}

static void place_segments(struct ql_source *s, const struct kap_str *segments, size_t n)
{
    if (!s->regex)
        s->name = segments[--n];
    if (n > 0)
        s->at.rp = segments[n - 1];
    if (n > 1)
        s->at.db = segments[n - 2];
}

static bool parse_source(struct parser *p, struct ql_source *s)
{
    s->regex = parse_regex(p);
    if (s->regex || p->status != KAP_OK)
        return p->status == KAP_OK;
    if (accept(p, QL_LPAREN)) {
        if (!expect_keyword(p, "SELECT"))
            return false;
        const struct ql_lexeme t = peek(p);
        if (++p->depth > KAP_INFLUXQL_DEPTH)
            return fail_at(p, KAP_ELIMIT, &t, "query is nested too deeply");
        s->subquery = parse_select(p);
        p->depth--;
        return s->subquery && expect(p, QL_RPAREN, ")");
    }
    struct kap_str segments[SEGMENTS_MAX];
    const size_t n = parse_segments(p, segments);
    if (n == 0)
        return false;
    if (n < SEGMENTS_MAX)
        s->regex = parse_regex(p);
    if (p->status != KAP_OK)
        return false;
    place_segments(s, segments, n);
    return true;
}

static bool parse_sources(struct parser *p, struct ql_select *s)
{
    struct items sources = { 0 };
    do {
        struct ql_source *source = KAP_ARENA_NEW(p->arena, struct ql_source);
        if (!parse_source(p, source))
            break;
        add_item(&sources, source);
    } while (accept(p, QL_COMMA));
    s->nsources = sources.n;
    s->sources = take_items(p, &sources);
    return p->status == KAP_OK;
}

static bool parse_target(struct parser *p, struct ql_select *s)
{
    if (!accept_keyword(p, "INTO"))
        return true;
    struct kap_str segments[SEGMENTS_MAX];
    size_t n = parse_segments(p, segments);
    if (n == 0)
        return false;
    const bool same_name = n < SEGMENTS_MAX && accept(p, QL_COLON);
    if (same_name) {
        if (!expect_keyword(p, "MEASUREMENT"))
            return false;
        segments[n++] = KAP_STR("");
    }
    s->target = KAP_ARENA_NEW(p->arena, struct ql_source);
    s->target->same_name = same_name;
    place_segments(s->target, segments, n);
    return true;
}

static bool parse_dimensions(struct parser *p, struct ql_select *s)
{
    if (!accept_keyword(p, "GROUP"))
        return true;
    if (!expect_keyword(p, "BY"))
        return false;
    struct items dims = { 0 };
    do {
        struct ql_expr *e = parse_regex(p);
        if (!e && p->status == KAP_OK)
            e = parse_expr(p);
        if (!e)
            break;
        add_item(&dims, e);
    } while (accept(p, QL_COMMA));
    s->ndims = dims.n;
    s->dims = take_items(p, &dims);
    return p->status == KAP_OK;
}

/* fill(..) and tz(..) are calls; NULL with status OK: the call does not come here. */
static struct ql_expr *parse_named_call(struct parser *p, const char *name, const char *not_a_call,
                                        const char *count)
{
    const struct ql_lexeme t = peek(p);
    if (t.type != QL_IDENT || t.text.n != strlen(name) || strncasecmp(t.text.p, name, t.text.n) != 0)
        return NULL;
    struct ql_expr *e = parse_expr(p);
    if (!e)
        return NULL;
    if (e->kind != QL_EXPR_CALL)
        return fail(p, not_a_call);
    return e->nargs == 1 ? e->args[0] : fail(p, count);
}

static bool parse_fill(struct parser *p, struct ql_select *s)
{
    static const char *const names[] = { [QL_FILL_NULL] = "null", [QL_FILL_NONE] = "none",
                                         [QL_FILL_PREVIOUS] = "previous", [QL_FILL_LINEAR] = "linear" };
    const struct ql_expr *e =
        parse_named_call(p, "fill", "fill must be a function call",
                         "fill requires an argument, e.g.: 0, null, none, previous, linear");
    if (!e)
        return p->status == KAP_OK;
    for (size_t i = 0; e->kind == QL_EXPR_VAR && i < KAP_COUNT(names); i++) {
        if (kap_str_is(e->text, names[i])) {
            s->fill = (enum ql_fill)i;
            return true;
        }
    }
    if (e->kind != QL_EXPR_INT && e->kind != QL_EXPR_NUMBER)
        return fail(p, "expected number argument in fill()");
    s->fill = e->kind == QL_EXPR_INT ? QL_FILL_INT : QL_FILL_FLOAT;
    if (e->kind == QL_EXPR_INT)
        s->fill_int = e->i;
    else
        s->fill_float = e->f;
    return true;
}

static bool parse_order(struct parser *p, struct ql_select *s)
{
    if (!accept_keyword(p, "ORDER"))
        return true;
    if (!expect_keyword(p, "BY"))
        return false;
    struct ql_lexeme t = next(p);
    s->ordered = true;
    if (t.type == QL_IDENT) {
        if (!kap_str_is(t.text, "time"))
            return fail(p, "only ORDER BY time supported at this time");
        s->order_by_name = true;
        if (accept_keyword(p, "DESC"))
            s->descending = true;
        else
            (void)accept_keyword(p, "ASC");
    } else if (is_keyword(&t, "ASC") || is_keyword(&t, "DESC")) {
        s->descending = is_keyword(&t, "DESC");
    } else {
        return unexpected(p, &t, "identifier, ASC, DESC");
    }
    t = peek(p);
    return t.type != QL_COMMA || fail(p, "only ORDER BY time supported at this time");
}

static bool parse_count(struct parser *p, const char *keyword, int64_t *ret)
{
    if (!accept_keyword(p, keyword))
        return true;
    const struct ql_lexeme t = next(p);
    if (t.type != QL_INTEGER)
        return unexpected(p, &t, "integer");
    return (kap_str_to_i64(t.text, ret) && *ret <= INT_MAX) ||
           fail_at(p, KAP_EINVAL, &t, "unable to parse integer");
}

static bool parse_zone(struct parser *p, struct ql_select *s)
{
    const struct ql_expr *e =
        parse_named_call(p, "tz", "tz must be a function call", "tz requires exactly one argument");
    if (!e)
        return p->status == KAP_OK;
    if (e->kind != QL_EXPR_STRING)
        return fail(p, "expected string argument in tz()");
    s->zone = e->text;
    return true;
}

/* SELECT is consumed. */
static struct ql_select *parse_select(struct parser *p)
{
    struct ql_select *s = KAP_ARENA_NEW(p->arena, struct ql_select);
    if (!parse_fields(p, s) || !parse_target(p, s) || !expect_keyword(p, "FROM") || !parse_sources(p, s))
        return NULL;
    if (accept_keyword(p, "WHERE") && !(s->condition = parse_expr(p)))
        return NULL;
    if (!parse_dimensions(p, s) || !parse_fill(p, s) || !parse_order(p, s) ||
        !parse_count(p, "LIMIT", &s->limit) || !parse_count(p, "OFFSET", &s->offset) ||
        !parse_count(p, "SLIMIT", &s->slimit) || !parse_count(p, "SOFFSET", &s->soffset) || !parse_zone(p, s))
        return NULL;
    return s;
}

/* ---- statements ---- */

/* Another kind of statement: its words up to the next semicolon. They are not checked. */
static struct kap_str skip_statement(struct parser *p)
{
    const size_t from = peek(p).pos;
    size_t end = from;
    for (struct ql_lexeme t = peek(p); t.type != QL_EOF && t.type != QL_SEMICOLON; t = peek(p)) {
        end = KAP_MAX(t.end, t.pos + 1);
        p->lexer.pos = end;
    }
    return kap_strn(p->lexer.text.p + from, end - from);
}

static bool starts_statement(const struct ql_lexeme *t)
{
    static const char *const words[] = { "ALTER", "CREATE", "DELETE", "DROP", "EXPLAIN",
                                         "GRANT", "KILL",   "REVOKE", "SET",  "SHOW" };
    for (size_t i = 0; i < KAP_COUNT(words); i++) {
        if (is_keyword(t, words[i]))
            return true;
    }
    return false;
}

static bool parse_statements(struct parser *p, struct ql_select **select, struct kap_str *other, int *count)
{
    bool separated = true;
    for (;;) {
        const struct ql_lexeme t = peek(p);
        if (t.type == QL_EOF)
            return true;
        if (t.type == QL_SEMICOLON) {
            p->lexer.pos = t.end;
            separated = true;
            continue;
        }
        if (!separated)
            return unexpected(p, &t, ";");
        if (is_keyword(&t, "SELECT")) {
            p->lexer.pos = t.end;
            if (!(*select = parse_select(p)))
                return false;
        } else if (starts_statement(&t)) {
            *other = skip_statement(p);
        } else {
            return unexpected(p, &t,
                              "SELECT, DELETE, SHOW, CREATE, DROP, EXPLAIN, GRANT, REVOKE, ALTER, SET, KILL");
        }
        ++*count;
        separated = false;
    }
}

static enum kap_status parse_query(struct parser *p, struct ql_select **ret)
{
    struct kap_str other = { 0 };
    int count = 0;
    if (!parse_statements(p, ret, &other, &count)) {
        (void)kap_wrap(p->err, "failed to parse InfluxQL query");
        return p->status;
    }
    if (count != 1)
        return kap_fail(p->err, KAP_EINVAL, "query must be a single select statement, got %d statements",
                        count);
    if (!*ret)
        return kap_fail(p->err, KAP_EINVAL, "query is not a select statement \"%.*s\"", KAP_STR_ARG(other));
    return KAP_OK;
}

enum kap_status kap_influxql_parse(struct kap_str text, struct kap_influxql **ret, struct kap_error *err)
{
    struct kap_error scratch = { 0 };
    if (text.n > KAP_INFLUXQL_BYTES)
        return kap_fail(err, KAP_ELIMIT, "query has %zu bytes, more than %d", text.n, KAP_INFLUXQL_BYTES);
    struct kap_arena *arena = kap_arena_new();
    struct kap_influxql *q = KAP_ARENA_NEW(arena, struct kap_influxql);
    q->arena = arena;
    struct parser p = { .arena = arena, .err = err ? err : &scratch };
    p.lexer = (struct ql_lexer){ .text = kap_arena_str(arena, text), .arena = arena };
    const enum kap_status st = parse_query(&p, &q->select);
    if (st != KAP_OK) {
        kap_arena_free(arena);
        return st;
    }
    q->sources = KAP_ARENA_ARRAY(arena, struct kap_influxql_source, q->select->nsources);
    for (size_t i = 0; i < q->select->nsources; i++)
        q->sources[i] = q->select->sources[i]->at;
    *ret = q;
    return KAP_OK;
}

void kap_influxql_free(struct kap_influxql *q)
{
    if (q)
        kap_arena_free(q->arena);
}
