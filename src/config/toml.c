#include "config/toml.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <math.h>

struct reader {
    const char *p, *end, *line_start;
    int line;
    int depth;
    const char *name;
    struct kap_arena *arena;
    struct kap_toml *root;
    struct kap_toml *current; /* the table that keys go into */
    struct kap_error *err;
};

const char *kap_toml_kind_name(enum kap_toml_kind kind)
{
    switch (kind) {
    case KAP_TOML_STRING:
        return "string";
    case KAP_TOML_INT:
        return "integer";
    case KAP_TOML_FLOAT:
        return "float";
    case KAP_TOML_BOOL:
        return "boolean";
    case KAP_TOML_TIME:
        return "date or time";
    case KAP_TOML_ARRAY:
        return "array";
    case KAP_TOML_TABLE:
        return "table";
    }
    return "value";
}

struct kap_toml *kap_toml_get(const struct kap_toml *table, struct kap_str key)
{
    if (table->kind != KAP_TOML_TABLE)
        return NULL;
    for (size_t i = 0; i < table->npairs; i++) {
        if (kap_str_eq(table->pairs[i].key, key))
            return table->pairs[i].value;
    }
    return NULL;
}

static int column(const struct reader *r)
{
    return (int)(r->p - r->line_start) + 1;
}

#define FAIL_AT(r, line, col, ...) (fail_at((r), (line), (col), __VA_ARGS__), KAP_EINVAL)
#define FAIL(r, ...) FAIL_AT((r), (r)->line, column(r), __VA_ARGS__)

static void __attribute__((format(printf, 4, 5)))
fail_at(struct reader *r, int line, int col, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    kap_vfail(r->err, KAP_EINVAL, fmt, ap);
    va_end(ap);
    kap_wrap(r->err, "%s:%d:%d", r->name, line, col);
}

static bool at_end(const struct reader *r)
{
    return r->p == r->end;
}

static char peek(const struct reader *r)
{
    return at_end(r) ? '\0' : *r->p;
}

static bool looking_at(const struct reader *r, const char *s)
{
    const size_t n = strlen(s);
    return (size_t)(r->end - r->p) >= n && memcmp(r->p, s, n) == 0;
}

static void skip_blanks(struct reader *r)
{
    while (!at_end(r) && (*r->p == ' ' || *r->p == '\t'))
        r->p++;
}

/* Steps over a line end; false if there is none here. */
static bool newline(struct reader *r)
{
    if (looking_at(r, "\r\n"))
        r->p += 2;
    else if (peek(r) == '\n')
        r->p++;
    else
        return false;
    r->line++;
    r->line_start = r->p;
    return true;
}

static bool is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static enum kap_status skip_comment(struct reader *r)
{
    if (peek(r) != '#')
        return KAP_OK;
    while (!at_end(r) && *r->p != '\n' && !looking_at(r, "\r\n")) {
        if (is_control(*r->p))
            return FAIL(r, "control character 0x%02x in a comment", (unsigned char)*r->p);
        r->p++;
    }
    return KAP_OK;
}

/* Blanks, comments and line ends, as they may stand inside arrays and between statements. */
static enum kap_status skip_space(struct reader *r)
{
    do {
        skip_blanks(r);
        KAP_TRY(skip_comment(r));
    } while (newline(r));
    return KAP_OK;
}

/* Names what stands here, for "expected X, got Y". */
static const char *here(const struct reader *r, char out[16])
{
    if (at_end(r))
        return "the end of the text";
    if (*r->p == '\n' || looking_at(r, "\r\n"))
        return "the end of the line";
    uint32_t rune;
    const size_t n = kap_utf8_decode(r->p, (size_t)(r->end - r->p), &rune);
    if (n == 0 || rune < 0x20)
        snprintf(out, 16, "byte 0x%02x", (unsigned char)*r->p);
    else
        snprintf(out, 16, "'%.*s'", (int)n, r->p);
    return out;
}

/* --- strings --- */

