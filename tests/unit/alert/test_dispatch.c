#include "sample.h"

#include "alert/dispatch.h"
#include "base/log.h"
#include "http_sink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Two kinds of handlers: one posts the event's ID and sequence to a port, one blocks for a while. */

struct options {
    int64_t port, wait_ms;
};

static const struct kap_prop props[] = {
    KAP_PROP_AT(INT, struct options, port, NULL, "port", "Port."),
    KAP_PROP_AT(INT, struct options, wait_ms, NULL, "wait", "How long to block."),
    { .kind = KAP_PROP_END },
};

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    if (kap_str_is(ev->id, "unbuildable"))
        return kap_fail(err, KAP_EINVAL, "no such thing");
    ret->url = kap_str(kap_arena_printf(arena, "http://127.0.0.1:%d/x?token=secret",
                                        (int)((const struct options *)options)->port));
    ret->body = kap_str(kap_arena_printf(arena, "%.*s %llu", KAP_STR_ARG(ev->id), (unsigned long long)ev->sequence));
    return KAP_OK;
}

static _Atomic int blocked;

static enum kap_verdict block(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                              struct kap_error *err)
{
    usleep((useconds_t)((const struct options *)options)->wait_ms * 1000);
    blocked++;
    return KAP_SENT;
}

static const struct kap_handler_type http_type = { .kind = "http", .options_size = sizeof(struct options),
                                                   .props = props, .build = build };
static const struct kap_handler_type block_type = { .kind = "block", .options_size = sizeof(struct options),
                                                    .props = props, .send = block };
static const struct kap_handler_type *const types[] = { &http_type, &block_type, NULL };

struct rig {
    struct kap_topics *topics;
    struct kap_dispatch *d;
    _Atomic int sent, retried, given_up;
    char error[256];
};

static void done(void *ctx, struct kap_event *ev, struct kap_str handler, enum kap_verdict verdict, const char *error)
{
    struct rig *r = ctx;
    if (error)
        snprintf(r->error, sizeof r->error, "%s", error);
    if (verdict == KAP_SENT)
        r->sent++;
    else if (verdict == KAP_RETRY)
        r->retried++;
    else
        r->given_up++;
}

static void define(struct rig *r, const char *id, const char *kind, int port, int wait_ms)
{
    struct kap_handler_spec spec = { (char *)(uintptr_t)"t", (char *)(uintptr_t)id, (char *)(uintptr_t)kind,
                                     (char *)(uintptr_t)"", json_pack("{s:i,s:i}", "port", port, "wait", wait_ms) };
    struct kap_error err;
    assert_int_equal(kap_topics_put_handler(r->topics, &spec, &err), KAP_OK);
    json_decref(spec.options);
}

static void rig_open(struct rig *r, int64_t backoff_ns)
{
    memset(r, 0, sizeof *r);
    kap_log_set_level(KAP_LOG_OFF);
    const struct kap_topics_options topics = { .types = types };
    r->topics = kap_topics_new(&topics);
    const struct kap_dispatch_options opts = { .topics = r->topics, .seed = 1, .done = done, .ctx = r,
                                               .backoff_min_ns = backoff_ns, .backoff_max_ns = 4 * backoff_ns,
                                               .grace_ns = 200 * KAP_MS };
    r->d = kap_dispatch_new(&opts);
}

static void rig_close(struct rig *r)
{
    kap_dispatch_free(r->d);
    kap_topics_free(r->topics);
}

static void send_one(struct rig *r, const char *handler, const char *id, uint64_t sequence)
{
    struct kap_event *ev = sample_event("t", id, KAP_LEVEL_CRITICAL);
    ev->sequence = sequence;
    kap_dispatch_send(r->d, ev, kap_str(handler), 0);
    kap_event_unref(ev);
}

static bool wait_for(_Atomic int *v, int n)
{
    for (int i = 0; i < 20000 && *v < n; i++)
        usleep(1000);
    return *v >= n;
}

static void sends(void **state)
{
    struct rig r;
    rig_open(&r, 20 * KAP_MS);
    struct http_sink *s = sink_open(0);
    define(&r, "h", "http", s->port, 0);
    send_one(&r, "h", "a", 7);
    assert_true(sink_wait(s, 1));
    assert_true(wait_for(&r.sent, 1));
    assert_string_equal(s->bodies[0], "a 7");
    assert_non_null(strstr(s->heads[0], "POST /x?token=secret HTTP/1.1"));
    rig_close(&r);
    sink_close(s);
}

