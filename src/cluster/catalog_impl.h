/* What the files of the catalog share. Private to cluster/catalog*.c. */
#ifndef KAP_CLUSTER_CATALOG_IMPL_H
#define KAP_CLUSTER_CATALOG_IMPL_H

#include "base/duration.h"
#include "base/map.h"
#include "base/mem.h"
#include "cluster/catalog.h"
#include "cluster/hlc.h"

enum { BUCKETS = 256, MESSAGE_BYTES = 1 << 20 };

#define RETRY_NS KAP_S /* store again, compare again */
#define RETRY_MAX_NS (15 * KAP_S)
#define ROUND_NS (5 * KAP_S) /* one peer in turn is compared with */

struct entry {
    struct kap_catalog_entry e; /* strings owned */
    uint64_t durable_hash;      /* of the version that is durable; 0: none */
    uint64_t durable_seq;       /* when it became so, in our own count */
    uint64_t token;             /* of the latest store, 0: it was answered */
    bool unstored;              /* the latest version is not durable */
    bool push;                  /* tell the others once it is */
    int64_t store_again_at;     /* INT64_MAX: not due */
    uint8_t bucket;
};

/* A store that was not answered yet. */
struct storing {
    uint64_t token, user_token;
    struct entry *entry; /* NULL: the entry is gone */
};

struct peer {
    char *id;
    bool listed, linked;
    bool behind;     /* compare at sync_at */
    bool repairing;  /* a difference was seen */
    bool digest_due; /* tell our digest when all is durable */
    int64_t sync_at, pause_ns;
    uint64_t equal_seq; /* our count when its content was last seen equal to ours */
};

struct kap_catalog {
    char *self;
    struct kap_catalog_config config;
    struct kap_catalog_io io;
    struct kap_hlc hlc;
    struct kap_map *kinds[KAP_CATALOG_KINDS];
    uint64_t buckets[BUCKETS], root;
    uint64_t watermark, durable_seq, last_token;
    struct storing *storing;
    size_t nstoring, storing_cap;
    size_t failed_stores; /* entries with store_again_at */
    struct peer **peers;
    size_t npeers, peers_cap, round;
    int64_t full_at, round_at;
    struct kap_catalog_stats stats;
};

static inline int64_t catalog_now(const struct kap_catalog *c)
{
    return kap_clock_mono(c->config.clock);
}
void catalog_notice(struct kap_catalog *c, enum kap_catalog_notice_kind kind, struct kap_str member,
                    const char *text);
/* What a peer sent: applied if it is newer. */
void catalog_apply(struct kap_catalog *c, struct kap_str member, const struct kap_catalog_entry *e);
void catalog_raise_watermark(struct kap_catalog *c, uint64_t watermark);
struct entry *catalog_find(const struct kap_catalog *c, unsigned kind, struct kap_str id);
/* Does a come after b? */
bool catalog_newer(uint64_t stamp_a, struct kap_str origin_a, uint64_t stamp_b, struct kap_str origin_b);

/* catalog_sync.c */
void catalog_push(struct kap_catalog *c, const struct entry *e);
void catalog_sync_tick(struct kap_catalog *c, int64_t now);
void catalog_all_durable(struct kap_catalog *c); /* nothing is being stored: tell digests that are due */
void catalog_collect(struct kap_catalog *c);

#endif
