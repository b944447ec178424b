/* Lexer and parser of Go's text/template language (package text/template/parse). */
#include "base/buf.h"
#include "base/mem.h"
#include "template/internal.h"
#include <errno.h>
#include <stdlib.h>

enum token_kind {
    TK_ERROR, /* text: the message */
    TK_EOF,
    TK_TEXT,
    TK_LEFT,  /* {{ */
    TK_RIGHT,
    TK_SPACE,
    TK_FIELD, /* .name */
    TK_VARIABLE,
    TK_WORD,
    TK_KEYWORD,
    TK_DOT,
    TK_CONSTANT, /* bool, number, character */
    TK_STRING,
    TK_NIL,
    TK_PIPE,
    TK_DECLARE,
    TK_ASSIGN,
    TK_OPEN,
    TK_CLOSE,
    TK_CHAR,
};

struct token {
    enum token_kind kind;
    size_t pos;
    struct kap_str text;
};

struct parser {
    struct kap_template *t;
    struct kap_error *err;
    struct kap_str text;
    size_t p;                    /* lexer position */
    bool in_action, trim_next;
    int parens;
    struct token back[3];        /* tokens given back, last first */
    int nback;
    size_t line_pos;             /* of the last token, for messages */
    struct kap_str vars[64];
    size_t nvars;
    int depth;
};

/* --- lexer --- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80);
}

static bool at(const struct parser *ps, const char *text)
{
    return kap_str_has_prefix(kap_strn(ps->text.p + ps->p, ps->text.n - ps->p), kap_str(text));
}

static struct token token(struct parser *ps, enum token_kind kind, size_t start)
{
    return (struct token){ .kind = kind, .pos = start, .text = kap_strn(ps->text.p + start, ps->p - start) };
}

static struct token lex_error(struct parser *ps, size_t pos, const char *message)
{
    ps->p = ps->text.n; /* nothing follows an error */
    ps->in_action = false;
    return (struct token){ .kind = TK_ERROR, .pos = pos, .text = kap_str(message) };
}

/* "{{-" with a space trims the text before it. */
static bool trim_marker(const struct parser *ps)
{
    return at(ps, "{{-") && ps->p + 3 < ps->text.n && is_space(ps->text.p[ps->p + 3]);
}

static void skip_trimmed(struct parser *ps)
{
    if (!ps->trim_next)
        return;
    while (ps->p < ps->text.n && is_space(ps->text.p[ps->p]))
        ps->p++;
    ps->trim_next = false;
}

static struct token lex_text(struct parser *ps)
{
    skip_trimmed(ps);
    const size_t start = ps->p;
    while (ps->p < ps->text.n && !at(ps, "{{"))
        ps->p++;
    if (ps->p == ps->text.n && ps->p == start)
        return token(ps, TK_EOF, start);
    struct token text = token(ps, TK_TEXT, start);
    if (trim_marker(ps))
        while (text.text.n && is_space(text.text.p[text.text.n - 1]))
            text.text.n--;
    if (text.text.n)
        return text;
    if (ps->p == ps->text.n)
        return token(ps, TK_EOF, ps->p);
    return (struct token){ .kind = TK_LEFT };
}

/* At "{{": true when it was a comment, which is skipped; *bad: it does not end. */
static bool skip_comment(struct parser *ps, const char **bad)
{
    size_t p = ps->p + (trim_marker(ps) ? 4 : 2);
    if (trim_marker(ps))
        while (p < ps->text.n && is_space(ps->text.p[p]))
            p++;
    if (p + 1 >= ps->text.n || ps->text.p[p] != '/' || ps->text.p[p + 1] != '*')
        return false;
    const char *end = memmem(ps->text.p + p, ps->text.n - p, "*/", 2);
    if (!end) {
        *bad = "unclosed comment";
        return true;
    }
    ps->p = (size_t)(end - ps->text.p) + 2;
    if (ps->p < ps->text.n && is_space(ps->text.p[ps->p]) && kap_str_has_prefix(
            kap_str_trim(kap_strn(ps->text.p + ps->p, ps->text.n - ps->p)), KAP_STR("-}}"))) {
        while (!at(ps, "-}}"))
            ps->p++;
        ps->p += 3;
        ps->trim_next = true;
    } else if (at(ps, "}}")) {
        ps->p += 2;
    } else {
        *bad = "comment ends before closing delimiter";
    }
    return true;
}

static struct token lex_left(struct parser *ps)
{
    const char *bad = NULL;
    const size_t start = ps->p;
    if (skip_comment(ps, &bad))
        return bad ? lex_error(ps, start, bad) : (struct token){ .kind = TK_TEXT };
    ps->p += trim_marker(ps) ? 3 : 2;
    ps->in_action = true;
    ps->parens = 0;
    return token(ps, TK_LEFT, start);
}

