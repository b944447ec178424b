#include "base/number.h"
#include "base/mem.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGITS_MAX 17

/* A double as decimal digits d1 d2 .. dn and the position of the point: 0.d1d2..dn x 10^point. */
struct decimal {
    char digits[800];
    int n, point;
    bool negative;
};

static void trim_zeros(struct decimal *d)
{
    while (d->n > 1 && d->digits[d->n - 1] == '0')
        d->n--;
}

/* `count` significant digits, correctly rounded (glibc's printf is exact). */
static void digits_of(double f, int count, struct decimal *d)
{
    char text[832];
    snprintf(text, sizeof text, "%.*e", count - 1, fabs(f));
    d->negative = signbit(f);
    d->digits[0] = '0';
    d->n = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p != '.')
            d->digits[d->n++] = *p;
    d->point = (int)strtol(p + 1, NULL, 10) + 1;
    if (f == 0)
        d->point = 1;
}

static double value_of(const struct decimal *d)
{
    char text[64];
    snprintf(text, sizeof text, "0.%.*se%d", d->n, d->digits, d->point);
    return strtod(text, NULL);
}

/* At a power of two the gap below is half the gap above, so the nearest decimal of n digits may miss where the next
 * one up reads back. */
static bool neighbour_reads_back(double f, struct decimal *d)
{
    struct decimal up = *d;
    int i = up.n - 1;
    while (i >= 0 && up.digits[i] == '9')
        up.digits[i--] = '0';
    if (i < 0)
        return false;
    up.digits[i]++;
    if (value_of(&up) != fabs(f))
        return false;
    *d = up;
    return true;
}

static void shortest(double f, struct decimal *d)
{
    const int first = fabs(f) < DBL_MIN ? 1 : 15; /* any 15 digits survive a normal double */
    for (int count = first; count < DIGITS_MAX; count++) {
        digits_of(f, count, d);
        if (value_of(d) == fabs(f) || neighbour_reads_back(f, d)) {
            trim_zeros(d);
            return;
        }
    }
    digits_of(f, DIGITS_MAX, d);
    trim_zeros(d);
}

static void add_plain(struct kap_buf *b, const struct decimal *d, int precision)
{
    if (d->point <= 0)
        kap_buf_addc(b, '0');
    for (int i = 0; i < d->point; i++)
        kap_buf_addc(b, i < d->n ? d->digits[i] : '0');
    const int decimals = precision >= 0 ? precision : KAP_MAX(d->n - d->point, 0);
    if (decimals > 0)
        kap_buf_addc(b, '.');
    for (int i = 0; i < decimals; i++) {
        const int at = d->point + i;
        kap_buf_addc(b, at >= 0 && at < d->n ? d->digits[at] : '0');
    }
}

static void add_exponent(struct kap_buf *b, const struct decimal *d, char e, int digits, int least)
{
    kap_buf_addc(b, d->digits[0]);
    if (digits > 1)
        kap_buf_addc(b, '.');
    for (int i = 1; i < digits; i++)
        kap_buf_addc(b, i < d->n ? d->digits[i] : '0');
    const int exponent = d->point - 1;
    kap_buf_addf(b, "%c%c%0*d", e, exponent < 0 ? '-' : '+', least, abs(exponent));
}

static bool add_special(struct kap_buf *b, double f)
{
    if (isfinite(f))
        return false;
    kap_buf_adds(b, isnan(f) ? "NaN" : f > 0 ? "+Inf" : "-Inf");
    return true;
}

void kap_number_json(struct kap_buf *b, double f)
{
    if (f == floor(f) && fabs(f) < 1e15 && !(f == 0 && signbit(f))) {
        kap_number_i64(b, (int64_t)f);
        return;
    }
    if (add_special(b, f))
        return;
    struct decimal d;
    shortest(f, &d);
    if (d.negative)
        kap_buf_addc(b, '-');
    if (f != 0 && (fabs(f) < 1e-6 || fabs(f) >= 1e21))
        add_exponent(b, &d, 'e', d.n, 1);
    else
        add_plain(b, &d, -1);
}

