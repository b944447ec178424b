#include "alert/spec.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void yaml_becomes_json(void **state)
{
    static const struct { const char *yaml, *json; } cases[] = {
        { "a: 1\nb: [x, 'y', \"z\"]\n", "{\"a\":1,\"b\":[\"x\",\"y\",\"z\"]}" },
        { "{\"a\": {\"b\": null}, \"c\": true}", "{\"a\":{\"b\":null},\"c\":true}" },
        { "a: 1.5\nb: '1'\nc: 1h\nd: ~\ne: False\n", "{\"a\":1.5,\"b\":\"1\",\"c\":\"1h\",\"d\":null,\"e\":false}" },
        { "a: 0644", "{\"a\":644}" },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        json_t *tree;
        struct kap_error err;
        if (kap_yaml_json(kap_str(cases[i].yaml), &tree, &err) != KAP_OK)
            fail_msg("%s: %s", cases[i].yaml, err.msg);
        char *text = json_dumps(tree, JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(text, cases[i].json);
        free(text);
        json_decref(tree);
    }
}

static void bad_yaml(void **state)
{
    static const struct { const char *yaml, *message; } cases[] = {
        { "a: [1", "yaml: line 2 column 1: did not find expected ',' or ']'" },
        { "a: &x 1\nb: *x\n", "yaml: line 2 column 4: aliases are not supported" },
        { "", "yaml: no document" },
        { "? [a]\n: 1\n", "yaml: line 1 column 3: a key must be a plain text" },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        json_t *tree;
        struct kap_error err;
        assert_int_not_equal(kap_yaml_json(kap_str(cases[i].yaml), &tree, &err), KAP_OK);
        assert_string_equal(err.msg, cases[i].message);
    }
    KAP_AUTO_BUF struct kap_buf deep = { 0 };
    for (int i = 0; i < 100; i++)
        kap_buf_addc(&deep, '[');
    for (int i = 0; i < 100; i++)
        kap_buf_addc(&deep, ']');
    json_t *tree;
    struct kap_error err;
    assert_int_equal(kap_yaml_json(kap_buf_str(&deep), &tree, &err), KAP_ELIMIT);
}

static void check_spec(const char *yaml, const char *topic, const char *message)
{
    json_t *tree;
    struct kap_handler_spec s;
    struct kap_error err;
    assert_int_equal(kap_yaml_json(kap_str(yaml), &tree, &err), KAP_OK);
    enum kap_status status = kap_handler_spec_read(tree, topic, &s, &err);
    if (status == KAP_OK) {
        status = kap_handler_spec_check(&s, &err);
        kap_handler_spec_done(&s);
    }
    json_decref(tree);
    if (message) {
        assert_int_not_equal(status, KAP_OK);
        assert_string_equal(err.msg, message);
    } else {
        assert_int_equal(status, KAP_OK);
    }
}

/* The messages about IDs are those of the golden case topics/handler_bad. */
static void specs(void **state)
{
    check_spec("{id: h-1.x_y, topic: t, kind: log, match: 'changed()', options: {path: /x}}", NULL, NULL);
    check_spec("{id: \"gr\xc3\xbc\xc3\x9f\", kind: log}", "t", NULL);
    check_spec("{kind: log}", "t",
               "invalid handler spec: handler ID must contain only letters, numbers, '-', '.' and '_'. \"\"");
    check_spec("{id: a b, kind: log}", "t",
               "invalid handler spec: handler ID must contain only letters, numbers, '-', '.' and '_'. \"a b\"");
    check_spec("{id: h1}", "t", "invalid handler spec: handler Kind must not be empty");
    check_spec("{id: h1, kind: log}", "a b",
               "invalid handler spec: handler topic must contain only letters, numbers, '-', '.' and '_'. \"h1\"");
    check_spec("{id: h1, kind: log, optoins: {}}", "t", "handler spec: unknown member \"optoins\", did you mean \"options\"?");
    check_spec("{id: 5, kind: log}", "t", "handler spec: \"id\" must be a string");
    check_spec("[1]", "t", "handler spec: must be an object");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_becomes_json),
        cmocka_unit_test(bad_yaml),
        cmocka_unit_test(specs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
