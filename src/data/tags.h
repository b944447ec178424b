/* Tag sets: immutable, shared, sorted by key in byte order. A series is an interned measurement and tag set;
 * a tag set made by a node (eval.tags, default, delete, join..) is a fresh object. Ownership: shared
 * (kap_tags_ref / kap_tags_unref). Threads: all (counts are atomic). */
#ifndef KAP_DATA_TAGS_H
#define KAP_DATA_TAGS_H

#include "base/sym.h"

struct kap_tag {
    const struct kap_sym *key;
    struct kap_str val;
};

struct kap_tags {
    _Atomic uint32_t refs;
    uint32_t n;
    uint64_t hash; /* of all keys and values; the same on every member */
    struct kap_tag v[];
};

extern const struct kap_tags *const kap_tags_empty;

/* A new set with copies of the values; `v` need not be sorted; of equal keys the last one counts. Owned. */
const struct kap_tags *kap_tags_new(const struct kap_tag *v, size_t n);
const struct kap_tags *kap_tags_ref(const struct kap_tags *t);
void kap_tags_unref(const struct kap_tags *t); /* NULL is fine */
/* NULL: not there. The result is borrowed from t. */
const struct kap_str *kap_tags_get(const struct kap_tags *t, const struct kap_sym *key);
bool kap_tags_eq(const struct kap_tags *a, const struct kap_tags *b);
size_t kap_tags_bytes(const struct kap_tags *t); /* memory of the object, for accounting */

#endif
