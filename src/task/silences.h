/* Silences kept in the definitions store under their IDs, told to the registry here and on every other member.
 * Ownership: borrowed services. Threads: all. */
#ifndef KAP_TASK_SILENCES_H
#define KAP_TASK_SILENCES_H

#include "alert/silence.h"
#include "task/definitions.h"

struct kap_stored_silences;

/* Tells the registry of all that are stored; a damaged one is logged and left out. Owned. */
enum kap_status kap_stored_silences_new(struct kap_definitions *definitions, struct kap_silences *silences,
                                        struct kap_stored_silences **ret, struct kap_error *err);
void kap_stored_silences_free(struct kap_stored_silences *s); /* NULL is fine */
/* Stores it and puts it into effect here; takes what `s` holds, also when it fails. Those that expired more than a day
 * ago go on this occasion. KAP_ELIMIT: KAP_SILENCES_MAX are there. */
enum kap_status kap_stored_silences_put(struct kap_stored_silences *st, struct kap_silence *s, int64_t now_ns,
                                        struct kap_error *err);
/* KAP_ENOTFOUND: there is none. */
enum kap_status kap_stored_silences_drop(struct kap_stored_silences *st, struct kap_str id, struct kap_error *err);
struct kap_silences *kap_stored_silences_registry(struct kap_stored_silences *st);

#endif
