/* Ownership by rendezvous hashing (Thaler and Ravishankar, 1998): every member scores every key, the highest
 * scores own it. The same set of members gives the same owners everywhere; adding or losing one member moves
 * only the keys it must. Used for topics (by the dedup core) and for tasks (placement). Ownership: results
 * are indices into the caller's array. Threads: pure functions. Failure: none. */
#ifndef KAP_CLUSTER_OWNERS_H
#define KAP_CLUSTER_OWNERS_H

#include "base/str.h"

/* How much `member` wants `key`; pure, so that two members that know of each other agree who comes first
 * whatever else they know. Equal scores (practically never) are settled by the byte order of the IDs, see
 * kap_owners_before(). */
uint64_t kap_owners_score(struct kap_str key, struct kap_str member);
/* Does a come before b in the order of owners of `key`? */
bool kap_owners_before(struct kap_str key, struct kap_str a, struct kap_str b);

/* Writes the indices of the owners of `key` into ret[], best first, and returns how many: min(n, redundancy),
 * all of them when redundancy is 0. ret has room for n. */
size_t kap_owners_rank(struct kap_str key, const struct kap_str *members, size_t n, size_t redundancy,
                       uint32_t *ret);
/* Is members[self] among the owners? Cheaper than ranking. */
bool kap_owners_has(struct kap_str key, const struct kap_str *members, size_t n, size_t redundancy,
                    size_t self);

#endif
