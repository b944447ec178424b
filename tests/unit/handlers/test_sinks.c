/* Handlers against something real: files, programs, sockets, and the servers of Debian's packages (an SMTP sink of
 * python3-aiosmtpd, mosquitto, snmptrapd; librdkafka's mock cluster). A server that is not installed skips its test. */
#include "../alert/http_sink.h"
#include "../alert/sample.h"

#include "alert/http_send.h"
#include "alert/spec.h"
#include "handlers/handlers.h"
#include "alert/httppost.h"

#ifdef KAP_WITH_KAFKA
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#endif
#ifdef KAP_WITH_MQTT
#include <mosquitto.h>
#endif

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

extern char **environ;

static char dir[64];

static const char *in_dir(struct kap_arena *a, const char *name)
{
    return kap_arena_printf(a, "%s/%s", dir, name);
}

static char *slurp(const char *path)
{
    struct kap_buf b = { 0 };
    char chunk[4096];
    FILE *f = fopen(path, "r");
    size_t n;
    while (f && (n = fread(chunk, 1, sizeof chunk, f)) > 0)
        kap_buf_addn(&b, chunk, n);
    if (f)
        fclose(f);
    return kap_buf_take(&b);
}

static void spit(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Waits until the file holds the text. */
static bool file_holds(const char *path, const char *text)
{
    for (int i = 0; i < 500; i++) {
        KAP_AUTO_FREE char *all = slurp(path);
        if (strstr(all, text))
            return true;
        usleep(10000);
    }
    return false;
}

static int free_port(int type)
{
    const int fd = socket(AF_INET, type, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof a;
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    getsockname(fd, (struct sockaddr *)&a, &size);
    close(fd);
    return ntohs(a.sin_port);
}

static bool connects(int port)
{
    for (int i = 0; i < 500; i++) {
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
        const bool ok = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
        if (ok)
            return true;
        usleep(10000);
    }
    return false;
}

static pid_t start(char *const *argv)
{
    pid_t pid;
    posix_spawn_file_actions_t fa;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
    const int rc = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    return rc == 0 ? pid : 0;
}

static void stop(pid_t pid)
{
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
}

/* --- one attempt of a handler with options as in a handler file and one section --- */

struct made {
    const struct kap_handler_type *t;
    struct kap_arena *a;
    void *options, *config;
    struct kap_handler_env env;
};

static void make(struct made *m, const struct kap_handler_type *t, const char *options)
{
    struct kap_error err;
    *m = (struct made){ .t = t, .a = kap_arena_new() };
    m->options = kap_arena_alloc(m->a, t->options_size);
    if (t->init)
        t->init(m->options);
    json_t *tree;
    if (kap_yaml_json(kap_str(options), &tree, &err) != KAP_OK ||
        kap_handler_options_read(t, tree, m->options, m->a, &err) != KAP_OK)
        fail_msg("%s", err.msg);
    json_decref(tree);
    if (t->config_size) {
        m->config = kap_arena_alloc(m->a, t->config_size);
        t->config_init(m->config);
        m->env.config = m->config;
        m->env.nconfigs = 1;
    }
    if (t->check && t->check(m->options, &m->env, &err) != KAP_OK)
        fail_msg("%s", err.msg);
}

static void *member(struct made *m, const char *key)
{
    for (const struct kap_prop *p = m->t->config_props; p->kind != KAP_PROP_END; p++)
        if (p->option && strcmp(p->option, key) == 0)
            return (char *)m->config + p->offset;
    fail_msg("no key %s", key);
    return NULL;
}

static enum kap_verdict attempt(struct made *m, struct kap_event *ev, struct kap_error *err)
{
    err->msg[0] = '\0';
    return kap_handler_attempt(m->t, m->options, &m->env, ev, err);
}

static void must_send(struct made *m, struct kap_event *ev)
{
    struct kap_error err;
    if (attempt(m, ev, &err) != KAP_SENT)
        fail_msg("%s: %s", m->t->kind, err.msg);
}

#define BODY "{\"id\":\"x\",\"message\":\"x is CRITICAL\""

static void log_file(void **state)
{
    struct made m;
    struct kap_event *ev = sample_event("t", "x", KAP_LEVEL_CRITICAL);
    KAP_AUTO_FREE char *options = kap_asprintf("{path: %s/log, mode: 384}", dir);
    make(&m, &kap_handler_log, options);
    must_send(&m, ev);
    must_send(&m, ev);
    const char *path = in_dir(m.a, "log");
    KAP_AUTO_FREE char *all = slurp(path);
    assert_memory_equal(all, BODY, strlen(BODY));
    assert_non_null(strstr(all, "}\n" BODY));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    kap_arena_free(m.a);
    KAP_AUTO_FREE char *missing = kap_asprintf("{path: %s/no/dir}", dir);
    make(&m, &kap_handler_log, missing);
    struct kap_error err;
    assert_int_equal(attempt(&m, ev, &err), KAP_RETRY);
    assert_non_null(strstr(err.msg, "No such file or directory"));
    kap_arena_free(m.a);
    kap_event_unref(ev);
}

static void exec_program(void **state)
{
    struct made m;
    struct kap_error err;
    struct kap_event *ev = sample_event("t", "x", KAP_LEVEL_CRITICAL);
    KAP_AUTO_FREE char *options = kap_asprintf("{prog: /bin/sh, args: ['-c', 'cat > %s/exec']}", dir);
    make(&m, &kap_handler_exec, options);
    must_send(&m, ev);
    KAP_AUTO_FREE char *all = slurp(in_dir(m.a, "exec"));
    assert_memory_equal(all, BODY, strlen(BODY));
    kap_arena_free(m.a);
    make(&m, &kap_handler_exec, "{prog: /bin/sh, args: ['-c', 'echo no luck >&2; exit 3']}");
    assert_int_equal(attempt(&m, ev, &err), KAP_GIVE_UP);
    assert_string_equal(err.msg, "exec command failed: exit status 3: no luck");
    kap_arena_free(m.a);
    make(&m, &kap_handler_exec, "{prog: /nonexistent}");
    assert_int_equal(attempt(&m, ev, &err), KAP_GIVE_UP);
    assert_string_equal(err.msg, "exec: \"/nonexistent\": No such file or directory");
    kap_arena_free(m.a);
    kap_event_unref(ev);
}

static void tcp(void **state)
{
    struct made m;
    struct kap_error err;
    struct kap_event *ev = sample_event("t", "x", KAP_LEVEL_CRITICAL);
    int port = 0;
    const int fd = sink_listen(&port);
    KAP_AUTO_FREE char *options = kap_asprintf("{address: '127.0.0.1:%d'}", port);
    make(&m, &kap_handler_tcp, options);
    must_send(&m, ev);
    const int c = accept(fd, NULL, NULL);
    char got[8192] = "";
    size_t n = 0;
    ssize_t r;
    while ((r = recv(c, got + n, sizeof got - 1 - n, 0)) > 0)
        n += (size_t)r;
    assert_memory_equal(got, BODY, strlen(BODY));
    assert_string_equal(got + n - 3, "}\n\n");
    close(c);
    close(fd);
    assert_int_equal(attempt(&m, ev, &err), KAP_RETRY);
    assert_non_null(strstr(err.msg, "Connection refused"));
    kap_arena_free(m.a);
    make(&m, &kap_handler_tcp, "{address: nowhere}");
    assert_int_equal(attempt(&m, ev, &err), KAP_GIVE_UP);
    kap_arena_free(m.a);
    kap_event_unref(ev);
}

static void post(void **state)
{
    struct made m;
    struct kap_error err;
    struct kap_event *ev = sample_event("t", "x", KAP_LEVEL_CRITICAL);
    struct http_sink *s = sink_open(0);
    KAP_AUTO_FREE char *options =
        kap_asprintf("{url: 'http://127.0.0.1:%d/{{ .ID }}', headers: {X-A: b c, Authorization: Bearer q}}", s->port);
    make(&m, &kap_handler_post, options);
    m.env.nconfigs = 0;
    must_send(&m, ev);
    assert_memory_equal(s->bodies[0], BODY, strlen(BODY));
    assert_non_null(strstr(s->heads[0], "POST /x HTTP/1.1\r\n"));
    assert_non_null(strstr(s->heads[0], "X-A: b c\r\n"));
    assert_non_null(strstr(s->heads[0], "Authorization: Bearer q\r\n"));
    assert_non_null(strstr(s->heads[0], "Content-Type: application/json\r\n"));
    s->status = 500;
    assert_int_equal(attempt(&m, ev, &err), KAP_RETRY);
    s->status = 400;
    assert_int_equal(attempt(&m, ev, &err), KAP_GIVE_UP);
    kap_arena_free(m.a);

    /* an endpoint with a template of its own, as "shaped" of the golden configuration */
    KAP_AUTO_FREE char *url = kap_asprintf("http://127.0.0.1:%d/shaped", s->port);
    s->status = 200;
    KAP_AUTO_ARENA struct kap_arena *a = kap_arena_new();
    struct kap_httppost_header header = { KAP_STR("X-Golden"), KAP_STR("shaped") };
    struct kap_httppost_endpoint e;
    kap_httppost_init(&e);
    e.endpoint = KAP_STR("shaped");
    e.url = kap_str(url);
    e.headers = &header;
    e.nheaders = 1;
    e.username = KAP_STR("u");
    e.password = KAP_STR("p");
    e.alert_template = KAP_STR("{{ .ID }}|{{ .Level }}|{{ .Message }}|{{ range .Data.Series }}{{ .Name }}{{ end }}");
    struct made shaped = { .t = &kap_handler_post, .a = kap_arena_new() };
    shaped.options = kap_arena_alloc(shaped.a, kap_handler_post.options_size);
    kap_handler_post.init(shaped.options);
    json_t *tree = json_pack("{s:s}", "endpoint", "shaped");
    assert_int_equal(kap_handler_options_read(&kap_handler_post, tree, shaped.options, shaped.a, &err), KAP_OK);
    json_decref(tree);
    shaped.env = (struct kap_handler_env){ .config = &e, .nconfigs = 1 };
    must_send(&shaped, ev);
    assert_string_equal(s->bodies[1], "x|CRITICAL|x is CRITICAL|cpu");
    assert_non_null(strstr(s->heads[1], "X-Golden: shaped\r\n"));
    assert_non_null(strstr(s->heads[1], "Authorization: Basic dTpw\r\n"));
    kap_arena_free(shaped.a);
    kap_event_unref(ev);
    sink_close(s);
}

static void sensu(void **state)
{
    struct made m;
    struct kap_event *ev = sample_event("t", "x", KAP_LEVEL_WARNING);
    int port = 0;
    const int fd = sink_listen(&port);
    make(&m, &kap_handler_sensu, "{source: 'src', handlers: [h1, h2], metadata: {k: 5, name: no}}");
    *(bool *)member(&m, "enabled") = true;
    *(struct kap_str *)member(&m, "addr") = kap_str(kap_arena_printf(m.a, "127.0.0.1:%d", port));
    must_send(&m, ev);
    const int c = accept(fd, NULL, NULL);
    char got[4096] = "";
    assert_true(recv(c, got, sizeof got - 1, MSG_WAITALL) > 0);
    assert_string_equal(got, "{\"handlers\":[\"h1\",\"h2\"],\"k\":5,\"name\":\"x\",\"output\":\"x is WARNING\",\"source\":\"src\","
                             "\"status\":1}\n");
    close(c);
    close(fd);
    kap_arena_free(m.a);
    kap_event_unref(ev);
}

static void email(void **state)
{
    static const char server[] =
        "import sys, time\n"
        "from aiosmtpd.controller import Controller\n"
        "class Sink:\n"
        "    async def handle_RCPT(self, server, session, envelope, address, options):\n"
        "        if address.startswith('bad'): return '550 no such user'\n"
        "        envelope.rcpt_tos.append(address); return '250 OK'\n"
        "    async def handle_DATA(self, server, session, envelope):\n"
        "        with open(sys.argv[2], 'ab') as f:\n"
        "            f.write(('FROM %s TO %s\\n' % (envelope.mail_from, envelope.rcpt_tos)).encode() + envelope.content + b'END\\n')\n"
        "        return '250 OK'\n"
        "c = Controller(Sink(), hostname='127.0.0.1', port=int(sys.argv[1])); c.start(); time.sleep(60)\n";
    KAP_AUTO_ARENA struct kap_arena *a = kap_arena_new();
    spit(in_dir(a, "sink.py"), server);
    const int port = free_port(SOCK_STREAM);
    char *const argv[] = { (char *)(uintptr_t)"/usr/bin/python3", kap_arena_printf(a, "%s/sink.py", dir), kap_arena_printf(a, "%d", port),
                           kap_arena_printf(a, "%s/mail", dir), NULL };
    const pid_t pid = start(argv);
    if (pid == 0 || !connects(port)) {
        if (pid)
            stop(pid);
        skip();
    }
    struct made m;
    struct kap_error err;
    struct kap_event *ev = sample_event("t", "x", KAP_LEVEL_CRITICAL);
    ev->message = KAP_STR("x is \xc3\xbc\r\nBcc: evil@x");
    ev->details = KAP_STR("<b>a=b</b>\n.\nend");
    make(&m, &kap_handler_smtp, "{to: ['Ann <ann@example.org>', bob@example.org]}");
    *(bool *)member(&m, "enabled") = true;
    *(struct kap_str *)member(&m, "host") = KAP_STR("127.0.0.1");
    *(struct kap_str *)member(&m, "from") = KAP_STR("kap@example.org");
    *(int64_t *)member(&m, "port") = port;
    must_send(&m, ev);
    const char *path = in_dir(m.a, "mail");
    assert_true(file_holds(path, "END\n"));
    KAP_AUTO_FREE char *mail = slurp(path);
    assert_non_null(strstr(mail, "FROM kap@example.org TO ['ann@example.org', 'bob@example.org']\n"));
    assert_non_null(strstr(mail, "To: Ann <ann@example.org>, bob@example.org\r\n"));
    assert_non_null(strstr(mail, "Subject: =?UTF-8?Q?=78=20=69=73=20=C3=BC"));
    assert_null(strstr(mail, "\nBcc: evil"));
    assert_non_null(strstr(mail, "Content-Type: text/html; charset=UTF-8\r\n"));
    assert_non_null(strstr(mail, "<b>a=3Db</b>\r\n=2E\r\nend\r\n"));
    kap_arena_free(m.a);
    make(&m, &kap_handler_smtp, "{to: [bad@example.org]}");
    *(bool *)member(&m, "enabled") = true;
    *(struct kap_str *)member(&m, "host") = KAP_STR("127.0.0.1");
    *(int64_t *)member(&m, "port") = port;
    assert_int_equal(attempt(&m, ev, &err), KAP_GIVE_UP);
    stop(pid);
    assert_int_equal(attempt(&m, ev, &err), KAP_RETRY);
    kap_arena_free(m.a);
    kap_event_unref(ev);
}

#ifdef KAP_WITH_MQTT
static void on_mqtt(struct mosquitto *mq, void *ctx, const struct mosquitto_message *msg)
{
    struct kap_buf *got = ctx;
    kap_buf_addf(got, "%s %d %.*s\n", msg->topic, msg->qos, msg->payloadlen, (char *)msg->payload);
}

static void mqtt(void **state)
{
    const int port = free_port(SOCK_STREAM);
    KAP_AUTO_ARENA struct kap_arena *a = kap_arena_new();
    spit(in_dir(a, "mosquitto.conf"), kap_arena_printf(a, "listener %d 127.0.0.1\nallow_anonymous true\n", port));
    char *const argv[] = { (char *)(uintptr_t)"/usr/sbin/mosquitto", (char *)(uintptr_t)"-c",
                           kap_arena_printf(a, "%s/mosquitto.conf", dir), NULL };
    const pid_t pid = start(argv);
    if (pid == 0 || !connects(port)) {
        if (pid)
            stop(pid);
        skip();
    }
    struct kap_buf got = { 0 };
    mosquitto_lib_init();
    struct mosquitto *mq = mosquitto_new(NULL, true, &got);
    mosquitto_message_callback_set(mq, on_mqtt);
    assert_int_equal(mosquitto_connect(mq, "127.0.0.1", port, 30), MOSQ_ERR_SUCCESS);
    assert_int_equal(mosquitto_subscribe(mq, NULL, "#", 2), MOSQ_ERR_SUCCESS);
    for (int i = 0; i < 20; i++)
        mosquitto_loop(mq, 10, 1);
    struct made m;
    struct kap_event *ev = sample_event("t", "x", KAP_LEVEL_CRITICAL);
    make(&m, &kap_handler_mqtt, "{topic: 'alerts/{{ .ID }}', qos: 1}");
    *(bool *)member(&m, "enabled") = true;
    *(struct kap_str *)member(&m, "url") = kap_str(kap_arena_printf(m.a, "tcp://127.0.0.1:%d", port));
    must_send(&m, ev);
    for (int i = 0; i < 300 && got.n == 0; i++)
        mosquitto_loop(mq, 10, 1);
    assert_string_equal(got.p, "alerts/x 1 x is CRITICAL\n");
    mosquitto_destroy(mq);
    stop(pid);
    struct kap_error err;
    assert_int_equal(attempt(&m, ev, &err), KAP_RETRY);
    kap_buf_done(&got);
    kap_arena_free(m.a);
    kap_event_unref(ev);
}
#endif

#ifdef KAP_WITH_SNMP
static void snmp_trap(void **state)
{
    const int port = free_port(SOCK_DGRAM);
    KAP_AUTO_ARENA struct kap_arena *a = kap_arena_new();
    spit(in_dir(a, "snmptrapd.conf"), "authCommunity log kapacitor\n");
    char *const argv[] = { (char *)(uintptr_t)"/usr/sbin/snmptrapd", (char *)(uintptr_t)"-f", (char *)(uintptr_t)"-C",
                           (char *)(uintptr_t)"-c", kap_arena_printf(a, "%s/snmptrapd.conf", dir), (char *)(uintptr_t)"-On",
                           (char *)(uintptr_t)"-Lf", kap_arena_printf(a, "%s/traps", dir),
                           kap_arena_printf(a, "udp:127.0.0.1:%d", port), NULL };
    const pid_t pid = start(argv);
    if (pid == 0 || !file_holds(in_dir(a, "traps"), "NET-SNMP version")) {
        if (pid)
            stop(pid);
        skip();
    }
    struct made m;
    struct kap_event *ev = sample_event("t", "x", KAP_LEVEL_CRITICAL);
    make(&m, &kap_handler_snmptrap,
         "{trap-oid: 1.3.6.1.4.1.1, data-list: [{oid: 1.3.6.1.4.1.1.1, type: s, value: '{{ .Message }}'}, "
         "{oid: 1.3.6.1.4.1.1.2, type: i, value: '-5'}, {oid: 1.3.6.1.4.1.1.3, type: c, value: '5000000000'}, "
         "{oid: 1.3.6.1.4.1.1.4, type: t, value: '100'}]}");
    *(bool *)member(&m, "enabled") = true;
    *(struct kap_str *)member(&m, "addr") = kap_str(kap_arena_printf(m.a, "127.0.0.1:%d", port));
    must_send(&m, ev);
    const char *path = in_dir(m.a, "traps");
    assert_true(file_holds(path, ".1.3.6.1.4.1.1.4 = Timeticks: (100)"));
    KAP_AUTO_FREE char *traps = slurp(path);
    assert_non_null(strstr(traps, ".1.3.6.1.6.3.1.1.4.1.0 = OID: .1.3.6.1.4.1.1"));
    assert_non_null(strstr(traps, ".1.3.6.1.4.1.1.1 = STRING: \"x is CRITICAL\""));
    assert_non_null(strstr(traps, ".1.3.6.1.4.1.1.2 = INTEGER: -5"));
    assert_non_null(strstr(traps, ".1.3.6.1.4.1.1.3 = Counter64: 5000000000"));
    stop(pid);
    kap_arena_free(m.a);
    kap_event_unref(ev);
}
#endif

#ifdef KAP_WITH_KAFKA
static rd_kafka_t *kafka_client(rd_kafka_type_t type, const char *brokers)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (brokers)
        rd_kafka_conf_set(conf, "bootstrap.servers", brokers, error, sizeof error);
    rd_kafka_conf_set(conf, "group.id", "test", error, sizeof error);
    rd_kafka_conf_set(conf, "auto.offset.reset", "earliest", error, sizeof error);
    rd_kafka_conf_set(conf, "log_level", "0", error, sizeof error);
    return rd_kafka_new(type, conf, error, sizeof error);
}

static void kafka(void **state)
{
    rd_kafka_t *host = kafka_client(RD_KAFKA_PRODUCER, NULL);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(host, 1);
    const char *brokers = rd_kafka_mock_cluster_bootstraps(cluster);
    rd_kafka_mock_topic_create(cluster, "alerts", 1, 1);
    struct made m;
    struct kap_event *ev = sample_event("t", "x", KAP_LEVEL_CRITICAL);
    make(&m, &kap_handler_kafka, "{topic: alerts, template: '{{ .ID }} {{ .Level }}'}");
    struct kap_str broker = kap_str(brokers);
    *(bool *)member(&m, "enabled") = true;
    *(struct kap_strings *)member(&m, "brokers") = (struct kap_strings){ &broker, 1 };
    must_send(&m, ev);
    rd_kafka_t *reader = kafka_client(RD_KAFKA_CONSUMER, brokers);
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(parts, "alerts", 0)->offset = 0;
    rd_kafka_assign(reader, parts);
    rd_kafka_message_t *msg = NULL;
    for (int i = 0; i < 100 && (!msg || msg->err); i++) {
        if (msg)
            rd_kafka_message_destroy(msg);
        msg = rd_kafka_consumer_poll(reader, 100);
    }
    assert_non_null(msg);
    assert_int_equal(msg->err, 0);
    assert_true(kap_str_is(kap_strn(msg->payload, msg->len), "x CRITICAL"));
    assert_true(kap_str_is(kap_strn(msg->key, msg->key_len), "x"));
    rd_kafka_message_destroy(msg);
    rd_kafka_topic_partition_list_destroy(parts);
    rd_kafka_destroy(reader);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(host);
    kap_arena_free(m.a);
    kap_event_unref(ev);
}
#endif

int main(void)
{
    snprintf(dir, sizeof dir, "/tmp/kap-sinks-XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_file), cmocka_unit_test(exec_program), cmocka_unit_test(tcp),
        cmocka_unit_test(post),     cmocka_unit_test(sensu),        cmocka_unit_test(email),
#ifdef KAP_WITH_MQTT
        cmocka_unit_test(mqtt),
#endif
#ifdef KAP_WITH_SNMP
        cmocka_unit_test(snmp_trap),
#endif
#ifdef KAP_WITH_KAFKA
        cmocka_unit_test(kafka),
#endif
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    static const char *const files[] = { "log", "exec", "sink.py", "mail", "mosquitto.conf", "snmptrapd.conf", "traps" };
    for (size_t i = 0; i < KAP_COUNT(files); i++) {
        KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
    return failed;
}
