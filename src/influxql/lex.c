#include "base/mem.h"
#include "influxql/ast.h"

#include <strings.h>

static const char *const keywords[] = {
    "ALL",           "ALTER",        "ANALYZE",     "AND",          "ANY",         "AS",       "ASC",
    "BEGIN",         "BY",           "CARDINALITY", "CONTINUOUS",   "CREATE",      "DATABASE", "DATABASES",
    "DEFAULT",       "DELETE",       "DESC",        "DESTINATIONS", "DIAGNOSTICS", "DISTINCT", "DROP",
    "DURATION",      "END",          "EVERY",       "EXACT",        "EXPLAIN",     "FALSE",    "FIELD",
    "FOR",           "FROM",         "GRANT",       "GRANTS",       "GROUP",       "GROUPS",   "IN",
    "INF",           "INSERT",       "INTO",        "KEY",          "KEYS",        "KILL",     "LIMIT",
    "MEASUREMENT",   "MEASUREMENTS", "NAME",        "OFFSET",       "ON",          "OR",       "ORDER",
    "PASSWORD",      "POLICIES",     "POLICY",      "PRIVILEGES",   "QUERIES",     "QUERY",    "READ",
    "REPLICATION",   "RESAMPLE",     "RETENTION",   "REVOKE",       "SELECT",      "SERIES",   "SET",
    "SHARD",         "SHARDS",       "SHOW",        "SLIMIT",       "SOFFSET",     "STATS",    "SUBSCRIPTION",
    "SUBSCRIPTIONS", "TAG",          "TO",          "TRUE",         "USER",        "USERS",    "VALUES",
    "WHERE",         "WITH",         "WRITE",
};

const char *ql_keyword(struct kap_str word)
{
    for (size_t i = 0; i < KAP_COUNT(keywords); i++) {
        if (strlen(keywords[i]) == word.n && strncasecmp(keywords[i], word.p, word.n) == 0)
            return keywords[i];
    }
    return NULL;
}

const char *ql_op_text(enum ql_op op)
{
    static const char *const texts[] = {
        [QL_ADD] = "+",    [QL_SUB] = "-",   [QL_MUL] = "*",    [QL_DIV] = "/",        [QL_MOD] = "%",
        [QL_BITAND] = "&", [QL_BITOR] = "|", [QL_BITXOR] = "^", [QL_AND] = "AND",      [QL_OR] = "OR",
        [QL_EQ] = "=",     [QL_NEQ] = "!=",  [QL_MATCH] = "=~", [QL_NOT_MATCH] = "!~", [QL_LT] = "<",
        [QL_LTE] = "<=",   [QL_GT] = ">",    [QL_GTE] = ">=",
    };
    return texts[op];
}

