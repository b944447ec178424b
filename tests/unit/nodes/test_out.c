/* Nodes that reach outside the task, with services that take notes. */
#include "alert/httppost.h"
#include "nodes/script.h"
#include "nodes/services.h"
#include "nodes/sideload.h"

#include <sys/stat.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static struct kap_buf notes;
static int http_status;

static void http(void *ctx, const struct kap_http_request *req, struct kap_http_reply *ret, struct kap_arena *arena)
{
    kap_buf_addf(&notes, "%s %.*s [", req->method, KAP_STR_ARG(req->url));
    for (size_t i = 0; req->headers && req->headers[i]; i++)
        kap_buf_addf(&notes, "%s%s", i ? ", " : "", req->headers[i]);
    kap_buf_addf(&notes, "] %.*s", KAP_STR_ARG(req->body));
    ret->status = http_status;
    ret->body = KAP_STR("{\"x.json\": {\"limit\": 7}}");
    ret->error = "refused";
}

static const struct kap_httppost_endpoint *endpoint(void *ctx, struct kap_str name)
{
    static struct kap_httppost_header headers[] = { { { "X-A", 3 }, { "1", 1 } } };
    static const struct kap_httppost_endpoint e = {
        .url = { "http://e/", 9 }, .headers = headers, .nheaders = 1, .username = { "u", 1 }, .password = { "p", 1 },
        .row_template = { "{{ .Name }}", 11 },
    };
    return kap_str_is(name, "e") ? &e : NULL;
}

static enum kap_status influxdb_write(void *ctx, struct kap_str cluster, struct kap_str db, struct kap_str rp,
                                      struct kap_str consistency, struct kap_str precision, struct kap_str lines,
                                      struct kap_error *err)
{
    kap_buf_addf(&notes, "%.*s.%.*s %.*s:\n%.*s", KAP_STR_ARG(db), KAP_STR_ARG(rp), KAP_STR_ARG(precision),
                 KAP_STR_ARG(lines));
    return http_status == 204 ? KAP_OK : kap_fail(err, KAP_EIO, "no");
}

static enum kap_status influxdb_create(void *ctx, struct kap_str cluster, struct kap_str db, struct kap_str rp,
                                       struct kap_error *err)
{
    kap_buf_addf(&notes, "create %.*s %.*s\n", KAP_STR_ARG(db), KAP_STR_ARG(rp));
    return KAP_OK;
}

static enum kap_status loopback(void *ctx, const struct kap_point *p, struct kap_error *err)
{
    kap_buf_addf(&notes, "%s.%s.%s %lld\n", p->db->s, p->rp->s, p->name->s, (long long)p->time_ns);
    return KAP_OK;
}

static const struct kap_services services = {
    .http = http, .httppost_endpoint = endpoint, .influxdb_write = influxdb_write, .influxdb_create = influxdb_create,
    .loopback = loopback,
};

static const struct kap_node_type *const nodes[] = {
    &kap_node_stream, &kap_node_from, &kap_node_window, &kap_node_http_post, &kap_node_influxdb_out,
    &kap_node_kapacitor_loopback, &kap_node_sideload, &kap_node_log, NULL,
};

static enum kap_status open_rig(const char *text, struct kap_rig **ret, struct kap_error *err)
{
    static const struct kap_registry registry = { .nodes = nodes };
    struct kap_tick_script *s;
    struct kap_graph *g;
    kap_log_set_level(KAP_LOG_OFF);
    kap_buf_reset(&notes);
    KAP_TRY(kap_tick_parse(kap_str(text), &s, err));
    enum kap_status st = kap_tick_eval(s, &(struct kap_tick_options){ .registry = &registry, .type = KAP_TASK_INVALID },
                                       &g, NULL, NULL, err);
    kap_tick_script_unref(s);
    if (st != KAP_OK)
        return st;
    st = kap_rig_new(g, &(struct kap_rig_options){ .now_ns = SECOND, .services = &services }, ret, err);
    kap_graph_unref(g);
    return st;
}

