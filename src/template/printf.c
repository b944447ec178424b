/* Go's package fmt over template values: Printf's verbs, flags, widths and its way to show mistakes. */
#include "base/buf.h"
#include "base/duration.h"
#include "base/gotime.h"
#include "base/mem.h"
#include "base/number.h"
#include "template/internal.h"
#include <ctype.h>
#include <math.h>

#define WIDTH_MAX 1000000

struct spec {
    char verb[4];
    size_t verb_n;
    bool plus, minus, sharp, space, zero, has_width, has_prec;
    int width, prec;
};

static void add_escaped(struct kap_buf *b, const char *p, size_t n, uint32_t rune, char quote, bool valid)
{
    static const char controls[] = "\a\b\f\n\r\t\v", letters[] = "abfnrtv";
    const char *control = rune ? strchr(controls, rune < 0x80 ? (int)rune : 1) : NULL;
    if (!valid)
        kap_buf_addf(b, "\\x%02x", (unsigned char)*p);
    else if (rune == (uint32_t)quote || rune == '\\')
        kap_buf_addf(b, "\\%c", (char)rune);
    else if (control && *control)
        kap_buf_addf(b, "\\%c", letters[control - controls]);
    else if (rune < ' ' || rune == 0x7f)
        kap_buf_addf(b, "\\x%02x", rune);
    else if (rune == 0xfeff || (rune >= 0x80 && rune < 0xa0))
        kap_buf_addf(b, "\\u%04x", rune);
    else
        kap_buf_addn(b, p, n);
}

void kap_t_quote(struct kap_buf *b, struct kap_str s)
{
    kap_buf_addc(b, '"');
    for (size_t i = 0; i < s.n;) {
        uint32_t rune = 0;
        const size_t n = kap_utf8_decode(s.p + i, s.n - i, &rune);
        add_escaped(b, s.p + i, n, rune, '"', n > 0);
        i += n ? n : 1;
    }
    kap_buf_addc(b, '"');
}

static size_t count_runes(struct kap_str s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.n; count++) {
        uint32_t rune;
        const size_t n = kap_utf8_decode(s.p + i, s.n - i, &rune);
        i += n ? n : 1;
    }
    return count;
}

static void fill(struct kap_buf *b, char c, size_t n)
{
    while (n-- > 0 && !b->failed)
        kap_buf_addc(b, c);
}

/* Adds text in the width asked for; zeros go behind a sign. */
static void add_padded(struct kap_buf *b, const struct spec *sp, struct kap_str text, bool zeros)
{
    const size_t runes = count_runes(text);
    const size_t width = sp->has_width && sp->width > 0 ? (size_t)sp->width : 0;
    const size_t missing = width > runes ? width - runes : 0;
    if (sp->minus) {
        kap_buf_add(b, text);
        fill(b, ' ', missing);
    } else if (zeros && sp->zero) {
        const size_t sign = text.n && (text.p[0] == '-' || text.p[0] == '+' || text.p[0] == ' ');
        kap_buf_addn(b, text.p, sign);
        fill(b, '0', missing);
        kap_buf_addn(b, text.p + sign, text.n - sign);
    } else {
        fill(b, ' ', missing);
        kap_buf_add(b, text);
    }
}

static void print_value(struct kap_buf *b, const struct spec *sp, struct kap_tvalue v, int depth);

static const struct spec plain = { .verb = "v", .verb_n = 1 };

/* "%!d(float64=11)" */
static void bad_verb(struct kap_buf *b, const struct spec *sp, struct kap_tvalue v)
{
    kap_buf_addf(b, "%%!%.*s(", (int)sp->verb_n, sp->verb);
    if (v.kind == KAP_T_NIL || v.kind == KAP_T_NONE) {
        kap_buf_adds(b, "<nil>)");
        return;
    }
    kap_buf_addf(b, "%s=", kap_t_type(v));
    print_value(b, &plain, v, 0);
    kap_buf_addc(b, ')');
}

/* --- scalars --- */

static void integer_digits(struct kap_buf *b, const struct spec *sp, uint64_t u, bool negative, unsigned base, bool upper)
{
    char digits[80];
    size_t i = sizeof digits;
    do {
        const unsigned d = (unsigned)(u % base);
        digits[--i] = (char)(d < 10 ? '0' + d : (upper ? 'A' : 'a') + d - 10);
        u /= base;
    } while (u);
    KAP_AUTO_BUF struct kap_buf text = { .max = KAP_T_MAX_OUTPUT };
    if (negative)
        kap_buf_addc(&text, '-');
    else if (sp->plus)
        kap_buf_addc(&text, '+');
    else if (sp->space)
        kap_buf_addc(&text, ' ');
    if (sp->sharp && base != 10)
        kap_buf_adds(&text, base == 16 ? (upper ? "0X" : "0x") : base == 2 ? "0b" : "0");
    const size_t n = sizeof digits - i;
    if (sp->has_prec && sp->prec > (int)n)
        fill(&text, '0', (size_t)sp->prec - n);
    kap_buf_addn(&text, digits + i, n);
    add_padded(b, sp, kap_buf_str(&text), !sp->has_prec);
}