static struct token lex_quoted(struct parser *ps, size_t start, char quote)
{
    const enum token_kind kind = quote == '\'' ? TK_CONSTANT : TK_STRING;
    for (; ps->p < ps->text.n; ps->p++) {
        const char c = ps->text.p[ps->p];
        if (c == quote) {
            ps->p++;
            return token(ps, kind, start);
        }
        if (c == '\n' && quote != '`')
            break;
        if (c == '\\' && quote != '`')
            ps->p++;
    }
    return lex_error(ps, start, quote == '`' ? "unterminated raw quoted string" :
                     quote == '"' ? "unterminated quoted string" : "unterminated character constant");
}

static bool word_ends(const struct parser *ps)
{
    if (ps->p >= ps->text.n || is_space(ps->text.p[ps->p]) || strchr(".,|:()=", ps->text.p[ps->p]))
        return true;
    return at(ps, "}}");
}

static bool keyword(struct kap_str s)
{
    static const char *const words[] = { "block", "define", "else", "end", "if", "range", "template", "with" };
    for (size_t i = 0; i < KAP_COUNT(words); i++)
        if (kap_str_is(s, words[i]))
            return true;
    return false;
}

static void skip_word(struct parser *ps)
{
    while (ps->p < ps->text.n && is_word(ps->text.p[ps->p]))
        ps->p++;
}

static struct token lex_word(struct parser *ps, size_t start, enum token_kind kind)
{
    skip_word(ps);
    if (!word_ends(ps))
        return lex_error(ps, start, "bad character in action");
    struct token tok = token(ps, kind, start);
    if (kind != TK_WORD)
        return tok;
    if (keyword(tok.text))
        tok.kind = TK_KEYWORD;
    else if (kap_str_is(tok.text, "true") || kap_str_is(tok.text, "false"))
        tok.kind = TK_CONSTANT;
    else if (kap_str_is(tok.text, "nil"))
        tok.kind = TK_NIL;
    return tok;
}

static struct token lex_number(struct parser *ps, size_t start)
{
    while (ps->p < ps->text.n && (is_word(ps->text.p[ps->p]) || ps->text.p[ps->p] == '.' ||
                                  ((ps->text.p[ps->p] == '+' || ps->text.p[ps->p] == '-') &&
                                   (ps->text.p[ps->p - 1] == 'e' || ps->text.p[ps->p - 1] == 'E'))))
        ps->p++;
    return token(ps, TK_CONSTANT, start);
}

static struct token lex_right(struct parser *ps, size_t start, size_t n)
{
    ps->p = start + n;
    if (ps->parens > 0)
        return lex_error(ps, start, "unclosed left paren");
    ps->in_action = false;
    ps->trim_next = n == 3;
    return token(ps, TK_RIGHT, start);
}

static struct token lex_space(struct parser *ps)
{
    const size_t start = ps->p;
    while (ps->p < ps->text.n && is_space(ps->text.p[ps->p]))
        ps->p++;
    if (at(ps, "-}}"))
        return lex_right(ps, ps->p, 3);
    return token(ps, TK_SPACE, start);
}

static struct token lex_symbol(struct parser *ps, size_t start, char c)
{
    switch (c) {
    case '|':
        return token(ps, TK_PIPE, start);
    case '=':
        return token(ps, TK_ASSIGN, start);
    case '(':
        ps->parens++;
        return token(ps, TK_OPEN, start);
    case ')':
        if (--ps->parens < 0)
            return lex_error(ps, start, "unexpected right paren");
        return token(ps, TK_CLOSE, start);
    case ',':
        return token(ps, TK_CHAR, start);
    case ':':
        if (ps->p == ps->text.n || ps->text.p[ps->p] != '=')
            return lex_error(ps, start, "expected :=");
        ps->p++;
        return token(ps, TK_DECLARE, start);
    default:
        return lex_error(ps, start, "unexpected character in action");
    }
}

static struct token lex_action(struct parser *ps)
{
    const size_t start = ps->p;
    if (at(ps, "}}"))
        return lex_right(ps, start, 2);
    if (ps->p == ps->text.n)
        return lex_error(ps, start, "unclosed action");
    const char c = ps->text.p[ps->p];
    const char next = ps->p + 1 < ps->text.n ? ps->text.p[ps->p + 1] : 0;
    if (is_space(c))
        return lex_space(ps);
    ps->p++;
    if (c == '"' || c == '`' || c == '\'')
        return lex_quoted(ps, start, c);
    if (c == '$')
        return lex_word(ps, start, TK_VARIABLE);
    if (c == '.' && !(next >= '0' && next <= '9'))
        return is_word(next) ? lex_word(ps, start, TK_FIELD) : token(ps, TK_DOT, start);
    if (c == '.' || c == '+' || c == '-' || (c >= '0' && c <= '9'))
        return lex_number(ps, start);
    if (is_word(c))
        return lex_word(ps, start, TK_WORD);
    return lex_symbol(ps, start, c);
}

