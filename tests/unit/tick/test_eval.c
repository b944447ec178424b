#include "base/buf.h"
#include "base/duration.h"
#include "pipeline/dot.h"
#include "pipeline/test_registry.h"
#include "tick/tick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct kap_tick_script *parse(const char *text)
{
    struct kap_tick_script *s = NULL;
    struct kap_error err;
    if (kap_tick_parse(kap_str(text), &s, &err) != KAP_OK)
        fail_msg("%s\n%s", text, err.msg);
    return s;
}

/* Evaluates; on failure the graph is NULL and err tells why. */
static struct kap_graph *eval(const char *text, struct kap_tick_options opt, struct kap_tick_vars *vars,
                              struct kap_tick_hint *hint, struct kap_error *err)
{
    struct kap_graph *g = NULL;
    struct kap_tick_script *s = parse(text);
    opt.registry = &test_registry;
    (void)kap_tick_eval(s, &opt, &g, vars, hint, err);
    kap_tick_script_unref(s); /* the graph keeps what it needs */
    return g;
}

static const struct kap_tick_options detect = { .type = KAP_TASK_INVALID };

static struct kap_graph *must_eval(const char *text)
{
    struct kap_error err;
    struct kap_graph *g = eval(text, detect, NULL, NULL, &err);
    if (!g)
        print_error("%s\n%s\n", text, err.msg);
    assert_non_null(g);
    return g;
}

static void assert_refused(const char *text, const char *expected)
{
    struct kap_error err = { .msg = "" };
    struct kap_graph *g = eval(text, detect, NULL, NULL, &err);
    assert_null(g);
    assert_string_equal(err.msg, expected);
}

static void assert_dot(const char *text, const char *expected)
{
    struct kap_graph *g = must_eval(text);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_graph_dot(g, KAP_STR("t"), &b);
    assert_string_equal(b.p, expected);
    kap_graph_unref(g);
}

static void scripts_become_graphs(void **state)
{
    assert_dot("stream|from().measurement('m')|window().period(10s)|httpOut('o')",
               "digraph t {\nstream0 -> from1;\nfrom1 -> window2;\nwindow2 -> http_out3;\n}");
    assert_dot(
        "var a = stream|from().measurement('a')\nvar b = stream|from().measurement('b')\na|union(b)|eval()\n"
        "a|httpOut('x')",
        "digraph t {\nstream0 -> from1;\nstream0 -> from2;\nfrom2 -> union4;\nfrom1 -> union4;\n"
        "from1 -> http_out6;\nunion4 -> eval5;\n}");
    assert_dot("stream|from()|stats(10s)|httpOut('s')",
               "digraph t {\nstream0 -> from1;\nfrom1 -> noop3;\nstats2 -> http_out4;\n}");
    assert_dot("batch|query('SELECT 1')|eval()", "digraph t {\nquery1 -> eval2;\n}");
    assert_dot("stream|from()@mirror().count(2)|eval()",
               "digraph t {\nstream0 -> from1;\nfrom1 -> mirror2;\nmirror2 -> eval3;\n}");
}

static const struct test_config *config(const struct kap_graph *g, size_t node)
{
    return g->nodes[node]->config;
}

static void vars_of_all_types_reach_properties(void **state)
{
    struct kap_graph *g =
        must_eval("var meas = 'cpu'\nvar per = 10s\nvar n = 2\nvar lim = 1.5\nvar on = TRUE\n"
                  "var neg = -n\nvar tags = ['host', meas, *]\nvar cond = lambda: \"v\" > lim\n"
                  "stream|from().measurement(meas).count(neg + 5).rate(-lim).on(!on).period(per * 2)"
                  ".crit(cond)|eval(tags)|eval(meas)");
    const struct test_config *c = config(g, 1);
    assert_true(kap_str_is(c->text, "cpu"));
    assert_int_equal(c->count, 3);
    assert_true(c->rate == -1.5);
    assert_false(c->on);
    assert_int_equal(c->period_ns, 20 * KAP_S);
    assert_int_equal(c->lambda->op, KAP_OP_GT);
    assert_true(c->lambda->right->value.f == 1.5);
    assert_int_equal(config(g, 2)->nargs, 3); /* one list stands for its items */
    assert_int_equal(config(g, 2)->last.kind, KAP_ARG_STAR);
    assert_int_equal(config(g, 3)->nargs, 1);
    kap_graph_unref(g);
}

