/* Inside the membership core: what its files share. See swim.h for what it is.
 *   swim.c         life cycle, timers, look-ups       swim_table.c   the member table and its rules
 *   swim_probe.c   failure detector                   swim_packet.c  datagrams in and out
 *   swim_stream.c  push/pull and TCP pings            swim_serf.c    intents, events, queries, leave
 * Every function works at s->now_ns, which the public entry points set. */
#ifndef KAP_CLUSTER_SWIM_IMPL_H
#define KAP_CLUSTER_SWIM_IMPL_H

#include "cluster/broadcast.h"
#include "cluster/swim.h"
#include "base/arena.h"
#include "base/duration.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"

enum {
    SWIM_ACCUSERS = 8,   /* counted for one suspicion, the first included */
    SWIM_HEAL_SUSPECTS = 8, /* pinged a second, besides the probes */
    SWIM_RELAYS = 256,   /* pings under way for others, and to failed members */
    SWIM_STREAMS = 64,   /* dialled at a time */
    SWIM_REFUSED = 32,   /* names remembered whose pings are not answered */
    SWIM_INTENTS = 256,  /* of members not yet known */
    SWIM_RING = 512,     /* Lamport slots of events and queries */
    SWIM_TAGS = 64,
    SWIM_META_BYTES = 1024, /* taken from others; we send KAP_WIRE_META_BYTES at most */
    SWIM_NESTING = 8,
};

/* Serf's view of a member. */
enum serf_status { SERF_NONE, SERF_ALIVE, SERF_LEAVING, SERF_LEFT, SERF_FAILED };

struct swim_suspicion {
    bool running;
    unsigned wanted, confirmed; /* independent confirmations */
    uint64_t accusers[SWIM_ACCUSERS];
    int64_t start_ns, min_ns, max_ns, fire_ns;
};

struct swim_node {
    struct kap_swim_member pub;
    char *name;
    struct kap_wire_tag *tags;
    char *meta;
    size_t meta_n;
    struct kap_msgpack_vsn vsn;
    enum kap_wire_state state; /* memberlist's view */
    int64_t state_ns;          /* since when */
    bool known;                /* to memberlist; Serf remembers failed and left members longer */
    size_t ring_at;
    struct swim_suspicion suspicion;
    enum serf_status serf;
    uint64_t status_ltime;
};

struct swim_probe {
    bool running, indirect, tcp_answered;
    struct swim_node *target;
    uint32_t seq;
    unsigned nacks_expected, nacks;
    uint64_t tcp_stream;
    int64_t indirect_ns, end_ns;
};

/* A ping of ours that is no probe. */
struct swim_ping {
    enum { SWIM_PING_RELAY, SWIM_PING_HEAL } kind;
    uint32_t seq;
    uint32_t asked_seq; /* relay: of the requester */
    bool nack;
    struct kap_swim_addr addr; /* relay: who asked; heal: who was pinged */
    int64_t until_ns;
};

struct swim_stream {
    enum { SWIM_STREAM_PING, SWIM_STREAM_PUSH_PULL } kind;
    uint64_t id;
    uint32_t seq;
    bool join, wanted; /* wanted: somebody waits for the outcome */
    struct kap_swim_addr addr;
    struct kap_wire_scan scan;
    int64_t until_ns;
};

struct swim_intent {
    bool leave;
    uint64_t ltime;
    int64_t since_ns;
};

struct swim_event_slot {
    uint64_t ltime;
    struct kap_buf events; /* encoded {Name, Payload} objects */
    uint32_t n;
};

struct swim_query_slot {
    uint64_t ltime;
    uint32_t ids[8];
    unsigned n;
};

enum swim_queue { QUEUE_MEMBERS, QUEUE_INTENTS, QUEUE_QUERIES, QUEUE_EVENTS, N_QUEUES };

enum swim_leave { LEAVE_NO, LEAVE_INTENT, LEAVE_DEAD, LEAVE_LINGER, LEAVE_DONE };

