/* Requests: parameters, bodies and answers. Routes and threads are httpd.c. */
#include "api/request.h"

#include "base/clock.h"
#include "base/gotime.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>

#define JSON_TYPE "application/json; charset=utf-8"

struct kap_request *kap_request_new(struct kap_httpd *h, struct MHD_Connection *conn, const char *uri)
{
    struct kap_request *rq = KAP_NEW(struct kap_request);
    rq->server = h;
    rq->conn = conn;
    rq->arena = kap_arena_new();
    rq->uri = kap_arena_strdup(rq->arena, uri);
    rq->start_wall = kap_clock_system.wall_ns(NULL);
    rq->start_mono = kap_clock_system.mono_ns(NULL);
    kap_uuid_new(rq->id);
    pthread_mutex_init(&rq->stream_lock, NULL);
    return rq;
}

void kap_request_free(struct kap_request *rq)
{
    if (rq->has_stream && rq->stream.done)
        rq->stream.done(rq->stream.ctx);
    if (rq->packed)
        inflateEnd(&rq->z);
    kap_buf_done(&rq->body);
    kap_buf_done(&rq->out);
    pthread_mutex_destroy(&rq->stream_lock);
    kap_arena_free(rq->arena);
    kap_free(rq);
}

static enum MHD_Result add_parameter(void *ctx, enum MHD_ValueKind kind, const char *name, size_t name_n,
                                     const char *value, size_t value_n)
{
    struct kap_request *rq = ctx;
    if (rq->nquery == KAP_QUERY_MAX)
        return MHD_NO;
    rq->query[rq->nquery++] = (struct kap_query_pair){
        kap_arena_str(rq->arena, kap_strn(name, name_n)),
        kap_arena_str(rq->arena, value ? kap_strn(value, value_n) : KAP_STR("")),
    };
    return MHD_YES;
}

void kap_request_parse(struct kap_request *rq, const char *url, const char *method, const char *protocol)
{
    rq->method = kap_arena_strdup(rq->arena, method);
    rq->protocol = kap_arena_strdup(rq->arena, protocol);
    const size_t preview = sizeof KAP_HTTP_PREVIEW - 1;
    if (strncmp(url, KAP_HTTP_PREVIEW, preview) == 0 && (url[preview] == '/' || url[preview] == '\0'))
        rq->path = kap_str(kap_arena_printf(rq->arena, "%s%s", KAP_HTTP_BASE, url + preview));
    else
        rq->path = kap_str(kap_arena_strdup(rq->arena, url));
    const int n = MHD_get_connection_values_n(rq->conn, MHD_GET_ARGUMENT_KIND, NULL, NULL);
    if (n > 0) {
        rq->query =
            KAP_ARENA_ARRAY(rq->arena, struct kap_query_pair, KAP_MIN((size_t)n, (size_t)KAP_QUERY_MAX));
        MHD_get_connection_values_n(rq->conn, MHD_GET_ARGUMENT_KIND, add_parameter, rq);
    }
    const char *encoding = kap_request_header(rq, "Content-Encoding");
    if (encoding && strcasecmp(encoding, "gzip") == 0)
        rq->packed = inflateInit2(&rq->z, 16 + MAX_WBITS) == Z_OK;
}

/* --- the body --- */

/* Unpacks a piece; members of a gzip file may follow each other. */
static void unpack(struct kap_request *rq, const char *data, size_t n)
{
    rq->z.next_in = (Bytef *)(uintptr_t)data;
    rq->z.avail_in = (uInt)n;
    while (rq->unpack_error == NULL && !rq->too_large) {
        char *to = kap_buf_reserve(&rq->body, 32768);
        if (to == NULL) {
            rq->too_large = true;
            break;
        }
        rq->z.next_out = (Bytef *)to;
        rq->z.avail_out = 32768;
        const int st = inflate(&rq->z, Z_NO_FLUSH);
        rq->body.n += 32768 - rq->z.avail_out;
        if (st == Z_STREAM_END && rq->z.avail_in > 0)
            inflateReset(&rq->z);
        else if (st == Z_STREAM_END || (st == Z_OK && rq->z.avail_in == 0 && rq->z.avail_out > 0) ||
                 st == Z_BUF_ERROR)
            break;
        else if (st != Z_OK)
            rq->unpack_error = rq->z.total_out > 0 ? "gzip: invalid checksum" : "gzip: invalid header";
    }
    if (rq->body.p)
        rq->body.p[rq->body.n] = '\0';
}

