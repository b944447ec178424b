#include "base/buf.h"
#include "base/duration.h"
#include "pipeline/bind.h"
#include "pipeline/test_registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define V(v) { .kind = KAP_ARG_VALUE, .value = (v) }
#define TEXT(s) V(kap_value_s(KAP_STR(s)))
#define NONE NULL, 0

struct fixture {
    struct kap_graph *g;
    struct kap_bind_target source, from, alert;
    struct kap_bind_target ret;
    struct kap_error err;
    char hint[256];
};

static enum kap_status call(struct fixture *f, struct kap_bind_target on, enum kap_op op, const char *name,
                            const struct kap_arg *args, size_t nargs)
{
    const struct kap_bind_call c = { .op = op, .name = kap_str(name), .args = args, .nargs = nargs, .line = 3,
                                     .character = 7 };
    f->err.msg[0] = 0;
    return kap_bind_call(on, &c, &f->ret, f->hint, &f->err);
}

static int setup(void **state)
{
    struct fixture *f = KAP_NEW(struct fixture);
    f->g = kap_graph_new(KAP_TASK_STREAM);
    f->g->registry = &test_registry;
    struct kap_graph_node *root = NULL;
    assert_int_equal(kap_graph_add(f->g, NULL, &test_stream, &root, &f->err), KAP_OK);
    f->source = (struct kap_bind_target){ root, -1 };
    assert_int_equal(call(f, f->source, KAP_OP_PIPE, "from", NONE), KAP_OK);
    f->from = f->ret;
    assert_int_equal(call(f, f->from, KAP_OP_PIPE, "alert", NONE), KAP_OK);
    f->alert = f->ret;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    kap_graph_unref(f->g);
    kap_free(f);
    return 0;
}

static void set_ok(struct fixture *f, const char *name, struct kap_arg arg)
{
    if (call(f, f->from, KAP_OP_DOT, name, &arg, 1) != KAP_OK)
        fail_msg("%s: %s", name, f->err.msg);
}

static void each_kind_of_property_is_set(void **state)
{
    struct fixture *f = *state;
    const struct test_config *c = f->from.node->config;
    const struct kap_expr body = { .kind = KAP_EXPR_LITERAL };
    set_ok(f, "count", (struct kap_arg)V(kap_value_i(5)));
    set_ok(f, "rate", (struct kap_arg)V(kap_value_f(0.5)));
    set_ok(f, "measurement", (struct kap_arg)TEXT("cpu"));
    set_ok(f, "on", (struct kap_arg)V(kap_value_b(true)));
    set_ok(f, "period", (struct kap_arg)V(kap_value_dur(10 * KAP_S)));
    set_ok(f, "crit", (struct kap_arg){ .kind = KAP_ARG_LAMBDA, .lambda = &body });
    assert_int_equal(call(f, f->from, KAP_OP_DOT, "align", NONE), KAP_OK);
    assert_int_equal(c->count, 5);
    assert_true(c->rate == 0.5 && c->on && c->flag);
    assert_true(kap_str_is(c->text, "cpu"));
    assert_int_equal(c->period_ns, 10 * KAP_S);
    assert_ptr_equal(c->lambda, &body);
}

static void lists_replace_or_add(void **state)
{
    struct fixture *f = *state;
    const struct test_config *c = f->from.node->config;
    const struct kap_arg ab[] = { TEXT("a"), TEXT("b") }, cc[] = { TEXT("c") };
    assert_int_equal(call(f, f->from, KAP_OP_DOT, "as", ab, 2), KAP_OK);
    assert_int_equal(call(f, f->from, KAP_OP_DOT, "as", cc, 1), KAP_OK);
    assert_int_equal(c->names.n, 1);
    assert_int_equal(call(f, f->from, KAP_OP_DOT, "tag", ab, 2), KAP_OK);
    assert_int_equal(call(f, f->from, KAP_OP_DOT, "tag", cc, 1), KAP_OK);
    assert_int_equal(c->added.n, 3);
    assert_true(kap_str_is(c->added.v[0], "a") && kap_str_is(c->added.v[2], "c"));
    assert_int_equal(call(f, f->from, KAP_OP_DOT, "pair", ab, 2), KAP_OK);
    assert_true(kap_str_is(c->value, "b"));
}

static void quiet_is_known_to_all(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(call(f, f->from, KAP_OP_DOT, "quiet", NONE), KAP_OK);
    assert_true(f->from.node->quiet);
}

static void assert_fails(struct fixture *f, struct kap_bind_target on, enum kap_op op, const char *name,
                         const struct kap_arg *args, size_t nargs, const char *expected)
{
    assert_int_not_equal(call(f, on, op, name, args, nargs), KAP_OK);
    assert_string_equal(f->err.msg, expected);
}

