/* Cuts a stream of JSON documents that arrives in pieces into the documents, wherever the pieces end:
 * InfluxDB's chunked answers and the records of .brpl files. Only brackets and strings are looked at; what a
 * document holds is its reader's affair. Ownership: embedded by value; kap_json_split_done() frees. Threads:
 * one at a time. */
#ifndef KAP_DATA_JSON_SPLIT_H
#define KAP_DATA_JSON_SPLIT_H

#include "base/buf.h"

struct kap_json_split {
    size_t max_bytes; /* of one document; 0: no limit */
    struct kap_buf text;
    int depth;
    bool in_string, escaped;
};

/* A complete document, borrowed for the call. A failure ends the feeding. */
typedef enum kap_status (*kap_json_split_fn)(void *ctx, struct kap_str document, struct kap_error *err);

/* KAP_ELIMIT: a document has more than max_bytes. KAP_EINVAL: a stray closing bracket. */
enum kap_status kap_json_split_feed(struct kap_json_split *s, struct kap_str piece, kap_json_split_fn fn,
                                    void *ctx, struct kap_error *err);
/* The end of the stream: hands over a last document that is no object or array; KAP_EINVAL: "unexpected end
 * of JSON input" inside one. */
enum kap_status kap_json_split_end(struct kap_json_split *s, kap_json_split_fn fn, void *ctx,
                                   struct kap_error *err);
void kap_json_split_done(struct kap_json_split *s);

#endif
