#include "nodes/script.h"

/* What `function` makes of a window over the lines' points. */
static void assert_reduced(const char *function, const char *lines, int n, const char *expected)
{
    KAP_AUTO_FREE char *script =
        kap_asprintf("stream|from()|window().periodCount(%d).everyCount(%d)|%s", n, n, function);
    char node[64];
    const size_t len = strcspn(function, "(");
    (void)snprintf(node, sizeof node, "%.*s3", (int)len, function);
    assert_script(script, lines, node, expected);
}

static const char *const three = "m,h=a v=3,i=3i,s=\"x\",b=t 10\nm,h=b v=1,i=1i,s=\"y\",b=f 20\nm,h=c v=2,i=2i,s=\"x\",b=t 30\n";

static void aggregates(void **state)
{
    assert_reduced("count('v')", three, 3, "point m nil {} {count=3i} 30\n");
    assert_reduced("count('s').as('n')", three, 3, "point m nil {} {n=3i} 30\n");
    assert_reduced("sum('v')", three, 3, "point m nil {} {sum=6} 30\n");
    assert_reduced("sum('i')", three, 3, "point m nil {} {sum=6i} 30\n");
    assert_reduced("mean('i')", three, 3, "point m nil {} {mean=2} 30\n");
    assert_reduced("median('v')", three, 3, "point m nil {} {median=2} 30\n");
    assert_reduced("mode('s')", three, 3, "");
    assert_reduced("mode('i')", three, 3, "point m nil {} {mode=1i} 30\n");
    assert_reduced("spread('i')", three, 3, "point m nil {} {spread=2i} 30\n");
    assert_reduced("stddev('v')", three, 3, "point m nil {} {stddev=1} 30\n");
}

static void selectors_keep_the_rest_of_the_point(void **state)
{
    assert_reduced("min('v')|log()", three, 3, "point m nil {h=b} {b=false,i=1i,min=1,s=\"y\"} 30\n");
    assert_reduced("max('i').as('top').usePointTimes()|log()", three, 3,
                   "point m nil {h=a} {b=true,s=\"x\",top=3i,v=3} 10\n");
    assert_reduced("first('s')|log()", three, 3, "point m nil {h=a} {b=true,first=\"x\",i=3i,v=3} 30\n");
    assert_reduced("last('b')|log()", three, 3, "point m nil {h=c} {i=2i,last=true,s=\"x\",v=2} 30\n");
    assert_reduced("percentile('v', 50.0)|log()", three, 3,
                   "point m nil {h=c} {b=true,i=2i,percentile=2,s=\"x\"} 30\n");
    assert_reduced("percentile('v', 1.0)|log()", three, 3, "");
}

static void lists(void **state)
{
    assert_reduced("distinct('s')", three, 3,
                   "begin m nil 30\n  point m nil {} {distinct=\"x\"} 30\n  point m nil {} {distinct=\"y\"} 30\nend\n");
    assert_reduced("top(2, 'v')", three, 3,
                   "begin m nil 30\n  point m nil {h=a} {top=3} 30\n  point m nil {h=c} {top=2} 30\nend\n");
    assert_reduced("bottom(2, 'i').usePointTimes()", three, 3,
                   "begin m nil 30\n  point m nil {h=b} {bottom=1i} 20\n  point m nil {h=c} {bottom=2i} 30\nend\n");
    assert_reduced("top(0, 'v')", three, 3, "begin m nil 30\nend\n");
}

static void transformations(void **state)
{
    assert_reduced("difference('v')", three, 3,
                   "begin m nil 30\n  point m nil {} {difference=-2} 20\n  point m nil {} {difference=1} 30\nend\n");
    assert_reduced("elapsed('s', 1u)", "m s=\"a\" 0\nm s=\"b\" 2500\n", 2,
                   "begin m nil 2500\n  point m nil {} {elapsed=2i} 2500\nend\n");
    assert_reduced("cumulativeSum('i')", three, 3,
                   "begin m nil 30\n  point m nil {} {cumulativeSum=3i} 10\n  point m nil {} {cumulativeSum=4i} 20\n"
                   "  point m nil {} {cumulativeSum=6i} 30\nend\n");
    assert_reduced("movingAverage('i', 2)", three, 3,
                   "begin m nil 30\n  point m nil {} {movingAverage=2} 20\n  point m nil {} {movingAverage=1.5} 30\n"
                   "end\n");
    assert_reduced("movingAverage('i', 4)", three, 3, "begin m nil 30\nend\n");
}

static void nothing_but_count_and_sum_answers_for_no_values(void **state)
{
    static const char *const empty = "m w=1 1\nm w=1 2\n";
    assert_reduced("count('v')", empty, 2, "point m nil {} {count=0i} 2\n");
    assert_reduced("sum('v')", empty, 2, "point m nil {} {sum=0} 2\n");
    static const char *const silent[] = { "mean('v')",  "median('v')", "mode('v')",  "spread('v')",
                                          "stddev('v')", "min('v')",    "first('v')", "percentile('v', 50.0)",
                                          "distinct('v')", "top(1, 'v')" };
    for (size_t i = 0; i < KAP_COUNT(silent); i++)
        assert_reduced(silent[i], empty, 2, "");
}

