/* The catalog: definitions that every member holds, as a sans-I/O state machine.
 *
 * An entry is (kind, id) with a blob or, when deleted, a tombstone, stamped by a hybrid logical clock; the
 * last writer wins, on equal stamps the larger member ID. A change is pushed to every listed member as soon
 * as it is durable here; what got lost is found by comparing digests (256 buckets) when a link comes up,
 * while a push is unanswered, and at every full-sync interval. Only what is durable counts in digests and
 * acknowledgements. A tombstone goes when every listed member has been seen with the same durable content
 * (never by age); tombstones of members stay.
 *
 * Inputs: kap_catalog_put/drop (this member's changes), _message (from peers), _stored (the store's word),
 * _members, _link, _tick. Outputs through struct kap_catalog_io, called while an input is handled; they must
 * not call inputs. Time: wall_ns for stamps, mono_ns for timers, both from the injected clock. Ownership:
 * what callbacks and look-ups give is borrowed until the next input; what is given is copied. Threads: one at
 * a time. Failure: bad messages cost a counter and a notice. Limits: KAP_CATALOG_BLOB_BYTES per blob,
 * KAP_CATALOG_ENTRIES. */
#ifndef KAP_CLUSTER_CATALOG_H
#define KAP_CLUSTER_CATALOG_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/uuid.h"

struct kap_catalog;

enum { KAP_CATALOG_BLOB_BYTES = 4 << 20, KAP_CATALOG_ENTRIES = 1 << 20, KAP_CATALOG_ID_BYTES = 1024 };

enum kap_catalog_kind {
    KAP_CATALOG_TASK,
    KAP_CATALOG_TEMPLATE,
    KAP_CATALOG_HANDLER,
    KAP_CATALOG_SILENCE,
    KAP_CATALOG_CONFIG,
    KAP_CATALOG_MEMBER, /* written by cluster/member.h only */
    KAP_CATALOG_KINDS,
};
const char *kap_catalog_kind_name(enum kap_catalog_kind kind); /* "task", "template", "handler", .. */

struct kap_catalog_entry {
    enum kap_catalog_kind kind;
    struct kap_str id, blob;
    bool deleted;          /* a tombstone; blob is empty */
    bool foreign;          /* from before this member was added to its cluster */
    uint64_t stamp;        /* see hlc.h */
    struct kap_str origin; /* ID of the member that wrote it */
};

enum kap_catalog_notice_kind {
    KAP_CATALOG_CLOCK_AHEAD,  /* `member`'s clock is too far ahead; its change was refused */
    KAP_CATALOG_CONFLICT,     /* at an add: `loser`, which this member brought along, was replaced */
    KAP_CATALOG_BAD_MESSAGE,  /* of `member`; text says why */
    KAP_CATALOG_STORE_FAILED, /* tried again */
    KAP_CATALOG_FULL,         /* an entry of a peer was refused: limit */
    KAP_CATALOG_IN_SYNC,      /* with `member`, after a difference */
};
struct kap_catalog_notice {
    enum kap_catalog_notice_kind kind;
    struct kap_str member;
    const char *text;
    const struct kap_catalog_entry *loser, *winner; /* CONFLICT: for the log and for a backup */
};

struct kap_catalog_io {
    /* Sends to a member's catalog; may lose it. */
    void (*send)(void *ctx, struct kap_str member, struct kap_str bytes);
    /* Makes it durable, then kap_catalog_stored(token, ok). Entries are stored in the order of the calls. */
    void (*store)(void *ctx, const struct kap_catalog_entry *e, uint64_t token);
    /* A tombstone that nobody needs any more; no answer. */
    void (*forget)(void *ctx, enum kap_catalog_kind kind, struct kap_str id);
    void (*set_watermark)(void *ctx, uint64_t watermark); /* to be kept with the entries */
    /* After the change can be read. Called for every real change, not for a repetition. `local`: put or drop
     * here. */
    void (*changed)(void *ctx, const struct kap_catalog_entry *e, bool local);
    /* The change made here with this token is durable (KAP_OK) or is not (KAP_EIO). */
    void (*done)(void *ctx, uint64_t token, enum kap_status status);
    void (*notice)(void *ctx, const struct kap_catalog_notice *n);
    void *ctx;
};

