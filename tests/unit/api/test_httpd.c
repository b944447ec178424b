#include "client.h"

#include "api/httpd.h"
#include "base/log.h"

#include <pthread.h>
#include <zlib.h>

static void echo(void *ctx, struct kap_request *rq)
{
    struct kap_buf *out = kap_request_out(rq);
    kap_buf_addf(out, "%s|%.*s|%.*s|%.*s", kap_request_method(rq), KAP_STR_ARG(kap_request_tail(rq)),
                 KAP_STR_ARG(kap_request_query(rq, "q")), KAP_STR_ARG(kap_request_body(rq)));
    kap_reply_body(rq, 200, "text/plain");
}

static void ping(void *ctx, struct kap_request *rq)
{
    kap_reply(rq, 204);
}

static void fails(void *ctx, struct kap_request *rq)
{
    kap_reply_error(rq, 400, "no \"%s\" <here>", "thing");
}

static void silent(void *ctx, struct kap_request *rq)
{
}

static void *answer_later(void *arg)
{
    struct kap_request *rq = arg;
    usleep(20000);
    kap_buf_adds(kap_request_out(rq), "later");
    kap_reply_body(rq, 200, NULL);
    kap_request_resume(rq);
    return NULL;
}

static void later(void *ctx, struct kap_request *rq)
{
    kap_request_suspend(rq);
    pthread_t t;
    pthread_create(&t, NULL, answer_later, rq);
    pthread_detach(t);
}

static void slow(void *ctx, struct kap_request *rq)
{
    usleep(300000);
    kap_reply(rq, 200);
}

static int64_t countdown(void *ctx, uint64_t offset, char *buf, size_t n)
{
    if (offset >= 3)
        return -1;
    buf[0] = (char)('3' - offset);
    return 1;
}

static void stream(void *ctx, struct kap_request *rq)
{
    kap_reply_stream(rq, 200,
                     &(struct kap_stream){ .size = 3, .content_type = "text/plain", .read = countdown });
}

static const struct kap_route routes[] = {
    { "GET", "/ping", ping, KAP_ROUTE_INLINE, 0 },
    { "HEAD", "/ping", ping, KAP_ROUTE_INLINE, 0 },
    { "GET", "/things", fails, 0, 0 },
    { "GET", "/things/", echo, 0, 0 },
    { "POST", "/things/", echo, 0, 0 },
    { "POST", "/small", echo, 0, 16 },
    { "POST", "//write", echo, KAP_ROUTE_INLINE | KAP_ROUTE_TEXT_ERRORS, 0 },
    { "GET", "/later", later, KAP_ROUTE_INLINE, 0 },
    { "GET", "/slow", slow, 0, 0 },
    { "GET", "/silent", silent, 0, 0 },
    { "GET", "/stream", stream, 0, 0 },
    { 0 },
};

static struct kap_httpd *h;
static uint16_t port;

static int start(void **cmocka_state)
{
    kap_log_set_level(KAP_LOG_OFF);
    h = kap_httpd_new(&(struct kap_httpd_options){ .bind_address = KAP_STR("127.0.0.1:0"),
                                                   .version = "9.9",
                                                   .log_requests = true,
                                                   .max_body_bytes = 1000000 });
    kap_httpd_add(h, routes, NULL);
    struct kap_error err;
    OK(kap_httpd_start(h, &err), &err);
    port = kap_httpd_port(h);
    return 0;
}

static int stop(void **cmocka_state)
{
    kap_httpd_free(h);
    return 0;
}

TEST(finds_the_route_that_fits_best)
{
    CALLS(port, "GET", "/kapacitor/v1/things/a%20b/c?q=x%26y+z&q=2", NULL, NULL, 200, "GET|a b/c|x&y z|");
    CALLS(port, "POST", "/kapacitor/v1/things/", NULL, "hello", 200, "POST|||hello");
    CALLS(port, "GET", "/kapacitor/v1preview/things/1", NULL, NULL, 200, "GET|1||");
    CALLS(port, "POST", "/write?q=1", NULL, "b", 200, "POST||1|b");
}

TEST(errors_look_as_in_the_reference)
{
    CALLS(port, "GET", "/kapacitor/v1/things", NULL, NULL, 400,
          "{\n    \"error\": \"no \\\"thing\\\" \\u003chere\\u003e\"\n}");
    CALLS(port, "DELETE", "/kapacitor/v1/things/1", NULL, NULL, 404, "{\n    \"error\": \"Not Found\"\n}");
    CALLS(port, "PUT", "/nope", NULL, "body", 404, "{\n    \"error\": \"Not Found\"\n}");
    CALLS(port, "GET", "/kapacitor/v1/pings", NULL, NULL, 404, NULL);
    CALLS(port, "GET", "/kapacitor/v1/silent", NULL, NULL, 500, NULL);
    CALLS(port, "HEAD", "/write", NULL, NULL, 404, NULL);
}