static void arguments_of_wrong_kind_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct kap_arg five = V(kap_value_i(5)), field = { .kind = KAP_ARG_FIELD },
                         two[] = { TEXT("a"), TEXT("b") };
    assert_fails(f, f->from, KAP_OP_DOT, "measurement", NONE,
                 "line 3 char 7: too many arguments to set property Measurement on *pipeline.FromNode");
    assert_fails(f, f->from, KAP_OP_DOT, "Measurement", two, 2,
                 "line 3 char 7: too many arguments to set property Measurement on *pipeline.FromNode");
    assert_fails(f, f->from, KAP_OP_DOT, "measurement", &five, 1,
                 "line 3 char 7: error calling func \"measurement\" on obj *pipeline.FromNode: cannot use "
                 "int 5, it wants "
                 "a string");
    assert_fails(f, f->from, KAP_OP_DOT, "measurement", &field, 1,
                 "line 3 char 7: cannot assign *ast.ReferenceNode to type string, did you use double quotes "
                 "instead of "
                 "single quotes?");
    assert_fails(
        f, f->from, KAP_OP_DOT, "rate", &five, 1,
        "line 3 char 7: error calling func \"rate\" on obj *pipeline.FromNode: cannot use int 5, it wants a "
        "float");
    assert_fails(
        f, f->from, KAP_OP_DOT, "align", &five, 1,
        "line 3 char 7: error calling func \"align\" on obj *pipeline.FromNode: too many arguments, it takes "
        "none");
    assert_fails(f, f->from, KAP_OP_PIPE, "sample", two, 1,
                 "line 3 char 7: error calling func \"sample\" on obj *pipeline.FromNode: must pass int64 or "
                 "duration to "
                 "new sample node");
    assert_fails(f, f->from, KAP_OP_PIPE, "window", &five, 1,
                 "line 3 char 7: error calling func \"window\" on obj *pipeline.FromNode: too many "
                 "arguments, it takes "
                 "none");
}

static void the_wrong_operator_is_named(void **state)
{
    struct fixture *f = *state;
    assert_fails(f, f->source, KAP_OP_DOT, "from", NONE,
                 "line 3 char 7: no property method \"from\" on *pipeline.StreamNode, but chaining method "
                 "does exist. Use "
                 "'|' operator instead: 'node|from(..)'.");
    assert_fails(f, f->from, KAP_OP_PIPE, "period", NONE,
                 "line 3 char 7: no chaining method \"period\" on *pipeline.FromNode, but property does "
                 "exist. Use '.' "
                 "operator instead: 'node.period(..)'.");
    assert_fails(f, f->from, KAP_OP_PIPE, "mirror", NONE,
                 "line 3 char 7: no chaining method \"mirror\" on *pipeline.FromNode, but dynamic method "
                 "does exist. Use "
                 "'@' operator instead: 'node@mirror(..)'.");
    assert_fails(f, f->from, KAP_OP_AT, "eval", NONE,
                 "line 3 char 7: no dynamic method \"eval\" on *pipeline.FromNode, but chaining method does "
                 "exist. Use "
                 "'|' operator instead: 'node|eval(..)'.");
    assert_int_equal(call(f, f->from, KAP_OP_AT, "mirror", NONE), KAP_OK);
}

static void unknown_names_get_a_hint(void **state)
{
    struct fixture *f = *state;
    assert_fails(f, f->source, KAP_OP_PIPE, "frm", NONE,
                 "line 3 char 7: no method or property \"frm\" on *pipeline.StreamNode");
    assert_string_equal(f->hint, "did you mean |from(..)?");
    assert_fails(f, f->from, KAP_OP_DOT, "mesurement", NONE,
                 "line 3 char 7: no method or property \"mesurement\" on *pipeline.FromNode");
    assert_string_equal(f->hint, "did you mean .measurement(..)?");
    assert_fails(f, f->from, KAP_OP_PIPE, "zzzzzzzzz", NONE,
                 "line 3 char 7: no method or property \"zzzzzzzzz\" on *pipeline.FromNode");
    assert_string_equal(f->hint, "");
}

static void only_the_first_letter_is_free(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(call(f, f->from, KAP_OP_PIPE, "HttpOut", NONE), KAP_OK);
    assert_fails(f, f->from, KAP_OP_PIPE, "httpout", NONE,
                 "line 3 char 7: no method or property \"httpout\" on *pipeline.FromNode");
    assert_fails(f, f->from, KAP_OP_DOT, "MEASUREMENT", NONE,
                 "line 3 char 7: no method or property \"MEASUREMENT\" on *pipeline.FromNode");
}

