#include "daemon/http_client.h"
#include "base/mem.h"
#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

static pthread_key_t handle_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_handle(void *handle)
{
    curl_easy_cleanup(handle);
}

static void set_up(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    pthread_key_create(&handle_key, free_handle);
}

/* The calling thread's handle, with its open connections. */
static CURL *handle(void)
{
    pthread_once(&once, set_up);
    CURL *h = pthread_getspecific(handle_key);
    if (!h) {
        h = curl_easy_init();
        pthread_setspecific(handle_key, h);
    }
    if (h)
        curl_easy_reset(h);
    return h;
}

static size_t keep(char *p, size_t size, size_t n, void *ctx)
{
    struct kap_buf *body = ctx;
    const size_t room = KAP_HTTP_REPLY_BYTES - body->n;
    kap_buf_addn(body, p, KAP_MIN(n * size, room));
    return n * size;
}

static struct curl_slist *header_list(const char *const *headers)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    for (; headers && *headers; headers++)
        list = curl_slist_append(list, *headers);
    return list;
}

void kap_http_client_request(const struct kap_http_request *req, struct kap_http_reply *ret, struct kap_arena *arena)
{
    *ret = (struct kap_http_reply){ 0 };
    CURL *h = handle();
    if (!h) {
        ret->error = "the HTTP client could not be set up";
        return;
    }
    char why[CURL_ERROR_SIZE] = "";
    KAP_AUTO_BUF struct kap_buf body = { 0 };
    struct curl_slist *headers = header_list(req->headers);
    const int64_t timeout_ns = req->timeout_ns > 0 ? req->timeout_ns : KAP_HTTP_TIMEOUT_NS;
    curl_easy_setopt(h, CURLOPT_URL, kap_arena_str(arena, req->url).p);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)KAP_MAX(timeout_ns / 1000000, 1));
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, &body);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h, CURLOPT_USERAGENT, "kapacitord/" KAP_VERSION);
    if (req->skip_verify) {
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (strcmp(req->method, "GET") != 0) {
        curl_easy_setopt(h, CURLOPT_POST, 1L);
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.n);
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, req->body.n ? req->body.p : "");
        curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, req->method);
    }
    const CURLcode code = curl_easy_perform(h);
    long status = 0;
    if (code == CURLE_OK)
        curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
    else
        ret->error = kap_arena_strdup(arena, why[0] ? why : curl_easy_strerror(code));
    curl_slist_free_all(headers);
    ret->status = (int)status;
    ret->body = kap_arena_str(arena, kap_buf_str(&body));
}