static struct token lex(struct parser *ps)
{
    if (ps->in_action)
        return lex_action(ps);
    for (;;) {
        if (!ps->trim_next && at(ps, "{{")) {
            const struct token left = lex_left(ps);
            if (left.kind != TK_TEXT)
                return left;
            continue; /* a comment */
        }
        const struct token text = lex_text(ps);
        if (text.kind != TK_LEFT)
            return text;
    }
}

/* --- tokens for the parser --- */

static struct token next(struct parser *ps)
{
    const struct token tok = ps->nback > 0 ? ps->back[--ps->nback] : lex(ps);
    ps->line_pos = tok.pos;
    return tok;
}

static void give_back(struct parser *ps, struct token tok)
{
    ps->back[ps->nback++] = tok;
}

static struct token peek(struct parser *ps)
{
    const struct token tok = next(ps);
    give_back(ps, tok);
    return tok;
}

static struct token next_solid(struct parser *ps)
{
    struct token tok = next(ps);
    while (tok.kind == TK_SPACE)
        tok = next(ps);
    return tok;
}

static struct token peek_solid(struct parser *ps)
{
    const struct token tok = next_solid(ps);
    give_back(ps, tok);
    return tok;
}

/* --- messages --- */

size_t kap_template_line(const struct kap_template *t, size_t pos)
{
    size_t line = 1;
    for (size_t i = 0; i < pos && i < t->text.n; i++)
        line += t->text.p[i] == '\n';
    return line;
}

size_t kap_template_column(const struct kap_template *t, size_t pos)
{
    size_t column = 0;
    while (column < pos && t->text.p[pos - column - 1] != '\n')
        column++;
    return column;
}

static enum kap_status fail(struct parser *ps, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static enum kap_status fail(struct parser *ps, const char *fmt, ...)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    va_list ap;
    va_start(ap, fmt);
    kap_buf_vaddf(&b, fmt, ap);
    va_end(ap);
    ps->t->mistake = ps->line_pos;
    kap_fail(ps->err, KAP_EINVAL, "template: %s:%zu: %s", ps->t->name, kap_template_line(ps->t, ps->line_pos),
             kap_buf_str(&b).p);
    return KAP_EINVAL;
}

static enum kap_status unexpected(struct parser *ps, struct token tok, const char *context)
{
    if (tok.kind == TK_ERROR)
        return fail(ps, "%.*s", KAP_STR_ARG(tok.text));
    if (tok.kind == TK_EOF)
        return fail(ps, "unexpected EOF");
    if (tok.kind == TK_KEYWORD)
        return fail(ps, "unexpected <%.*s> in %s", KAP_STR_ARG(tok.text), context);
    KAP_AUTO_BUF struct kap_buf quoted = { 0 };
    kap_t_quote(&quoted, kap_strn(tok.text.p, KAP_MIN(tok.text.n, 10)));
    return fail(ps, "unexpected %s%s in %s", kap_buf_str(&quoted).p, tok.text.n > 10 ? "..." : "", context);
}

/* The static analyser does not look into these, and must be told that they never return KAP_OK. */
#ifdef __clang_analyzer__
#define fail(ps, ...) (fail((ps), __VA_ARGS__), KAP_EINVAL)
#define unexpected(ps, tok, context) (unexpected((ps), (tok), (context)), KAP_EINVAL)
#endif

/* --- nodes --- */

static struct kap_tnode *new_node(struct parser *ps, enum kap_tnode_kind kind, size_t pos)
{
    struct kap_tnode *n = KAP_ARENA_NEW(ps->t->arena, struct kap_tnode);
    n->kind = kind;
    n->pos = pos;
    return n;
}

static void add_item(struct parser *ps, struct kap_tnode *n, struct kap_tnode *item)
{
    if (n->nitems == n->items_cap) {
        n->items_cap = n->items_cap ? n->items_cap * 2 : 4;
        struct kap_tnode **items = KAP_ARENA_ARRAY(ps->t->arena, struct kap_tnode *, n->items_cap);
        if (n->nitems)
            memcpy(items, n->items, n->nitems * sizeof(struct kap_tnode *));
        n->items = items;
    }
    n->items[n->nitems++] = item;
}

