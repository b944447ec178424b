#include "store/catalog_db.h"

#include "base/mem.h"
#include <sqlite3.h>

struct kap_catalog_db {
    struct kap_db *db;
};

static const char *const migrations[] = {
    "CREATE TABLE entry (kind INTEGER NOT NULL, id TEXT NOT NULL, blob BLOB NOT NULL, deleted INTEGER NOT "
    "NULL,"
    " is_foreign INTEGER NOT NULL, stamp INTEGER NOT NULL, origin TEXT NOT NULL, PRIMARY KEY (kind, id)) "
    "WITHOUT ROWID;"
    "CREATE TABLE setting (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE backup (kind INTEGER NOT NULL, id TEXT NOT NULL, blob BLOB NOT NULL, origin TEXT NOT NULL,"
    " stamp INTEGER NOT NULL, time INTEGER NOT NULL)",
};

enum { PUT, FORGET, SET_WATERMARK, BACKUP };
static const char *const statements[] = {
    [PUT] = ("INSERT OR REPLACE INTO entry (kind, id, blob, deleted, is_foreign, stamp, origin) VALUES "
             "(?,?,?,?,?,?,?)"),
    [FORGET] = "DELETE FROM entry WHERE kind = ? AND id = ?",
    [SET_WATERMARK] = "INSERT OR REPLACE INTO setting (name, value) VALUES ('watermark', ?)",
    [BACKUP] = "INSERT INTO backup (kind, id, blob, origin, stamp, time) VALUES (?,?,?,?,?,?)",
};

static const struct kap_db_schema schema = {
    .name = "catalog",
    .migrations = migrations,
    .nmigrations = KAP_COUNT(migrations),
    .statements = statements,
    .nstatements = KAP_COUNT(statements),
};

enum kap_status kap_catalog_db_open(const char *data_dir, struct kap_catalog_db **ret, struct kap_error *err)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/catalog.db", data_dir);
    struct kap_db *db = NULL;
    KAP_TRY(kap_db_open(path, &schema, &db, err));
    struct kap_catalog_db *c = KAP_NEW(struct kap_catalog_db);
    c->db = db;
    *ret = c;
    return KAP_OK;
}

void kap_catalog_db_close(struct kap_catalog_db *db)
{
    if (!db)
        return;
    kap_db_close(db->db);
    kap_free(db);
}

struct load {
    void (*row)(void *ctx, const struct kap_catalog_row *row);
    void *ctx;
    uint64_t watermark;
};

static bool load_row(void *ctx, struct sqlite3_stmt *st)
{
    const struct load *l = ctx;
    const struct kap_catalog_row row = {
        .kind = sqlite3_column_int(st, 0),
        .id = kap_db_column(st, 1),
        .blob = kap_db_column(st, 2),
        .deleted = sqlite3_column_int(st, 3) != 0,
        .foreign = sqlite3_column_int(st, 4) != 0,
        .stamp = (uint64_t)sqlite3_column_int64(st, 5),
        .origin = kap_db_column(st, 6),
    };
    l->row(l->ctx, &row);
    return true;
}

static bool load_watermark(void *ctx, struct sqlite3_stmt *st)
{
    struct load *l = ctx;
    l->watermark = (uint64_t)sqlite3_column_int64(st, 0);
    return false;
}

enum kap_status kap_catalog_db_load(struct kap_catalog_db *db,
                                    void (*row)(void *ctx, const struct kap_catalog_row *row), void *ctx,
                                    uint64_t *ret_watermark, struct kap_error *err)
{
    struct load l = { .row = row, .ctx = ctx };
    KAP_TRY(kap_db_read(
        db->db, "SELECT kind, id, blob, deleted, is_foreign, stamp, origin FROM entry ORDER BY kind, id",
        NULL, 0, load_row, &l, err));
    KAP_TRY(kap_db_read(db->db, "SELECT value FROM setting WHERE name = 'watermark'", NULL, 0, load_watermark,
                        &l, err));
    *ret_watermark = l.watermark;
    return KAP_OK;
}

static void run(struct kap_catalog_db *db, size_t statement, const struct kap_db_value *values, size_t n,
                kap_db_done_fn done, void *ctx, uint64_t token)
{
    const struct kap_db_step step = { statement, n, values };
    const struct kap_db_operation op = { .steps = &step, .n = 1, .done = done, .ctx = ctx, .token = token };
    kap_db_run(db->db, &op);
}

void kap_catalog_db_put(struct kap_catalog_db *db, const struct kap_catalog_row *row, kap_db_done_fn done,
                        void *ctx, uint64_t token)
{
    const struct kap_db_value values[] = {
        kap_db_int(row->kind),    kap_db_text(row->id),     kap_db_blob(row->blob),
        kap_db_int(row->deleted), kap_db_int(row->foreign), kap_db_int((int64_t)row->stamp),
        kap_db_text(row->origin),
    };
    run(db, PUT, values, KAP_COUNT(values), done, ctx, token);
}

void kap_catalog_db_forget(struct kap_catalog_db *db, int kind, struct kap_str id)
{
    const struct kap_db_value values[] = { kap_db_int(kind), kap_db_text(id) };
    run(db, FORGET, values, KAP_COUNT(values), NULL, NULL, 0);
}

void kap_catalog_db_set_watermark(struct kap_catalog_db *db, uint64_t watermark)
{
    const struct kap_db_value value = kap_db_int((int64_t)watermark);
    run(db, SET_WATERMARK, &value, 1, NULL, NULL, 0);
}

void kap_catalog_db_backup(struct kap_catalog_db *db, const struct kap_catalog_row *row, int64_t wall_ns)
{
    const struct kap_db_value values[] = {
        kap_db_int(row->kind),           kap_db_text(row->id),
        kap_db_blob(row->blob),          kap_db_text(row->origin),
        kap_db_int((int64_t)row->stamp), kap_db_int(wall_ns),
    };
    run(db, BACKUP, values, KAP_COUNT(values), NULL, NULL, 0);
}

struct backups {
    void (*row)(void *ctx, const struct kap_catalog_row *row, int64_t wall_ns);
    void *ctx;
};

static bool backup_row(void *ctx, struct sqlite3_stmt *st)
{
    const struct backups *b = ctx;
    const struct kap_catalog_row row = {
        .kind = sqlite3_column_int(st, 0),
        .id = kap_db_column(st, 1),
        .blob = kap_db_column(st, 2),
        .origin = kap_db_column(st, 3),
        .stamp = (uint64_t)sqlite3_column_int64(st, 4),
    };
    b->row(b->ctx, &row, sqlite3_column_int64(st, 5));
    return true;
}

enum kap_status kap_catalog_db_backups(struct kap_catalog_db *db,
                                       void (*row)(void *ctx, const struct kap_catalog_row *row,
                                                   int64_t wall_ns),
                                       void *ctx, struct kap_error *err)
{
    struct backups b = { .row = row, .ctx = ctx };
    return kap_db_read(db->db,
                       "SELECT kind, id, blob, origin, stamp, time FROM backup ORDER BY time, kind, id", NULL,
                       0, backup_row, &b, err);
}

enum kap_status kap_catalog_db_flush(struct kap_catalog_db *db, struct kap_error *err)
{
    return kap_db_flush(db->db, err);
}

enum kap_status kap_catalog_db_copy(struct kap_catalog_db *db, const char *path, struct kap_error *err)
{
    return kap_db_copy(db->db, path, err);
}
