/* String functions with the meaning of Go's package strings: positions are bytes, character sets are code points;
 * a byte that is not UTF-8 counts as one character, U+FFFD. */
#include "lambda/functions_str.h"
#include "base/buf.h"
#include "lambda/internal.h"
#include <locale.h>
#include <pthread.h>
#include <wctype.h>

#define RUNE_ERROR 0xfffd
#define RESULT_BYTES ((size_t)16 * 1024 * 1024) /* strReplace can multiply */

static size_t rune_at(const char *p, size_t n, uint32_t *ret)
{
    const size_t width = kap_utf8_decode(p, n, ret);
    if (width)
        return width;
    *ret = RUNE_ERROR;
    return 1;
}

/* The character that ends at s.p[end]; end > 0. */
static size_t rune_before(struct kap_str s, size_t end, uint32_t *ret)
{
    for (size_t width = 1; width <= 4 && width <= end; width++)
        if (kap_utf8_decode(s.p + end - width, width, ret) == width)
            return width;
    *ret = RUNE_ERROR;
    return 1;
}

static bool in_set(struct kap_str set, uint32_t rune)
{
    uint32_t other;
    for (size_t i = 0; i < set.n;) {
        i += rune_at(set.p + i, set.n - i, &other);
        if (other == rune)
            return true;
    }
    return false;
}

static int64_t index_of(struct kap_str s, struct kap_str part, size_t from)
{
    if (part.n == 0)
        return (int64_t)from;
    const char *p = s.n > from ? memmem(s.p + from, s.n - from, part.p, part.n) : NULL;
    return p ? p - s.p : -1;
}

static int64_t last_index_of(struct kap_str s, struct kap_str part)
{
    if (part.n > s.n)
        return -1;
    for (size_t i = s.n - part.n + 1; i-- > 0;)
        if (part.n == 0 || memcmp(s.p + i, part.p, part.n) == 0)
            return (int64_t)i;
    return -1;
}

static int64_t index_any(struct kap_str s, struct kap_str set)
{
    uint32_t rune;
    size_t width;
    for (size_t i = 0; i < s.n; i += width) {
        width = rune_at(s.p + i, s.n - i, &rune);
        if (in_set(set, rune))
            return (int64_t)i;
    }
    return -1;
}

static int64_t last_index_any(struct kap_str s, struct kap_str set)
{
    uint32_t rune;
    for (size_t end = s.n; end > 0;) {
        end -= rune_before(s, end, &rune);
        if (in_set(set, rune))
            return (int64_t)end;
    }
    return -1;
}

static int64_t count_runes(struct kap_str s)
{
    int64_t n = 0;
    uint32_t rune;
    for (size_t i = 0; i < s.n; n++)
        i += rune_at(s.p + i, s.n - i, &rune);
    return n;
}

static int64_t count_parts(struct kap_str s, struct kap_str part)
{
    if (part.n == 0)
        return count_runes(s) + 1;
    int64_t n = 0;
    for (int64_t i = 0; (i = index_of(s, part, (size_t)i)) >= 0; i += (int64_t)part.n)
        n++;
    return n;
}

static struct kap_str trim_left(struct kap_str s, struct kap_str set)
{
    uint32_t rune;
    while (s.n) {
        const size_t width = rune_at(s.p, s.n, &rune);
        if (!in_set(set, rune))
            break;
        s = kap_strn(s.p + width, s.n - width);
    }
    return s;
}

static struct kap_str trim_right(struct kap_str s, struct kap_str set)
{
    uint32_t rune;
    while (s.n) {
        const size_t width = rune_before(s, s.n, &rune);
        if (!in_set(set, rune))
            break;
        s.n -= width;
    }
    return s;
}

/* --- case --- */

static locale_t unicode;

/* The rules of Unicode, whatever the environment says; without them ASCII only. */
static void open_unicode(void)
{
    unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!unicode)
        unicode = newlocale(LC_CTYPE_MASK, "C", (locale_t)0);
}

static locale_t unicode_locale(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_unicode);
    return unicode;
}

static uint32_t change_case(uint32_t rune, bool upper)
{
    if (rune < 0x80) {
        const bool other = upper ? rune >= 'a' && rune <= 'z' : rune >= 'A' && rune <= 'Z';
        return other ? rune ^ 0x20 : rune;
    }
    return (uint32_t)(upper ? towupper_l(rune, unicode_locale()) : towlower_l(rune, unicode_locale()));
}

static struct kap_str with_case(struct kap_run *r, struct kap_str s, bool upper)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    uint32_t rune;
    char text[4];
    for (size_t i = 0; i < s.n;) {
        i += rune_at(s.p + i, s.n - i, &rune);
        kap_buf_addn(&b, text, kap_utf8_encode(change_case(rune, upper), text));
    }
    return kap_arena_str(r->env->scratch, kap_buf_str(&b));
}