static void add_path(struct parser *ps, struct kap_tnode *n, struct kap_str field)
{
    if (n->npath == n->path_cap) {
        n->path_cap = n->path_cap ? n->path_cap * 2 : 4;
        struct kap_str *path = KAP_ARENA_ARRAY(ps->t->arena, struct kap_str, n->path_cap);
        if (n->npath)
            memcpy(path, n->path, n->npath * sizeof *path);
        n->path = path;
    }
    n->path[n->npath++] = kap_strn(field.p + 1, field.n - 1);
}

/* --- literals --- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escape of a Go string after the backslash; *i moves behind it. */
static bool unescape(struct kap_str s, size_t *i, struct kap_buf *b)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const char c = s.p[(*i)++];
    const char *simple = strchr(from, c);
    if (simple && c) {
        kap_buf_addc(b, to[simple - from]);
        return true;
    }
    const bool octal = c >= '0' && c <= '7';
    const int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : octal ? 3 : 0;
    if (digits == 0)
        return false;
    if (octal)
        (*i)--;
    uint32_t value = 0;
    for (int k = 0; k < digits; k++, (*i)++) {
        const int digit = *i < s.n ? hex(s.p[*i]) : -1;
        if (digit < 0 || (octal && digit > 7))
            return false;
        value = value * (octal ? 8 : 16) + (uint32_t)digit;
    }
    char text[4];
    if (c == 'u' || c == 'U') {
        if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
            return false;
        kap_buf_addn(b, text, kap_utf8_encode(value, text));
    } else {
        if (value > 0xff)
            return false;
        kap_buf_addc(b, (char)value);
    }
    return true;
}

static bool unquote(struct kap_str s, struct kap_buf *b)
{
    const struct kap_str inner = kap_strn(s.p + 1, s.n - 2);
    if (s.p[0] == '`') {
        kap_buf_add(b, inner);
        return true;
    }
    for (size_t i = 0; i < inner.n;) {
        if (inner.p[i] != '\\') {
            kap_buf_addc(b, inner.p[i++]);
            continue;
        }
        i++;
        if (i == inner.n || !unescape(inner, &i, b))
            return false;
    }
    return true;
}

static enum kap_status string_literal(struct parser *ps, struct token tok, struct kap_tnode **ret)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    if (!unquote(tok.text, &b))
        return fail(ps, "invalid syntax");
    struct kap_tnode *n = new_node(ps, KAP_N_CONSTANT, tok.pos);
    n->text = tok.text;
    n->value = kap_t_str(kap_arena_str(ps->t->arena, kap_buf_str(&b)));
    *ret = n;
    return KAP_OK;
}

static bool parse_integer(struct kap_str s, int64_t *ret)
{
    char text[72];
    if (s.n >= sizeof text)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '_')
            text[n++] = s.p[i];
    text[n] = 0;
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    int base = 10;
    if (digits[0] == '0' && digits[1])
        base = (digits[1] | 0x20) == 'x' ? 16 : (digits[1] | 0x20) == 'b' ? 2 : 8;
    if (base == 2 || (base == 8 && (digits[1] | 0x20) == 'o'))
        digits += 2;
    if (!*digits)
        return false;
    char *end;
    errno = 0;
    const long long magnitude = strtoll(digits, &end, base);
    if (*end || errno || magnitude < 0)
        return false;
    *ret = text[0] == '-' ? -magnitude : magnitude;
    return true;
}

static bool number_value(struct kap_str s, struct kap_tvalue *ret)
{
    int64_t i;
    double f;
    if (parse_integer(s, &i))
        *ret = (struct kap_tvalue){ .kind = KAP_T_INT, .i = i };
    else if (s.p[0] && strchr("+-.0123456789", s.p[0]) && kap_str_to_f64(s, &f))
        *ret = (struct kap_tvalue){ .kind = KAP_T_FLOAT, .f = f };
    else
        return false;
    return true;
}

static enum kap_status constant(struct parser *ps, struct token tok, struct kap_tnode **ret)
{
    struct kap_tnode *n = new_node(ps, KAP_N_CONSTANT, tok.pos);
    n->text = tok.text;
    if (tok.text.p[0] == 't' || tok.text.p[0] == 'f') {
        n->value = (struct kap_tvalue){ .kind = KAP_T_BOOL, .b = tok.text.p[0] == 't' };
    } else if (tok.text.p[0] == '\'') {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        uint32_t rune;
        if (!unquote(tok.text, &b) || kap_utf8_decode(b.p ? b.p : "", b.n, &rune) != b.n || b.n == 0)
            return fail(ps, "malformed character constant: %.*s", KAP_STR_ARG(tok.text));
        n->value = (struct kap_tvalue){ .kind = KAP_T_INT, .i = rune };
    } else if (!number_value(tok.text, &n->value)) {
        return fail(ps, "bad number syntax: \"%.*s\"", KAP_STR_ARG(tok.text));
    }
    *ret = n;
    return KAP_OK;
}

