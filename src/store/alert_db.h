/* Outbox and topic states on disk: alert.db in the data directory. An event is stored once; pending
 * deliveries refer to it; done marks outlive it, within limits. Mirrors struct kap_dedup_store of
 * cluster/dedup.h, without knowing it. See db.h for durability, threads and failure. */
#ifndef KAP_STORE_ALERT_DB_H
#define KAP_STORE_ALERT_DB_H

#include "base/buf.h"
#include "store/db.h"

struct kap_alert_db;

struct kap_alert_key {
    uint64_t hi, lo;
};

/* A delivery that was given up. */
struct kap_alert_dead {
    uint64_t id;
    int64_t time_ns; /* wall clock */
    struct kap_str handler, error, blob;
};

struct kap_alert_db_config {
    size_t max_marks;    /* 0: 262,144; the oldest go first */
    int64_t mark_age_ns; /* 0: 1 hour, by the wall clock, swept at open and every few thousand marks */
};

enum kap_status kap_alert_db_open(const char *data_dir, const struct kap_alert_db_config *config,
                                  struct kap_alert_db **ret, struct kap_error *err);
void kap_alert_db_close(struct kap_alert_db *db);

struct kap_alert_db_loader {
    void (*mark)(void *ctx, struct kap_alert_key key, struct kap_str handler); /* handler "": all */
    void (*event)(void *ctx, struct kap_alert_key key, struct kap_str meta, struct kap_str blob,
                  const struct kap_str *handlers, size_t nhandlers);
    void (*topic)(void *ctx, struct kap_str topic, uint64_t dropped_stamp);
    void (*state)(void *ctx, struct kap_str topic, struct kap_str id, uint64_t stamp, struct kap_str blob);
    void (*dead)(void *ctx, const struct kap_alert_dead *letter); /* may be NULL */
    void *ctx;
};
/* Marks first, then events in the order in which they were stored, topics, states, dead letters by their IDs. */
enum kap_status kap_alert_db_load(struct kap_alert_db *db, const struct kap_alert_db_loader *loader,
                                  struct kap_error *err);

/* `handlers`: those that are not done; a later put of the same key replaces
 * all. */
void kap_alert_db_put_event(struct kap_alert_db *db, struct kap_alert_key key, struct kap_str meta,
                            struct kap_str blob, const struct kap_str *handlers, size_t nhandlers,
                            kap_db_done_fn done, void *ctx, uint64_t token);
void kap_alert_db_done(struct kap_alert_db *db, struct kap_alert_key key, struct kap_str handler,
                       int64_t wall_ns, kap_db_done_fn done, void *ctx, uint64_t token);
/* The event is complete: its row goes, a mark for all its handlers stays. */
void kap_alert_db_forget(struct kap_alert_db *db, struct kap_alert_key key, int64_t wall_ns);
/* Nobody will ask about the event: its row goes, nothing stays. `is_marked`: deliveries of it were marked as
 * done. */
void kap_alert_db_drop(struct kap_alert_db *db, struct kap_alert_key key, bool is_marked);
void kap_alert_db_put_state(struct kap_alert_db *db, struct kap_str topic, struct kap_str id, uint64_t stamp,
                            struct kap_str blob);
void kap_alert_db_drop_topic(struct kap_alert_db *db, struct kap_str topic, uint64_t stamp);
void kap_alert_db_put_dead(struct kap_alert_db *db, const struct kap_alert_dead *letter);
void kap_alert_db_drop_dead(struct kap_alert_db *db, uint64_t id);
/* Appends its event. KAP_ENOTFOUND. */
enum kap_status kap_alert_db_dead_blob(struct kap_alert_db *db, uint64_t id, struct kap_buf *ret, struct kap_error *err);
enum kap_status kap_alert_db_flush(struct kap_alert_db *db, struct kap_error *err);
struct kap_db_stats kap_alert_db_stats(struct kap_alert_db *db);

#endif