static void lambdas_are_put_into_lambdas(void **state)
{
    struct kap_graph *g = must_eval("var re = /a/\nvar a = lambda: \"x\" > 1 OR \"y\" =~ re\n"
                                    "var b = lambda: a AND f(a, 5)\nstream|from().crit(b)");
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_expr_format(&b, config(g, 1)->lambda);
    assert_string_equal(b.p, "(\"x\" > 1 OR \"y\" =~ /a/) AND f((\"x\" > 1 OR \"y\" =~ /a/), 5)");
    kap_graph_unref(g);
}

static void lambdas_do_not_explode(void **state)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_adds(&b, "var l0 = lambda: \"x\" + 1\n");
    for (int i = 1; i < 60; i++)
        kap_buf_addf(&b, "var l%d = lambda: l%d + l%d\n", i, i - 1, i - 1);
    kap_buf_adds(&b, "stream|from().crit(l59)");
    struct kap_error err;
    assert_null(eval(b.p, detect, NULL, NULL, &err));
    assert_int_equal(err.status, KAP_ELIMIT);
}

static void time_is_a_function_of_group_by(void **state)
{
    struct kap_graph *g =
        must_eval("var t = time(1m, -5s)\nbatch|query('q')|eval(time(30s), 'host')|eval(t)");
    assert_int_equal(config(g, 2)->nargs, 2);
    assert_int_equal(config(g, 3)->last.kind, KAP_ARG_TIME);
    assert_int_equal(config(g, 3)->last.value.i, KAP_MINUTE);
    assert_int_equal(config(g, 3)->last.offset_ns, -5 * KAP_S);
    kap_graph_unref(g);
    struct kap_error err;
    assert_null(eval("batch|query('q')|eval(time())", detect, NULL, NULL, &err));
    assert_null(eval("batch|query('q')|eval(time('1m'))", detect, NULL, NULL, &err));
    assert_null(eval("batch|query('q')|eval(time(1m, 2m, 3m))", detect, NULL, NULL, &err));
}

static void mistakes_are_told_in_the_reference_s_words(void **state)
{
    assert_refused("strem|from()", "invalid task type: invalid");
    assert_refused("var s = stream", "task does nothing");
    assert_refused("stream|frm()", "line 1 char 8: no method or property \"frm\" on *pipeline.StreamNode");
    assert_refused("stream|from()|eval(x)", "name \"x\" is undefined. Names in scope: stream,time");
    assert_refused("var zz = 1\nvar b = 2\nbatch|query(x)",
                   "name \"x\" is undefined. Names in scope: b,batch,time,zz");
    assert_refused("stream|from().crit(lambda: v > 1)",
                   "name \"v\" is undefined. Names in scope: stream,time");
    assert_refused("var a = 5\nvar a = 6\nstream|from()", "attempted to redefine a, vars are immutable");
    assert_refused("var a = !5\nstream|from()", "line 1 char 9: invalid arugument to '!' 5");
    assert_refused("var a = -'x'\nstream|from()", "line 1 char 9: invalid arugument to '-' x");
    assert_refused("var x = stream|from()\nx|eval(lambda: x > 1)",
                   "unsupported literal type *pipeline.FromNode");
    assert_refused("var x int\nstream|from()", "missing value for var \"x\".");
    assert_refused("var x foo\nstream|from()", "invalid var type \"foo\"");
    assert_refused("stream|from().measurement(\"m\")", "line 1 char 15: cannot assign *ast.ReferenceNode to "
                                                       "type string, did you use double quotes instead of "
                                                       "single quotes?");
    assert_refused("stream|from()|sample('x')",
                   "line 1 char 15: error calling func \"sample\" on obj *pipeline.FromNode: "
                   "must pass int64 or duration to new sample node");
    assert_refused("stream|from().count(-1)", "count must not be negative");
    assert_refused("stream|from()\nnofunc('x')", "line 2 char 1: no global function \"nofunc\" defined");
    assert_refused("var x = 5\nx|from()\nstream|from()",
                   "line 2 char 3: cannot get properties of non pointer value");
    assert_refused("var x = stream|from().nope\n",
                   "line 1 char 22: object *pipeline.FromNode has no property nope");
}

static void hints_name_what_was_meant(void **state)
{
    struct kap_error err;
    struct kap_tick_hint hint;
    assert_null(eval("stream\n    |from()\n    |evel()", detect, NULL, &hint, &err));
    assert_string_equal(hint.text, "did you mean |eval(..)?");
    assert_int_equal(hint.line, 3);
    assert_int_equal(hint.character, 6);
    assert_null(eval("var threshold = 5\nstream|from()|eval(treshold)", detect, NULL, &hint, &err));
    assert_string_equal(hint.text, "did you mean threshold?");
    assert_null(eval("5 + 5", detect, NULL, &hint, &err));
    assert_string_equal(hint.text, "");
}

