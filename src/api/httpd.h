/* The HTTP server: libmicrohttpd (epoll, a small pool of threads), a table of routes, and what all answers
 * share: limits, gzip both ways, request IDs, the version header, CORS, JSON errors, access log, HTTPS.
 *
 * Routes: a pattern ending in '/' takes every path below it (the rest is kap_request_tail()), others match
 * exactly; the longest pattern wins; /kapacitor/v1preview is an alias of /kapacitor/v1; anything else is 404.
 * The same rules, and the same headers and error bodies, as the reference's.
 *
 * Threads: a KAP_ROUTE_INLINE route runs on the connection's thread and must not wait; it may suspend its
 * request and have another thread resume it. All other routes run on a worker thread of the server, so that
 * no slow call holds up another connection. A request belongs to whoever handles it until the handler
 * returns, or until it is resumed. Ownership: what a request hands out lives as long as the request. */
#ifndef KAP_API_HTTPD_H
#define KAP_API_HTTPD_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include <stdatomic.h>

struct kap_httpd;
struct kap_request;

#define KAP_HTTP_BASE "/kapacitor/v1"

struct kap_httpd_options {
    struct kap_str bind_address; /* "host:port"; an empty host is every address, port 0 any free one */
    bool https;
    const char *certificate_file; /* PEM; may hold the key as well */
    const char *private_key_file; /* "" or NULL: in certificate_file */
    const char *version;          /* X-Kapacitor-Version */
    bool log_requests;
    unsigned threads;         /* for connections; 0: 2 */
    unsigned workers;         /* for calls that may wait; 0: 4 */
    unsigned max_connections; /* 0: 16384 */
    size_t max_body_bytes;    /* of routes that name no limit; 0: 25 MiB */
    size_t max_large_bytes;   /* of KAP_ROUTE_LARGE routes; 0: 128 MiB */
};

typedef void (*kap_route_fn)(void *ctx, struct kap_request *rq);

enum kap_route_flags {
    KAP_ROUTE_INLINE = 1,      /* runs on the connection's thread */
    KAP_ROUTE_NO_GZIP = 2,     /* the answer is never compressed */
    KAP_ROUTE_LARGE = 8,       /* takes large bodies */
    KAP_ROUTE_TEXT_ERRORS = 4, /* a bad body is answered with a line of text, not with JSON */
};

struct kap_route {
    const char *method; /* "GET"; HEAD is answered by GET routes only where a HEAD route exists */
    const char
        *pattern; /* below KAP_HTTP_BASE unless it starts with "//", which stands for the root: "//write" */
    kap_route_fn fn;
    unsigned flags;
    size_t max_body_bytes; /* unpacked; 0: the server's */
};

/* Owned. Routes must be added before kap_httpd_start(). */
struct kap_httpd *kap_httpd_new(const struct kap_httpd_options *options);
/* `routes` ends with a NULL method and stays the caller's. */
void kap_httpd_add(struct kap_httpd *h, const struct kap_route *routes, void *ctx);
/* Binds and serves. The error names the address and port. */
enum kap_status kap_httpd_start(struct kap_httpd *h, struct kap_error *err);
/* No new connections; what runs is finished, up to `timeout_ns`; suspended requests are answered with 503. */
void kap_httpd_stop(struct kap_httpd *h, int64_t timeout_ns);
void kap_httpd_free(struct kap_httpd *h);           /* NULL is fine; stops first */
uint16_t kap_httpd_port(const struct kap_httpd *h); /* really bound */

struct kap_httpd_stats {
    _Atomic uint64_t requests, ping_requests, write_requests, write_bytes, points_ok, points_failed,
        auth_failed, server_errors, client_errors;
};
struct kap_httpd_stats *kap_httpd_stats(struct kap_httpd *h);

/* --- the request --- */
const char *kap_request_method(const struct kap_request *rq);
struct kap_str kap_request_path(const struct kap_request *rq); /* decoded, with KAP_HTTP_BASE */
struct kap_str kap_request_tail(const struct kap_request *rq); /* below the route's pattern */
struct kap_str kap_request_body(const struct kap_request *rq); /* unpacked */
/* First value of a query parameter; an empty string when there is none. */
struct kap_str kap_request_query(const struct kap_request *rq, const char *name);
bool kap_request_has_query(const struct kap_request *rq, const char *name);
/* All values of one, in order. */
size_t kap_request_query_all(const struct kap_request *rq, const char *name, const struct kap_str **ret);
/* The i-th parameter; false past the end. */
bool kap_request_query_at(const struct kap_request *rq, size_t i, struct kap_str *ret_name,
                          struct kap_str *ret_value);
const char *kap_request_header(const struct kap_request *rq, const char *name); /* NULL: not sent */
struct kap_arena *kap_request_arena(struct kap_request *rq);
struct kap_httpd *kap_request_server(struct kap_request *rq);

/* A pointer of the handler's own, for a request that is suspended. */
void kap_request_set_data(struct kap_request *rq, void *data);
void *kap_request_data(const struct kap_request *rq);

/* --- the answer: exactly one call --- */
void kap_reply(struct kap_request *rq, int status); /* without a body */
/* The buffer for an answer; pass the request to kap_reply_body() when it is complete. */
struct kap_buf *kap_request_out(struct kap_request *rq);
void kap_reply_body(struct kap_request *rq, int status, const char *content_type); /* NULL: JSON */
/* {"error": "..."} as the reference prints it. */
void kap_reply_error(struct kap_request *rq, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The plain line that /write answers with. */
void kap_reply_text(struct kap_request *rq, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* An answer in pieces, chunked unless `size` is known (UINT64_MAX: not). read() returns a number of bytes, 0
 * for "nothing now" (then call kap_stream_wake()), -1 for the end; done() runs once, on any thread. */
struct kap_stream {
    void *ctx;
    uint64_t size;
    const char *content_type;
    int64_t (*read)(void *ctx, uint64_t offset, char *buf, size_t n);
    void (*done)(void *ctx);
};
void kap_reply_stream(struct kap_request *rq, int status, const struct kap_stream *stream);
bool kap_request_stopping(const struct kap_request *rq); /* a stream should come to its end */
void kap_stream_wake(struct kap_request *rq); /* any thread, between kap_reply_stream() and done() */

/* Inline routes: the handler returns without an answer; another thread answers, then resumes. */
void kap_request_suspend(struct kap_request *rq);
void kap_request_resume(struct kap_request *rq);
/* Any thread: runs fn on a worker thread for a suspended request; fn answers and resumes it, or leaves it
 * suspended. */
void kap_request_later(struct kap_request *rq, kap_route_fn fn);

#endif
