#include "base/cron.h"
#include "base/gotime.h"
#include "test.h"

/* The next times after one, as text: "2020-01-01T00:15:00Z ..". */
static void check_in(const struct kap_zone *zone, const char *expr, const char *after, const char *want)
{
    struct kap_cron *c;
    struct kap_error err;
    struct kap_buf got = { 0 };
    int64_t at;
    OK(kap_cron_parse(kap_str(expr), &c, &err), &err);
    OK(kap_time_parse_rfc3339(kap_str(after), &at, &err), &err);
    for (int i = 0; i < 3 && kap_cron_next(c, zone, at, &at); i++) {
        if (i)
            kap_buf_addc(&got, ' ');
        kap_time_rfc3339nano(&got, at);
    }
    STR_EQ(kap_buf_str(&got), want);
    kap_buf_done(&got);
    kap_cron_free(c);
}

static void check(const char *expr, const char *after, const char *want)
{
    check_in(&kap_zone_utc, expr, after, want);
}

TEST(fields_are_counted_as_the_reference_does)
{
    check("*/15 * * * *", "2020-01-01T00:02:00Z",
          "2020-01-01T00:15:00Z 2020-01-01T00:30:00Z 2020-01-01T00:45:00Z");
    /* six: minute first, a year last */
    check("0 */15 * * * *", "2020-01-01T00:02:00Z",
          "2020-01-01T15:00:00Z 2020-01-02T00:00:00Z 2020-01-02T15:00:00Z");
    check("30 5 9-11 * * MON-WED *", "2020-01-07T10:30:00Z",
          "2020-01-07T11:05:30Z 2020-01-08T09:05:30Z 2020-01-08T10:05:30Z");
    check("0 0 1 1 * 2021", "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z");
    check("@daily", "2020-02-28T12:00:00Z", "2020-02-29T00:00:00Z 2020-03-01T00:00:00Z 2020-03-02T00:00:00Z");
}

TEST(the_next_time_is_later)
{
    check("* * * * * * *", "2020-01-01T00:00:00.5Z",
          "2020-01-01T00:00:01Z 2020-01-01T00:00:02Z 2020-01-01T00:00:03Z");
    check("0 0 0 1 1 * *", "2020-01-01T00:00:00Z",
          "2021-01-01T00:00:00Z 2022-01-01T00:00:00Z 2023-01-01T00:00:00Z");
    check("0 0 30 2 *", "2020-01-01T00:00:00Z", ""); /* never */
}

TEST(special_days)
{
    check("0 0 L * *", "2020-02-01T00:00:00Z",
          "2020-02-29T00:00:00Z 2020-03-31T00:00:00Z 2020-04-30T00:00:00Z");
    check("0 0 15W * *", "2020-02-01T00:00:00Z",
          "2020-02-14T00:00:00Z 2020-03-16T00:00:00Z 2020-04-15T00:00:00Z");
    check("0 0 * * 5L", "2020-01-01T00:00:00Z",
          "2020-01-31T00:00:00Z 2020-02-28T00:00:00Z 2020-03-27T00:00:00Z");
    check("0 0 * * 5#3", "2020-01-01T00:00:00Z",
          "2020-01-17T00:00:00Z 2020-02-21T00:00:00Z 2020-03-20T00:00:00Z");
    /* both kinds of days restricted: either is enough */
    check("0 0 10 * 7", "2020-01-06T00:00:00Z",
          "2020-01-10T00:00:00Z 2020-01-12T00:00:00Z 2020-01-19T00:00:00Z");
    check("0 0 * jan,MAR ?", "2020-01-31T00:00:00Z",
          "2020-03-01T00:00:00Z 2020-03-02T00:00:00Z 2020-03-03T00:00:00Z");
}

/* One hour ahead of UTC, two from 2020-03-29T01:00Z on. */
static int64_t summer(void *ctx, int64_t time_ns)
{
    return time_ns < INT64_C(1585443600) * 1000000000 ? 3600 : 7200;
}

TEST(schedules_are_in_local_time)
{
    const struct kap_zone zone = { summer, NULL };
    check_in(&zone, "0 12 * * *", "2020-03-27T12:00:00Z",
             "2020-03-28T11:00:00Z 2020-03-29T10:00:00Z 2020-03-30T10:00:00Z");
}

TEST(mistakes_name_the_field)
{
    struct kap_cron *c;
    struct kap_error err;
    FAILS(kap_cron_parse(KAP_STR("bad cron"), &c, &err), &err, "missing field(s)");
    FAILS(kap_cron_parse(KAP_STR(""), &c, &err), &err, "missing field(s)");
    FAILS(kap_cron_parse(KAP_STR("61 * * * *"), &c, &err), &err, "syntax error in minute field: '61'");
    FAILS(kap_cron_parse(KAP_STR("* * * foo *"), &c, &err), &err, "syntax error in month field: 'foo'");
    FAILS(kap_cron_parse(KAP_STR("*/0 * * * *"), &c, &err), &err, "syntax error in minute field: '*/0'");
    FAILS(kap_cron_parse(KAP_STR("5-1 * * * *"), &c, &err), &err, "syntax error in minute field: '5-1'");
    FAILS(kap_cron_parse(KAP_STR("1, * * * *"), &c, &err), &err, "syntax error in minute field: '1,'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_counted_as_the_reference_does),
        cmocka_unit_test(the_next_time_is_later),
        cmocka_unit_test(special_days),
        cmocka_unit_test(schedules_are_in_local_time),
        cmocka_unit_test(mistakes_name_the_field),
    };
    return RUN_TESTS(tests);
}
