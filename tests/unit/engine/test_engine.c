/* The engine with its threads: who gets which points, waiting, failing tasks, and tasks that come and go
 * under load. */
#include "../test.h"

#include "base/mem.h"
#include "engine/engine.h"
#include "engine/run.h"

#include <stdatomic.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

/* A node that adds up what it sees, for all tasks by the number in its config. */
struct sink_config {
    int number;
    int64_t fail_at;    /* a point with this time ends the task */
    int64_t slow_us;
};
static _Atomic int64_t seen[64], time_sum[64], opened, closed, finished, late;

static enum kap_status sink_open(struct kap_node *n, void *state, struct kap_error *err)
{
    const struct sink_config *c = kap_node_config(n);
    if (c->number < 0)
        return kap_fail(err, KAP_EINVAL, "this sink does not open");
    atomic_fetch_add(&opened, 1);
    return KAP_OK;
}

static void sink_close(struct kap_node *n, void *state)
{
    atomic_fetch_add(&closed, 1);
}

static void sink_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    const struct sink_config *c = kap_node_config(n);
    int64_t *last_ns = gs;
    if (p->time_ns < *last_ns)
        atomic_fetch_add(&late, 1);
    *last_ns = p->time_ns;
    atomic_fetch_add(&seen[c->number], 1);
    atomic_fetch_add(&time_sum[c->number], p->time_ns);
    if (c->slow_us)
        usleep((useconds_t)c->slow_us);
    if (c->fail_at && p->time_ns == c->fail_at)
        kap_node_fail(n, "time %d has come", (int)p->time_ns);
}

static void sink_finish(struct kap_node *n, void *state, int in)
{
    atomic_fetch_add(&finished, 1);
}

static const struct kap_node_run sink_run = { .group_size = sizeof(int64_t),
                                              .open = sink_open,
                                              .close = sink_close,
                                              .point = sink_point,
                                              .finish = sink_finish };
static const struct kap_node_type sink_type = {
    .name = "sink", .kind = "sink", .wants = KAP_EDGE_ANY, .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct sink_config), .run = &sink_run
};

/* A root, and below it a source that selects by measurement and tag, groups by all tags, and tells the index
 * so. */
struct selection {
    const char *measurement, *tag, *value;
};

static const struct kap_node_run root_run = { 0 };
static const struct kap_node_type root_type = {
    .name = "stream", .kind = "stream", .wants = KAP_EDGE_NONE, .provides = KAP_EDGE_STREAM, .run = &root_run
};

static void pick_key(struct kap_node *n, void *state, struct kap_route_key *ret)
{
    const struct selection *c = kap_node_config(n);
    ret->name = c->measurement ? kap_sym_c(c->measurement) : NULL;
    ret->tag = c->tag ? kap_sym_c(c->tag) : NULL;
    ret->tag_value = kap_str(c->tag ? c->value : "");
}

static enum kap_wanted pick_route(struct kap_node *n, void *state, const struct kap_point *series,
                                  struct kap_group **group)
{
    const struct kap_sym *names[8];
    struct kap_dims dims = { .n = series->tags->n, .names = names };
    for (uint32_t i = 0; i < dims.n; i++)
        names[i] = series->tags->v[i].key;
    *group = kap_groups_get(kap_node_groups(n), &dims, series->name, series->tags, false);
    return KAP_MAYBE_WANTED;
}

static void pick_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    const struct selection *c = kap_node_config(n);
    const struct kap_str *v = c->tag ? kap_tags_get(p->tags, kap_sym_c(c->tag)) : NULL;
    const struct kap_value *f = c->tag ? kap_point_field(p, kap_sym_c(c->tag)) : NULL;
    if (c->tag && !(v && kap_str_is(*v, c->value)) && !(f && kap_str_is(f->s, c->value)))
        return;
    assert_non_null(p->group);
    kap_emit_point(n, p);
}

static const struct kap_node_run pick_run = { .point = pick_point,
                                              .route_key = pick_key,
                                              .route = pick_route };
static const struct kap_node_type pick_type = {
    .name = "from", .kind = "from", .wants = KAP_EDGE_STREAM, .provides = KAP_EDGE_STREAM,
    .config_size = sizeof(struct selection), .run = &pick_run
};