static void the_first_value_fixes_the_type(void **state)
{
    assert_reduced("sum('v')", "m w=1 1\nm v=1i 2\nm v=2.5 3\nm v=\"s\" 4\nm v=4i 5\n", 5,
                   "point m nil {} {sum=5i} 5\n");
    struct kap_rig *rig = script_rig("stream|from()|window().periodCount(5).everyCount(5)|sum('v')");
    script_write(rig, "m w=1 1\nm v=1i 2\nm v=2.5 3\nm v=\"s\" 4\nm v=4i 5\n");
    assert_int_equal(script_errors(rig, "sum3"), 3);
    kap_rig_free(rig);
}

static void ties_take_the_earliest(void **state)
{
    static const char *const ties = "m,h=a v=2 2\nm,h=b v=2 1\nm,h=c v=2 2\n";
    assert_reduced("max('v').usePointTimes()|log()", ties, 3, "point m nil {h=b} {max=2} 1\n");
    assert_reduced("min('v').usePointTimes()|log()", ties, 3, "point m nil {h=b} {min=2} 1\n");
    assert_reduced("top(1, 'v').usePointTimes()", ties, 3, "begin m nil 2\n  point m nil {h=b} {top=2} 1\nend\n");
    assert_reduced("last('v').usePointTimes()|log()", ties, 3, "point m nil {h=a} {last=2} 2\n");
}

static void integers_wrap_around_as_in_go(void **state)
{
    static const char *const ends = "m v=9223372036854775807i 1\nm v=-9223372036854775808i 2\n";
    assert_reduced("spread('v')", ends, 2, "point m nil {} {spread=-1i} 2\n");
    assert_reduced("difference('v')", ends, 2, "begin m nil 2\n  point m nil {} {difference=1i} 2\nend\n");
    assert_reduced("sum('v')", "m v=9223372036854775807i 1\nm v=1i 2\n", 2,
                   "point m nil {} {sum=-9223372036854775808i} 2\n");
}

/* On a stream: one result for the points of one time, given when the time changes. */
static void a_stream_is_reduced_by_equal_times(void **state)
{
    assert_script("stream|from().groupBy('g')|sum('v')",
                  "m,g=a v=1 1\nm,g=b v=9 1\nm,g=a v=2 1\nm,g=a v=3 2\nm,g=a w=1 3\nm,g=a v=1 4\n", "sum2",
                  "point m g=a {g=a} {sum=3} 1\npoint m g=a {g=a} {sum=3} 2\n");
    assert_script("stream|from()|movingAverage('v', 2)", "m v=1 1\nm v=3 2\nm v=5 2\n", "movingAverage2",
                  "point m nil {} {movingAverage=2} 2\npoint m nil {} {movingAverage=4} 2\n");
    assert_script("stream|from()|difference('v')", "m v=1 1\nm v=3 2\nm v=9 2\nm v=4 3\n", "difference2",
                  "point m nil {} {difference=2} 2\npoint m nil {} {difference=1} 3\n");
}

/* A median is the same as that of sorting it all, whatever comes in. */
static void medians_and_percentiles_agree_with_sorting(void **state)
{
    struct kap_random r;
    kap_random_seed(&r, 7);
    for (int round = 0; round < 30; round++) {
        const int n = 1 + (int)kap_random_below(&r, 60);
        double v[60];
        KAP_AUTO_BUF struct kap_buf lines = { 0 };
        for (int i = 0; i < n; i++) {
            v[i] = (double)kap_random_below(&r, 20);
            kap_buf_addf(&lines, "m v=%g %d\n", v[i], i);
        }
        for (int i = 1; i < n; i++)
            for (int k = i; k > 0 && v[k] < v[k - 1]; k--) {
                const double t = v[k];
                v[k] = v[k - 1];
                v[k - 1] = t;
            }
        const double median = n % 2 ? v[n / 2] : v[n / 2 - 1] + (v[n / 2] - v[n / 2 - 1]) / 2;
        KAP_AUTO_FREE char *expected = kap_asprintf("point m nil {} {median=%g} %d\n", median, n - 1);
        assert_reduced("median('v')", lines.p, n, expected);
        KAP_AUTO_FREE char *top = kap_asprintf("point m nil {} {percentile=%g} %d\n", v[n - 1], n - 1);
        assert_reduced("percentile('v', 100.0)", lines.p, n, top);
    }
}

static void bad_arguments_are_refused(void **state)
{
    struct kap_rig *rig;
    struct kap_error err;
    static const char *const bad[] = { "mean()", "mean(5)", "mean('a', 'b')", "percentile('v', 5)", "top('v', 5)",
                                       "movingAverage('v', 0)", "elapsed('v', 0s)", "holtWinters('v', 1, 2, 0s)" };
    for (size_t i = 0; i < KAP_COUNT(bad); i++) {
        KAP_AUTO_FREE char *script = kap_asprintf("stream|from()|%s", bad[i]);
        if (script_open(script, 0, &rig, &err) == KAP_OK) {
            kap_rig_free(rig);
            fail_msg("%s was accepted", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aggregates),
        cmocka_unit_test(selectors_keep_the_rest_of_the_point),
        cmocka_unit_test(lists),
        cmocka_unit_test(transformations),
        cmocka_unit_test(nothing_but_count_and_sum_answers_for_no_values),
        cmocka_unit_test(the_first_value_fixes_the_type),
        cmocka_unit_test(ties_take_the_earliest),
        cmocka_unit_test(integers_wrap_around_as_in_go),
        cmocka_unit_test(a_stream_is_reduced_by_equal_times),
        cmocka_unit_test(medians_and_percentiles_agree_with_sorting),
        cmocka_unit_test(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