/* A body that is too large is read to its end all the same, up to here: a client that is still sending would
 * not see the answer. */
uint64_t kap_request_drain_limit(const struct kap_request *rq)
{
    return 4 * (uint64_t)rq->max_body + ((uint64_t)256 << 20);
}

bool kap_request_take(struct kap_request *rq, const char *data, size_t n)
{
    rq->received += n;
    if (rq->route == NULL || rq->too_large || rq->unpack_error)
        return rq->received < kap_request_drain_limit(rq);
    if (rq->packed) {
        unpack(rq, data, n);
    } else {
        kap_buf_addn(&rq->body, data, n);
        rq->too_large = rq->body.failed;
    }
    return true;
}

const char *kap_request_body_error(struct kap_request *rq, int *ret_status)
{
    *ret_status = 400;
    if (rq->too_large) {
        *ret_status = 413;
        return kap_arena_printf(rq->arena, "request body is too large, the limit is %zu bytes", rq->max_body);
    }
    if (!rq->packed)
        return NULL;
    if (rq->received == 0)
        return "EOF";
    if (rq->received < 10)
        return "unexpected EOF";
    if (rq->unpack_error)
        return rq->unpack_error;
    /* a finished member leaves inflate() with nothing more to say */
    Bytef byte;
    rq->z.next_in = NULL;
    rq->z.avail_in = 0;
    rq->z.next_out = &byte;
    rq->z.avail_out = 1;
    return inflate(&rq->z, Z_NO_FLUSH) == Z_STREAM_END ? NULL : "unexpected EOF";
}

/* --- what handlers read --- */

const char *kap_request_method(const struct kap_request *rq)
{
    return rq->method;
}

struct kap_str kap_request_path(const struct kap_request *rq)
{
    return rq->path;
}

struct kap_str kap_request_tail(const struct kap_request *rq)
{
    return rq->tail;
}

struct kap_str kap_request_body(const struct kap_request *rq)
{
    return kap_buf_str(&rq->body);
}

struct kap_str kap_request_query(const struct kap_request *rq, const char *name)
{
    for (size_t i = 0; i < rq->nquery; i++) {
        if (kap_str_is(rq->query[i].name, name))
            return rq->query[i].value;
    }
    return KAP_STR("");
}

bool kap_request_has_query(const struct kap_request *rq, const char *name)
{
    for (size_t i = 0; i < rq->nquery; i++) {
        if (kap_str_is(rq->query[i].name, name))
            return true;
    }
    return false;
}

size_t kap_request_query_all(const struct kap_request *rq, const char *name, const struct kap_str **ret)
{
    struct kap_str *values = KAP_ARENA_ARRAY(rq->arena, struct kap_str, rq->nquery + 1);
    size_t n = 0;
    for (size_t i = 0; i < rq->nquery; i++) {
        if (kap_str_is(rq->query[i].name, name))
            values[n++] = rq->query[i].value;
    }
    *ret = values;
    return n;
}

bool kap_request_query_at(const struct kap_request *rq, size_t i, struct kap_str *ret_name,
                          struct kap_str *ret_value)
{
    if (i >= rq->nquery)
        return false;
    *ret_name = rq->query[i].name;
    *ret_value = rq->query[i].value;
    return true;
}

const char *kap_request_header(const struct kap_request *rq, const char *name)
{
    return MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, name);
}

struct kap_arena *kap_request_arena(struct kap_request *rq)
{
    return rq->arena;
}

