#include "tick/lex.h"

#include "base/buf.h"
#include "base/mem.h"

#define RUNE_END UINT32_MAX

void kap_lexer_init(struct kap_lexer *l, struct kap_str text, struct kap_arena *arena)
{
    *l = (struct kap_lexer){ .text = text, .line = 1, .arena = arena };
}

const char *kap_token_name(enum kap_token_type type, enum kap_op op)
{
    static const char *const names[] = {
        [KAP_TOKEN_ERROR] = "ERR",         [KAP_TOKEN_EOF] = "EOF",         [KAP_TOKEN_VAR] = "var",
        [KAP_TOKEN_DBRP] = "dbrp",         [KAP_TOKEN_ASSIGN] = "=",        [KAP_TOKEN_DOT] = ".",
        [KAP_TOKEN_PIPE] = "|",            [KAP_TOKEN_AT] = "@",            [KAP_TOKEN_IDENT] = "identifier",
        [KAP_TOKEN_REFERENCE] = "reference", [KAP_TOKEN_LAMBDA] = "lambda", [KAP_TOKEN_NUMBER] = "number",
        [KAP_TOKEN_STRING] = "string",     [KAP_TOKEN_DURATION] = "duration", [KAP_TOKEN_LPAREN] = "(",
        [KAP_TOKEN_RPAREN] = ")",          [KAP_TOKEN_LBRACKET] = "[",      [KAP_TOKEN_RBRACKET] = "]",
        [KAP_TOKEN_COMMA] = ",",           [KAP_TOKEN_TRUE] = "TRUE",       [KAP_TOKEN_FALSE] = "FALSE",
        [KAP_TOKEN_REGEX] = "regex",       [KAP_TOKEN_STAR] = "*",          [KAP_TOKEN_NOT] = "!",
    };
    return type == KAP_TOKEN_OPERATOR ? kap_op_text(op) : names[type];
}

/* ---- characters ---- */

static uint32_t rune_at(const struct kap_lexer *l, size_t pos, size_t *width)
{
    *width = 0;
    if (pos >= l->text.n)
        return RUNE_END;
    uint32_t r = 0;
    *width = kap_utf8_decode(l->text.p + pos, l->text.n - pos, &r);
    if (*width == 0) { /* not UTF-8: one byte, shown as the replacement character */
        *width = 1;
        return 0xFFFD;
    }
    return r;
}

static uint8_t byte_at(const struct kap_lexer *l, size_t pos)
{
    return pos < l->text.n ? (uint8_t)l->text.p[pos] : 0;
}

static bool is_space(uint32_t r)
{
    return (r >= '\t' && r <= '\r') || r == ' ' || r == 0x85 || r == 0xA0 || r == 0x1680 ||
           (r >= 0x2000 && r <= 0x200A) || r == 0x2028 || r == 0x2029 || r == 0x202F || r == 0x205F ||
           r == 0x3000;
}

static bool is_digit(uint32_t r)
{
    return r >= '0' && r <= '9';
}