static struct kap_graph *graph(const struct selection *sel, size_t n, struct sink_config config)
{
    struct kap_graph *g = kap_graph_new(KAP_TASK_STREAM);
    struct kap_graph_node *root, *from, *sink;
    struct kap_error err;
    OK(kap_graph_add(g, NULL, &root_type, &root, &err), &err);
    for (size_t i = 0; i < n; i++) {
        OK(kap_graph_add(g, root, &pick_type, &from, &err), &err);
        *(struct selection *)from->config = sel[i];
        OK(kap_graph_add(g, from, &sink_type, &sink, &err), &err);
        *(struct sink_config *)sink->config = config;
    }
    OK(kap_graph_check(g, &err), &err);
    return g;
}

static const struct kap_dbrp db_rp[] = { { { "db", 2 }, { "rp", 2 } }, { { "db", 2 }, { "other", 5 } } };

static enum kap_status start(struct kap_engine *e, const char *id, const struct selection *sel, size_t n,
                             struct sink_config config, struct kap_error *err)
{
    struct kap_graph *g = graph(sel, n, config);
    const struct kap_task_options opts = { .id = kap_str(id), .graph = g, .dbrps = db_rp, .ndbrps = 1 };
    const enum kap_status st = kap_engine_start(e, &opts, err);
    kap_graph_unref(g);
    return st;
}

static void put(struct kap_engine *e, const char *rp, const char *lines)
{
    struct kap_error err;
    const struct kap_write w = {
        .db = KAP_STR("db"), .rp = kap_str(rp), .precision = KAP_STR("n"), .body = kap_str(lines)
    };
    OK(kap_engine_write(e, &w, NULL, &err), &err);
}

static struct kap_engine *make(unsigned workers, struct kap_engine_limits limits)
{
    static const struct kap_services services = { .clock = &kap_clock_system };
    const struct kap_engine_options opts = { .workers = workers, .services = &services, .limits = limits };
    struct kap_engine *e;
    struct kap_error err;
    for (size_t i = 0; i < KAP_COUNT(seen); i++)
        seen[i] = time_sum[i] = 0;
    opened = closed = finished = late = 0;
    OK(kap_engine_new(&opts, &e, &err), &err);
    return e;
}

