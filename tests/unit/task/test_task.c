#include "../test.h"

#include "base/log.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "nodes/nodes.h"
#include "task/task.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

static const struct kap_handler_type *const no_handlers[] = { NULL };
static struct kap_registry registry;
static int64_t now_ns = 1700000000000000000;

static int64_t wall(void *ctx)
{
    return now_ns += 1000;
}
static const struct kap_clock clock_of_test = { wall, wall, NULL };

struct server {
    struct kap_definitions *definitions;
    struct kap_services services;
    struct kap_engine *engine;
    struct kap_tasks *tasks;
    bool placed;
};

static bool is_placed(void *ctx, struct kap_str id)
{
    return ((struct server *)ctx)->placed;
}

static void open_tasks(struct server *s)
{
    struct kap_error err;
    s->services = (struct kap_services){ .clock = &kap_clock_system,
                                         .hostname = KAP_STR("h"),
                                         .server_id = KAP_STR("s"),
                                         .cluster_id = KAP_STR("c") };
    const struct kap_engine_options options = { .workers = 1, .services = &s->services };
    OK(kap_engine_new(&options, &s->engine, &err), &err);
    const struct kap_tasks_options opt = { .definitions = s->definitions,
                                           .engine = s->engine,
                                           .registry = &registry,
                                           .clock = &clock_of_test,
                                           .placed = is_placed,
                                           .placed_ctx = s };
    OK(kap_tasks_new(&opt, &s->tasks, &err), &err);
    kap_tasks_start(s->tasks);
}

static void close_tasks(struct server *s)
{
    kap_tasks_free(s->tasks);
    kap_engine_free(s->engine);
}

static int setup(void **state)
{
    kap_log_set_level(KAP_LOG_OFF);
    registry = (struct kap_registry){ .nodes = kap_node_types, .handlers = no_handlers };
    struct server *s = KAP_NEW(struct server);
    s->definitions = kap_definitions_memory();
    s->placed = true;
    open_tasks(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct server *s = *state;
    close_tasks(s);
    kap_definitions_memory_free(s->definitions);
    kap_free(s);
    return 0;
}

/* A member of an answer, as text; owned. */
static char *member(const struct kap_buf *json, const char *key)
{
    json_t *v = json_loadb(json->p, json->n, 0, NULL);
    assert_non_null(v);
    const json_t *m = json_object_get(v, key);
    char *text =
        json_is_string(m) ? kap_strdup(json_string_value(m)) : json_dumps(m, JSON_ENCODE_ANY | JSON_COMPACT);
    json_decref(v);
    return text ? text : kap_strdup("(none)");
}

static void check_member(const struct kap_buf *json, const char *key, const char *want)
{
    KAP_AUTO_FREE char *got = member(json, key);
    assert_string_equal(got, want);
}

static void create(struct server *s, const char *body)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    OK(kap_task_create(s->tasks, kap_str(body), &out, &err), &err);
}

static void update(struct server *s, const char *id, const char *body)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    OK(kap_task_update(s->tasks, kap_str(id), kap_str(body), &out, &err), &err);
}

static void check_task(struct server *s, const char *id, const char *key, const char *want)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    OK(kap_task_show(s->tasks, kap_str(id), &(struct kap_task_view){ 0 }, &out, &err), &err);
    check_member(&out, key, want);
}

TEST(a_task_is_shown_as_the_reference_shows_it)
{
    struct server *s = *cmocka_state;
    now_ns = 1700000000000000000;
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    OK(kap_task_create(
           s->tasks,
           KAP_STR("{\"id\": \"a\", \"type\": \"stream\", \"dbrps\": [{\"db\": \"d\", \"rp\": \"r\"}],"
                   " \"script\": \"stream\\n    |from()\\n        .measurement('m')\\n\", \"status\": "
                   "\"disabled\"}"),
           &out, &err),
       &err);
    STR_EQ(kap_buf_str(&out), "{\n"
                              "    \"link\": {\n"
                              "        \"rel\": \"self\",\n"
                              "        \"href\": \"/kapacitor/v1/tasks/a\"\n"
                              "    },\n"
                              "    \"id\": \"a\",\n"
                              "    \"template-id\": \"\",\n"
                              "    \"type\": \"stream\",\n"
                              "    \"dbrps\": [\n"
                              "        {\n"
                              "            \"db\": \"d\",\n"
                              "            \"rp\": \"r\"\n"
                              "        }\n"
                              "    ],\n"
                              "    \"script\": \"stream\\n    |from()\\n        .measurement('m')\\n\",\n"
                              "    \"vars\": {},\n"
                              "    \"dot\": \"digraph a {\\nstream0 -\\u003e from1;\\n}\",\n"
                              "    \"status\": \"disabled\",\n"
                              "    \"executing\": false,\n"
                              "    \"error\": \"\",\n"
                              "    \"stats\": {},\n"
                              "    \"created\": \"2023-11-14T22:13:20.000001Z\",\n"
                              "    \"modified\": \"2023-11-14T22:13:20.000001Z\",\n"
                              "    \"last-enabled\": \"0001-01-01T00:00:00Z\"\n"
                              "}");
}