/* Letters. Beyond ASCII everything counts that is neither space nor in one of the blocks of signs. */
static bool is_letter(uint32_t r)
{
    if (r < 0x80)
        return (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z');
    if (r < 0xC0)
        return r == 0xAA || r == 0xB5 || r == 0xBA;
    static const uint32_t signs[][2] = { { 0xD7, 0xD7 },         { 0xF7, 0xF7 },     { 0x2000, 0x206F },
                                         { 0x20A0, 0x20CF },     { 0x2190, 0x2BFF }, { 0x3000, 0x3004 },
                                         { 0x3008, 0x3020 },     { 0xD800, 0xF8FF }, { 0xFE00, 0xFE6F },
                                         { 0xFF00, 0xFF20 },     { 0xFFF0, 0xFFFF }, { 0x1F000, 0x1FAFF },
                                         { 0xE0000, UINT32_MAX } };
    for (size_t i = 0; i < KAP_COUNT(signs); i++) {
        if (r >= signs[i][0] && r <= signs[i][1])
            return false;
    }
    return true;
}

/* ---- tokens ---- */

static void step(struct kap_lexer *l, size_t width)
{
    for (size_t end = l->pos + width; l->pos < end; l->pos++) {
        if (l->text.p[l->pos] == '\n') {
            l->line++;
            l->line_start = l->pos + 1;
        }
    }
}

static struct kap_token start(const struct kap_lexer *l)
{
    return (
        struct kap_token){ .pos = l->pos, .line = l->line, .character = (int)(l->pos - l->line_start) + 1 };
}

static struct kap_token emit(struct kap_lexer *l, struct kap_token t, enum kap_token_type type, size_t end)
{
    t.type = type;
    t.text = kap_strn(l->text.p + t.pos, end - t.pos);
    step(l, end - l->pos);
    /* After "lambda:" and other keywords as well: the reference takes a slash there for a division. */
    l->after_operand = type == KAP_TOKEN_RPAREN || type == KAP_TOKEN_LAMBDA || type == KAP_TOKEN_IDENT ||
                       type == KAP_TOKEN_NUMBER || type == KAP_TOKEN_DURATION ||
                       type == KAP_TOKEN_REFERENCE || type == KAP_TOKEN_STRING;
    return t;
}

static struct kap_token emit_op(struct kap_lexer *l, struct kap_token t, enum kap_op op, size_t width)
{
    t.op = op;
    return emit(l, t, KAP_TOKEN_OPERATOR, t.pos + width);
}

static struct kap_token fail(struct kap_lexer *l, struct kap_token t, const char *reason)
{
    l->done = true;
    t.type = KAP_TOKEN_ERROR;
    t.text = kap_str(reason);
    return t;
}

static struct kap_token unknown(struct kap_lexer *l, struct kap_token t, uint32_t r)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    char utf8[4];
    kap_buf_adds(&b, "unknown state, last char: '");
    if (r == '\'' || r == '\\')
        kap_buf_addf(&b, "\\%c", (char)r);
    else if (r < 0x20 || r == 0x7F)
        kap_buf_addf(&b, "\\x%02x", (unsigned)r);
    else
        kap_buf_addn(&b, utf8, kap_utf8_encode(r, utf8));
    kap_buf_addc(&b, '\'');
    return fail(l, t, kap_arena_str(l->arena, kap_buf_str(&b)).p);
}

static struct kap_token lex_word(struct kap_lexer *l, struct kap_token t)
{
    static const struct {
        const char *word;
        enum kap_token_type type;
        enum kap_op op;
    } keywords[] = {
        { "AND", KAP_TOKEN_OPERATOR, KAP_OP_AND }, { "OR", KAP_TOKEN_OPERATOR, KAP_OP_OR },
        { "TRUE", KAP_TOKEN_TRUE, KAP_OP_NONE },   { "FALSE", KAP_TOKEN_FALSE, KAP_OP_NONE },
        { "var", KAP_TOKEN_VAR, KAP_OP_NONE },     { "dbrp", KAP_TOKEN_DBRP, KAP_OP_NONE },
    };
    size_t end = l->pos, width = 0;
    for (uint32_t r = rune_at(l, end, &width); is_letter(r) || is_digit(r) || r == '_';
         r = rune_at(l, end, &width))
        end += width;
    const struct kap_str word = kap_strn(l->text.p + t.pos, end - t.pos);
    for (size_t i = 0; i < KAP_COUNT(keywords); i++) {
        if (kap_str_is(word, keywords[i].word)) {
            t.op = keywords[i].op;
            t = emit(l, t, keywords[i].type, end);
            l->after_operand = true;
            return t;
        }
    }
    if (kap_str_is(word, "lambda") && byte_at(l, end) == ':') /* without the colon it is a name like others */
        return emit(l, t, KAP_TOKEN_LAMBDA, end + 1);
    return emit(l, t, KAP_TOKEN_IDENT, end);
}

/* Length of the duration unit at pos; 0: none. */
static size_t unit_width(const struct kap_lexer *l, size_t pos)
{
    switch (byte_at(l, pos)) {
    case 'm': return byte_at(l, pos + 1) == 's' ? 2 : 1;
    case 'u':
    case 's':
    case 'h':
    case 'd':
    case 'w': return 1;
    case 0xC2: return byte_at(l, pos + 1) == 0xB5 ? 2 : 0; /* µ */
    default: return 0;
    }
}