TEST(test_routing)
{
    struct kap_error err;
    struct kap_engine *e = make(2, (struct kap_engine_limits){ 0 });
    const struct selection any = { 0 }, cpu = { "cpu", NULL, NULL }, host = { "cpu", "host", "a" };
    const struct selection field = { NULL, "v", "x" }, both[] = { { "cpu", NULL, NULL }, { 0 } };
    OK(start(e, "any", &any, 1, (struct sink_config){ 1 }, &err), &err);
    OK(start(e, "cpu", &cpu, 1, (struct sink_config){ 2 }, &err), &err);
    OK(start(e, "host", &host, 1, (struct sink_config){ 3 }, &err), &err);
    OK(start(e, "field", &field, 1, (struct sink_config){ 4 }, &err), &err);
    OK(start(e, "both", both, 2, (struct sink_config){ 5 }, &err), &err);
    FAILS(start(e, "any", &any, 1, (struct sink_config){ 1 }, &err), &err, "task any is already executing");
    FAILS(start(e, "bad", &any, 1, (struct sink_config){ -1 }, &err), &err, "this sink does not open");
    assert_false(kap_engine_executing(e, KAP_STR("bad")));

    put(e, "rp", "cpu,host=a v=1 1\ncpu,host=b v=1 2\nmem,host=a v=\"x\" 4\n");
    put(e, "other", "cpu,host=a v=1 100\n");
    kap_engine_drain(e);
    assert_int_equal(seen[1], 3);
    assert_int_equal(time_sum[1], 7);
    assert_int_equal(time_sum[2], 3);
    assert_int_equal(time_sum[3], 1);
    assert_int_equal(time_sum[4], 4);
    assert_int_equal(seen[5], 5); /* once for each from() that wants it */

    /* the counters of the root are those of what came in, though the index kept points away */
    struct kap_task_stats st;
    struct kap_graph *g;
    OK(kap_engine_task_stats(e, KAP_STR("host"), &st, &g, &err), &err);
    assert_int_equal(st.nodes[0].collected, 2);
    assert_int_equal(st.nodes[0].edges[0].processed, 2);
    assert_int_equal(st.nodes[1].collected, 2);
    assert_int_equal(st.nodes[1].emitted, 1);
    assert_int_equal(st.nodes[2].collected, 1);
    assert_int_equal(st.nodes[2].working_cardinality, 1);
    assert_true(st.bytes > 0);
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    struct kap_json j;
    kap_json_init(&j, &text, false);
    st.nodes[0].avg_exec_time_ns = st.nodes[1].avg_exec_time_ns = st.nodes[2].avg_exec_time_ns = 7;
    st.throughput = 0;
    kap_task_stats_json(&st, &j);
    STR_EQ(kap_buf_str(&text), "{\"task-stats\":{\"throughput\":0},\"node-stats\":{"
                               "\"from1\":{\"avg_exec_time_ns\":7,\"collected\":2,\"emitted\":1,\"errors\":0,"
                               "\"working_cardinality\":0},"
                               "\"sink2\":{\"avg_exec_time_ns\":7,\"collected\":1,\"emitted\":0,\"errors\":0,"
                               "\"working_cardinality\":1},"
                               "\"stream0\":{\"avg_exec_time_ns\":7,\"collected\":2,\"emitted\":2,\"errors\":"
                               "0,\"working_cardinality\":0}}}");
    kap_task_stats_done(&st);
    kap_graph_unref(g);

    /* a task that starts now counts from now on, and one that stopped gets nothing more */
    OK(kap_engine_stop(e, KAP_STR("any"), true, &err), &err);
    assert_int_equal(finished, 1);
    OK(start(e, "late", &cpu, 1, (struct sink_config){ 6 }, &err), &err);
    put(e, "rp", "cpu,host=a v=1 10\n");
    kap_engine_drain(e);
    assert_int_equal(seen[1], 3);
    assert_int_equal(time_sum[6], 10);
    OK(kap_engine_task_stats(e, KAP_STR("late"), &st, &g, &err), &err);
    assert_int_equal(st.nodes[0].collected, 1);
    kap_task_stats_done(&st);
    kap_graph_unref(g);
    FAILS(kap_engine_stop(e, KAP_STR("any"), false, &err), &err, "task any is not executing");
    kap_engine_free(e);
    assert_int_equal(opened, closed);
}

static void each_ingress(void *ctx, struct kap_str db, struct kap_str rp, struct kap_str name, int64_t points)
{
    kap_buf_addf(ctx, "%.*s.%.*s.%.*s=%d ", KAP_STR_ARG(db), KAP_STR_ARG(rp), KAP_STR_ARG(name), (int)points);
}

TEST(test_errors_and_counters)
{
    struct kap_error err;
    struct kap_engine *e = make(1, (struct kap_engine_limits){ .max_measurements = 3 });
    const struct kap_write w = { .db = KAP_STR("db"),
                                 .rp = KAP_STR("rp"),
                                 .body = KAP_STR("m v=1 1\nbad\nworse\n") };
    FAILS(kap_engine_write(e, &w, NULL, &err), &err, "unable to parse 'bad': missing fields");
    put(e, "rp", "m v=1 1\nm,a=b v=1 1\nm2 v=1\n");
    put(e, "other", "m v=1\nm3 v=1\nm4 v=1\n");
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    kap_engine_ingress(e, each_ingress, &text);
    STR_EQ(kap_buf_str(&text), "db.other.=2 db.other.m=1 db.rp.m=2 db.rp.m2=1 ");
    struct kap_engine_stats st;
    kap_engine_stats(e, &st);
    assert_int_equal(st.points, 6);
    assert_int_equal(st.parse_errors, 1);
    kap_engine_free(e);
}

static _Atomic int failures;
static void on_failure(void *ctx, struct kap_str id, const char *error)
{
    atomic_fetch_add(&failures, 1);
}

