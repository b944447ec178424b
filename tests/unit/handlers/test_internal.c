/* publish and aggregate, through the registry of topics as the daemon runs them. */
#include "../alert/sample.h"

#include "alert/topics.h"
#include "handlers/handlers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct world {
    struct kap_topics *topics;
    struct kap_event *published[8];
    size_t n;
};

static void publish(void *ctx, struct kap_str topic, struct kap_event *ev)
{
    struct world *w = ctx;
    assert_true(kap_str_eq(topic, ev->topic));
    w->published[w->n++] = kap_event_ref(ev);
}

static void env_of(void *ctx, const struct kap_handler_type *type, struct kap_handler_env *ret)
{
    ret->ctx = ctx;
    ret->publish = publish;
}

static void world_open(struct world *w)
{
    *w = (struct world){ 0 };
    const struct kap_topics_options opts = { .types = kap_handler_types, .env = env_of, .env_ctx = w };
    w->topics = kap_topics_new(&opts);
}

static void world_close(struct world *w)
{
    for (size_t i = 0; i < w->n; i++)
        kap_event_unref(w->published[i]);
    kap_topics_free(w->topics);
}

static enum kap_status define(struct world *w, const char *yaml, struct kap_error *err)
{
    json_t *tree;
    struct kap_handler_spec s;
    assert_int_equal(kap_yaml_json(kap_str(yaml), &tree, err), KAP_OK);
    assert_int_equal(kap_handler_spec_read(tree, NULL, &s, err), KAP_OK);
    json_decref(tree);
    const enum kap_status status = kap_topics_put_handler(w->topics, &s, err);
    kap_handler_spec_done(&s);
    return status;
}

static void apply(struct world *w, const char *topic, const char *id, enum kap_level level, int64_t time_ns, int64_t now_ns)
{
    struct kap_topic_matches m = { 0 };
    struct kap_event *ev = sample_event(topic, id, level);
    ev->time_ns = time_ns;
    kap_topics_apply(w->topics, ev, now_ns, &m);
    assert_int_equal(m.n, 0);
    kap_topic_matches_done(&m);
    kap_event_unref(ev);
}

static void publishes(void **state)
{
    struct world w;
    struct kap_error err;
    world_open(&w);
    assert_int_equal(define(&w, "{topic: a, id: pub, kind: publish, options: {topics: [b, c]}, match: 'level() != INFO'}", &err), KAP_OK);
    apply(&w, "a", "x", KAP_LEVEL_INFO, 1, 0);
    assert_int_equal(w.n, 0);
    apply(&w, "a", "x", KAP_LEVEL_CRITICAL, 2, 0);
    assert_int_equal(w.n, 2);
    assert_true(kap_str_is(w.published[0]->topic, "b"));
    assert_true(kap_str_is(w.published[1]->topic, "c"));
    assert_int_equal(w.published[1]->previous, KAP_LEVEL_INFO);
    assert_true(kap_str_is(w.published[1]->id, "x"));
    world_close(&w);
}

/* As the golden case topics/aggregate_handler. */
static void aggregates(void **state)
{
    struct world w;
    struct kap_error err;
    world_open(&w);
    assert_int_equal(define(&w, "{topic: in, id: agg, kind: aggregate, options: {id: id-agg, interval: 600, topic: out, "
                                "message: 'Got {{ .Count }} in {{ .Interval }}'}}", &err), KAP_OK);
    apply(&w, "in", "e/a", KAP_LEVEL_WARNING, 1, 1000);
    apply(&w, "in", "e/b", KAP_LEVEL_CRITICAL, 3, 1100);
    apply(&w, "in", "e/c", KAP_LEVEL_WARNING, 2, 1599);
    assert_int_equal(kap_topics_next(w.topics), 1600);
    assert_int_equal(kap_topics_tick(w.topics, 1599), 1600);
    assert_int_equal(w.n, 0);
    assert_int_equal(kap_topics_tick(w.topics, 1600), INT64_MAX);
    assert_int_equal(w.n, 1);
    const struct kap_event *ev = w.published[0];
    assert_true(kap_str_is(ev->topic, "out"));
    assert_true(kap_str_is(ev->id, "id-agg"));
    assert_true(kap_str_is(ev->message, "Got 3 in 600ns"));
    assert_true(kap_str_is(ev->details, "e/a is WARNING\ne/b is CRITICAL\ne/c is WARNING"));
    assert_int_equal(ev->level, KAP_LEVEL_CRITICAL);
    assert_int_equal(ev->time_ns, 3);
    assert_int_equal(ev->nrows, 3);
    assert_false(ev->recoverable);
    assert_false(ev->no_external);
    apply(&w, "in", "e/a", KAP_LEVEL_OK, 9, 5000);
    assert_int_equal(kap_topics_next(w.topics), 5600);
    world_close(&w); /* what is gathered goes with the handler */
}

static void aggregates_groups_apart(void **state)
{
    struct world w;
    struct kap_error err;
    world_open(&w);
    assert_int_equal(define(&w, "{topic: in, id: agg, kind: aggregate, options: {id: agg, interval: 100, topic: out, "
                                "group-by: [host, rack], message: '{{ .Group }}: {{ .Count }}'}}", &err), KAP_OK);
    for (int i = 0; i < 4; i++) {
        struct kap_topic_matches m = { 0 };
        struct kap_event *ev = sample_event("in", "x", KAP_LEVEL_CRITICAL);
        const struct kap_tag tag = { kap_sym_c("host"), i % 3 ? KAP_STR("b") : KAP_STR("a") };
        kap_tags_unref(ev->tags);
        ev->tags = kap_tags_new(&tag, 1);
        kap_topics_apply(w.topics, ev, 1000 + 10 * i, &m);
        kap_topic_matches_done(&m);
        kap_event_unref(ev);
    }
    assert_int_equal(kap_topics_next(w.topics), 1100);
    assert_int_equal(kap_topics_tick(w.topics, 1100), 1110);
    assert_int_equal(w.n, 1);
    assert_true(kap_str_is(w.published[0]->id, "agg:host=a,rack="));
    assert_true(kap_str_is(w.published[0]->message, "host=a,rack=: 2"));
    assert_true(kap_str_is(*kap_tags_get(w.published[0]->tags, kap_sym_c("host")), "a"));
    assert_int_equal(kap_topics_tick(w.topics, 1200), INT64_MAX);
    assert_true(kap_str_is(w.published[1]->message, "host=b,rack=: 2"));
    world_close(&w);
}

static void bad_aggregates(void **state)
{
    struct world w;
    struct kap_error err;
    world_open(&w);
    assert_int_not_equal(define(&w, "{topic: in, id: agg, kind: aggregate, options: {interval: 600ms, topic: out}}", &err), KAP_OK);
    assert_string_equal(err.msg, "failed to decode options into *alert.AggregateHandlerConfig: 1 error(s) decoding:\n\n* 'interval' "
                                 "expected type 'time.Duration', got unconvertible type 'string'");
    assert_int_not_equal(define(&w, "{topic: in, id: agg, kind: aggregate, options: {topic: out}}", &err), KAP_OK);
    assert_string_equal(err.msg, "interval must be greater than 0");
    assert_int_not_equal(define(&w, "{topic: in, id: agg, kind: aggregate, options: {interval: 1, message: '{{ range .Events }}{{ .ID }},'}}",
                                &err), KAP_OK);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishes),
        cmocka_unit_test(aggregates),
        cmocka_unit_test(aggregates_groups_apart),
        cmocka_unit_test(bad_aggregates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
