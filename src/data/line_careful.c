/* The parser that follows the format step by step: the order of its checks decides which of several mistakes
 * in a line is reported, as users and tests of the reference know it. */
#include "data/line_private.h"

#include "base/mem.h"
#include "base/number.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

#define TIME_MIN (INT64_MIN + 2)
#define TIME_MAX (INT64_MAX - 1)

const char *kap_line_end(const char *p, const char *end)
{
    bool quoted = false, fields = false;
    size_t equals = 0, commas = 0;
    for (; p < end; p++) {
        if (*p == '\\') {
            if (++p == end)
                break;
            continue;
        }
        if (*p == ' ')
            fields = true;
        if (fields && !quoted && *p == '=')
            equals++;
        else if (fields && !quoted && *p == ',')
            commas++;
        else if (fields && *p == '"' && equals > commas)
            quoted = !quoted;
        else if (*p == '\n' && !quoted)
            break;
    }
    return p;
}

static size_t skip_space(struct kap_str s, size_t i)
{
    while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == '\0'))
        i++;
    return i;
}

static bool at(struct kap_str s, size_t i, char c)
{
    return i < s.n && s.p[i] == c;
}

/* ---- measurement and tags ---- */

enum part { TAG_KEY, TAG_VALUE, FIELDS };

static enum kap_status scan_measurement(struct kap_str s, size_t *i, enum part *next, struct kap_error *err)
{
    if (s.n == 0 || s.p[0] == ',')
        return kap_fail(err, KAP_EINVAL, "missing measurement");
    for (*i = 1; *i < s.n; ++*i) {
        if (s.p[*i - 1] == '\\')
            continue;
        if (s.p[*i] == ',') {
            ++*i;
            *next = TAG_KEY;
            return KAP_OK;
        }
        if (s.p[*i] == ' ') {
            *next = FIELDS;
            return KAP_OK;
        }
    }
    return kap_fail(err, KAP_EINVAL, "missing fields");
}

static enum kap_status scan_tag_key(struct kap_str s, size_t *i, struct kap_error *err)
{
    if (*i >= s.n || s.p[*i] == ' ' || s.p[*i] == ',' || s.p[*i] == '=')
        return kap_fail(err, KAP_EINVAL, "missing tag key");
    for (++*i; *i < s.n; ++*i) {
        if (s.p[*i - 1] == '\\')
            continue;
        if (s.p[*i] == ' ' || s.p[*i] == ',')
            break;
        if (s.p[*i] == '=') {
            ++*i;
            return KAP_OK;
        }
    }
    return kap_fail(err, KAP_EINVAL, "missing tag value");
}

static enum kap_status scan_tag_value(struct kap_str s, size_t *i, enum part *next, struct kap_error *err)
{
    if (*i >= s.n || s.p[*i] == ',' || s.p[*i] == ' ')
        return kap_fail(err, KAP_EINVAL, "missing tag value");
    for (++*i; *i < s.n; ++*i) {
        if (s.p[*i - 1] == '\\')
            continue;
        if (s.p[*i] == '=')
            return kap_fail(err, KAP_EINVAL, "invalid tag format");
        if (s.p[*i] == ',') {
            ++*i;
            *next = TAG_KEY;
            return KAP_OK;
        }
        if (s.p[*i] == ' ') {
            *next = FIELDS;
            return KAP_OK;
        }
    }
    return kap_fail(err, KAP_EINVAL, "missing fields");
}

static enum kap_status scan_key(struct kap_str s, size_t *i, struct kap_error *err)
{
    enum part next = FIELDS;
    KAP_TRY(scan_measurement(s, i, &next, err));
    while (next == TAG_KEY) {
        KAP_TRY(scan_tag_key(s, i, err));
        KAP_TRY(scan_tag_value(s, i, &next, err));
    }
    return KAP_OK;
}

/* ---- fields ---- */

static enum kap_status bad_number(struct kap_error *err)
{
    return kap_fail(err, KAP_EINVAL, "invalid number");
}

static bool numeric(char c)
{
    return (c >= '0' && c <= '9') || c == '.';
}

