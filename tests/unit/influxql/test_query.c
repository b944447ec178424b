#include "base/duration.h"
#include "base/mem.h"
#include "influxql/influxql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define START INT64_C(1577836800000000000) /* 2020-01-01T00:00:00Z */
#define BOUNDS "time >= '2020-01-01T00:00:00Z' AND time < '2020-01-01T00:10:00.5Z'"

static struct kap_influxql *parse(const char *text)
{
    struct kap_influxql *q = NULL;
    struct kap_error err;
    if (kap_influxql_parse(kap_str(text), &q, &err) != KAP_OK)
        fail_msg("%s\n%s", text, err.msg);
    return q;
}

static void assert_text(const struct kap_influxql *q, const char *expected)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_influxql_print(q, START, START + 600 * KAP_S + KAP_S / 2, &b);
    assert_string_equal(b.p, expected);
}

static void assert_prints(const char *text, const char *expected)
{
    struct kap_influxql *q = parse(text);
    assert_text(q, expected);
    kap_influxql_free(q);
}

static void assert_refused(const char *text, const char *expected)
{
    struct kap_influxql *q = NULL;
    struct kap_error err = { .msg = "" };
    assert_int_not_equal(kap_influxql_parse(kap_str(text), &q, &err), KAP_OK);
    assert_string_equal(err.msg, expected);
    assert_null(q);
    assert_int_not_equal(kap_influxql_parse(kap_str(text), &q, NULL), KAP_OK);
}

static void text_is_canonical(void **state)
{
    assert_prints("select mean( \"v\" ) as \"v\" from \"a\".\"rp\".cpu where host = 'a' or x>5",
                  "SELECT mean(v) AS v FROM a.rp.cpu WHERE host = 'a' OR x > 5 AND " BOUNDS);
    assert_prints("SELECT * FROM m", "SELECT * FROM m WHERE " BOUNDS);
    assert_prints("SELECT max(\"f 1\") FROM \"d b\"..\"select\"",
                  "SELECT max(\"f 1\") FROM \"d b\"..\"select\" WHERE " BOUNDS);
    assert_prints("SELECT percentile(v, 90), count(DISTINCT(w)), count(distinct w) FROM x",
                  "SELECT percentile(v, 90), count(distinct(w)), count(DISTINCT w) FROM x WHERE " BOUNDS);
    assert_prints("SELECT v FROM \"a\".\"b\"./re.*\\/x/, c", "SELECT v FROM a.b./re.*\\/x/, c WHERE " BOUNDS);
    assert_prints("SELECT /x/, *::tag, \"a.b\"::Float FROM m",
                  "SELECT /x/, *::tag, \"a.b\"::float FROM m WHERE " BOUNDS);
    assert_prints("SELECT v INTO a.b.:MEASUREMENT FROM m",
                  "SELECT v INTO a.b.:MEASUREMENT FROM m WHERE " BOUNDS);
    assert_prints(
        "SELECT v FROM (SELECT mean(w) AS v FROM m WHERE a = 1 GROUP BY time(1m), *) -- comment\n",
        "SELECT v FROM (SELECT mean(w) AS v FROM m WHERE a = 1 GROUP BY time(1m), *) WHERE " BOUNDS);
}

static void literals_print_as_they_read(void **state)
{
    assert_prints(
        "SELECT -(v) + 2.50 * -3 / 1. FROM m WHERE a = 'it\\'s \\\\ \"x\"' AND b > 90m AND c != TRUE AND d "
        "<> 18446744073709551615",
        "SELECT -1 * (v) + 2.5 * -3 / 1.0 FROM m WHERE a = 'it\\'s \\\\ \"x\"' AND b > 90m AND c != true AND "
        "d != 18446744073709551615 AND " BOUNDS);
    assert_prints(
        "SELECT v FROM m WHERE t > now() - 1h30m AND x =~ /a\\/b/ AND y !~ /c/ AND z = -9223372036854775808",
        "SELECT v FROM m WHERE t > now() - 90m AND x =~ /a\\/b/ AND y !~ /c/ AND z = -9223372036854775808 "
        "AND " BOUNDS);
}

