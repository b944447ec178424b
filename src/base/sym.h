/* Interned strings: one object for each distinct text, so that equality is pointer equality.
 * For measurement, database, policy, field-key and tag-key names, which are few. Never for tag values.
 * Ownership: symbols live as long as the process. Threads: all; look-ups of existing symbols take no lock. */
#ifndef KAP_BASE_SYM_H
#define KAP_BASE_SYM_H

#include "base/str.h"

struct kap_sym {
    uint32_t id;            /* dense, from 1, in order of first use: never let output depend on it */
    uint32_t n;
    uint64_t hash;
    char s[];               /* terminated */
};

const struct kap_sym *kap_sym(struct kap_str s);       /* interns */
const struct kap_sym *kap_sym_c(const char *s);
const struct kap_sym *kap_sym_find(struct kap_str s);  /* NULL: never seen */
extern const struct kap_sym *const kap_sym_empty;      /* "" ; valid before main */
static inline struct kap_str kap_sym_str(const struct kap_sym *y)
{
    return (struct kap_str){ y->s, y->n };
}
/* Byte order of the texts. */
int kap_sym_cmp(const struct kap_sym *a, const struct kap_sym *b);

#endif
