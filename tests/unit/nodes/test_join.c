#include "nodes/script.h"

#define TWO "var a = stream|from().measurement('a').groupBy('g')\nvar b = stream|from().measurement('b').groupBy('g')\n"

static void points_of_one_time_and_group_are_joined(void **state)
{
    assert_script(TWO "a|join(b).as('x', 'y')|log()",
                  "a,g=1 v=1 10\nb,g=1 v=2 10\na,g=2 v=3 10\nb,g=1 v=4 20\na,g=1 v=5 30\nb,g=1 v=6 30\n", "join4",
                  "point a g=1 {g=1} {x.v=1,y.v=2} 10\n"
                  "point a g=1 {g=1} {x.v=5,y.v=6} 30\n");
}

static void what_is_missing_is_filled_with_the_names_of_what_is_there(void **state)
{
    assert_script(TWO "a|join(b).as('x', 'y').fill(0.5).delimiter('#')|log()",
                  "a,g=1 v=1 10\nb,g=1 w=2i 20\na,g=1 v=3 30\n", "join4",
                  "point a g=1 {g=1} {x#v=1,y#v=0.5} 10\n"
                  "point b g=1 {g=1} {x#w=0.5,y#w=2i} 20\n"
                  "point a g=1 {g=1} {x#v=3,y#v=0.5} 30\n");
    assert_script(TWO "a|join(b).as('x', 'y').fill('null').streamName('s')|log()", "a,g=1 v=1 10\n", "join4",
                  "point s g=1 {g=1} {x.v=1,y.v=null} 10\n");
}

static void equal_times_pair_up_in_order(void **state)
{
    assert_script(TWO "a|join(b).as('x', 'y')|log()", "a v=1 10\na v=2 10\na v=3 10\nb v=4 10\nb v=5 10\n", "join4",
                  "point a g= {} {x.v=1,y.v=4} 10\n"
                  "point a g= {} {x.v=2,y.v=5} 10\n");
}

static void tolerance_rounds_and_late_sides_still_match(void **state)
{
    assert_script(TWO "a|join(b).as('x', 'y').tolerance(1u)|log()",
                  "a v=1 900\na v=2 2100\nb v=3 1400\nb v=4 1900\nb v=5 5000\na v=6 5499\n", "join4",
                  "point a g= {} {x.v=1,y.v=3} 1000\n"
                  "point a g= {} {x.v=2,y.v=4} 2000\n"
                  "point a g= {} {x.v=6,y.v=5} 5000\n");
}

static void on_joins_the_coarse_with_the_fine(void **state)
{
    static const char *const script =
        "var a = stream|from().measurement('a').groupBy('b')\n"
        "var f = stream|from().measurement('f').groupBy('b', 'f')\n"
        "a|join(f).as('a', 'f').on('b').fill('none')|log()";
    assert_script(script,
                  "f,b=A,f=1 v=1 10\na,b=A v=100 10\nf,b=A,f=2 v=2 10\nf,b=B,f=1 v=3 10\na,b=A v=200 20\n"
                  "f,b=A,f=1 v=4 20\na,b=A v=300 30\n",
                  "join4",
                  "point a b=A,f=1 {b=A,f=1} {a.v=100,f.v=1} 10\n"
                  "point a b=A,f=2 {b=A,f=2} {a.v=100,f.v=2} 10\n"
                  "point a b=A,f=1 {b=A,f=1} {a.v=200,f.v=4} 20\n");
}

static void batches_are_joined_point_by_point(void **state)
{
    static const char *const script =
        "var a = stream|from().measurement('a')|window().period(10u).every(10u).align()\n"
        "var b = stream|from().measurement('b')|window().period(10u).every(10u).align()\n"
        "a|join(b).as('x', 'y').fill('null')|log()";
    assert_script(script, "a v=1 1000\nb v=3 500\nb v=2 1000\na v=4 11000\nb v=5 12000\nb v=0 30000\n", "join6",
                  "begin a nil 10000\n"
                  "  point a nil {} {x.v=null,y.v=3} 500\n"
                  "  point a nil {} {x.v=1,y.v=2} 1000\n"
                  "end\n"
                  "begin b nil 20000\n"
                  "  point b nil {} {x.v=null,y.v=5} 12000\n"
                  "end\n");
}

static void a_barrier_lets_the_other_side_go(void **state)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_rig *rig = script_rig("var a = stream|from().measurement('a')\nvar b = stream|from().measurement('b')\n"
                                     "a|join(b).as('x', 'y').fill(0)|log()");
    kap_rig_collect(rig, "join4", &out);
    script_write(rig, "a v=1 10\na v=2 20\n");
    assert_int_equal(out.n, 0);
    struct kap_group *g =
        kap_groups_get(kap_rig_groups(rig), &(struct kap_dims){ 0 }, kap_sym_c("b"), kap_tags_empty, false);
    kap_rig_barrier(rig, "from2", &(struct kap_barrier){ .time_ns = 15, .group = g });
    assert_string_equal(out.p, "point a nil {} {x.v=1,y.v=0i} 10\nbarrier nil 15\n");
    kap_group_unref(kap_rig_groups(rig), g);
    kap_rig_free(rig);
}

static void memory_comes_back(void **state)
{
    struct kap_rig *rig = script_rig(TWO "a|join(b).as('x', 'y')|log()");
    script_write(rig, "a,g=1 v=1 1\nb,g=1 v=1 1\n");
    const int64_t before = script_bytes(rig);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    for (int i = 10; i < 500; i++)
        kap_buf_addf(&b, "a,g=1 v=%d,s=\"text\" %d\n", i, i);
    script_write(rig, b.p);
    assert_true(script_bytes(rig) > before);
    script_write(rig, "b,g=1 v=1 1000\na,g=1 v=1 1000\n");
    assert_int_equal(script_bytes(rig), before);
    kap_rig_free(rig);
}

static void bad_properties_are_refused(void **state)
{
    assert_refused(TWO "a|join(b)", "a call to join.as() is required to specify the output stream prefixes.");
    assert_refused(TWO "a|join(b).as('x')",
                   "number of prefixes specified by join.as() must match the number of joined streams");
    assert_refused(TWO "a|join(b).as('x', 'x')", "cannot use the same prefix name see .as() property method");
    assert_refused(TWO "a|join(b).as('x', '')",
                   "must provide a prefix name for the join node, see .as() property method");
    assert_refused(TWO "a|join(b).as('x.y', 'z')",
                   "cannot use name x.y as field prefix, it contains the delimiter \".\"\t");
    assert_refused(TWO "a|join(b).as('x', 'y').fill('maybe')", "unexpected fill option maybe");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_of_one_time_and_group_are_joined),
        cmocka_unit_test(what_is_missing_is_filled_with_the_names_of_what_is_there),
        cmocka_unit_test(equal_times_pair_up_in_order),
        cmocka_unit_test(tolerance_rounds_and_late_sides_still_match),
        cmocka_unit_test(on_joins_the_coarse_with_the_fine),
        cmocka_unit_test(batches_are_joined_point_by_point),
        cmocka_unit_test(a_barrier_lets_the_other_side_go),
        cmocka_unit_test(memory_comes_back),
        cmocka_unit_test(bad_properties_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
