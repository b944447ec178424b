#include "../test.h"

#include "base/log.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "handlers/handlers.h"
#include "nodes/nodes.h"
#include "task/load.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TASK "dbrp \"d\".\"r\"\nstream|from().measurement('m')"

struct server {
    struct kap_registry registry;
    struct kap_definitions *definitions;
    struct kap_services services;
    struct kap_engine *engine;
    struct kap_tasks *tasks;
    struct kap_topics *topics;
    struct kap_topic_handlers *handlers;
    char root[64], dir[80], memory[80];
};

static void handler_env(void *ctx, const struct kap_handler_type *type, struct kap_handler_env *ret)
{
    *ret = (struct kap_handler_env){ .hostname = KAP_STR("h"),
                                     .server_id = KAP_STR("s"),
                                     .cluster_id = KAP_STR("c") };
}

static void folder(const struct server *s, const char *name)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", s->dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int setup(void **state)
{
    struct kap_error err;
    kap_log_set_level(KAP_LOG_OFF);
    struct server *s = KAP_NEW(struct server);
    s->registry = (struct kap_registry){ .nodes = kap_node_types, .handlers = kap_handler_types };
    s->definitions = kap_definitions_memory();
    s->services = (struct kap_services){ .clock = &kap_clock_system,
                                         .hostname = KAP_STR("h"),
                                         .server_id = KAP_STR("s"),
                                         .cluster_id = KAP_STR("c") };
    const struct kap_engine_options engine = { .workers = 1, .services = &s->services };
    OK(kap_engine_new(&engine, &s->engine, &err), &err);
    const struct kap_tasks_options tasks = { .definitions = s->definitions,
                                             .engine = s->engine,
                                             .registry = &s->registry,
                                             .clock = &kap_clock_system };
    OK(kap_tasks_new(&tasks, &s->tasks, &err), &err);
    kap_tasks_start(s->tasks);
    s->topics =
        kap_topics_new(&(struct kap_topics_options){ .types = kap_handler_types, .env = handler_env });
    OK(kap_topic_handlers_new(s->definitions, s->topics, &s->handlers, &err), &err);
    snprintf(s->root, sizeof s->root, "/tmp/kap-load-XXXXXX");
    assert_non_null(mkdtemp(s->root));
    snprintf(s->dir, sizeof s->dir, "%s/load", s->root);
    snprintf(s->memory, sizeof s->memory, "%s/load.json", s->root);
    assert_int_equal(mkdir(s->dir, 0700), 0);
    folder(s, "tasks");
    folder(s, "templates");
    folder(s, "handlers");
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct server *s = *state;
    kap_topic_handlers_free(s->handlers);
    kap_tasks_free(s->tasks);
    kap_engine_free(s->engine);
    kap_topics_free(s->topics);
    kap_definitions_memory_free(s->definitions);
    KAP_AUTO_FREE char *command = kap_asprintf("rm -rf '%s'", s->root);
    assert_int_equal(system(command), 0);
    kap_free(s);
    return 0;
}

static void file(const struct server *s, const char *name, const char *text)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", s->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void no_file(const struct server *s, const char *name)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", s->dir, name);
    assert_int_equal(unlink(path), 0);
}

static enum kap_status try_load(const struct server *s, struct kap_load_counts *ret, struct kap_error *err)
{
    const struct kap_load_options options = {
        .tasks = s->tasks, .handlers = s->handlers, .dir = s->dir, .memory = s->memory
    };
    return kap_load(&options, ret, err);
}

/* "LOADED UNCHANGED REMOVED FAILED" */
static void load(const struct server *s, const char *want)
{
    struct kap_load_counts n;
    struct kap_error err;
    OK(try_load(s, &n, &err), &err);
    char got[64];
    snprintf(got, sizeof got, "%zu %zu %zu %zu", n.loaded, n.unchanged, n.removed, n.failed);
    assert_string_equal(got, want);
}

static void check(const struct server *s, enum kap_definition_kind kind, const char *id, const char *holds)
{
    KAP_AUTO_BUF struct kap_buf json = { 0 };
    const enum kap_status st = s->definitions->get(s->definitions->ctx, kind, kap_str(id), &json, NULL);
    assert_int_equal(st, holds ? KAP_OK : KAP_ENOTFOUND);
    if (holds && strstr(json.p, holds) == NULL)
        fail_msg("%s: %s is not in %s", id, holds, json.p);
}