static void clauses_behind_the_condition_stay(void **state)
{
    assert_prints("SELECT mean(v) FROM m GROUP BY time(5m), host fill(previous) ORDER BY time DESC LIMIT 5 "
                  "OFFSET 6 SLIMIT 7 "
                  "SOFFSET 8 tz('Europe/Berlin');",
                  "SELECT mean(v) FROM m WHERE " BOUNDS
                  " fill(previous) ORDER BY time DESC LIMIT 5 OFFSET 6 SLIMIT 7 "
                  "SOFFSET 8 TZ('Europe/Berlin')");
    assert_prints("SELECT mean(v) FROM m fill(0)", "SELECT mean(v) FROM m WHERE " BOUNDS " fill(0)");
    assert_prints("SELECT mean(v) FROM m fill(1.5)", "SELECT mean(v) FROM m WHERE " BOUNDS " fill(1.5)");
    assert_prints("SELECT mean(v) FROM m fill(null)", "SELECT mean(v) FROM m WHERE " BOUNDS);
}

static void the_task_adds_groups_and_fill(void **state)
{
    struct kap_influxql *q = parse("SELECT mean(v) FROM m GROUP BY gone");
    struct kap_error err;
    const struct kap_influxql_dim dims[] = {
        { .kind = KAP_INFLUXQL_TAG, .tag = KAP_STR("a b") },
        { .kind = KAP_INFLUXQL_TIME, .every_ns = 30 * KAP_S, .offset_ns = -5 * KAP_S },
        { .kind = KAP_INFLUXQL_STAR },
        { .kind = KAP_INFLUXQL_TIME, .every_ns = KAP_MINUTE },
    };
    assert_false(kap_influxql_grouped_by_time(q));
    assert_int_equal(kap_influxql_group_by(q, dims, 4, &err), KAP_EINVAL);
    assert_string_equal(err.msg, "groupBy cannot have more than one time dimension");
    assert_int_equal(kap_influxql_group_by(q, dims, 3, &err), KAP_OK);
    assert_true(kap_influxql_grouped_by_time(q));
    assert_int_equal(kap_influxql_fill(q, kap_value_s(KAP_STR("linear")), &err), KAP_OK);
    assert_text(q, "SELECT mean(v) FROM m WHERE " BOUNDS " GROUP BY \"a b\", time(30s, -5s), * fill(linear)");
    assert_int_equal(kap_influxql_fill(q, kap_value_f(0.5), &err), KAP_OK);
    assert_text(q, "SELECT mean(v) FROM m WHERE " BOUNDS " GROUP BY \"a b\", time(30s, -5s), * fill(0.5)");
    assert_int_equal(kap_influxql_fill(q, kap_value_s(KAP_STR("odd")), &err), KAP_EINVAL);
    assert_string_equal(err.msg, "unexpected fill option odd");
    assert_int_equal(kap_influxql_group_by(q, NULL, 0, &err), KAP_OK);
    assert_text(q, "SELECT mean(v) FROM m WHERE " BOUNDS " fill(0.5)");
    kap_influxql_free(q);
}

static void groups_may_start_with_the_query(void **state)
{
    struct kap_influxql *q = parse("SELECT mean(v) FROM m");
    const struct kap_influxql_dim dim = { .kind = KAP_INFLUXQL_TIME, .every_ns = KAP_MINUTE };
    assert_int_equal(kap_influxql_group_by(q, &dim, 1, NULL), KAP_OK);
    kap_influxql_align_group(q);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_influxql_print(q, START + 30 * KAP_S, START + 90 * KAP_S, &b);
    assert_non_null(strstr(b.p, "GROUP BY time(1m, 30s)"));
    kap_influxql_free(q);
}

static void sources_are_known(void **state)
{
    const struct kap_influxql_source *s;
    size_t n;
    struct kap_error err;
    struct kap_influxql *q = parse("SELECT v FROM \"d\".\"r\".\"m\", \"r2\".\"m\", m, d3../x/");
    assert_int_equal(kap_influxql_sources(q, &s, &n, &err), KAP_OK);
    assert_int_equal(n, 4);
    assert_true(kap_str_is(s[0].db, "d") && kap_str_is(s[0].rp, "r"));
    assert_true(kap_str_is(s[1].db, "") && kap_str_is(s[1].rp, "r2"));
    assert_true(kap_str_is(s[2].db, "") && kap_str_is(s[2].rp, ""));
    kap_influxql_free(q);
    q = parse("SELECT v FROM (SELECT v FROM m)");
    assert_int_equal(kap_influxql_sources(q, &s, &n, &err), KAP_EINVAL);
    assert_string_equal(err.msg, "unknown query source *influxql.SubQuery");
    kap_influxql_free(q);
}