static enum kap_status check_int(struct kap_str digits, struct kap_error *err)
{
    int64_t v;
    if (kap_str_to_i64(digits, &v))
        return KAP_OK;
    return kap_fail(err, KAP_EINVAL,
                    "unable to parse integer %.*s: strconv.ParseInt: parsing \"%.*s\": value out of range",
                    KAP_STR_ARG(digits), KAP_STR_ARG(digits));
}

/* What makes up a number, seen from its characters. */
struct number {
    bool is_int, is_unsigned, decimal, scientific;
};

static bool scan_digits(struct kap_str s, size_t *i, size_t start, struct number *n)
{
    for (; *i < s.n && s.p[*i] != ',' && s.p[*i] != ' '; ++*i) {
        const char c = s.p[*i];
        if ((c == 'i' || c == 'u') && *i > start && !n->is_int && !n->is_unsigned) {
            *(c == 'i' ? &n->is_int : &n->is_unsigned) = true;
            continue;
        }
        if (c == '.') {
            if (n->decimal)
                return false;
            n->decimal = true;
        }
        if (*i > start && (c == 'e' || c == 'E')) {
            n->scientific = true;
            continue;
        }
        if ((c == '+' || c == '-') && (s.p[*i - 1] == 'e' || s.p[*i - 1] == 'E'))
            continue;
        if (!numeric(c))
            return false;
    }
    return true;
}

static enum kap_status scan_number(struct kap_str s, size_t *i, struct kap_error *err)
{
    const size_t start = *i;
    struct number n = { 0 };
    if (at(s, *i, '-') && ++*i == s.n)
        return bad_number(err);
    if (!scan_digits(s, i, start, &n) || n.is_unsigned || (n.is_int && (n.decimal || n.scientific)))
        return bad_number(err);
    const struct kap_str text = kap_strn(s.p + start, *i - start);
    if (text.n == (size_t)n.is_int + n.decimal + (text.n && text.p[0] == '-'))
        return bad_number(err);
    if (n.is_int) {
        if (text.p[text.n - 1] != 'i')
            return bad_number(err);
        return check_int(kap_strn(text.p, text.n - 1), err);
    }
    double f;
    if (!kap_number_parse(text.p, text.n, &f) || !isfinite(f))
        return kap_fail(err, KAP_EINVAL, "invalid float");
    return KAP_OK;
}

static bool is_bool(struct kap_str s, bool *ret)
{
    static const char *const yes[] = { "t", "T", "true", "True", "TRUE" };
    static const char *const no[] = { "f", "F", "false", "False", "FALSE" };
    for (size_t i = 0; i < KAP_COUNT(yes); i++) {
        if (kap_str_is(s, yes[i]) || kap_str_is(s, no[i])) {
            *ret = kap_str_is(s, yes[i]);
            return true;
        }
    }
    return false;
}

static enum kap_status scan_bool(struct kap_str s, size_t *i, struct kap_error *err)
{
    const size_t start = *i;
    while (*i < s.n && s.p[*i] != ',' && s.p[*i] != ' ')
        ++*i;
    bool b;
    if (!is_bool(kap_strn(s.p + start, *i - start), &b))
        return kap_fail(err, KAP_EINVAL, "invalid boolean");
    return KAP_OK;
}

/* The value after the '=' at i: its first character decides what it must be. Strings are left to the caller.
 */
static enum kap_status scan_value(struct kap_str s, size_t *i, struct kap_error *err)
{
    const size_t eq = *i;
    if ((s.p[eq - 1] == ' ' || s.p[eq - 1] == ',') && (eq < 2 || s.p[eq - 2] != '\\'))
        return kap_fail(err, KAP_EINVAL, "missing field key");
    if (eq + 1 >= s.n || s.p[eq + 1] == ',' || s.p[eq + 1] == ' ')
        return kap_fail(err, KAP_EINVAL, "missing field value");
    const char first = s.p[eq + 1];
    ++*i;
    if (numeric(first) || first == '-' || first == 'N' || first == 'n')
        return scan_number(s, i, err);
    if (first != '"')
        return scan_bool(s, i, err);
    return KAP_OK;
}

