/* Definitions of topic handlers: kept in the definitions store as "TOPIC/HANDLER", told to the registry of
 * topics here and on every other member. Ownership: borrowed services. Threads: all. */
#ifndef KAP_TASK_HANDLERS_H
#define KAP_TASK_HANDLERS_H

#include "alert/topics.h"
#include "task/definitions.h"

struct kap_topic_handlers;

/* Tells the registry of all that is stored; a damaged or impossible one is logged and left out. Owned. */
enum kap_status kap_topic_handlers_new(struct kap_definitions *definitions, struct kap_topics *topics,
                                       struct kap_topic_handlers **ret, struct kap_error *err);
void kap_topic_handlers_free(struct kap_topic_handlers *h); /* NULL is fine */
/* Checks, stores, and puts into effect here. `old_id`: of the handler that it replaces, NULL: it is new
 * (KAP_EEXIST when there is one). Texts as the reference has them behind "failed to create handler: ". */
enum kap_status kap_topic_handlers_put(struct kap_topic_handlers *h, const struct kap_handler_spec *spec,
                                       const char *old_id, struct kap_error *err);
/* KAP_OK also when there was none. */
enum kap_status kap_topic_handlers_drop(struct kap_topic_handlers *h, struct kap_str topic, struct kap_str id,
                                        struct kap_error *err);
/* A stored definition, owned by *ret. KAP_ENOTFOUND. */
enum kap_status kap_topic_handlers_get(struct kap_topic_handlers *h, struct kap_str topic, struct kap_str id,
                                       struct kap_handler_spec *ret, struct kap_error *err);

#endif
