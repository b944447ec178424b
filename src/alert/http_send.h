/* HTTP requests of handlers: the translation of struct kap_http_out into a libcurl transfer, and of its end into a
 * verdict. Threads: curl handles belong to one thread at a time. */
#ifndef KAP_ALERT_HTTP_SEND_H
#define KAP_ALERT_HTTP_SEND_H

#include "alert/handler.h"

#include <curl/curl.h>

#define KAP_HTTP_TIMEOUT_NS INT64_C(30000000000) /* of a request that names none */
#define KAP_HTTP_REPLY_BYTES 65536               /* of an answer are kept */

struct kap_http_send {
    CURL *easy;
    struct kap_http_out out;
    struct kap_arena *arena;        /* holds what `out` points to */
    struct curl_slist *headers;
    struct kap_buf body;            /* of the answer */
    char error[CURL_ERROR_SIZE];
};

/* Builds the request of an event. Owned; free with kap_http_send_free(). */
enum kap_status kap_http_send_new(const struct kap_handler_type *type, const void *options,
                                  const struct kap_handler_env *env, const struct kap_event *ev,
                                  struct kap_http_send **ret, struct kap_error *err);
void kap_http_send_free(struct kap_http_send *s); /* NULL is fine; not while a multi handle has it */
/* What the ended transfer means; anything but KAP_SENT has its text in err. Messages name the host, never the path or
 * query, which may hold a token. */
enum kap_verdict kap_http_send_judge(const struct kap_http_send *s, const struct kap_handler_type *type, CURLcode code,
                                     struct kap_error *err);
/* One attempt of any outside-reaching handler, on the calling thread: for service tests. */
enum kap_verdict kap_handler_attempt(const struct kap_handler_type *type, const void *options,
                                     const struct kap_handler_env *env, const struct kap_event *ev,
                                     struct kap_error *err);

#endif