struct kap_swim {
    struct kap_swim_config cfg;
    struct kap_swim_io io;
    struct kap_random random;
    struct kap_arena *own_tags_arena;
    struct kap_wire_tag own_tags[SWIM_TAGS];
    size_t n_own_tags;
    char *name;
    char *cluster_id;
    bool enabled;
    int64_t now_ns, enabled_ns;

    struct kap_map *nodes; /* name to struct swim_node */
    struct swim_node *self;
    struct swim_node **ring; /* the known ones, in probing order */
    size_t n_ring, cap_ring, ring_next;
    uint32_t incarnation, seq;
    unsigned health, reclaims;
    struct { uint64_t name_hash; int64_t until_ns; } refused[SWIM_REFUSED];
    size_t refused_next;

    struct kap_broadcasts queues[N_QUEUES];
    struct swim_probe probe;
    struct swim_ping pings[SWIM_RELAYS];
    size_t n_pings;
    struct swim_stream streams[SWIM_STREAMS];
    size_t n_streams;
    uint64_t last_stream;

    int64_t probe_ns, gossip_ns, push_pull_ns, reconnect_ns, heal_ns, reap_ns, suspicion_ns, tell_ns;
    bool tell; /* our alive message goes to each member at tell_ns */
    int64_t unsealed_ns; /* no event about unopened bytes before */
    int64_t stranger_ns; /* no exchange with a stranger that probed us before */
    enum swim_leave leave;
    int64_t leave_ns, leave_waited_ns;
    uint64_t leave_broadcast;

    uint64_t clock, event_clock, query_clock;
    struct kap_map *intents;
    struct swim_event_slot events[SWIM_RING];
    struct swim_query_slot queries[SWIM_RING];
    size_t event_bytes;

    struct kap_packet packet;
    struct kap_buf open_buf, packet_buf, sealed_buf;
    struct kap_swim_stats stats;
};

extern const struct kap_msgpack_vsn swim_vsn; /* what we speak; announcing 5 promises TCP pings, nacks and CRC */

/* swim.c */
void swim_emit(struct kap_swim *s, enum kap_swim_event_kind kind, const struct swim_node *node,
               const struct kap_swim_addr *addr, const char *text);
unsigned swim_retransmit_limit(const struct kap_swim *s, size_t n);
/* Up to n random known nodes for which want() holds, never ourselves; the number found. */
size_t swim_pick(struct kap_swim *s, size_t n, struct swim_node **out,
                 bool (*want)(const struct kap_swim *s, const struct swim_node *node, const void *arg),
                 const void *arg);
size_t swim_count(const struct kap_swim *s, bool (*want)(const struct swim_node *node));
bool swim_node_failed(const struct swim_node *node);
bool swim_addr_from(struct kap_str ip, uint16_t port, struct kap_swim_addr *ret);
struct kap_str swim_addr_ip(const struct kap_swim_addr *a);
struct kap_str swim_name(const struct swim_node *node);

/* swim_table.c */
struct swim_node *swim_find(const struct kap_swim *s, struct kap_str name);
struct swim_node *swim_find_known(const struct kap_swim *s, struct kap_str name);
struct swim_node *swim_node_new(struct kap_swim *s, struct kap_str name);
void swim_node_free(struct swim_node *node);
void swim_erase(struct kap_swim *s, struct swim_node *node, bool tell);
void swim_unlist(struct kap_swim *s, struct swim_node *node); /* from memberlist's view only */
void swim_set_meta(struct swim_node *node, struct kap_str meta);
void swim_set_state(struct kap_swim *s, struct swim_node *node, enum kap_wire_state state);
void swim_set_serf(struct kap_swim *s, struct swim_node *node, enum serf_status serf);
void swim_announce_self(struct kap_swim *s);
void swim_broadcast_alive(struct kap_swim *s, const struct swim_node *node);
void swim_broadcast_accusation(struct kap_swim *s, enum kap_wire_type type, struct kap_str key,
                               const struct kap_wire_accusation *a);
