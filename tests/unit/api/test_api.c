/* The resources over real sockets, with a real engine behind them. */
#include "client.h"

#include "alert/topics.h"
#include "api/api.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/outputs.h"
#include "nodes/nodes.h"
#include "task/handlers.h"
#include "task/task.h"

#include <jansson.h>

#define BASE "/kapacitor/v1"

/* --- a handler kind for the test --- */

struct tcp {
    struct kap_str address;
};
static void tcp_init(void *options)
{
    *(struct tcp *)options = (struct tcp){ .address = KAP_STR("") };
}
static const struct kap_prop tcp_props[] = {
    KAP_PROP_AT(STRING, struct tcp, address, "address", "address", "Where to."), { .kind = KAP_PROP_END }
};
static enum kap_verdict tcp_send(const void *options, const struct kap_handler_env *env,
                                 const struct kap_event *ev, struct kap_error *err)
{
    return KAP_SENT;
}
static const struct kap_handler_type tcp_type = { .kind = "tcp",
                                                  .method = "tcp",
                                                  .options_size = sizeof(struct tcp),
                                                  .init = tcp_init,
                                                  .props = tcp_props,
                                                  .send = tcp_send };
static const struct kap_handler_type *const types[] = { &tcp_type, NULL };

static void no_env(void *ctx, const struct kap_handler_type *type, struct kap_handler_env *ret)
{
    *ret = (struct kap_handler_env){ .hostname = KAP_STR("h") };
}

/* --- a cluster of one --- */

static void members(void *ctx, void (*fn)(void *fn_ctx, const struct kap_api_member *m), void *fn_ctx)
{
    fn(fn_ctx, &(struct kap_api_member){ .id = KAP_STR("m1"),
                                         .gossip_address = KAP_STR("h:9090"),
                                         .rpc_address = KAP_STR("h:9091"),
                                         .api_address = KAP_STR("h:9092"),
                                         .roles = KAP_STR("worker"),
                                         .status = KAP_STR("alive") });
}
static bool initialized(void *ctx)
{
    return false;
}
static void ids(void *ctx, char cluster_id[37], char server_id[37])
{
    memcpy(cluster_id, "c1", 3);
    memcpy(server_id, "m1", 3);
}
static enum kap_status add(void *ctx, struct kap_str address, struct kap_error *err)
{
    if (kap_str_is(address, "other:9091"))
        return kap_fail(err, KAP_ESTATE, "it belongs to another cluster");
    return KAP_OK;
}
static enum kap_status drop(void *ctx, struct kap_str id, struct kap_error *err)
{
    return kap_str_is(id, "m1") ? KAP_OK : kap_fail(err, KAP_ENOTFOUND, "no member %.*s", KAP_STR_ARG(id));
}
static const struct kap_api_cluster cluster = { NULL, members, initialized, ids, add, drop };

/* --- the server --- */

static struct kap_registry registry;
static struct kap_services services;
static struct kap_definitions *definitions;
static struct kap_api api;
static struct kap_httpd *server;
static uint16_t port;

static void publish(void *ctx, struct kap_str task, struct kap_str endpoint, struct kap_str json, bool ok)
{
    kap_outputs_publish(ctx, task, endpoint, json, ok);
}
static void unpublish(void *ctx, struct kap_str task, struct kap_str endpoint)
{
    kap_outputs_unpublish(ctx, task, endpoint);
}

static int start(void **cmocka_state)
{
    struct kap_error err;
    kap_log_set_level(KAP_LOG_OFF);
    registry = (struct kap_registry){ .nodes = kap_node_types, .handlers = types };
    api = (struct kap_api){ .cluster = &cluster,
                            .hostname = KAP_STR("h"),
                            .default_rp = KAP_STR("autogen"),
                            .clock = &kap_clock_system };
    api.outputs = kap_outputs_new();
    services = (struct kap_services){
        .ctx = api.outputs, .clock = &kap_clock_system, .publish = publish, .unpublish = unpublish
    };
    definitions = kap_definitions_memory();
    OK(kap_engine_new(&(struct kap_engine_options){ .workers = 1,
                                                    .services = &services,
                                                    .limits = { .queue_bytes = 16384 } },
                      &api.engine, &err),
       &err);
    OK(kap_tasks_new(&(struct kap_tasks_options){ .definitions = definitions,
                                                  .engine = api.engine,
                                                  .registry = &registry },
                     &api.tasks, &err),
       &err);
    kap_tasks_start(api.tasks);
    api.topics =
        kap_topics_new(&(struct kap_topics_options){ .types = types, .persist = true, .env = no_env });
    OK(kap_topic_handlers_new(definitions, api.topics, &api.handlers, &err), &err);
    server = kap_httpd_new(&(struct kap_httpd_options){ .bind_address = KAP_STR("127.0.0.1:0") });
    kap_api_routes(server, &api);
    OK(kap_httpd_start(server, &err), &err);
    port = kap_httpd_port(server);
    return 0;
}

