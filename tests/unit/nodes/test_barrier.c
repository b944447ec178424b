/* Nodes that live by the clock. */
#include "nodes/script.h"

#define MS INT64_C(1000000)

static void an_idle_group_gets_a_barrier(void **state)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_rig *rig = script_rig("stream|from().groupBy('g')|barrier().idle(300ms)|log()");
    kap_rig_collect(rig, "barrier2", &out);
    script_write(rig, "m,g=a v=1 1000\n");
    kap_rig_advance(rig, kap_rig_now(rig) + 299 * MS);
    script_write(rig, "m,g=a v=2 2000\n");
    kap_rig_advance(rig, kap_rig_now(rig) + 299 * MS);
    assert_string_equal(out.p, "point m g=a {g=a} {v=1} 1000\npoint m g=a {g=a} {v=2} 2000\n");
    kap_rig_advance(rig, kap_rig_now(rig) + 1 * MS);
    script_write(rig, "m,g=a v=3 3000\n"); /* older than the barrier */
    script_write(rig, "m,g=a v=4 300002000\n");
    assert_string_equal(out.p, "point m g=a {g=a} {v=1} 1000\npoint m g=a {g=a} {v=2} 2000\n"
                               "barrier g=a 300002000\npoint m g=a {g=a} {v=4} 300002000\n");
    kap_rig_free(rig);
}

static void periods_are_the_same_instants_everywhere(void **state)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_rig *rig = script_rig("stream|from().groupBy('g')|barrier().period(700ms)|log()");
    kap_rig_collect(rig, "barrier2", &out);
    kap_rig_advance(rig, INT64_C(1234567890));
    script_write(rig, "m,g=a v=1 1000\nm,g=b v=1 1000\n");
    kap_buf_reset(&out);
    kap_rig_advance(rig, kap_rig_now(rig) + 1000 * MS);
    int barriers = 0;
    for (const char *at = out.p; (at = strstr(at, "barrier ")); at++) {
        const char *time = strchr(strchr(at, ' ') + 1, ' ');
        assert_int_equal(strtoll(time, NULL, 10) % (100 * MS), 0);
        barriers++;
    }
    assert_true(barriers >= 2);
    kap_rig_free(rig);
}

static void groups_that_are_deleted_leave_nothing(void **state)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_rig *rig = script_rig(
        "stream|from().groupBy('g')|barrier().idle(10ms).delete(TRUE)|window().period(1h).every(1h)|mean('v')");
    kap_rig_collect(rig, "barrier2", &out);
    script_write(rig, "m,g=0 v=1 1\n");
    kap_rig_advance(rig, kap_rig_now(rig) + 100 * MS);
    assert_string_equal(out.p, "point m g=0 {g=0} {v=1} 1\nbarrier g=0 10000001\ndelete g=0\n");
    const int64_t empty = script_bytes(rig);
    for (int round = 0; round < 20; round++) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        for (int i = 0; i < 200; i++)
            kap_buf_addf(&b, "m,g=%d v=%d %d\n", round * 100 + i % 50, i, i);
        script_write(rig, b.p);
        assert_true(script_bytes(rig) > empty);
        kap_rig_advance(rig, kap_rig_now(rig) + 100 * MS);
        assert_int_equal(script_bytes(rig), empty);
    }
    assert_true(kap_groups_limit(kap_rig_groups(rig)) < 200);
    kap_rig_free(rig);
}

static void stats_tell_what_a_node_emitted(void **state)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_rig *rig = script_rig("var s = stream|from().groupBy('g')\ns|stats(100ms)|log()");
    kap_rig_collect(rig, "stats2", &out);
    script_write(rig, "m,g=b v=1 1\nm,g=a v=1 1\nm,g=b v=1 1\n");
    kap_rig_advance(rig, INT64_C(1100000000));
    assert_string_equal(out.p, "point stats g=b {g=b} {emitted=2i} 1100000000\n"
                               "point stats g=a {g=a} {emitted=1i} 1100000000\n");
    kap_rig_free(rig);
    assert_refused("stream|from()|stats(0s)", "stats node must have positive interval");
}

/* A restart: groups that died meanwhile are told of with 0, and a rate begins with the first full interval. */
static void stats_remember_groups_over_a_restart(void **state)
{
    static const char script[] = "var s = stream|from().groupBy('g')\ns|stats(100ms)|derivative('emitted').unit(100ms)|log()";
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    KAP_AUTO_BUF struct kap_buf snapshot = { 0 };
    struct kap_error err;
    struct kap_rig *rig = script_rig(script);
    script_write(rig, "m,g=a v=1 1\nm,g=b v=1 1\n");
    kap_rig_advance(rig, INT64_C(1100000000));
    kap_rig_save(rig, &snapshot);
    kap_rig_free(rig);

    rig = script_rig(script);
    kap_rig_collect(rig, "derivative4", &out);
    assert_int_equal(kap_rig_load(rig, kap_buf_str(&snapshot), &err), KAP_OK);
    script_write(rig, "m,g=a v=1 1\n");
    kap_rig_advance(rig, INT64_C(1100000000));
    assert_int_equal(out.n, 0);
    script_write(rig, "m,g=a v=1 1\nm,g=a v=1 1\n");
    kap_rig_advance(rig, INT64_C(1200000000));
    assert_string_equal(out.p, "point stats g=a {g=a} {emitted=2} 1200000000\n"
                               "point stats g=b {g=b} {emitted=0} 1200000000\n");
    kap_rig_free(rig);
}

static void bad_properties_are_refused(void **state)
{
    assert_refused("stream|from()|barrier()", "idle must be greater than zero");
    assert_refused("stream|from()|barrier().idle(1s).period(1s)", "cannot specify both idle and period");
    assert_refused("stream|from()|barrier().idle(-1s)", "idle must be greater than zero");
    assert_refused("stream|from()|barrier().period(-1s)", "period must be greater than zero");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_group_gets_a_barrier),
        cmocka_unit_test(periods_are_the_same_instants_everywhere),
        cmocka_unit_test(groups_that_are_deleted_leave_nothing),
        cmocka_unit_test(stats_tell_what_a_node_emitted),
        cmocka_unit_test(stats_remember_groups_over_a_restart),
        cmocka_unit_test(bad_properties_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
