#include "base/buf.h"
#include "base/mem.h"
#include "tick/tick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void assert_round(const char *json, bool declared, const char *expected)
{
    struct kap_tick_vars v;
    struct kap_error err;
    if (kap_tick_vars_parse(kap_str(json), &v, &err) != KAP_OK)
        fail_msg("%s\n%s", json, err.msg);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_json j;
    kap_json_init(&j, &b, false);
    kap_tick_vars_json(&j, &v, declared);
    assert_string_equal(b.p, expected);
    kap_tick_vars_done(&v);
}

static void each_type_reads_and_writes(void **state)
{
    assert_round("{}", false, "{}");
    assert_round("null", false, "{}");
    assert_round(
        "{\"z\":{\"type\":\"int\",\"value\":7},\"a\":{\"type\":\"float\",\"value\":7,\"description\":\"d\"}}",
        false,
        "{\"a\":{\"type\":\"float\",\"value\":7,\"description\":\"d\"},"
        "\"z\":{\"type\":\"int\",\"value\":7,\"description\":\"\"}}");
    assert_round("{\"d\":{\"type\":\"duration\",\"value\":\"90s\"}}", false,
                 "{\"d\":{\"type\":\"duration\",\"value\":90000000000,\"description\":\"\"}}");
    assert_round("{\"d\":{\"type\":\"duration\",\"value\":5}}", false,
                 "{\"d\":{\"type\":\"duration\",\"value\":5,\"description\":\"\"}}");
    assert_round(
        "{\"l\":{\"type\":\"list\",\"value\":[{\"type\":\"star\",\"value\":\"*\"},{\"type\":\"string\","
        "\"value\":\"s\"}]}}",
        false,
        "{\"l\":{\"type\":\"list\",\"value\":[{\"type\":\"star\",\"value\":null,\"description\":\"\"},"
        "{\"type\":\"string\",\"value\":\"s\",\"description\":\"\"}],\"description\":\"\"}}");
    assert_round("{\"s\":{\"type\":\"star\",\"value\":null}}", true,
                 "{\"s\":{\"type\":\"star\",\"value\":{\"typeOf\":\"star\"},\"description\":\"\"}}");
    assert_round("{\"b\":{\"type\":\"bool\",\"value\":false},\"r\":{\"type\":\"regex\",\"value\":\"a(\"},"
                 "\"x\":{\"type\":\"lambda\",\"value\":\"TRUE\"}}",
                 false,
                 "{\"b\":{\"type\":\"bool\",\"value\":false,\"description\":\"\"},"
                 "\"r\":{\"type\":\"regex\",\"value\":\"a(\",\"description\":\"\"},"
                 "\"x\":{\"type\":\"lambda\",\"value\":\"TRUE\",\"description\":\"\"}}");
    assert_round("{\"i\":{\"type\":\"int\",\"value\":9223372036854775807}}", false,
                 "{\"i\":{\"type\":\"int\",\"value\":9223372036854775807,\"description\":\"\"}}");
}

static void assert_refused(const char *json, const char *expected)
{
    struct kap_tick_vars v = { 0 };
    struct kap_error err = { .msg = "" };
    assert_int_not_equal(kap_tick_vars_parse(kap_str(json), &v, &err), KAP_OK);
    assert_string_equal(err.msg, expected);
    assert_null(v.arena);
}

static void values_must_fit_their_type(void **state)
{
    assert_refused("[]", "vars are not an object");
    assert_refused("{\"a\":5}", "invalid var a: a type is missing");
    assert_refused("{\"a\":{\"type\":\"nonsense\",\"value\":7}}", "invalid var a: unknown VarType nonsense");
    assert_refused("{\"a\":{\"type\":\"int\",\"value\":\"7\"}}",
                   "invalid var a: type int expects an int as value");
    assert_refused("{\"a\":{\"type\":\"int\",\"value\":7.0}}",
                   "invalid var a: type int expects an int as value");
    assert_refused("{\"a\":{\"type\":\"string\"}}", "invalid var a: a value is missing");
    assert_refused("{\"a\":{\"type\":\"list\",\"value\":5}}",
                   "invalid var a: type list expects a list of vars as value");
    assert_refused("{\"a\":{\"type\":\"list\",\"value\":[5]}}", "invalid var a: a type is missing");
    assert_refused("{\"a\":{\"type\":\"bool\",\"value\":1}}",
                   "invalid var a: type bool expects a boolean as value");
    struct kap_tick_vars v = { 0 };
    assert_int_equal(kap_tick_vars_parse(KAP_STR("{"), &v, NULL), KAP_EINVAL);
    assert_int_equal(
        kap_tick_vars_parse(KAP_STR("{\"d\":{\"type\":\"duration\",\"value\":\"90x\"}}"), &v, NULL),
        KAP_EINVAL);
}

static void nested_lists_are_limited(void **state)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_adds(&b, "{\"a\":");
    for (int i = 0; i < 40; i++)
        kap_buf_adds(&b, "{\"type\":\"list\",\"value\":[");
    for (int i = 0; i < 40; i++)
        kap_buf_adds(&b, "]}");
    kap_buf_adds(&b, "}");
    struct kap_tick_vars v = { 0 };
    assert_int_equal(kap_tick_vars_parse(kap_buf_str(&b), &v, NULL), KAP_ELIMIT);
}

static void vars_are_found_by_name(void **state)
{
    struct kap_tick_vars v;
    assert_int_equal(kap_tick_vars_parse(
                         KAP_STR("{\"b\":{\"type\":\"int\",\"value\":1},\"a\":{\"type\":\"int\",\"value\":2},"
                                 "\"c\":{\"type\":\"int\",\"value\":3}}"),
                         &v, NULL),
                     KAP_OK);
    assert_int_equal(kap_tick_vars_find(&v, KAP_STR("a"))->i, 2);
    assert_int_equal(kap_tick_vars_find(&v, KAP_STR("c"))->i, 3);
    assert_null(kap_tick_vars_find(&v, KAP_STR("aa")));
    assert_null(kap_tick_vars_find(&v, KAP_STR("d")));
    kap_tick_vars_done(&v);
    assert_null(kap_tick_vars_find(&v, KAP_STR("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_reads_and_writes),
        cmocka_unit_test(values_must_fit_their_type),
        cmocka_unit_test(nested_lists_are_limited),
        cmocka_unit_test(vars_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
