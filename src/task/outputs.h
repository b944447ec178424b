/* What httpOut nodes show: the latest JSON of each task and endpoint. The daemon connects the nodes' services to it, the
 * API serves it. Ownership: texts are copied. Threads: all. */
#ifndef KAP_TASK_OUTPUTS_H
#define KAP_TASK_OUTPUTS_H

#include "base/buf.h"
#include "base/error.h"

struct kap_outputs;

struct kap_outputs *kap_outputs_new(void);
void kap_outputs_free(struct kap_outputs *o); /* NULL is fine */
/* Signatures of kap_services.publish and unpublish; `outputs` is a struct kap_outputs. */
void kap_outputs_publish(void *outputs, struct kap_str task, struct kap_str endpoint, struct kap_str json, bool ok);
void kap_outputs_unpublish(void *outputs, struct kap_str task, struct kap_str endpoint);
/* Appends the JSON to `ret`. KAP_ENOTFOUND: no such endpoint; KAP_EINVAL: what it would show has no JSON form. */
enum kap_status kap_outputs_get(struct kap_outputs *o, struct kap_str task, struct kap_str endpoint, struct kap_buf *ret,
                                struct kap_error *err);

#endif