TEST(a_bad_definition_gets_the_texts_of_the_reference)
{
    struct server *s = *cmocka_state;
    static const struct {
        const char *body, *message;
    } cases[] = {
        { "not json", "invalid JSON" },
        { "{\"id\": \"a\", \"dbrps\": [{\"db\": \"d\", \"rp\": \"r\"}]}", "must provide TICKscript" },
        { "{\"id\": \"a\", \"script\": \"stream|from()\"}", "must specify dbrp" },
        { "{\"id\": \"a b\", \"script\": \"stream|from()\"}",
          "task ID must contain only letters, numbers, '-', '.' and '_'. \"a b\"" },
        { "{\"id\": \"a/\\n\", \"script\": \"stream|from()\"}",
          "task ID must contain only letters, numbers, '-', '.' and '_'. \"a/\\n\"" },
        { "{\"id\": \"a\", \"script\": \"stream|from()\", \"status\": \"maybe\"}", "invalid JSON" },
        { "{\"id\": \"a\", \"script\": \"stream|from()\", \"type\": \"weird\"}", "invalid JSON" },
        { "{\"id\": 5, \"script\": \"stream|from()\"}", "invalid JSON" },
        { "{\"id\": \"a\", \"script\": \"strem|from()\"}", "invalid task type: invalid" },
        { "{\"id\": \"a\", \"script\": \"var s = stream\"}", "invalid TICKscript: task does nothing" },
        { "{\"id\": \"a\", \"script\": \"dbrp \\\"a\\\".\\\"b\\\"\\nstream|from()\", \"dbrps\": [{\"db\": "
          "\"d\", \"rp\": \"r\"}]}",
          "cannot specify dbrp in both implicitly and explicitly" },
        { "{\"id\": \"a\", \"template-id\": \"none\"}", "unknown template none: err: no template exists" },
        { "{\"id\": \"a\", \"script\": \"var x int\\nstream|from()\"}",
          "invalid TICKscript: missing value for var \"x\"." },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        KAP_AUTO_BUF struct kap_buf out = { 0 };
        struct kap_error err;
        assert_int_equal(kap_task_create(s->tasks, kap_str(cases[i].body), &out, &err), KAP_EINVAL);
        assert_string_equal(err.msg, cases[i].message);
        assert_int_equal(out.n, 0);
    }
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    FAILS(kap_task_update(s->tasks, KAP_STR("none"), KAP_STR("{}"), &out, &err), &err,
          "task does not exist, cannot update");
    FAILS(kap_task_show(s->tasks, KAP_STR("none"), &(struct kap_task_view){ 0 }, &out, &err), &err,
          "no task exists");
    OK(kap_task_delete(s->tasks, KAP_STR("none"), &err), &err);
}

#define SCRIPT "\"script\": \"dbrp \\\"d\\\".\\\"r\\\"\\nstream|from()\""

TEST(a_task_lives_through_its_states)
{
    struct server *s = *cmocka_state;
    struct kap_error err;
    create(s, "{\"id\": \"a\", " SCRIPT "}");
    check_task(s, "a", "executing", "false");
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    FAILS(kap_task_create(s->tasks, KAP_STR("{\"id\": \"a\", " SCRIPT "}"), &out, &err), &err,
          "task a already exists");
    update(s, "a", "{\"status\": \"enabled\"}");
    check_task(s, "a", "executing", "true");
    update(s, "a", "{\"id\": \"b\"}");
    assert_false(kap_task_exists(s->tasks, KAP_STR("a")));
    check_task(s, "b", "executing", "true");
    assert_false(kap_engine_executing(s->engine, KAP_STR("a")));
    /* a new script waits for the next start */
    update(s, "b", "{\"script\": \"dbrp \\\"x\\\".\\\"y\\\"\\nstream|from().measurement('n')\"}");
    check_task(s, "b", "dbrps", "[{\"db\":\"x\",\"rp\":\"y\"}]");
    update(s, "b", "{\"status\": \"disabled\"}");
    check_task(s, "b", "status", "disabled");
    check_task(s, "b", "stats", "{}");
    FAILS(kap_task_update(s->tasks, KAP_STR("b"), KAP_STR("{\"script\": \"stream|from()\"}"), &out, &err),
          &err, "must specify dbrp");
    OK(kap_task_delete(s->tasks, KAP_STR("b"), &err), &err);
    assert_false(kap_task_exists(s->tasks, KAP_STR("b")));
    assert_int_equal(kap_tasks_count(s->tasks).tasks, 0);
}