static void places_where_methods_exist(void **state)
{
    struct fixture *f = *state;
    assert_fails(f, f->source, KAP_OP_PIPE, "eval", NONE,
                 "line 3 char 7: no method or property \"eval\" on *pipeline.StreamNode");
    assert_fails(f, f->source, KAP_OP_PIPE, "query", NONE,
                 "line 3 char 7: no method or property \"query\" on *pipeline.StreamNode");
    assert_int_equal(call(f, f->from, KAP_OP_PIPE, "from", NONE), KAP_OK);
    assert_fails(f, f->alert, KAP_OP_PIPE, "from", NONE,
                 "line 3 char 7: no method or property \"from\" on *pipeline.AlertNode");
    assert_fails(f, f->alert, KAP_OP_PIPE, "stream", NONE,
                 "line 3 char 7: no method or property \"stream\" on *pipeline.AlertNode");
    assert_fails(f, f->alert, KAP_OP_PIPE, "noop", NONE,
                 "line 3 char 7: no method or property \"noop\" on *pipeline.AlertNode");
    assert_int_equal(call(f, f->source, KAP_OP_PIPE, "stats", NONE), KAP_OK);
    assert_int_equal(call(f, f->ret, KAP_OP_PIPE, "eval", NONE), KAP_OK);
    assert_int_equal(call(f, f->alert, KAP_OP_PIPE, "influxDBOut", NONE), KAP_OK);
    const struct kap_bind_target sink = f->ret;
    assert_fails(f, sink, KAP_OP_PIPE, "httpOut", NONE,
                 "line 3 char 7: no method or property \"httpOut\" on *pipeline.InfluxDBOutNode");
    assert_int_equal(call(f, sink, KAP_OP_PIPE, "stats", NONE), KAP_OK);
}

static void edges_are_checked(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(call(f, f->from, KAP_OP_PIPE, "window", NONE), KAP_OK);
    assert_fails(
        f, f->ret, KAP_OP_PIPE, "window", NONE,
        "line 3 char 7: error calling func \"window\" on obj *pipeline.WindowNode: cannot Window batch edge");
}

static void handlers_are_properties_of_alerts(void **state)
{
    struct fixture *f = *state;
    const struct kap_arg channel = TEXT("#ops"), other = TEXT("#dev"), three = V(kap_value_i(3));
    assert_fails(f, f->from, KAP_OP_DOT, "slack", NONE,
                 "line 3 char 7: no method or property \"slack\" on *pipeline.FromNode");
    assert_fails(f, f->alert, KAP_OP_DOT, "channel", &channel, 1,
                 "line 3 char 7: no method or property \"channel\" on *pipeline.AlertNode");
    assert_int_equal(call(f, f->alert, KAP_OP_DOT, "slack", NONE), KAP_OK);
    const struct kap_bind_target first = f->ret;
    assert_int_equal(call(f, first, KAP_OP_DOT, "count", &three, 1),
                     KAP_OK); /* the alert's own, in between */
    assert_int_equal(call(f, f->ret, KAP_OP_DOT, "channel", &channel, 1), KAP_OK);
    assert_int_equal(call(f, f->ret, KAP_OP_DOT, "slack", NONE), KAP_OK);
    assert_int_equal(call(f, f->ret, KAP_OP_DOT, "channel", &other, 1), KAP_OK);
    assert_fails(f, f->ret, KAP_OP_DOT, "nosuch", NONE,
                 "line 3 char 7: no method or property \"nosuch\" on *pipeline.SlackHandler");
    const struct kap_graph_node *n = f->alert.node;
    assert_int_equal(n->nhandlers, 2);
    assert_true(kap_str_is(((struct test_options *)n->handlers[0].options)->channel, "#ops"));
    assert_true(kap_str_is(((struct test_options *)n->handlers[1].options)->channel, "#dev"));
    assert_int_equal(((struct test_config *)n->config)->count, 3);
    assert_int_equal(call(f, f->ret, KAP_OP_PIPE, "eval", NONE),
                     KAP_OK); /* the chain goes on from the node */
    assert_ptr_equal(f->ret.node->parents[0], n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_kind_of_property_is_set, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_replace_or_add, setup, teardown),
        cmocka_unit_test_setup_teardown(quiet_is_known_to_all, setup, teardown),
        cmocka_unit_test_setup_teardown(arguments_of_wrong_kind_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_wrong_operator_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_names_get_a_hint, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_first_letter_is_free, setup, teardown),
        cmocka_unit_test_setup_teardown(places_where_methods_exist, setup, teardown),
        cmocka_unit_test_setup_teardown(edges_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(handlers_are_properties_of_alerts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
