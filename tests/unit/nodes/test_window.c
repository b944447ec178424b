#include "nodes/script.h"

#define READ "|log().level('DEBUG')"

static void counts_decide_when_they_are_given(void **state)
{
    assert_script("stream|from().measurement('m').groupBy('g')|window().periodCount(3).everyCount(2)" READ,
                  "m,g=a,h=x v=1,s=\"q\" 1\nm,g=a,h=y v=2i 2\nm,g=b v=3 3\nm,g=a,h=x w=t 4\nm,g=a v=5 5\n", "window2",
                  "begin m g=a 2\n"
                  "  point m g=a {g=a,h=x} {s=\"q\",v=1} 1\n"
                  "  point m g=a {g=a,h=y} {v=2i} 2\n"
                  "end\n"
                  "begin m g=a 5\n"
                  "  point m g=a {g=a,h=y} {v=2i} 2\n"
                  "  point m g=a {g=a,h=x} {w=true} 4\n"
                  "  point m g=a {g=a} {v=5} 5\n"
                  "end\n");
}

static void boundaries_are_exclusive_at_the_right(void **state)
{
    assert_script("stream|from()|window().period(10u).every(10u).align()" READ,
                  "m v=1 0\nm v=2 9999\nm v=3 10000\nm v=4 35000\n", "window2",
                  "begin m nil 10000\n"
                  "  point m nil {} {v=1} 0\n"
                  "  point m nil {} {v=2} 9999\n"
                  "end\n"
                  "begin m nil 20000\n"
                  "  point m nil {} {v=3} 10000\n"
                  "end\n");
}

static void late_points_stay_in_order_of_arrival(void **state)
{
    assert_script("stream|from()|window().period(10u).every(10u).align()" READ,
                  "m v=1 5000\nm v=2 3000\nm v=3 11000\nm v=4 8000\nm v=5 21000\n", "window2",
                  "begin m nil 10000\n"
                  "  point m nil {} {v=1} 5000\n"
                  "  point m nil {} {v=2} 3000\n"
                  "end\n"
                  "begin m nil 20000\n"
                  "  point m nil {} {v=3} 11000\n"
                  "  point m nil {} {v=4} 8000\n"
                  "end\n");
}

static void every_zero_emits_each_point_with_it(void **state)
{
    assert_script("stream|from()|window().period(10u).every(0s)|count('v')", "m v=1 1000\nm v=2 4000\nm v=3 11000\n",
                  "count3",
                  "point m nil {} {count=1i} 1000\n"
                  "point m nil {} {count=2i} 4000\n"
                  "point m nil {} {count=2i} 11000\n");
}

static void a_barrier_closes_a_window_by_time(void **state)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_rig *rig = script_rig("stream|from()|window().period(10u).every(10u)|sum('v')");
    kap_rig_collect(rig, "sum3", &out);
    script_write(rig, "m v=1 1000\nm v=2 2000\n");
    struct kap_group *g = kap_groups_get(kap_rig_groups(rig), &(struct kap_dims){ 0 }, kap_sym_c("m"), kap_tags_empty, false);
    kap_rig_barrier(rig, "window2", &(struct kap_barrier){ .time_ns = 10999, .group = g });
    assert_int_equal(out.n, 0);
    kap_rig_barrier(rig, "window2", &(struct kap_barrier){ .time_ns = 11000, .group = g });
    assert_string_equal(out.p, "point m nil {} {sum=3} 11000\n");
    kap_group_unref(kap_rig_groups(rig), g);
    kap_rig_free(rig);
}

static void only_columns_that_are_read_are_kept(void **state)
{
    assert_script("stream|from()|window().periodCount(2).everyCount(2)|where(lambda: \"w\" > 0)|mean('v')",
                  "m,h=a v=1,w=1i,x=1,y=\"s\" 1\nm,h=b v=2,w=1i,x=2,z=t 2\n", "window2",
                  "begin m nil 2\n"
                  "  point m nil {h=a} {v=1,w=1i} 1\n"
                  "  point m nil {h=b} {v=2,w=1i} 2\n"
                  "end\n");
    assert_script("stream|from()|window().periodCount(1).everyCount(1)|mean('v')", "m,h=a v=1,w=1i 1\n", "window2",
                  "begin m nil 1\n"
                  "  point m nil {} {v=1} 1\n"
                  "end\n");
    assert_script("stream|from()|window().periodCount(1).everyCount(1)|max('v').as('m')|where(lambda: \"w\" > 0)",
                  "m,h=a v=1,w=1i,x=2 1\n", "window2",
                  "begin m nil 1\n"
                  "  point m nil {h=a} {v=1,w=1i} 1\n"
                  "end\n");
}