struct kap_catalog_config {
    struct kap_str self; /* member ID */
    const struct kap_clock *clock;
    int64_t full_sync_ns;       /* 0: 5 minutes */
    struct kap_catalog_faults { /* rules switched off by tests, to show that tests notice */
        bool no_tombstones, no_durable_gate, no_repair;
    } faults;
};

struct kap_catalog *kap_catalog_new(const struct kap_catalog_config *config, const struct kap_catalog_io *io);
void kap_catalog_free(struct kap_catalog *c);

/* At start, before any input: what the store holds. No callbacks. */
void kap_catalog_load(struct kap_catalog *c, const struct kap_catalog_entry *e);
void kap_catalog_load_watermark(struct kap_catalog *c, uint64_t watermark);

/* Changes made here. Visible at once; `token` (0: none) comes back in io.done when durable.
 * KAP_ELIMIT: too large or too many; KAP_EINVAL: bad id. Dropping what is not there: KAP_OK, done is called.
 */
enum kap_status kap_catalog_put(struct kap_catalog *c, enum kap_catalog_kind kind, struct kap_str id,
                                struct kap_str blob, uint64_t token, struct kap_error *err);
enum kap_status kap_catalog_drop(struct kap_catalog *c, enum kap_catalog_kind kind, struct kap_str id,
                                 uint64_t token, struct kap_error *err);
/* NULL: not there. Tombstones are not there. */
const struct kap_catalog_entry *kap_catalog_get(struct kap_catalog *c, enum kap_catalog_kind kind,
                                                struct kap_str id);
/* Is there a tombstone? */
bool kap_catalog_was_dropped(struct kap_catalog *c, enum kap_catalog_kind kind, struct kap_str id);
/* In byte order of the IDs; false from fn ends the walk. */
void kap_catalog_each(struct kap_catalog *c, enum kap_catalog_kind kind,
                      bool (*fn)(void *ctx, const struct kap_catalog_entry *e), void *ctx);

void kap_catalog_message(struct kap_catalog *c, struct kap_str member, struct kap_str bytes);
void kap_catalog_stored(struct kap_catalog *c, uint64_t token, bool ok);
/* All listed members, ourselves included or not; whether they are up does not matter. */
void kap_catalog_members(struct kap_catalog *c, const struct kap_str *ids, size_t n);
/* A link to a member came up or went down. */
void kap_catalog_link(struct kap_catalog *c, struct kap_str member, bool up);
void kap_catalog_tick(struct kap_catalog *c);
int64_t kap_catalog_deadline(const struct kap_catalog *c); /* mono_ns; INT64_MAX: none */

/* This member is being added to a cluster: what it holds becomes `foreign`, older than anything the adder has
 * (the adder's wins, the other is reported as CONFLICT), and its tombstones and members go. Everything is
 * stored again. */
void kap_catalog_rebase(struct kap_catalog *c);
/* An entry that this member was told of while it is being added; any other version replaces it. After rebase.
 */
void kap_catalog_seed(struct kap_catalog *c, enum kap_catalog_kind kind, struct kap_str id,
                      struct kap_str blob);
/* This member was removed: definitions stay, tombstones and all members but `self` go. */
void kap_catalog_detach(struct kap_catalog *c);

struct kap_catalog_stats {
    size_t entries, tombstones, unstored, peers_behind;
    uint64_t pushes, repairs, refused, bad_messages, collected;
    uint64_t digest; /* of all durable content: equal digests, equal content */
};
struct kap_catalog_stats kap_catalog_stats(const struct kap_catalog *c);

#endif