/* 400 events of 20 IDs at an endpoint that is down, then back: all arrive, each ID in order. */
static void nothing_is_lost_while_the_endpoint_is_down(void **state)
{
    struct rig r;
    rig_open(&r, 10 * KAP_MS);
    struct http_sink *s = sink_open(0);
    const int port = s->port;
    define(&r, "h", "http", port, 0);
    s->status = 503;
    for (uint64_t i = 0; i < 400; i++) {
        char id[16];
        snprintf(id, sizeof id, "id%d", (int)(i % 20));
        send_one(&r, "h", id, i / 20);
    }
    assert_true(wait_for(&r.retried, 8));
    sink_close(s);
    usleep(50000);
    s = sink_open(port);
    assert_true(wait_for(&r.sent, 400));
    assert_int_equal(r.given_up, 0);
    assert_int_equal(s->n, 400);
    int next[20] = { 0 };
    for (size_t i = 0; i < s->n; i++) {
        int id, n;
        assert_int_equal(sscanf(s->bodies[i], "id%d %d", &id, &n), 2);
        assert_int_equal(n, next[id]++);
    }
    rig_close(&r);
    sink_close(s);
}

static void count_open(void *ctx, const struct kap_dispatch_stats *s)
{
    int *open = ctx;
    *open += s->open;
    if (kap_str_is(s->handler, "bad")) {
        assert_true(s->pending + s->running > 0);
        assert_true(s->failed > 0);
        assert_non_null(strstr(s->error, "127.0.0.1"));
        assert_null(strstr(s->error, "secret"));
    }
}

/* One handler hangs for good, one refuses, one blocks its threads: another is as quick as ever. */
static void a_slow_handler_slows_no_other(void **state)
{
    struct rig r;
    rig_open(&r, 20 * KAP_MS);
    struct http_sink *hanging = sink_open(0), *refusing = sink_open(0), *good = sink_open(0);
    hanging->status = 0;
    refusing->status = 500;
    define(&r, "hang", "http", hanging->port, 0);
    define(&r, "bad", "http", refusing->port, 0);
    define(&r, "good", "http", good->port, 0);
    define(&r, "block", "block", 0, 300);
    define(&r, "quick", "block", 0, 0);
    blocked = 0;
    for (uint64_t i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", (int)i);
        send_one(&r, "hang", id, i);
        send_one(&r, "bad", id, i);
        send_one(&r, "block", id, i);
    }
    const int64_t began = kap_clock_mono(&kap_clock_system);
    for (uint64_t i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", (int)i);
        send_one(&r, "good", id, i);
        send_one(&r, "quick", id, i);
    }
    assert_true(sink_wait(good, 100));
    assert_true(wait_for(&blocked, 100));
    assert_true(kap_clock_mono(&kap_clock_system) - began < 3 * KAP_S);
    for (int i = 0; i < 5000 && r.retried < 20; i++)
        usleep(1000);
    int open = 0;
    kap_dispatch_each_stats(r.d, count_open, &open);
    assert_int_equal(open, 1);
    rig_close(&r);
    sink_close(hanging);
    sink_close(refusing);
    sink_close(good);
}

static void what_can_never_work_is_given_up(void **state)
{
    struct rig r;
    rig_open(&r, 20 * KAP_MS);
    struct http_sink *s = sink_open(0);
    s->status = 404;
    define(&r, "h", "http", s->port, 0);
    send_one(&r, "h", "a", 1);
    assert_true(wait_for(&r.given_up, 1));
    assert_non_null(strstr(r.error, "answered 404"));
    send_one(&r, "h", "unbuildable", 1);
    assert_true(wait_for(&r.given_up, 2));
    assert_string_equal(r.error, "no such thing");
    send_one(&r, "gone", "a", 1); /* waited for, as it may come yet */
    assert_true(wait_for(&r.given_up, 3));
    assert_string_equal(r.error, "handler \"gone\" of topic \"t\" does not exist");
    assert_true(r.retried > 0);
    rig_close(&r);
    sink_close(s);
}

