#include "store/db.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/thread.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    QUEUE_BYTES = 64 << 20,
    GROUP_OPERATIONS = 1024,
    CHECKED_BYTES = 8 << 20, /* databases up to this size are checked at open */
    SYNC_BEHIND_MS = 8,      /* and a little for the sync itself */
};

/* Its values and their bytes stand behind the steps. */
struct operation {
    struct operation *next;
    size_t bytes;
    kap_db_done_fn done;
    void *ctx;
    uint64_t token;
    enum kap_status status;
    struct kap_str name;
    size_t n; /* 0: taken back */
    struct kap_db_step steps[];
};

struct kap_db {
    char *path, *wal_path;
    const struct kap_db_schema *schema;
    sqlite3 *sqlite;
    sqlite3_stmt **statements;
    int wal_fd;
    pthread_t thread;
    bool started;

    pthread_mutex_t connection; /* who uses `sqlite` */
    pthread_mutex_t lock;       /* all below */
    pthread_cond_t work, room, idle;
    struct operation *first, **last;
    struct kap_map *names; /* of waiting operations */
    size_t queued, queued_bytes, in_work;
    int64_t first_at_ns; /* when the queue began to fill */
    size_t flushing;     /* callers that wait for an empty queue */
    bool closing;
    uint64_t failures_seen;
    struct kap_db_stats stats;
};

static enum kap_status fail_sqlite(struct kap_error *err, sqlite3 *sqlite, int code, const char *path,
                                   const char *what)
{
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
        return kap_fail(err, KAP_ESTATE, "%s is locked by another process", path);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        return kap_fail(err, KAP_EIO, "%s is damaged (%s): move it away or restore it from a backup", path,
                        sqlite3_errstr(code));
    return kap_fail(err, KAP_EIO, "%s: cannot %s: %s", path, what,
                    sqlite ? sqlite3_errmsg(sqlite) : sqlite3_errstr(code));
}

static enum kap_status exec(struct kap_db *db, const char *sql, const char *what, struct kap_error *err)
{
    const int code = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? KAP_OK : fail_sqlite(err, db->sqlite, code, db->path, what);
}

