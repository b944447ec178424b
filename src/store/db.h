/* One SQLite database with one writer thread: operations are queued, done in order, committed in groups, and
 * answered after the commit. What was answered survives SIGKILL at any instant; a power cut costs at most the
 * last 10 ms (the log is synced behind the commit, never later than that). The typed stores (catalog_db.h,
 * alert_db.h) are made of this. An operation waits a little for company (`linger_ns`), so that what is undone
 * meanwhile never costs a write. Failure: a database that is damaged, locked by another process, or newer
 * than this program is an error at open that names the file. A failed operation fails alone; the rest of its
 * group is done. Threads: kap_db_run() from any thread; callbacks come on the writer thread and must not
 * block. */
#ifndef KAP_STORE_DB_H
#define KAP_STORE_DB_H

#include "base/error.h"
#include "base/str.h"

struct kap_db;
struct sqlite3;
struct sqlite3_stmt;

/* Called on the writer thread after the commit. KAP_OK: durable. err is set otherwise. Borrowed until it
 * returns. */
typedef void (*kap_db_done_fn)(void *ctx, uint64_t token, enum kap_status status,
                               const struct kap_error *err);

struct kap_db_schema {
    const char *name;              /* for messages: "catalog" */
    const char *const *migrations; /* [i] takes schema version i to i + 1; several statements each */
    size_t nmigrations;
    const char *const *statements; /* prepared once, addressed by index */
    size_t nstatements;
    int64_t linger_ns; /* how long an operation may wait for others before its group is written */
};

enum kap_status kap_db_open(const char *path, const struct kap_db_schema *schema, struct kap_db **ret,
                            struct kap_error *err);
/* Does what is queued, then closes. */
void kap_db_close(struct kap_db *db);

/* A bound value. */
struct kap_db_value {
    enum { KAP_DB_NULL, KAP_DB_INT, KAP_DB_TEXT, KAP_DB_BLOB } kind;
    int64_t i;
    struct kap_str s;
};
static inline struct kap_db_value kap_db_int(int64_t i)
{
    return (struct kap_db_value){ .kind = KAP_DB_INT, .i = i };
}
static inline struct kap_db_value kap_db_text(struct kap_str s)
{
    return (struct kap_db_value){ .kind = KAP_DB_TEXT, .s = s };
}
static inline struct kap_db_value kap_db_blob(struct kap_str s)
{
    return (struct kap_db_value){ .kind = KAP_DB_BLOB, .s = s };
}

/* A statement of the schema with its values. */
struct kap_db_step {
    size_t statement, n;
    const struct kap_db_value *values;
};
/* One operation: all its steps or none. What the pointers lead to is copied. */
struct kap_db_operation {
    const struct kap_db_step *steps;
    size_t n;
    struct kap_str name; /* takes the place of a waiting operation of that name; "": has none */
    kap_db_done_fn done; /* may be NULL */
    void *ctx;
    uint64_t token;
};
/* Queues it. Waits while the queue is over its limit (64 MiB). */
void kap_db_run(struct kap_db *db, const struct kap_db_operation *op);
/* Takes a waiting operation back: it is answered as done and nothing is written. False: it is not waiting any
 * more. */
bool kap_db_take_back(struct kap_db *db, struct kap_str name);
/* Waits until everything queued so far is committed. KAP_EIO: something failed since the last flush. */
enum kap_status kap_db_flush(struct kap_db *db, struct kap_error *err);
/* Writes a consistent copy of what is committed to a new file; changes wait meanwhile. */
enum kap_status kap_db_copy(struct kap_db *db, const char *path, struct kap_error *err);

/* Reads rows with a statement of its own connection, on the caller's thread. False from row() ends it. */
typedef bool (*kap_db_row_fn)(void *ctx, struct sqlite3_stmt *row);
enum kap_status kap_db_read(struct kap_db *db, const char *sql, const struct kap_db_value *values, size_t n,
                            kap_db_row_fn row, void *ctx, struct kap_error *err);
struct kap_str kap_db_column(struct sqlite3_stmt *row,
                             int column); /* text or blob, borrowed until the next row */

struct kap_db_stats {
    uint64_t operations, commits, failures, syncs;
    size_t queued, queued_bytes;
};
struct kap_db_stats kap_db_stats(struct kap_db *db);

#endif
