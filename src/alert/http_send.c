#include "alert/http_send.h"

#include "base/mem.h"

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
    struct kap_buf *b = ctx;
    const size_t room = KAP_HTTP_REPLY_BYTES - KAP_MIN(b->n, (size_t)KAP_HTTP_REPLY_BYTES);
    kap_buf_addn(b, p, KAP_MIN(size * n, room));
    return size * n;
}

static void set_tls(CURL *e, const struct kap_http_out *o)
{
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, o->skip_verify ? 0L : 1L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, o->skip_verify ? 0L : 2L);
    if (o->ca_file && *o->ca_file)
        curl_easy_setopt(e, CURLOPT_CAINFO, o->ca_file);
    if (o->cert_file && *o->cert_file)
        curl_easy_setopt(e, CURLOPT_SSLCERT, o->cert_file);
    if (o->key_file && *o->key_file)
        curl_easy_setopt(e, CURLOPT_SSLKEY, o->key_file);
}

/* Names the event, so that an endpoint can tell a repetition (draft-ietf-httpapi-idempotency-key-header). */
static void add_key(struct kap_http_send *s, const struct kap_event *ev)
{
    char key[KAP_EVENT_KEY_LEN + 1];
    kap_event_key(ev, key);
    s->headers = curl_slist_append(s->headers, kap_arena_printf(s->arena, "Idempotency-Key: %s", key));
}

static void set_request(struct kap_http_send *s)
{
    CURL *e = s->easy;
    const struct kap_http_out *o = &s->out;
    curl_easy_setopt(e, CURLOPT_URL, kap_arena_str(s->arena, o->url).p);
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, o->method ? o->method : "POST");
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body.n);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, o->body.n ? o->body.p : "");
    for (size_t i = 0; o->headers && o->headers[i]; i++)
        s->headers = curl_slist_append(s->headers, o->headers[i]);
    s->headers = curl_slist_append(s->headers, "Expect:");
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, s->headers);
    if (o->username && *o->username) {
        curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(e, CURLOPT_USERNAME, o->username);
        curl_easy_setopt(e, CURLOPT_PASSWORD, o->password ? o->password : "");
    }
    const int64_t timeout_ns = o->timeout_ns > 0 ? o->timeout_ns : KAP_HTTP_TIMEOUT_NS;
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)KAP_MAX(timeout_ns / 1000000, 1));
    set_tls(e, o);
}

static void set_transport(struct kap_http_send *s)
{
    CURL *e = s->easy;
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PRIVATE, s);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->error);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, &s->body);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "kapacitor/" KAP_VERSION);
}

enum kap_status kap_http_send_new(const struct kap_handler_type *type, const void *options,
                                  const struct kap_handler_env *env, const struct kap_event *ev,
                                  struct kap_http_send **ret, struct kap_error *err)
{
    struct kap_http_send *s = KAP_NEW(struct kap_http_send);
    s->arena = kap_arena_new();
    const enum kap_status status = type->build(options, env, ev, s->arena, &s->out, err);
    if (status != KAP_OK) {
        kap_http_send_free(s);
        return status;
    }
    s->easy = curl_easy_init();
    if (!s->easy) {
        kap_http_send_free(s);
        return kap_fail(err, KAP_EINTERNAL, "cannot start an HTTP request");
    }
    set_transport(s);
    add_key(s, ev);
    set_request(s);
    *ret = s;
    return KAP_OK;
}

void kap_http_send_free(struct kap_http_send *s)
{
    if (!s)
        return;
    if (s->easy)
        curl_easy_cleanup(s->easy);
    curl_slist_free_all(s->headers);
    kap_buf_done(&s->body);
    kap_arena_free(s->arena);
    kap_free(s);
}

/* "http://user:pw@host:port" of a URL without user and password. */
static struct kap_str shown_host(struct kap_str url, struct kap_arena *arena)
{
    const char *p = memmem(url.p, url.n, "://", 3);
    if (!p)
        return KAP_STR("(no URL)");
    p += 3;
    struct kap_str rest = kap_strn(p, (size_t)(url.p + url.n - p));
    for (size_t i = 0; i < rest.n; i++) {
        if (rest.p[i] == '/' || rest.p[i] == '?' || rest.p[i] == '#') {
            rest.n = i;
            break;
        }
    }
    const char *at = memrchr(rest.p, '@', rest.n);
    if (at)
        rest = kap_strn(at + 1, (size_t)(rest.p + rest.n - at - 1));
    return kap_arena_str(arena, rest);
}

static enum kap_verdict by_status(int status)
{
    if (status / 100 == 2)
        return KAP_SENT;
    return status == 408 || status == 425 || status == 429 || status / 100 == 5 ? KAP_RETRY : KAP_GIVE_UP;
}

enum kap_verdict kap_http_send_judge(const struct kap_http_send *s, const struct kap_handler_type *type, CURLcode code,
                                     struct kap_error *err)
{
    const struct kap_str host = shown_host(s->out.url, s->arena);
    if (code != CURLE_OK) {
        kap_fail(err, KAP_EIO, "%.*s: %s", KAP_STR_ARG(host), s->error[0] ? s->error : curl_easy_strerror(code));
        const bool hopeless = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
        return hopeless ? KAP_GIVE_UP : KAP_RETRY;
    }
    long status = 0;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    struct kap_str body = kap_buf_str(&s->body);
    struct kap_error why = { 0 };
    const enum kap_verdict verdict =
        type->judge ? type->judge((int)status, body, &why) : by_status((int)status);
    if (verdict == KAP_SENT)
        return verdict;
    body = kap_str_trim(body);
    body.n = KAP_MIN(body.n, 256);
    if (why.msg[0])
        kap_fail(err, KAP_EIO, "%.*s answered %ld: %s", KAP_STR_ARG(host), status, why.msg);
    else
        kap_fail(err, KAP_EIO, "%.*s answered %ld: %.*s", KAP_STR_ARG(host), status, KAP_STR_ARG(body));
    return verdict;
}

enum kap_verdict kap_handler_attempt(const struct kap_handler_type *type, const void *options,
                                     const struct kap_handler_env *env, const struct kap_event *ev,
                                     struct kap_error *err)
{
    if (!type->build)
        return type->send(options, env, ev, err);
    struct kap_http_send *s;
    if (kap_http_send_new(type, options, env, ev, &s, err) != KAP_OK)
        return KAP_GIVE_UP;
    const CURLcode code = curl_easy_perform(s->easy);
    const enum kap_verdict verdict = kap_http_send_judge(s, type, code, err);
    kap_http_send_free(s);
    return verdict;
}
