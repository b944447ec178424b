#include "test.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/uuid.h"
#include <stdio.h>
#include <unistd.h>

TEST(json_is_written_as_go_writes_it)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_json j;
    kap_json_init(&j, &b, true);
    kap_json_object(&j);
    kap_json_key(&j, "a");
    kap_json_array(&j);
    kap_json_i64(&j, -1);
    kap_json_cstr(&j, "<&>\"\\\n\x01\xff\xe2\x80\xa8");
    kap_json_array_end(&j);
    kap_json_key(&j, "b");
    kap_json_object(&j);
    kap_json_object_end(&j);
    kap_json_object_end(&j);
    STR_EQ(kap_buf_str(&b), "{\n    \"a\": [\n        -1,\n        \"\\u003c\\u0026\\u003e\\\"\\\\\\n\\u0001\\ufffd\\u2028\"\n"
                            "    ],\n    \"b\": {}\n}");
}

TEST(globs_match_as_path_match_does)
{
    static const struct {
        const char *pattern, *name;
        int want;
    } cases[] = {
        { "abc", "abc", 1 },     { "*", "abc", 1 },      { "*c", "abc", 1 },       { "a*", "a", 1 },
        { "a*/b", "abc/b", 1 },  { "a*/b", "a/c/b", 0 }, { "a*b?c*x", "abxbbxdbxebxczzx", 1 },
        { "ab[c]", "abc", 1 },   { "ab[b-d]", "abc", 1 }, { "ab[e-g]", "abc", 0 }, { "ab[^c]", "abc", 0 },
        { "a\\*b", "a*b", 1 },   { "a?b", "a\xe2\x98\xba" "b", 1 }, { "[a-", "a", -1 }, { "[", "a", -1 },
        { "[]a]", "]", -1 },     { "[-]", "-", -1 },     { "a[", "ab", -1 },       { "*x", "xxx", 1 },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        const int got = kap_glob(kap_str(cases[i].pattern), kap_str(cases[i].name));
        if (got != cases[i].want)
            fail_msg("%s against %s: %d", cases[i].pattern, cases[i].name, got);
    }
}

TEST(errors_read_from_the_outside_in)
{
    struct kap_error err;
    assert_int_equal(kap_fail(&err, KAP_ENOTFOUND, "no %s", "x"), KAP_ENOTFOUND);
    assert_int_equal(kap_wrap(&err, "task '%s'", "cpu"), KAP_ENOTFOUND);
    assert_string_equal(err.msg, "task 'cpu': no x");
    char big[4000];
    memset(big, 'y', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    (void)kap_fail(&err, KAP_EINVAL, "%s", big);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    assert_string_equal(err.msg + strlen(err.msg) - 4, "y...");
}

TEST(buffers_stop_at_their_limit)
{
    KAP_AUTO_BUF struct kap_buf b = { .max = 10 };
    kap_buf_adds(&b, "12345");
    kap_buf_adds(&b, "67890");
    assert_false(b.failed);
    kap_buf_addc(&b, 'x');
    assert_true(b.failed);
    STR_EQ(kap_buf_str(&b), "1234567890");
}

TEST(hints_are_close_names_only)
{
    static const char *const names[] = { "every", "period", "align" };
    assert_int_equal(kap_closest("evry", names, 3), 0);
    assert_int_equal(kap_closest("Period", names, 3), 1);
    assert_int_equal(kap_closest("threshold", names, 3), -1);
}

TEST(utf8_goes_both_ways)
{
    static const uint32_t runes[] = { 'a', 0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x10000, 0x10ffff };
    for (size_t i = 0; i < KAP_COUNT(runes); i++) {
        char text[4];
        uint32_t back = 0;
        const size_t n = kap_utf8_encode(runes[i], text);
        assert_int_equal(kap_utf8_decode(text, n, &back), n);
        assert_int_equal(back, runes[i]);
    }
    uint32_t r;
    assert_int_equal(kap_utf8_decode("\xc0\x80", 2, &r), 0);
    assert_int_equal(kap_utf8_decode("\xed\xa0\x80", 3, &r), 0);
    assert_int_equal(kap_utf8_decode("\xe2\x98", 2, &r), 0);
}

TEST(uuids_are_version_4)
{
    kap_uuid u;
    kap_uuid_new(u);
    assert_true(kap_uuid_valid(kap_str(u)));
    assert_int_equal(u[14], '4');
    assert_false(kap_uuid_valid(KAP_STR("not-a-uuid")));
}

TEST(log_lines_are_logfmt)
{
    char path[] = "/tmp/kap-log-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct kap_error err = { 0 };
    OK(kap_log_open(path, &err), &err);
    kap_log(KAP_LOG_INFO, "http", "opened service", kap_kv_s("addr", ":9092"), kap_kv_s("q", "a b"), kap_kv_i("n", 3));
    kap_log(KAP_LOG_DEBUG, "http", "not shown");
    OK(kap_log_open("STDERR", &err), &err);
    char text[512] = "";
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    const size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    unlink(path);
    assert_true(n > 0);
    assert_non_null(strstr(text, "Z lvl=info msg=\"opened service\" service=http addr=:9092 q=\"a b\" n=3\n"));
    assert_null(strstr(text, "not shown"));
    FAILS(kap_log_open("/nonexistent/x.log", &err), &err,
          "cannot open log file /nonexistent/x.log: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_written_as_go_writes_it),
        cmocka_unit_test(globs_match_as_path_match_does),
        cmocka_unit_test(errors_read_from_the_outside_in),
        cmocka_unit_test(buffers_stop_at_their_limit),
        cmocka_unit_test(hints_are_close_names_only),
        cmocka_unit_test(utf8_goes_both_ways),
        cmocka_unit_test(uuids_are_version_4),
        cmocka_unit_test(log_lines_are_logfmt),
    };
    return RUN_TESTS(tests);
}
