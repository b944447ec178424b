#include "../test.h"

#include "api/patch.h"

static void check(const char *doc, const char *patch, const char *want, const char *error)
{
    json_t *d = json_loads(doc, JSON_DECODE_ANY, NULL), *p = json_loads(patch, JSON_DECODE_ANY, NULL),
           *result = NULL;
    struct kap_error err = { 0 };
    const enum kap_status st = kap_json_patch(d, p, &result, &err);
    if (error) {
        assert_int_equal(st, KAP_EINVAL);
        assert_string_equal(err.msg, error);
        assert_null(result);
    } else {
        OK(st, &err);
        char *text = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);
        assert_string_equal(text, want);
        free(text);
    }
    char *unchanged = json_dumps(d, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(unchanged, doc);
    free(unchanged);
    json_decref(d);
    json_decref(p);
    json_decref(result);
}

/* The examples of RFC 6902, appendix A, and what handlers are patched with. */
TEST(operations_do_what_the_standard_says)
{
    static const struct {
        const char *doc, *patch, *want;
    } cases[] = {
        { "{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
          "{\"foo\":\"bar\",\"baz\":\"qux\"}" },
        { "{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
          "{\"foo\":[\"bar\",\"qux\",\"baz\"]}" },
        { "{\"baz\":1,\"foo\":2}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]", "{\"foo\":2}" },
        { "{\"foo\":[1,2,3]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]", "{\"foo\":[1,3]}" },
        { "{\"foo\":1}", "[{\"op\":\"replace\",\"path\":\"/foo\",\"value\":[]}]", "{\"foo\":[]}" },
        { "{\"foo\":{\"bar\":1,\"w\":2},\"q\":{\"c\":3}}",
          "[{\"op\":\"move\",\"from\":\"/foo/w\",\"path\":\"/q/t\"}]",
          "{\"foo\":{\"bar\":1},\"q\":{\"c\":3,\"t\":2}}" },
        { "{\"foo\":[1,2,3]}", "[{\"op\":\"move\",\"from\":\"/foo/0\",\"path\":\"/foo/2\"}]",
          "{\"foo\":[2,3,1]}" },
        { "{\"foo\":1}", "[{\"op\":\"copy\",\"from\":\"/foo\",\"path\":\"/bar\"}]", "{\"foo\":1,\"bar\":1}" },
        { "{\"a/b\":1,\"m~n\":2}",
          "[{\"op\":\"test\",\"path\":\"/a~1b\",\"value\":1},{\"op\":\"test\",\"path\":\"/"
          "m~0n\",\"value\":2}]",
          "{\"a/b\":1,\"m~n\":2}" },
        { "{\"foo\":[1]}", "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":{\"x\":1}}]",
          "{\"foo\":[1,{\"x\":1}]}" },
        { "1", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"a\":1}}]", "{\"a\":1}" },
        { "{}", "[]", "{}" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(cases[i].doc, cases[i].patch, cases[i].want, NULL);
}

TEST(a_patch_that_fails_changes_nothing_and_says_which_operation)
{
    static const struct {
        const char *doc, *patch, *error;
    } cases[] = {
        { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":1},{\"op\":\"remove\",\"path\":\"/c\"}]",
          "operation 2: there is nothing to remove at path \"/c\"" },
        { "{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]",
          "operation 1: the test at path \"/a\" failed" },
        { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/x/y\",\"value\":2}]",
          "operation 1: path \"/x/y\" leads nowhere" },
        { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/x/y/z\",\"value\":2}]",
          "operation 1: path \"/x/y/z\" leads nowhere" },
        { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"b\",\"value\":2}]",
          "operation 1: path \"b\" must start with '/'" },
        { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\"}]", "operation 1: \"add\" must have a \"value\"" },
        { "{\"a\":1}", "[{\"op\":\"move\",\"path\":\"/b\"}]", "operation 1: \"move\" must have a \"from\"" },
        { "{\"a\":1}", "[{\"op\":\"shuffle\",\"path\":\"/b\"}]",
          "operation 1: unknown operation \"shuffle\"" },
        { "{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":2}]",
          "operation 1: nothing can be added at path \"/a/2\"" },
        { "{\"a\":[1]}", "[{\"op\":\"remove\",\"path\":\"/a/00\"}]",
          "operation 1: there is nothing to remove at path \"/a/00\"" },
        { "{\"a\":[1]}", "[7]", "operation 1: must have \"op\" and \"path\"" },
        { "{}", "{}", "a patch is a list of at most 1000 operations" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(cases[i].doc, cases[i].patch, NULL, cases[i].error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_do_what_the_standard_says),
        cmocka_unit_test(a_patch_that_fails_changes_nothing_and_says_which_operation),
    };
    return RUN_TESTS(tests);
}