TEST(a_task_without_an_id_gets_a_uuid)
{
    struct server *s = *cmocka_state;
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    OK(kap_task_create(s->tasks, KAP_STR("{" SCRIPT "}"), &out, &err), &err);
    KAP_AUTO_FREE char *id = member(&out, "id");
    assert_int_equal(strlen(id), 36);
}

TEST(lists_have_the_fields_asked_for)
{
    struct server *s = *cmocka_state;
    create(s, "{\"id\": \"b1\", " SCRIPT "}");
    create(s, "{\"id\": \"a2\", " SCRIPT ", \"status\": \"enabled\"}");
    create(s, "{\"id\": \"a1\", " SCRIPT "}");
    const struct kap_str fields[] = { KAP_STR("executing"), KAP_STR("stats") };
    struct kap_task_view view = { .fields = fields, .nfields = 1, .pattern = KAP_STR("a*"), .limit = 100 };
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    OK(kap_task_list(s->tasks, &view, &out, &err), &err);
    json_t *list = json_loads(out.p, 0, NULL);
    char *text = json_dumps(list, JSON_COMPACT);
    assert_string_equal(text, "{\"tasks\":[{\"executing\":false,\"id\":\"a1\",\"link\":{\"rel\":\"self\","
                              "\"href\":\"/kapacitor/v1/tasks/a1\"}},"
                              "{\"executing\":true,\"id\":\"a2\",\"link\":{\"rel\":\"self\",\"href\":\"/"
                              "kapacitor/v1/tasks/a2\"}}]}");
    free(text);
    json_decref(list);
    kap_buf_reset(&out);
    view = (struct kap_task_view){
        .fields = &fields[1], .nfields = 1, .offset = 2, .limit = 1, .pattern = KAP_STR("")
    };
    OK(kap_task_list(s->tasks, &view, &out, &err), &err);
    assert_non_null(strstr(out.p, "\"id\": \"b1\""));
    assert_non_null(strstr(out.p, "\"stats\": null"));
    assert_null(strstr(out.p, "a2"));
    const struct kap_str unknown = KAP_STR("nope");
    view = (struct kap_task_view){ .fields = &unknown, .nfields = 1, .limit = 100, .pattern = KAP_STR("") };
    FAILS(kap_task_list(s->tasks, &view, &out, &err), &err, "unsupported field \"nope\"");
    view.offset = 5;
    kap_buf_reset(&out);
    OK(kap_task_list(s->tasks, &view, &out, &err), &err);
    STR_EQ(kap_buf_str(&out), "{\n    \"tasks\": []\n}");
}

TEST(templates_make_tasks_and_change_them)
{
    struct server *s = *cmocka_state;
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    OK(kap_template_create(
           s->tasks,
           KAP_STR("{\"id\": \"t\", \"script\": \"var m string\\nstream|from().measurement(m)|log()\"}"),
           &out, &err),
       &err);
    check_member(&out, "vars", "{\"m\":{\"type\":\"string\",\"value\":null,\"description\":\"\"}}");
    create(s, "{\"id\": \"a\", \"template-id\": \"t\", \"dbrps\": [{\"db\": \"d\", \"rp\": \"r\"}], "
              "\"status\": \"enabled\","
              " \"vars\": {\"m\": {\"type\": \"string\", \"value\": \"cpu\"}}}");
    check_task(s, "a", "executing", "true");
    kap_buf_reset(&out);
    OK(kap_template_update(s->tasks, KAP_STR("t"),
                           KAP_STR("{\"script\": \"var m string\\nstream|from().measurement(m)|sample(2)\"}"),
                           &out, &err),
       &err);
    check_task(s, "a", "script",
               "var m string\n\nstream\n    |from()\n        .measurement(m)\n    |sample(2)\n");
    check_task(s, "a", "executing", "true");
    /* what breaks a task is refused for the task, which goes on as it was; the template keeps the new script
     */
    FAILS(
        kap_template_update(
            s->tasks, KAP_STR("t"),
            KAP_STR(
                "{\"script\": \"var m string\\nvar more int\\nstream|from().measurement(m)|sample(more)\"}"),
            &out, &err),
        &err, "error reloading associated task a: missing value for var \"more\".");
    check_task(s, "a", "executing", "true");
    check_task(s, "a", "script",
               "var m string\n\nstream\n    |from()\n        .measurement(m)\n    |sample(2)\n");
    OK(kap_template_delete(s->tasks, KAP_STR("t"), &err), &err);
    FAILS(kap_template_show(s->tasks, KAP_STR("t"), &(struct kap_task_view){ 0 }, &out, &err), &err,
          "no template exists");
}