static void mistakes_are_told_as_influxdb_does(void **state)
{
    assert_refused("SELECT v FRM c",
                   "failed to parse InfluxQL query: found FRM, expected FROM at line 1, char 10");
    assert_refused("SELECT v\nFROM",
                   "failed to parse InfluxQL query: found EOF, expected identifier at line 2, char 6");
    assert_refused("SHOW DATABASES", "query is not a select statement \"SHOW DATABASES\"");
    assert_refused("SELECT v FROM a; SELECT w FROM b",
                   "query must be a single select statement, got 2 statements");
    assert_refused("", "query must be a single select statement, got 0 statements");
    assert_refused("SELECT v FROM a SELECT",
                   "failed to parse InfluxQL query: found SELECT, expected ; at line 1, char 17");
    assert_refused("SELECT FROM a",
                   "failed to parse InfluxQL query: found FROM, expected identifier, string, number, bool at "
                   "line 1, char 8");
    assert_refused("SELECT v > 5 FROM a",
                   "failed to parse InfluxQL query: invalid operator > in SELECT clause at line 1, char 8");
    assert_refused("SELECT mean(v FROM a",
                   "failed to parse InfluxQL query: found FROM, expected ) at line 1, char 15");
    assert_refused("SELECT v FROM a WHERE x =~ 5",
                   "failed to parse InfluxQL query: found 5, expected regex at line 1, char 28");
    assert_refused("SELECT v FROM a WHERE x = 'b",
                   "failed to parse InfluxQL query: found b, expected identifier, string, "
                   "number, bool at line 1, char 27");
    assert_refused("SELECT v FROM a WHERE x = $p",
                   "failed to parse InfluxQL query: missing parameter at line 1, char 27");
    assert_refused("SELECT v FROM a ORDER BY v",
                   "failed to parse InfluxQL query: only ORDER BY time supported at this time");
    assert_refused("SELECT v FROM a LIMIT x",
                   "failed to parse InfluxQL query: found x, expected integer at line 1, char 23");
    assert_refused("SELECT v FROM a.b.c.d",
                   "failed to parse InfluxQL query: too many segments in identifier at line 1, char 21");
    assert_refused("SELECT v FROM a fill(x)",
                   "failed to parse InfluxQL query: expected number argument in fill()");
    assert_refused("SELECT v FROM a WHERE x =~ /(/",
                   "failed to parse InfluxQL query: error parsing regexp: missing closing "
                   "): `(` at line 1, char 28");
}

static void depth_and_size_are_limited(void **state)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_influxql *q = NULL;
    kap_buf_adds(&b, "SELECT ");
    for (int i = 0; i < 10000; i++)
        kap_buf_adds(&b, "(");
    assert_int_equal(kap_influxql_parse(kap_buf_str(&b), &q, NULL), KAP_ELIMIT);
    kap_buf_reset(&b);
    for (int i = 0; i < 3000; i++)
        kap_buf_adds(&b, "SELECT v FROM (");
    assert_int_equal(kap_influxql_parse(kap_buf_str(&b), &q, NULL), KAP_ELIMIT);
    kap_buf_reset(&b);
    kap_buf_adds(&b, "SELECT v FROM m WHERE 1");
    for (int i = 0; i < 10000; i++)
        kap_buf_adds(&b, " + 1");
    assert_int_equal(kap_influxql_parse(kap_buf_str(&b), &q, NULL), KAP_ELIMIT);
    for (int i = 0; i < 100000; i++)
        kap_buf_addc(&b, ' ');
    assert_int_equal(kap_influxql_parse(kap_buf_str(&b), &q, NULL), KAP_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_canonical),               cmocka_unit_test(literals_print_as_they_read),
        cmocka_unit_test(clauses_behind_the_condition_stay), cmocka_unit_test(the_task_adds_groups_and_fill),
        cmocka_unit_test(groups_may_start_with_the_query), cmocka_unit_test(sources_are_known),
        cmocka_unit_test(mistakes_are_told_as_influxdb_does), cmocka_unit_test(depth_and_size_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