void swim_handle_alive(struct kap_swim *s, const struct kap_wire_alive *a);
void swim_handle_suspect(struct kap_swim *s, const struct kap_wire_accusation *a);
void swim_handle_dead(struct kap_swim *s, const struct kap_wire_accusation *a);
void swim_fire_suspicions(struct kap_swim *s);
/* NULL: fine; otherwise why the node must not be let in. */
const char *swim_refusal(const struct kap_swim *s, struct kap_str name, struct kap_str meta,
                         enum kap_swim_role *ret_role);
void swim_note_refused(struct kap_swim *s, struct kap_str name, const struct kap_swim_addr *addr, const char *why);
void swim_note_unsealed(struct kap_swim *s, const struct kap_swim_addr *from, const char *why);
bool swim_is_refused(const struct kap_swim *s, struct kap_str name);
void swim_tell_all(struct kap_swim *s);
void swim_tell_tick(struct kap_swim *s);
void swim_reclaim_name(struct kap_swim *s, uint32_t old_incarnation);

/* swim_probe.c */
void swim_probe_tick(struct kap_swim *s);
void swim_pings_tick(struct kap_swim *s);
void swim_heal_tick(struct kap_swim *s);
void swim_handle_ping(struct kap_swim *s, struct kap_str body, const struct kap_swim_addr *from);
void swim_handle_indirect_ping(struct kap_swim *s, struct kap_str body, const struct kap_swim_addr *from);
void swim_handle_ack(struct kap_swim *s, struct kap_str body);
void swim_handle_nack(struct kap_swim *s, struct kap_str body);
void swim_tcp_ping_done(struct kap_swim *s, uint64_t stream, bool answered);
void swim_health(struct kap_swim *s, int delta);

/* swim_packet.c */
void swim_gossip_tick(struct kap_swim *s);
void swim_queue(struct kap_swim *s, enum swim_queue queue, struct kap_str key, struct kap_str message);
bool swim_queued(const struct kap_swim *s);
/* One message with whatever else is to be told. */
void swim_send_piggyback(struct kap_swim *s, const struct kap_swim_addr *to, struct kap_str message);
/* One message alone; crc where the receiver is known to take it. */
void swim_send_bare(struct kap_swim *s, const struct kap_swim_addr *to, struct kap_str message, bool crc);
void swim_send_pair(struct kap_swim *s, const struct kap_swim_addr *to, struct kap_str a, struct kap_str b);

/* swim_stream.c */
void swim_push_pull(struct kap_swim *s, const struct kap_swim_addr *to, bool join, bool wanted);
uint64_t swim_tcp_ping(struct kap_swim *s, const struct swim_node *node, uint32_t seq, int64_t deadline_ns);
void swim_push_pull_tick(struct kap_swim *s);
void swim_streams_tick(struct kap_swim *s);

/* swim_serf.c */
void swim_serf_up(struct kap_swim *s, struct swim_node *node);
void swim_serf_gone(struct kap_swim *s, struct swim_node *node, const char *by);
void swim_serf_message(struct kap_swim *s, struct kap_str message, const struct kap_swim_addr *from);
void swim_serf_state_put(struct kap_swim *s, struct kap_buf *b);
void swim_serf_state_get(struct kap_swim *s, struct kap_str state);
void swim_serf_join_intent(struct kap_swim *s);
void swim_serf_leave_intent(struct kap_swim *s, struct kap_str name, bool prune);
void swim_serf_expire_intents(struct kap_swim *s);
void swim_serf_reset(struct kap_swim *s);
void swim_leave_tick(struct kap_swim *s);

/* swim_query.c */
void swim_handle_query(struct kap_swim *s, struct kap_str body, struct kap_str message);
void swim_handle_relay(struct kap_swim *s, struct kap_str body);

#endif
