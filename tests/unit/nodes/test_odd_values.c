/* Not-a-number, and batches without points, through every node that reads values. */
#include "nodes/script.h"

/* v is 2, NaN, 1 (or NaN first): line protocol has no NaN, so that it comes out of a lambda. */
static void assert_odd(const char *tail, const char *node, bool nan_first, const char *expected)
{
    KAP_AUTO_FREE char *script = kap_asprintf("stream|from()|eval(lambda: sqrt(\"x\")).as('v')|%s", tail);
    assert_script(script, nan_first ? "m x=-1 1\nm x=4 2\nm x=1 3\n" : "m x=4 1\nm x=-1 2\nm x=1 3\n", node,
                  expected);
}

static void assert_odd_window(const char *function, bool nan_first, const char *expected)
{
    char node[64];
    KAP_AUTO_FREE char *tail = kap_asprintf("window().periodCount(3).everyCount(3)|%s", function);
    (void)snprintf(node, sizeof node, "%.*s4", (int)strcspn(function, "("), function);
    assert_odd(tail, node, nan_first, expected);
}

/* What adds is NaN from there on. */
static void nan_spreads_through_sums(void **state)
{
    static const char *const functions[] = { "sum", "mean", "spread" };
    for (size_t i = 0; i < KAP_COUNT(functions); i++)
        for (int first = 0; first < 2; first++) {
            KAP_AUTO_FREE char *call = kap_asprintf("%s('v')", functions[i]);
            KAP_AUTO_BUF struct kap_buf out = { 0 };
            KAP_AUTO_FREE char *script =
                kap_asprintf("stream|from()|eval(lambda: sqrt(\"x\")).as('v')|window()"
                             ".periodCount(3).everyCount(3)|%s|eval(lambda: \"%s\" == "
                             "\"%s\").as('same')",
                             call, functions[i], functions[i]);
            assert_script(script, first ? "m x=-1 1\nm x=4 2\nm x=1 3\n" : "m x=4 1\nm x=-1 2\nm x=1 3\n",
                          "eval5", "point m nil {} {same=false} 3\n");
        }
    assert_odd_window("count('v')", false, "point m nil {} {count=3i} 3\n");
    assert_odd_window("stddev('v')", false, "point m nil {} {stddev=0.7071067811865476} 3\n"); /* left out */
}

/* No value is smaller or larger than NaN: it is passed over, but kept where it comes first. */
static void nan_is_no_bound(void **state)
{
    assert_odd_window("min('v')", false, "point m nil {} {min=1} 3\n");
    assert_odd_window("max('v')", false, "point m nil {} {max=2} 3\n");
    assert_odd_window("first('v')", false, "point m nil {} {first=2} 3\n");
    assert_odd_window("last('v')", true, "point m nil {} {last=1} 3\n");
    static const char *const functions[] = { "min", "max", "first" };
    for (size_t i = 0; i < KAP_COUNT(functions); i++) {
        KAP_AUTO_FREE char *tail =
            kap_asprintf("window().periodCount(3).everyCount(3)|%s('v')|eval(lambda: \"%s\" == "
                         "\"%s\").as('same')",
                         functions[i], functions[i], functions[i]);
        assert_odd(tail, "eval5", true, "point m nil {} {same=false} 3\n");
    }
}

/* Nothing is true of NaN but that it differs, also from itself. */
static void nan_meets_no_condition(void **state)
{
    assert_odd("where(lambda: \"v\" > 1.0)|log()", "log4", false, "point m nil {} {v=2} 1\n");
    assert_odd("where(lambda: !(\"v\" > 1.0))|eval(lambda: 1).as('one')", "eval4", false,
               "point m nil {} {one=1i} 2\npoint m nil {} {one=1i} 3\n");
    assert_odd("stateCount(lambda: \"v\" >= 0.0)|eval(lambda: \"state_count\").as('n')", "eval4", false,
               "point m nil {} {n=1i} 1\npoint m nil {} {n=-1i} 2\npoint m nil {} {n=1i} 3\n");
    assert_script(
        "stream|from()|eval(lambda: sqrt(\"x\")).as('v')|changeDetect('v')|eval(lambda: 1).as('one')",
        "m x=-1 1\nm x=-1 2\nm x=4 3\nm x=4 4\n", "eval4",
        "point m nil {} {one=1i} 1\npoint m nil {} {one=1i} 2\npoint m nil {} {one=1i} 3\n");
}

/* --- batches without points: where() takes them all --- */

static void assert_emptied(const char *tail, const char *node, const char *expected)
{
    KAP_AUTO_FREE char *script = kap_asprintf(
        "stream|from().groupBy('g')|window().periodCount(2).everyCount(2)|where(lambda: FALSE)|%s", tail);
    assert_script(script, "m,g=a v=1 1\nm,g=a v=2 2\n", node, expected);
}

static void empty_batches_go_through(void **state)
{
    static const char whole[] = "begin m g=a 2\nend\n";
    static const char *const same[] = { "log()",
                                        "default().field('v', 1.0)",
                                        "delete().field('v')",
                                        "eval(lambda: \"v\" + 1.0).as('w')",
                                        "stateCount(lambda: TRUE)",
                                        "stateDuration(lambda: TRUE)",
                                        "derivative('v')",
                                        "changeDetect('v')",
                                        "sample(1)",
                                        "httpOut('x')",
                                        "flatten().on('h')" };
    static const char *const kinds[] = { "log4",         "default4",        "delete4",     "eval4",
                                         "state_count4", "state_duration4", "derivative4", "changeDetect4",
                                         "sample4",      "http_out4",       "flatten4" };
    for (size_t i = 0; i < KAP_COUNT(same); i++)
        assert_emptied(same[i], kinds[i], whole);
    assert_emptied("shift(1u)", "shift4", "begin m g=a 1002\nend\n");
    assert_emptied("trickle()|log()", "log5", "");
}

static void empty_batches_are_counted_as_nothing(void **state)
{
    assert_emptied("count('v')", "count4", "point m g=a {g=a} {count=0i} 2\n");
    assert_emptied("sum('v')", "sum4", "point m g=a {g=a} {sum=0} 2\n");
    static const char *const silent[] = { "mean", "median", "mode",  "spread", "stddev",
                                          "min",  "max",    "first", "last" };
    for (size_t i = 0; i < KAP_COUNT(silent); i++) {
        KAP_AUTO_FREE char *call = kap_asprintf("%s('v')", silent[i]), *node = kap_asprintf("%s4", silent[i]);
        assert_emptied(call, node, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nan_spreads_through_sums),
        cmocka_unit_test(nan_is_no_bound),
        cmocka_unit_test(nan_meets_no_condition),
        cmocka_unit_test(empty_batches_go_through),
        cmocka_unit_test(empty_batches_are_counted_as_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
