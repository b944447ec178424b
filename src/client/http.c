#include "client/http.h"

#include "base/mem.h"

#include <curl/curl.h>
#include <strings.h>

#define BASE "/kapacitor/v1"
#define MAX_ANSWER_BYTES ((size_t)256 << 20)

struct kap_client {
    CURL *curl;
    char *base, *query; /* without and with the '?' */
};

enum kap_status kap_client_new(const char *url, bool skip_verify, struct kap_client **ret,
                               struct kap_error *err)
{
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return kap_fail(err, KAP_EINVAL,
                        "invalid URL \"%s\": it must be http://host:port or https://host:port", url);
    struct kap_client *c = KAP_NEW(struct kap_client);
    size_t n = strcspn(url, "?");
    c->query = kap_strdup(url + n);
    while (n > 0 && url[n - 1] == '/')
        n--;
    c->base = kap_strndup(url, n);
    c->curl = curl_easy_init();
    if (c->curl == NULL) {
        kap_client_free(c);
        return kap_fail(err, KAP_EINTERNAL, "cannot start an HTTP client");
    }
    if (skip_verify) {
        curl_easy_setopt(c->curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(c->curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    *ret = c;
    return KAP_OK;
}

void kap_client_free(struct kap_client *c)
{
    if (c == NULL)
        return;
    if (c->curl)
        curl_easy_cleanup(c->curl);
    kap_free(c->base);
    kap_free(c->query);
    kap_free(c);
}

void kap_client_escape(struct kap_buf *out, const char *s)
{
    for (; *s; s++) {
        const char u = (char)(*s | 0x20);
        if ((u >= 'a' && u <= 'z') || (*s >= '0' && *s <= '9') || strchr("-._~", *s))
            kap_buf_addc(out, *s);
        else
            kap_buf_addf(out, "%%%02X", (unsigned char)*s);
    }
}

static size_t receive(char *p, size_t size, size_t n, void *ctx)
{
    struct kap_buf *b = ctx;
    kap_buf_addn(b, p, size * n);
    return b->failed ? 0 : size * n;
}

/* What the server says: {"error": ".."}, or its text. */
static enum kap_status server_says(long status, const struct kap_buf *answer, struct kap_error *err)
{
    const enum kap_status st = status == 404 ? KAP_ENOTFOUND : status == 400 ? KAP_EINVAL : KAP_EIO;
    json_t *json = json_loadb(answer->n ? answer->p : "", answer->n, 0, NULL);
    const char *text = json_string_value(json_object_get(json, "error"));
    if (text)
        kap_fail(err, st, "%s", text);
    else if (answer->n > 0)
        kap_fail(err, st, "%.*s", KAP_STR_ARG(kap_str_trim(kap_buf_str(answer))));
    else
        kap_fail(err, st, "the server answered with status %ld", status);
    json_decref(json);
    return st;
}

static void whole_url(const struct kap_client *c, const char *path, struct kap_buf *url)
{
    kap_buf_addf(url, "%s%s%s", c->base, strncmp(path, "/kapacitor/", 11) == 0 ? "" : BASE, path);
    if (c->query[0] && c->query[1])
        kap_buf_addf(url, "%c%s", strchr(path, '?') ? '&' : '?', c->query + 1);
}

struct following {
    struct kap_client *client;
    bool (*fn)(void *ctx, struct kap_str piece);
    void *ctx;
    struct kap_buf problem; /* the answer, when it is an error */
    bool ended;
};

static size_t receive_piece(char *p, size_t size, size_t n, void *ctx)
{
    struct following *f = ctx;
    long status = 0;
    curl_easy_getinfo(f->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299)
        kap_buf_addn(&f->problem, p, size * n);
    else
        f->ended = !f->fn(f->ctx, kap_strn(p, size * n));
    return f->ended ? 0 : size * n;
}

enum kap_status kap_client_follow(struct kap_client *c, const char *path,
                                  bool (*fn)(void *ctx, struct kap_str piece), void *ctx,
                                  struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf url = { 0 };
    struct following f = { .client = c, .fn = fn, .ctx = ctx, .problem = { .max = 65536 } };
    char problem[CURL_ERROR_SIZE] = "";
    whole_url(c, path, &url);
    curl_easy_setopt(c->curl, CURLOPT_URL, url.p);
    curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "KapacitorClient");
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, receive_piece);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &f);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, problem);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    const CURLcode code = curl_easy_perform(c->curl);
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    enum kap_status st = KAP_OK;
    if (code != CURLE_OK && !f.ended)
        st = kap_fail(err, KAP_EIO, "cannot reach the server at %s: %s", c->base,
                      problem[0] ? problem : curl_easy_strerror(code));
    else if (!f.ended && (status < 200 || status > 299))
        st = server_says(status, &f.problem, err);
    kap_buf_done(&f.problem);
    return st;
}

enum kap_status kap_client_call(struct kap_client *c, const char *method, const char *path,
                                const struct kap_str *body, struct kap_buf *out, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf url = { 0 };
    KAP_AUTO_BUF struct kap_buf answer = { .max = MAX_ANSWER_BYTES };
    char problem[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    whole_url(c, path, &url);
    curl_easy_setopt(c->curl, CURLOPT_URL, url.p);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "KapacitorClient");
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, problem);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body ? body->p : NULL);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(body ? body->n : 0));
    if (body == NULL)
        curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
    const CURLcode code = curl_easy_perform(c->curl);
    curl_slist_free_all(headers);
    if (code != CURLE_OK)
        return kap_fail(err, KAP_EIO, "cannot reach the server at %s: %s", c->base,
                        problem[0] ? problem : curl_easy_strerror(code));
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299)
        return server_says(status, &answer, err);
    if (out)
        kap_buf_add(out, kap_buf_str(&answer));
    return KAP_OK;
}

enum kap_status kap_client_json(struct kap_client *c, const char *method, const char *path,
                                const json_t *body, json_t **ret, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf answer = { 0 };
    char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    const struct kap_str sent = kap_str(text);
    const enum kap_status st = kap_client_call(c, method, path, text ? &sent : NULL, &answer, err);
    free(text);
    if (st != KAP_OK || ret == NULL)
        return st;
    json_error_t why;
    json_t *json = answer.n ? json_loadb(answer.p, answer.n, JSON_DECODE_ANY, &why) : NULL;
    if (answer.n && json == NULL)
        return kap_fail(err, KAP_EIO, "the answer of %s is no JSON: %s (is it a Kapacitor server?)", c->base,
                        why.text);
    *ret = json;
    return KAP_OK;
}