static int stop(void **cmocka_state)
{
    kap_httpd_free(server);
    kap_topic_handlers_free(api.handlers);
    kap_topics_free(api.topics);
    kap_tasks_free(api.tasks);
    kap_engine_free(api.engine);
    kap_outputs_free(api.outputs);
    kap_definitions_memory_free(definitions);
    return 0;
}

#define ERROR(text) "{\n    \"error\": \"" text "\"\n}"

/* A member of the answer, compact. */
static void check_json(const char *method, const char *path, const char *body, int status, const char *key,
                       const char *want)
{
    struct answer a = client_call(port, method, path, NULL, body);
    if (a.status != status)
        fail_msg("%s %s: %d %s", method, path, a.status, a.body);
    json_t *v = json_loads(a.body, 0, NULL);
    char *text =
        json_dumps(key ? json_object_get(v, key) : v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    if (text == NULL || strcmp(text, want) != 0)
        fail_msg("%s %s: %s\nwant %s", method, path, text ? text : a.body, want);
    free(text);
    json_decref(v);
    answer_done(&a);
}

TEST(ping_and_paths)
{
    CALLS(port, "GET", BASE "/ping", NULL, NULL, 204, "");
    CALLS(port, "HEAD", BASE "/ping", NULL, NULL, 204, "");
    CALLS(port, "POST", BASE "/ping", NULL, "", 404, ERROR("Not Found"));
    CALLS(port, "GET", "/", NULL, NULL, 404, ERROR("Not Found"));
    CALLS(port, "GET", BASE "/../../etc/passwd", NULL, NULL, 404, ERROR("Not Found"));
    CALLS(port, "GET", BASE "/alerts/nope", NULL, NULL, 404, ERROR("Not Found"));
}

TEST(log_level)
{
    CALLS(port, "POST", BASE "/loglevel", NULL, "{\"level\": \"WARN\"}", 400, ERROR("invalid log level"));
    CALLS(port, "POST", BASE "/loglevel", NULL, "bad", 400,
          ERROR("invalid json: invalid character 'b' looking for beginning of value"));
    CALLS(port, "POST", BASE "/loglevel", NULL, "", 400, ERROR("invalid json: EOF"));
    CALLS(port, "GET", BASE "/loglevel", NULL, NULL, 404, NULL);
    CALLS(port, "POST", BASE "/loglevel", NULL, "{\"level\": \"error\"}", 204, "");
    kap_log_set_level(KAP_LOG_OFF);
}

TEST(written_points_reach_a_task_and_its_output)
{
    check_json("POST", BASE "/tasks",
               "{\"id\": \"w\", \"status\": \"enabled\", \"dbrps\": [{\"db\": \"d\", \"rp\": \"autogen\"}],"
               " \"script\": \"stream|from().measurement('m')|httpOut('o')\"}",
               200, "executing", "true");
    CALLS(port, "GET", BASE "/tasks/w/o", NULL, NULL, 200, NULL);
    CALLS(port, "POST", BASE "/write?db=d&precision=s", NULL, "m v=1 1\nm v=2 2\n", 204, "");
    CALLS(port, "POST", "/write?db=d&rp=&precision=s", NULL, "m v=3 3\n", 204, "");
    bool there = false;
    for (int i = 0; i < 500 && !there; i++) {
        struct answer a = client_call(port, "GET", BASE "/tasks/w/o", NULL, NULL);
        there = strstr(a.body, "\"1970-01-01T00:00:03Z\"") != NULL;
        answer_done(&a);
        usleep(10000);
    }
    assert_true(there);
    CALLS(port, "GET", BASE "/tasks/w/nope", NULL, NULL, 404, ERROR("no task exists"));
    CALLS(port, "DELETE", BASE "/tasks/w", NULL, NULL, 204, "");
    CALLS(port, "GET", BASE "/tasks/w/o", NULL, NULL, 404, ERROR("no task exists"));
}

TEST(a_bad_write_is_a_line_of_text)
{
    CALLS(port, "POST", BASE "/write?db=d&rp=r", NULL, "m v=1 1\nbad line here\n", 400,
          "unable to parse 'bad line here': invalid field format\n");
    CALLS(port, "POST", BASE "/write?rp=r", NULL, "m v=1 1\n", 400, "database is required\n");
    CALLS(port, "POST", BASE "/write?db=d&rp=r", NULL, "# only a comment\n", 204, "");
    CALLS(port, "POST", BASE "/write?db=d&rp=r", "Content-Encoding: gzip\r\n", "not gzip", 400,
          "unexpected EOF\n");
    CALLS(port, "GET", BASE "/write?db=d&rp=r", NULL, NULL, 404, ERROR("Not Found"));
}

/* The engine's queue holds two of these bodies: most writers wait, suspended, and nobody is refused. */
TEST(writers_wait_for_room_and_lose_nothing)
{
    enum { CONNECTIONS = 8, WRITES = 40, LINES = 100 };
    check_json("POST", BASE "/tasks",
               "{\"id\": \"full\", \"status\": \"enabled\", \"dbrps\": [{\"db\": \"full\", \"rp\": \"r\"}],"
               " \"script\": \"stream|from().groupBy(*)|eval(lambda: \\\"v\\\" * 2.0).as('w')|eval(lambda: "
               "sin(\\\"w\\\")).as('x')|httpOut('o')\"}",
               200, "executing", "true");
    KAP_AUTO_BUF struct kap_buf body = { 0 };
    for (int i = 0; i < LINES; i++)
        kap_buf_addf(&body, "m,host=h%d v=%d %d\n", i, i, i + 1);
    KAP_AUTO_BUF struct kap_buf requests = { 0 };
    for (int i = 0; i < WRITES; i++)
        kap_buf_addf(&requests,
                     "POST /write?db=full&rp=r HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", body.n,
                     body.p);
    struct kap_engine_stats before, after;
    kap_engine_stats(api.engine, &before);
    int fds[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = client_connect(port);
        client_send(fds[i], kap_buf_str(&requests));
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        char got[65536] = { 0 };
        size_t n = 0;
        int answers = 0;
        while (answers < WRITES) {
            struct pollfd p = { .fd = fds[i], .events = POLLIN };
            assert_int_equal(poll(&p, 1, 20000), 1);
            const ssize_t r = recv(fds[i], got + n, sizeof got - 1 - n, 0);
            assert_true(r > 0);
            n += (size_t)r;
            answers = 0;
            for (const char *a = got; (a = strstr(a, "HTTP/1.1 204")) != NULL; a++)
                answers++;
        }
        close(fds[i]);
    }
    kap_engine_stats(api.engine, &after);
    assert_true(after.points - before.points == CONNECTIONS * WRITES * LINES);
    assert_true(after.waits > before.waits);
    CALLS(port, "DELETE", BASE "/tasks/full", NULL, NULL, 204, "");
}

TEST(tasks_and_their_parameters)
{
    CALLS(port, "GET", BASE "/tasks/", NULL, NULL, 400, ERROR("must specify task id on path"));
    CALLS(port, "PATCH", BASE "/tasks/", NULL, "{}", 400, ERROR("must specify task id on path"));
    CALLS(port, "GET", BASE "/tasks/none?dot-view=zzz", NULL, NULL, 404, ERROR("no task exists"));
    CALLS(port, "GET", BASE "/tasks?limit=x", NULL, NULL, 400,
          ERROR("invalid limit parameter \\\"x\\\" must be an integer: strconv.ParseInt: parsing \\\"x\\\": "
                "invalid syntax"));
    CALLS(port, "GET", BASE "/tasks?script-format=zzz", NULL, NULL, 400,
          ERROR("invalid script-format parameter \\\"zzz\\\""));
    CALLS(port, "GET", BASE "/tasks?dot-view=zzz", NULL, NULL, 400,
          ERROR("invalid dot-view parameter \\\"zzz\\\""));
    CALLS(port, "POST", BASE "/tasks/x", NULL, "{}", 404, ERROR("Not Found"));
    CALLS(port, "POST", BASE "/tasks", NULL, "not json", 400, ERROR("invalid JSON"));
    check_json("POST", BASE "/tasks",
               "{\"id\": \"\xc5\xbc.1\", \"script\": \"dbrp \\\"a\\\".\\\"b\\\" stream|from()\"}", 200, "id",
               "\"\xc5\xbc.1\"");
    check_json("GET", BASE "/tasks/%C5%BC.1?script-format=raw", NULL, 200, "script",
               "\"dbrp \\\"a\\\".\\\"b\\\" stream|from()\"");
    CALLS(port, "GET", BASE "/tasks/%C5%BC.1?replay-id=r", NULL, NULL, 400,
          ERROR("no running replay with ID: r"));
    check_json("GET", "/kapacitor/v1preview/tasks?pattern=%C5%BC*&fields=type&fields=status", NULL, 200,
               "tasks",
               "[{\"id\":\"\xc5\xbc.1\",\"link\":{\"href\":\"/kapacitor/v1/tasks/"
               "\xc5\xbc.1\",\"rel\":\"self\"},\"status\":\"disabled\",\"type\":\"stream\"}]");
    CALLS(port, "DELETE", BASE "/tasks/%C5%BC.1", NULL, NULL, 204, "");
    CALLS(port, "GET", BASE "/templates/none", NULL, NULL, 404, ERROR("no template exists"));
}

TEST(topics_and_handlers)
{
    CALLS(port, "GET", BASE "/alerts/topics/", NULL, NULL, 404, ERROR("unknown topic: \\\"\\\""));
    CALLS(port, "GET", BASE "/alerts/topics?min-level=loud", NULL, NULL, 400,
          ERROR("unknown alert level 'LOUD'"));
    CALLS(port, "POST", BASE "/alerts/topics/t/handlers", NULL, "not json", 400,
          ERROR("invalid handler json: invalid character 'o' in literal null (expecting 'u')"));
    CALLS(port, "POST", BASE "/alerts/topics/t/handlers", NULL, "{\"id\": \"h1\"}", 400,
          ERROR("invalid handler spec: handler Kind must not be empty"));
    CALLS(port, "POST", BASE "/alerts/topics/t/handlers", NULL, "{\"id\": \"h1\", \"kind\": \"nosuch\"}", 500,
          ERROR("failed to create handler: unsupported action kind \\\"nosuch\\\""));
    check_json("POST", BASE "/alerts/topics/t/handlers",
               "{\"id\": \"h1\", \"kind\": \"tcp\", \"options\": {\"address\": \"a:1\"}}", 200, NULL,
               "{\"id\":\"h1\",\"kind\":\"tcp\",\"link\":{\"href\":\"/kapacitor/v1/alerts/topics/t/handlers/"
               "h1\",\"rel\":\"self\"},"
               "\"match\":\"\",\"options\":{\"address\":\"a:1\"}}");
    CALLS(
        port, "POST", BASE "/alerts/topics/t/handlers", NULL, "{\"id\": \"h1\", \"kind\": \"tcp\"}", 500,
        ERROR(
            "failed to create handler: cannot register handler, handler with ID \\\"h1\\\" already exists"));
    check_json("PUT", BASE "/alerts/topics/t/handlers/h1",
               "{\"id\": \"h3\", \"kind\": \"tcp\", \"options\": {\"address\": \"b:2\"}}", 200, "id",
               "\"h3\"");
    CALLS(port, "GET", BASE "/alerts/topics/t/handlers/h1", NULL, NULL, 404,
          ERROR("unknown handler: \\\"h1\\\""));
    check_json("PATCH", BASE "/alerts/topics/t/handlers/h3",
               "[{\"op\": \"replace\", \"path\": \"/options/address\", \"value\": \"c:3\"}]", 200, "options",
               "{\"address\":\"c:3\"}");
    CALLS(port, "PATCH", BASE "/alerts/topics/t/handlers/none", NULL, "[]", 404,
          ERROR("unknown handler: \\\"none\\\""));
    check_json("GET", BASE "/alerts/topics/t/handlers", NULL, 200, "topic", "\"t\"");
    check_json("GET", BASE "/alerts/topics/t", NULL, 200, "level", "\"OK\"");
    CALLS(port, "DELETE", BASE "/alerts/topics/t/handlers/h3", NULL, NULL, 204, "");
    CALLS(port, "DELETE", BASE "/alerts/topics/t/handlers/h3", NULL, NULL, 204, "");
    CALLS(port, "DELETE", BASE "/alerts/topics/t", NULL, NULL, 204, "");
    CALLS(port, "GET", BASE "/alerts/topics/t", NULL, NULL, 404, ERROR("unknown topic: \\\"t\\\""));
}

/* Reads until the text has come, or fails after ten seconds. */
static void wait_for_text(int fd, const char *text)
{
    char got[65536] = { 0 };
    size_t n = 0;
    while (strstr(got, text) == NULL) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, 10000), 1);
        const ssize_t r = recv(fd, got + n, sizeof got - 1 - n, 0);
        assert_true(r > 0);
        n += (size_t)r;
    }
    if (strstr(got, "not wanted"))
        fail_msg("%s", got);
}