static enum kap_status scan_fields(struct kap_str s, size_t *i, struct kap_error *err)
{
    bool quoted = false;
    size_t equals = 0, commas = 0;
    while (*i < s.n) {
        const char c = s.p[*i];
        if (c == '\\' && *i + 1 < s.n) {
            *i += 2;
            continue;
        }
        if (c == '"' && equals > commas) {
            quoted = !quoted;
        } else if (c == '=' && !quoted) {
            equals++;
            KAP_TRY(scan_value(s, i, err));
            continue;
        } else if (c == ',' && !quoted) {
            commas++;
        } else if (c == ' ' && !quoted) {
            break;
        }
        ++*i;
    }
    if (quoted)
        return kap_fail(err, KAP_EINVAL, "unbalanced quotes");
    if (equals == 0 || commas != equals - 1)
        return kap_fail(err, KAP_EINVAL, "invalid field format");
    return KAP_OK;
}

static size_t to_equals(struct kap_str s, size_t i)
{
    const size_t start = i;
    while (i < s.n && !(s.p[i] == '=' && (i == start || s.p[i - 1] != '\\')))
        i++;
    return i;
}

static size_t value_end(struct kap_str s, size_t i)
{
    bool quoted = false;
    for (; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n && (s.p[i + 1] == '"' || s.p[i + 1] == '\\'))
            i++;
        else if (s.p[i] == '"')
            quoted = !quoted;
        else if (s.p[i] == ',' && !quoted)
            break;
    }
    return KAP_MIN(i, s.n);
}

/* What a backslash may hide in a field key. */
static bool hides(char c)
{
    return c == ',' || c == '"' || c == ' ' || c == '=';
}

static struct kap_str unescape_key(struct kap_str s, struct kap_buf *buf)
{
    kap_buf_reset(buf);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n && hides(s.p[i + 1]))
            i++;
        kap_buf_addc(buf, s.p[i]);
    }
    return kap_buf_str(buf);
}

static struct kap_str unescape_string(struct kap_str s, struct kap_buf *buf)
{
    kap_buf_reset(buf);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n && (s.p[i + 1] == '\\' || s.p[i + 1] == '"'))
            i++;
        kap_buf_addc(buf, s.p[i]);
    }
    return kap_buf_str(buf);
}

static struct kap_value to_value(struct kap_line_parser *lp, struct kap_str s)
{
    struct kap_value v = { .type = KAP_MISSING };
    if (s.p[0] == '"') {
        const struct kap_str inner = kap_strn(s.p + 1, s.n >= 2 ? s.n - 2 : 0);
        return kap_value_s(kap_line_text(lp->out, unescape_string(inner, &lp->scratch)));
    }
    if (numeric(s.p[0]) || s.p[0] == '-') {
        if (s.p[s.n - 1] == 'i') {
            v.type = KAP_INT;
            (void)kap_str_to_i64(kap_strn(s.p, s.n - 1), &v.i);
        } else {
            v.type = KAP_FLOAT;
            (void)kap_number_parse(s.p, s.n, &v.f);
        }
        return v;
    }
    v.type = KAP_BOOL;
    (void)is_bool(s, &v.b);
    return v;
}

/* Sets a field; of equal keys the last value counts, at the place of the first. */
static void set_field(struct kap_line_batch *b, size_t first, const struct kap_sym *key, struct kap_value v)
{
    for (size_t i = first; i < b->nfields; i++) {
        if (b->fields[i].key == key) {
            b->fields[i].v = v;
            return;
        }
    }
    struct kap_field *f = kap_line_room(b, 1);
    *f = (struct kap_field){ key, v };
    b->nfields++;
}