TEST(every_answer_has_the_common_headers)
{
    struct answer a = client_call(port, "GET", "/kapacitor/v1/ping", "Origin: http://o\r\n", NULL);
    assert_int_equal(a.status, 204);
    assert_string_equal(client_header(&a, "content-type"), "application/json; charset=utf-8");
    assert_string_equal(client_header(&a, "X-KAPACITOR-Version"), "9.9");
    assert_int_equal(strlen(client_header(&a, "Request-Id")), 36);
    assert_string_equal(client_header(&a, "Access-Control-Allow-Origin"), "http://o");
    assert_string_equal(client_header(&a, "Access-Control-Allow-Methods"),
                        "DELETE, GET, OPTIONS, POST, PATCH");
    answer_done(&a);
    a = client_call(port, "HEAD", "/kapacitor/v1/ping", NULL, NULL);
    assert_int_equal(a.status, 204);
    assert_null(client_header(&a, "Access-Control-Allow-Origin"));
    answer_done(&a);
    CALLS(port, "OPTIONS", "/kapacitor/v1/things", "Origin: http://o\r\n", NULL, 200, "");
    CALLS(port, "OPTIONS", "/kapacitor/v1/nope", NULL, NULL, 404, NULL);
}

TEST(bodies_have_a_limit)
{
    CALLS(port, "POST", "/kapacitor/v1/small", NULL, "0123456789abcdef", 200, "POST|||0123456789abcdef");
    CALLS(port, "POST", "/kapacitor/v1/small", NULL, "0123456789abcdefg", 413,
          "{\n    \"error\": \"request body is too large, the limit is 16 bytes\"\n}");
    CALLS(port, "POST", "/kapacitor/v1/small",
          "Transfer-Encoding: chunked\r\n\r\n12\r\n0123456789abcdefgh\r\n0\r\n", NULL, 413, NULL);
}

static struct kap_buf gzip(const char *text, size_t n)
{
    struct kap_buf b = { 0 };
    z_stream z = { 0 };
    deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, 0);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)kap_buf_reserve(&b, n + 1000);
    z.avail_out = (uInt)n + 1000;
    deflate(&z, Z_FINISH);
    b.n = z.total_out;
    deflateEnd(&z);
    return b;
}

static struct answer post_packed(const char *path, struct kap_str body)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_addf(&b, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
                 path, body.n);
    kap_buf_add(&b, body);
    const int fd = client_connect(port);
    client_send(fd, kap_buf_str(&b));
    const struct answer a = client_read(fd, false);
    close(fd);
    return a;
}

TEST(bodies_may_be_packed)
{
    KAP_AUTO_BUF struct kap_buf packed = gzip("hello", 5);
    struct answer a = post_packed("/write", kap_buf_str(&packed));
    assert_string_equal(a.body, "POST|||hello");
    answer_done(&a);
    /* two members make one body */
    KAP_AUTO_BUF struct kap_buf twice = { 0 };
    kap_buf_add(&twice, kap_buf_str(&packed));
    kap_buf_add(&twice, kap_buf_str(&packed));
    a = post_packed("/write", kap_buf_str(&twice));
    assert_string_equal(a.body, "POST|||hellohello");
    answer_done(&a);
    a = post_packed("/write", KAP_STR("not gzip"));
    assert_int_equal(a.status, 400);
    assert_string_equal(a.body, "unexpected EOF\n");
    answer_done(&a);
    a = post_packed("/write", KAP_STR("certainly not gzip"));
    assert_string_equal(a.body, "gzip: invalid header\n");
    answer_done(&a);
    a = post_packed("/write", kap_strn(packed.p, packed.n - 3));
    assert_string_equal(a.body, "unexpected EOF\n");
    answer_done(&a);
}

TEST(a_packed_body_that_grows_past_the_limit_is_refused)
{
    char *zeros = kap_calloc(1, 50000000);
    KAP_AUTO_BUF struct kap_buf packed = gzip(zeros, 50000000);
    kap_free(zeros);
    assert_true(packed.n < 1000000);
    struct answer a = post_packed("/write", kap_buf_str(&packed));
    assert_int_equal(a.status, 413);
    assert_string_equal(a.body, "request body is too large, the limit is 1000000 bytes\n");
    answer_done(&a);
}

