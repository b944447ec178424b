/* Deduplication: the copies of a task produce the same event; handlers see it once. A sans-I/O state machine.
 *
 * Every topic has owners, ranked by rendezvous hashing over the live members (`redundancy` of them, 0: all).
 * An event goes to all owners; rank 0 delivers at once, rank k after k x delay without word, or as soon as
 * all lower ranks are presumed dead. Who takes over, or is not sure (after a start, a pause, a change of
 * members), asks the live owners first; asking is claiming: a peer that says "free" leaves the delivery to
 * the asker. "Started" is a lease, renewed every delay/3; "done" is told per event and handler and repeated
 * until acknowledged. Deliveries of one (topic, event ID, handler) go in the order of the copy that produced
 * the events. See docs/architecture.md for the protocol's rules and their reasons.
 *
 * Inputs: kap_dedup_submit (a task of this member), _message, _stored, _delivered, _members, _tick.
 * Outputs through struct kap_dedup_io while an input is handled. accept(), deliver() and store() must not
 * call inputs; a driver whose handler is finished at once posts the answer. Time: mono_ns of the injected
 * clock (CLOCK_BOOTTIME) for leases and delays; wall_ns only for stamps of topic states. Ownership: what is
 * given is copied; what callbacks get is borrowed until they return. Threads: one at a time. Failure: bad
 * messages cost a counter and a notice. Memory is bounded by the limits in the configuration; finished events
 * are forgotten before pending ones, and reaching a limit is a notice. */
#ifndef KAP_CLUSTER_DEDUP_H
#define KAP_CLUSTER_DEDUP_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

struct kap_dedup;

enum { KAP_DEDUP_MEMBERS = 128, KAP_DEDUP_HANDLERS = 256 /* of one event */ };

/* Digest of an event's identity (XXH3, 128 bits). */
struct kap_dedup_key {
    uint64_t hi, lo;
};

/* An event's identity: equal in all copies of the task. */
struct kap_dedup_identity {
    struct kap_str topic, task, node, run, id;
    int64_t time_ns; /* of the data */
    int32_t level;
    int32_t previous; /* level before, in that copy: not part of the identity, tells a transition */
    uint32_t nth;     /* of these in that copy */
};
struct kap_dedup_key kap_dedup_key_of(const struct kap_dedup_identity *identity);

struct kap_dedup_event {
    struct kap_dedup_key key;
    struct kap_dedup_identity identity;
    struct kap_str blob; /* the whole event, opaque here */
    uint64_t stamp;      /* hybrid clock at the producer: order of topic states */
    struct kap_str copy; /* member that produced it first, as known here */
    uint64_t sequence;   /* rises in that copy, also over restarts */
    bool current;        /* accept(): false when a newer state of that topic and ID is known */
};

/* Where accept() puts the handlers that are to get the event. */
struct kap_dedup_handlers;
void kap_dedup_add_handler(struct kap_dedup_handlers *h, struct kap_str handler_id);

/* How a delivery ended. */
enum kap_dedup_verdict {
    KAP_DEDUP_SENT,  /* the endpoint confirmed */
    KAP_DEDUP_RETRY, /* it did not; deliver() is called again after a growing pause, here or at another owner
                      */
    KAP_DEDUP_GIVE_UP, /* will never work, or there is no such handler: counts as done, is a notice */
    KAP_DEDUP_ABANDON, /* not tried: the driver is shutting down; another owner takes it */
};

/* What is to be made durable. Operations are to be done in the order of the calls; several may share a
 * commit. */
