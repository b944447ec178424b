/* Inhibition: while an alert with inhibitors fires, alerts of the named category with equal tag values are silent. One
 * registry for all tasks of a process.
 * Ownership: inhibitors belong to the alert node that added them. Threads: all. */
#ifndef KAP_ALERT_INHIBIT_H
#define KAP_ALERT_INHIBIT_H

#include "data/tags.h"

struct kap_inhibitors;
struct kap_inhibitor;

struct kap_inhibitors *kap_inhibitors_new(void);
void kap_inhibitors_free(struct kap_inhibitors *r); /* NULL is fine; all inhibitors must have been removed */
/* `tags`: what the other alert's tags must hold; an empty value also stands for a missing tag. Referenced. */
struct kap_inhibitor *kap_inhibitors_add(struct kap_inhibitors *r, struct kap_str category,
                                         const struct kap_tags *tags);
void kap_inhibitors_remove(struct kap_inhibitors *r, struct kap_inhibitor *i); /* NULL is fine */
void kap_inhibitor_set(struct kap_inhibitors *r, struct kap_inhibitor *i, bool active);
bool kap_inhibited(struct kap_inhibitors *r, struct kap_str category, const struct kap_tags *tags);

#endif