static enum kap_status escape(struct reader *r, struct kap_buf *b)
{
    const int line = r->line, col = column(r);
    r->p++;
    const char c = peek(r);
    size_t digits = 0;
    switch (c) {
    case 'b':
        kap_buf_addc(b, '\b');
        break;
    case 't':
        kap_buf_addc(b, '\t');
        break;
    case 'n':
        kap_buf_addc(b, '\n');
        break;
    case 'f':
        kap_buf_addc(b, '\f');
        break;
    case 'r':
        kap_buf_addc(b, '\r');
        break;
    case '"':
        kap_buf_addc(b, '"');
        break;
    case '\\':
        kap_buf_addc(b, '\\');
        break;
    case 'u':
        digits = 4;
        break;
    case 'U':
        digits = 8;
        break;
    default:
        return FAIL_AT(r, line, col,
                       "unknown escape; a backslash is written '\\\\', or use a 'literal' string");
    }
    r->p++;
    if (digits == 0)
        return KAP_OK;
    uint32_t rune = 0;
    for (size_t i = 0; i < digits; i++, r->p++) {
        const char d = peek(r);
        if (d >= '0' && d <= '9')
            rune = rune * 16 + (uint32_t)(d - '0');
        else if ((d | 0x20) >= 'a' && (d | 0x20) <= 'f')
            rune = rune * 16 + (uint32_t)((d | 0x20) - 'a' + 10);
        else
            return FAIL_AT(r, line, col, "\\%c needs %zu hexadecimal digits", c, digits);
    }
    if (rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
        return FAIL_AT(r, line, col, "\\%c names no Unicode character", c);
    char utf8[4];
    kap_buf_addn(b, utf8, kap_utf8_encode(rune, utf8));
    return KAP_OK;
}

/* A backslash at the end of a line in a """ string takes the line end and the white space after it away. */
static bool line_continues(struct reader *r)
{
    const char *q = r->p + 1;
    while (q < r->end && (*q == ' ' || *q == '\t'))
        q++;
    if (q == r->end || (*q != '\n' && !(*q == '\r' && q + 1 < r->end && q[1] == '\n')))
        return false;
    r->p = q;
    while (newline(r) || peek(r) == ' ' || peek(r) == '\t')
        skip_blanks(r);
    return true;
}

/* Up to two quotes may stand before the closing three. */
static bool closes_multiline(struct reader *r, char quote, struct kap_buf *b)
{
    size_t n = 0;
    while (r->p + n < r->end && r->p[n] == quote)
        n++;
    if (n < 3)
        return false;
    const size_t extra = KAP_MIN(n - 3, (size_t)2);
    for (size_t i = 0; i < extra; i++)
        kap_buf_addc(b, quote);
    r->p += extra + 3;
    return true;
}

/* One character of a string, or an escape. */
static enum kap_status string_char(struct reader *r, char quote, bool multi, struct kap_buf *b)
{
    if (quote == '"' && *r->p == '\\') {
        if (multi && line_continues(r))
            return KAP_OK;
        return escape(r, b);
    }
    const char *start = r->p;
    if (multi && newline(r)) {
        kap_buf_addn(b, start, (size_t)(r->p - start));
        return KAP_OK;
    }
    if (is_control(*r->p))
        return FAIL(r, "control character 0x%02x in a string", (unsigned char)*r->p);
    uint32_t rune;
    const size_t n = kap_utf8_decode(r->p, (size_t)(r->end - r->p), &rune);
    if (n == 0)
        return FAIL(r, "invalid UTF-8 in a string");
    kap_buf_addn(b, r->p, n);
    r->p += n;
    return KAP_OK;
}

static enum kap_status read_string(struct reader *r, bool allow_multi, struct kap_str *ret)
{
    const int line = r->line, col = column(r);
    const char quote = *r->p;
    const char *three = quote == '"' ? "\"\"\"" : "'''";
    const bool multi = allow_multi && looking_at(r, three);
    r->p += multi ? 3 : 1;
    if (multi)
        newline(r);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    for (;;) {
        if (at_end(r) || (!multi && (*r->p == '\n' || looking_at(r, "\r\n"))))
            return FAIL_AT(r, line, col, "string is not closed");
        if (multi && closes_multiline(r, quote, &b))
            break;
        if (!multi && *r->p == quote) {
            r->p++;
            break;
        }
        KAP_TRY(string_char(r, quote, multi, &b));
    }
    *ret = kap_arena_str(r->arena, kap_buf_str(&b));
    return KAP_OK;
}

/* --- numbers, booleans, dates --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_bare(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '-';
}

/* Underscores must stand between digits; removes them. */
static bool strip_underscores(struct kap_str s, struct kap_buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '_') {
            kap_buf_addc(out, s.p[i]);
            continue;
        }
        const char before = i > 0 ? s.p[i - 1] : '\0', after = i + 1 < s.n ? s.p[i + 1] : '\0';
        if (!is_bare(before) || before == '_' || before == '-' || !is_bare(after) || after == '_' ||
            after == '-')
            return false;
    }
    return true;
}

