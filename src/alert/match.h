/* Match expressions of topic handlers: a lambda over the event's tags, with changed(), level(), name(), taskName() and
 * alertDuration(), and the constants OK INFO WARNING CRITICAL. A tag that is missing means no match.
 * Ownership: owned by whoever made it. Threads: one at a time. */
#ifndef KAP_ALERT_MATCH_H
#define KAP_ALERT_MATCH_H

#include "alert/event.h"

struct kap_match;

/* Fails with "invalid match expression: ..". */
enum kap_status kap_match_new(struct kap_str text, struct kap_match **ret, struct kap_error *err);
void kap_match_free(struct kap_match *m); /* NULL is fine */
/* *ret is false when it fails. */
enum kap_status kap_match_eval(struct kap_match *m, const struct kap_event *ev, bool *ret, struct kap_error *err);

#endif
