#include "../test.h"

#include "base/log.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "nodes/nodes.h"
#include "task/checkpoint.h"
#include "task/task.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static int remove_all(const char *path)
{
    KAP_AUTO_FREE char *command = kap_asprintf("rm -rf '%s'", path);
    return system(command); /* NOLINT: a path of this test */
}

static int make_dir(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/kap-test-checkpoint-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    return remove_all(dir);
}

static void put(const char *task, uint64_t graph, struct kap_str state)
{
    struct kap_error err;
    KAP_AUTO_FREE char *temporary = NULL;
    OK(kap_checkpoint_write(dir, kap_str(task), graph, state, &temporary, &err), &err);
    OK(kap_checkpoint_commit(dir, kap_str(task), temporary, &err), &err);
}

static size_t count_files(void)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* --- the files --- */

TEST(state_comes_back_whatever_the_task_is_called)
{
    char long_name[400];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const char *names[] = { "cpu", "..", ".", "a.b", "\xe6\x97\xa5\xe6\x9c\xac", "CPU", long_name };
    for (size_t i = 0; i < KAP_COUNT(names); i++) {
        KAP_AUTO_FREE char *state = kap_asprintf("state %zu\n{}\n", i);
        put(names[i], 7, kap_str(state));
    }
    assert_int_equal(count_files(), KAP_COUNT(names));
    for (size_t i = 0; i < KAP_COUNT(names); i++) {
        KAP_AUTO_FREE char *want = kap_asprintf("state %zu\n{}\n", i);
        KAP_AUTO_BUF struct kap_buf got = { 0 };
        struct kap_error err;
        OK(kap_checkpoint_read(dir, kap_str(names[i]), 7, &got, &err), &err);
        STR_EQ(kap_buf_str(&got), want);
        kap_checkpoint_remove(dir, kap_str(names[i]));
        assert_int_equal(kap_checkpoint_read(dir, kap_str(names[i]), 7, &got, &err), KAP_ENOTFOUND);
    }
    assert_int_equal(count_files(), 0);
}

TEST(a_new_state_replaces_the_old_one_or_leaves_it)
{
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf got = { 0 };
    KAP_AUTO_FREE char *temporary = NULL;
    put("a", 7, KAP_STR("old"));
    OK(kap_checkpoint_write(dir, KAP_STR("a"), 7, KAP_STR("half"), &temporary, &err), &err);
    OK(kap_checkpoint_read(dir, KAP_STR("a"), 7, &got, &err), &err);
    STR_EQ(kap_buf_str(&got), "old");
    kap_checkpoint_abandon(temporary);
    put("a", 7, KAP_STR("new"));
    kap_buf_reset(&got);
    OK(kap_checkpoint_read(dir, KAP_STR("a"), 7, &got, &err), &err);
    STR_EQ(kap_buf_str(&got), "new");
    assert_int_equal(count_files(), 1);
}

TEST(what_does_not_fit_is_refused)
{
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf got = { 0 };
    put("a", 7, KAP_STR("state"));
    FAILS(kap_checkpoint_read(dir, KAP_STR("a"), 8, &got, &err), &err,
          "the script or its variables have changed since");
    KAP_AUTO_FREE char *of_a = kap_asprintf("%s/a.checkpoint", dir);
    KAP_AUTO_FREE char *of_b = kap_asprintf("%s/b.checkpoint", dir);
    assert_int_equal(rename(of_a, of_b), 0);
    FAILS(kap_checkpoint_read(dir, KAP_STR("b"), 7, &got, &err), &err, "it is of another task");
    assert_int_equal(got.n, 0);
}

