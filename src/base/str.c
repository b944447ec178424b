#include "base/str.h"
#include "base/mem.h"
#include "base/number.h"
#include <ctype.h>
#include <math.h>
#include <strings.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

int kap_str_cmp(struct kap_str a, struct kap_str b)
{
    const size_t n = KAP_MIN(a.n, b.n);
    const int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

bool kap_str_has_prefix(struct kap_str s, struct kap_str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool kap_str_has_suffix(struct kap_str s, struct kap_str suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

struct kap_str kap_str_trim(struct kap_str s)
{
    while (s.n && isspace((unsigned char)s.p[0]))
        s.p++, s.n--;
    while (s.n && isspace((unsigned char)s.p[s.n - 1]))
        s.n--;
    return s;
}

uint64_t kap_str_hash(struct kap_str s)
{
    return XXH3_64bits(s.p ? s.p : "", s.n);
}

bool kap_str_to_i64(struct kap_str s, int64_t *ret)
{
    size_t i = 0;
    const bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        i = 1;
    if (i == s.n)
        return false;
    uint64_t value = 0;
    const uint64_t limit = (uint64_t)INT64_MAX + negative;
    for (; i < s.n; i++) {
        const unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';
        if (digit > 9 || value > (limit - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static bool special_float(struct kap_str s, double *ret)
{
    const bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s.p++, s.n--;
    const bool inf = (s.n == 3 && strncasecmp(s.p, "inf", 3) == 0) ||
                     (s.n == 8 && strncasecmp(s.p, "infinity", 8) == 0);
    if (!inf && !(s.n == 3 && strncasecmp(s.p, "nan", 3) == 0))
        return false;
    *ret = !inf ? (double)NAN : negative ? -(double)INFINITY : (double)INFINITY;
    return true;
}

bool kap_str_to_f64(struct kap_str s, double *ret)
{
    double value;
    if (!kap_number_parse(s.p, s.n, &value))
        return special_float(s, ret);
    if (isinf(value))
        return false; /* out of range */
    *ret = value;
    return true;
}

size_t kap_utf8_decode(const char *p, size_t n, uint32_t *ret)
{
    if (n == 0)
        return 0;
    const unsigned char *u = (const unsigned char *)p;
    if (u[0] < 0x80) {
        *ret = u[0];
        return 1;
    }
    const size_t len = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (u[0] < 0xc2 || u[0] > 0xf4 || n < len)
        return 0;
    uint32_t rune = u[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return 0;
        rune = rune << 6 | (u[i] & 0x3f);
    }
    if ((len == 3 && (rune < 0x800 || (rune >= 0xd800 && rune < 0xe000))) ||
        (len == 4 && (rune < 0x10000 || rune > 0x10ffff)))
        return 0;
    *ret = rune;
    return len;
}

size_t kap_utf8_encode(uint32_t rune, char out[4])
{
    if (rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000))
        rune = 0xfffd;
    if (rune < 0x80) {
        out[0] = (char)rune;
        return 1;
    }
    const size_t len = rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, rune >>= 6)
        out[i] = (char)(0x80 | (rune & 0x3f));
    out[0] = (char)((0xf00 >> len & 0xff) | rune);
    return len;
}

/* One [..] class at p[*i] (after the bracket) against c: 1, 0, -1 bad; *i is left behind the closing bracket. */
static int glob_class(struct kap_str p, size_t *i, uint32_t c)
{
    bool negated = false, hit = false, any = false;
    if (*i < p.n && p.p[*i] == '^') {
        negated = true;
        (*i)++;
    }
    while (*i < p.n && (p.p[*i] != ']' || !any)) {
        uint32_t bound[2];
        for (int k = 0; k < 2; k++) {
            if (k == 1) {
                bound[1] = bound[0];
                if (*i >= p.n || p.p[*i] != '-')
                    break;
                (*i)++;
            }
            if (*i >= p.n || p.p[*i] == '-' || p.p[*i] == ']')
                return -1;
            if (p.p[*i] == '\\' && ++*i >= p.n)
                return -1;
            const size_t len = kap_utf8_decode(p.p + *i, p.n - *i, &bound[k]);
            if (!len)
                return -1;
            *i += len;
        }
        any = true;
        hit |= bound[0] <= c && c <= bound[1];
    }
    if (*i >= p.n)
        return -1;
    (*i)++;
    return hit != negated;
}

static bool glob_valid(struct kap_str p)
{
    for (size_t i = 0; i < p.n;) {
        if (p.p[i] == '\\') {
            if (i + 1 >= p.n)
                return false;
            i += 2;
        } else if (p.p[i++] == '[' && glob_class(p, &i, 0) < 0) {
            return false;
        }
    }
    return true;
}

/* Matches the single-character pattern item at p[*pi] against s[*si]; moves both on success. */
static bool glob_one(struct kap_str p, size_t *pi, struct kap_str s, size_t *si)
{
    uint32_t c;
    size_t len = kap_utf8_decode(s.p + *si, s.n - *si, &c);
    if (!len) {
        c = 0xfffd;
        len = 1;
    }
    size_t i = *pi;
    if (p.p[i] == '?' || p.p[i] == '[') {
        if (c == '/')
            return false;
        i++;
        if (p.p[*pi] == '[' && glob_class(p, &i, c) != 1)
            return false;
    } else {
        if (p.p[i] == '\\')
            i++;
        if (p.p[i] != s.p[*si])
            return false;
        i++;
        len = 1;
    }
    *pi = i;
    *si += len;
    return true;
}

int kap_glob(struct kap_str p, struct kap_str s)
{
    if (!glob_valid(p))
        return -1;
    size_t pi = 0, si = 0, star = SIZE_MAX, mark = 0;
    while (si < s.n) {
        if (pi < p.n && p.p[pi] == '*') {
            star = ++pi;
            mark = si;
        } else if (pi < p.n && glob_one(p, &pi, s, &si)) {
            /* moved on */
        } else if (star != SIZE_MAX && s.p[mark] != '/') {
            pi = star;
            si = ++mark;
        } else {
            return 0;
        }
    }
    while (pi < p.n && p.p[pi] == '*')
        pi++;
    return pi == p.n;
}

static size_t distance(const char *a, const char *b, size_t limit)
{
    const size_t n = strlen(a), m = strlen(b);
    if (n > 63 || m > 63 || (n > m ? n - m : m - n) > limit)
        return limit + 1;
    size_t row[64];
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            const size_t change = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            diagonal = row[j];
            row[j] = KAP_MIN(change, KAP_MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}

int kap_closest(const char *name, const char *const *names, size_t n)
{
    int best = -1;
    size_t best_distance = strlen(name) / 3 + 1;
    for (size_t i = 0; i < n; i++) {
        const size_t d = distance(name, names[i], best_distance);
        if (d < best_distance || (best < 0 && d == best_distance)) {
            best = (int)i;
            best_distance = d;
        }
    }
    return best;
}