TEST(test_a_failing_task)
{
    struct kap_error err;
    struct kap_engine *e = make(1, (struct kap_engine_limits){ 0 });
    failures = 0;
    kap_engine_on_failure(e, on_failure, NULL);
    const struct selection any = { 0 };
    OK(start(e, "fails", &any, 1, (struct sink_config){ .number = 1, .fail_at = 2 }, &err), &err);
    OK(start(e, "stays", &any, 1, (struct sink_config){ .number = 2 }, &err), &err);
    put(e, "rp", "m v=1 1\nm v=1 2\nm v=1 3\n");
    kap_engine_drain(e);
    assert_int_equal(seen[1], 2);
    assert_int_equal(seen[2], 3);
    assert_int_equal(failures, 1);
    assert_false(kap_engine_executing(e, KAP_STR("fails")));
    KAP_AUTO_FREE char *error = kap_engine_task_error(e, KAP_STR("fails"));
    assert_string_equal(error, "sink2: time 2 has come");
    OK(start(e, "fails", &any, 1, (struct sink_config){ .number = 1 }, &err), &err);
    put(e, "rp", "m v=1 4\n");
    kap_engine_drain(e);
    assert_int_equal(seen[1], 3);
    kap_engine_free(e);
    assert_int_equal(opened, closed);
}

static void woken(void *ctx)
{
    sem_post(ctx);
}

TEST(test_waiting_for_room)
{
    struct kap_error err;
    struct kap_engine *e = make(1, (struct kap_engine_limits){ .queue_bytes = 1000 });
    const struct selection any = { 0 };
    OK(start(e, "slow", &any, 1, (struct sink_config){ .number = 1, .slow_us = 200 }, &err), &err);
    sem_t room;
    sem_init(&room, 0, 0);
    int refused = 0;
    for (int i = 0; i < 100; i++) {
        const struct kap_write w = { .db = KAP_STR("db"),
                                     .rp = KAP_STR("rp"),
                                     .body = KAP_STR("m v=1 1\nm v=2 2\n") };
        struct kap_input *in;
        size_t n;
        OK(kap_engine_parse(e, &w, &in, &n, &err), &err);
        assert_int_equal(n, 2);
        while (!kap_engine_submit(e, in, woken, &room)) {
            refused++;
            sem_wait(&room); /* comes for certain */
        }
    }
    assert_true(refused > 0);
    kap_engine_drain(e);
    assert_int_equal(seen[1], 200);
    kap_engine_free(e);
    sem_destroy(&room);
}

TEST(test_loop_and_tap)
{
    struct kap_error err;
    struct kap_engine *e = make(2, (struct kap_engine_limits){ 0 });
    const struct selection any = { 0 };
    OK(start(e, "t", &any, 1, (struct sink_config){ 1 }, &err), &err);
    const struct kap_field f = { kap_sym_c("v"), kap_value_i(3) };
    const struct kap_point p = { .time_ns = 5,
                                 .db = kap_sym_c("db"),
                                 .rp = kap_sym_c("rp"),
                                 .name = kap_sym_c("m"),
                                 .tags = kap_tags_empty,
                                 .nfields = 1,
                                 .fields = &f };
    OK(kap_engine_loop(e, &p, &err), &err);
    kap_engine_drain(e);
    assert_int_equal(time_sum[1], 5);
    kap_engine_free(e);
}

static void tap(void *ctx, const struct kap_point *p)
{
    *(int64_t *)ctx += p->time_ns;
}

TEST(test_tap)
{
    struct kap_engine *e = make(2, (struct kap_engine_limits){ 0 });
    int64_t sum = 0;
    put(e, "rp", "m v=1 1\n");
    const uint64_t handle = kap_engine_tap(e, db_rp, 2, tap, &sum);
    put(e, "rp", "m v=1 2\nn v=1 4\n");
    put(e, "other", "m v=1 8\n");
    put(e, "none", "m v=1 16\n");
    kap_engine_untap(e, handle);
    put(e, "rp", "m v=1 32\n");
    kap_engine_drain(e);
    assert_int_equal(sum, 14);
    kap_engine_free(e);
}