/* --- operands, commands, pipelines --- */

static enum kap_status pipeline(struct parser *ps, const char *context, struct kap_tnode **ret);

static bool var_known(const struct parser *ps, struct kap_str name)
{
    for (size_t i = ps->nvars; i-- > 0;)
        if (kap_str_eq(ps->vars[i], name))
            return true;
    return false;
}

static enum kap_status declare(struct parser *ps, struct kap_str name)
{
    if (ps->nvars == KAP_COUNT(ps->vars))
        return fail(ps, "more than %zu variables", KAP_COUNT(ps->vars));
    ps->vars[ps->nvars++] = name;
    return KAP_OK;
}

static enum kap_status parenthesized(struct parser *ps, struct kap_tnode **ret)
{
    if (++ps->depth > KAP_T_MAX_DEPTH)
        return fail(ps, "nested deeper than %d levels", KAP_T_MAX_DEPTH);
    KAP_TRY(pipeline(ps, "parenthesized pipeline", ret));
    ps->depth--;
    const struct token tok = next(ps);
    if (tok.kind != TK_CLOSE)
        return fail(ps, "unclosed right paren: unexpected \"%.*s\"", KAP_STR_ARG(tok.text));
    return KAP_OK;
}

/* *ret NULL: no operand here. */
static enum kap_status term(struct parser *ps, struct kap_tnode **ret)
{
    const struct token tok = next_solid(ps);
    *ret = NULL;
    switch (tok.kind) {
    case TK_ERROR:
        return fail(ps, "%.*s", KAP_STR_ARG(tok.text));
    case TK_WORD:
        *ret = new_node(ps, KAP_N_FUNCTION, tok.pos);
        (*ret)->text = tok.text;
        (*ret)->fn = kap_tfn_find(tok.text, ps->t->flags);
        return (*ret)->fn ? KAP_OK : fail(ps, "function \"%.*s\" not defined", KAP_STR_ARG(tok.text));
    case TK_DOT:
        *ret = new_node(ps, KAP_N_DOT, tok.pos);
        return KAP_OK;
    case TK_NIL:
        *ret = new_node(ps, KAP_N_NIL, tok.pos);
        return KAP_OK;
    case TK_VARIABLE:
        if (!var_known(ps, tok.text))
            return fail(ps, "undefined variable \"%.*s\"", KAP_STR_ARG(tok.text));
        *ret = new_node(ps, KAP_N_VARIABLE, tok.pos);
        (*ret)->text = tok.text;
        return KAP_OK;
    case TK_FIELD:
        *ret = new_node(ps, KAP_N_FIELD, tok.pos);
        add_path(ps, *ret, tok.text);
        return KAP_OK;
    case TK_CONSTANT:
        return constant(ps, tok, ret);
    case TK_STRING:
        return string_literal(ps, tok, ret);
    case TK_OPEN:
        return parenthesized(ps, ret);
    default:
        give_back(ps, tok);
        return KAP_OK;
    }
}

static enum kap_status operand(struct parser *ps, struct kap_tnode **ret)
{
    KAP_TRY(term(ps, ret));
    struct kap_tnode *n = *ret;
    if (!n || peek(ps).kind != TK_FIELD)
        return KAP_OK;
    if (n->kind == KAP_N_CONSTANT || n->kind == KAP_N_NIL || n->kind == KAP_N_DOT) {
        KAP_AUTO_BUF struct kap_buf text = { 0 };
        kap_tnode_text(&text, n);
        return fail(ps, "unexpected . after term \"%s\"", kap_buf_str(&text).p);
    }
    if (n->kind != KAP_N_FIELD && n->kind != KAP_N_VARIABLE) {
        *ret = new_node(ps, KAP_N_CHAIN, n->pos);
        (*ret)->pipe = n;
    }
    while (peek(ps).kind == TK_FIELD)
        add_path(ps, *ret, next(ps).text);
    return KAP_OK;
}

static enum kap_status command(struct parser *ps, struct kap_tnode **ret)
{
    struct kap_tnode *cmd = new_node(ps, KAP_N_COMMAND, peek_solid(ps).pos);
    struct token tok;
    do {
        struct kap_tnode *arg = NULL;
        peek_solid(ps);
        KAP_TRY(operand(ps, &arg));
        if (arg)
            add_item(ps, cmd, arg);
        if (cmd->nitems > KAP_T_MAX_ARGS)
            return fail(ps, "more than %d arguments", KAP_T_MAX_ARGS);
        tok = next(ps);
    } while (tok.kind == TK_SPACE);
    if (tok.kind == TK_RIGHT || tok.kind == TK_CLOSE)
        give_back(ps, tok);
    else if (tok.kind != TK_PIPE)
        return unexpected(ps, tok, "operand");
    if (cmd->nitems == 0)
        return fail(ps, "empty command");
    *ret = cmd;
    return KAP_OK;
}