TEST(the_log_is_followed)
{
    CALLS(port, "GET", BASE "/logs?task=a&task=b", NULL, NULL, 400,
          ERROR("query cannot contain duplicate key task"));
    CALLS(port, "GET", BASE "/logs?lvl=loud", NULL, NULL, 400, ERROR("invalid log level"));
    const int fd = client_connect(port);
    client_send(fd, KAP_STR("GET /kapacitor/v1preview/logs?task=t1&lvl=info+ HTTP/1.1\r\nHost: x\r\n\r\n"));
    wait_for_text(fd, "application/logfmt");
    kap_log(KAP_LOG_DEBUG, "test", "not wanted", kap_kv_s("task", "t1"));
    kap_log(KAP_LOG_ERROR, "test", "not wanted", kap_kv_s("task", "t2"));
    kap_log(KAP_LOG_WARN, "test", "one", kap_kv_s("task", "t1"), kap_kv_i("n", 5));
    wait_for_text(fd, "lvl=warn msg=one service=test task=t1 n=5\n");
    kap_log(KAP_LOG_INFO, "test", "two", kap_kv_s("task", "t1"));
    wait_for_text(fd, "msg=two");
    close(fd);
    const int json = client_connect(port);
    client_send(json, KAP_STR("GET /kapacitor/v1preview/logs?service=test HTTP/1.1\r\nHost: x\r\nAccept: "
                              "application/json\r\n\r\n"));
    wait_for_text(json, "application/json");
    kap_log(KAP_LOG_INFO, "test", "three", kap_kv_i("n", 7));
    wait_for_text(json, "\"lvl\":\"info\",\"service\":\"test\",\"msg\":\"three\",\"n\":7}");
    close(json);
}