static struct kap_token lex_number(struct kap_lexer *l, struct kap_token t)
{
    bool point = false;
    size_t end = l->pos;
    for (; is_digit(byte_at(l, end)) || byte_at(l, end) == '.'; end++) {
        if (byte_at(l, end) != '.')
            continue;
        if (point)
            return fail(l, t, "multiple decimals in number");
        point = true;
    }
    const size_t unit = point ? 0 : unit_width(l, end);
    return emit(l, t, unit ? KAP_TOKEN_DURATION : KAP_TOKEN_NUMBER, end + unit);
}

/* From an opening quote to the closing one; a backslash in front of it takes its meaning. */
static struct kap_token lex_quoted(struct kap_lexer *l, struct kap_token t, char quote,
                                   enum kap_token_type type, const char *unterminated)
{
    for (size_t end = l->pos + 1; end < l->text.n; end++) {
        if (l->text.p[end] == quote)
            return emit(l, t, type, end + 1);
        if (l->text.p[end] == '\\' && byte_at(l, end + 1) == (uint8_t)quote)
            end++;
    }
    return fail(l, t, unterminated);
}

static struct kap_token lex_string(struct kap_lexer *l, struct kap_token t)
{
    const char *rest = l->text.p + l->pos;
    const size_t n = l->text.n - l->pos;
    if (n < 3 || memcmp(rest, "'''", 3) != 0)
        return lex_quoted(l, t, '\'', KAP_TOKEN_STRING, "unterminated string");
    const char *close = memmem(rest + 3, n - 3, "'''", 3);
    if (!close)
        return fail(l, t, "unterminated string");
    return emit(l, t, KAP_TOKEN_STRING, l->pos + (size_t)(close - rest) + 3);
}

static bool lex_operator(struct kap_lexer *l, struct kap_token *t, uint8_t c)
{
    const uint8_t next = byte_at(l, l->pos + 1);
    switch (c) {
    case '+': *t = emit_op(l, *t, KAP_OP_ADD, 1); return true;
    case '-': *t = emit_op(l, *t, KAP_OP_SUB, 1); return true;
    case '*': *t = emit_op(l, *t, KAP_OP_MUL, 1); return true;
    case '/': *t = emit_op(l, *t, KAP_OP_DIV, 1); return true;
    case '%': *t = emit_op(l, *t, KAP_OP_MOD, 1); return true;
    case '<': *t = emit_op(l, *t, next == '=' ? KAP_OP_LE : KAP_OP_LT, next == '=' ? 2 : 1); return true;
    case '>': *t = emit_op(l, *t, next == '=' ? KAP_OP_GE : KAP_OP_GT, next == '=' ? 2 : 1); return true;
    case '!':
        if (next != '=' && next != '~')
            return false;
        *t = emit_op(l, *t, next == '=' ? KAP_OP_NE : KAP_OP_NOT_MATCH, 2);
        return true;
    case '=':
        if (next == '=' || next == '~')
            *t = emit_op(l, *t, next == '=' ? KAP_OP_EQ : KAP_OP_MATCH, 2);
        else
            *t = emit(l, *t, KAP_TOKEN_ASSIGN, t->pos + 1);
        return true;
    default: return false;
    }
}

static bool lex_sign(struct kap_lexer *l, struct kap_token *t, uint8_t c)
{
    enum kap_token_type type = KAP_TOKEN_ERROR;
    switch (c) {
    case '(': type = KAP_TOKEN_LPAREN; break;
    case ')': type = KAP_TOKEN_RPAREN; break;
    case '[': type = KAP_TOKEN_LBRACKET; break;
    case ']': type = KAP_TOKEN_RBRACKET; break;
    case '|': type = KAP_TOKEN_PIPE; break;
    case '@': type = KAP_TOKEN_AT; break;
    case ',': type = KAP_TOKEN_COMMA; break;
    case '*': type = KAP_TOKEN_STAR; break;
    case '!': type = KAP_TOKEN_NOT; break;
    case '-': *t = emit_op(l, *t, KAP_OP_SUB, 1); return true;
    case '.': type = KAP_TOKEN_DOT; break;
    default: return false;
    }
    *t = emit(l, *t, type, t->pos + 1);
    return true;
}

