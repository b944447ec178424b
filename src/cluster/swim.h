/* Membership: the SWIM dialect of HashiCorp memberlist and Serf, with Lifeguard, as a sans-I/O state machine.
 *
 * Inputs are datagrams, stream bytes, ticks of an injected clock and the operator's wishes (join, leave, tags).
 * Outputs go through struct kap_swim_io while an input is being handled: datagrams to send, streams to dial,
 * answers on streams, events. There are no sockets, threads or clocks inside; the same inputs from the same seed
 * give the same outputs. Rules and constants: memberlist 0.2.2 and Serf 0.9.4, which interoperate; where we do
 * better among our own members, the place says so.
 *
 * Two fences keep clusters apart: the seal (one gossip key for each cluster, see seal.h), and the cluster ID as
 * the tag "cluster", looked at wherever membership is learned. Whom the daemon does not know as a member is an
 * observer: seen, never a member.
 *
 * Time: `now_ns` is monotonic (CLOCK_BOOTTIME), nanoseconds, never less than in the call before.
 * Ownership: opaque, kap_swim_free(). What callbacks get is borrowed until they return; what the member functions
 * return is borrowed until the next input. Callbacks must not call back into the core, except for look-ups.
 * Threads: one at a time. Failure: bad input from peers costs a counter and, where an operator should know, an
 * event. Memory is bounded by max_members and the queue limits. */
#ifndef KAP_CLUSTER_SWIM_H
#define KAP_CLUSTER_SWIM_H

#include "cluster/seal.h"
#include "cluster/wire.h"

struct kap_swim;

struct kap_swim_addr {
    uint8_t ip[16];
    uint8_t n; /* 4: IPv4, 16: IPv6, 0: none */
    uint16_t port;
};

bool kap_swim_addr_eq(const struct kap_swim_addr *a, const struct kap_swim_addr *b);
/* "127.0.0.1:9090", "[::1]:9090"; always terminated. */
enum { KAP_SWIM_ADDR_TEXT = 64 };
const char *kap_swim_addr_text(const struct kap_swim_addr *a, char out[KAP_SWIM_ADDR_TEXT]);

enum kap_swim_status {
    KAP_SWIM_ALIVE,
    KAP_SWIM_SUSPECT, /* accused, may still refute; counts as alive */
    KAP_SWIM_LEAVING,
    KAP_SWIM_LEFT,
    KAP_SWIM_FAILED,
};
const char *kap_swim_status_name(enum kap_swim_status status); /* "alive", "suspect", "leaving", "left", "failed" */

enum kap_swim_role {
    KAP_SWIM_MEMBER,
    KAP_SWIM_OBSERVER, /* gossips with us without having been added */
    KAP_SWIM_REFUSED,  /* only as an answer of admit() */
};

struct kap_swim_member {
    const char *name;
    struct kap_swim_addr addr;
    enum kap_swim_status status;
    enum kap_swim_role role;
    int64_t since_ns; /* of the last change of status */
    uint32_t incarnation;
    const struct kap_wire_tag *tags;
    size_t n_tags;
};

/* The value of a tag; p == NULL: not there. */
struct kap_str kap_swim_tag(const struct kap_swim_member *m, const char *key);

enum kap_swim_event_kind {
    KAP_SWIM_EV_ALIVE,       /* new, or back from failed or left */
    KAP_SWIM_EV_UPDATED,     /* other tags, address or role */
    KAP_SWIM_EV_SUSPECT,     /* text: the accuser */
    KAP_SWIM_EV_RECOVERED,   /* a suspect refuted */
    KAP_SWIM_EV_LEAVING,     /* announced that it will leave */
    KAP_SWIM_EV_LEFT,
    KAP_SWIM_EV_FAILED,      /* text: who said so */
    KAP_SWIM_EV_REAPED,      /* forgotten; the member is gone after this */
    KAP_SWIM_EV_REFUSED,     /* addr, text: why; no member. Another cluster, a wrong key, not welcome */
    KAP_SWIM_EV_CONFLICT,    /* member: the known one; addr: who else claims the name */
    KAP_SWIM_EV_JOINED,      /* addr answered our join */
    KAP_SWIM_EV_JOIN_FAILED, /* addr, text: why */
    KAP_SWIM_EV_REFUTED,     /* we were accused and said no; text: the accuser */
    KAP_SWIM_EV_KEYS,        /* a peer's key query changed our ring */
    KAP_SWIM_EV_LEAVE_DONE,  /* the leave that was asked for is complete */
};