/* "$x :=", "$x =", and "$k, $v :=" in a range. */
static enum kap_status declarations(struct parser *ps, const char *context, struct kap_tnode *pipe)
{
    while (peek_solid(ps).kind == TK_VARIABLE) {
        const struct token var = next_solid(ps);
        const struct token after = peek(ps);
        const struct token solid = next_solid(ps);
        if (solid.kind != TK_DECLARE && solid.kind != TK_ASSIGN && solid.kind != TK_CHAR) {
            give_back(ps, solid);
            if (after.kind == TK_SPACE)
                give_back(ps, after);
            give_back(ps, var);
            return KAP_OK;
        }
        pipe->assign = solid.kind == TK_ASSIGN;
        pipe->decl[pipe->ndecl++] = var.text;
        if (pipe->assign && !var_known(ps, var.text))
            return fail(ps, "undefined variable \"%.*s\"", KAP_STR_ARG(var.text));
        KAP_TRY(declare(ps, var.text));
        if (solid.kind != TK_CHAR)
            return KAP_OK;
        if (strcmp(context, "range") != 0 || pipe->ndecl == 2)
            return fail(ps, "too many declarations in %s", context);
        if (peek_solid(ps).kind != TK_VARIABLE)
            return fail(ps, "range can only initialize variables");
    }
    return KAP_OK;
}

static enum kap_status check_pipeline(struct parser *ps, const struct kap_tnode *pipe, const char *context)
{
    if (pipe->nitems == 0)
        return fail(ps, "missing value for %s", context);
    for (size_t i = 1; i < pipe->nitems; i++) {
        const enum kap_tnode_kind first = pipe->items[i]->items[0]->kind;
        if (first == KAP_N_CONSTANT || first == KAP_N_DOT || first == KAP_N_NIL)
            return fail(ps, "non executable command in pipeline stage %zu", i + 1);
    }
    return KAP_OK;
}

static enum kap_status pipeline(struct parser *ps, const char *context, struct kap_tnode **ret)
{
    struct kap_tnode *pipe = new_node(ps, KAP_N_PIPE, peek_solid(ps).pos);
    KAP_TRY(declarations(ps, context, pipe));
    for (;;) {
        const struct token tok = next_solid(ps);
        switch (tok.kind) {
        case TK_RIGHT:
        case TK_CLOSE:
            KAP_TRY(check_pipeline(ps, pipe, context));
            if (tok.kind == TK_CLOSE)
                give_back(ps, tok);
            *ret = pipe;
            return KAP_OK;
        case TK_CONSTANT:
        case TK_DOT:
        case TK_FIELD:
        case TK_WORD:
        case TK_NIL:
        case TK_STRING:
        case TK_VARIABLE:
        case TK_OPEN: {
            struct kap_tnode *cmd = NULL;
            give_back(ps, tok);
            KAP_TRY(command(ps, &cmd));
            add_item(ps, pipe, cmd);
            break;
        }
        default:
            return unexpected(ps, tok, context);
        }
    }
}

/* --- actions --- */

static enum kap_status text_or_action(struct parser *ps, struct kap_tnode **ret);

/* Nodes up to {{end}} or {{else}}, which is *stop. */
static enum kap_status item_list(struct parser *ps, struct kap_tnode **list, struct kap_tnode **stop)
{
    *list = new_node(ps, KAP_N_LIST, peek_solid(ps).pos);
    while (peek_solid(ps).kind != TK_EOF) {
        struct kap_tnode *n = NULL;
        KAP_TRY(text_or_action(ps, &n));
        if (n->kind == KAP_N_END || n->kind == KAP_N_ELSE) {
            *stop = n;
            return KAP_OK;
        }
        add_item(ps, *list, n);
    }
    return fail(ps, "unexpected EOF");
}

