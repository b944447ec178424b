/* Nodes that look at one point at a time. */
#include "nodes/script.h"

#define FROM "stream|from().measurement('m').groupBy('g')"

static void eval_sees_earlier_results(void **state)
{
    assert_script(FROM "|eval(lambda: \"v\" + 1.0, lambda: \"a\" * 2.0).as('a', 'b')|log()", "m,g=x v=1,w=2 1\n", "eval2",
                  "point m g=x {g=x} {a=2,b=4} 1\n");
    assert_script(FROM "|eval(lambda: \"v\" + 1.0, lambda: \"a\" * 2.0).as('a', 'b').keep('b', 'w')|log()",
                  "m,g=x v=1,w=2 1\n", "eval2", "point m g=x {g=x} {b=4,w=2} 1\n");
    assert_script(FROM "|eval(lambda: \"v\" + 1.0).as('v').keep()|log()", "m,g=x v=1,w=2 1\n", "eval2",
                  "point m g=x {g=x} {v=2,w=2} 1\n");
    assert_script(FROM "|eval(lambda: 'y', lambda: \"g\" + 'z').as('g', 'b')|log()", "m,g=x v=1 1\n", "eval2",
                  "point m g=x {g=x} {b=\"yz\",g=\"y\"} 1\n");
}

static void eval_makes_tags(void **state)
{
    assert_script(FROM "|eval(lambda: string(\"v\")).as('g').tags('g')|log()", "m,g=x v=1 1\n", "eval2",
                  "point m g=1 {g=1} {} 1\n");
    assert_script(FROM "|eval(lambda: \"v\").as('t').tags('t')|log()", "m,g=x v=1 1\n", "eval2", "");
}

static void an_error_drops_the_point_and_is_counted(void **state)
{
    struct kap_rig *rig = script_rig(FROM "|eval(lambda: \"v\" + 1.0).as('a')|log()");
    script_write(rig, "m w=1 1\nm v=\"s\" 2\nm v=1 3\nm v=1i 4\n");
    assert_int_equal(script_errors(rig, "eval2"), 3);
    kap_rig_free(rig);
    rig = script_rig(FROM "|eval(lambda: \"v\" + 1.0).as('a').quiet()|log()");
    script_write(rig, "m w=1 1\n");
    assert_int_equal(script_errors(rig, "eval2"), 0);
    kap_rig_free(rig);
    assert_refused("stream|from()|eval(lambda: \"v\")",
                   "must specify same number of expressions and .as() names: got 0 as names, and 1 expressions.");
    assert_refused("stream|from()|eval(lambda: \"v\").as('a').tags('b')",
                   "invalid tag name \"b\", name is not present is .as() names");
}

static void from_selects_and_changes_times(void **state)
{
    assert_script("stream|from().measurement('m').where(lambda: \"g\" == 'x').where(lambda: \"v\" > 1.0)",
                  "m,g=x v=1 1\nm,g=x v=2 2\nm,g=y v=3 3\nk,g=x v=4 4\n", "from1", "point m nil {g=x} {v=2} 2\n");
    assert_script("stream|from().truncate(10u)|from().measurement('m').round(25u)", "m v=1 12499\nm v=2 19999\n", "from2",
                  "point m nil {} {v=1} 0\npoint m nil {} {v=2} 0\n");
    assert_script("stream|from().round(10u)", "m v=1 15000\nm v=2 -15000\nm v=3 14999\n", "from1",
                  "point m nil {} {v=1} 20000\npoint m nil {} {v=2} -10000\npoint m nil {} {v=3} 10000\n");
    assert_script("stream|from().groupBy(*).groupByMeasurement()", "m,b=1,a=2 v=1 1\nm v=2 2\n", "from1",
                  "point m m\na=2,b=1 {a=2,b=1} {v=1} 1\npoint m m {} {v=2} 2\n");
}

static void group_by_on_points_and_batches(void **state)
{
    assert_script(FROM "|groupBy(*).exclude('g')|log()", "m,g=x,h=1 v=1 1\n", "groupby2",
                  "point m h=1 {g=x,h=1} {v=1} 1\n");
    assert_script("stream|from()|window().periodCount(3).everyCount(3)|groupBy('h')|log()",
                  "m,h=b v=1 3\nm,h=a v=2 2\nm,h=b v=3 1\nm v=4 4\nm v=5 5\nm v=6 6\n", "groupby3",
                  "begin m h=b 1\n  point m h=b {h=b} {v=3} 1\n  point m h=b {h=b} {v=1} 3\nend\n"
                  "begin m h=a 1\n  point m h=a {h=a} {v=2} 2\nend\n");
    assert_refused("stream|from()|groupBy('a', *)", "cannot group by both '*' and named dimensions.");
    assert_refused("stream|from()|groupBy('a').exclude('b')", "exclude requires '*'");
    assert_refused("stream|from()|groupBy('')", "dimensions cannot not be the empty string");
}

static void derivative_needs_time_to_pass(void **state)
{
    assert_script(FROM "|derivative('v').unit(1u).as('r')|log()",
                  "m v=1 0\nm v=3 1000\nm v=4 1000\nm v=2i 2000\nm w=1 3000\nm v=4 6000\n", "derivative2",
                  "point m g= {} {r=2,v=3} 1000\npoint m g= {} {r=-2,v=2i} 2000\npoint m g= {} {r=0.5,v=4} 6000\n");
    assert_script(FROM "|derivative('v').unit(1u).nonNegative()|log()", "m v=5 0\nm v=3 1000\nm v=4 2000\n",
                  "derivative2", "point m g= {} {v=1} 2000\n");
}

