/* Dead letters: deliveries that this member gave up, because they can never work as things are (the endpoint refuses the
 * request, a template fails, the handler is gone). Kept until they are replayed with success, deleted, or pushed out by
 * newer ones (KAP_DEAD_LETTERS_MAX).
 * Threads: the loop's. Ownership: owned by alerts.c; what is given to new() is borrowed. */
#ifndef KAP_DAEMON_DEAD_LETTERS_H
#define KAP_DAEMON_DEAD_LETTERS_H

#include "alert/dispatch.h"
#include "base/json.h"
#include "store/alert_db.h"

enum { KAP_DEAD_LETTERS_MAX = 10000 };

struct kap_dead_letters;

struct kap_dead_letters *kap_dead_letters_new(struct kap_alert_db *db, struct kap_dispatch *dispatch);
void kap_dead_letters_free(struct kap_dead_letters *d); /* NULL is fine */
/* At start: one that is stored. */
void kap_dead_letters_load(struct kap_dead_letters *d, const struct kap_alert_dead *letter);
void kap_dead_letters_add(struct kap_dead_letters *d, const struct kap_event *ev, struct kap_str handler,
                          const char *error, int64_t wall_ns);
/* Hands it to the dispatcher once; the outcome is looked at by kap_dead_letters_outcome(). KAP_ENOTFOUND, KAP_ESTATE:
 * it is under way. */
enum kap_status kap_dead_letters_replay(struct kap_dead_letters *d, uint64_t id, struct kap_error *err);
enum kap_status kap_dead_letters_delete(struct kap_dead_letters *d, uint64_t id, struct kap_error *err);
/* True: the attempt was that of a replay, and is dealt with. */
bool kap_dead_letters_outcome(struct kap_dead_letters *d, const struct kap_event *ev, struct kap_str handler,
                              enum kap_verdict verdict, const char *error);
/* A list of objects, oldest first: id, time, topic, event, level, handler, error, replaying. */
void kap_dead_letters_json(const struct kap_dead_letters *d, struct kap_json *j);
size_t kap_dead_letters_len(const struct kap_dead_letters *d);

#endif
