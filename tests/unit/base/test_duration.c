#include "test.h"
#include "base/duration.h"
#include "base/gotime.h"
#include "base/random.h"

static void influx(const char *text, int64_t ns, const char *printed)
{
    struct kap_error err = { 0 };
    int64_t got;
    OK(kap_duration_parse_influx(kap_str(text), &got, &err), &err);
    assert_true(got == ns);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_duration_format_influx(&b, got);
    STR_EQ(kap_buf_str(&b), printed);
}

static void go(const char *text, int64_t ns, const char *printed)
{
    struct kap_error err = { 0 };
    int64_t got;
    OK(kap_duration_parse_go(kap_str(text), &got, &err), &err);
    assert_true(got == ns);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_duration_format_go(&b, got);
    STR_EQ(kap_buf_str(&b), printed);
}

TEST(influxql_durations_print_in_the_largest_exact_unit)
{
    influx("90m", 90 * KAP_MINUTE, "90m");
    influx("36h", 36 * KAP_HOUR, "36h");
    influx("14d", 14 * 24 * KAP_HOUR, "2w");
    influx("2500u", 2500 * KAP_US, "2500u");
    influx("\x31\xc2\xb5", KAP_US, "1u");
    influx("1000ms", KAP_S, "1s");
    influx("1h30m", 90 * KAP_MINUTE, "90m");
    influx("0s", 0, "0s");
}

TEST(go_durations)
{
    go("1h2m3.5s", KAP_HOUR + 2 * KAP_MINUTE + 3500 * KAP_MS, "1h2m3.5s");
    go("300ms", 300 * KAP_MS, "300ms");
    go("1.5us", 1500, "1.5\xc2\xb5s");
    go("0", 0, "0s");
    go("-1.25h", -75 * KAP_MINUTE, "-1h15m0s");
    go("10s", 10 * KAP_S, "10s");
    go("5m0s", 5 * KAP_MINUTE, "5m0s");
}

TEST(bad_durations_are_refused)
{
    struct kap_error err;
    int64_t ns;
    assert_int_not_equal(kap_duration_parse_influx(KAP_STR("5"), &ns, &err), KAP_OK);
    assert_int_not_equal(kap_duration_parse_influx(KAP_STR("x"), &ns, &err), KAP_OK);
    assert_int_not_equal(kap_duration_parse_influx(KAP_STR("5y"), &ns, &err), KAP_OK);
    assert_int_not_equal(kap_duration_parse_influx(KAP_STR("99999999999999w"), &ns, &err), KAP_OK);
    FAILS(kap_duration_parse_go(KAP_STR("5"), &ns, &err), &err, "time: missing unit in duration \"5\"");
    FAILS(kap_duration_parse_go(KAP_STR("abc"), &ns, &err), &err, "time: invalid duration \"abc\"");
    FAILS(kap_duration_parse_go(KAP_STR(""), &ns, &err), &err, "time: invalid duration \"\"");
}

static void shows(int64_t ns, const char *layout, const char *text)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_time_format(&b, ns, kap_str(layout));
    STR_EQ(kap_buf_str(&b), text);
}

TEST(times_print_as_go_prints_them)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_time_rfc3339nano(&b, 1500 * KAP_MS);
    STR_EQ(kap_buf_str(&b), "1970-01-01T00:00:01.5Z");
    kap_buf_reset(&b);
    kap_time_string(&b, KAP_S);
    STR_EQ(kap_buf_str(&b), "1970-01-01 00:00:01 +0000 UTC");
    kap_buf_reset(&b);
    kap_time_rfc3339nano(&b, -1);
    STR_EQ(kap_buf_str(&b), "1969-12-31T23:59:59.999999999Z");
    const int64_t t = INT64_C(1514903045678901234); /* 2018-01-02T14:24:05.678901234Z */
    shows(t, "Mon Jan _2 15:04:05 2006", "Tue Jan  2 14:24:05 2018");
    shows(t, "Monday, 02-Jan-06 15:04:05 MST", "Tuesday, 02-Jan-18 14:24:05 UTC");
    shows(t, "3:04PM", "2:24PM");
    shows(t, "2006-01-02T15:04:05.000Z07:00", "2018-01-02T14:24:05.678Z");
    shows(t, "05.999999", "05.678901");
}

TEST(times_read_back)
{
    struct kap_random r;
    kap_random_seed(&r, 3);
    for (int i = 0; i < 20000; i++) {
        const int64_t t = (int64_t)kap_random_u64(&r) / 2;
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        kap_time_rfc3339nano(&b, t);
        struct kap_error err = { 0 };
        int64_t back;
        OK(kap_time_parse_rfc3339(kap_buf_str(&b), &back, &err), &err);
        assert_true(back == t);
    }
    struct kap_error err = { 0 };
    int64_t t;
    OK(kap_time_parse_rfc3339(KAP_STR("1970-01-01T02:00:01+02:00"), &t, &err), &err);
    assert_true(t == KAP_S);
    assert_int_not_equal(kap_time_parse_rfc3339(KAP_STR("1970-13-01T00:00:00Z"), &t, &err), KAP_OK);
    assert_int_not_equal(kap_time_parse_rfc3339(KAP_STR("1970-01-01"), &t, &err), KAP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(influxql_durations_print_in_the_largest_exact_unit),
        cmocka_unit_test(go_durations),
        cmocka_unit_test(bad_durations_are_refused),
        cmocka_unit_test(times_print_as_go_prints_them),
        cmocka_unit_test(times_read_back),
    };
    return RUN_TESTS(tests);
}