static enum kap_status control(struct parser *ps, enum kap_tnode_kind kind, const char *context, size_t pos,
                               struct kap_tnode **ret)
{
    if (++ps->depth > KAP_T_MAX_DEPTH)
        return fail(ps, "nested deeper than %d levels", KAP_T_MAX_DEPTH);
    const size_t vars = ps->nvars;
    struct kap_tnode *n = new_node(ps, kind, pos);
    struct kap_tnode *stop = NULL;
    KAP_TRY(pipeline(ps, context, &n->pipe));
    KAP_TRY(item_list(ps, &n->body, &stop));
    if (stop->kind == KAP_N_ELSE && stop->pipe == NULL && kind == KAP_N_IF && stop->text.n) {
        /* {{else if}}: an if of its own that shares the {{end}} */
        struct kap_tnode *inner = NULL;
        n->otherwise = new_node(ps, KAP_N_LIST, stop->pos);
        KAP_TRY(control(ps, KAP_N_IF, "if", stop->pos, &inner));
        add_item(ps, n->otherwise, inner);
    } else if (stop->kind == KAP_N_ELSE) {
        KAP_TRY(item_list(ps, &n->otherwise, &stop));
        if (stop->kind != KAP_N_END)
            return fail(ps, "expected end; found {{else}}");
    }
    ps->nvars = vars;
    ps->depth--;
    *ret = n;
    return KAP_OK;
}

static enum kap_status expect_right(struct parser *ps, const char *context)
{
    const struct token tok = next_solid(ps);
    return tok.kind == TK_RIGHT ? KAP_OK : unexpected(ps, tok, context);
}

static enum kap_status else_control(struct parser *ps, size_t pos, struct kap_tnode **ret)
{
    struct kap_tnode *n = new_node(ps, KAP_N_ELSE, pos);
    *ret = n;
    const struct token tok = peek_solid(ps);
    if (tok.kind == TK_KEYWORD && kap_str_is(tok.text, "if")) {
        n->text = next_solid(ps).text;
        return KAP_OK;
    }
    return expect_right(ps, "else");
}

static enum kap_status template_name(struct parser *ps, const char *context, struct kap_str *ret)
{
    const struct token tok = next_solid(ps);
    struct kap_tnode *n = NULL;
    if (tok.kind != TK_STRING)
        return unexpected(ps, tok, context);
    KAP_TRY(string_literal(ps, tok, &n));
    *ret = n->value.s;
    return KAP_OK;
}

static enum kap_status template_call(struct parser *ps, size_t pos, struct kap_tnode **ret)
{
    struct kap_tnode *n = new_node(ps, KAP_N_TEMPLATE, pos);
    KAP_TRY(template_name(ps, "template clause", &n->text));
    if (peek_solid(ps).kind == TK_RIGHT)
        next_solid(ps);
    else
        KAP_TRY(pipeline(ps, "template clause", &n->pipe));
    *ret = n;
    return KAP_OK;
}

/* The body of {{define}} or {{block}}, with variables of its own. */
static enum kap_status definition(struct parser *ps, struct kap_str name, const char *context)
{
    struct kap_str saved[KAP_COUNT(ps->vars)];
    const size_t nsaved = ps->nvars;
    memcpy(saved, ps->vars, sizeof saved);
    ps->vars[0] = KAP_STR("$");
    ps->nvars = 1;
    if (++ps->depth > KAP_T_MAX_DEPTH)
        return fail(ps, "nested deeper than %d levels", KAP_T_MAX_DEPTH);
    struct kap_tdefine *d = KAP_ARENA_NEW(ps->t->arena, struct kap_tdefine);
    struct kap_tnode *stop = NULL;
    KAP_TRY(item_list(ps, &d->body, &stop));
    if (stop->kind != KAP_N_END)
        return fail(ps, "unexpected {{else}} in %s", context);
    d->name = name;
    d->next = ps->t->defines;
    ps->t->defines = d;
    memcpy(ps->vars, saved, sizeof saved);
    ps->nvars = nsaved;
    ps->depth--;
    return KAP_OK;
}

static enum kap_status block(struct parser *ps, size_t pos, struct kap_tnode **ret)
{
    struct kap_tnode *n = new_node(ps, KAP_N_TEMPLATE, pos);
    KAP_TRY(template_name(ps, "block clause", &n->text));
    KAP_TRY(pipeline(ps, "block clause", &n->pipe));
    KAP_TRY(definition(ps, n->text, "block clause"));
    *ret = n;
    return KAP_OK;
}

static enum kap_status keyword_action(struct parser *ps, struct token tok, struct kap_tnode **ret)
{
    const struct kap_str word = tok.text;
    if (kap_str_is(word, "if"))
        return control(ps, KAP_N_IF, "if", tok.pos, ret);
    if (kap_str_is(word, "with"))
        return control(ps, KAP_N_WITH, "with", tok.pos, ret);
    if (kap_str_is(word, "range"))
        return control(ps, KAP_N_RANGE, "range", tok.pos, ret);
    if (kap_str_is(word, "template"))
        return template_call(ps, tok.pos, ret);
    if (kap_str_is(word, "block"))
        return block(ps, tok.pos, ret);
    if (kap_str_is(word, "else"))
        return else_control(ps, tok.pos, ret);
    if (kap_str_is(word, "end")) {
        *ret = new_node(ps, KAP_N_END, tok.pos);
        return expect_right(ps, "end");
    }
    return unexpected(ps, tok, "command"); /* define, only at the top */
}