static enum kap_status take_fields(struct kap_line_parser *lp, struct kap_str s, struct kap_error *err)
{
    struct kap_line_batch *b = lp->out;
    const size_t first = b->nfields;
    for (size_t i = 0; i < s.n;) {
        const size_t eq = to_equals(s, i);
        const size_t end = value_end(s, KAP_MIN(eq + 1, s.n));
        const struct kap_str key = kap_strn(s.p + i, eq - i);
        const struct kap_str val = eq + 1 < end ? kap_strn(s.p + eq + 1, end - eq - 1) : kap_strn("", 0);
        i = end + 1;
        if (key.n == 0 || val.n == 0)
            continue;
        const struct kap_sym *y = kap_series_name(lp->cache, unescape_key(key, &lp->scratch));
        if (!y)
            return kap_fail(err, KAP_ELIMIT, "too many distinct names of measurements, tags and fields");
        set_field(b, first, y, to_value(lp, val));
    }
    return KAP_OK;
}

static enum kap_status check_key_lengths(struct kap_str fields, size_t nkey, struct kap_error *err)
{
    for (size_t i = 0; i < fields.n;) {
        const size_t eq = to_equals(fields, i);
        const size_t n = nkey + 4 + (eq - i);
        if (n > KAP_LINE_KEY_MAX)
            return kap_fail(err, KAP_EINVAL, "max key length exceeded: %zu > %d", n, KAP_LINE_KEY_MAX);
        i = value_end(fields, KAP_MIN(eq + 1, fields.n)) + 1;
    }
    return KAP_OK;
}

/* ---- time ---- */

enum kap_status kap_line_time(int64_t units, int64_t unit_ns, int64_t *ret_ns, struct kap_error *err)
{
    int64_t ns;
    if (__builtin_mul_overflow(units, unit_ns, &ns) || ns < TIME_MIN || ns > TIME_MAX)
        return kap_fail(err, KAP_EINVAL, "time outside range %" PRId64 " - %" PRId64, TIME_MIN, TIME_MAX);
    *ret_ns = ns;
    return KAP_OK;
}

static enum kap_status parse_time(struct kap_line_parser *lp, struct kap_str s, size_t i, int64_t *ret_ns,
                                  struct kap_error *err)
{
    const size_t start = i = skip_space(s, i);
    for (; i < s.n && s.p[i] != '\n' && s.p[i] != ' '; i++)
        if ((s.p[i] < '0' || s.p[i] > '9') && !(i == start && s.p[i] == '-'))
            return kap_fail(err, KAP_EINVAL, "bad timestamp");
    const struct kap_str digits = kap_strn(s.p + start, i - start);
    if (digits.n == 0) {
        *ret_ns = lp->default_ns;
        return KAP_OK;
    }
    int64_t units;
    if (!kap_str_to_i64(digits, &units))
        return kap_fail(err, KAP_EINVAL, "strconv.ParseInt: parsing \"%.*s\": %s", KAP_STR_ARG(digits),
                        kap_str_is(digits, "-") ? "invalid syntax" : "value out of range");
    KAP_TRY(kap_line_time(units, lp->opts->unit_ns, ret_ns, err));
    for (; i < s.n; i++)
        if (s.p[i] != ' ')
            return kap_fail(err, KAP_EINVAL, "point is invalid");
    return KAP_OK;
}

enum kap_status kap_line_careful(struct kap_line_parser *lp, struct kap_str line, struct kap_error *err)
{
    size_t i = 0;
    KAP_TRY(scan_key(line, &i, err));
    const struct kap_str key = kap_strn(line.p, i);
    if (key.n > KAP_LINE_KEY_MAX)
        return kap_fail(err, KAP_EINVAL, "max key length exceeded: %zu > %d", key.n, KAP_LINE_KEY_MAX);
    struct kap_series *s = NULL;
    KAP_TRY(kap_line_series(lp, key, &s, err));
    const size_t start = i = skip_space(line, i);
    KAP_TRY(scan_fields(line, &i, err));
    const struct kap_str fields = kap_strn(line.p + start, i - start);
    KAP_TRY(check_key_lengths(fields, key.n, err));
    int64_t time_ns = 0;
    KAP_TRY(parse_time(lp, line, i, &time_ns, err));
    const size_t first = lp->out->nfields;
    KAP_TRY(take_fields(lp, fields, err));
    if (lp->opts->discard)
        lp->out->nfields = first;
    kap_line_push_point(lp, s, time_ns, (uint32_t)(lp->out->nfields - first));
    return KAP_OK;
}
