/* What the files of the resources share. Each file exports its routes; routes get the struct kap_api as
 * context. */
#ifndef KAP_API_RESOURCE_H
#define KAP_API_RESOURCE_H

#include "api/api.h"
#include "base/json.h"

extern const struct kap_route kap_routes_basic[], kap_routes_write[], kap_routes_tasks[],
    kap_routes_templates[], kap_routes_topics[], kap_routes_silences[], kap_routes_dead_letters[],
    kap_routes_cluster[], kap_routes_vars[], kap_routes_logs[], kap_routes_recordings[], kap_routes_replays[],
    kap_routes_config[], kap_routes_service_tests[], kap_routes_storage[];

/* 400, 404, 409 or 500. */
int kap_api_http_status(enum kap_status st);
void kap_reply_failure(struct kap_request *rq, enum kap_status st, const struct kap_error *err);
/* What Go's decoder says about a text that is no JSON: "invalid character 'b' looking for beginning of
 * value". */
void kap_json_problem(struct kap_str text, struct kap_buf *out);
/* Starts an indented JSON answer; finish with kap_reply_body(). */
void kap_reply_json(struct kap_request *rq, struct kap_json *j);
/* "link": {"rel": REL, "href": HREF} under `key`. */
void kap_json_link(struct kap_json *j, const char *key, const char *rel, const char *href);
/* An integer parameter; answers 400 and returns false when it is none. */
bool kap_query_int(struct kap_request *rq, const char *name, int64_t *ret);
/* A parameter that must be empty or one of two words; answers 400 and returns false when it is another. */
bool kap_query_word(struct kap_request *rq, const char *name, const char *usual, const char *other,
                    bool *ret_other);

#endif
