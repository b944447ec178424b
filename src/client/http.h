/* The HTTP API from a client's side, over libcurl. One server, one thread.
 * The URL may hold credentials: http://user:password@host:9092, or ?u=USER&p=PASSWORD, which goes on every
 * request. Failures carry the server's own message; KAP_ENOTFOUND for 404, KAP_EINVAL for 400, KAP_EIO: it
 * cannot be reached. */
#ifndef KAP_CLIENT_HTTP_H
#define KAP_CLIENT_HTTP_H

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>

struct kap_client;

/* Owned; free with kap_client_free(). Fails when the URL is none. */
enum kap_status kap_client_new(const char *url, bool skip_verify, struct kap_client **ret,
                               struct kap_error *err);
void kap_client_free(struct kap_client *c); /* NULL is fine */
/* `path` is below /kapacitor/v1 ("/tasks?pattern=a"); or a whole path when it starts with /kapacitor/. `body`
 * NULL: none. The answer is appended to `out`, which may be NULL. */
enum kap_status kap_client_call(struct kap_client *c, const char *method, const char *path,
                                const struct kap_str *body, struct kap_buf *out, struct kap_error *err);
/* The same with JSON both ways; `ret` (owned) may be NULL, and is NULL for an empty answer. */
enum kap_status kap_client_json(struct kap_client *c, const char *method, const char *path,
                                const json_t *body, json_t **ret, struct kap_error *err);
/* GETs an answer that goes on: each piece is given to fn as it comes, until fn returns false or the server
 * ends it. */
enum kap_status kap_client_follow(struct kap_client *c, const char *path,
                                  bool (*fn)(void *ctx, struct kap_str piece), void *ctx,
                                  struct kap_error *err);
/* Escapes a segment of a path, or a value of a query. */
void kap_client_escape(struct kap_buf *out, const char *s);

#endif
