/* Regular expressions with Go's (RE2) syntax on PCRE2 with JIT and match limits.
 * What Go accepts and PCRE2 spells differently is translated; what Go refuses (look-around, back-references, possessive
 * quantifiers, repeat counts over 1000..) is refused here with Go's message. No pattern can hang: when the match limit
 * is reached the match fails with an error.
 * Ownership: shared, counted. Threads: all (match data is per thread). */
#ifndef KAP_LAMBDA_REGEX_H
#define KAP_LAMBDA_REGEX_H

#include "base/buf.h"
#include "base/error.h"

struct kap_regex;

enum kap_status kap_regex_new(struct kap_str pattern, struct kap_regex **ret, struct kap_error *err);
struct kap_regex *kap_regex_ref(const struct kap_regex *re);
void kap_regex_unref(const struct kap_regex *re); /* NULL is fine */
struct kap_str kap_regex_pattern(const struct kap_regex *re); /* as the user wrote it */
/* Unanchored search, like Go's MatchString. KAP_ELIMIT: the match limit was reached. */
enum kap_status kap_regex_match(const struct kap_regex *re, struct kap_str s, bool *ret, struct kap_error *err);
/* Go's ReplaceAllString: $1, ${1}, $name, $$ expand. */
enum kap_status kap_regex_replace(const struct kap_regex *re, struct kap_str s, struct kap_str with, struct kap_buf *out,
                                  struct kap_error *err);

#endif
