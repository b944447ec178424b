/* The dispatcher: carries out deliveries of events to outside-reaching handlers.
 *
 * Deliveries of one (topic, handler, event ID) are made one after the other, in the order they were handed in. Those of
 * different event IDs start in that order as well, one when the one before is answered or has been under way for a
 * moment, so that an endpoint that is quick sees all events in order and one that is slow is asked several at a time, up
 * to the limit of the handler, which a definition may set ("concurrency", "rate-limit"). No handler waits for another: HTTP requests share one
 * thread that never blocks, all others run on threads of a pool that grows as handlers need it.
 *
 * An attempt that may succeed later is repeated with exponential backoff and jitter, for as long as it takes. When
 * attempts at a handler fail one after the other its circuit opens: it is then tried by one delivery at a time until
 * one succeeds, and all that waits goes at once.
 *
 * The dispatcher keeps nothing durable: what it holds is pending in the outbox as well.
 * Ownership: events are referenced; the registry of topics is borrowed.
 * Threads: all functions from any thread. done() is called on threads of the dispatcher without locks held. */
#ifndef KAP_ALERT_DISPATCH_H
#define KAP_ALERT_DISPATCH_H

#include "alert/topics.h"
#include "base/clock.h"

struct kap_dispatch;

/* KAP_SENT and KAP_GIVE_UP end the delivery; KAP_RETRY tells of an attempt that failed and will be repeated. `error` is
 * NULL with KAP_SENT. */
typedef void (*kap_dispatch_done_fn)(void *ctx, struct kap_event *ev, struct kap_str handler, enum kap_verdict verdict,
                                     const char *error);

struct kap_dispatch_options {
    struct kap_topics *topics;
    const struct kap_clock *clock;      /* mono is used; NULL: the system's */
    uint64_t seed;                      /* of the jitter */
    kap_dispatch_done_fn done;
    void *ctx;
    bool confirm;                       /* kap_dispatch_confirm() follows each done() */
    /* Limits; 0: the default. */
    unsigned http_per_handler;          /* requests under way at one handler (8) */
    unsigned blocking_per_handler;      /* of handlers that do not speak HTTP (2) */
    unsigned threads;                   /* of the pool (128) */
    int64_t backoff_min_ns;             /* pause after the first failure (250 ms); doubles with each */
    int64_t backoff_max_ns;             /* 15 s */
    int64_t grace_ns;                   /* how long a handler that is not there yet is waited for (60 s) */
};

struct kap_dispatch *kap_dispatch_new(const struct kap_dispatch_options *opts);
/* Ends at once: attempts under way are waited for or cut off, nothing more is reported. NULL is fine. */
void kap_dispatch_free(struct kap_dispatch *d);

/* Queues a delivery. `order` tells its place among those of other event IDs that wait at the handler: the lower goes
 * first, among equals the one that was handed in first. */
void kap_dispatch_send(struct kap_dispatch *d, struct kap_event *ev, struct kap_str handler, uint64_t order);
/* With the option `confirm`: what follows from a done() has been handed in. So long a handler that has little to do is
 * not given its next event, which may be one of those. */
void kap_dispatch_confirm(struct kap_dispatch *d, struct kap_str topic, struct kap_str handler);
/* Takes a delivery of this very event back, if no attempt is under way: false when there is none to take back. It is not
 * reported. For events that another member has delivered meanwhile. */
bool kap_dispatch_cancel(struct kap_dispatch *d, const struct kap_event *ev, struct kap_str handler);

struct kap_dispatch_stats {             /* of one handler of one topic; strings are borrowed for the call */
    struct kap_str topic, handler;
    size_t pending, running;            /* deliveries waiting, attempts under way */
    uint64_t sent, failed, given_up;    /* deliveries, attempts, deliveries */
    bool open;                          /* the circuit: the handler is presumed down */
    const char *error;                  /* of the latest failed attempt; "" */
};
/* In byte order of topic and handler. */
void kap_dispatch_each_stats(struct kap_dispatch *d, void (*fn)(void *ctx, const struct kap_dispatch_stats *s),
                             void *ctx);

#endif