static void integer_rune(struct kap_buf *b, const struct spec *sp, int64_t i)
{
    const uint32_t rune = i < 0 || i > 0x10ffff || (i >= 0xd800 && i <= 0xdfff) ? 0xfffd : (uint32_t)i;
    char utf8[4];
    const size_t n = kap_utf8_encode(rune, utf8);
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    if (sp->verb[0] == 'c') {
        kap_buf_addn(&text, utf8, n);
    } else {
        kap_buf_addc(&text, '\'');
        add_escaped(&text, utf8, n, rune, '\'', true);
        kap_buf_addc(&text, '\'');
    }
    add_padded(b, sp, kap_buf_str(&text), false);
}

static void print_integer(struct kap_buf *b, const struct spec *sp, struct kap_tvalue v)
{
    const uint64_t magnitude = v.i < 0 ? 0 - (uint64_t)v.i : (uint64_t)v.i;
    switch (sp->verb[0]) {
    case 'v':
    case 'd':
        integer_digits(b, sp, magnitude, v.i < 0, 10, false);
        return;
    case 'b':
        integer_digits(b, sp, magnitude, v.i < 0, 2, false);
        return;
    case 'o':
        integer_digits(b, sp, magnitude, v.i < 0, 8, false);
        return;
    case 'x':
    case 'X':
        integer_digits(b, sp, magnitude, v.i < 0, 16, sp->verb[0] == 'X');
        return;
    case 'c':
    case 'q':
        integer_rune(b, sp, v.i);
        return;
    case 'U': {
        KAP_AUTO_BUF struct kap_buf text = { 0 };
        kap_buf_addf(&text, "U+%04llX", (unsigned long long)v.i);
        add_padded(b, sp, kap_buf_str(&text), false);
        return;
    }
    default:
        bad_verb(b, sp, v);
    }
}

static void print_float(struct kap_buf *b, const struct spec *sp, struct kap_tvalue v)
{
    char verb = sp->verb[0];
    if (!strchr("veEfFgG", verb)) {
        bad_verb(b, sp, v);
        return;
    }
    const int prec = sp->has_prec ? sp->prec : verb == 'v' || verb == 'g' || verb == 'G' ? -1 : 6;
    if (verb == 'v')
        verb = 'g';
    if (verb == 'F')
        verb = 'f';
    KAP_AUTO_BUF struct kap_buf text = { .max = KAP_T_MAX_OUTPUT };
    if (sp->plus && !signbit(v.f) && !isnan(v.f) && !isinf(v.f))
        kap_buf_addc(&text, '+');
    else if (sp->space && !signbit(v.f))
        kap_buf_addc(&text, ' ');
    kap_number_format(&text, v.f, verb, KAP_MIN(prec, 1000));
    add_padded(b, sp, kap_buf_str(&text), isfinite(v.f));
}

static void hex_string(struct kap_buf *b, const struct spec *sp, struct kap_str s)
{
    KAP_AUTO_BUF struct kap_buf text = { .max = KAP_T_MAX_OUTPUT };
    for (size_t i = 0; i < s.n; i++) {
        if (i > 0 && sp->space)
            kap_buf_addc(&text, ' ');
        kap_buf_addf(&text, sp->verb[0] == 'x' ? "%02x" : "%02X", (unsigned char)s.p[i]);
    }
    add_padded(b, sp, kap_buf_str(&text), false);
}

static struct kap_str cut_runes(struct kap_str s, size_t max)
{
    size_t i = 0;
    for (size_t count = 0; i < s.n && count < max; count++) {
        uint32_t rune;
        const size_t n = kap_utf8_decode(s.p + i, s.n - i, &rune);
        i += n ? n : 1;
    }
    return kap_strn(s.p, i);
}

static void print_string(struct kap_buf *b, const struct spec *sp, struct kap_tvalue v)
{
    const struct kap_str s = sp->has_prec ? cut_runes(v.s, (size_t)sp->prec) : v.s;
    KAP_AUTO_BUF struct kap_buf quoted = { .max = KAP_T_MAX_OUTPUT };
    switch (sp->verb[0]) {
    case 'v':
    case 's':
        add_padded(b, sp, s, true);
        return;
    case 'q':
        kap_t_quote(&quoted, s);
        add_padded(b, sp, kap_buf_str(&quoted), false);
        return;
    case 'x':
    case 'X':
        hex_string(b, sp, s);
        return;
    default:
        bad_verb(b, sp, v);
    }
}