static struct kap_tick_vars vars_of(const char *json)
{
    struct kap_tick_vars v;
    struct kap_error err;
    if (kap_tick_vars_parse(kap_str(json), &v, &err) != KAP_OK)
        fail_msg("%s", err.msg);
    return v;
}

static void given_vars_take_the_place_of_defaults(void **state)
{
    struct kap_error err;
    struct kap_tick_vars given =
        vars_of("{\"n\": {\"type\": \"int\", \"value\": 7}, \"l\": {\"type\": \"lambda\", \"value\": "
                "\"\\\"v\\\" > n\"}, \"names\": {\"type\": \"list\", \"value\": [{\"type\": "
                "\"string\", \"value\": \"x\"}, {\"type\": \"star\", \"value\": \"*\"}]}, \"unused\": "
                "{\"type\": \"bool\", \"value\": true}}");
    struct kap_tick_options opt = { .type = KAP_TASK_STREAM, .vars = &given };
    struct kap_graph *g = eval("var n = 5\nvar l lambda\nvar names = ['a']\nvar m = n + 1\n"
                               "stream|from().count(m).crit(l)|eval(names)",
                               opt, NULL, NULL, &err);
    if (!g)
        fail_msg("%s", err.msg);
    kap_tick_vars_done(&given);
    assert_int_equal(config(g, 1)->count, 8);
    assert_int_equal(config(g, 1)->lambda->right->value.i, 7);
    assert_int_equal(config(g, 2)->nargs, 2);
    kap_graph_unref(g);
}

static void given_vars_must_fit(void **state)
{
    static const struct {
        const char *script, *vars, *expected;
    } cases[] = {
        { "var lim = 5\nstream|from()", "{\"lim\": {\"type\": \"float\", \"value\": 7.5}}",
          "invalid type supplied for lim, got float exp int" },
        { "var lim string\nstream|from()", "{\"lim\": {\"type\": \"bool\", \"value\": true}}",
          "invalid type supplied for lim, got boolean exp string" },
        { "var s = stream\ns|from()", "{\"s\": {\"type\": \"bool\", \"value\": true}}",
          "invalid type supplied for s, got boolean exp invalid type" },
        { "stream|from()", "{\"r\": {\"type\": \"regex\", \"value\": \"a(\"}}",
          "invalid var r: invalid regex pattern: error parsing regexp: missing closing ): `a(`" },
        { "stream|from()", "{\"r\": {\"type\": \"lambda\", \"value\": \"1 +\"}}",
          "invalid var r: invalid lambda expression: parser: unexpected EOF line 1 char 4 in \"1 +\". "
          "expected: "
          "\"number\",\"string\",\"duration\",\"identifier\",\"TRUE\",\"FALSE\",\"==\",\"(\",\"-\",\"!\"" },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        struct kap_error err;
        struct kap_tick_vars given = vars_of(cases[i].vars);
        const struct kap_tick_options opt = { .type = KAP_TASK_STREAM, .vars = &given };
        assert_null(eval(cases[i].script, opt, NULL, NULL, &err));
        assert_string_equal(err.msg, cases[i].expected);
        kap_tick_vars_done(&given);
    }
}

static void templates_list_their_vars(void **state)
{
    struct kap_error err;
    struct kap_tick_vars vars = { 0 };
    const struct kap_tick_options opt = { .type = KAP_TASK_STREAM, .is_template = true };
    struct kap_graph *g =
        eval("// Measurement to read\nvar meas string\n// Group dims\nvar groups = [*]\n// Threshold\n"
             "// in percent\nvar crit = 90.0\nvar win = 5m\nvar cond = lambda: \"v\" > crit\nvar num int\n"
             "var pat = /a\\/b/\nvar flag = FALSE\nvar c2 lambda\nvar r2 regex\nvar l2 list\n"
             "stream|from().measurement(meas).crit(c2)|eval(l2)|eval(lambda: \"x\" =~ r2 AND cond)",
             opt, &vars, NULL, &err);
    if (!g)
        fail_msg("%s", err.msg);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_json j;
    kap_json_init(&j, &b, false);
    kap_tick_vars_json(&j, &vars, true);
    assert_string_equal(
        b.p, "{\"c2\":{\"type\":\"lambda\",\"value\":null,\"description\":\"\"},"
             "\"cond\":{\"type\":\"lambda\",\"value\":\"\\\"v\\\" \\u003e 90.0\",\"description\":\"\"},"
             "\"crit\":{\"type\":\"float\",\"value\":90,\"description\":\"Threshold\\nin percent\"},"
             "\"flag\":{\"type\":\"bool\",\"value\":false,\"description\":\"\"},"
             "\"groups\":{\"type\":\"list\",\"value\":[{\"type\":\"star\",\"value\":{\"typeOf\":\"star\"},"
             "\"description\":\"\"}]"
             ",\"description\":\"Group dims\"},"
             "\"l2\":{\"type\":\"list\",\"value\":null,\"description\":\"\"},"
             "\"meas\":{\"type\":\"string\",\"value\":null,\"description\":\"Measurement to read\"},"
             "\"num\":{\"type\":\"int\",\"value\":null,\"description\":\"\"},"
             "\"pat\":{\"type\":\"regex\",\"value\":\"a/b\",\"description\":\"\"},"
             "\"r2\":{\"type\":\"regex\",\"value\":null,\"description\":\"\"},"
             "\"win\":{\"type\":\"duration\",\"value\":300000000000,\"description\":\"\"}}");
    kap_tick_vars_done(&vars);
    kap_graph_unref(g);
    g = eval("not a script", opt, NULL, NULL, &err); /* names alone: nothing to do, but a template may */
    assert_non_null(g);
    kap_graph_unref(g);
}