/* 0x, 0o, 0b: no sign, at least one digit. */
static bool parse_radix(struct kap_str s, int64_t *ret)
{
    const unsigned radix = s.p[1] == 'x' ? 16 : s.p[1] == 'o' ? 8 : 2;
    uint64_t v = 0;
    if (s.n == 2)
        return false;
    for (size_t i = 2; i < s.n; i++) {
        const char c = s.p[i];
        const unsigned d = is_digit(c)                              ? (unsigned)(c - '0')
                           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (unsigned)((c | 0x20) - 'a') + 10
                                                                    : 99;
        if (d >= radix || v > (uint64_t)INT64_MAX / radix)
            return false;
        v = v * radix + d;
        if (v > (uint64_t)INT64_MAX)
            return false;
    }
    *ret = (int64_t)v;
    return true;
}

/* Digits with no leading zero; returns their number, 0 if wrong. */
static size_t count_integer_digits(struct kap_str s)
{
    size_t n = 0;
    while (n < s.n && is_digit(s.p[n]))
        n++;
    return n > 1 && s.p[0] == '0' ? 0 : n;
}

static bool float_form(struct kap_str s)
{
    size_t i = s.n > 0 && (s.p[0] == '+' || s.p[0] == '-') ? 1 : 0;
    const size_t whole = count_integer_digits(kap_strn(s.p + i, s.n - i));
    if (whole == 0)
        return false;
    i += whole;
    if (i < s.n && s.p[i] == '.') {
        const size_t start = ++i;
        while (i < s.n && is_digit(s.p[i]))
            i++;
        if (i == start)
            return false;
    }
    if (i < s.n && (s.p[i] | 0x20) == 'e') {
        i++;
        if (i < s.n && (s.p[i] == '+' || s.p[i] == '-'))
            i++;
        const size_t start = i;
        while (i < s.n && is_digit(s.p[i]))
            i++;
        if (i == start)
            return false;
    }
    return i == s.n;
}

static bool parse_integer(struct kap_str s, int64_t *ret)
{
    if (s.n > 2 && s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'o' || s.p[1] == 'b'))
        return parse_radix(s, ret);
    const size_t sign = s.n > 0 && (s.p[0] == '+' || s.p[0] == '-') ? 1 : 0;
    const struct kap_str digits = kap_strn(s.p + sign, s.n - sign);
    if (digits.n == 0 || count_integer_digits(digits) != digits.n)
        return false;
    return kap_str_to_i64(s.p[0] == '+' ? digits : s, ret);
}

static bool parse_special_float(struct kap_str s, double *ret)
{
    const bool negative = s.n > 0 && s.p[0] == '-';
    const size_t sign = negative || (s.n > 0 && s.p[0] == '+') ? 1 : 0;
    const struct kap_str rest = kap_strn(s.p + sign, s.n - sign);
    if (kap_str_is(rest, "inf"))
        *ret = negative ? -INFINITY : INFINITY;
    else if (kap_str_is(rest, "nan"))
        *ret = NAN;
    else
        return false;
    return true;
}

/* Two digits at s[i] within [low, high]. */
static bool two_digits(struct kap_str s, size_t i, int low, int high)
{
    if (i + 2 > s.n || !is_digit(s.p[i]) || !is_digit(s.p[i + 1]))
        return false;
    const int v = (s.p[i] - '0') * 10 + (s.p[i + 1] - '0');
    return v >= low && v <= high;
}

/* HH:MM:SS[.digits]; returns the length, 0 if it is none. */
static size_t time_form(struct kap_str s)
{
    if (!two_digits(s, 0, 0, 23) || s.n < 8 || s.p[2] != ':' || !two_digits(s, 3, 0, 59) || s.p[5] != ':' ||
        !two_digits(s, 6, 0, 60))
        return 0;
    size_t n = 8;
    if (n < s.n && s.p[n] == '.') {
        const size_t start = ++n;
        while (n < s.n && is_digit(s.p[n]))
            n++;
        if (n == start)
            return 0;
    }
    return n;
}

static bool date_form(struct kap_str s)
{
    for (size_t i = 0; i < 4; i++) {
        if (i >= s.n || !is_digit(s.p[i]))
            return false;
    }
    return s.n >= 10 && s.p[4] == '-' && two_digits(s, 5, 1, 12) && s.p[7] == '-' && two_digits(s, 8, 1, 31);
}

