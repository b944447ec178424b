#include "../test.h"

#include "api/httpd.h"
#include "base/log.h"
#include "client/http.h"

#include <stdio.h>

static void echo(void *ctx, struct kap_request *rq)
{
    struct kap_buf *out = kap_request_out(rq);
    const char *authorization = kap_request_header(rq, "Authorization");
    kap_buf_addf(out, "[\"%s\", \"%.*s\", \"%.*s\", \"%.*s\", \"%s\"]", kap_request_method(rq),
                 KAP_STR_ARG(kap_request_tail(rq)), KAP_STR_ARG(kap_request_query(rq, "u")),
                 KAP_STR_ARG(kap_request_body(rq)), authorization ? authorization : "");
    kap_reply_body(rq, 200, NULL);
}

static void refuse(void *ctx, struct kap_request *rq)
{
    kap_reply_error(rq, 400, "line 1 char 2: no");
}

static void plain(void *ctx, struct kap_request *rq)
{
    kap_reply_text(rq, 500, "broken");
}

static void nothing(void *ctx, struct kap_request *rq)
{
    kap_reply(rq, 204);
}

static void page(void *ctx, struct kap_request *rq)
{
    kap_buf_adds(kap_request_out(rq), "<html>");
    kap_reply_body(rq, 200, "text/html");
}

static const struct kap_route routes[] = {
    { "GET", "/echo/", echo, 0, 0 },
    { "PATCH", "/echo/", echo, 0, 0 },
    { "POST", "/refuse", refuse, 0, 0 },
    { "GET", "/plain", plain, 0, 0 },
    { "DELETE", "/nothing", nothing, 0, 0 },
    { "GET", "/page", page, 0, 0 },
    { 0 },
};

static struct kap_httpd *server;
static char url[64];

static int start(void **cmocka_state)
{
    struct kap_error err;
    kap_log_set_level(KAP_LOG_OFF);
    server = kap_httpd_new(&(struct kap_httpd_options){ .bind_address = KAP_STR("127.0.0.1:0") });
    kap_httpd_add(server, routes, NULL);
    OK(kap_httpd_start(server, &err), &err);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", kap_httpd_port(server));
    return 0;
}

static int stop(void **cmocka_state)
{
    kap_httpd_free(server);
    return 0;
}

static struct kap_client *client(const char *address)
{
    struct kap_client *c = NULL;
    struct kap_error err;
    OK(kap_client_new(address, false, &c, &err), &err);
    return c;
}

static void check(struct kap_client *c, const char *method, const char *path, const char *body,
                  const char *want)
{
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    const struct kap_str sent = kap_str(body);
    OK(kap_client_call(c, method, path, body ? &sent : NULL, &out, &err), &err);
    STR_EQ(kap_buf_str(&out), want);
}

TEST(one_client_makes_many_calls)
{
    struct kap_client *c = client(url);
    check(c, "GET", "/echo/a%20b", NULL, "[\"GET\", \"a b\", \"\", \"\", \"\"]");
    check(c, "PATCH", "/kapacitor/v1/echo/x", "{}", "[\"PATCH\", \"x\", \"\", \"{}\", \"\"]");
    check(c, "GET", "/echo/y", NULL, "[\"GET\", \"y\", \"\", \"\", \"\"]");
    check(c, "DELETE", "/nothing", NULL, "");
    json_t *v = NULL;
    struct kap_error err;
    OK(kap_client_json(c, "GET", "/echo/z", NULL, &v, &err), &err);
    assert_int_equal(json_array_size(v), 5);
    json_decref(v);
    v = NULL;
    OK(kap_client_json(c, "DELETE", "/nothing", NULL, &v, &err), &err);
    assert_null(v);
    kap_client_free(c);
}

TEST(credentials_of_the_url_are_sent)
{
    char with[128];
    snprintf(with, sizeof with, "http://user:pass@127.0.0.1:%d/", kap_httpd_port(server));
    struct kap_client *c = client(with);
    check(c, "GET", "/echo/a", NULL, "[\"GET\", \"a\", \"\", \"\", \"Basic dXNlcjpwYXNz\"]");
    kap_client_free(c);
    snprintf(with, sizeof with, "%s?u=me&p=secret", url);
    c = client(with);
    check(c, "GET", "/echo/a?x=1", NULL, "[\"GET\", \"a\", \"me\", \"\", \"\"]");
    kap_client_free(c);
}

TEST(failures_say_what_the_server_said)
{
    struct kap_client *c = client(url);
    struct kap_error err;
    const struct kap_str body = KAP_STR("{}");
    FAILS(kap_client_call(c, "POST", "/refuse", &body, NULL, &err), &err, "line 1 char 2: no");
    assert_int_equal(err.status, KAP_EINVAL);
    FAILS(kap_client_call(c, "GET", "/none", NULL, NULL, &err), &err, "Not Found");
    assert_int_equal(err.status, KAP_ENOTFOUND);
    FAILS(kap_client_call(c, "GET", "/plain", NULL, NULL, &err), &err, "broken");
    json_t *v = NULL;
    assert_int_equal(kap_client_json(c, "GET", "/page", NULL, &v, &err), KAP_EIO);
    assert_non_null(strstr(err.msg, "is it a Kapacitor server?"));
    kap_client_free(c);
    c = client("http://127.0.0.1:1");
    assert_int_equal(kap_client_call(c, "GET", "/ping", NULL, NULL, &err), KAP_EIO);
    assert_non_null(strstr(err.msg, "cannot reach the server at http://127.0.0.1:1: "));
    kap_client_free(c);
    FAILS(kap_client_new("localhost:9092", false, &c, &err), &err,
          "invalid URL \"localhost:9092\": it must be http://host:port or https://host:port");
}

static bool keep(void *ctx, struct kap_str piece)
{
    kap_buf_add(ctx, piece);
    return true;
}

TEST(an_answer_is_followed_piece_by_piece)
{
    struct kap_client *c = client(url);
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf got = { 0 };
    OK(kap_client_follow(c, "/page", keep, &got, &err), &err);
    STR_EQ(kap_buf_str(&got), "<html>");
    FAILS(kap_client_follow(c, "/none", keep, &got, &err), &err, "Not Found");
    kap_client_free(c);
}

TEST(what_is_special_is_escaped)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_client_escape(&b, "a/b c?d&e=%\xc5\xbc-._~9Z");
    STR_EQ(kap_buf_str(&b), "a%2Fb%20c%3Fd%26e%3D%25%C5%BC-._~9Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_makes_many_calls),
        cmocka_unit_test(credentials_of_the_url_are_sent),
        cmocka_unit_test(failures_say_what_the_server_said),
        cmocka_unit_test(an_answer_is_followed_piece_by_piece),
        cmocka_unit_test(what_is_special_is_escaped),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
