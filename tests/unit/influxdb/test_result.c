#include "influxdb/query.h"
#include "base/gotime.h"
#include "data/line.h"
#include "test.h"

/* Blocks as text: "NAME TIME|by\n" and their points as lines. */
static enum kap_status show(void *ctx, struct kap_block *b, struct kap_error *err)
{
    struct kap_buf *out = ctx;
    kap_buf_addf(out, "%s %lld%s\n", b->name->s, b->has_time ? (long long)b->time_ns / 1000000000 : -1LL,
                 b->by_name ? " by name" : "");
    for (size_t i = 0; i < b->n; i++)
        kap_line_write(out, &b->points[i], 1000000000);
    kap_block_free(b);
    return KAP_OK;
}

static enum kap_status read_in(const char *text, size_t piece, struct kap_buf *out, struct kap_error *err)
{
    struct kap_result *r = kap_result_new(false, show, out);
    enum kap_status st = KAP_OK;
    for (size_t at = 0; st == KAP_OK && at < strlen(text); at += piece)
        st = kap_result_feed(r, kap_strn(text + at, strlen(text) - at < piece ? strlen(text) - at : piece),
                             err);
    if (st == KAP_OK)
        st = kap_result_end(r, err);
    kap_result_free(r);
    return st;
}

static const char answer[] =
    "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"m\",\"tags\":{\"h\":\"a\",\"e\":\"\"},"
    "\"columns\":[\"time\",\"v\",\"s\",\"b\"],\"values\":[[\"1970-01-01T00:00:01Z\",1,\"x \\\"]}\",true],"
    "[\"1970-01-01T00:00:02Z\",null,null,null],[\"1970-01-01T00:00:03Z\",-2.5e1,null,false]],\"partial\":"
    "true}],"
    "\"partial\":true}]}\n"
    "{\"results\":[{\"series\":[{\"name\":\"m\",\"tags\":{\"e\":\"\",\"h\":\"a\"},\"columns\":[\"time\","
    "\"v\",\"s\",\"b\"],"
    "\"values\":[[\"1970-01-01T00:00:04Z\",12345678901234567890,null,null]]},"
    "{\"name\":\"n\",\"columns\":[\"time\",\"v\"],\"values\":[[\"1970-01-01T00:00:09Z\",null]]}]}]}\n";

TEST(series_are_put_together_wherever_the_pieces_end)
{
    static const size_t pieces[] = { 1, 2, 7, 64, 100000 };
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct kap_buf out = { 0 };
        struct kap_error err;
        OK(read_in(answer, pieces[i], &out, &err), &err);
        STR_EQ(kap_buf_str(&out), "m 4\n"
                                  "m,h=a v=1,s=\"x \\\"]}\",b=true 1\n"
                                  "m,h=a v=-25,b=false 3\n"
                                  "m,h=a v=12345678901234567000 4\n"
                                  "n -1\n");
        kap_buf_done(&out);
    }
}

static void refused(const char *text, const char *message)
{
    struct kap_buf out = { 0 };
    struct kap_error err;
    FAILS(read_in(text, 5, &out, &err), &err, message);
    kap_buf_done(&out);
}

TEST(errors_are_influxdbs_own)
{
    refused("{\"error\":\"parse went wrong\"}", "parse went wrong");
    refused("{\"results\":[{\"error\":\"shard is gone\"}]}", "shard is gone");
    struct kap_error err;
    FAILS(kap_result_refusal(401, KAP_STR("{\"error\":\"no access\"}"), &err), &err, "no access");
    FAILS(kap_result_refusal(502, KAP_STR("<html>"), &err), &err, "invalid response: code 502");
}

TEST(damage_is_told)
{
    refused("{\"results\":[{\"series\":[", "failed to decode JSON: unexpected end of JSON input");
    refused("[]", "failed to decode JSON: the answer is no object");
    refused(
        "{\"results\":[{\"series\":[{\"name\":\"m\",\"columns\":[\"time\",\"v\"],\"values\":[[\"x\",1]]}]}]}",
        "unexpected time format: 'x' is not a time of the form 2006-01-02T15:04:05Z");
    refused("{\"results\":[{\"series\":[{\"name\":\"m\",\"columns\":[\"time\",\"v\"],\"values\":[[5,1]]}]}]}",
            "unexpected time value: 5.0");
    refused("{\"results\":[{\"series\":[{\"name\":\"m\",\"columns\":[\"time\",\"v\"],\"values\":[[1]]}]}]}",
            "a row of series m has 1 values for 2 columns");
}

static enum kap_status refuse(void *ctx, struct kap_block *b, struct kap_error *err)
{
    kap_block_free(b);
    return kap_fail(err, KAP_ESTATE, "enough");
}

TEST(who_takes_the_series_can_end_it)
{
    struct kap_error err;
    struct kap_result *r = kap_result_new(true, refuse, NULL);
    FAILS(kap_result_feed(r, kap_str(answer), &err), &err, "enough");
    kap_result_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_are_put_together_wherever_the_pieces_end),
        cmocka_unit_test(errors_are_influxdbs_own),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(who_takes_the_series_can_end_it),
    };
    return RUN_TESTS(tests);
}