static bool time_or_date(struct kap_str s)
{
    if (!date_form(s))
        return s.n > 0 && time_form(s) == s.n;
    if (s.n == 10)
        return true;
    if ((s.p[10] | 0x20) != 't' && s.p[10] != ' ')
        return false;
    const struct kap_str clock = kap_strn(s.p + 11, s.n - 11);
    const size_t n = time_form(clock);
    if (n == 0)
        return false;
    const struct kap_str zone = kap_strn(clock.p + n, clock.n - n);
    if (zone.n == 0)
        return true;
    if (zone.n == 1)
        return (zone.p[0] | 0x20) == 'z';
    return zone.n == 6 && (zone.p[0] == '+' || zone.p[0] == '-') && two_digits(zone, 1, 0, 23) &&
           zone.p[3] == ':' && two_digits(zone, 4, 0, 59);
}

static bool is_scalar_char(char c)
{
    return is_bare(c) || c == '+' || c == '.' || c == ':';
}

static enum kap_status read_scalar(struct reader *r, struct kap_toml *v)
{
    const char *start = r->p;
    const int col = column(r);
    while (!at_end(r) && is_scalar_char(*r->p))
        r->p++;
    struct kap_str s = kap_strn(start, (size_t)(r->p - start));
    /* "1979-05-27 07:32:00": the only value with a blank in it */
    if (s.n == 10 && date_form(s) && r->end - r->p > 2 && *r->p == ' ' && is_digit(r->p[1])) {
        r->p++;
        while (!at_end(r) && is_scalar_char(*r->p))
            r->p++;
        s.n = (size_t)(r->p - start);
    }
    if (s.n == 0) {
        char text[16];
        return FAIL(r, "expected a value, got %s", here(r, text));
    }
    KAP_AUTO_BUF struct kap_buf digits = { 0 };
    const bool underscores_ok = strip_underscores(s, &digits);
    const struct kap_str number = kap_buf_str(&digits);
    if (kap_str_is(s, "true") || kap_str_is(s, "false")) {
        v->kind = KAP_TOML_BOOL;
        v->b = s.p[0] == 't';
    } else if (underscores_ok && parse_integer(number, &v->i)) {
        v->kind = KAP_TOML_INT;
    } else if ((underscores_ok && float_form(number) && memchr(number.p, 'x', number.n) == NULL &&
                (memchr(number.p, '.', number.n) || memchr(number.p, 'e', number.n) ||
                 memchr(number.p, 'E', number.n)) &&
                kap_str_to_f64(number, &v->f)) ||
               parse_special_float(s, &v->f)) {
        v->kind = KAP_TOML_FLOAT;
    } else if (time_or_date(s)) {
        v->kind = KAP_TOML_TIME;
        v->s = kap_arena_str(r->arena, s);
    } else {
        return FAIL_AT(r, r->line, col, "invalid value '%.*s'; a string needs quotes",
                       (int)KAP_MIN(s.n, (size_t)60), s.p);
    }
    return KAP_OK;
}

/* --- tables and arrays --- */

static struct kap_toml *new_value(struct reader *r, enum kap_toml_kind kind)
{
    struct kap_toml *v = KAP_ARENA_NEW(r->arena, struct kap_toml);
    v->kind = kind;
    v->line = r->line;
    v->column = column(r);
    return v;
}

/* Arrays double in the arena: what is left behind is at most as large as what stays. */
static void *grown(struct reader *r, void *old, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return old;
    *cap = *cap ? *cap * 2 : 4;
    void *v = kap_arena_alloc(r->arena, *cap * size);
    if (n > 0)
        memcpy(v, old, n * size);
    return v;
}

static void array_add(struct reader *r, struct kap_toml *array, struct kap_toml *item)
{
    array->items = grown(r, array->items, array->nitems, &array->items_cap, sizeof *array->items);
    array->items[array->nitems++] = item;
}

struct key_part {
    struct kap_str name;
    int line, column;
};

static void table_add(struct reader *r, struct kap_toml *table, const struct key_part *key,
                      struct kap_toml *value)
{
    table->pairs = grown(r, table->pairs, table->npairs, &table->pairs_cap, sizeof *table->pairs);
    table->pairs[table->npairs++] =
        (struct kap_toml_pair){ .key = key->name, .line = key->line, .column = key->column, .value = value };
}

