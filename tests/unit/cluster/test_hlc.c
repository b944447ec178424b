#include "base/duration.h"
#include "cluster/hlc.h"
#include "test.h"

static const int64_t noon_ns = 1700000000 * KAP_S;

TEST(stamps_rise_whatever_the_wall_clock_does)
{
    struct kap_hlc c = { 0 };
    const int64_t walls[] = { noon_ns, noon_ns, noon_ns + 1, noon_ns + KAP_S, noon_ns - KAP_HOUR, 0, -KAP_S };
    uint64_t last = 0;
    for (size_t i = 0; i < sizeof walls / sizeof *walls; i++) {
        const uint64_t stamp = kap_hlc_now(&c, walls[i]);
        assert_true(stamp > last);
        last = stamp;
    }
}

TEST(a_stamp_shows_its_wall_clock)
{
    struct kap_hlc c = { 0 };
    assert_int_equal(kap_hlc_wall_ms(kap_hlc_now(&c, noon_ns)), noon_ns / KAP_MS);
    assert_int_equal(kap_hlc_wall_ms(kap_hlc_now(&c, noon_ns)), noon_ns / KAP_MS);
}

TEST(a_counter_that_is_full_runs_into_the_milliseconds)
{
    struct kap_hlc c = { 0 };
    uint64_t last = 0;
    for (int i = 0; i < 70000; i++) {
        const uint64_t stamp = kap_hlc_now(&c, noon_ns);
        assert_true(stamp > last);
        last = stamp;
    }
    assert_int_equal(kap_hlc_wall_ms(last), noon_ns / KAP_MS + 1);
}

TEST(what_follows_an_observed_stamp_is_larger)
{
    struct kap_hlc here = { 0 }, there = { 0 };
    const uint64_t theirs = kap_hlc_now(&there, noon_ns + 30 * KAP_S);
    assert_true(kap_hlc_observe(&here, theirs, noon_ns));
    assert_true(kap_hlc_now(&here, noon_ns) > theirs);
}

TEST(an_older_stamp_teaches_nothing)
{
    struct kap_hlc here = { 0 };
    const uint64_t own = kap_hlc_now(&here, noon_ns);
    assert_true(kap_hlc_observe(&here, own - 5, noon_ns));
    assert_int_equal(here.last, own);
}

TEST(a_clock_too_far_ahead_is_refused)
{
    struct kap_hlc here = { 0 };
    const uint64_t own = kap_hlc_now(&here, noon_ns);
    const uint64_t limit = (uint64_t)(noon_ns / KAP_MS + KAP_HLC_AHEAD_MS) << 16;
    assert_true(kap_hlc_observe(&here, limit, noon_ns));
    here.last = own;
    assert_false(kap_hlc_observe(&here, limit + (1 << 16), noon_ns));
    assert_false(kap_hlc_observe(&here, UINT64_MAX, noon_ns));
    assert_int_equal(here.last, own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps_rise_whatever_the_wall_clock_does),
        cmocka_unit_test(a_stamp_shows_its_wall_clock),
        cmocka_unit_test(a_counter_that_is_full_runs_into_the_milliseconds),
        cmocka_unit_test(what_follows_an_observed_stamp_is_larger),
        cmocka_unit_test(an_older_stamp_teaches_nothing),
        cmocka_unit_test(a_clock_too_far_ahead_is_refused),
    };
    return RUN_TESTS(tests);
}