enum kap_dedup_store_kind {
    KAP_DEDUP_STORE_EVENT,  /* key, meta, blob, handlers: insert or replace; answer wanted */
    KAP_DEDUP_STORE_DONE,   /* key, handler: this delivery is done; answer wanted. The event may be unknown:
                               keep the mark */
    KAP_DEDUP_STORE_FORGET, /* key: the event is complete: drop meta and blob, keep a mark that lives as long
                               as marks do */
    KAP_DEDUP_STORE_STATE,  /* topic, id, stamp, blob: insert or replace; no answer */
    KAP_DEDUP_STORE_TOPIC,  /* topic, stamp: drop all its states, keep the stamp; no answer */
};
struct kap_dedup_store {
    enum kap_dedup_store_kind kind;
    uint64_t token; /* for kap_dedup_stored(); 0: no answer wanted */
    struct kap_dedup_key key;
    struct kap_str meta, blob;
    const struct kap_str *handlers; /* not done yet */
    size_t nhandlers;
    struct kap_str handler, topic, id;
    uint64_t stamp;
    bool carried;   /* FORGET: the owners have the event now, or we are alone; no mark stays */
    bool is_marked; /* FORGET: deliveries were stored as done */
};

enum kap_dedup_notice_kind {
    KAP_DEDUP_TAKE_OVER, /* of `member`'s delivery */
    KAP_DEDUP_HAND_OVER, /* to `member` */
    KAP_DEDUP_RETRYING,  /* endpoint failed; text: how often */
    KAP_DEDUP_GAVE_UP,
    KAP_DEDUP_SUPERSEDED, /* not sent: a newer event of the same ID was delivered by another member */
    KAP_DEDUP_STORE_FAILED,
    KAP_DEDUP_LIMIT, /* pending events are at their limit: the event was refused */
    KAP_DEDUP_BAD_MESSAGE,
};
struct kap_dedup_notice {
    enum kap_dedup_notice_kind kind;
    struct kap_str topic, id, handler, member;
    const char *text;
};

struct kap_dedup_io {
    /* Sends to a member's dedup core; may lose it. */
    void (*send)(void *ctx, struct kap_str member, struct kap_str bytes);
    void (*store)(void *ctx, const struct kap_dedup_store *op);
    /* This owner has the event, for the first time: updates the topic's state, runs aggregate and publish,
     * and names the handlers that reach outside. Called exactly once per event and owner. What publish
     * produces is submitted afterwards. */
    void (*accept)(void *ctx, const struct kap_dedup_event *ev, struct kap_dedup_handlers *ret);
    /* Delivers, now or soon, then kap_dedup_delivered(). attempt: 0, 1, .. at this owner. */
    void (*deliver)(void *ctx, const struct kap_dedup_event *ev, struct kap_str handler, unsigned attempt);
    /* The state of a topic's event ID, for peers that missed it and for the store: appends, false: there is
     * none. */
    bool (*state_get)(void *ctx, struct kap_str topic, struct kap_str id, struct kap_buf *ret);
    /* A newer state from a peer or from the store at start: to be shown, nobody is notified. */
    void (*state_set)(void *ctx, struct kap_str topic, struct kap_str id, struct kap_str blob);
    /* A topic was deleted on another member. */
    void (*topic_drop)(void *ctx, struct kap_str topic);
    void (*notice)(void *ctx, const struct kap_dedup_notice *n);
    void *ctx;
};

struct kap_dedup_config {
    struct kap_str self; /* member ID */
    const struct kap_clock *clock;
    size_t redundancy;        /* 0: all */
    int64_t delay_ns;         /* delay-per-member; 0: 10 s */
    int64_t full_sync_ns;     /* 0: 5 minutes */
    int64_t ask_ns;           /* how long to wait for answers; 0: 1 s */
    int64_t settle_ns;        /* ask before each delivery for so long after members changed; 0: 3 s */
    int64_t start_ns;         /* members not heard of count as live for so long after the start; 0: 5 s */
    size_t max_pending;       /* events; 0: 1,000,000 */
    size_t max_pending_bytes; /* of their blobs; 0: 1 GiB */
    size_t max_marks;         /* finished events remembered; 0: 262,144 */
    int64_t mark_age_ns;      /* 0: 1 hour */
    bool persist_states;      /* [alert] persist-topics */
    struct kap_dedup_faults { /* rules switched off by tests, to show that tests notice */
        bool no_marks, no_ranks, no_ask, no_outbox, no_order, no_lease;
    } faults;
};

