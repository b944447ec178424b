/* Recordings and replays over a real engine, without InfluxDB. */
#include "replay/replay.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/rig.h"
#include "influxdb/influxdb.h"
#include "nodes/nodes.h"
#include "task/task.h"
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const struct kap_node_type *const nodes[] = { &kap_node_stream, &kap_node_from,      &kap_node_window,
                                                     &kap_node_mean,   &kap_node_http_post, NULL };
static const struct kap_registry registry = { .nodes = nodes };

static struct {
    char dir[64];
    struct kap_definitions *definitions;
    struct kap_engine *engine;
    struct kap_tasks *tasks;
    struct kap_influxdb *influxdb;
    struct kap_services services;
    struct kap_replays *replays;
    struct kap_arena *arena;
    pthread_mutex_t lock;
    struct kap_buf posted;
} t = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void keep_post(void *ctx, const struct kap_http_request *req, struct kap_http_reply *ret,
                      struct kap_arena *arena)
{
    pthread_mutex_lock(&t.lock);
    kap_buf_add(&t.posted, req->body);
    kap_buf_addc(&t.posted, '\n');
    pthread_mutex_unlock(&t.lock);
    *ret = (struct kap_http_reply){ .status = 200, .body = KAP_STR("") };
}

static void open_service(void)
{
    struct kap_error err;
    const struct kap_replays_options options = { .engine = t.engine,
                                                 .tasks = t.tasks,
                                                 .influxdb = t.influxdb,
                                                 .services = &t.services,
                                                 .clock = &kap_clock_system,
                                                 .zone = &kap_zone_utc,
                                                 .dir = t.dir,
                                                 .data_dir = t.dir };
    OK(kap_replays_new(&options, &t.replays, &err), &err);
}

