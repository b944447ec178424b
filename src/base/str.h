/* Slices: borrowed text with a length. Not terminated; may hold any byte.
 * Ownership: never owns. Threads: plain values. */
#ifndef KAP_BASE_STR_H
#define KAP_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct kap_str {
    const char *p;
    size_t n;
};

#define KAP_STR(lit) ((struct kap_str){ "" lit, sizeof(lit) - 1 })
#define KAP_STR_ARG(s) (int)(s).n, (s).p /* for "%.*s" */

static inline struct kap_str kap_str(const char *s)
{
    return (struct kap_str){ s, s ? strlen(s) : 0 };
}
static inline struct kap_str kap_strn(const char *p, size_t n)
{
    return (struct kap_str){ p, n };
}
static inline bool kap_str_eq(struct kap_str a, struct kap_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool kap_str_is(struct kap_str a, const char *b)
{
    return kap_str_eq(a, kap_str(b));
}
int kap_str_cmp(struct kap_str a, struct kap_str b);           /* byte order, like strcmp */
bool kap_str_has_prefix(struct kap_str s, struct kap_str prefix);
bool kap_str_has_suffix(struct kap_str s, struct kap_str suffix);
struct kap_str kap_str_trim(struct kap_str s);                 /* ASCII white space off both ends */
uint64_t kap_str_hash(struct kap_str s);                       /* XXH3; the same on every member */
/* Strict decimal int64, whole slice; false on anything else or overflow. */
bool kap_str_to_i64(struct kap_str s, int64_t *ret);
/* Strict float as Go's ParseFloat takes it (decimal, exponents, inf, nan), whole slice, correctly rounded. */
bool kap_str_to_f64(struct kap_str s, double *ret);
/* Length of the valid UTF-8 sequence at p (1..4), its code point in *ret; 0 if invalid or n is 0. */
size_t kap_utf8_decode(const char *p, size_t n, uint32_t *ret);
size_t kap_utf8_encode(uint32_t rune, char out[4]);
/* Shell-style glob as Go's path.Match: 1 match, 0 no match, -1 bad pattern. */
int kap_glob(struct kap_str pattern, struct kap_str name);
/* Edit distance for did-you-mean hints; index of the closest of `names`, or -1 when none is close. */
int kap_closest(const char *name, const char *const *names, size_t n);

#endif