static uint8_t at(const struct ql_lexer *l, size_t pos)
{
    return pos < l->text.n ? (uint8_t)l->text.p[pos] : 0;
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(uint8_t c)
{
    return is_letter(c) || is_digit(c) || c == '_';
}

static size_t micro(const struct ql_lexer *l, size_t pos)
{
    return at(l, pos) == 0xC2 && at(l, pos + 1) == 0xB5 ? 2 : 0;
}

static size_t skip_white(const struct ql_lexer *l, size_t pos)
{
    while (at(l, pos) == ' ' || at(l, pos) == '\t' || at(l, pos) == '\n' || at(l, pos) == '\r')
        pos++;
    return pos;
}

/* White space and comments; an open comment goes to the end. */
static size_t skip_space(const struct ql_lexer *l, size_t pos)
{
    for (;;) {
        const size_t from = pos;
        pos = skip_white(l, pos);
        if (at(l, pos) == '-' && at(l, pos + 1) == '-') {
            while (pos < l->text.n && at(l, pos) != '\n')
                pos++;
        } else if (at(l, pos) == '/' && at(l, pos + 1) == '*') {
            const char *end = memmem(l->text.p + pos + 2, l->text.n - pos - 2, "*/", 2);
            pos = end ? (size_t)(end - l->text.p) + 2 : l->text.n;
        }
        if (pos == from)
            return pos;
    }
}

static struct ql_lexeme sign(struct ql_lexeme t, enum ql_token type, size_t width)
{
    t.type = type;
    t.end = t.pos + width;
    return t;
}

static struct ql_lexeme operator(struct ql_lexeme t, enum ql_op op, size_t width)
{
    t.op = op;
    t.text = kap_str(ql_op_text(op));
    return sign(t, QL_OPERATOR, width);
}

/* The text from pos to end without its backslashes, where `n` stands for a newline when `newlines`. A token
 * is looked at several times, so only what has escapes is copied. */
static struct kap_str unescape(const struct ql_lexer *l, size_t pos, size_t end, uint8_t escaped,
                               bool newlines)
{
    const struct kap_str raw = kap_strn(l->text.p + pos, end - pos);
    if (!memchr(raw.p, '\\', raw.n))
        return raw;
    char *out = kap_arena_raw(l->arena, raw.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] != '\\' || i + 1 == raw.n || (escaped && (uint8_t)raw.p[i + 1] != escaped)) {
            out[n++] = raw.p[i];
            continue;
        }
        i++;
        out[n++] = newlines && raw.p[i] == 'n' ? '\n' : raw.p[i];
    }
    return kap_strn(out, n);
}

/* Quoted with ' or ": \n, \\, \" and \' are escapes, others are errors. */
static struct ql_lexeme quoted(const struct ql_lexer *l, struct ql_lexeme t, enum ql_token type)
{
    const uint8_t quote = at(l, t.pos);
    size_t pos = t.pos + 1;
    for (; pos < l->text.n && at(l, pos) != '\n'; pos++) {
        if (at(l, pos) == quote) {
            t.text = unescape(l, t.pos + 1, pos, 0, true);
            return sign(t, type, pos + 1 - t.pos);
        }
        if (at(l, pos) != '\\')
            continue;
        const uint8_t c = at(l, ++pos);
        if (c != 'n' && c != '\\' && c != '"' && c != '\'') {
            t.text = kap_strn(l->text.p + pos - 1, KAP_MIN(2, l->text.n - (pos - 1)));
            t.pos = pos;
            return sign(t, QL_BADESCAPE, 0);
        }
    }
    t.text = unescape(l, t.pos + 1, pos, 0, true);
    return sign(t, QL_BADSTRING, pos - t.pos);
}

static struct ql_lexeme word(const struct ql_lexer *l, struct ql_lexeme t)
{
    size_t end = t.pos;
    while (is_word(at(l, end)))
        end++;
    t.text = kap_strn(l->text.p + t.pos, end - t.pos);
    t = sign(t, QL_IDENT, end - t.pos);
    t.keyword = ql_keyword(t.text);
    if (!t.keyword)
        return t;
    t.text = kap_str(t.keyword);
    t.type = QL_KEYWORD;
    if (kap_str_is(t.text, "AND") || kap_str_is(t.text, "OR")) {
        t.type = QL_OPERATOR;
        t.op = t.text.n == 3 ? QL_AND : QL_OR;
    }
    return t;
}

static struct ql_lexeme number(const struct ql_lexer *l, struct ql_lexeme t)
{
    size_t end = t.pos;
    enum ql_token type = QL_INTEGER;
    while (is_digit(at(l, end)))
        end++;
    t.text = kap_strn(l->text.p + t.pos, end - t.pos);
    if (at(l, end) == '.') {
        type = QL_NUMBER;
        end++;
        if (is_digit(at(l, end))) {
            while (is_digit(at(l, end)))
                end++;
            t.text.n = end - t.pos;
        }
    } else if (is_letter(at(l, end)) || micro(l, end)) {
        type = QL_DURATION;
        while (is_letter(at(l, end)) || is_digit(at(l, end)) || micro(l, end))
            end += micro(l, end) ? 2 : 1;
        t.text.n = end - t.pos;
    }
    return sign(t, type, end - t.pos);
}