TEST(the_cluster_is_shown_and_changed)
{
    check_json("GET", BASE "/cluster", NULL, 200, NULL,
               "{\"cluster-id\":\"c1\",\"link\":{\"href\":\"/kapacitor/v1/"
               "cluster\",\"rel\":\"self\"},\"local-member-id\":\"m1\",\"members\":["
               "{\"api-address\":\"h:9092\",\"gossip-address\":\"h:9090\",\"id\":\"m1\",\"roles\":\"worker\","
               "\"rpc-address\":\"h:9091\","
               "\"status\":\"alive\"}],\"state\":\"uninitialized\"}");
    CALLS(port, "POST", BASE "/cluster/members", NULL, "{\"rpc-address\": \"x:9091\"}", 204, "");
    CALLS(port, "POST", BASE "/cluster/members", NULL, "{\"rpc-address\": \"other:9091\"}", 409,
          ERROR("it belongs to another cluster"));
    CALLS(port, "POST", BASE "/cluster/members", NULL, "{}", 400, NULL);
    CALLS(port, "DELETE", BASE "/cluster/members/m1", NULL, NULL, 204, "");
    CALLS(port, "DELETE", BASE "/cluster/members/m9", NULL, NULL, 404, ERROR("no member m9"));
}

TEST(the_figures_have_the_members_that_telegraf_reads)
{
    CALLS(port, "POST", BASE "/write?db=vars&rp=r", NULL, "m v=1 1\n", 204, "");
    struct answer a = client_call(port, "GET", BASE "/debug/vars", NULL, NULL);
    assert_int_equal(a.status, 200);
    json_t *v = json_loads(a.body, 0, NULL);
    static const char *const keys[] = { "cluster_id",        "cmdline",   "host",
                                        "kapacitor",         "memstats",  "num_enabled_tasks",
                                        "num_subscriptions", "num_tasks", "platform",
                                        "product",           "server_id", "version" };
    assert_int_equal(json_object_size(v), KAP_COUNT(keys));
    for (size_t i = 0; i < KAP_COUNT(keys); i++)
        assert_non_null(json_object_get(v, keys[i]));
    assert_non_null(strstr(a.body, "\"name\": \"ingress\""));
    assert_non_null(strstr(a.body, "\"database\": \"vars\""));
    json_decref(v);
    answer_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ping_and_paths),
        cmocka_unit_test(log_level),
        cmocka_unit_test(written_points_reach_a_task_and_its_output),
        cmocka_unit_test(a_bad_write_is_a_line_of_text),
        cmocka_unit_test(writers_wait_for_room_and_lose_nothing),
        cmocka_unit_test(tasks_and_their_parameters),
        cmocka_unit_test(topics_and_handlers),
        cmocka_unit_test(the_log_is_followed),
        cmocka_unit_test(the_cluster_is_shown_and_changed),
        cmocka_unit_test(the_figures_have_the_members_that_telegraf_reads),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