/* --- the functions --- */

#define DEFINE(name, value)                                                                                      \
    KAP_STRING_FN(name)                                                                                          \
    {                                                                                                            \
        *ret = (value);                                                                                          \
        return true;                                                                                             \
    }
#define A args[0].s
#define B args[1].s

DEFINE(str_contains, kap_value_b(index_of(A, B, 0) >= 0))
DEFINE(str_contains_any, kap_value_b(index_any(A, B) >= 0))
DEFINE(str_count, kap_value_i(count_parts(A, B)))
DEFINE(str_has_prefix, kap_value_b(kap_str_has_prefix(A, B)))
DEFINE(str_has_suffix, kap_value_b(kap_str_has_suffix(A, B)))
DEFINE(str_index, kap_value_i(index_of(A, B, 0)))
DEFINE(str_index_any, kap_value_i(index_any(A, B)))
DEFINE(str_last_index, kap_value_i(last_index_of(A, B)))
DEFINE(str_last_index_any, kap_value_i(last_index_any(A, B)))
DEFINE(str_length, kap_value_i((int64_t)A.n))
DEFINE(str_to_lower, kap_value_s(with_case(r, A, false)))
DEFINE(str_to_upper, kap_value_s(with_case(r, A, true)))
DEFINE(str_trim, kap_value_s(trim_right(trim_left(A, B), B)))
DEFINE(str_trim_left, kap_value_s(trim_left(A, B)))
DEFINE(str_trim_right, kap_value_s(trim_right(A, B)))
DEFINE(str_trim_prefix, kap_value_s(kap_str_has_prefix(A, B) ? kap_strn(A.p + B.n, A.n - B.n) : A))
DEFINE(str_trim_suffix, kap_value_s(kap_str_has_suffix(A, B) ? kap_strn(A.p, A.n - B.n) : A))

KAP_STRING_FN(str_trim_space)
{
    const struct kap_str spaces = KAP_STR("\t\n\v\f\r \xc2\x85\xc2\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
                                          "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000");
    *ret = kap_value_s(trim_right(trim_left(A, spaces), spaces));
    return true;
}

KAP_STRING_FN(str_substring)
{
    const int64_t start = args[1].i, stop = args[2].i;
    if (start < 0 || stop < 0) {
        kap_fail(err, KAP_EINVAL, "found negative index for strSubstring: %lld", (long long)(start < 0 ? start : stop));
        return false;
    }
    if ((uint64_t)stop >= A.n) {
        kap_fail(err, KAP_EINVAL, "stop index too large for string in strSubstring: %lld", (long long)stop);
        return false;
    }
    if (start > stop) {
        kap_fail(err, KAP_EINVAL, "runtime error: slice bounds out of range [%lld:%lld]", (long long)start,
                 (long long)stop);
        return false;
    }
    *ret = kap_value_s(kap_strn(A.p + start, (size_t)(stop - start)));
    return true;
}

/* An empty `part` stands before each character and at the end. */
static void replace(struct kap_buf *b, struct kap_str s, struct kap_str part, struct kap_str with, int64_t times)
{
    size_t from = 0;
    for (int64_t i = 0; i < times; i++) {
        size_t at;
        if (part.n == 0) {
            uint32_t rune;
            at = from + (i > 0 ? rune_at(s.p + from, s.n - from, &rune) : 0);
        } else {
            at = (size_t)index_of(s, part, from);
        }
        kap_buf_addn(b, s.p + from, at - from);
        kap_buf_add(b, with);
        from = at + part.n;
    }
    kap_buf_addn(b, s.p + from, s.n - from);
}

KAP_STRING_FN(str_replace)
{
    int64_t times = count_parts(A, B);
    if (args[3].i >= 0 && args[3].i < times)
        times = args[3].i;
    if (times == 0 || kap_str_eq(B, args[2].s)) {
        *ret = args[0];
        return true;
    }
    KAP_AUTO_BUF struct kap_buf b = { .max = RESULT_BYTES };
    replace(&b, A, B, args[2].s, times);
    if (b.failed) {
        kap_fail(err, KAP_ELIMIT, "the result of strReplace is longer than %zu bytes", RESULT_BYTES);
        return false;
    }
    *ret = kap_value_s(kap_arena_str(r->env->scratch, kap_buf_str(&b)));
    return true;
}

KAP_STRING_FN(regex_replace)
{
    KAP_AUTO_BUF struct kap_buf b = { .max = RESULT_BYTES };
    if (kap_regex_replace(args[0].re, B, args[2].s, &b, err) != KAP_OK)
        return false;
    if (b.failed) {
        kap_fail(err, KAP_ELIMIT, "the result of regexReplace is longer than %zu bytes", RESULT_BYTES);
        return false;
    }
    *ret = kap_value_s(kap_arena_str(r->env->scratch, kap_buf_str(&b)));
    return true;
}