static struct kap_rig *must_open(const char *text, struct kap_buf *out, const char *node)
{
    struct kap_rig *rig = NULL;
    struct kap_error err;
    if (open_rig(text, &rig, &err) != KAP_OK)
        fail_msg("%s\n%s", text, err.msg);
    if (out)
        kap_rig_collect(rig, node, out);
    return rig;
}

static void assert_fails(const char *text, const char *message)
{
    struct kap_rig *rig = NULL;
    struct kap_error err = { .msg = "" };
    if (open_rig(text, &rig, &err) == KAP_OK) {
        kap_rig_free(rig);
        fail_msg("%s\nwas accepted", text);
    }
    assert_string_equal(err.msg, message);
}

static void posts_are_json_and_keep_the_status(void **state)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    http_status = 503;
    struct kap_rig *rig = must_open("stream|from().groupBy('h')|httpPost('http://x/').header('X-B', '2').codeField('c')",
                                    &out, "http_post2");
    script_write(rig, "m,h=a v=1 1000000000\n");
    assert_string_equal(notes.p, "POST http://x/ [Content-Type: application/json, X-B: 2] {\"series\":[{\"name\":\"m\","
                                 "\"tags\":{\"h\":\"a\"},\"columns\":[\"time\",\"v\"],\"values\":[[\"1970-01-01T00:00:"
                                 "01Z\",1]]}]}\n");
    assert_string_equal(out.p, "point m h=a {h=a} {c=503i,v=1} 1000000000\n");
    assert_int_equal(script_errors(rig, "http_post2"), 1);
    kap_rig_free(rig);
    kap_buf_reset(&out);
    http_status = 0;
    rig = must_open("stream|from()|window().periodCount(2).everyCount(2)|httpPost().endpoint('e').codeField('c')", &out,
                    "http_post3");
    script_write(rig, "m v=1 1\nm v=2 2\n");
    assert_string_equal(notes.p, "POST http://e/ [X-A: 1, Authorization: Basic dTpw] m");
    assert_string_equal(out.p, "begin m nil 2\n  point m nil {} {c=0i,v=1} 1\n  point m nil {} {c=0i,v=2} 2\nend\n");
    kap_rig_free(rig);
    assert_fails("stream|from()|httpPost().endpoint('nowhere')", "endpoint 'nowhere' does not exist");
    assert_fails("stream|from()|httpPost('http://x').header('authenticate', 'x')", "cannot set 'authenticate' header");
}

static void influxdb_gets_whole_buffers(void **state)
{
    http_status = 204;
    struct kap_rig *rig = must_open(
        "stream|from()|influxDBOut().database('d').measurement('o').tag('t', 'v w').buffer(2).precision('s').create()",
        NULL, NULL);
    assert_string_equal(notes.p, "create d \n");
    kap_buf_reset(&notes);
    script_write(rig, "m,h=a z=1,b=2i 1000000000\n");
    assert_int_equal(notes.n, 0);
    script_write(rig, "m s=\"x\" 2000000000\nm v=3 3000000000\n");
    assert_string_equal(notes.p, "d.rp s:\no,h=a,t=v\\ w b=2i,z=1 1\no,t=v\\ w s=\"x\" 2\n");
    kap_buf_reset(&notes);
    kap_rig_advance(rig, kap_rig_now(rig) + 10 * SECOND);
    assert_string_equal(notes.p, "d.rp s:\no,t=v\\ w v=3 3\n");
    http_status = 500;
    script_write(rig, "m v=4 4\nm v=5 5\n");
    assert_int_equal(script_errors(rig, "influxdb_out2"), 1);
    kap_rig_free(rig);
}