static enum kap_status query_int(struct kap_db *db, const char *sql, int64_t *ret, struct kap_error *err)
{
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(db->sqlite, sql, -1, &st, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    enum kap_status status = KAP_OK;
    if (code == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    else
        status = fail_sqlite(err, db->sqlite, code, db->path, "read");
    sqlite3_finalize(st);
    return status;
}

/* ---- open ---- */

static enum kap_status check_content(struct kap_db *db, struct kap_error *err)
{
    struct stat st;
    if (stat(db->path, &st) != 0 || st.st_size > CHECKED_BYTES)
        return KAP_OK;
    sqlite3_stmt *check = NULL;
    int code = sqlite3_prepare_v2(db->sqlite, "PRAGMA quick_check(1)", -1, &check, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(check);
    enum kap_status status = KAP_OK;
    if (code != SQLITE_ROW)
        status = fail_sqlite(err, db->sqlite, code, db->path, "check");
    else if (strcmp((const char *)sqlite3_column_text(check, 0), "ok") != 0)
        status = kap_fail(err, KAP_EIO, "%s is damaged (%s): move it away or restore it from a backup",
                          db->path, (const char *)sqlite3_column_text(check, 0));
    sqlite3_finalize(check);
    return status;
}

static enum kap_status migrate(struct kap_db *db, struct kap_error *err)
{
    int64_t version = 0;
    KAP_TRY(query_int(db, "PRAGMA user_version", &version, err));
    if (version < 0 || (size_t)version > db->schema->nmigrations)
        return kap_fail(
            err, KAP_ESTATE,
            "%s has schema version %lld, this program knows up to %zu: it was written by a newer version",
            db->path, (long long)version, db->schema->nmigrations);
    for (size_t i = (size_t)version; i < db->schema->nmigrations; i++) {
        KAP_AUTO_FREE char *sql = kap_asprintf("BEGIN IMMEDIATE;%s;PRAGMA user_version=%zu;COMMIT",
                                               db->schema->migrations[i], i + 1);
        KAP_TRY(exec(db, sql, "migrate", err));
    }
    return KAP_OK;
}

static enum kap_status prepare(struct kap_db *db, struct kap_error *err)
{
    db->statements = KAP_ARRAY(sqlite3_stmt *, db->schema->nstatements + 1);
    for (size_t i = 0; i < db->schema->nstatements; i++) {
        const int code = sqlite3_prepare_v3(db->sqlite, db->schema->statements[i], -1,
                                            SQLITE_PREPARE_PERSISTENT, &db->statements[i], NULL);
        if (code != SQLITE_OK)
            return fail_sqlite(err, db->sqlite, code, db->path, "prepare a statement");
    }
    return KAP_OK;
}

static enum kap_status open_sqlite(struct kap_db *db, struct kap_error *err)
{
    const int code = sqlite3_open_v2(
        db->path, &db->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL);
    if (code != SQLITE_OK)
        return fail_sqlite(err, db->sqlite, code, db->path, "open");
    sqlite3_extended_result_codes(db->sqlite, 0);
    KAP_TRY(exec(db, "PRAGMA locking_mode=EXCLUSIVE", "lock", err));
    KAP_TRY(exec(db, "PRAGMA journal_mode=WAL", "switch to WAL", err));
    /* Commits reach the system at once and the disk behind sync_log(): SIGKILL loses nothing. */
    KAP_TRY(exec(db, "PRAGMA synchronous=NORMAL;PRAGMA wal_autocheckpoint=2000;PRAGMA cache_size=-1024",
                 "configure", err));
    KAP_TRY(exec(db, "BEGIN IMMEDIATE;COMMIT", "write", err));
    KAP_TRY(check_content(db, err));
    KAP_TRY(migrate(db, err));
    return prepare(db, err);
}

/* ---- the writer ---- */

static int bind_values(sqlite3_stmt *st, const struct kap_db_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct kap_db_value *v = &values[i];
        const int at = (int)i + 1;
        int code = SQLITE_OK;
        switch (v->kind) {
        case KAP_DB_NULL:
            code = sqlite3_bind_null(st, at);
            break;
        case KAP_DB_INT:
            code = sqlite3_bind_int64(st, at, v->i);
            break;
        case KAP_DB_TEXT:
            code = sqlite3_bind_text64(st, at, v->s.n ? v->s.p : "", v->s.n, SQLITE_STATIC, SQLITE_UTF8);
            break;
        case KAP_DB_BLOB:
            code = sqlite3_bind_blob64(st, at, v->s.n ? v->s.p : "", v->s.n, SQLITE_STATIC);
            break;
        }
        if (code != SQLITE_OK)
            return code;
    }
    return SQLITE_OK;
}

static enum kap_status run_step(struct kap_db *db, const struct kap_db_step *step, struct kap_error *err)
{
    sqlite3_stmt *st = db->statements[step->statement];
    int code = bind_values(st, step->values, step->n);
    if (code == SQLITE_OK)
        do
            code = sqlite3_step(st);
        while (code == SQLITE_ROW);
    const enum kap_status status =
        code == SQLITE_DONE ? KAP_OK : fail_sqlite(err, db->sqlite, code, db->path, "write");
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return status;
}

static void run_operation(struct kap_db *db, struct operation *op, struct kap_error *err)
{
    const bool several = op->n > 1;
    op->status = several ? exec(db, "SAVEPOINT operation", "begin", err) : KAP_OK;
    for (size_t i = 0; i < op->n && op->status == KAP_OK; i++)
        op->status = run_step(db, &op->steps[i], err);
    if (several && sqlite3_get_autocommit(db->sqlite) == 0)
        exec(db, op->status == KAP_OK ? "RELEASE operation" : "ROLLBACK TO operation;RELEASE operation",
             "end", NULL);
}

static enum kap_status write_group(struct kap_db *db, struct operation *group, struct kap_error *err)
{
    pthread_mutex_lock(&db->connection);
    enum kap_status whole = exec(db, "BEGIN IMMEDIATE", "begin", err);
    for (struct operation *op = group; op && whole == KAP_OK; op = op->next) {
        run_operation(db, op, err);
        /* A full disk rolls everything back by itself. */
        if (sqlite3_get_autocommit(db->sqlite) != 0)
            whole = op->status == KAP_OK ? KAP_EIO : op->status;
    }
    if (whole == KAP_OK)
        whole = exec(db, "COMMIT", "commit", err);
    if (whole != KAP_OK && sqlite3_get_autocommit(db->sqlite) == 0)
        exec(db, "ROLLBACK", "roll back", NULL);
    pthread_mutex_unlock(&db->connection);
    return whole;
}

/* False: there was nothing to write. */
static bool run_group(struct kap_db *db, struct operation *group)
{
    struct kap_error err = { 0 };
    bool any = false;
    for (const struct operation *op = group; op && !any; op = op->next)
        any = op->n > 0;
    const enum kap_status whole = any ? write_group(db, group, &err) : KAP_OK;

    uint64_t operations = 0, failures = 0;
    for (struct operation *op = group; op; op = op->next) {
        if (whole != KAP_OK)
            op->status = whole;
        operations++;
        failures += op->status != KAP_OK;
        if (op->done)
            op->done(op->ctx, op->token, op->status, op->status == KAP_OK ? NULL : &err);
    }
    pthread_mutex_lock(&db->lock);
    db->stats.operations += operations;
    db->stats.failures += failures;
    db->failures_seen += failures;
    db->stats.commits += any && whole == KAP_OK;
    pthread_mutex_unlock(&db->lock);
    return any;
}

static void sync_log(struct kap_db *db)
{
    /* The log never takes locks of its own, so a second descriptor is safe (SQLite's locks sit on the main
     * file). */
    if (db->wal_fd < 0)
        db->wal_fd = open(db->wal_path, O_RDONLY | O_CLOEXEC);
    if (db->wal_fd >= 0)
        fdatasync(db->wal_fd);
    pthread_mutex_lock(&db->lock);
    db->stats.syncs++;
    pthread_mutex_unlock(&db->lock);
}

/* Takes a group off the queue; NULL when there is none. */
static struct operation *take_group(struct kap_db *db, size_t *ret_n, size_t *ret_bytes)
{
    struct operation *group = db->first, *end = NULL;
    size_t n = 0, bytes = 0;
    for (struct operation *op = group; op && n < GROUP_OPERATIONS; op = op->next) {
        n++;
        bytes += op->bytes;
        end = op;
        if (op->name.n && op->n)
            kap_map_del(db->names, op->name);
    }
    if (end) {
        db->first = end->next;
        if (!db->first)
            db->last = &db->first;
        end->next = NULL;
    }
    *ret_n = n;
    *ret_bytes = bytes;
    return group;
}

static void free_group(struct operation *op)
{
    while (op) {
        struct operation *next = op->next;
        kap_free(op);
        op = next;
    }
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * KAP_S + t.tv_nsec;
}

/* Waits until a group or a sync is due; INT64_MAX: no sync. With the lock held. */
static void wait_for_work(struct kap_db *db, int64_t sync_at_ns)
{
    while (!db->closing) {
        int64_t until_ns = sync_at_ns;
        if (db->first && (db->flushing || db->queued >= GROUP_OPERATIONS))
            return;
        if (db->first)
            until_ns = KAP_MIN(until_ns, db->first_at_ns + db->schema->linger_ns);
        if (until_ns == INT64_MAX) {
            pthread_cond_wait(&db->work, &db->lock);
            continue;
        }
        if (until_ns <= now_ns())
            return;
        const struct timespec t = { until_ns / KAP_S, until_ns % KAP_S };
        pthread_cond_timedwait(&db->work, &db->lock, &t);
    }
}

static void *writer(void *arg)
{
    struct kap_db *db = arg;
    int64_t sync_at_ns = INT64_MAX;
    pthread_mutex_lock(&db->lock);
    for (;;) {
        wait_for_work(db, sync_at_ns);
        if (!db->first && db->closing)
            break;
        size_t n, bytes;
        struct operation *group = take_group(db, &n, &bytes);
        db->in_work = n;
        pthread_mutex_unlock(&db->lock);
        if (group) {
            if (run_group(db, group) && sync_at_ns == INT64_MAX)
                sync_at_ns = now_ns() + SYNC_BEHIND_MS * KAP_MS;
            free_group(group);
        }
        if (sync_at_ns <= now_ns()) {
            sync_log(db);
            sync_at_ns = INT64_MAX;
        }
        pthread_mutex_lock(&db->lock);
        db->in_work = 0;
        db->queued -= n;
        db->queued_bytes -= bytes;
        db->first_at_ns = now_ns();
        pthread_cond_broadcast(&db->room);
        if (!db->first)
            pthread_cond_broadcast(&db->idle);
    }
    pthread_mutex_unlock(&db->lock);
    return NULL;
}

/* ---- life ---- */

static void free_db(struct kap_db *db)
{
    for (size_t i = 0; db->statements && i < db->schema->nstatements; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close(db->sqlite);
    if (db->wal_fd >= 0)
        close(db->wal_fd);
    pthread_cond_destroy(&db->work);
    pthread_cond_destroy(&db->room);
    pthread_cond_destroy(&db->idle);
    pthread_mutex_destroy(&db->lock);
    pthread_mutex_destroy(&db->connection);
    kap_map_free(db->names);
    kap_free(db->statements);
    kap_free(db->wal_path);
    kap_free(db->path);
    kap_free(db);
}

enum kap_status kap_db_open(const char *path, const struct kap_db_schema *schema, struct kap_db **ret,
                            struct kap_error *err)
{
    struct kap_db *db = KAP_NEW(struct kap_db);
    db->path = kap_strdup(path);
    db->wal_path = kap_asprintf("%s-wal", path);
    db->wal_fd = -1;
    db->schema = schema;
    db->last = &db->first;
    db->names = kap_map_new();
    pthread_mutex_init(&db->connection, NULL);
    pthread_mutex_init(&db->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&db->work, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&db->room, NULL);
    pthread_cond_init(&db->idle, NULL);
    enum kap_status status = open_sqlite(db, err);
    if (status == KAP_OK && kap_thread_start(&db->thread, "store", writer, db) != 0)
        status = kap_fail(err, KAP_EIO, "%s: cannot start the writer thread", path);
    if (status != KAP_OK) {
        free_db(db);
        return status;
    }
    db->started = true;
    *ret = db;
    return KAP_OK;
}

void kap_db_close(struct kap_db *db)
{
    if (!db)
        return;
    pthread_mutex_lock(&db->lock);
    db->closing = true;
    pthread_cond_signal(&db->work);
    pthread_mutex_unlock(&db->lock);
    if (db->started)
        pthread_join(db->thread, NULL);
    free_db(db);
}

/* ---- use ---- */

static struct kap_str copy_bytes(char **at, struct kap_str s)
{
    if (s.n == 0)
        return s;
    memcpy(*at, s.p, s.n);
    const struct kap_str copy = kap_strn(*at, s.n);
    *at += s.n;
    return copy;
}

static struct operation *copy_operation(const struct kap_db_operation *from)
{
    size_t nvalues = 0, nbytes = from->name.n;
    for (size_t i = 0; i < from->n; i++) {
        nvalues += from->steps[i].n;
        for (size_t k = 0; k < from->steps[i].n; k++)
            nbytes += from->steps[i].values[k].s.n;
    }
    const size_t bytes = sizeof(struct operation) + from->n * sizeof *from->steps +
                         nvalues * sizeof(struct kap_db_value) + nbytes;
    struct operation *op = kap_alloc(bytes);
    *op = (struct operation){
        .bytes = bytes, .done = from->done, .ctx = from->ctx, .token = from->token, .n = from->n
    };
    struct kap_db_value *values = (struct kap_db_value *)&op->steps[op->n];
    char *at = (char *)&values[nvalues];
    op->name = copy_bytes(&at, from->name);
    for (size_t i = 0; i < op->n; i++) {
        const struct kap_db_step *step = &from->steps[i];
        op->steps[i] = (struct kap_db_step){ step->statement, step->n, values };
        for (size_t k = 0; k < step->n; k++, values++) {
            *values = step->values[k];
            values->s = copy_bytes(&at, step->values[k].s);
        }
    }
    return op;
}

/* It stays in the queue to be answered in its turn. */
static void make_void(struct operation *op)
{
    op->n = 0;
}

void kap_db_run(struct kap_db *db, const struct kap_db_operation *from)
{
    struct operation *op = copy_operation(from);
    pthread_mutex_lock(&db->lock);
    while (db->queued_bytes > QUEUE_BYTES)
        pthread_cond_wait(&db->room, &db->lock);
    if (op->name.n) {
        struct operation *before = kap_map_put(db->names, op->name, op);
        if (before)
            make_void(before);
    }
    const bool was_empty = !db->first;
    if (was_empty)
        db->first_at_ns = now_ns();
    *db->last = op;
    db->last = &op->next;
    db->queued++;
    db->queued_bytes += op->bytes;
    if (was_empty || db->queued == GROUP_OPERATIONS) /* else the writer knows */
        pthread_cond_signal(&db->work);
    pthread_mutex_unlock(&db->lock);
}

bool kap_db_take_back(struct kap_db *db, struct kap_str name)
{
    pthread_mutex_lock(&db->lock);
    struct operation *op = kap_map_del(db->names, name);
    if (op)
        make_void(op);
    pthread_mutex_unlock(&db->lock);
    return op != NULL;
}

enum kap_status kap_db_flush(struct kap_db *db, struct kap_error *err)
{
    pthread_mutex_lock(&db->lock);
    db->flushing++;
    pthread_cond_signal(&db->work);
    while (db->first || db->in_work)
        pthread_cond_wait(&db->idle, &db->lock);
    db->flushing--;
    const uint64_t failures = db->failures_seen;
    db->failures_seen = 0;
    pthread_mutex_unlock(&db->lock);
    if (failures)
        return kap_fail(err, KAP_EIO, "%s: %llu operations failed", db->path, (unsigned long long)failures);
    return KAP_OK;
}

enum kap_status kap_db_read(struct kap_db *db, const char *sql, const struct kap_db_value *values, size_t n,
                            kap_db_row_fn row, void *ctx, struct kap_error *err)
{
    pthread_mutex_lock(&db->connection);
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(db->sqlite, sql, -1, &st, NULL);
    if (code == SQLITE_OK)
        code = bind_values(st, values, n);
    if (code == SQLITE_OK) {
        while ((code = sqlite3_step(st)) == SQLITE_ROW)
            if (!row(ctx, st)) {
                code = SQLITE_DONE;
                break;
            }
    }
    const enum kap_status status =
        code == SQLITE_DONE ? KAP_OK : fail_sqlite(err, db->sqlite, code, db->path, "read");
    sqlite3_finalize(st);
    pthread_mutex_unlock(&db->connection);
    return status;
}

struct kap_str kap_db_column(struct sqlite3_stmt *row, int column)
{
    const char *p = sqlite3_column_blob(row, column);
    return p ? kap_strn(p, (size_t)sqlite3_column_bytes(row, column)) : kap_str("");
}

struct kap_db_stats kap_db_stats(struct kap_db *db)
{
    pthread_mutex_lock(&db->lock);
    struct kap_db_stats stats = db->stats;
    stats.queued = db->queued;
    stats.queued_bytes = db->queued_bytes;
    pthread_mutex_unlock(&db->lock);
    return stats;
}

static bool no_row(void *ctx, sqlite3_stmt *row)
{
    return true;
}

enum kap_status kap_db_copy(struct kap_db *db, const char *path, struct kap_error *err)
{
    const struct kap_db_value target = kap_db_text(kap_str(path));
    KAP_TRY(kap_db_flush(db, err));
    return kap_db_read(db, "VACUUM INTO ?1", &target, 1, no_row, NULL, err);
}