struct kap_swim_event {
    enum kap_swim_event_kind kind;
    const struct kap_swim_member *member; /* NULL where there is none */
    struct kap_swim_addr addr;
    const char *text; /* "" where there is none */
};

struct kap_swim_io {
    /* Sends one datagram from the gossip port. */
    void (*send)(void *ctx, const struct kap_swim_addr *to, struct kap_str bytes);
    /* Dials a stream, writes `bytes`, reads the answer. The driver reports each read with
     * kap_swim_stream_answer() and anything that ends it, also the deadline, with kap_swim_stream_failed(). */
    void (*dial)(void *ctx, uint64_t stream, const struct kap_swim_addr *to, struct kap_str bytes,
                 int64_t deadline_ns);
    /* Answers on a stream that a peer dialled; the driver closes it once the bytes are written. */
    void (*reply)(void *ctx, uint64_t conn, struct kap_str bytes);
    void (*event)(void *ctx, const struct kap_swim_event *ev);
    /* The daemon's judgement about a stranger or a member whose tags changed; NULL: all are members. */
    enum kap_swim_role (*admit)(void *ctx, struct kap_str name, const struct kap_wire_tag *tags, size_t n);
    void *ctx;
};

struct kap_swim_config {
    const char *name;           /* the member ID; 1..128 bytes */
    struct kap_swim_addr addr;  /* that is advertised */
    const struct kap_wire_tag *tags; /* without the cluster tag, which is added */
    size_t n_tags;
    uint64_t seed;
    uint32_t incarnation;       /* last one known from an earlier life, 0: none */
    struct kap_seal seal;
    bool answer_key_queries;    /* let `serf keys` list and change the ring */

    /* Timing: the LAN profile, see kap_swim_config_init(). */
    int64_t probe_interval_ns, probe_timeout_ns, gossip_interval_ns, gossip_to_dead_ns, push_pull_interval_ns;
    int64_t stream_timeout_ns, reconnect_interval_ns, heal_interval_ns, reap_interval_ns, keep_failed_ns;
    int64_t keep_left_ns, leave_timeout_ns, leave_linger_ns;
    unsigned indirect_probes, suspicion_mult, suspicion_max_mult, retransmit_mult, gossip_nodes, health_max;
    bool compress_streams;
    size_t max_members;
    struct kap_swim_faults {    /* rules switched off by tests, to show that tests notice */
        bool no_refute, no_indirect, no_lifeguard;
    } faults;
};

/* LAN defaults of memberlist and Serf; our own: failed members are pinged every heal_interval_ns (1 s). */
void kap_swim_config_init(struct kap_swim_config *c);

/* Copies what it needs. The new core is disabled. KAP_EINVAL, KAP_ELIMIT (tags) with a reason. */
enum kap_status kap_swim_new(const struct kap_swim_config *c, const struct kap_swim_io *io, struct kap_swim **ret,
                             struct kap_error *err);
void kap_swim_free(struct kap_swim *s);

/* A member alone neither gossips nor accepts gossip: everything below is ignored while disabled.
 * cluster_id "" gossips without a cluster tag (and refuses those who have one). */
enum kap_status kap_swim_enable(struct kap_swim *s, const char *cluster_id, int64_t now_ns, struct kap_error *err);
void kap_swim_disable(struct kap_swim *s); /* forgets all other members, says nothing to anybody */
bool kap_swim_enabled(const struct kap_swim *s);