/* Ten attempts a second: the first ten at once, the next five take half a second. */
static void a_rate_limit_holds(void **state)
{
    struct rig r;
    rig_open(&r, 20 * KAP_MS);
    struct http_sink *s = sink_open(0);
    struct kap_handler_spec spec = { (char *)(uintptr_t)"t", (char *)(uintptr_t)"h", (char *)(uintptr_t)"http",
                                     (char *)(uintptr_t)"", json_pack("{s:i,s:i}", "port", s->port, "wait", 0),
                                     .rate_limit = 10, .concurrency = 1 };
    struct kap_error err;
    assert_int_equal(kap_topics_put_handler(r.topics, &spec, &err), KAP_OK);
    json_decref(spec.options);
    const int64_t start = kap_clock_mono(&kap_clock_system);
    for (uint64_t i = 0; i < 15; i++)
        send_one(&r, "h", i % 2 ? "a" : "b", i);
    assert_true(wait_for(&r.sent, 15));
    const int64_t took = kap_clock_mono(&kap_clock_system) - start;
    assert_true(took >= 450 * KAP_MS);
    assert_true(took < 5 * KAP_S);
    rig_close(&r);
    sink_close(s);
}

static void cancelled_deliveries_are_not_made(void **state)
{
    struct rig r;
    rig_open(&r, 100 * KAP_MS);
    struct http_sink *s = sink_open(0);
    s->status = 503;
    define(&r, "h", "http", s->port, 0);
    struct kap_event *a = sample_event("t", "x", KAP_LEVEL_CRITICAL), *b = sample_event("t", "x", KAP_LEVEL_OK);
    a->sequence = 1;
    b->sequence = 2;
    kap_dispatch_send(r.d, a, KAP_STR("h"), 0);
    kap_dispatch_send(r.d, b, KAP_STR("h"), 0);
    assert_true(wait_for(&r.retried, 1));
    for (int i = 0; i < 1000 && !kap_dispatch_cancel(r.d, a, KAP_STR("h")); i++)
        usleep(1000);
    assert_false(kap_dispatch_cancel(r.d, a, KAP_STR("h")));
    s->status = 200;
    assert_true(wait_for(&r.sent, 1));
    assert_int_equal(s->n, 1);
    assert_string_equal(s->bodies[0], "x 2");
    kap_event_unref(a);
    kap_event_unref(b);
    rig_close(&r);
    sink_close(s);
}

/* What follows from the end of an attempt is handed in late, and goes first all the same. */
static void the_wished_order_holds_over_event_ids(void **state)
{
    struct rig r;
    rig_open(&r, 20 * KAP_MS);
    kap_dispatch_free(r.d);
    const struct kap_dispatch_options opts = { .topics = r.topics, .done = done, .ctx = &r, .confirm = true };
    r.d = kap_dispatch_new(&opts);
    struct http_sink *s = sink_open(0);
    define(&r, "h", "http", s->port, 0);
    struct kap_event *ev[3];
    for (int i = 0; i < 3; i++) {
        ev[i] = sample_event("t", i < 2 ? "a" : "b", KAP_LEVEL_CRITICAL);
        ev[i]->sequence = (uint64_t)i;
    }
    kap_dispatch_send(r.d, ev[0], KAP_STR("h"), 1);
    kap_dispatch_send(r.d, ev[2], KAP_STR("h"), 3);
    assert_true(wait_for(&r.sent, 1));
    kap_dispatch_send(r.d, ev[1], KAP_STR("h"), 2);
    for (int i = 0; i < 3; i++) {
        assert_true(wait_for(&r.sent, i + 1));
        kap_dispatch_confirm(r.d, KAP_STR("t"), KAP_STR("h"));
    }
    assert_string_equal(s->bodies[0], "a 0");
    assert_string_equal(s->bodies[1], "a 1");
    assert_string_equal(s->bodies[2], "b 2");
    for (int i = 0; i < 3; i++)
        kap_event_unref(ev[i]);
    rig_close(&r);
    sink_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends),
        cmocka_unit_test(nothing_is_lost_while_the_endpoint_is_down),
        cmocka_unit_test(a_slow_handler_slows_no_other),
        cmocka_unit_test(what_can_never_work_is_given_up),
        cmocka_unit_test(a_rate_limit_holds),
        cmocka_unit_test(cancelled_deliveries_are_not_made),
        cmocka_unit_test(the_wished_order_holds_over_event_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