/* ---- comments ---- */

struct lines {
    struct kap_str *v;
    size_t n, cap;
};

static void add_line(struct lines *lines, struct kap_str line)
{
    KAP_GROW(lines->v, lines->cap, lines->n + 1);
    lines->v[lines->n++] = line;
}

/* One line from its // to its end. */
static void lex_comment_line(struct kap_lexer *l, struct lines *lines)
{
    const char *from = l->text.p + l->pos;
    const char *end = memchr(from, '\n', l->text.n - l->pos);
    const size_t n = end ? (size_t)(end - from) : l->text.n - l->pos;
    struct kap_str line = kap_str_trim(kap_strn(from, n));
    line = kap_strn(line.p + 2, line.n - 2);
    if (line.n > 0 && line.p[0] == ' ') /* one space of margin; what is indented beyond it stays so */
        line = kap_strn(line.p + 1, line.n - 1);
    add_line(lines, line);
    step(l, n);
}

/* Skips white space and gathers the comments in it. */
static const struct kap_comment *lex_space(struct kap_lexer *l)
{
    struct lines lines = { 0 };
    int newlines = 0;
    for (;;) {
        size_t width = 0;
        const uint32_t r = rune_at(l, l->pos, &width);
        if (r == '/' && byte_at(l, l->pos + 1) == '/') {
            if (lines.n > 0 && newlines > 1)
                add_line(&lines, KAP_STR("\n"));
            lex_comment_line(l, &lines);
            newlines = 0;
        } else if (is_space(r)) {
            newlines += r == '\n';
            step(l, width);
        } else {
            break;
        }
    }
    if (lines.n == 0)
        return NULL;
    struct kap_comment *c = KAP_ARENA_NEW(l->arena, struct kap_comment);
    c->lines = KAP_ARENA_ARRAY(l->arena, struct kap_str, lines.n);
    c->nlines = lines.n;
    memcpy(c->lines, lines.v, lines.n * sizeof *lines.v);
    kap_free(lines.v);
    return c;
}

const struct kap_comment *kap_comment_join(struct kap_arena *arena, const struct kap_comment *a,
                                           const struct kap_comment *b)
{
    if (!a || !b)
        return a ? a : b;
    struct kap_comment *c = KAP_ARENA_NEW(arena, struct kap_comment);
    c->lines = KAP_ARENA_ARRAY(arena, struct kap_str, a->nlines + b->nlines);
    memcpy(c->lines, a->lines, a->nlines * sizeof *a->lines);
    memcpy(c->lines + a->nlines, b->lines, b->nlines * sizeof *b->lines);
    c->nlines = a->nlines + b->nlines;
    return c;
}

struct kap_token kap_lexer_next(struct kap_lexer *l)
{
    if (l->done)
        return fail(l, start(l), "");
    const struct kap_comment *comment = lex_space(l);
    struct kap_token t = start(l);
    t.comment = comment;
    size_t width = 0;
    const uint32_t r = rune_at(l, l->pos, &width);
    if (r == RUNE_END) {
        l->done = true;
        t.type = KAP_TOKEN_EOF;
        return t;
    }
    const uint8_t c = byte_at(l, l->pos);
    if (l->after_operand && lex_operator(l, &t, c))
        return t;
    if (is_digit(r) || (r == '.' && is_digit(byte_at(l, l->pos + 1))))
        return lex_number(l, t);
    if (is_letter(r))
        return lex_word(l, t);
    if (c == '"')
        return lex_quoted(l, t, '"', KAP_TOKEN_REFERENCE, "unterminated field reference");
    if (c == '\'')
        return lex_string(l, t);
    if (c == '/')
        return lex_quoted(l, t, '/', KAP_TOKEN_REGEX, "unterminated regex");
    if (lex_sign(l, &t, c))
        return t;
    return unknown(l, t, r);
}