/* Exchanges tables with whoever is at addr; the outcome is an event. */
void kap_swim_join(struct kap_swim *s, const struct kap_swim_addr *addr, int64_t now_ns);
/* Announces a graceful leave; the core answers probes until KAP_SWIM_EV_LEAVE_DONE (a few seconds, bounded). */
void kap_swim_leave(struct kap_swim *s, int64_t now_ns);
/* Replaces our tags and tells everybody. KAP_ELIMIT: too long, nothing is changed. */
enum kap_status kap_swim_set_tags(struct kap_swim *s, const struct kap_wire_tag *tags, size_t n, int64_t now_ns,
                                  struct kap_error *err);
/* Our advertised address changed. */
void kap_swim_set_addr(struct kap_swim *s, const struct kap_swim_addr *addr, int64_t now_ns);
/* Asks admit() again about everybody: after the list of members changed. Refused ones are forgotten. */
void kap_swim_recheck(struct kap_swim *s, int64_t now_ns);
/* Erases a removed member here and at stock peers. KAP_ENOTFOUND. */
enum kap_status kap_swim_forget(struct kap_swim *s, const char *name, int64_t now_ns, struct kap_error *err);
/* The key ring; change it through kap_seal_*(). */
struct kap_seal *kap_swim_seal(struct kap_swim *s);

void kap_swim_datagram(struct kap_swim *s, const struct kap_swim_addr *from, struct kap_str bytes, int64_t now_ns);

enum kap_swim_stream_state { KAP_SWIM_STREAM_MORE, KAP_SWIM_STREAM_DONE };
/* What the driver keeps for each stream that a peer dialled; starts as KAP_SWIM_INBOUND_START. */
struct kap_swim_inbound {
    struct kap_wire_scan scan;
};
#define KAP_SWIM_INBOUND_START ((struct kap_swim_inbound){ .scan = KAP_WIRE_SCAN_START })
/* `bytes`: all that came on the stream so far. DONE: an answer, if there is one, was given to io.reply() with
 * `conn`; without one the driver closes. */
enum kap_swim_stream_state kap_swim_stream_request(struct kap_swim *s, struct kap_swim_inbound *in, uint64_t conn,
                                                   const struct kap_swim_addr *from, struct kap_str bytes,
                                                   int64_t now_ns);
/* The same for a stream that the core dialled. DONE: the driver closes it; nothing more about it is reported. */
enum kap_swim_stream_state kap_swim_stream_answer(struct kap_swim *s, uint64_t stream, struct kap_str bytes,
                                                  int64_t now_ns);
void kap_swim_stream_failed(struct kap_swim *s, uint64_t stream, const char *why, int64_t now_ns);

/* Runs whatever is due. Call at kap_swim_deadline() or later; INT64_MAX: nothing will ever be due. The deadline
 * moves with every input. */
void kap_swim_tick(struct kap_swim *s, int64_t now_ns);
int64_t kap_swim_deadline(const struct kap_swim *s);

const struct kap_swim_member *kap_swim_self(const struct kap_swim *s);
const struct kap_swim_member *kap_swim_find(const struct kap_swim *s, struct kap_str name); /* NULL */
/* Members and observers, ourselves included, in the order in which they were learned.
 * size_t i = 0; while ((m = kap_swim_next(s, &i))) ... */
const struct kap_swim_member *kap_swim_next(const struct kap_swim *s, size_t *i);

struct kap_swim_stats {
    uint64_t datagrams_in, datagrams_out, bytes_in, bytes_out;
    uint64_t bad_datagrams, bad_streams;   /* could not be opened or read */
    uint64_t unsealed;                     /* of these: our keys do not open them */
    uint64_t refused;                      /* strangers of another cluster, or whom admit() refused */
    uint64_t probes, probes_failed, indirect_probes, tcp_probes_answered, relays;
    uint64_t suspicions, suspicions_heard, refutations, failures;
    uint64_t push_pulls, push_pulls_served, reconnects, conflicts, queue_dropped;
    uint64_t queued;                       /* broadcasts waiting now */
    unsigned health;                       /* 0: fine .. health_max - 1 */
};
struct kap_swim_stats kap_swim_stats(const struct kap_swim *s);

#endif
