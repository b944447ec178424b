/* Go's regular expression syntax (the RE2 syntax of Go's regexp/syntax package, Perl flags): checks a pattern with
 * Go's error texts and writes the same expression in PCRE2's syntax, with the meaning of every construct spelled out
 * so that no PCRE2 option changes it. Private to this room. Threads: none of its own. */
#ifndef KAP_LAMBDA_REGEX_SYNTAX_H
#define KAP_LAMBDA_REGEX_SYNTAX_H

#include "base/buf.h"
#include "base/error.h"

struct kap_regex_names {
    size_t ngroups;          /* capture groups, without the whole match */
    struct kap_str *names;   /* ngroups entries, empty when unnamed; owned, texts borrowed from the pattern */
    size_t cap;
};

/* Writes the PCRE2 pattern to out; fills names (the caller frees names->names, also after a failure). */
enum kap_status kap_regex_translate(struct kap_str pattern, struct kap_buf *out, struct kap_regex_names *names,
                                    struct kap_error *err);

#endif