TEST(definitions_survive_a_restart)
{
    struct server *s = *cmocka_state;
    create(s, "{\"id\": \"a\", " SCRIPT ", \"status\": \"enabled\"}");
    create(s, "{\"id\": \"b\", " SCRIPT ", \"vars\": {\"v\": {\"type\": \"duration\", \"value\": \"90s\"}}}");
    close_tasks(s);
    open_tasks(s);
    check_task(s, "a", "executing", "true");
    check_task(s, "b", "executing", "false");
    check_task(s, "b", "vars", "{\"v\":{\"type\":\"duration\",\"value\":90000000000,\"description\":\"\"}}");
    check_task(s, "a", "script", "dbrp \"d\".\"r\"\n\nstream\n    |from()\n");
}

/* --- other members --- */

static kap_definition_watch_fn watcher;
static void *watcher_ctx;

static void catch_watcher(void *ctx, enum kap_definition_kind kind, kap_definition_watch_fn fn, void *fn_ctx)
{
    if (kind == KAP_DEFINITION_TASK) {
        watcher = fn;
        watcher_ctx = fn_ctx;
    }
}

static bool wait_executing(struct server *s, const char *id, bool want)
{
    for (int i = 0; i < 5000; i++) {
        if (kap_engine_executing(s->engine, kap_str(id)) == want)
            return true;
        usleep(1000);
    }
    return false;
}

TEST(changes_of_other_members_take_effect)
{
    struct server *s = *cmocka_state;
    close_tasks(s);
    s->definitions->watch = catch_watcher;
    open_tasks(s);
    const struct kap_definitions *d = s->definitions;
    struct kap_error err;
    const char *enabled =
        "{\"type\": \"stream\", \"dbrps\": [{\"db\": \"d\", \"rp\": \"r\"}], \"script\": \"stream|from()\","
        " \"status\": \"enabled\", \"run\": 5}";
    OK(d->put(d->ctx, KAP_DEFINITION_TASK, KAP_STR("far"), kap_str(enabled), &err), &err);
    watcher(watcher_ctx, KAP_DEFINITION_TASK, KAP_STR("far"), true);
    assert_true(wait_executing(s, "far", true));
    check_task(s, "far", "status", "enabled");
    /* this member no longer has a copy; then it has one again */
    s->placed = false;
    kap_tasks_replace(s->tasks);
    assert_true(wait_executing(s, "far", false));
    check_task(s, "far", "status", "enabled");
    s->placed = true;
    kap_tasks_replace(s->tasks);
    assert_true(wait_executing(s, "far", true));
    OK(d->drop(d->ctx, KAP_DEFINITION_TASK, KAP_STR("far"), &err), &err);
    watcher(watcher_ctx, KAP_DEFINITION_TASK, KAP_STR("far"), true);
    assert_true(wait_executing(s, "far", false));
    for (int i = 0; i < 5000 && kap_task_exists(s->tasks, KAP_STR("far")); i++)
        usleep(1000);
    assert_false(kap_task_exists(s->tasks, KAP_STR("far")));
}

TEST(a_removed_member_keeps_its_tasks_disabled)
{
    struct server *s = *cmocka_state;
    create(s, "{\"id\": \"a\", " SCRIPT ", \"status\": \"enabled\"}");
    kap_tasks_disable_all(s->tasks);
    check_task(s, "a", "status", "disabled");
    check_task(s, "a", "executing", "false");
}