/* Many series, more than the cache holds, and tasks with groups for all of them. */
TEST(test_series_come_and_go)
{
    struct kap_error err;
    struct kap_engine *e = make(2, (struct kap_engine_limits){ .max_series = 64 });
    const struct selection any = { 0 };
    OK(start(e, "a", &any, 1, (struct sink_config){ 1 }, &err), &err);
    OK(start(e, "b", &any, 1, (struct sink_config){ 2 }, &err), &err);
    for (int round = 0; round < 40; round++) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        for (int i = 0; i < 50; i++)
            kap_buf_addf(&b, "m,host=h%d v=1 1\n", (round * 20 + i) % 700);
        kap_buf_addc(&b, '\n');
        put(e, "rp", b.p);
        if (round == 20)
            OK(kap_engine_stop(e, KAP_STR("a"), false, &err), &err);
    }
    kap_engine_drain(e);
    assert_int_equal(seen[2], 2000);
    struct kap_engine_stats st;
    kap_engine_stats(e, &st);
    assert_true(st.series <= 64);
    kap_engine_free(e);
}

/* ---- load ---- */

struct load {
    struct kap_engine *e;
    int number;
    _Atomic bool *stop;
};

static void *write_on(void *arg)
{
    struct load *l = arg;
    for (int64_t round = 0; !*l->stop || round < 20; round++) {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        for (int i = 0; i < 20; i++)
            kap_buf_addf(&b, "m,writer=w%d,host=h%d v=%d %lld\n", l->number, (int)(round + i) % 90, i,
                         (long long)round);
        put(l->e, "rp", b.p);
    }
    return NULL;
}

static void *come_and_go(void *arg)
{
    struct load *l = arg;
    const struct selection sel[] = { { 0 }, { "m", "host", "h3" }, { "m", NULL, NULL } };
    for (int round = 0; round < 60; round++) {
        char id[16];
        snprintf(id, sizeof id, "t%d", (l->number + round) % 3);
        struct kap_error err;
        const enum kap_status st =
            start(l->e, id, &sel[round % 3], 1,
                  (struct sink_config){ .number = 10, .fail_at = round % 7 == 0 ? 5 : 0 }, &err);
        assert_true(st == KAP_OK || st == KAP_EEXIST);
        struct kap_task_stats stats;
        struct kap_graph *g;
        if (kap_engine_task_stats(l->e, kap_str(id), &stats, &g, NULL) == KAP_OK) {
            kap_task_stats_done(&stats);
            kap_graph_unref(g);
        }
        KAP_AUTO_BUF struct kap_buf snapshot = { 0 };
        (void)kap_engine_task_save(l->e, kap_str(id), &snapshot, NULL);
        (void)kap_engine_stop(l->e, kap_str(id), round % 2, NULL);
    }
    return NULL;
}

TEST(test_tasks_come_and_go_under_load)
{
    struct kap_error err;
    struct kap_engine *e = make(2, (struct kap_engine_limits){ .queue_bytes = 20000, .max_series = 100 });
    const struct selection any = { 0 };
    OK(start(e, "all", &any, 1, (struct sink_config){ 1 }, &err), &err);
    _Atomic bool stop = false;
    pthread_t writers[2], users[2];
    struct load loads[2];
    for (int i = 0; i < 2; i++) {
        loads[i] = (struct load){ e, i, &stop };
        pthread_create(&writers[i], NULL, write_on, &loads[i]);
        pthread_create(&users[i], NULL, come_and_go, &loads[i]);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(users[i], NULL);
    stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(writers[i], NULL);
    kap_engine_drain(e);
    struct kap_engine_stats st;
    kap_engine_stats(e, &st);
    assert_int_equal(seen[1], st.points);
    assert_int_equal(late, 0);
    kap_engine_free(e);
    assert_int_equal(opened, closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routing),
        cmocka_unit_test(test_errors_and_counters),
        cmocka_unit_test(test_a_failing_task),
        cmocka_unit_test(test_waiting_for_room),
        cmocka_unit_test(test_loop_and_tap),
        cmocka_unit_test(test_tap),
        cmocka_unit_test(test_series_come_and_go),
        cmocka_unit_test(test_tasks_come_and_go_under_load),
    };
    return RUN_TESTS(tests);
}