/* Every cut and every changed bit is found. */
TEST(damage_is_refused)
{
    char whole[512], path[128];
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf got = { 0 };
    put("a", 7, KAP_STR("some state of a task"));
    snprintf(path, sizeof path, "%s/a.checkpoint", dir);
    FILE *f = fopen(path, "rb");
    const size_t n = fread(whole, 1, sizeof whole, f);
    fclose(f);
    for (size_t i = 0; i < 2 * n; i++) {
        const size_t at = i / 2;
        const bool cut = i % 2 == 0;
        whole[at] ^= cut ? 0 : 4;
        f = fopen(path, "wb");
        assert_int_equal(fwrite(whole, 1, cut ? at : n, f), cut ? at : n);
        fclose(f);
        whole[at] ^= cut ? 0 : 4;
        const enum kap_status st = kap_checkpoint_read(dir, KAP_STR("a"), 7, &got, &err);
        /* the writer's version is for people, and a changed name of a key is no key */
        const char *version =
            memmem(whole, n, "\"version\":\"" KAP_VERSION, sizeof "\"version\":\"" KAP_VERSION - 1);
        const size_t from = (size_t)(version - whole);
        const bool told_only = !cut && at >= from && at < from + sizeof "\"version\":\"" KAP_VERSION;
        if (!told_only && st != KAP_EINVAL)
            fail_msg("%s at %zu was taken", cut ? "cut" : "bit", at);
        kap_buf_reset(&got);
    }
}

static bool only_b(void *ctx, struct kap_str task)
{
    return kap_str_is(task, "b");
}

TEST(leftovers_are_swept)
{
    struct kap_error err;
    KAP_AUTO_FREE char *temporary = NULL, *mine = kap_asprintf("%s/notes", dir);
    put("a", 7, KAP_STR("x"));
    put("b", 7, KAP_STR("x"));
    OK(kap_checkpoint_write(dir, KAP_STR("b"), 7, KAP_STR("y"), &temporary, &err), &err);
    fclose(fopen(mine, "w"));
    kap_checkpoint_sweep(dir, only_b, NULL);
    assert_int_equal(count_files(), 2);
    KAP_AUTO_BUF struct kap_buf got = { 0 };
    OK(kap_checkpoint_read(dir, KAP_STR("b"), 7, &got, &err), &err);
}

TEST(a_directory_that_cannot_be_made_is_named)
{
    struct kap_error err;
    KAP_AUTO_FREE char *deep = kap_asprintf("%s/x/y", dir), *file = kap_asprintf("%s/file", dir),
                       *below = kap_asprintf("%s/file/z", dir);
    OK(kap_checkpoint_open(deep, &err), &err);
    OK(kap_checkpoint_open(deep, &err), &err);
    fclose(fopen(file, "w"));
    assert_int_equal(kap_checkpoint_open(below, &err), KAP_EIO);
    assert_non_null(strstr(err.msg, "/file"));
}

/* --- tasks --- */

static const struct kap_handler_type *const no_handlers[] = { NULL };
static const struct kap_registry registry = { .nodes = kap_node_types, .handlers = no_handlers };

struct server {
    struct kap_definitions *definitions;
    struct kap_services services;
    struct kap_engine *engine;
    struct kap_tasks *tasks;
    int64_t interval_ns;
    pthread_mutex_t lock;
    struct kap_buf seen; /* under the lock: the latest result of httpOut */
};

static void publish(void *ctx, struct kap_str task, struct kap_str endpoint, struct kap_str json, bool ok)
{
    struct server *s = ctx;
    pthread_mutex_lock(&s->lock);
    kap_buf_reset(&s->seen);
    kap_buf_add(&s->seen, json);
    pthread_mutex_unlock(&s->lock);
}

static void unpublish(void *ctx, struct kap_str task, struct kap_str endpoint)
{
}

