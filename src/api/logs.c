/* /logs: the log as it is written, for as long as the client listens. Parameters choose lines: lvl=info
 * (exactly), lvl=info+ (and above), any other NAME=VALUE is a field that a line must have. As logfmt, or as
 * JSON for those who accept that. */
#include "api/resource.h"
#include "base/log.h"
#include "base/mem.h"

#include <pthread.h>

#define MAX_WAITING_BYTES (1 << 20) /* lines that a slow client misses are counted and said */

struct filter {
    struct kap_str name, value;
};

struct session {
    struct kap_request *rq;
    int handle;
    bool json;
    bool has_level, and_above;
    enum kap_log_level level;
    struct filter *filters; /* in the request's arena */
    size_t nfilters;
    pthread_mutex_t lock; /* of what follows */
    struct kap_buf waiting;
    size_t sent; /* of waiting */
    uint64_t missed;
};

static bool kv_is(const struct kap_kv *kv, struct kap_str value)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    switch (kv->kind) {
    case KAP_KV_STR:
        return kap_str_eq(kv->s, value);
    case KAP_KV_INT:
        kap_buf_addf(&text, "%lld", (long long)kv->i);
        break;
    case KAP_KV_BOOL:
        kap_buf_adds(&text, kv->i ? "true" : "false");
        break;
    default:
        return false;
    }
    return kap_str_eq(kap_buf_str(&text), value);
}

static bool has_field(const struct filter *f, const char *service, const struct kap_kv *kvs)
{
    if (kap_str_is(f->name, "service"))
        return kap_str_is(f->value, service);
    for (const struct kap_kv *kv = kvs; kv && kv->kind != KAP_KV_END; kv++) {
        if (kap_str_is(f->name, kv->key) && kv_is(kv, f->value))
            return true;
    }
    return false;
}

static bool wanted(const struct session *s, enum kap_log_level level, const char *service,
                   const struct kap_kv *kvs)
{
    if (s->has_level && (s->and_above ? level < s->level : level != s->level))
        return false;
    for (size_t i = 0; i < s->nfilters; i++) {
        if (!has_field(&s->filters[i], service, kvs))
            return false;
    }
    return true;
}

static void json_kv(struct kap_json *j, const struct kap_kv *kv)
{
    kap_json_key(j, kv->key);
    switch (kv->kind) {
    case KAP_KV_STR:
        kap_json_str(j, kv->s);
        break;
    case KAP_KV_INT:
    case KAP_KV_DURATION:
        kap_json_i64(j, kv->i);
        break;
    case KAP_KV_FLOAT:
        kap_json_f64(j, kv->f);
        break;
    case KAP_KV_BOOL:
        kap_json_bool(j, kv->i != 0);
        break;
    case KAP_KV_END:
        break;
    }
}

static void json_line(struct kap_buf *out, enum kap_log_level level, int64_t time_ns, const char *service,
                      const char *msg, const struct kap_kv *kvs)
{
    static const char *const levels[] = { "debug", "info", "warn", "error", "off" };
    struct kap_json j;
    kap_json_init(&j, out, false);
    kap_json_object(&j);
    kap_json_key(&j, "ts");
    kap_json_time(&j, time_ns);
    kap_json_key(&j, "lvl");
    kap_json_cstr(&j, levels[level]);
    kap_json_key(&j, "service");
    kap_json_cstr(&j, service);
    kap_json_key(&j, "msg");
    kap_json_cstr(&j, msg);
    for (const struct kap_kv *kv = kvs; kv && kv->kind != KAP_KV_END; kv++)
        json_kv(&j, kv);
    kap_json_object_end(&j);
    kap_buf_addc(out, '\n');
}

