/* What the files of the dedup core share. Private to cluster/dedup*.c. */
#ifndef KAP_CLUSTER_DEDUP_IMPL_H
#define KAP_CLUSTER_DEDUP_IMPL_H

#include "base/duration.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/mem.h"
#include "cluster/dedup.h"
#include "cluster/hlc.h"

enum {
    NOBODY = -1,
    SELF = 0,            /* our own slot */
    HAND_OVER_AFTER = 4, /* failed attempts of one owner */
    OUT_BYTES = 1 << 20, /* of one message */
};
#define RESEND_NS (250 * KAP_MS)
#define RESEND_MAX_NS (4 * KAP_S)
#define OFFER_AFTER_NS (20 * KAP_MS) /* ranks above 0 let the first owner's word come first */
#define RETRY_MIN_NS (500 * KAP_MS)
#define RETRY_MAX_NS (15 * KAP_S)
#define STORE_RETRY_NS (2 * KAP_S)

/* A set of members, by slot. */
struct bits {
    uint64_t w[KAP_DEDUP_MEMBERS / 64];
};
static inline bool bits_has(const struct bits *b, int slot)
{
    return b->w[slot / 64] >> (slot % 64) & 1;
}
static inline void bits_set(struct bits *b, int slot)
{
    b->w[slot / 64] |= UINT64_C(1) << (slot % 64);
}
static inline void bits_clear(struct bits *b, int slot)
{
    b->w[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}
static inline bool bits_none(const struct bits *b)
{
    return !(b->w[0] | b->w[1]);
}
static inline bool bits_covers(const struct bits *b, const struct bits *need)
{
    return !((need->w[0] & ~b->w[0]) | (need->w[1] & ~b->w[1]));
}

struct peer {
    char *id;
    bool listed, linked, live;
    enum kap_dedup_life life;
    struct kap_buf out;
};

struct topic {
    char *name;
    struct kap_map *chains; /* by event ID */
    uint64_t version;       /* of the owners below */
    uint8_t owners[KAP_DEDUP_MEMBERS];
    size_t nowners;
    int rank;         /* ours, NOBODY: not an owner */
    uint64_t digest;  /* of the states */
    uint64_t dropped; /* stamp of its deletion */
};

struct produced {
    uint8_t slot;
    uint64_t sequence, previous; /* of the copy's event before in the same chain; 0: none */
};

/* What happens to one event ID of a topic. */
struct chain {
    struct topic *topic;
    char *id;
    struct entry *first, *last; /* with something left to do, in order */
    bool has_state;
    uint64_t stamp, version; /* of the state that is shown */
    uint64_t hash;           /* its part of the topic's digest */
    struct produced *copies; /* the last event of each copy */
    size_t ncopies, copies_cap;
    /* The last transition, for copies that disagree about its time. */
    struct kap_dedup_key last_key;
    uint64_t last_producer;
    int64_t last_time_ns, last_at;
    int32_t last_level;
    struct bits last_copies;
};

enum hand_state {
    HAND_WAIT,    /* for its turn, for a lower rank, for the end of a lease */
    HAND_ASKING,  /* the live owners */
    HAND_RUNNING, /* the driver has it */
    HAND_PAUSED,  /* between attempts */
    HAND_HANDING, /* offered to another owner */
    HAND_DONE,
};

/* One event for one handler. */
struct hand {
    const char *handler; /* interned */
    enum hand_state state;
    int holder;              /* who delivers, as far as is known */
    bool by_self;            /* done: by us, so we tell */
    unsigned attempts, here; /* failed: in all, in a row at this owner */
    int64_t last_word;       /* of the holder */
    int64_t free_at;         /* since when nothing before it is in the way */
    int64_t due;             /* our next step */
    struct bits asked, tried, told, ack_wait;
};

struct entry {
    struct kap_dedup_key key;
    struct chain *chain;       /* NULL: only a mark, or heard of but not seen */
    struct entry *prev, *next; /* in the chain, or among the marks */
    char *text;                /* task, node, run and blob */
    struct kap_str task, node, run, blob;
    int64_t time_ns;
    int32_t level, previous;
    uint32_t nth;
    uint64_t stamp;
    struct produced *copies;
    struct hand *hands;
    size_t ncopies, copies_cap, nhands, hands_cap, ndone;
    struct bits has, acked, ack_wait;
    bool accepted, complete, recovered, stored, in_store, marked, alias;
    struct kap_dedup_key alias_of;
    size_t storing;      /* answers that are due */
    uint64_t born_token; /* answers up to this one are not for it */
    int64_t accepted_at, marked_at, store_at;
    int64_t resend_at, resend_pause;
    int64_t due;
    size_t heap_at;
};

struct storing {
    uint64_t token; /* 0: answered */
    struct kap_dedup_key key;
    const char *handler; /* NULL: the event */
};

struct kap_dedup {
    struct kap_dedup_config config;
    struct kap_dedup_io io;
    struct kap_hlc hlc;
    struct peer peers[KAP_DEDUP_MEMBERS];
    size_t npeers;
    uint64_t version; /* of the set of live members */
    struct kap_map *topics, *entries, *handlers;
    struct kap_heap due;
    struct entry *marks_first, *marks_last;
    size_t npending, pending_bytes, nmarks, nstates, nrunning, nhanding;
    struct storing *storing;
    size_t storing_head, storing_n, storing_cap;
    uint64_t last_token, last_sequence;
    int64_t now, last_input, start_until, unsure_until, renew_at, full_at;
    bool draining, doubtful, dirty;
    struct kap_dedup_stats stats;
};

/* dedup.c */
void dedup_enter(struct kap_dedup *d); /* at the start of every input */
void dedup_leave(struct kap_dedup *d); /* at its end: sends */
struct entry *dedup_find(const struct kap_dedup *d, struct kap_dedup_key key); /* follows aliases */
struct entry *dedup_ghost(struct kap_dedup *d, struct kap_dedup_key key);      /* finds or makes */
struct hand *dedup_hand(struct kap_dedup *d, struct entry *e, struct kap_str handler, bool make);
struct topic *dedup_topic(struct kap_dedup *d, struct kap_str name, bool make);
struct chain *dedup_chain(struct kap_dedup *d, struct topic *t, struct kap_str id, bool make);
void dedup_owners(struct kap_dedup *d, struct topic *t);
struct bits dedup_need(struct kap_dedup *d, struct topic *t); /* live owners but us */
int dedup_slot(const struct kap_dedup *d, struct kap_str member);
const char *dedup_handler_name(struct kap_dedup *d, struct kap_str handler);
struct kap_dedup_event dedup_event(const struct kap_dedup *d, const struct entry *e);
void dedup_notice(struct kap_dedup *d, enum kap_dedup_notice_kind kind, const struct entry *e,
                  const struct hand *h, int member, const char *text);
struct received {
    struct kap_dedup_identity identity;
    struct kap_str blob;
    uint64_t stamp;
    const struct produced *copies;
    size_t ncopies;
    int from;
};
bool dedup_receive(struct kap_dedup *d, const struct received *r);
void dedup_store_event(struct kap_dedup *d, struct entry *e);
void dedup_store_done(struct kap_dedup *d, struct entry *e, struct hand *h);
void dedup_settle(struct kap_dedup *d,
                  struct entry *e);                   /* is anything left to do? e may be gone afterwards */
void dedup_due(struct kap_dedup *d, struct entry *e); /* its place among the deadlines */

/* dedup_flow.c */
void dedup_evaluate(struct kap_dedup *d, struct entry *e, struct hand *h);
void dedup_evaluate_all(struct kap_dedup *d, struct entry *e);
void dedup_mark_done(struct kap_dedup *d, struct entry *e, struct hand *h, int by);
void dedup_resend(struct kap_dedup *d, struct entry *e);
void dedup_entry_tick(struct kap_dedup *d, struct entry *e);
void dedup_renew(struct kap_dedup *d);
void dedup_hand_over(struct kap_dedup *d, struct entry *e, struct hand *h);
bool dedup_may_deliver(const struct kap_dedup *d, int slot);
void dedup_on_started(struct kap_dedup *d, struct entry *e, struct hand *h, int from);
void dedup_on_tell(struct kap_dedup *d, struct entry *e, struct hand *h, int from, unsigned state,
                   int holder);
void dedup_on_ask(struct kap_dedup *d, struct entry *e, struct hand *h, int from);
void dedup_on_hand_over(struct kap_dedup *d, struct entry *e, struct hand *h, int from, unsigned attempts);
void dedup_on_taken(struct kap_dedup *d, struct entry *e, struct hand *h, int from);
void dedup_begin_unless_asking(struct kap_dedup *d, struct entry *e, struct hand *h);

/* dedup_wire.c */
enum item {
    ITEM_HAVE,
    ITEM_STARTED,
    ITEM_DONE,
    ITEM_DONE_KNOWN,
    ITEM_ASK,
    ITEM_TELL,
    ITEM_HAND_OVER,
    ITEM_TAKEN
};
void dedup_send_item(struct kap_dedup *d, int to, enum item what, struct kap_dedup_key key,
                     const char *handler);
void dedup_send_tell(struct kap_dedup *d, int to, struct kap_dedup_key key, const char *handler,
                     unsigned state, int holder);
void dedup_send_hand_over(struct kap_dedup *d, int to, const struct entry *e, const struct hand *h);
void dedup_send_event(struct kap_dedup *d, int to, const struct entry *e);
void dedup_pack_meta(const struct kap_dedup *d, const struct entry *e, struct kap_buf *out);
void dedup_flush(struct kap_dedup *d);

/* dedup_state.c */
bool dedup_state_offer(struct kap_dedup *d, struct chain *c, uint64_t stamp,
                       uint64_t version); /* newer: taken over */
void dedup_state_store(struct kap_dedup *d, struct chain *c);
void dedup_send_digests(struct kap_dedup *d, int to);
void dedup_topic_dropped(struct kap_dedup *d, struct topic *t, uint64_t stamp);
struct Kap__Rpc__DedupTopic;
void dedup_on_topic(struct kap_dedup *d, int from, const struct Kap__Rpc__DedupTopic *m);

#endif
