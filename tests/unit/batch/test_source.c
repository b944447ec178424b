#include "batch/source.h"
#include "base/gotime.h"
#include "nodes/nodes.h"
#include "test.h"

static struct kap_graph *graph;

static struct kap_batch_source *source(void (*setup)(struct kap_query *q))
{
    struct kap_graph_node *root, *node;
    struct kap_batch_source *s;
    struct kap_error err;
    graph = kap_graph_new(KAP_TASK_BATCH);
    OK(kap_graph_add(graph, NULL, &kap_node_batch, &root, &err), &err);
    OK(kap_graph_add(graph, root, &kap_node_query, &node, &err), &err);
    struct kap_query *q = node->config;
    q->text = KAP_STR("SELECT v FROM d.r.m");
    q->period_ns = INT64_C(600) * 1000000000;
    setup(q);
    OK(kap_batch_source_new(node, &kap_zone_utc, &s, &err), &err);
    return s;
}

static void done(struct kap_batch_source *s)
{
    kap_batch_source_free(s);
    kap_graph_unref(graph);
}

static int64_t at(const char *time)
{
    int64_t ns;
    struct kap_error err;
    OK(kap_time_parse_rfc3339(kap_str(time), &ns, &err), &err);
    return ns;
}

static void every_5m(struct kap_query *q)
{
    q->every_ns = INT64_C(300) * 1000000000;
}

static void aligned_with_offset(struct kap_query *q)
{
    every_5m(q);
    q->align = true;
    q->offset_ns = INT64_C(120) * 1000000000;
}

static void noon(struct kap_query *q)
{
    q->cron = KAP_STR("0 12 * * *");
}

TEST(ticks_are_the_same_on_every_member)
{
    struct kap_batch_source *s = source(every_5m);
    const int64_t anchor = at("2020-01-01T00:00:07Z");
    int64_t due;
    assert_true(kap_batch_source_due(s, anchor, at("2019-12-31T00:00:00Z"), &due));
    assert_int_equal(due, at("2020-01-01T00:05:07Z"));
    assert_true(kap_batch_source_due(s, anchor, at("2020-01-01T00:05:07Z"), &due));
    assert_int_equal(due, at("2020-01-01T00:10:07Z"));
    assert_true(kap_batch_source_due(s, anchor, at("2020-01-01T03:04:59Z"), &due));
    assert_int_equal(due, at("2020-01-01T03:05:07Z"));
    done(s);
}

TEST(align_moves_the_schedule_and_offset_the_range)
{
    struct kap_batch_source *s = source(aligned_with_offset);
    struct kap_buf text = { 0 };
    int64_t tick;
    assert_true(kap_batch_source_due(s, 0, at("2020-01-01T00:02:00Z"), &tick));
    assert_int_equal(tick, at("2020-01-01T00:05:00Z"));
    assert_int_equal(kap_batch_source_text(s, tick, &text), at("2020-01-01T00:03:00Z"));
    STR_EQ(kap_buf_str(&text),
           "SELECT v FROM d.r.m WHERE time >= '2019-12-31T23:53:00Z' AND time < '2020-01-01T00:03:00Z'");
    assert_true(kap_batch_source_next(s, at("2020-01-01T00:02:00Z"), &tick)); /* a range of the past: rounded */
    assert_int_equal(tick, at("2020-01-01T00:05:00Z"));
    kap_buf_done(&text);
    done(s);
}

TEST(cron_knows_no_anchor)
{
    struct kap_batch_source *s = source(noon);
    int64_t due;
    assert_true(kap_batch_source_due(s, at("2020-01-01T07:00:00Z"), at("2020-01-01T12:00:00Z"), &due));
    assert_int_equal(due, at("2020-01-02T12:00:00Z"));
    done(s);
}

TEST(queries_stay_within_the_databases_of_the_task)
{
    struct kap_batch_source *s = source(every_5m);
    const struct kap_dbrp own = { KAP_STR("d"), KAP_STR("r") }, other = { KAP_STR("d"), KAP_STR("autogen") };
    struct kap_error err;
    OK(kap_batch_source_check_dbrps(s, &own, 1, &err), &err);
    FAILS(kap_batch_source_check_dbrps(s, &other, 1, &err), &err,
          "batch query is not allowed to request data from \"d\".\"r\"");
    done(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_the_same_on_every_member),
        cmocka_unit_test(align_moves_the_schedule_and_offset_the_range),
        cmocka_unit_test(cron_knows_no_anchor),
        cmocka_unit_test(queries_stay_within_the_databases_of_the_task),
    };
    return RUN_TESTS(tests);
}