/* Values with a String method: for %v %s %q %x as text, else as the integer below. */
static void print_stringer(struct kap_buf *b, const struct spec *sp, struct kap_tvalue v)
{
    static const char *const months[] = { "January", "February", "March",     "April",   "May",      "June",
                                          "July",    "August",   "September", "October", "November", "December" };
    static const char *const days[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
    if (v.kind != KAP_T_TIME && !strchr("vsq", sp->verb[0])) {
        print_integer(b, sp, v);
        return;
    }
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    if (v.kind == KAP_T_TIME)
        kap_time_string(&text, v.i);
    else if (v.kind == KAP_T_DURATION)
        kap_duration_format_go(&text, v.i);
    else if (v.kind == KAP_T_MONTH)
        kap_buf_adds(&text, months[(v.i - 1) % 12]);
    else
        kap_buf_adds(&text, days[v.i % 7]);
    if (v.kind == KAP_T_TIME && !strchr("vsqxX", sp->verb[0]))
        kap_buf_addf(b, "%%!%.*s(time.Time=%s)", (int)sp->verb_n, sp->verb, kap_buf_str(&text).p);
    else
        print_string(b, sp, kap_t_str(kap_buf_str(&text)));
}

/* --- compound values: the verb applies to each element --- */

static void print_pairs(struct kap_buf *b, const struct spec *sp, const struct kap_tpair *v, size_t n, bool keys, int depth)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            kap_buf_addc(b, ' ');
        if (keys) {
            print_value(b, sp, kap_t_str(v[i].key), depth);
            kap_buf_addc(b, ':');
        } else if (sp->plus) {
            kap_buf_addf(b, "%.*s:", KAP_STR_ARG(v[i].key));
        }
        print_value(b, sp, v[i].v, depth);
    }
}

static void print_compound(struct kap_buf *b, const struct spec *sp, struct kap_tvalue v, int depth)
{
    if (v.kind == KAP_T_MAP) {
        kap_buf_adds(b, "map[");
        print_pairs(b, sp, v.map->v, v.map->n, true, depth);
        kap_buf_addc(b, ']');
    } else if (v.kind == KAP_T_STRUCT) {
        kap_buf_addc(b, '{');
        print_pairs(b, sp, v.st->v, v.st->n, false, depth);
        kap_buf_addc(b, '}');
    } else {
        kap_buf_addc(b, '[');
        for (size_t i = 0; i < v.list->n; i++) {
            if (i > 0)
                kap_buf_addc(b, ' ');
            print_value(b, sp, v.list->v[i], depth);
        }
        kap_buf_addc(b, ']');
    }
}

static void print_value(struct kap_buf *b, const struct spec *sp, struct kap_tvalue v, int depth)
{
    if (depth > KAP_T_MAX_DEPTH || b->failed)
        return;
    if (sp->verb[0] == 'T') {
        add_padded(b, sp, kap_str(v.kind == KAP_T_NIL || v.kind == KAP_T_NONE ? "<nil>" : kap_t_type(v)), false);
        return;
    }
    switch (v.kind) {
    case KAP_T_NONE:
    case KAP_T_NIL:
        if (sp->verb[0] == 'v')
            add_padded(b, sp, KAP_STR("<nil>"), false);
        else
            bad_verb(b, sp, v);
        return;
    case KAP_T_BOOL:
        if (sp->verb[0] == 'v' || sp->verb[0] == 't')
            add_padded(b, sp, kap_str(v.b ? "true" : "false"), false);
        else
            bad_verb(b, sp, v);
        return;
    case KAP_T_INT:
    case KAP_T_INT64:
        print_integer(b, sp, v);
        return;
    case KAP_T_FLOAT:
        print_float(b, sp, v);
        return;
    case KAP_T_STRING:
    case KAP_T_JS:
        print_string(b, sp, v);
        return;
    case KAP_T_TIME:
    case KAP_T_DURATION:
    case KAP_T_MONTH:
    case KAP_T_WEEKDAY:
        print_stringer(b, sp, v);
        return;
    case KAP_T_MAP:
    case KAP_T_LIST:
    case KAP_T_STRUCT:
        print_compound(b, sp, v, depth + 1);
        return;
    }
}

/* --- the format --- */

struct printer {
    struct kap_buf *out;
    struct kap_str format;
    size_t i;                     /* in the format */
    const struct kap_tvalue *args;
    size_t nargs, arg;
    bool reordered, good_index;
};

static bool read_number(struct printer *p, int *ret)
{
    const size_t start = p->i;
    int n = 0;
    for (; p->i < p->format.n && isdigit((unsigned char)p->format.p[p->i]); p->i++)
        if (n <= WIDTH_MAX)
            n = n * 10 + (p->format.p[p->i] - '0');
    *ret = n;
    return p->i > start;
}