/* What the reference accepts is accepted, and told. */
TEST(what_cannot_work_is_told)
{
    struct server *s = *cmocka_state;
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    OK(kap_task_create(s->tasks,
                       KAP_STR("{\"id\": \"w\", \"dbrps\": [{\"db\": \"d\", \"rp\": \"r\"}], \"script\": "
                               "\"stream|from()|where(lambda: 1 + 'a' > 2)|alert().id('{{ if }}')\"}"),
                       &out, &err),
       &err);
    assert_null(strstr(out.p, "warnings")); /* as the reference shows it */
    kap_buf_reset(&out);
    OK(kap_task_show(s->tasks, KAP_STR("w"), &(struct kap_task_view){ .warnings = true }, &out, &err), &err);
    check_member(&out, "warnings",
                 "[\"line 1 char 21: Failed to handle left node: mismatched type to binary operator. got int + "
                 "string. see bool(), int(), float(), string(), duration()\",\"line 1 char 53: template: id:1: "
                 "missing value for if, at line 1 column 7\"]");
    kap_buf_reset(&out);
    create(s, "{\"id\": \"a\", " SCRIPT "}");
    OK(kap_task_show(s->tasks, KAP_STR("a"), &(struct kap_task_view){ .warnings = true }, &out, &err), &err);
    assert_null(strstr(out.p, "warnings"));
}

/* A pattern that takes a backtracking matcher ages does not hold up the only worker: the points go by, and a task
 * beside it gets them all. */
TEST(a_hard_pattern_does_not_hang_its_worker)
{
    enum { POINTS = 50 };
    struct server *s = *cmocka_state;
    create(s, "{\"id\": \"hard\", \"status\": \"enabled\", \"script\": \"dbrp \\\"d\\\".\\\"r\\\"\\nstream|from()|"
              "where(lambda: \\\"s\\\" =~ /^(([a-z])+.)+[A-Z]([a-z])+$/)\"}");
    create(s, "{\"id\": \"beside\", \"status\": \"enabled\", " SCRIPT "}");
    char text[61];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    KAP_AUTO_BUF struct kap_buf lines = { 0 };
    for (int i = 1; i <= POINTS; i++)
        kap_buf_addf(&lines, "m s=\"%s\" %d\n", text, i);
    const struct kap_write w = {
        .db = KAP_STR("d"), .rp = KAP_STR("r"), .precision = KAP_STR("n"), .body = kap_buf_str(&lines)
    };
    struct kap_error err;
    const int64_t start_ns = kap_clock_mono(&kap_clock_system);
    OK(kap_engine_write(s->engine, &w, NULL, &err), &err);
    kap_engine_drain(s->engine);
    assert_true(kap_clock_mono(&kap_clock_system) - start_ns < INT64_C(60000000000));
    check_task(s, "hard", "executing", "true");
    struct kap_task_stats st;
    struct kap_graph *g;
    OK(kap_engine_task_stats(s->engine, KAP_STR("beside"), &st, &g, &err), &err);
    assert_int_equal(st.nodes[1].collected, POINTS);
    kap_task_stats_done(&st);
    kap_graph_unref(g);
}

TEST(ids_may_be_in_any_script)
{
    assert_true(kap_id_valid(KAP_STR("a-B.1_x")));
    assert_true(kap_id_valid(KAP_STR("\xc5\xbc\xc3\xb3\xc5\x82w")));
    assert_true(kap_id_valid(KAP_STR("\xe6\x97\xa5\xe6\x9c\xac")));
    assert_false(kap_id_valid(KAP_STR("")));
    assert_false(kap_id_valid(KAP_STR("a b")));
    assert_false(kap_id_valid(KAP_STR("a/b")));
    assert_false(kap_id_valid(KAP_STR("a\xc3\x97")));
    assert_false(kap_id_valid(KAP_STR("\xff")));
    assert_false(kap_id_valid(KAP_STR("\xf0\x9f\x98\x80")));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_task_is_shown_as_the_reference_shows_it),
        CASE(a_bad_definition_gets_the_texts_of_the_reference),
        CASE(a_task_lives_through_its_states),
        CASE(a_task_without_an_id_gets_a_uuid),
        CASE(lists_have_the_fields_asked_for),
        CASE(templates_make_tasks_and_change_them),
        CASE(definitions_survive_a_restart),
        CASE(changes_of_other_members_take_effect),
        CASE(a_removed_member_keeps_its_tasks_disabled),
        CASE(what_cannot_work_is_told),
        CASE(a_hard_pattern_does_not_hang_its_worker),
        cmocka_unit_test(ids_may_be_in_any_script),
    };
    return RUN_TESTS(tests);
}