struct kap_httpd *kap_request_server(struct kap_request *rq)
{
    return rq->server;
}

void kap_request_set_data(struct kap_request *rq, void *data)
{
    rq->data = data;
}

void *kap_request_data(const struct kap_request *rq)
{
    return rq->data;
}

/* --- what handlers answer --- */

void kap_reply(struct kap_request *rq, int status)
{
    kap_buf_reset(&rq->out);
    rq->status = status;
    rq->replied = true;
}

struct kap_buf *kap_request_out(struct kap_request *rq)
{
    return &rq->out;
}

void kap_reply_body(struct kap_request *rq, int status, const char *content_type)
{
    rq->status = status;
    rq->content_type = content_type;
    rq->replied = true;
}

static void vformat(struct kap_buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void vformat(struct kap_buf *b, const char *fmt, va_list ap)
{
    kap_buf_reset(b);
    kap_buf_vaddf(b, fmt, ap);
}

void kap_reply_error(struct kap_request *rq, int status, const char *fmt, ...)
{
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    va_list ap;
    va_start(ap, fmt);
    vformat(&text, fmt, ap);
    va_end(ap);
    struct kap_json j;
    kap_buf_reset(&rq->out);
    kap_json_init(&j, &rq->out, true);
    kap_json_object(&j);
    kap_json_key(&j, "error");
    kap_json_str(&j, kap_buf_str(&text));
    kap_json_object_end(&j);
    kap_reply_body(rq, status, NULL);
}

void kap_reply_text(struct kap_request *rq, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vformat(&rq->out, fmt, ap);
    va_end(ap);
    kap_buf_addc(&rq->out, '\n');
    kap_reply_body(rq, status, NULL);
}

void kap_reply_stream(struct kap_request *rq, int status, const struct kap_stream *stream)
{
    rq->stream = *stream;
    rq->has_stream = true;
    kap_reply_body(rq, status, stream->content_type);
}

/* --- to libmicrohttpd --- */

static ssize_t read_stream(void *ctx, uint64_t pos, char *buf, size_t max)
{
    struct kap_request *rq = ctx;
    pthread_mutex_lock(&rq->stream_lock);
    const int64_t n = kap_request_stopping(rq) ? -1 : rq->stream.read(rq->stream.ctx, pos, buf, max);
    if (n == 0) {
        rq->stream_waits = true;
        MHD_suspend_connection(rq->conn);
    }
    pthread_mutex_unlock(&rq->stream_lock);
    return n < 0 ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)n;
}

void kap_stream_wake(struct kap_request *rq)
{
    pthread_mutex_lock(&rq->stream_lock);
    if (rq->stream_waits) {
        rq->stream_waits = false;
        MHD_resume_connection(rq->conn);
    }
    pthread_mutex_unlock(&rq->stream_lock);
}

static void pack(struct kap_request *rq)
{
    z_stream z = { 0 };
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return;
    struct kap_buf packed = { 0 };
    const size_t room = deflateBound(&z, rq->out.n);
    z.next_in = (Bytef *)rq->out.p;
    z.avail_in = (uInt)rq->out.n;
    z.next_out = (Bytef *)kap_buf_reserve(&packed, room);
    z.avail_out = (uInt)room;
    const bool good = deflate(&z, Z_FINISH) == Z_STREAM_END;
    packed.n = room - z.avail_out;
    deflateEnd(&z);
    if (!good) {
        kap_buf_done(&packed);
        return;
    }
    kap_buf_done(&rq->out);
    rq->out = packed;
}

static bool wants_gzip(const struct kap_request *rq)
{
    const char *accept = kap_request_header(rq, "Accept-Encoding");
    return accept && strstr(accept, "gzip") && rq->out.n > 0 && rq->out.n < (1u << 30) && !rq->has_stream &&
           !(rq->route && rq->route->flags & KAP_ROUTE_NO_GZIP);
}