/* "[3]": the next argument by its number, from 1. */
static void read_index(struct printer *p)
{
    if (p->i >= p->format.n || p->format.p[p->i] != '[')
        return;
    p->reordered = true;
    const char *close = memchr(p->format.p + p->i, ']', p->format.n - p->i);
    p->i++;
    int n = 0;
    if (close && read_number(p, &n) && p->format.p + p->i == close && n >= 1 && (size_t)n <= p->nargs)
        p->arg = (size_t)n - 1;
    else
        p->good_index = false;
    if (close)
        p->i = (size_t)(close - p->format.p) + 1;
}

static void read_flags(struct printer *p, struct spec *sp)
{
    for (; p->i < p->format.n; p->i++) {
        switch (p->format.p[p->i]) {
        case '+':
            sp->plus = true;
            break;
        case '-':
            sp->minus = true;
            sp->zero = false;
            break;
        case '#':
            sp->sharp = true;
            break;
        case ' ':
            sp->space = true;
            break;
        case '0':
            sp->zero = !sp->minus;
            break;
        default:
            return;
        }
    }
}

/* A number or "*"; false: none. */
static bool read_count(struct printer *p, int *ret, const char *bad)
{
    if (p->i >= p->format.n || p->format.p[p->i] != '*')
        return read_number(p, ret);
    p->i++;
    const struct kap_tvalue *v = p->arg < p->nargs ? &p->args[p->arg] : NULL;
    if (v)
        p->arg++;
    if (!v || (v->kind != KAP_T_INT && v->kind != KAP_T_INT64) || v->i > WIDTH_MAX || v->i < -WIDTH_MAX) {
        kap_buf_adds(p->out, bad);
        return false;
    }
    *ret = (int)v->i;
    return true;
}

static void read_width(struct printer *p, struct spec *sp)
{
    read_index(p);
    sp->has_width = read_count(p, &sp->width, "%!(BADWIDTH)");
    if (sp->has_width && sp->width < 0) {
        sp->minus = true;
        sp->zero = false;
        sp->width = -sp->width;
    }
    if (p->i >= p->format.n || p->format.p[p->i] != '.')
        return;
    p->i++;
    read_index(p);
    sp->has_prec = read_count(p, &sp->prec, "%!(BADPREC)") || p->format.p[p->i - 1] != '*';
    if (sp->prec < 0)
        sp->has_prec = false;
}

static void print_verb(struct printer *p)
{
    struct spec sp = { 0 };
    p->good_index = true;
    read_flags(p, &sp);
    read_width(p, &sp);
    read_index(p);
    if (p->i >= p->format.n) {
        kap_buf_adds(p->out, "%!(NOVERB)");
        return;
    }
    uint32_t rune;
    sp.verb_n = kap_utf8_decode(p->format.p + p->i, p->format.n - p->i, &rune);
    if (sp.verb_n == 0)
        sp.verb_n = 1;
    memcpy(sp.verb, p->format.p + p->i, sp.verb_n);
    p->i += sp.verb_n;
    if (sp.verb[0] == '%')
        kap_buf_addc(p->out, '%');
    else if (!p->good_index)
        kap_buf_addf(p->out, "%%!%.*s(BADINDEX)", (int)sp.verb_n, sp.verb);
    else if (p->arg >= p->nargs)
        kap_buf_addf(p->out, "%%!%.*s(MISSING)", (int)sp.verb_n, sp.verb);
    else
        print_value(p->out, &sp, p->args[p->arg++], 0);
}

void kap_t_printf(struct kap_buf *out, struct kap_str format, const struct kap_tvalue *args, size_t n)
{
    struct printer p = { .out = out, .format = format, .args = args, .nargs = n };
    while (p.i < format.n && !out->failed) {
        const char *percent = memchr(format.p + p.i, '%', format.n - p.i);
        const size_t stop = percent ? (size_t)(percent - format.p) : format.n;
        kap_buf_addn(out, format.p + p.i, stop - p.i);
        p.i = stop;
        if (percent) {
            p.i++;
            print_verb(&p);
        }
    }
    if (p.reordered || p.arg >= n)
        return;
    kap_buf_adds(out, "%!(EXTRA ");
    for (size_t i = p.arg; i < n; i++) {
        const bool nil = args[i].kind == KAP_T_NIL || args[i].kind == KAP_T_NONE;
        kap_buf_addf(out, "%s%s%s", i > p.arg ? ", " : "", nil ? "<nil>" : kap_t_type(args[i]), nil ? "" : "=");
        if (!nil)
            print_value(out, &plain, args[i], 0);
    }
    kap_buf_addc(out, ')');
}

void kap_t_print(struct kap_buf *out, const struct kap_tvalue *args, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && args[i].kind != KAP_T_STRING && args[i - 1].kind != KAP_T_STRING)
            kap_buf_addc(out, ' ');
        print_value(out, &plain, args[i], 0);
    }
}