/* All in: 180 points of one float in each of many groups. */
static void a_resident_point_costs_at_most_28_bytes(void **state)
{
    enum { GROUPS = 200, POINTS = 180 };
    struct kap_rig *rig = script_rig("stream|from().groupBy('g')|window().period(1h).every(1h)|mean('v')");
    const int64_t empty = script_bytes(rig);
    for (int i = 0; i < POINTS; i++) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        for (int g = 0; g < GROUPS; g++)
            kap_buf_addf(&b, "m,g=%d v=%d.5,w=1i %lld\n", g, i, (long long)i * 1000);
        script_write(rig, b.p);
    }
    const double each = (double)(script_bytes(rig) - empty) / (GROUPS * POINTS);
    if (each > 28)
        fail_msg("%.1f bytes per point", each);
    kap_rig_free(rig);
}

static void a_group_that_goes_gives_its_memory_back(void **state)
{
    struct kap_rig *rig = script_rig("stream|from().groupBy('g')|window().period(1h).every(1h)" READ);
    const int64_t empty = script_bytes(rig);
    for (int round = 0; round < 50; round++) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        for (int i = 0; i < 100; i++)
            kap_buf_addf(&b, "m,g=%d,h=%d v=%d,s=\"%d\" %d\n", round, i % 7, i, i * 31, i);
        script_write(rig, b.p);
        const struct kap_sym *name = kap_sym_c("g");
        KAP_AUTO_FREE char *value = kap_asprintf("%d", round);
        const struct kap_tags *tags = kap_tags_new(&(struct kap_tag){ name, kap_str(value) }, 1);
        struct kap_group *g = kap_groups_get(
            kap_rig_groups(rig), &(struct kap_dims){ .n = 1, .names = &name }, kap_sym_c("m"), tags, false);
        assert_true(script_bytes(rig) > empty);
        kap_rig_delete_group(rig, "window2", g);
        assert_int_equal(script_bytes(rig), empty);
        kap_group_unref(kap_rig_groups(rig), g);
        kap_tags_unref(tags);
    }
    kap_rig_free(rig);
}

static void bad_properties_are_refused(void **state)
{
    assert_refused("stream|from()|window()",
                   "window node must have either a non zero period or non zero period count");
    assert_refused("stream|from()|window().period(1s).periodCount(2).everyCount(1)",
                   "cannot specify both period and periodCount");
    assert_refused("stream|from()|window().periodCount(2).everyCount(2).align()",
                   "can only align windows based off time, not count");
    assert_refused("stream|from()|window().periodCount(2)", "everyCount must be greater than zero");
}

/* Points of all types, with fields and tags that come and go, come out of the ring as they went in. */
static void points_come_out_as_they_went_in(void **state)
{
    struct kap_random r;
    kap_random_seed(&r, 42);
    KAP_AUTO_BUF struct kap_buf lines = { 0 }, expected = { 0 }, out = { 0 };
    struct kap_rig *plain = script_rig("stream|from()" READ);
    struct kap_rig *window = script_rig("stream|from()|window().periodCount(500).everyCount(500)|trickle()" READ);
    static const char *const fields[] = { "f=1.5", "f=2i", "f=\"text\"", "f=t", "f=-0.25", "f=\"\"" };
    for (int i = 0; i < 500; i++) {
        const char *field = fields[kap_random_below(&r, KAP_COUNT(fields))];
        kap_buf_addf(&lines, "m%s %s%s %d\n", kap_random_below(&r, 8) ? ",h=x" : ",h=y,d=z",
                     field, kap_random_below(&r, 3) ? ",g=7i" : "", i);
    }
    kap_rig_collect(plain, "from1", &expected);
    kap_rig_collect(window, "trickle3", &out);
    script_write(plain, lines.p);
    script_write(window, lines.p);
    assert_string_equal(out.p, expected.p);
    kap_rig_free(plain);
    kap_rig_free(window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_decide_when_they_are_given),
        cmocka_unit_test(boundaries_are_exclusive_at_the_right),
        cmocka_unit_test(late_points_stay_in_order_of_arrival),
        cmocka_unit_test(every_zero_emits_each_point_with_it),
        cmocka_unit_test(a_barrier_closes_a_window_by_time),
        cmocka_unit_test(only_columns_that_are_read_are_kept),
        cmocka_unit_test(a_resident_point_costs_at_most_28_bytes),
        cmocka_unit_test(a_group_that_goes_gives_its_memory_back),
        cmocka_unit_test(bad_properties_are_refused),
        cmocka_unit_test(points_come_out_as_they_went_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