static void open_tasks(struct server *s)
{
    struct kap_error err;
    s->services = (struct kap_services){ .ctx = s,
                                         .clock = &kap_clock_system,
                                         .hostname = KAP_STR("h"),
                                         .server_id = KAP_STR("s"),
                                         .cluster_id = KAP_STR("c"),
                                         .publish = publish,
                                         .unpublish = unpublish };
    const struct kap_engine_options options = { .workers = 1, .services = &s->services };
    OK(kap_engine_new(&options, &s->engine, &err), &err);
    const struct kap_tasks_options opt = { .definitions = s->definitions,
                                           .engine = s->engine,
                                           .registry = &registry,
                                           .clock = &kap_clock_system,
                                           .checkpoints = dir,
                                           .checkpoint_interval_ns = s->interval_ns };
    OK(kap_tasks_new(&opt, &s->tasks, &err), &err);
    kap_tasks_start(s->tasks);
}

/* As SIGKILL would, when `clean` is false: what was written so far is all there is. */
static void restart(struct server *s, bool clean)
{
    KAP_AUTO_FREE char *copy = kap_asprintf("%s.copy", dir);
    KAP_AUTO_FREE char *keep = kap_asprintf("rm -rf %s && cp -r %s %s", copy, dir, copy);
    KAP_AUTO_FREE char *back = kap_asprintf("rm -rf %s && mv %s %s", dir, copy, dir);
    if (!clean)
        assert_int_equal(system(keep), 0); /* NOLINT: paths of this test */
    kap_tasks_free(s->tasks);
    kap_engine_free(s->engine);
    if (!clean)
        assert_int_equal(system(back), 0); /* NOLINT */
    open_tasks(s);
}

static int setup(void **state)
{
    struct server *s = KAP_NEW(struct server);
    kap_log_set_level(KAP_LOG_OFF);
    pthread_mutex_init(&s->lock, NULL);
    s->definitions = kap_definitions_memory();
    if (make_dir(state) != 0)
        return -1;
    open_tasks(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct server *s = *state;
    kap_tasks_free(s->tasks);
    kap_engine_free(s->engine);
    kap_definitions_memory_free(s->definitions);
    kap_buf_done(&s->seen);
    pthread_mutex_destroy(&s->lock);
    kap_free(s);
    return drop_dir(state);
}

#define DBRP "\"dbrps\": [{\"db\": \"db\", \"rp\": \"rp\"}], "
#define SUMS(field)                                                                                          \
    "\"script\": \"stream|from()|eval(lambda: count() * \\\"" field "\\\").as('n')|httpOut('out')\""

static void create(struct server *s, const char *body)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    OK(kap_task_create(s->tasks, kap_str(body), &out, &err), &err);
}

static void update(struct server *s, const char *body)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    OK(kap_task_update(s->tasks, KAP_STR("a"), kap_str(body), &out, &err), &err);
}

/* One more point; the task has then counted `want`. */
static void count_on(struct server *s, int want)
{
    static int time_ns;
    struct kap_error err;
    KAP_AUTO_FREE char *line = kap_asprintf("m v=1i,w=1i %d\n", ++time_ns);
    const struct kap_write w = {
        .db = KAP_STR("db"), .rp = KAP_STR("rp"), .precision = KAP_STR("n"), .body = kap_str(line)
    };
    OK(kap_engine_write(s->engine, &w, NULL, &err), &err);
    kap_engine_drain(s->engine);
    KAP_AUTO_FREE char *end = kap_asprintf(",%d]]}]}", want);
    for (int i = 0; i < 2000; i++, usleep(1000)) { /* results are published several times a second */
        pthread_mutex_lock(&s->lock);
        const bool found = s->seen.p && strstr(s->seen.p, end);
        pthread_mutex_unlock(&s->lock);
        if (found)
            return;
    }
    fail_msg("want %s, got %s", end, s->seen.p ? s->seen.p : "nothing");
}

TEST(a_restart_goes_on_where_it_stopped)
{
    struct server *s = *cmocka_state;
    create(s, "{\"id\": \"a\", " DBRP SUMS("v") ", \"status\": \"enabled\"}");
    count_on(s, 1);
    count_on(s, 2);
    restart(s, true);
    count_on(s, 3);
    restart(s, true);
    restart(s, true);
    count_on(s, 4);
    assert_int_equal(count_files(), 1);
}

