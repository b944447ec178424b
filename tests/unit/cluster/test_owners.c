#include "cluster/owners.h"
#include "test.h"

#include <stdio.h>

enum { MEMBERS = 10, KEYS = 2000 };

static char names[MEMBERS][8];
static struct kap_str members[MEMBERS];

static struct kap_str key_of(int i, char buf[static 16])
{
    snprintf(buf, 16, "topic%d", i);
    return kap_str(buf);
}

TEST(as_many_as_asked_for_each_once)
{
    char buf[16];
    uint32_t got[MEMBERS];
    for (int i = 0; i < KEYS / 50; i++) {
        const struct kap_str key = key_of(i, buf);
        for (size_t n = 1; n <= MEMBERS; n++) {
            for (size_t redundancy = 0; redundancy <= n + 1; redundancy++) {
                const size_t want = redundancy == 0 || redundancy > n ? n : redundancy;
                assert_int_equal(kap_owners_rank(key, members, n, redundancy, got), want);
                bool seen[MEMBERS] = { false };
                for (size_t k = 0; k < want; k++) {
                    assert_false(seen[got[k]]);
                    seen[got[k]] = true;
                    assert_true(k == 0 || kap_owners_before(key, members[got[k - 1]], members[got[k]]));
                }
                for (size_t m = 0; m < n; m++)
                    assert_int_equal(kap_owners_has(key, members, n, redundancy, m), seen[m]);
            }
        }
    }
}

TEST(the_order_in_which_members_are_listed_does_not_matter)
{
    char buf[16];
    struct kap_str turned[MEMBERS];
    uint32_t a[MEMBERS], b[MEMBERS];
    for (int i = 0; i < MEMBERS; i++)
        turned[i] = members[(i * 7 + 3) % MEMBERS];
    for (int i = 0; i < KEYS; i++) {
        const struct kap_str key = key_of(i, buf);
        kap_owners_rank(key, members, MEMBERS, 3, a);
        kap_owners_rank(key, turned, MEMBERS, 3, b);
        for (int k = 0; k < 3; k++)
            assert_true(kap_str_eq(members[a[k]], turned[b[k]]));
    }
}

TEST(losing_a_member_moves_only_what_it_owned)
{
    char buf[16];
    uint32_t before[MEMBERS], after[MEMBERS];
    int moved = 0;
    for (int i = 0; i < KEYS; i++) {
        const struct kap_str key = key_of(i, buf);
        kap_owners_rank(key, members, MEMBERS, 3, before);
        kap_owners_rank(key, members, MEMBERS - 1, 3, after);
        size_t kept = 0;
        for (int k = 0; k < 3; k++)
            if (before[k] != MEMBERS - 1)
                assert_int_equal(after[kept++], before[k]); /* the others keep their order */
        moved += kept < 3;
    }
    assert_in_range(moved, KEYS * 25 / 100, KEYS * 35 / 100);
}

TEST(first_ranks_are_spread_evenly)
{
    char buf[16];
    uint32_t got[MEMBERS];
    int first[MEMBERS] = { 0 };
    for (int i = 0; i < KEYS; i++) {
        kap_owners_rank(key_of(i, buf), members, MEMBERS, 1, got);
        first[got[0]]++;
    }
    for (int m = 0; m < MEMBERS; m++)
        assert_in_range(first[m], KEYS / MEMBERS * 7 / 10, KEYS / MEMBERS * 13 / 10);
}

TEST(nobody_owns_among_nobody)
{
    uint32_t got[1];
    assert_int_equal(kap_owners_rank(KAP_STR("t"), NULL, 0, 3, got), 0);
    assert_int_equal(kap_owners_rank(KAP_STR("t"), NULL, 0, 0, got), 0);
    assert_false(kap_owners_has(KAP_STR("t"), NULL, 0, 0, 0));
}

TEST(an_order_is_strict)
{
    assert_false(kap_owners_before(KAP_STR("t"), members[0], members[0]));
    for (int a = 0; a < MEMBERS; a++)
        for (int b = 0; b < MEMBERS; b++)
            if (a != b)
                assert_true(kap_owners_before(KAP_STR("t"), members[a], members[b]) !=
                            kap_owners_before(KAP_STR("t"), members[b], members[a]));
}

int main(void)
{
    for (int i = 0; i < MEMBERS; i++) {
        snprintf(names[i], sizeof names[i], "m%d", i);
        members[i] = kap_str(names[i]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_asked_for_each_once),
        cmocka_unit_test(the_order_in_which_members_are_listed_does_not_matter),
        cmocka_unit_test(losing_a_member_moves_only_what_it_owned),
        cmocka_unit_test(first_ranks_are_spread_evenly),
        cmocka_unit_test(nobody_owns_among_nobody),
        cmocka_unit_test(an_order_is_strict),
    };
    return RUN_TESTS(tests);
}