/* One or more names parted by dots. */
static enum kap_status read_key(struct reader *r, struct key_part *parts, size_t max, size_t *ret_n)
{
    size_t n = 0;
    for (;;) {
        skip_blanks(r);
        if (n == max)
            return FAIL(r, "more than %zu parts in a dotted key", max);
        struct key_part *part = &parts[n++];
        part->line = r->line;
        part->column = column(r);
        if (peek(r) == '"' || peek(r) == '\'') {
            KAP_TRY(read_string(r, false, &part->name));
        } else {
            const char *start = r->p;
            while (!at_end(r) && is_bare(*r->p))
                r->p++;
            if (r->p == start) {
                char text[16];
                return FAIL(r, "expected a key, got %s", here(r, text));
            }
            part->name = kap_arena_str(r->arena, kap_strn(start, (size_t)(r->p - start)));
        }
        skip_blanks(r);
        if (peek(r) != '.')
            break;
        r->p++;
    }
    *ret_n = n;
    return KAP_OK;
}

static enum kap_status fail_twice(struct reader *r, const struct key_part *key, const struct kap_toml *first)
{
    return FAIL_AT(r, key->line, key->column, "'%.*s' is defined twice, first in line %d",
                   KAP_STR_ARG(key->name), first->line);
}

static enum kap_status read_value(struct reader *r, struct kap_toml **ret);

/* key = value, in `table`. */
static enum kap_status read_pair(struct reader *r, struct kap_toml *table)
{
    struct key_part parts[KAP_TOML_DEPTH];
    size_t n;
    KAP_TRY(read_key(r, parts, KAP_COUNT(parts), &n));
    char text[16];
    if (peek(r) != '=')
        return FAIL(r, "expected '=' after the key '%.*s', got %s", KAP_STR_ARG(parts[n - 1].name),
                    here(r, text));
    r->p++;
    skip_blanks(r);
    for (size_t i = 0; i + 1 < n; i++) {
        struct kap_toml *next = kap_toml_get(table, parts[i].name);
        if (next == NULL) {
            next = new_value(r, KAP_TOML_TABLE);
            next->line = parts[i].line;
            next->column = parts[i].column;
            next->defined = true;
            table_add(r, table, &parts[i], next);
        } else if (next->kind != KAP_TOML_TABLE || next->closed) {
            return FAIL_AT(r, parts[i].line, parts[i].column, "'%.*s' is a complete value since line %d",
                           KAP_STR_ARG(parts[i].name), next->line);
        }
        table = next;
    }
    const struct kap_toml *first = kap_toml_get(table, parts[n - 1].name);
    if (first != NULL)
        return fail_twice(r, &parts[n - 1], first);
    struct kap_toml *value;
    KAP_TRY(read_value(r, &value));
    table_add(r, table, &parts[n - 1], value);
    return KAP_OK;
}

static enum kap_status read_array(struct reader *r, struct kap_toml *array)
{
    char text[16];
    r->p++;
    array->kind = KAP_TOML_ARRAY;
    array->closed = true;
    for (;;) {
        KAP_TRY(skip_space(r));
        if (peek(r) == ']')
            break;
        struct kap_toml *item;
        KAP_TRY(read_value(r, &item));
        array_add(r, array, item);
        KAP_TRY(skip_space(r));
        if (peek(r) == ',')
            r->p++;
        else if (peek(r) != ']')
            return FAIL(r, "expected ',' or ']' in the array that starts in line %d, got %s", array->line,
                        here(r, text));
    }
    r->p++;
    return KAP_OK;
}

/* Seals an inline table and the tables that its dotted keys opened. */
static void seal(struct kap_toml *table)
{
    table->closed = true;
    for (size_t i = 0; i < table->npairs; i++) {
        if (table->pairs[i].value->kind == KAP_TOML_TABLE)
            seal(table->pairs[i].value);
    }
}

static enum kap_status read_inline_table(struct reader *r, struct kap_toml *table)
{
    char text[16];
    r->p++;
    table->kind = KAP_TOML_TABLE;
    skip_blanks(r);
    if (peek(r) == '}') {
        r->p++;
        table->closed = true;
        return KAP_OK;
    }
    for (;;) {
        KAP_TRY(read_pair(r, table));
        skip_blanks(r);
        if (peek(r) == '}')
            break;
        if (peek(r) != ',')
            return FAIL(r, "expected ',' or '}' in an inline table, got %s", here(r, text));
        r->p++;
    }
    r->p++;
    seal(table);
    return KAP_OK;
}