TEST(loads_changes_and_deletes)
{
    struct server *s = *cmocka_state;
    file(s, "tasks/cpu.tick", TASK);
    file(s, "templates/tmpl.tick", "var m string\nstream|from().measurement(m)");
    file(s, "tasks/made.json",
         "{\"template-id\": \"tmpl\", \"dbrps\": [{\"db\": \"d\", \"rp\": \"r\"}],"
         " \"vars\": {\"m\": {\"type\": \"string\", \"value\": \"n\"}}}");
    file(s, "handlers/h.yaml", "topic: t\nid: h\nkind: log\noptions:\n  path: /tmp/kap-load-never\n");
    file(s, "tasks/README", "not a definition");
    load(s, "4 0 0 0");
    check(s, KAP_DEFINITION_TASK, "cpu", "\"enabled\"");
    check(s, KAP_DEFINITION_TASK, "made", "\"tmpl\"");
    check(s, KAP_DEFINITION_HANDLER, "t/h", "kap-load-never");
    assert_int_equal(kap_tasks_count(s->tasks).executing, 2);

    load(s, "0 4 0 0"); /* nothing changed: nothing is touched */

    file(s, "tasks/cpu.tick", TASK ".groupBy('host')");
    load(s, "1 3 0 0");
    check(s, KAP_DEFINITION_TASK, "cpu", "groupBy");
    assert_int_equal(kap_tasks_count(s->tasks).executing, 2);

    no_file(s, "tasks/cpu.tick");
    no_file(s, "handlers/h.yaml");
    load(s, "0 2 2 0");
    check(s, KAP_DEFINITION_TASK, "cpu", NULL);
    check(s, KAP_DEFINITION_HANDLER, "t/h", NULL);
    check(s, KAP_DEFINITION_TASK, "made", "n");
}

/* A task of the same name that was defined by other means later is none of the directory's business. */
TEST(forgets_what_it_deleted)
{
    struct server *s = *cmocka_state;
    struct kap_error err;
    file(s, "tasks/cpu.tick", TASK);
    load(s, "1 0 0 0");
    no_file(s, "tasks/cpu.tick");
    load(s, "0 0 1 0");
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    OK(kap_task_create(s->tasks,
                       KAP_STR("{\"id\":\"cpu\",\"script\":\"dbrp \\\"d\\\".\\\"r\\\"\\nstream|from()\"}"),
                       &out, &err),
       &err);
    load(s, "0 0 0 0");
    check(s, KAP_DEFINITION_TASK, "cpu", "\"disabled\"");
}

TEST(a_bad_file_stops_nothing_and_deletes_nothing)
{
    struct server *s = *cmocka_state;
    file(s, "tasks/a.tick", TASK);
    file(s, "tasks/z.tick", TASK);
    file(s, "handlers/h.json",
         "{\"topic\":\"t\",\"id\":\"h\",\"kind\":\"log\",\"options\":{\"path\":\"/tmp/kap-x\"}}");
    load(s, "3 0 0 0");
    file(s, "tasks/a.tick", "stream|from(");
    file(s, "tasks/m.tick", TASK);
    file(s, "handlers/h.json", "{");
    load(s, "1 1 0 2");
    check(s, KAP_DEFINITION_TASK, "a", "measurement('m')");
    check(s, KAP_DEFINITION_TASK, "m", "measurement('m')");
    check(s, KAP_DEFINITION_HANDLER, "t/h", "kap-x");
    file(s, "tasks/a.tick", TASK "\n\xff");
    load(s, "0 2 0 2");
}

TEST(a_disabled_task_is_enabled_again)
{
    struct server *s = *cmocka_state;
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    file(s, "tasks/a.tick", TASK);
    load(s, "1 0 0 0");
    OK(kap_task_update(s->tasks, KAP_STR("a"), KAP_STR("{\"status\":\"disabled\"}"), &out, &err), &err);
    load(s, "1 0 0 0");
    check(s, KAP_DEFINITION_TASK, "a", "\"enabled\"");
}

TEST(a_missing_directory_deletes_nothing)
{
    struct server *s = *cmocka_state;
    char away[96];
    snprintf(away, sizeof away, "%s/away", s->root);
    file(s, "tasks/a.tick", TASK);
    load(s, "1 0 0 0");
    assert_int_equal(rename(s->dir, away), 0);
    load(s, "0 0 0 0");
    check(s, KAP_DEFINITION_TASK, "a", "measurement");
    assert_int_equal(rename(away, s->dir), 0);
}

TEST(a_damaged_memory_is_told)
{
    struct server *s = *cmocka_state;
    struct kap_load_counts n;
    struct kap_error err;
    FILE *f = fopen(s->memory, "w");
    assert_non_null(f);
    fputs("{\"tasks\"", f);
    fclose(f);
    assert_int_equal(try_load(s, &n, &err), KAP_EIO);
    assert_non_null(strstr(err.msg, "is damaged"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(loads_changes_and_deletes),
        T(forgets_what_it_deleted),
        T(a_bad_file_stops_nothing_and_deletes_nothing),
        T(a_disabled_task_is_enabled_again),
        T(a_missing_directory_deletes_nothing),
        T(a_damaged_memory_is_told),
    };
    return RUN_TESTS(tests);
}
