/* The latest results of httpOut nodes, by task and endpoint: nodes publish, the API shows.
 * Ownership: texts are copied. Threads: all. */
#ifndef KAP_ENGINE_OUTPUTS_H
#define KAP_ENGINE_OUTPUTS_H

#include "base/buf.h"

struct kap_outputs;

struct kap_outputs *kap_outputs_new(void);
void kap_outputs_free(struct kap_outputs *o); /* NULL is fine */
/* `ok` false: the result has no JSON form (a NaN); it is remembered that there is one. */
void kap_outputs_publish(struct kap_outputs *o, struct kap_str task, struct kap_str endpoint,
                         struct kap_str json, bool ok);
void kap_outputs_unpublish(struct kap_outputs *o, struct kap_str task, struct kap_str endpoint);
/* Appends the JSON to `out`. KAP_ENOTFOUND: nothing is published there; KAP_EINTERNAL: "json: unsupported
 * value: NaN". */
enum kap_status kap_outputs_get(struct kap_outputs *o, struct kap_str task, struct kap_str endpoint,
                                struct kap_buf *out, struct kap_error *err);

#endif
