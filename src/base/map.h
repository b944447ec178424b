/* Hash map from byte strings to pointers: open addressing, keys copied, values borrowed.
 * Iteration order is the order of insertion (deletions leave no trace), so that output is deterministic.
 * Ownership: the map owns its key copies only. Threads: one at a time. */
#ifndef KAP_BASE_MAP_H
#define KAP_BASE_MAP_H

#include "base/str.h"

struct kap_map;

struct kap_map *kap_map_new(void);
void kap_map_free(struct kap_map *m);                         /* NULL is fine; values are not freed */
void *kap_map_get(const struct kap_map *m, struct kap_str key);   /* NULL: not there */
void *kap_map_put(struct kap_map *m, struct kap_str key, void *value); /* returns the value replaced, or NULL */
void *kap_map_del(struct kap_map *m, struct kap_str key);     /* returns the value removed, or NULL */
size_t kap_map_len(const struct kap_map *m);
size_t kap_map_bytes(const struct kap_map *m);                /* memory held, for accounting */
/* Iterate: size_t i = 0; while (kap_map_next(m, &i, &key, &value)) ...; deleting the current key is allowed,
 * inserting is not. key and value may be NULL. */
bool kap_map_next(const struct kap_map *m, size_t *i, struct kap_str *key, void **value);

#endif