/* %g as strconv has it: the exponent form from 1e6 on in the shortest form (from 10^precision else), below 1e-4. */
static void format_general(struct kap_buf *b, double f, struct decimal *d, char e, int precision)
{
    int limit = 6;
    if (precision < 0) {
        shortest(f, d);
    } else {
        limit = KAP_MAX(precision, 1);
        digits_of(f, limit, d);
        trim_zeros(d);
        if (limit > d->n && d->n >= d->point)
            limit = d->n;
    }
    const int exponent = d->point - 1;
    if (d->negative)
        kap_buf_addc(b, '-');
    if (exponent < -4 || exponent >= limit)
        add_exponent(b, d, e, d->n, 2);
    else
        add_plain(b, d, -1);
}

void kap_number_format(struct kap_buf *b, double f, char verb, int precision)
{
    if (add_special(b, f))
        return;
    struct decimal d;
    switch (verb) {
    case 'e':
    case 'E':
        if (precision < 0)
            shortest(f, &d);
        else
            digits_of(f, KAP_MIN(precision, 700) + 1, &d);
        if (d.negative)
            kap_buf_addc(b, '-');
        add_exponent(b, &d, verb, precision < 0 ? d.n : precision + 1, 2);
        return;
    case 'f':
    case 'F':
        if (precision >= 0) {
            kap_buf_addf(b, "%.*f", KAP_MIN(precision, 700), f);
            return;
        }
        shortest(f, &d);
        if (d.negative)
            kap_buf_addc(b, '-');
        add_plain(b, &d, -1);
        return;
    default:
        format_general(b, f, &d, verb == 'G' ? 'E' : 'e', precision > 700 ? 700 : precision);
    }
}

void kap_number_u64(struct kap_buf *b, uint64_t u)
{
    char text[20];
    size_t i = sizeof text;
    do
        text[--i] = (char)('0' + u % 10);
    while ((u /= 10) != 0);
    kap_buf_addn(b, text + i, sizeof text - i);
}

void kap_number_i64(struct kap_buf *b, int64_t i)
{
    if (i < 0)
        kap_buf_addc(b, '-');
    kap_number_u64(b, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
}

/* What strtod needs: a terminated copy. Long digit strings are legal, so the copy may be on the heap. */
static double parse_slow(const char *p, size_t n)
{
    char local[128];
    char *text = n < sizeof local ? local : kap_alloc(n + 1);
    memcpy(text, p, n);
    text[n] = '\0';
    const double value = strtod(text, NULL);
    if (text != local)
        kap_free(text);
    return value;
}

struct scan {
    uint64_t mantissa;
    int digits, exponent; /* of the mantissa; digits counts from the first non-zero one */
    bool any;
};

static const char *scan_digits(const char *p, const char *end, struct scan *s, bool fraction)
{
    for (; p < end; p++) {
        const unsigned digit = (unsigned char)*p - (unsigned)'0';
        if (digit > 9)
            break;
        s->any = true;
        if (s->digits < 19) {
            s->mantissa = s->mantissa * 10 + digit;
            s->digits += s->mantissa != 0;
            s->exponent -= fraction;
        } else {
            s->digits++;
            s->exponent += !fraction;
        }
    }
    return p;
}

bool kap_number_parse(const char *p, size_t n, double *ret)
{
    static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                     1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    const char *at = p, *const end = p + n;
    const bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    struct scan s = { 0 };
    at = scan_digits(at, end, &s, false);
    if (at < end && *at == '.')
        at = scan_digits(at + 1, end, &s, true);
    if (!s.any)
        return false;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        const bool minus = at < end && *at == '-';
        if (at < end && (*at == '-' || *at == '+'))
            at++;
        if (at == end)
            return false;
        int exponent = 0;
        for (; at < end && *at >= '0' && *at <= '9'; at++)
            exponent = KAP_MIN(exponent * 10 + (*at - '0'), 100000);
        s.exponent += minus ? -exponent : exponent;
    }
    if (at != end)
        return false;
    /* Exact when mantissa and power are both exactly representable (Clinger's fast path). */
    if (s.digits <= 19 && s.mantissa <= UINT64_C(1) << 53 && s.exponent >= -22 && s.exponent <= 22) {
        double value = (double)s.mantissa;
        value = s.exponent < 0 ? value / powers[-s.exponent] : value * powers[s.exponent];
        *ret = negative ? -value : value;
        return true;
    }
    *ret = parse_slow(p, n);
    return true;
}