struct kap_dedup *kap_dedup_new(const struct kap_dedup_config *config, const struct kap_dedup_io *io);
void kap_dedup_free(struct kap_dedup *d);

/* At start, before any input: what the store holds. Nothing is called except state_set(). */
enum kap_status kap_dedup_load_event(struct kap_dedup *d, struct kap_dedup_key key, struct kap_str meta,
                                     struct kap_str blob, const struct kap_str *handlers, size_t nhandlers,
                                     struct kap_error *err);
void kap_dedup_load_mark(struct kap_dedup *d, struct kap_dedup_key key,
                         struct kap_str handler); /* "": all handlers */
void kap_dedup_load_state(struct kap_dedup *d, struct kap_str topic, struct kap_str id, uint64_t stamp,
                          struct kap_str blob);
void kap_dedup_load_topic(struct kap_dedup *d, struct kap_str topic, uint64_t dropped_stamp);

/* A task of this member produced an event. Calls in the order of production. KAP_ELIMIT: the outbox is full.
 */
enum kap_status kap_dedup_submit(struct kap_dedup *d, const struct kap_dedup_identity *identity,
                                 struct kap_str blob, struct kap_error *err);
void kap_dedup_message(struct kap_dedup *d, struct kap_str member, struct kap_str bytes);
void kap_dedup_stored(struct kap_dedup *d, uint64_t token, bool ok);
void kap_dedup_delivered(struct kap_dedup *d, struct kap_dedup_key key, struct kap_str handler,
                         enum kap_dedup_verdict verdict);

enum kap_dedup_life {
    KAP_DEDUP_ALIVE,
    KAP_DEDUP_UNKNOWN,  /* since our start nothing was heard of it: counts as alive for start_ns */
    KAP_DEDUP_PRESUMED, /* RPC reset or refused and one failed probe: presumed dead for take-over, still an
                           owner */
    KAP_DEDUP_DEAD,     /* failed or left, by gossip */
};
struct kap_dedup_member {
    struct kap_str id;
    enum kap_dedup_life life;
    bool linked; /* an RPC connection is up */
};
/* The listed members, whenever one of them is added, removed or lives differently; ourselves included or not.
 */
void kap_dedup_members(struct kap_dedup *d, const struct kap_dedup_member *members, size_t n);
/* Live change of [alert] redundancy. */
void kap_dedup_set_redundancy(struct kap_dedup *d, size_t redundancy);
/* A topic is deleted here: its states go, on all owners; pending deliveries stay. */
void kap_dedup_drop_topic(struct kap_dedup *d, struct kap_str topic);
/* This member is about to leave: starts nothing any more and hands over what it has. kap_dedup_stats().busy
 * says how many deliveries or hand-overs are still under way. */
void kap_dedup_drain(struct kap_dedup *d);

void kap_dedup_tick(struct kap_dedup *d);
int64_t kap_dedup_deadline(const struct kap_dedup *d); /* mono_ns; INT64_MAX: none */

/* Member IDs of the owners of a topic as seen here, best first; at most `max`. Borrowed until the next input.
 */
size_t kap_dedup_owners(struct kap_dedup *d, struct kap_str topic, struct kap_str *ret, size_t max);

struct kap_dedup_stats {
    size_t pending; /* events with something left to do here */
    size_t pending_bytes;
    size_t marks, states;
    size_t busy; /* deliveries under way and hand-overs not yet acknowledged */
    uint64_t submitted, received, accepted, merged; /* merged: copies of an event that was known */
    uint64_t delivered, retried, gave_up, superseded, take_overs, hand_overs, asked, refused, bad_messages;
};
struct kap_dedup_stats kap_dedup_stats(const struct kap_dedup *d);
/* Digest of all topic states here: equal on all owners once they agree. */
uint64_t kap_dedup_state_digest(const struct kap_dedup *d, struct kap_str topic);

#endif
