/* What the bodies of recording and replay requests share. */
#ifndef KAP_API_RECORDING_H
#define KAP_API_RECORDING_H

#include "api/resource.h"
#include "replay/replay.h"

#include <jansson.h>

/* The body as an object; NULL: answered with 400. The caller's. */
json_t *kap_body_object(struct kap_request *rq);
struct kap_str kap_body_str(const json_t *root, const char *key); /* "": none; borrowed from root */
/* A time or KAP_NO_TIME; false: answered with 400. */
bool kap_body_time(struct kap_request *rq, const json_t *root, const char *key, int64_t *ret_ns);

/* The parameters of a list; false: answered with 400. Names of fields that all entries have too come last. */
struct kap_list_query {
    struct kap_str pattern;
    int64_t offset, limit;
    const struct kap_str *fields;
    size_t nfields;
};
bool kap_list_query(struct kap_request *rq, struct kap_list_query *ret);
/* Answers 400 when a list with that pattern failed. */
void kap_list_refused(struct kap_request *rq, const char *what, struct kap_str pattern,
                      const struct kap_error *err);
/* Writes one member of an entry; false: there is no such field. */
typedef bool (*kap_entry_field_fn)(struct kap_json *j, const void *entry, struct kap_str field);
/* {"KEY": [..]} with the fields asked for. */
void kap_reply_list(struct kap_request *rq, const char *key, const struct kap_list_query *q,
                    const struct kap_str *all_fields, size_t nall, const void *entries, size_t entry_size,
                    size_t n, kap_entry_field_fn field);
/* An object with these fields, as the whole answer. */
void kap_reply_entry(struct kap_request *rq, int status, const struct kap_str *fields, size_t n,
                     const void *entry, kap_entry_field_fn field);

#endif
