#include "lambda/regex_syntax.h"
#include "base/mem.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>

#define MAX_REPEAT 1000
#define MAX_DEPTH 250
#define MAX_RUNE 0x10ffff

enum { FLAG_MULTI_LINE = 1, FLAG_DOT_ALL = 2 };

struct parser {
    struct kap_str pattern;
    const char *p, *end;
    struct kap_buf *out;
    struct kap_regex_names *names;
    struct kap_error *err;
    unsigned flags;
    int depth;
};

static enum kap_status fail_at(struct parser *ps, const char *what, const char *from, const char *to)
{
    return kap_fail(ps->err, KAP_EINVAL, "error parsing regexp: %s: `%.*s`", what, (int)(to - from), from);
}

static struct kap_str rest(const struct parser *ps)
{
    return kap_strn(ps->p, (size_t)(ps->end - ps->p));
}

static bool looking_at(const struct parser *ps, const char *text)
{
    return kap_str_has_prefix(rest(ps), kap_str(text));
}

/* --- character classes --- */

struct range { uint32_t lo, hi; };

static const struct range digits[] = { { '0', '9' } };
static const struct range spaces[] = { { '\t', '\n' }, { '\f', '\r' }, { ' ', ' ' } };
static const struct range words[] = { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } };
static const struct range alnum[] = { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' } };
static const struct range alpha[] = { { 'A', 'Z' }, { 'a', 'z' } };
static const struct range ascii[] = { { 0, 0x7f } };
static const struct range blank[] = { { '\t', '\t' }, { ' ', ' ' } };
static const struct range cntrl[] = { { 0, 0x1f }, { 0x7f, 0x7f } };
static const struct range graph[] = { { '!', '~' } };
static const struct range lower[] = { { 'a', 'z' } };
static const struct range print[] = { { ' ', '~' } };
static const struct range punct[] = { { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', '~' } };
static const struct range posix_space[] = { { '\t', '\r' }, { ' ', ' ' } };
static const struct range upper[] = { { 'A', 'Z' } };
static const struct range xdigit[] = { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } };

struct named_class {
    const char *name;
    const struct range *ranges;
    size_t n;
};
#define CLASS(text, ranges) { text, ranges, KAP_COUNT(ranges) }

static const struct named_class posix_classes[] = {
    CLASS("alnum", alnum), CLASS("alpha", alpha), CLASS("ascii", ascii),       CLASS("blank", blank),
    CLASS("cntrl", cntrl), CLASS("digit", digits), CLASS("graph", graph),      CLASS("lower", lower),
    CLASS("print", print), CLASS("punct", punct), CLASS("space", posix_space), CLASS("upper", upper),
    CLASS("word", words),  CLASS("xdigit", xdigit),
};

static void put_rune(struct parser *ps, uint32_t rune)
{
    if ((rune >= '0' && rune <= '9') || (rune >= 'A' && rune <= 'Z') || (rune >= 'a' && rune <= 'z'))
        kap_buf_addc(ps->out, (char)rune);
    else
        kap_buf_addf(ps->out, "\\x{%x}", rune);
}

static void put_range(struct parser *ps, uint32_t lo, uint32_t hi)
{
    /* PCRE2 refuses surrogates; no valid text holds one. */
    if (lo >= 0xd800 && lo <= 0xdfff)
        lo = 0xe000;
    if (hi >= 0xd800 && hi <= 0xdfff)
        hi = 0xd7ff;
    if (lo > hi)
        return;
    put_rune(ps, lo);
    if (hi > lo) {
        kap_buf_addc(ps->out, '-');
        put_rune(ps, hi);
    }
}

/* The ranges, or all others, as items of a class. */
static void put_ranges(struct parser *ps, const struct range *ranges, size_t n, bool negated)
{
    uint32_t next = 0;
    for (size_t i = 0; i < n; i++) {
        if (!negated)
            put_range(ps, ranges[i].lo, ranges[i].hi);
        else if (ranges[i].lo > next)
            put_range(ps, next, ranges[i].lo - 1);
        next = ranges[i].hi + 1;
    }
    if (negated)
        put_range(ps, next, MAX_RUNE);
}

/* \d \s \w and their negations, at ps->p; false: something else. Writes class items. */
static bool perl_class(struct parser *ps)
{
    static const struct named_class classes[] = { CLASS("d", digits), CLASS("s", spaces), CLASS("w", words) };
    if (ps->end - ps->p < 2 || ps->p[0] != '\\')
        return false;
    for (size_t i = 0; i < KAP_COUNT(classes); i++) {
        const char letter = classes[i].name[0];
        if (ps->p[1] == letter || ps->p[1] == letter - 'a' + 'A') {
            put_ranges(ps, classes[i].ranges, classes[i].n, ps->p[1] != letter);
            ps->p += 2;
            return true;
        }
    }
    return false;
}

static bool property_known(struct kap_str name)
{
    char pattern[96];
    const int n = snprintf(pattern, sizeof pattern, "\\p{%.*s}", KAP_STR_ARG(name));
    int code;
    PCRE2_SIZE offset;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, (PCRE2_SIZE)n, PCRE2_UTF, &code, &offset, NULL);
    pcre2_code_free(re);
    return re != NULL;
}

static bool plain_name(struct kap_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return s.n > 0 && s.n <= 64;
}

/* The name between \p{ and }, or the single letter; ps->p moves behind it. */
static enum kap_status property_name(struct parser *ps, bool *negated, struct kap_str *ret)
{
    const char *start = ps->p;
    *negated = ps->p[1] == 'P';
    ps->p += 2;
    uint32_t rune;
    const size_t n = kap_utf8_decode(ps->p, (size_t)(ps->end - ps->p), &rune);
    if (n == 0)
        return fail_at(ps, ps->p == ps->end ? "invalid character class range" : "invalid UTF-8", start, ps->end);
    if (rune != '{') {
        *ret = kap_strn(ps->p, n);
        ps->p += n;
        return KAP_OK;
    }
    const char *close = memchr(ps->p, '}', (size_t)(ps->end - ps->p));
    if (!close)
        return fail_at(ps, "invalid character class range", start, ps->end);
    *ret = kap_strn(ps->p + 1, (size_t)(close - ps->p - 1));
    if (ret->n && ret->p[0] == '^') {
        *negated = !*negated;
        *ret = kap_strn(ret->p + 1, ret->n - 1);
    }
    ps->p = close + 1;
    return KAP_OK;
}

/* \pN \p{Greek} \P{^Greek} at ps->p. Scripts are matched by script alone, as Go does, not by script extensions. */
static enum kap_status unicode_class(struct parser *ps)
{
    const char *start = ps->p;
    bool negated;
    struct kap_str name;
    KAP_TRY(property_name(ps, &negated, &name));
    char text[72];
    const bool category = name.n <= 2 || kap_str_is(name, "Any");
    snprintf(text, sizeof text, "%s%.*s", category ? "" : "sc:", (int)KAP_MIN(name.n, 64), name.p);
    if (!plain_name(name) || !property_known(kap_str(text)))
        return fail_at(ps, "invalid character class range", start, ps->p);
    kap_buf_addf(ps->out, "\\%c{%s}", negated ? 'P' : 'p', text);
    return KAP_OK;
}

static bool unicode_class_ahead(const struct parser *ps)
{
    return ps->end - ps->p >= 2 && ps->p[0] == '\\' && (ps->p[1] == 'p' || ps->p[1] == 'P');
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* What follows \x; false: malformed. */
static bool hex_escape(struct parser *ps, uint32_t *ret)
{
    uint32_t rune = 0;
    if (ps->p < ps->end && *ps->p == '{') {
        const char *first = ++ps->p;
        while (ps->p < ps->end && hex_value(*ps->p) >= 0) {
            rune = rune * 16 + (uint32_t)hex_value(*ps->p++);
            if (rune > MAX_RUNE)
                return false;
        }
        if (ps->p == first || ps->p == ps->end || *ps->p != '}')
            return false;
        ps->p++;
    } else {
        for (int i = 0; i < 2; i++, ps->p++) {
            if (ps->p == ps->end || hex_value(*ps->p) < 0)
                return false;
            rune = rune * 16 + (uint32_t)hex_value(*ps->p);
        }
    }
    *ret = rune;
    return true;
}

static bool octal_escape(struct parser *ps, uint32_t first, uint32_t *ret)
{
    uint32_t rune = first - '0';
    const bool more = ps->p < ps->end && *ps->p >= '0' && *ps->p <= '7';
    if (first != '0' && !more)
        return false; /* a back-reference */
    for (int i = 0; i < 2 && ps->p < ps->end && *ps->p >= '0' && *ps->p <= '7'; i++)
        rune = rune * 8 + (uint32_t)(*ps->p++ - '0');
    *ret = rune;
    return true;
}

/* One escaped character at ps->p ('\\'), also inside classes. */
static enum kap_status escape(struct parser *ps, uint32_t *ret)
{
    const char *start = ps->p++;
    if (ps->p == ps->end)
        return fail_at(ps, "trailing backslash at end of expression", ps->end, ps->end);
    uint32_t c;
    const size_t n = kap_utf8_decode(ps->p, (size_t)(ps->end - ps->p), &c);
    if (n == 0)
        return fail_at(ps, "invalid UTF-8", ps->p, ps->end);
    ps->p += n;
    static const char letters[] = "afnrtv", controls[] = "\a\f\n\r\t\v";
    const char *letter = c < 0x80 && c ? strchr(letters, (int)c) : NULL;
    const bool alnum_char = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    bool good = true;
    if (letter)
        *ret = (uint32_t)controls[letter - letters];
    else if (c >= '0' && c <= '7')
        good = octal_escape(ps, c, ret);
    else if (c == 'x')
        good = hex_escape(ps, ret);
    else if (c < 0x80 && !alnum_char)
        *ret = c;
    else
        good = false;
    return good ? KAP_OK : fail_at(ps, "invalid escape sequence", start, ps->p);
}

static enum kap_status class_char(struct parser *ps, const char *class_start, uint32_t *ret)
{
    if (ps->p == ps->end)
        return fail_at(ps, "missing closing ]", class_start, ps->end);
    if (*ps->p == '\\')
        return escape(ps, ret);
    const size_t n = kap_utf8_decode(ps->p, (size_t)(ps->end - ps->p), ret);
    if (n == 0)
        return fail_at(ps, "invalid UTF-8", ps->p, ps->end);
    ps->p += n;
    return KAP_OK;
}

/* [:alpha:] at ps->p; *found false: not of that form. */
static enum kap_status posix_class(struct parser *ps, bool *found)
{
    *found = false;
    if (!looking_at(ps, "[:"))
        return KAP_OK;
    const char *close = ps->p + 2;
    while (close + 1 < ps->end && !(close[0] == ':' && close[1] == ']'))
        close++;
    if (close + 1 >= ps->end)
        return KAP_OK;
    struct kap_str name = kap_strn(ps->p + 2, (size_t)(close - ps->p - 2));
    const bool negated = name.n && name.p[0] == '^';
    if (negated)
        name = kap_strn(name.p + 1, name.n - 1);
    for (size_t i = 0; i < KAP_COUNT(posix_classes); i++)
        if (kap_str_is(name, posix_classes[i].name)) {
            put_ranges(ps, posix_classes[i].ranges, posix_classes[i].n, negated);
            ps->p = close + 2;
            *found = true;
            return KAP_OK;
        }
    return fail_at(ps, "invalid character class range", ps->p, close + 2);
}

static enum kap_status class_item(struct parser *ps, const char *class_start)
{
    bool found;
    KAP_TRY(posix_class(ps, &found));
    if (found || perl_class(ps))
        return KAP_OK;
    if (unicode_class_ahead(ps))
        return unicode_class(ps);
    const char *start = ps->p;
    uint32_t lo, hi;
    KAP_TRY(class_char(ps, class_start, &lo));
    hi = lo;
    if (ps->end - ps->p >= 2 && ps->p[0] == '-' && ps->p[1] != ']') {
        ps->p++;
        KAP_TRY(class_char(ps, class_start, &hi));
        if (hi < lo)
            return fail_at(ps, "invalid character class range", start, ps->p);
    }
    put_range(ps, lo, hi);
    return KAP_OK;
}

static enum kap_status class(struct parser *ps)
{
    const char *start = ps->p++;
    const size_t open = ps->out->n;
    const bool negated = ps->p < ps->end && *ps->p == '^';
    if (negated)
        ps->p++;
    kap_buf_adds(ps->out, negated ? "[^" : "[");
    const size_t empty = ps->out->n;
    for (bool first = true; ps->p == ps->end || *ps->p != ']' || first; first = false)
        KAP_TRY(class_item(ps, start));
    ps->p++;
    if (ps->out->n > empty) {
        kap_buf_addc(ps->out, ']');
        return KAP_OK;
    }
    ps->out->n = open; /* surrogates only: nothing, or anything */
    kap_buf_adds(ps->out, negated ? "(?s:.)" : "(?!)");
    return KAP_OK;
}

/* --- repetition --- */

static bool quantifier_ahead(const struct parser *ps)
{
    return ps->p < ps->end && (*ps->p == '*' || *ps->p == '+' || *ps->p == '?' || *ps->p == '{');
}

static bool read_count(struct parser *ps, int *ret)
{
    const char *first = ps->p;
    int n = 0;
    for (; ps->p < ps->end && *ps->p >= '0' && *ps->p <= '9'; ps->p++)
        if (n <= MAX_REPEAT)
            n = n * 10 + (*ps->p - '0');
    if (ps->p == first || (*first == '0' && ps->p - first > 1))
        return false;
    *ret = n;
    return true;
}

/* {n} {n,} {n,m} at ps->p. False, and nothing read: a literal brace. max -1: no limit. */
static bool braces(struct parser *ps, int *min, int *max)
{
    const char *start = ps->p++;
    bool good = read_count(ps, min);
    *max = *min;
    if (good && ps->p < ps->end && *ps->p == ',') {
        ps->p++;
        if (ps->p < ps->end && *ps->p == '}')
            *max = -1;
        else
            good = read_count(ps, max);
    }
    if (!good || ps->p == ps->end || *ps->p != '}') {
        ps->p = start;
        return false;
    }
    ps->p++;
    return true;
}

/* A quantifier at ps->p after an atom whose inner repeat product is *product; *found false: none. `previous` is where
 * a quantifier directly before started (NULL: none). */
static enum kap_status quantifier(struct parser *ps, const char **previous, int *product, bool *found)
{
    const char *start = ps->p;
    int min = 0, max = -1;
    *found = false;
    if (!quantifier_ahead(ps))
        return KAP_OK;
    const char op = *ps->p;
    if (op != '{')
        ps->p++;
    else if (!braces(ps, &min, &max))
        return KAP_OK;
    if (op == '{' && (min > MAX_REPEAT || max > MAX_REPEAT || (max >= 0 && min > max)))
        return fail_at(ps, "invalid repeat count", start, ps->p);
    const char *lazy = ps->p;
    if (ps->p < ps->end && *ps->p == '?')
        ps->p++;
    if (*previous)
        return fail_at(ps, "invalid nested repetition operator", *previous, ps->p);
    if (op == '{' && (min >= 2 || max >= 2)) {
        *product *= KAP_MAX(KAP_MAX(min, max), 1);
        if (*product > MAX_REPEAT)
            return fail_at(ps, "invalid repeat count", start, ps->p);
    }
    if (op != '{')
        kap_buf_addc(ps->out, op);
    else if (max < 0)
        kap_buf_addf(ps->out, "{%d,}", min);
    else
        kap_buf_addf(ps->out, "{%d,%d}", min, max);
    kap_buf_addn(ps->out, lazy, (size_t)(ps->p - lazy));
    *previous = start;
    *found = true;
    return KAP_OK;
}

/* --- groups and atoms --- */

static enum kap_status alternation(struct parser *ps, int *product);

static enum kap_status named_group(struct parser *ps, const char *open, size_t prefix)
{
    const char *start = open;
    const char *name = open + prefix;
    const char *close = memchr(name, '>', (size_t)(ps->end - name));
    if (!close)
        return fail_at(ps, "invalid named capture", start, ps->end);
    const struct kap_str text = kap_strn(name, (size_t)(close - name));
    if (!plain_name(text) && !(text.n > 64))
        return fail_at(ps, "invalid named capture", start, close + 1);
    for (size_t i = 0; i < ps->names->ngroups; i++)
        if (kap_str_eq(ps->names->names[i], text))
            return fail_at(ps, "duplicate capture group name", name, close);
    KAP_GROW(ps->names->names, ps->names->cap, ps->names->ngroups + 1);
    ps->names->names[ps->names->ngroups++] = text;
    ps->p = close + 1;
    kap_buf_addc(ps->out, '(');
    return KAP_OK;
}

static void put_flags(struct parser *ps, unsigned on, unsigned off, bool i_on, bool i_off, bool u_on, bool u_off)
{
    ps->flags = (ps->flags | on) & ~off;
    kap_buf_addf(ps->out, "(?%s%s", i_on ? "i" : "", u_on ? "U" : "");
    if (i_off || u_off)
        kap_buf_addf(ps->out, "-%s%s", i_off ? "i" : "", u_off ? "U" : "");
}

/* (?flags) or (?flags: ; *opened: a group was. */
static enum kap_status flag_group(struct parser *ps, const char *open, bool *opened)
{
    unsigned on = 0, off = 0;
    bool i[2] = { false }, u[2] = { false }, saw = false, minus = false;
    ps->p = open + 2;
    while (ps->p < ps->end) {
        const char c = *ps->p++;
        if (c == 'm' || c == 's') {
            *(minus ? &off : &on) |= c == 'm' ? FLAG_MULTI_LINE : FLAG_DOT_ALL;
        } else if (c == 'i') {
            i[minus] = true;
        } else if (c == 'U') {
            u[minus] = true;
        } else if (c == '-' && !minus) {
            minus = true;
            saw = false;
            continue;
        } else if ((c == ':' || c == ')') && (!minus || saw)) {
            put_flags(ps, on, off, i[0] && !i[1], i[1], u[0] && !u[1], u[1]);
            kap_buf_addc(ps->out, c);
            *opened = c == ':';
            return KAP_OK;
        } else {
            break;
        }
        saw = true;
    }
    return fail_at(ps, "invalid or unsupported Perl syntax", open, ps->p);
}

static enum kap_status group(struct parser *ps, int *product, bool *is_flags)
{
    const char *open = ps->p;
    const unsigned flags = ps->flags;
    bool opened = true;
    *is_flags = false;
    if (looking_at(ps, "(?P<")) {
        KAP_TRY(named_group(ps, open, 4));
    } else if (looking_at(ps, "(?<") && !looking_at(ps, "(?<=") && !looking_at(ps, "(?<!")) {
        KAP_TRY(named_group(ps, open, 3));
    } else if (looking_at(ps, "(?")) {
        KAP_TRY(flag_group(ps, open, &opened));
    } else {
        KAP_GROW(ps->names->names, ps->names->cap, ps->names->ngroups + 1);
        ps->names->names[ps->names->ngroups++] = KAP_STR("");
        ps->p++;
        kap_buf_addc(ps->out, '(');
    }
    if (!opened) {
        *is_flags = true;
        return KAP_OK;
    }
    if (++ps->depth > MAX_DEPTH)
        return fail_at(ps, "expression nests too deeply", ps->pattern.p, ps->end);
    KAP_TRY(alternation(ps, product));
    if (ps->p == ps->end)
        return fail_at(ps, "missing closing )", ps->pattern.p, ps->end);
    ps->depth--;
    ps->p++;
    kap_buf_addc(ps->out, ')');
    ps->flags = flags;
    return KAP_OK;
}

/* Assertions take no quantifier in PCRE2 unless they are grouped. */
static void put_assertion(struct parser *ps, const char *text)
{
    kap_buf_addf(ps->out, quantifier_ahead(ps) ? "(?:%s)" : "%s", text);
}

/* \A \z \b \B, and \Q..\E; false: something else. */
static bool special_escape(struct parser *ps, bool *nothing)
{
    if (ps->end - ps->p < 2)
        return false;
    const char c = ps->p[1];
    if (c == 'A' || c == 'z' || c == 'b' || c == 'B') {
        const char text[3] = { '\\', c, 0 };
        ps->p += 2;
        put_assertion(ps, text);
        return true;
    }
    if (c != 'Q')
        return false;
    ps->p += 2;
    *nothing = true;
    while (ps->p < ps->end && !looking_at(ps, "\\E")) {
        uint32_t rune;
        const size_t n = kap_utf8_decode(ps->p, (size_t)(ps->end - ps->p), &rune);
        if (n == 0)
            break;
        put_rune(ps, rune);
        ps->p += n;
        *nothing = false;
    }
    if (looking_at(ps, "\\E"))
        ps->p += 2;
    return true;
}

static enum kap_status escaped_atom(struct parser *ps, bool *nothing)
{
    if (special_escape(ps, nothing))
        return KAP_OK;
    if (unicode_class_ahead(ps))
        return unicode_class(ps);
    const size_t mark = ps->out->n;
    kap_buf_addc(ps->out, '[');
    if (perl_class(ps)) {
        kap_buf_addc(ps->out, ']');
        return KAP_OK;
    }
    ps->out->n = mark;
    uint32_t rune;
    KAP_TRY(escape(ps, &rune));
    put_rune(ps, rune);
    return KAP_OK;
}

/* One atom. *nothing: it wrote nothing that could be repeated. */
static enum kap_status atom(struct parser *ps, int *product, bool *nothing)
{
    const char c = *ps->p;
    *product = 1;
    *nothing = false;
    switch (c) {
    case '(':
        return group(ps, product, nothing);
    case '[':
        return class(ps);
    case '\\':
        return escaped_atom(ps, nothing);
    case '.':
        ps->p++;
        kap_buf_adds(ps->out, ps->flags & FLAG_DOT_ALL ? "(?s:.)" : "[^\\n]");
        return KAP_OK;
    case '^':
        ps->p++;
        put_assertion(ps, ps->flags & FLAG_MULTI_LINE ? "(?<![^\\n])" : "\\A");
        return KAP_OK;
    case '$':
        ps->p++;
        put_assertion(ps, ps->flags & FLAG_MULTI_LINE ? "(?![^\\n])" : "\\z");
        return KAP_OK;
    default:
        break;
    }
    uint32_t rune;
    const size_t n = kap_utf8_decode(ps->p, (size_t)(ps->end - ps->p), &rune);
    if (n == 0)
        return fail_at(ps, "invalid UTF-8", ps->pattern.p, ps->end);
    ps->p += n;
    put_rune(ps, rune);
    return KAP_OK;
}

/* A quantifier where there is nothing to repeat, unless it is a literal brace. */
static enum kap_status stray_quantifier(struct parser *ps)
{
    const char *start = ps->p;
    int min, max;
    if (*start != '{')
        ps->p++;
    else if (!braces(ps, &min, &max))
        return KAP_OK;
    return fail_at(ps, "missing argument to repetition operator", start, ps->p);
}

static enum kap_status sequence(struct parser *ps, int *product)
{
    bool first = true;
    while (ps->p < ps->end && *ps->p != '|' && *ps->p != ')') {
        if (first && quantifier_ahead(ps))
            KAP_TRY(stray_quantifier(ps));
        int own;
        bool nothing;
        KAP_TRY(atom(ps, &own, &nothing));
        /* Flags and an empty \Q\E are nothing that could be repeated (Go repeats what comes before them). */
        first = nothing;
        const char *previous = NULL;
        for (bool found = !nothing; found;)
            KAP_TRY(quantifier(ps, &previous, &own, &found));
        *product = KAP_MAX(*product, own);
    }
    return KAP_OK;
}

static enum kap_status alternation(struct parser *ps, int *product)
{
    *product = 1;
    for (;;) {
        KAP_TRY(sequence(ps, product));
        if (ps->p == ps->end || *ps->p != '|')
            return KAP_OK;
        ps->p++;
        kap_buf_addc(ps->out, '|');
    }
}

static enum kap_status check_utf8(struct kap_str s, struct kap_error *err)
{
    for (size_t i = 0; i < s.n;) {
        uint32_t rune;
        const size_t n = kap_utf8_decode(s.p + i, s.n - i, &rune);
        if (n == 0)
            return kap_fail(err, KAP_EINVAL, "error parsing regexp: invalid UTF-8: `%.*s`", KAP_STR_ARG(s));
        i += n;
    }
    return KAP_OK;
}

enum kap_status kap_regex_translate(struct kap_str pattern, struct kap_buf *out, struct kap_regex_names *names,
                                    struct kap_error *err)
{
    struct parser ps = {
        .pattern = pattern, .p = pattern.p, .end = pattern.p + pattern.n, .out = out, .names = names, .err = err,
    };
    KAP_TRY(check_utf8(pattern, err));
    int product;
    KAP_TRY(alternation(&ps, &product));
    if (ps.p < ps.end)
        return fail_at(&ps, "unexpected )", pattern.p, ps.end);
    return KAP_OK;
}