static int set_up(void **state)
{
    struct kap_error err;
    snprintf(t.dir, sizeof t.dir, "/tmp/kap-replay-XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    t.arena = kap_arena_new();
    t.services = kap_services_none;
    t.services.clock = &kap_clock_system;
    t.services.http = keep_post;
    t.definitions = kap_definitions_memory();
    t.influxdb = kap_influxdb_new(NULL, 0);
    const struct kap_engine_options engine = { .workers = 1,
                                               .clock = &kap_clock_system,
                                               .services = &t.services };
    OK(kap_engine_new(&engine, &t.engine, &err), &err);
    const struct kap_tasks_options tasks = {
        .definitions = t.definitions, .engine = t.engine, .registry = &registry, .clock = &kap_clock_system
    };
    OK(kap_tasks_new(&tasks, &t.tasks, &err), &err);
    open_service();
    struct kap_buf out = { 0 };
    OK(kap_task_create(
           t.tasks,
           KAP_STR("{\"id\":\"t\",\"type\":\"stream\",\"dbrps\":[{\"db\":\"d\",\"rp\":\"r\"}],\"script\":\""
                   "stream|from().measurement('m').groupBy('h')|window().period(10s).every(10s)|mean('v')"
                   "|httpPost('http://x/')\"}"),
           &out, &err),
       &err);
    kap_buf_done(&out);
    return 0;
}

static int tear_down(void **state)
{
    kap_replays_free(t.replays);
    kap_tasks_free(t.tasks);
    kap_engine_free(t.engine);
    kap_influxdb_free(t.influxdb);
    kap_definitions_memory_free(t.definitions);
    kap_arena_free(t.arena);
    kap_buf_done(&t.posted);
    KAP_AUTO_FREE char *remove = kap_asprintf("rm -rf %s", t.dir);
    return system(remove);
}

static struct kap_recording recorded(const char *id)
{
    struct kap_recording rec;
    struct kap_error err;
    for (;;) {
        OK(kap_recording_get(t.replays, kap_str(id), t.arena, &rec, &err), &err);
        if (rec.status != KAP_RUN_RUNNING)
            return rec;
        nanosleep(&(const struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
}

static struct kap_replay replayed(const struct kap_replay_request *rq)
{
    struct kap_replay rep;
    struct kap_error err;
    OK(kap_replay_start(t.replays, rq, t.arena, &rep, &err), &err);
    while (rep.status == KAP_RUN_RUNNING) {
        nanosleep(&(const struct timespec){ .tv_nsec = 5000000 }, NULL);
        OK(kap_replay_get(t.replays, rep.id, t.arena, &rep, &err), &err);
    }
    return rep;
}

static void record_stream(const char *id)
{
    struct kap_recording rec;
    struct kap_error err;
    struct kap_buf lines = { 0 };
    const struct kap_record_request rq = { .kind = KAP_RECORD_STREAM,
                                           .id = kap_str(id),
                                           .task = KAP_STR("t"),
                                           .stop_ns = INT64_C(300) * 1000000000 };
    OK(kap_record(t.replays, &rq, t.arena, &rec, &err), &err);
    nanosleep(&(const struct timespec){ .tv_nsec = 200000000 }, NULL); /* until it listens */
    for (int i = 0; i < 302; i++)
        kap_buf_addf(&lines, "m,h=%c v=%d.5 %d\nother v=1 %d\n", 'a' + i % 3, i, i, i);
    size_t n;
    const struct kap_write w = { KAP_STR("d"), KAP_STR("r"), KAP_STR("s"), kap_buf_str(&lines) };
    OK(kap_engine_write(t.engine, &w, &n, &err), &err);
    kap_buf_done(&lines);
    rec = recorded(id);
    STR_EQ(rec.error, "");
    assert_int_equal(rec.status, KAP_RUN_FINISHED);
    assert_true(rec.size_bytes > 100);
}

TEST(the_same_recording_gives_the_same_output)
{
    record_stream("rec");
    struct kap_replay_request rq = { .kind = KAP_REPLAY_RECORDING,
                                     .task = KAP_STR("t"),
                                     .recording = KAP_STR("rec"),
                                     .recording_time = true };
    rq.id = KAP_STR("one");
    struct kap_replay rep = replayed(&rq);
    STR_EQ(rep.error, "");
    assert_int_equal(rep.status, KAP_RUN_FINISHED);
    assert_non_null(strstr(rep.stats.p, "\"window2\""));
    char *first = kap_buf_take(&t.posted);
    assert_non_null(strstr(first, "\"h\":\"a\""));
    rq.id = KAP_STR("two");
    rep = replayed(&rq);
    assert_int_equal(rep.status, KAP_RUN_FINISHED);
    STR_EQ(kap_buf_str(&t.posted), first);
    kap_free(first);
}

TEST(what_is_known_survives_a_restart)
{
    record_stream("kept");
    struct kap_replay_request rq = {
        .kind = KAP_REPLAY_RECORDING, .id = KAP_STR("p"), .task = KAP_STR("t"), .recording = KAP_STR("kept")
    };
    (void)replayed(&rq);
    kap_replays_free(t.replays);
    open_service();
    struct kap_recording *list;
    struct kap_replay rep;
    struct kap_error err;
    size_t n;
    OK(kap_recording_list(t.replays, KAP_STR("k*"), 0, 10, t.arena, &list, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(list[0].status, KAP_RUN_FINISHED);
    OK(kap_replay_get(t.replays, KAP_STR("p"), t.arena, &rep, &err), &err);
    STR_EQ(rep.recording, "kept");
    OK(kap_recording_delete(t.replays, KAP_STR("kept"), &err), &err);
    FAILS(kap_recording_get(t.replays, KAP_STR("kept"), t.arena, &list[0], &err), &err,
          "no recording exists");
}

TEST(a_recording_that_runs_ends_with_the_server_and_with_its_deletion)
{
    struct kap_recording rec;
    struct kap_error err;
    struct kap_record_request rq = {
        .kind = KAP_RECORD_STREAM, .id = KAP_STR("x"), .task = KAP_STR("t"), .stop_ns = INT64_MAX
    };
    OK(kap_record(t.replays, &rq, t.arena, &rec, &err), &err);
    FAILS(kap_record(t.replays, &rq, t.arena, &rec, &err), &err, "recording already exists");
    OK(kap_recording_delete(t.replays, KAP_STR("x"), &err), &err);
    rq.id = KAP_STR("y");
    OK(kap_record(t.replays, &rq, t.arena, &rec, &err), &err);
    kap_replays_free(t.replays);
    open_service();
    rec = recorded("y");
    assert_int_equal(rec.status, KAP_RUN_FAILED);
}

TEST(a_damaged_recording_fails_the_replay)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/bad.srpl", t.dir);
    FILE *f = fopen(path, "w");
    fputs("d\nr\nm v=1 1\nd\nr\nbroken\n", f);
    fclose(f);
    kap_replays_free(t.replays);
    open_service(); /* finds the file */
    const struct kap_replay_request rq = {
        .kind = KAP_REPLAY_RECORDING, .id = KAP_STR("q"), .task = KAP_STR("t"), .recording = KAP_STR("bad")
    };
    const struct kap_replay rep = replayed(&rq);
    assert_int_equal(rep.status, KAP_RUN_FAILED);
    STR_EQ(rep.error, "running replay: record 2: unable to parse 'broken': missing fields");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_same_recording_gives_the_same_output),
        CASE(what_is_known_survives_a_restart),
        CASE(a_recording_that_runs_ends_with_the_server_and_with_its_deletion),
        CASE(a_damaged_recording_fails_the_replay),
    };
    return RUN_TESTS(tests);
}