/* On the thread that logs: no waiting, no logging. */
static void on_line(void *ctx, enum kap_log_level level, int64_t time_ns, const char *service,
                    const char *msg, const struct kap_kv *kvs, struct kap_str line)
{
    struct session *s = ctx;
    if (!wanted(s, level, service, kvs))
        return;
    pthread_mutex_lock(&s->lock);
    if (s->waiting.n - s->sent > MAX_WAITING_BYTES)
        s->missed++;
    else if (s->json)
        json_line(&s->waiting, level, time_ns, service, msg, kvs);
    else
        kap_buf_add(&s->waiting, line);
    pthread_mutex_unlock(&s->lock);
    kap_stream_wake(s->rq);
}

static int64_t read_lines(void *ctx, uint64_t offset, char *buf, size_t max)
{
    struct session *s = ctx;
    pthread_mutex_lock(&s->lock);
    const size_t n = KAP_MIN(s->waiting.n - s->sent, max);
    if (n > 0)
        memcpy(buf, s->waiting.p + s->sent, n);
    s->sent += n;
    if (s->sent == s->waiting.n) {
        kap_buf_reset(&s->waiting);
        s->sent = 0;
        if (s->missed > 0 && !s->json)
            kap_buf_addf(&s->waiting, "lvl=warn msg=\"lines left out, the client is too slow\" count=%llu\n",
                         (unsigned long long)s->missed);
        s->missed = 0;
    }
    pthread_mutex_unlock(&s->lock);
    return (int64_t)n;
}

static void close_session(void *ctx)
{
    struct session *s = ctx;
    kap_log_unsubscribe(s->handle); /* waits for a line that is being given */
    kap_buf_done(&s->waiting);
    pthread_mutex_destroy(&s->lock);
}

/* "info", "info+"; a '+' that was not escaped has become a blank. */
static bool read_level(struct session *s, struct kap_str v)
{
    s->and_above = v.n > 0 && (v.p[v.n - 1] == '+' || v.p[v.n - 1] == ' ');
    s->has_level =
        kap_log_level_parse(kap_strn(v.p, v.n - s->and_above), &s->level) && s->level != KAP_LOG_OFF;
    return s->has_level;
}

/* False: answered. */
static bool read_filters(struct session *s, struct kap_request *rq)
{
    struct kap_str name, value;
    for (size_t i = 0; kap_request_query_at(rq, i, &name, &value); i++) {
        const struct kap_str *all;
        KAP_AUTO_FREE char *key = kap_strndup(name.p, name.n);
        if (kap_request_query_all(rq, key, &all) > 1) {
            kap_reply_error(rq, 400, "query cannot contain duplicate key %s", key);
            return false;
        }
        if (strcmp(key, "lvl") != 0) {
            s->filters[s->nfilters++] = (struct filter){ name, value };
        } else if (!read_level(s, value)) {
            kap_reply_error(rq, 400, "invalid log level");
            return false;
        }
    }
    return true;
}

static size_t count_query(const struct kap_request *rq)
{
    struct kap_str name, value;
    size_t n = 0;
    while (kap_request_query_at(rq, n, &name, &value))
        n++;
    return n;
}

static void follow(void *ctx, struct kap_request *rq)
{
    const char *accept = kap_request_header(rq, "Accept");
    struct session *s = KAP_ARENA_NEW(kap_request_arena(rq), struct session);
    s->rq = rq;
    s->json = accept && strstr(accept, "application/json");
    s->filters = KAP_ARENA_ARRAY(kap_request_arena(rq), struct filter, count_query(rq) + 1);
    if (!read_filters(s, rq))
        return;
    pthread_mutex_init(&s->lock, NULL);
    s->handle = kap_log_subscribe(on_line, s);
    if (s->handle < 0) {
        pthread_mutex_destroy(&s->lock);
        kap_reply_error(rq, 503, "too many clients follow the log");
        return;
    }
    const char *type = s->json ? "application/json; charset=utf-8" : "application/logfmt; charset=utf-8";
    kap_reply_stream(
        rq, 200,
        &(struct kap_stream){
            .ctx = s, .size = UINT64_MAX, .content_type = type, .read = read_lines, .done = close_session });
}

const struct kap_route kap_routes_logs[] = {
    { "GET", "/logs", follow, KAP_ROUTE_NO_GZIP, 0 },
    { 0 },
};
