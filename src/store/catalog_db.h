/* The catalog on disk: catalog.db in the data directory. Mirrors cluster/catalog.h field by field, without
 * knowing it. See db.h for durability, threads and failure. */
#ifndef KAP_STORE_CATALOG_DB_H
#define KAP_STORE_CATALOG_DB_H

#include "store/db.h"

struct kap_catalog_db;

struct kap_catalog_row {
    int kind;
    struct kap_str id, blob, origin;
    bool deleted, foreign;
    uint64_t stamp;
};

enum kap_status kap_catalog_db_open(const char *data_dir, struct kap_catalog_db **ret, struct kap_error *err);
void kap_catalog_db_close(struct kap_catalog_db *db);
enum kap_status kap_catalog_db_load(struct kap_catalog_db *db,
                                    void (*row)(void *ctx, const struct kap_catalog_row *row), void *ctx,
                                    uint64_t *ret_watermark, struct kap_error *err);

void kap_catalog_db_put(struct kap_catalog_db *db, const struct kap_catalog_row *row, kap_db_done_fn done,
                        void *ctx, uint64_t token);
void kap_catalog_db_forget(struct kap_catalog_db *db, int kind, struct kap_str id);
void kap_catalog_db_set_watermark(struct kap_catalog_db *db, uint64_t watermark);
/* What a merge replaced, kept for the user. */
void kap_catalog_db_backup(struct kap_catalog_db *db, const struct kap_catalog_row *row, int64_t wall_ns);
enum kap_status kap_catalog_db_backups(struct kap_catalog_db *db,
                                       void (*row)(void *ctx, const struct kap_catalog_row *row,
                                                   int64_t wall_ns),
                                       void *ctx, struct kap_error *err);
enum kap_status kap_catalog_db_flush(struct kap_catalog_db *db, struct kap_error *err);
enum kap_status kap_catalog_db_copy(struct kap_catalog_db *db, const char *path, struct kap_error *err);

#endif