TEST(a_crash_goes_on_from_the_last_checkpoint)
{
    struct server *s = *cmocka_state;
    s->interval_ns = 1000000;
    restart(s, true);
    create(s, "{\"id\": \"a\", " DBRP SUMS("v") ", \"status\": \"enabled\"}");
    count_on(s, 1);
    count_on(s, 2);
    usleep(200000);
    s->interval_ns = 0;
    restart(s, false);
    count_on(s, 3);
    restart(s, false); /* since then nothing was written */
    count_on(s, 3);
}

TEST(a_reload_keeps_state_and_disabling_loses_it)
{
    struct server *s = *cmocka_state;
    create(s, "{\"id\": \"a\", " DBRP SUMS("v") ", \"status\": \"enabled\"}");
    count_on(s, 1);
    update(s, "{\"status\": \"disabled\", \"reload\": true}");
    update(s, "{\"status\": \"enabled\"}");
    count_on(s, 2);
    update(s, "{\"status\": \"disabled\"}");
    assert_int_equal(count_files(), 0);
    update(s, "{\"status\": \"enabled\"}");
    count_on(s, 1);
    /* a reload that was never finished is a task that is disabled */
    update(s, "{\"status\": \"disabled\", \"reload\": true}");
    assert_int_equal(count_files(), 1);
    restart(s, true);
    assert_int_equal(count_files(), 0);
}

TEST(state_is_of_the_script_that_ran)
{
    struct server *s = *cmocka_state;
    create(s, "{\"id\": \"a\", " DBRP SUMS("v") ", \"status\": \"enabled\"}");
    count_on(s, 1);
    update(s, "{" SUMS("w") "}");
    count_on(s, 2); /* the old one goes on */
    restart(s, true);
    count_on(s, 1);
    restart(s, true);
    count_on(s, 2);
}

TEST(a_deleted_task_leaves_nothing)
{
    struct server *s = *cmocka_state;
    struct kap_error err;
    create(s, "{\"id\": \"a\", " DBRP SUMS("v") ", \"status\": \"enabled\"}");
    count_on(s, 1);
    restart(s, true);
    assert_int_equal(count_files(), 1);
    OK(kap_task_delete(s->tasks, KAP_STR("a"), &err), &err);
    assert_int_equal(count_files(), 0);
    create(s, "{\"id\": \"a\", " DBRP SUMS("v") ", \"status\": \"enabled\"}");
    count_on(s, 1);
}

/* A header that fits in front of a state that does not. */
TEST(damaged_state_starts_empty)
{
    struct server *s = *cmocka_state;
    create(s, "{\"id\": \"a\", " DBRP SUMS("v") ", \"status\": \"enabled\"}");
    count_on(s, 1);
    restart(s, true);
    KAP_AUTO_FREE char *path = kap_asprintf("%s/a.checkpoint", dir);
    kap_tasks_stop(s->tasks);
    FILE *f = fopen(path, "r+b");
    fseek(f, -1, SEEK_END);
    fputc('!', f);
    fclose(f);
    kap_tasks_start(s->tasks);
    count_on(s, 1);
}

#define FILES(fn) cmocka_unit_test_setup_teardown(fn, make_dir, drop_dir)
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILES(state_comes_back_whatever_the_task_is_called),
        FILES(a_new_state_replaces_the_old_one_or_leaves_it),
        FILES(what_does_not_fit_is_refused),
        FILES(damage_is_refused),
        FILES(leftovers_are_swept),
        FILES(a_directory_that_cannot_be_made_is_named),
        CASE(a_restart_goes_on_where_it_stopped),
        CASE(a_crash_goes_on_from_the_last_checkpoint),
        CASE(a_reload_keeps_state_and_disabling_loses_it),
        CASE(state_is_of_the_script_that_ran),
        CASE(a_deleted_task_leaves_nothing),
        CASE(damaged_state_starts_empty),
    };
    return RUN_TESTS(tests);
}
