/* The inside of a request, shared by the files of the HTTP server. */
#ifndef KAP_API_REQUEST_H
#define KAP_API_REQUEST_H

#include "api/httpd.h"
#include "base/uuid.h"

#include <microhttpd.h>
#include <pthread.h>
#include <zlib.h>

#define KAP_HTTP_PREVIEW "/kapacitor/v1preview"
#define KAP_QUERY_MAX 256 /* parameters of one request that are looked at */

struct kap_query_pair {
    struct kap_str name, value;
};

struct kap_request {
    struct kap_httpd *server;
    struct MHD_Connection *conn;
    const struct kap_route *route; /* NULL: none fits */
    void *route_ctx;
    struct kap_arena *arena;
    const char *method, *uri, *protocol;
    struct kap_str path, tail;
    struct kap_query_pair *query;
    size_t nquery;
    int64_t start_wall, start_mono;
    /* body */
    struct kap_buf body;
    size_t max_body;
    uint64_t received; /* as sent, packed */
    const char *unpack_error;
    z_stream z;
    /* progress */
    kap_route_fn later;       /* instead of the route's; resumes the request itself */
    void *data;               /* the handler's */
    struct kap_request *next; /* in the queue of the workers */
    struct kap_request *prev_active, *next_active;
    /* answer */
    const char *content_type;
    struct kap_buf out;
    struct kap_stream stream;
    pthread_mutex_t stream_lock;
    int status;
    bool seen_headers, suspended, replied, too_large, packed, has_stream, stream_waits;
    kap_uuid id;
};

const char *kap_httpd_version(const struct kap_httpd *h);

/* request.c */
struct kap_request *kap_request_new(struct kap_httpd *h, struct MHD_Connection *conn, const char *uri);
void kap_request_free(struct kap_request *rq);
void kap_request_parse(struct kap_request *rq, const char *url, const char *method, const char *protocol);
uint64_t kap_request_drain_limit(const struct kap_request *rq);
/* Takes a piece of the body, unpacking it; false: give up on the connection. */
bool kap_request_take(struct kap_request *rq, const char *data, size_t n);
/* What is wrong with the whole body, NULL if nothing. */
const char *kap_request_body_error(struct kap_request *rq, int *ret_status);
/* Hands the answer to libmicrohttpd. */
enum MHD_Result kap_request_answer(struct kap_request *rq);
void kap_request_log(const struct kap_request *rq);

#endif