TEST(answers_are_packed_for_those_who_take_it)
{
    struct answer a =
        client_call(port, "GET", "/kapacitor/v1/nope", "Accept-Encoding: deflate, gzip\r\n", NULL);
    assert_int_equal(a.status, 404);
    assert_string_equal(client_header(&a, "Content-Encoding"), "gzip");
    z_stream z = { .next_in = (Bytef *)a.body, .avail_in = (uInt)a.body_n };
    char text[100] = { 0 };
    z.next_out = (Bytef *)text;
    z.avail_out = sizeof text - 1;
    inflateInit2(&z, 16 + MAX_WBITS);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    assert_string_equal(text, "{\n    \"error\": \"Not Found\"\n}");
    answer_done(&a);
}

TEST(other_threads_may_answer)
{
    CALLS(port, "GET", "/kapacitor/v1/later", NULL, NULL, 200, "later");
    CALLS(port, "GET", "/kapacitor/v1/stream", NULL, NULL, 200, "321");
}

TEST(a_connection_serves_many_requests_also_pipelined)
{
    const int fd = client_connect(port);
    client_send(fd, KAP_STR("GET /kapacitor/v1/later HTTP/1.1\r\nHost: x\r\n\r\n"
                            "GET /kapacitor/v1/things/2 HTTP/1.1\r\nHost: x\r\n\r\n"));
    char got[4096] = { 0 };
    size_t n = 0;
    while (strstr(got, "GET|2||") == NULL) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, 10000), 1);
        const ssize_t r = recv(fd, got + n, sizeof got - 1 - n, 0);
        assert_true(r > 0);
        n += (size_t)r;
    }
    assert_non_null(strstr(got, "\r\n\r\nlater"));
    close(fd);
}

TEST(a_slow_call_holds_up_nobody)
{
    int fds[4];
    for (size_t i = 0; i < KAP_COUNT(fds); i++) {
        fds[i] = client_connect(port);
        client_send(fds[i], KAP_STR("GET /kapacitor/v1/slow HTTP/1.1\r\nHost: x\r\n\r\n"));
    }
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < 4; i++)
        CALLS(port, "GET", "/kapacitor/v1/ping", NULL, NULL, 204, "");
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 250);
    for (size_t i = 0; i < KAP_COUNT(fds); i++) {
        struct answer a = client_read(fds[i], false);
        assert_int_equal(a.status, 200);
        answer_done(&a);
        close(fds[i]);
    }
}

TEST(a_client_that_goes_away_harms_nothing)
{
    for (int i = 0; i < 50; i++) {
        const int fd = client_connect(port);
        client_send(
            fd,
            i % 2 ? KAP_STR("GET /kapacitor/v1/later HTTP/1.1\r\nHost: x\r\n\r\n")
                  : KAP_STR("POST /kapacitor/v1/small HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12"));
        close(fd);
    }
    CALLS(port, "GET", "/kapacitor/v1/ping", NULL, NULL, 204, "");
}

TEST(a_port_in_use_is_named)
{
    char address[32], want[128];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    snprintf(want, sizeof want, "cannot listen on HTTP address %s: Address already in use", address);
    struct kap_httpd *other = kap_httpd_new(&(struct kap_httpd_options){ .bind_address = kap_str(address) });
    struct kap_error err;
    FAILS(kap_httpd_start(other, &err), &err, want);
    kap_httpd_free(other);
    other = kap_httpd_new(&(struct kap_httpd_options){ .bind_address = KAP_STR("9092") });
    FAILS(kap_httpd_start(other, &err), &err,
          "HTTP bind-address \"9092\" has no port, write \"host:port\" or \":port\"");
    kap_httpd_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_route_that_fits_best),
        cmocka_unit_test(errors_look_as_in_the_reference),
        cmocka_unit_test(every_answer_has_the_common_headers),
        cmocka_unit_test(bodies_have_a_limit),
        cmocka_unit_test(bodies_may_be_packed),
        cmocka_unit_test(a_packed_body_that_grows_past_the_limit_is_refused),
        cmocka_unit_test(answers_are_packed_for_those_who_take_it),
        cmocka_unit_test(other_threads_may_answer),
        cmocka_unit_test(a_connection_serves_many_requests_also_pipelined),
        cmocka_unit_test(a_slow_call_holds_up_nobody),
        cmocka_unit_test(a_client_that_goes_away_harms_nothing),
        cmocka_unit_test(a_port_in_use_is_named),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