static enum kap_status text_or_action(struct parser *ps, struct kap_tnode **ret)
{
    const struct token tok = next_solid(ps);
    if (tok.kind == TK_TEXT) {
        *ret = new_node(ps, KAP_N_TEXT, tok.pos);
        (*ret)->text = tok.text;
        return KAP_OK;
    }
    if (tok.kind != TK_LEFT)
        return unexpected(ps, tok, "input");
    const struct token first = next_solid(ps);
    if (first.kind == TK_KEYWORD)
        return keyword_action(ps, first, ret);
    give_back(ps, first);
    struct kap_tnode *n = new_node(ps, KAP_N_ACTION, first.pos);
    KAP_TRY(pipeline(ps, "command", &n->pipe));
    *ret = n;
    return KAP_OK;
}

/* {{define "name"}} after the "{{"; false: something else, given back. */
static enum kap_status try_define(struct parser *ps, struct token left, bool *found)
{
    const struct token tok = next_solid(ps);
    *found = tok.kind == TK_KEYWORD && kap_str_is(tok.text, "define");
    if (!*found) {
        give_back(ps, tok);
        give_back(ps, left);
        return KAP_OK;
    }
    struct kap_str name;
    KAP_TRY(template_name(ps, "define clause", &name));
    KAP_TRY(expect_right(ps, "define clause"));
    return definition(ps, name, "define clause");
}

enum kap_status kap_template_parse(struct kap_template *t, struct kap_error *err)
{
    struct parser ps = { .t = t, .err = err, .text = t->text, .vars = { KAP_STR("$") }, .nvars = 1 };
    t->root = new_node(&ps, KAP_N_LIST, 0);
    while (peek(&ps).kind != TK_EOF) {
        if (peek(&ps).kind == TK_LEFT) {
            bool found;
            KAP_TRY(try_define(&ps, next(&ps), &found));
            if (found)
                continue;
        }
        struct kap_tnode *n = NULL;
        KAP_TRY(text_or_action(&ps, &n));
        if (n->kind == KAP_N_END || n->kind == KAP_N_ELSE)
            return fail(&ps, "unexpected {{%s}}", n->kind == KAP_N_END ? "end" : "else");
        add_item(&ps, t->root, n);
    }
    return KAP_OK;
}

/* --- text of nodes --- */

static void path_text(struct kap_buf *b, const struct kap_tnode *n)
{
    for (size_t i = 0; i < n->npath; i++)
        kap_buf_addf(b, ".%.*s", KAP_STR_ARG(n->path[i]));
}

static void items_text(struct kap_buf *b, const struct kap_tnode *n, const char *between)
{
    for (size_t i = 0; i < n->nitems; i++) {
        if (i > 0)
            kap_buf_adds(b, between);
        const bool parens = n->kind == KAP_N_COMMAND && n->items[i]->kind == KAP_N_PIPE;
        kap_buf_adds(b, parens ? "(" : "");
        kap_tnode_text(b, n->items[i]);
        kap_buf_adds(b, parens ? ")" : "");
    }
}

void kap_tnode_text(struct kap_buf *b, const struct kap_tnode *n)
{
    switch (n->kind) {
    case KAP_N_PIPE:
        for (size_t i = 0; i < n->ndecl; i++)
            kap_buf_addf(b, "%.*s%s", KAP_STR_ARG(n->decl[i]), i + 1 < n->ndecl ? ", " : n->assign ? " = " : " := ");
        items_text(b, n, " | ");
        return;
    case KAP_N_COMMAND:
        items_text(b, n, " ");
        return;
    case KAP_N_CHAIN:
        kap_buf_adds(b, n->pipe->kind == KAP_N_PIPE ? "(" : "");
        kap_tnode_text(b, n->pipe);
        kap_buf_adds(b, n->pipe->kind == KAP_N_PIPE ? ")" : "");
        path_text(b, n);
        return;
    case KAP_N_FIELD:
    case KAP_N_VARIABLE:
        kap_buf_add(b, n->text);
        path_text(b, n);
        return;
    case KAP_N_DOT:
        kap_buf_addc(b, '.');
        return;
    case KAP_N_NIL:
        kap_buf_adds(b, "nil");
        return;
    case KAP_N_TEMPLATE:
        kap_buf_adds(b, "{{template ");
        kap_t_quote(b, n->text);
        kap_buf_adds(b, "}}");
        return;
    default:
        kap_buf_add(b, n->text);
        return;
    }
}