static void note_warning(void *ctx, int line, int character, const char *message)
{
    kap_buf_addf(ctx, "%d:%d %s\n", line, character, message);
}

static void lambdas_that_cannot_work_are_told(void **state)
{
    static const char script[] =
        "var a = lambda: \"v\" + 1\nstream|from()\n    .crit(lambda: 1 + 'a')|eval(a)";
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf told = { 0 };
    struct kap_tick_options opt = { .type = KAP_TASK_STREAM, .warn = note_warning, .warn_ctx = &told };
    struct kap_graph *g = eval(script, opt, NULL, NULL, &err);
    assert_non_null(g); /* accepted, as the reference does */
    kap_graph_unref(g);
    assert_string_equal(
        told.p, "3:11 mismatched type to binary operator. got int + string. see bool(), int(), float(), "
                "string(), duration()\n");
    opt.warn = NULL;
    opt.strict = true;
    assert_null(eval(script, opt, NULL, NULL, &err));
    assert_string_equal(
        err.msg, "line 3 char 11: mismatched type to binary operator. got int + string. see bool(), int(), "
                 "float(), string(), duration()");
}

static void functions_work_on_constants(void **state)
{
    struct kap_graph *g = must_eval("var n = int('41') + 1\nvar s = string(n)\n"
                                    "stream|from().count(n).measurement(s).period(duration(10, 1s))");
    assert_int_equal(config(g, 1)->count, 42);
    assert_true(kap_str_is(config(g, 1)->text, "42"));
    assert_int_equal(config(g, 1)->period_ns, 10 * KAP_S);
    kap_graph_unref(g);
    struct kap_error err;
    assert_null(eval("var n = int('x')\nstream|from()", detect, NULL, NULL, &err));
    assert_null(eval("var n = 1 / 0\nstream|from()", detect, NULL, NULL, &err));
    assert_null(eval("var n = hour(now()) + 1\nstream|from()", detect, NULL, NULL,
                     &err)); /* not the same everywhere */
}

static void scripts_are_evaluated_as_often_as_wanted(void **state)
{
    struct kap_tick_script *s =
        parse("var l = lambda: \"a\" > 1\nvar m = lambda: l OR l\nstream|from().crit(m)");
    const struct kap_tick_options opt = { .registry = &test_registry, .type = KAP_TASK_INVALID };
    for (int i = 0; i < 3; i++) {
        struct kap_graph *g = NULL;
        assert_int_equal(kap_tick_eval(s, &opt, &g, NULL, NULL, NULL), KAP_OK);
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        kap_expr_format(&b, config(g, 1)->lambda);
        assert_string_equal(b.p, "(\"a\" > 1) OR (\"a\" > 1)");
        kap_graph_unref(g);
    }
    kap_tick_script_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_become_graphs),
        cmocka_unit_test(vars_of_all_types_reach_properties),
        cmocka_unit_test(lambdas_are_put_into_lambdas),
        cmocka_unit_test(lambdas_do_not_explode),
        cmocka_unit_test(time_is_a_function_of_group_by),
        cmocka_unit_test(mistakes_are_told_in_the_reference_s_words),
        cmocka_unit_test(hints_name_what_was_meant),
        cmocka_unit_test(given_vars_take_the_place_of_defaults),
        cmocka_unit_test(given_vars_must_fit),
        cmocka_unit_test(lambdas_that_cannot_work_are_told),
        cmocka_unit_test(functions_work_on_constants),
        cmocka_unit_test(templates_list_their_vars),
        cmocka_unit_test(scripts_are_evaluated_as_often_as_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
