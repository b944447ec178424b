/* A small parser of lambda expressions for the tests of this room, the fuzz target and the benchmark, which must not
 * depend on tick/. Recursive descent; returns NULL for what it does not understand. */
#ifndef TEST_LAMBDA_PARSE_H
#define TEST_LAMBDA_PARSE_H

#include "base/duration.h"
#include "base/number.h"
#include "lambda/expr.h"
#include <stdlib.h>

struct text_parser {
    struct kap_arena *a;
    const char *p;
};

static struct kap_expr *parse_level(struct text_parser *tp, int level);

static void skip_space(struct text_parser *tp)
{
    while (*tp->p == ' ')
        tp->p++;
}

static bool accept(struct text_parser *tp, const char *token)
{
    skip_space(tp);
    const size_t n = strlen(token);
    if (strncmp(tp->p, token, n) != 0)
        return false;
    tp->p += n;
    return true;
}

static struct kap_expr *new_expr(struct text_parser *tp, enum kap_expr_kind kind)
{
    struct kap_expr *e = KAP_ARENA_NEW(tp->a, struct kap_expr);
    e->kind = kind;
    return e;
}

/* Text up to the closing quote, with the quote unescaped. */
static struct kap_str parse_quoted(struct text_parser *tp, char quote)
{
    const size_t room = strlen(tp->p) + 1;
    char *out = kap_arena_alloc(tp->a, room);
    size_t n = 0;
    for (; *tp->p && *tp->p != quote; tp->p++) {
        if (tp->p[0] == '\\' && tp->p[1] == quote)
            tp->p++;
        out[n++] = *tp->p;
    }
    if (*tp->p)
        tp->p++;
    return kap_strn(out, n);
}

static struct kap_expr *parse_number(struct text_parser *tp)
{
    const char *start = tp->p;
    bool dot = false;
    while ((*tp->p >= '0' && *tp->p <= '9') || (*tp->p == '.' && !dot)) {
        dot |= *tp->p == '.';
        tp->p++;
    }
    const char *end = tp->p;
    while ((*tp->p >= 'a' && *tp->p <= 'z') || (*tp->p & 0x80))
        tp->p++;
    struct kap_expr *e = new_expr(tp, KAP_EXPR_LITERAL);
    const struct kap_str text = kap_arena_str(tp->a, kap_strn(start, (size_t)(tp->p - start)));
    int64_t ns;
    if (tp->p > end) {
        if (kap_duration_parse_influx(text, &ns, NULL) != KAP_OK)
            return NULL;
        e->value = kap_value_dur(ns);
        e->text = text;
    } else if (dot) {
        e->value = kap_value_f(strtod(text.p, NULL));
    } else {
        const bool octal = text.n > 1 && text.p[0] == '0';
        e->value = kap_value_i((int64_t)strtoll(text.p, NULL, octal ? 8 : 10));
        e->text = text;
    }
    return e;
}

static struct kap_expr *parse_call(struct text_parser *tp, struct kap_str name)
{
    struct kap_expr *e = new_expr(tp, KAP_EXPR_CALL);
    e->name = name;
    e->args = KAP_ARENA_ARRAY(tp->a, struct kap_expr *, 16);
    if (accept(tp, ")"))
        return e;
    do {
        struct kap_expr *arg = e->nargs < 16 ? parse_level(tp, 0) : NULL;
        if (!arg)
            return NULL;
        e->args[e->nargs++] = arg;
    } while (accept(tp, ","));
    return accept(tp, ")") ? e : NULL;
}

static struct kap_expr *parse_word(struct text_parser *tp)
{
    const char *start = tp->p;
    while ((*tp->p >= 'a' && *tp->p <= 'z') || (*tp->p >= 'A' && *tp->p <= 'Z') || (*tp->p >= '0' && *tp->p <= '9'))
        tp->p++;
    const struct kap_str name = kap_arena_str(tp->a, kap_strn(start, (size_t)(tp->p - start)));
    if (kap_str_is(name, "TRUE") || kap_str_is(name, "FALSE")) {
        struct kap_expr *e = new_expr(tp, KAP_EXPR_LITERAL);
        e->value = kap_value_b(kap_str_is(name, "TRUE"));
        return e;
    }
    return name.n && accept(tp, "(") ? parse_call(tp, name) : NULL;
}