static void add_cors(const struct kap_request *rq, struct MHD_Response *response)
{
    const char *origin = kap_request_header(rq, "Origin");
    if (origin == NULL || *origin == '\0')
        return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
    MHD_add_response_header(response, "Access-Control-Allow-Methods", "DELETE, GET, OPTIONS, POST, PATCH");
    MHD_add_response_header(
        response, "Access-Control-Allow-Headers",
        "Accept, Accept-Encoding, Authorization, Content-Length, Content-Type, X-CSRF-Token, "
        "X-HTTP-Method-Override");
}

enum MHD_Result kap_request_answer(struct kap_request *rq)
{
    if (!rq->replied)
        kap_reply_error(rq, 500, "the call gave no answer");
    const bool gzip = wants_gzip(rq);
    if (gzip)
        pack(rq);
    struct MHD_Response *response;
    if (rq->has_stream) {
        const uint64_t size = rq->stream.size == UINT64_MAX ? MHD_SIZE_UNKNOWN : rq->stream.size;
        response = MHD_create_response_from_callback(size, 16384, read_stream, rq, NULL);
    } else {
        const size_t n = rq->out.n;
        char *body = kap_buf_take(&rq->out);
        response = MHD_create_response_from_buffer_with_free_callback(n, body, kap_free);
    }
    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", rq->content_type ? rq->content_type : JSON_TYPE);
    if (gzip)
        MHD_add_response_header(response, "Content-Encoding", "gzip");
    MHD_add_response_header(response, "X-Kapacitor-Version", kap_httpd_version(rq->server));
    MHD_add_response_header(response, "Request-Id", rq->id);
    add_cors(rq, response);
    const enum MHD_Result st = MHD_queue_response(rq->conn, (unsigned)rq->status, response);
    MHD_destroy_response(response);
    return st;
}

/* --- the log --- */

static const char *peer(const struct kap_request *rq, char out[INET6_ADDRSTRLEN])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(rq->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    out[0] = '\0';
    if (info == NULL || info->client_addr == NULL)
        return out;
    const struct sockaddr *sa = info->client_addr;
    if (sa->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, out, INET6_ADDRSTRLEN);
    else if (sa->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, out,
                  INET6_ADDRSTRLEN);
    return strncmp(out, "::ffff:", 7) == 0 ? out + 7 : out;
}

/* The address asked for, without the password that the p parameter may carry. */
static const char *safe_uri(const struct kap_request *rq)
{
    const char *p = strstr(rq->uri, "?p=");
    if (p == NULL)
        p = strstr(rq->uri, "&p=");
    if (p == NULL)
        return rq->uri;
    p += 3;
    return kap_arena_printf(rq->arena, "%.*s[REDACTED]%s", (int)(p - rq->uri), rq->uri, p + strcspn(p, "&"));
}

static const char *or_dash(const char *s)
{
    return s && *s ? s : "-";
}

void kap_request_log(const struct kap_request *rq)
{
    if (!kap_log_enabled(KAP_LOG_INFO))
        return;
    char address[INET6_ADDRSTRLEN];
    KAP_AUTO_BUF struct kap_buf start = { 0 };
    kap_time_rfc3339nano(&start, rq->start_wall);
    const struct kap_str user = kap_request_query(rq, "u");
    kap_log(KAP_LOG_INFO, "http", "http request", kap_kv_s("host", peer(rq, address)),
            kap_kv_n("username", user.n ? user : KAP_STR("-")), kap_kv_n("start", kap_buf_str(&start)),
            kap_kv_s("method", rq->method), kap_kv_s("uri", safe_uri(rq)), kap_kv_s("protocol", rq->protocol),
            kap_kv_i("status", rq->status), kap_kv_s("referer", or_dash(kap_request_header(rq, "Referer"))),
            kap_kv_s("user-agent", or_dash(kap_request_header(rq, "User-Agent"))),
            kap_kv_s("request-id", rq->id),
            kap_kv_d("duration", kap_clock_system.mono_ns(NULL) - rq->start_mono));
}