static void loopback_goes_where_it_is_told(void **state)
{
    struct kap_rig *rig = must_open("stream|from()|kapacitorLoopback().database('d').retentionPolicy('r').measurement('o')",
                                    NULL, NULL);
    script_write(rig, "m v=1 7\n");
    assert_string_equal(notes.p, "d.r.o 7\n");
    kap_rig_free(rig);
    assert_fails("stream|from()|kapacitorLoopback()", "must specify a database");
    assert_fails("stream|from()|kapacitorLoopback().database('d')", "must specify a retention policy");
    assert_fails("dbrp \"d\".\"r\"\nstream|from()|kapacitorLoopback().database('d').retentionPolicy('r')",
                 "loop detected on dbrp: \"d\".\"r\"");
}

static void write_file(const char *dir, const char *name, const char *text)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void sideload_converts_and_reloads(void **state)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    char dir[] = "/tmp/kap-test-sideload-XXXXXX";
    assert_non_null(mkdtemp(dir));
    write_file(dir, "a.yml", "f: 12\ns: 5\ni: 2.5\nb: yes\nnested:\n  x: 1\nt: 'on'\n");
    write_file(dir, "all.json", "{\"f\": 1, \"s\": true, \"i\": \"9\"}");
    write_file(dir, "notes.txt", "not a value");
    KAP_AUTO_FREE char *script = kap_asprintf("stream|from()|sideload().source('file://%s').order('{{.h}}.yml', 'all.json')"
                                              ".field('f', 0.5).field('s', 'd').field('i', 4).field('b', FALSE).tag('t', 'n')"
                                              "|log()",
                                              dir);
    struct kap_rig *rig = must_open(script, &out, "sideload2");
    script_write(rig, "m,h=a v=1 1\nm,h=b v=2 2\n");
    assert_string_equal(out.p, "point m nil {h=a,t=on} {b=true,f=12,i=4i,s=\"5\",v=1} 1\n"
                               "point m nil {h=b,t=n} {b=false,f=1,i=9i,s=\"true\",v=2} 2\n");
    assert_int_equal(script_errors(rig, "sideload2"), 1);
    write_file(dir, "all.json", "{\"f\": 2}");
    kap_sideload_reload();
    kap_buf_reset(&out);
    script_write(rig, "m,h=b v=2 3\n");
    assert_string_equal(out.p, "point m nil {h=b,t=n} {b=false,f=2,i=4i,s=\"d\",v=2} 3\n");
    write_file(dir, "all.json", "{broken");
    kap_sideload_reload();
    kap_buf_reset(&out);
    script_write(rig, "m,h=b v=2 4\n"); /* an error, and the old values */
    assert_string_equal(out.p, "point m nil {h=b,t=n} {b=false,f=2,i=4i,s=\"d\",v=2} 4\n");
    assert_int_equal(script_errors(rig, "sideload2"), 2);
    kap_rig_free(rig);
    static const char *const names[] = { "a.yml", "all.json", "notes.txt" };
    for (size_t i = 0; i < KAP_COUNT(names); i++) {
        KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", dir, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
    http_status = 200;
    kap_buf_reset(&out);
    rig = must_open("stream|from()|sideload().source('http://s/').order('x.json').field('limit', 1)|log()", &out,
                    "sideload2");
    script_write(rig, "m v=1 1\n");
    assert_string_equal(out.p, "point m nil {} {limit=7i,v=1} 1\n");
    kap_rig_free(rig);
    assert_fails("stream|from()|sideload().source('file://rel')", "sideload source path must be absolute \"rel\"");
    assert_fails("stream|from()|sideload().source('ftp://x')",
                 "unsupported source scheme \"ftp\", must be 'file', 'http', or 'https'");
}

static int done(void **state)
{
    kap_buf_done(&notes);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_are_json_and_keep_the_status),
        cmocka_unit_test(influxdb_gets_whole_buffers),
        cmocka_unit_test(loopback_goes_where_it_is_told),
        cmocka_unit_test(sideload_converts_and_reloads),
    };
    return cmocka_run_group_tests(tests, NULL, done);
}