static void states_are_tracked(void **state)
{
    assert_script(FROM "|stateDuration(lambda: \"v\" > 1.0).unit(1u)|log()", "m v=2 0\nm v=2 1500\nm w=1 2000\nm v=0 3000\n",
                  "state_duration2",
                  "point m g= {} {state_duration=0,v=2} 0\npoint m g= {} {state_duration=1.5,v=2} 1500\n"
                  "point m g= {} {state_duration=-1,v=0} 3000\n");
    assert_script(FROM "|stateCount(lambda: \"v\" > 1.0).as('n')|log()", "m v=2 0\nm v=2 0\nm v=0 1\nm v=2 2\n",
                  "state_count2",
                  "point m g= {} {n=1i,v=2} 0\npoint m g= {} {n=2i,v=2} 0\npoint m g= {} {n=-1i,v=0} 1\n"
                  "point m g= {} {n=1i,v=2} 2\n");
}

static void changes_are_of_value_and_of_type(void **state)
{
    assert_script(FROM "|changeDetect('v')|log()", "m v=1 1\nm v=1 2\nm v=1i 3\nm w=1 4\nm v=1i 5\nm v=\"\" 6\nm v=\"\" 7\n",
                  "changeDetect2",
                  "point m g= {} {v=1} 1\npoint m g= {} {v=1i} 3\npoint m g= {} {v=\"\"} 6\n");
}

static void samples_shifts_defaults_and_deletes(void **state)
{
    assert_script(FROM "|sample(2)|log()", "m v=1 1\nm v=2 2\nm v=3 3\n", "sample2",
                  "point m g= {} {v=1} 1\npoint m g= {} {v=3} 3\n");
    assert_script(FROM "|sample(10u)|log()", "m v=1 5000\nm v=2 -10000\n", "sample2", "point m g= {} {v=2} -10000\n");
    assert_script(FROM "|shift(-1u)|log()", "m v=1 500\n", "shift2", "point m g= {} {v=1} -500\n");
    assert_script(FROM "|default().field('v', 7).field('s', 'x').tag('g', 'none')|log()", "m w=1 1\nm,g=a v=2 2\n",
                  "default2",
                  "point m g=none {g=none} {s=\"x\",v=7i,w=1} 1\npoint m g=a {g=a} {s=\"x\",v=2} 2\n");
    assert_script(FROM "|delete().field('v').tag('g')|log()", "m,g=a,h=b v=1,w=2 1\n", "delete2",
                  "point m nil {h=b} {w=2} 1\n");
    assert_refused("stream|from()|shift(0s)", "invalid shift value: must be non zero duration");
    assert_refused("stream|from()|sample(0)", "invalid sample rate: must be positive integer or duration");
}

static void several_streams_meet(void **state)
{
    assert_script("stream|from().measurement('a')|union(stream|from().measurement('b')).rename('u')|log()",
                  "a v=1 1\na v=4 4\nb v=2 2\nb v=5 5\n", "union4",
                  "point u nil {} {v=1} 1\npoint u nil {} {v=2} 2\npoint u nil {} {v=4} 4\npoint u nil {} {v=5} 5\n");
    assert_script("stream|from()|combine(lambda: \"r\" == 'x', lambda: TRUE).as('x', 'y')|log()",
                  "m,r=x v=1 1\nm,r=y v=2 1\nm,r=z v=3 1\nm v=0 2\n", "combine2",
                  "point m nil {x.r=x,y.r=y} {x.v=1,y.v=2} 1\npoint m nil {x.r=x,y.r=z} {x.v=1,y.v=3} 1\n");
    assert_script("stream|from()|combine(lambda: TRUE, lambda: TRUE).as('x', 'y').max(2)|log()",
                  "m v=1 1\nm v=2 1\nm v=3 1\nm v=0 2\n", "combine2", "");
    assert_script("stream|from()|flatten().on('h', 'p').dropOriginalFieldName()|log()",
                  "m,h=a,p=1 v=1 1\nm,h=b,p=1 v=\"s\" 1\nm,h=c v=3 1\nm,h=a,p=1 v=4 2\n", "flatten2",
                  "point m nil {} {a.1=1,b.1=\"s\"} 1\n");
}

static void chains_of_parents_and_children_order_batches(void **state)
{
    assert_script("stream|from()|window().periodCount(2).everyCount(2)|where(lambda: \"v\" > 5.0)|trickle()|log()",
                  "m v=1 1\nm v=6 2\n", "trickle4", "point m nil {} {v=6} 2\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eval_sees_earlier_results),
        cmocka_unit_test(eval_makes_tags),
        cmocka_unit_test(an_error_drops_the_point_and_is_counted),
        cmocka_unit_test(from_selects_and_changes_times),
        cmocka_unit_test(group_by_on_points_and_batches),
        cmocka_unit_test(derivative_needs_time_to_pass),
        cmocka_unit_test(states_are_tracked),
        cmocka_unit_test(changes_are_of_value_and_of_type),
        cmocka_unit_test(samples_shifts_defaults_and_deletes),
        cmocka_unit_test(several_streams_meet),
        cmocka_unit_test(chains_of_parents_and_children_order_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