static struct ql_lexeme illegal(const struct ql_lexer *l, struct ql_lexeme t)
{
    uint32_t rune;
    size_t width = kap_utf8_decode(l->text.p + t.pos, l->text.n - t.pos, &rune);
    if (width == 0)
        width = 1;
    t.text = kap_strn(l->text.p + t.pos, width);
    return sign(t, QL_ILLEGAL, width);
}

static struct ql_lexeme symbol(const struct ql_lexer *l, struct ql_lexeme t)
{
    const uint8_t next = at(l, t.pos + 1);
    switch (at(l, t.pos)) {
    case '.': return sign(t, QL_DOT, 1);
    case '+': return operator(t, QL_ADD, 1);
    case '-': return operator(t, QL_SUB, 1);
    case '*': return operator(t, QL_MUL, 1);
    case '/': return operator(t, QL_DIV, 1);
    case '%': return operator(t, QL_MOD, 1);
    case '&': return operator(t, QL_BITAND, 1);
    case '|': return operator(t, QL_BITOR, 1);
    case '^': return operator(t, QL_BITXOR, 1);
    case '=': return next == '~' ? operator(t, QL_MATCH, 2) : operator(t, QL_EQ, 1);
    case '!':
        if (next == '=' || next == '~')
            return operator(t, next == '=' ? QL_NEQ : QL_NOT_MATCH, 2);
        break;
    case '>': return next == '=' ? operator(t, QL_GTE, 2) : operator(t, QL_GT, 1);
    case '<':
        if (next == '>')
            return operator(t, QL_NEQ, 2);
        return next == '=' ? operator(t, QL_LTE, 2) : operator(t, QL_LT, 1);
    case '(': return sign(t, QL_LPAREN, 1);
    case ')': return sign(t, QL_RPAREN, 1);
    case ',': return sign(t, QL_COMMA, 1);
    case ';': return sign(t, QL_SEMICOLON, 1);
    case ':': return next == ':' ? sign(t, QL_DOUBLECOLON, 2) : sign(t, QL_COLON, 1);
    default: break;
    }
    return illegal(l, t);
}

struct ql_lexeme ql_lex(const struct ql_lexer *l)
{
    struct ql_lexeme t = { .pos = skip_space(l, l->pos) };
    t.space_before = t.pos > l->pos;
    const uint8_t c = at(l, t.pos);
    if (t.pos >= l->text.n)
        return sign(t, QL_EOF, 0);
    if (is_letter(c) || c == '_')
        return word(l, t);
    if (is_digit(c) || (c == '.' && is_digit(at(l, t.pos + 1))))
        return number(l, t);
    if (c == '"')
        return quoted(l, t, QL_IDENT);
    if (c == '\'')
        return quoted(l, t, QL_STRING);
    if (c == '$') {
        size_t end = t.pos + 1;
        while (is_word(at(l, end)))
            end++;
        t.text = kap_strn(l->text.p + t.pos, end - t.pos);
        return sign(t, QL_PARAM, end - t.pos);
    }
    return symbol(l, t);
}

struct ql_lexeme ql_lex_regex(const struct ql_lexer *l)
{
    struct ql_lexeme t = { .pos = skip_white(l, l->pos), .type = QL_EOF };
    if (at(l, t.pos) != '/')
        return t;
    for (size_t pos = t.pos + 1; pos < l->text.n && at(l, pos) != '\n'; pos++) {
        if (at(l, pos) == '/') {
            t.text = unescape(l, t.pos + 1, pos, '/', false);
            return sign(t, QL_REGEX, pos + 1 - t.pos);
        }
        if (at(l, pos) == '\\' && at(l, pos + 1) == '/')
            pos++;
    }
    return sign(t, QL_BADREGEX, 0);
}
