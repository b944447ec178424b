#include "cluster/owners.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t kap_owners_score(struct kap_str key, struct kap_str member)
{
    /* The key's hash seeds the member's, so neither pair of strings can be mistaken for another. */
    return XXH3_64bits_withSeed(member.p, member.n, XXH3_64bits(key.p, key.n));
}

static bool comes_before(uint64_t score_a, struct kap_str a, uint64_t score_b, struct kap_str b)
{
    return score_a != score_b ? score_a > score_b : kap_str_cmp(a, b) < 0;
}

bool kap_owners_before(struct kap_str key, struct kap_str a, struct kap_str b)
{
    return comes_before(kap_owners_score(key, a), a, kap_owners_score(key, b), b);
}

size_t kap_owners_rank(struct kap_str key, const struct kap_str *members, size_t n, size_t redundancy,
                       uint32_t *ret)
{
    /* Insertion into a list that is at most `redundancy` long; members are few. */
    const size_t want = redundancy && redundancy < n ? redundancy : n;
    size_t have = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t score = kap_owners_score(key, members[i]);
        size_t at = have;
        while (at > 0 && comes_before(score, members[i], kap_owners_score(key, members[ret[at - 1]]),
                                      members[ret[at - 1]]))
            at--;
        if (at >= want)
            continue;
        if (have < want)
            have++;
        memmove(&ret[at + 1], &ret[at], (have - at - 1) * sizeof *ret);
        ret[at] = (uint32_t)i;
    }
    return have;
}

bool kap_owners_has(struct kap_str key, const struct kap_str *members, size_t n, size_t redundancy,
                    size_t self)
{
    if (redundancy == 0 || redundancy >= n)
        return self < n;
    const uint64_t score = kap_owners_score(key, members[self]);
    size_t before = 0;
    for (size_t i = 0; i < n; i++)
        if (i != self && comes_before(kap_owners_score(key, members[i]), members[i], score, members[self]))
            before++;
    return before < redundancy;
}