static enum kap_status read_value(struct reader *r, struct kap_toml **ret)
{
    if (++r->depth > KAP_TOML_DEPTH)
        return FAIL(r, "values are nested deeper than %d", KAP_TOML_DEPTH);
    struct kap_toml *v = new_value(r, KAP_TOML_STRING);
    enum kap_status st;
    switch (peek(r)) {
    case '"':
    case '\'':
        st = read_string(r, true, &v->s);
        break;
    case '[':
        st = read_array(r, v);
        break;
    case '{':
        st = read_inline_table(r, v);
        break;
    default:
        st = read_scalar(r, v);
        break;
    }
    r->depth--;
    if (st == KAP_OK)
        *ret = v;
    return st;
}

/* The table that the parts of a header but the last one lead to; the last element of arrays of tables. */
static enum kap_status walk_header(struct reader *r, const struct key_part *parts, size_t n,
                                   struct kap_toml **ret)
{
    struct kap_toml *table = r->root;
    for (size_t i = 0; i < n; i++) {
        struct kap_toml *next = kap_toml_get(table, parts[i].name);
        if (next == NULL) {
            next = new_value(r, KAP_TOML_TABLE);
            table_add(r, table, &parts[i], next);
        }
        if (next->kind == KAP_TOML_ARRAY && next->of_tables)
            next = next->items[next->nitems - 1];
        if (next->kind != KAP_TOML_TABLE || next->closed)
            return FAIL_AT(r, parts[i].line, parts[i].column, "'%.*s' is a complete value since line %d",
                           KAP_STR_ARG(parts[i].name), next->line);
        table = next;
    }
    *ret = table;
    return KAP_OK;
}

/* [[name]]: one more element. */
static enum kap_status open_element(struct reader *r, struct kap_toml *parent, const struct key_part *key)
{
    struct kap_toml *array = kap_toml_get(parent, key->name);
    if (array == NULL) {
        array = new_value(r, KAP_TOML_ARRAY);
        array->of_tables = true;
        table_add(r, parent, key, array);
    } else if (array->kind != KAP_TOML_ARRAY || !array->of_tables) {
        return fail_twice(r, key, array);
    }
    struct kap_toml *element = new_value(r, KAP_TOML_TABLE);
    element->line = key->line;
    element->column = key->column;
    element->defined = true;
    array_add(r, array, element);
    r->current = element;
    return KAP_OK;
}

/* [name] */
static enum kap_status open_table(struct reader *r, struct kap_toml *parent, const struct key_part *key)
{
    struct kap_toml *table = kap_toml_get(parent, key->name);
    if (table == NULL) {
        table = new_value(r, KAP_TOML_TABLE);
        table_add(r, parent, key, table);
    } else if (table->kind != KAP_TOML_TABLE || table->closed || table->defined) {
        return fail_twice(r, key, table);
    }
    table->line = key->line;
    table->column = key->column;
    table->defined = true;
    r->current = table;
    return KAP_OK;
}

static enum kap_status read_header(struct reader *r)
{
    const bool element = looking_at(r, "[[");
    r->p += element ? 2 : 1;
    struct key_part parts[KAP_TOML_DEPTH];
    size_t n;
    KAP_TRY(read_key(r, parts, KAP_COUNT(parts), &n));
    char text[16];
    if (!looking_at(r, element ? "]]" : "]"))
        return FAIL(r, "expected '%s' after the name of a section, got %s", element ? "]]" : "]",
                    here(r, text));
    r->p += element ? 2 : 1;
    struct kap_toml *parent;
    KAP_TRY(walk_header(r, parts, n - 1, &parent));
    return element ? open_element(r, parent, &parts[n - 1]) : open_table(r, parent, &parts[n - 1]);
}

enum kap_status kap_toml_parse(struct kap_str text, const char *name, struct kap_arena *arena,
                               struct kap_toml **ret, struct kap_error *err)
{
    struct reader r = {
        .p = text.p, .end = text.p + text.n, .line = 1, .name = name, .arena = arena, .err = err
    };
    if (looking_at(&r, "\xef\xbb\xbf"))
        r.p += 3;
    r.line_start = r.p;
    r.root = new_value(&r, KAP_TOML_TABLE);
    r.current = r.root;
    for (;;) {
        KAP_TRY(skip_space(&r));
        if (at_end(&r))
            break;
        KAP_TRY(*r.p == '[' ? read_header(&r) : read_pair(&r, r.current));
        skip_blanks(&r);
        KAP_TRY(skip_comment(&r));
        char got[16];
        if (!at_end(&r) && !newline(&r))
            return FAIL(&r, "expected the end of the line, got %s", here(&r, got));
    }
    *ret = r.root;
    return KAP_OK;
}
