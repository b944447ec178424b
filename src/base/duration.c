#include "base/duration.h"
#include "base/mem.h"
#include "base/number.h"
#include <math.h>

struct unit {
    struct kap_str text;
    int64_t ns;
};

static const struct unit influx_units[] = {
    { { "ms", 2 }, KAP_MS },          { { "u", 1 }, KAP_US },          { { "\xc2\xb5", 2 }, KAP_US },
    { { "s", 1 }, KAP_S },            { { "m", 1 }, KAP_MINUTE },      { { "h", 1 }, KAP_HOUR },
    { { "d", 1 }, 24 * KAP_HOUR },    { { "w", 1 }, 7 * 24 * KAP_HOUR },
};

static const struct unit go_units[] = {
    { { "ns", 2 }, 1 },         { { "us", 2 }, KAP_US }, { { "\xc2\xb5s", 3 }, KAP_US },
    { { "\xce\xbcs", 3 }, KAP_US }, { { "ms", 2 }, KAP_MS }, { { "s", 1 }, KAP_S },
    { { "m", 1 }, KAP_MINUTE }, { { "h", 1 }, KAP_HOUR },
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The longest unit that s starts with; NULL: none. */
static const struct unit *unit_at(struct kap_str s, const struct unit *units, size_t n)
{
    const struct unit *best = NULL;
    for (size_t i = 0; i < n; i++)
        if (kap_str_has_prefix(s, units[i].text) && (!best || units[i].text.n > best->text.n))
            best = &units[i];
    return best;
}

enum kap_status kap_duration_parse_influx(struct kap_str s, int64_t *ret_ns, struct kap_error *err)
{
    const struct kap_str whole = s;
    const bool negative = s.n && s.p[0] == '-';
    if (negative)
        s.p++, s.n--;
    if (s.n < 2)
        return kap_fail(err, KAP_EINVAL, "invalid duration");
    int64_t total = 0;
    while (s.n) {
        size_t digits = 0;
        while (digits < s.n && is_digit(s.p[digits]))
            digits++;
        int64_t count, part;
        if (digits == 0 || !kap_str_to_i64(kap_strn(s.p, digits), &count))
            return kap_fail(err, KAP_EINVAL, "invalid duration");
        const struct unit *unit = unit_at(kap_strn(s.p + digits, s.n - digits), influx_units, KAP_COUNT(influx_units));
        if (!unit)
            return kap_fail(err, KAP_EINVAL, "invalid duration");
        if (__builtin_mul_overflow(count, unit->ns, &part) || __builtin_add_overflow(total, part, &total))
            return kap_fail(err, KAP_EINVAL, "overflowed duration %.*s: choose a smaller duration or INF",
                            KAP_STR_ARG(whole));
        s.p += digits + unit->text.n;
        s.n -= digits + unit->text.n;
    }
    *ret_ns = negative ? -total : total;
    return KAP_OK;
}

/* One "12.5ms" part of a Go duration; the rest of the text in *s. */
static bool go_part(struct kap_str *s, double *ret_ns)
{
    size_t i = 0;
    while (i < s->n && (is_digit(s->p[i]) || s->p[i] == '.'))
        i++;
    double number;
    if (i == 0 || !kap_str_to_f64(kap_strn(s->p, i), &number))
        return false;
    const struct unit *unit = unit_at(kap_strn(s->p + i, s->n - i), go_units, KAP_COUNT(go_units));
    if (!unit)
        return false;
    *ret_ns = number * (double)unit->ns;
    s->p += i + unit->text.n;
    s->n -= i + unit->text.n;
    return true;
}

/* Integer parts are added exactly; fractions through a double, which is exact to the nanosecond where it matters. */
static bool go_add(struct kap_str *s, int64_t *total)
{
    size_t i = 0;
    while (i < s->n && is_digit(s->p[i]))
        i++;
    int64_t count, part;
    if (i > 0 && i < s->n && s->p[i] != '.' && kap_str_to_i64(kap_strn(s->p, i), &count)) {
        const struct unit *unit = unit_at(kap_strn(s->p + i, s->n - i), go_units, KAP_COUNT(go_units));
        if (!unit || __builtin_mul_overflow(count, unit->ns, &part) || __builtin_add_overflow(*total, part, total))
            return false;
        s->p += i + unit->text.n;
        s->n -= i + unit->text.n;
        return true;
    }
    double ns;
    if (!go_part(s, &ns) || ns > 9e18)
        return false;
    return !__builtin_add_overflow(*total, (int64_t)llround(ns), total);
}

enum kap_status kap_duration_parse_go(struct kap_str s, int64_t *ret_ns, struct kap_error *err)
{
    const struct kap_str whole = s;
    const bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s.p++, s.n--;
    if (kap_str_is(s, "0")) {
        *ret_ns = 0;
        return KAP_OK;
    }
    int64_t total = 0;
    if (s.n == 0)
        return kap_fail(err, KAP_EINVAL, "time: invalid duration \"%.*s\"", KAP_STR_ARG(whole));
    while (s.n) {
        const size_t before = s.n;
        if (go_add(&s, &total))
            continue;
        size_t i = 0;
        while (i < before && i < s.n && (is_digit(s.p[i]) || s.p[i] == '.'))
            i++;
        if (i == s.n && i > 0)
            return kap_fail(err, KAP_EINVAL, "time: missing unit in duration \"%.*s\"", KAP_STR_ARG(whole));
        return kap_fail(err, KAP_EINVAL, "time: invalid duration \"%.*s\"", KAP_STR_ARG(whole));
    }
    *ret_ns = negative ? -total : total;
    return KAP_OK;
}

void kap_duration_format_influx(struct kap_buf *b, int64_t ns)
{
    static const struct unit down[] = {
        { { "w", 1 }, 7 * 24 * KAP_HOUR }, { { "d", 1 }, 24 * KAP_HOUR }, { { "h", 1 }, KAP_HOUR },
        { { "m", 1 }, KAP_MINUTE },        { { "s", 1 }, KAP_S },         { { "ms", 2 }, KAP_MS },
    };
    if (ns == 0) {
        kap_buf_adds(b, "0s");
        return;
    }
    for (size_t i = 0; i < KAP_COUNT(down); i++) {
        if (ns % down[i].ns == 0) {
            kap_number_i64(b, ns / down[i].ns);
            kap_buf_add(b, down[i].text);
            return;
        }
    }
    kap_number_i64(b, ns / KAP_US); /* InfluxQL has no smaller unit */
    kap_buf_addc(b, 'u');
}

/* value / 10^digits, as "1.5": trailing zeros and a bare point are dropped. */
static void add_fraction(struct kap_buf *b, uint64_t value, unsigned digits)
{
    uint64_t unit = 1;
    for (unsigned i = 0; i < digits; i++)
        unit *= 10;
    kap_number_u64(b, value / unit);
    uint64_t rest = value % unit;
    if (rest == 0)
        return;
    for (; rest % 10 == 0; digits--)
        rest /= 10;
    kap_buf_addf(b, ".%0*llu", (int)digits, (unsigned long long)rest);
}

void kap_duration_format_go(struct kap_buf *b, int64_t ns)
{
    if (ns == 0) {
        kap_buf_adds(b, "0s");
        return;
    }
    if (ns < 0)
        kap_buf_addc(b, '-');
    const uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (u < (uint64_t)KAP_S) {
        const unsigned digits = u < (uint64_t)KAP_US ? 0 : u < (uint64_t)KAP_MS ? 3 : 6;
        add_fraction(b, u, digits);
        kap_buf_adds(b, digits == 0 ? "ns" : digits == 3 ? "\xc2\xb5s" : "ms");
        return;
    }
    const uint64_t hours = u / (uint64_t)KAP_HOUR, minutes = u / (uint64_t)KAP_MINUTE % 60;
    if (hours)
        kap_buf_addf(b, "%luh", (unsigned long)hours);
    if (hours || minutes)
        kap_buf_addf(b, "%lum", (unsigned long)minutes);
    add_fraction(b, u % (uint64_t)KAP_MINUTE, 9);
    kap_buf_addc(b, 's');
}