static struct kap_expr *parse_unary(struct text_parser *tp, enum kap_op op)
{
    struct kap_expr *e = new_expr(tp, KAP_EXPR_UNARY);
    e->op = op;
    e->left = parse_level(tp, 6);
    return e->left ? e : NULL;
}

static struct kap_expr *parse_primary(struct text_parser *tp)
{
    struct kap_expr *e;
    skip_space(tp);
    if (accept(tp, "("))  {
        e = parse_level(tp, 0);
        if (!e || !accept(tp, ")"))
            return NULL;
        e->parens = true;
        return e;
    }
    if (accept(tp, "-"))
        return parse_unary(tp, KAP_OP_NEG);
    if (accept(tp, "!"))
        return parse_unary(tp, KAP_OP_NOT);
    if (accept(tp, "\"")) {
        e = new_expr(tp, KAP_EXPR_REFERENCE);
        e->name = parse_quoted(tp, '"');
        return e;
    }
    if (accept(tp, "'''")) {
        const char *close = strstr(tp->p, "'''");
        if (!close)
            return NULL;
        e = new_expr(tp, KAP_EXPR_LITERAL);
        e->quote = KAP_QUOTE_TRIPLE;
        e->value = kap_value_s(kap_arena_str(tp->a, kap_strn(tp->p, (size_t)(close - tp->p))));
        tp->p = close + 3;
        return e;
    }
    if (accept(tp, "'")) {
        e = new_expr(tp, KAP_EXPR_LITERAL);
        e->value = kap_value_s(parse_quoted(tp, '\''));
        return e;
    }
    if (accept(tp, "/")) {
        e = new_expr(tp, KAP_EXPR_LITERAL);
        e->value.type = KAP_REGEX;
        e->regex = parse_quoted(tp, '/');
        return e;
    }
    if ((*tp->p >= '0' && *tp->p <= '9') || *tp->p == '.')
        return parse_number(tp);
    return parse_word(tp);
}

static const struct {
    const char *text;
    enum kap_op op;
    int level;
} parse_operators[] = {
    { "OR", KAP_OP_OR, 0 },       { "AND", KAP_OP_AND, 1 }, { "==", KAP_OP_EQ, 2 }, { "!=", KAP_OP_NE, 2 },
    { "=~", KAP_OP_MATCH, 2 },    { "!~", KAP_OP_NOT_MATCH, 2 },                    { "<=", KAP_OP_LE, 3 },
    { ">=", KAP_OP_GE, 3 },       { "<", KAP_OP_LT, 3 },    { ">", KAP_OP_GT, 3 },  { "+", KAP_OP_ADD, 4 },
    { "-", KAP_OP_SUB, 4 },       { "*", KAP_OP_MUL, 5 },   { "/", KAP_OP_DIV, 5 }, { "%", KAP_OP_MOD, 5 },
};

static enum kap_op accept_operator(struct text_parser *tp, int level)
{
    for (size_t i = 0; i < sizeof parse_operators / sizeof *parse_operators; i++)
        if (parse_operators[i].level == level && accept(tp, parse_operators[i].text))
            return parse_operators[i].op;
    return KAP_OP_NONE;
}

static struct kap_expr *parse_level(struct text_parser *tp, int level)
{
    if (level > 5)
        return parse_primary(tp);
    struct kap_expr *left = parse_level(tp, level + 1);
    enum kap_op op;
    while (left && (op = accept_operator(tp, level)) != KAP_OP_NONE) {
        struct kap_expr *e = new_expr(tp, KAP_EXPR_BINARY);
        e->op = op;
        e->left = left;
        e->right = parse_level(tp, level + 1);
        left = e->right ? e : NULL;
    }
    return left;
}

static struct kap_expr *parse_lambda(struct kap_arena *a, const char *text)
{
    struct text_parser tp = { .a = a, .p = text };
    struct kap_expr *e = parse_level(&tp, 0);
    skip_space(&tp);
    return *tp.p ? NULL : e;
}

#endif
