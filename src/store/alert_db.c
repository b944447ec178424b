#include "store/alert_db.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/mem.h"
#include <pthread.h>
#include <sqlite3.h>

enum { SWEEP_EVERY = 8192 };

struct kap_alert_db {
    struct kap_db *db;
    size_t max_marks;
    int64_t mark_age_ns;
    pthread_mutex_t lock;
    size_t marks_since_sweep;
};

/* A mark with an empty handler covers all handlers of the event. */
static const char *const migrations[] = {
    "CREATE TABLE event (seq INTEGER PRIMARY KEY AUTOINCREMENT, hi INTEGER NOT NULL, lo INTEGER NOT NULL,"
    " meta BLOB NOT NULL, blob BLOB NOT NULL);"
    "CREATE UNIQUE INDEX event_key ON event (hi, lo);"
    "CREATE TABLE pending (hi INTEGER NOT NULL, lo INTEGER NOT NULL, handler TEXT NOT NULL,"
    " PRIMARY KEY (hi, lo, handler)) WITHOUT ROWID;"
    "CREATE TABLE mark (seq INTEGER PRIMARY KEY, hi INTEGER NOT NULL, lo INTEGER NOT NULL, handler TEXT NOT "
    "NULL,"
    " time INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX mark_key ON mark (hi, lo, handler);"
    "CREATE TABLE topic (name TEXT PRIMARY KEY, dropped INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE state (topic TEXT NOT NULL, id TEXT NOT NULL, stamp INTEGER NOT NULL, blob BLOB NOT NULL,"
    " PRIMARY KEY (topic, id)) WITHOUT ROWID",
};

enum {
    PUT_EVENT,
    CLEAR_PENDING,
    PUT_PENDING,
    DROP_PENDING,
    DROP_DONE_PENDING,
    PUT_MARK,
    DROP_EVENT,
    DROP_MARKS_OF,
    SWEEP_AGE,
    SWEEP_COUNT,
    PUT_STATE,
    DROP_STATES,
    PUT_TOPIC,
};
static const char *const statements[] = {
    [PUT_EVENT] = "INSERT INTO event (hi, lo, meta, blob) VALUES (?1,?2,?3,?4)"
                  " ON CONFLICT (hi, lo) DO UPDATE SET meta = ?3, blob = ?4",
    [CLEAR_PENDING] = "DELETE FROM pending WHERE hi = ? AND lo = ?",
    [PUT_PENDING] = "INSERT OR IGNORE INTO pending (hi, lo, handler) VALUES (?,?,?)",
    [DROP_PENDING] = "DELETE FROM pending WHERE hi = ? AND lo = ? AND handler = ?",
    [DROP_DONE_PENDING] = "DELETE FROM pending WHERE hi = ?1 AND lo = ?2 AND handler IN"
                          " (SELECT handler FROM mark WHERE hi = ?1 AND lo = ?2)",
    [PUT_MARK] = "INSERT OR IGNORE INTO mark (hi, lo, handler, time) VALUES (?,?,?,?)",
    [DROP_EVENT] = "DELETE FROM event WHERE hi = ? AND lo = ?",
    [DROP_MARKS_OF] = "DELETE FROM mark WHERE hi = ? AND lo = ?",
    [SWEEP_AGE] = "DELETE FROM mark WHERE time < ?",
    [SWEEP_COUNT] = "DELETE FROM mark WHERE seq <= (SELECT max(seq) FROM mark) - ?",
    [PUT_STATE] = "INSERT OR REPLACE INTO state (topic, id, stamp, blob) VALUES (?,?,?,?)",
    [DROP_STATES] = "DELETE FROM state WHERE topic = ?",
    [PUT_TOPIC] = "INSERT OR REPLACE INTO topic (name, dropped) VALUES (?,?)",
};

static const struct kap_db_schema schema = {
    .name = "alert",
    .migrations = migrations,
    .nmigrations = KAP_COUNT(migrations),
    .statements = statements,
    .nstatements = KAP_COUNT(statements),
    .linger_ns = KAP_MS, /* an event that is delivered at once needs no place in the outbox */
};

static void run(struct kap_alert_db *db, const struct kap_db_step *steps, size_t n)
{
    kap_db_run(db->db, &(struct kap_db_operation){ .steps = steps, .n = n });
}

static void sweep(struct kap_alert_db *db, int64_t wall_ns)
{
    const struct kap_db_value oldest = kap_db_int(wall_ns - db->mark_age_ns);
    const struct kap_db_value most = kap_db_int((int64_t)db->max_marks);
    const struct kap_db_step steps[] = { { SWEEP_AGE, 1, &oldest }, { SWEEP_COUNT, 1, &most } };
    run(db, steps, 2);
}

static void count_mark(struct kap_alert_db *db, int64_t wall_ns)
{
    pthread_mutex_lock(&db->lock);
    const bool due = ++db->marks_since_sweep >= SWEEP_EVERY;
    if (due)
        db->marks_since_sweep = 0;
    pthread_mutex_unlock(&db->lock);
    if (due)
        sweep(db, wall_ns);
}

enum kap_status kap_alert_db_open(const char *data_dir, const struct kap_alert_db_config *config,
                                  struct kap_alert_db **ret, struct kap_error *err)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/alert.db", data_dir);
    struct kap_db *db = NULL;
    KAP_TRY(kap_db_open(path, &schema, &db, err));
    struct kap_alert_db *a = KAP_NEW(struct kap_alert_db);
    a->db = db;
    a->max_marks = config && config->max_marks ? config->max_marks : 262144;
    a->mark_age_ns = config && config->mark_age_ns ? config->mark_age_ns : KAP_HOUR;
    pthread_mutex_init(&a->lock, NULL);
    sweep(a, kap_clock_wall(&kap_clock_system));
    *ret = a;
    return KAP_OK;
}

void kap_alert_db_close(struct kap_alert_db *db)
{
    if (!db)
        return;
    kap_db_close(db->db);
    pthread_mutex_destroy(&db->lock);
    kap_free(db);
}

/* ---- load ---- */

/* An event arrives as one row per pending handler, or one with none. */
struct load {
    const struct kap_alert_db_loader *to;
    struct kap_alert_key key;
    bool open;
    struct kap_buf meta, blob;
    char **handlers;
    size_t n, cap;
};

static struct kap_alert_key key_of(struct sqlite3_stmt *st, int column)
{
    return (struct kap_alert_key){ (uint64_t)sqlite3_column_int64(st, column),
                                   (uint64_t)sqlite3_column_int64(st, column + 1) };
}

static void load_event_done(struct load *l)
{
    if (!l->open)
        return;
    struct kap_str *handlers = KAP_ARRAY(struct kap_str, l->n + 1);
    for (size_t i = 0; i < l->n; i++)
        handlers[i] = kap_str(l->handlers[i]);
    l->to->event(l->to->ctx, l->key, kap_buf_str(&l->meta), kap_buf_str(&l->blob), handlers, l->n);
    kap_free(handlers);
    for (size_t i = 0; i < l->n; i++)
        kap_free(l->handlers[i]);
    l->n = 0;
    l->open = false;
}

static bool load_event(void *ctx, struct sqlite3_stmt *st)
{
    struct load *l = ctx;
    const struct kap_alert_key key = key_of(st, 0);
    if (!l->open || key.hi != l->key.hi || key.lo != l->key.lo) {
        load_event_done(l);
        l->open = true;
        l->key = key;
        kap_buf_reset(&l->meta);
        kap_buf_add(&l->meta, kap_db_column(st, 2));
        kap_buf_reset(&l->blob);
        kap_buf_add(&l->blob, kap_db_column(st, 3));
    }
    if (sqlite3_column_type(st, 4) == SQLITE_NULL)
        return true;
    const struct kap_str handler = kap_db_column(st, 4);
    KAP_GROW(l->handlers, l->cap, l->n + 1);
    l->handlers[l->n++] = kap_strndup(handler.p, handler.n);
    return true;
}

static bool load_mark(void *ctx, struct sqlite3_stmt *st)
{
    const struct load *l = ctx;
    l->to->mark(l->to->ctx, key_of(st, 0), kap_db_column(st, 2));
    return true;
}

static bool load_topic(void *ctx, struct sqlite3_stmt *st)
{
    const struct load *l = ctx;
    l->to->topic(l->to->ctx, kap_db_column(st, 0), (uint64_t)sqlite3_column_int64(st, 1));
    return true;
}

static bool load_state(void *ctx, struct sqlite3_stmt *st)
{
    const struct load *l = ctx;
    l->to->state(l->to->ctx, kap_db_column(st, 0), kap_db_column(st, 1),
                 (uint64_t)sqlite3_column_int64(st, 2), kap_db_column(st, 3));
    return true;
}

static enum kap_status load_all(struct kap_alert_db *db, struct load *l, struct kap_error *err)
{
    KAP_TRY(kap_db_read(db->db, "SELECT hi, lo, handler FROM mark ORDER BY seq", NULL, 0, load_mark, l, err));
    KAP_TRY(kap_db_read(db->db,
                        "SELECT e.hi, e.lo, e.meta, e.blob, p.handler FROM event e"
                        " LEFT JOIN pending p ON p.hi = e.hi AND p.lo = e.lo ORDER BY e.seq, p.handler",
                        NULL, 0, load_event, l, err));
    load_event_done(l);
    KAP_TRY(
        kap_db_read(db->db, "SELECT name, dropped FROM topic ORDER BY name", NULL, 0, load_topic, l, err));
    return kap_db_read(db->db, "SELECT topic, id, stamp, blob FROM state ORDER BY topic, id", NULL, 0,
                       load_state, l, err);
}

enum kap_status kap_alert_db_load(struct kap_alert_db *db, const struct kap_alert_db_loader *loader,
                                  struct kap_error *err)
{
    KAP_TRY(kap_db_flush(db->db, err));
    struct load l = { .to = loader };
    const enum kap_status status = load_all(db, &l, err);
    for (size_t i = 0; i < l.n; i++)
        kap_free(l.handlers[i]);
    kap_free(l.handlers);
    kap_buf_done(&l.meta);
    kap_buf_done(&l.blob);
    return status;
}

/* ---- changes ---- */

/* What waiting operations are called: "e" and the key of an event, "s" and the topic and ID of a state. */
struct event_name {
    char kind;
    struct kap_alert_key key;
} __attribute__((packed));

static struct kap_str name_of(const struct event_name *name)
{
    return kap_strn((const char *)name, sizeof *name);
}

/* True: the event never came to the file, and will not. */
static bool take_back(struct kap_alert_db *db, struct kap_alert_key key)
{
    return kap_db_take_back(db->db, name_of(&(struct event_name){ 'e', key }));
}

void kap_alert_db_put_event(struct kap_alert_db *db, struct kap_alert_key key, bool is_new,
                            struct kap_str meta, struct kap_str blob, const struct kap_str *handlers,
                            size_t nhandlers, kap_db_done_fn done, void *ctx, uint64_t token)
{
    const struct kap_db_value event[] = {
        kap_db_int((int64_t)key.hi),
        kap_db_int((int64_t)key.lo),
        kap_db_blob(meta),
        kap_db_blob(blob),
    };
    struct kap_db_value(*pending)[3] = kap_calloc(nhandlers + 1, sizeof *pending);
    struct kap_db_step *steps = KAP_ARRAY(struct kap_db_step, nhandlers + 3);
    size_t n = 0;
    steps[n++] = (struct kap_db_step){ PUT_EVENT, 4, event };
    if (!is_new)
        steps[n++] = (struct kap_db_step){ CLEAR_PENDING, 2, event };
    for (size_t i = 0; i < nhandlers; i++) {
        pending[i][0] = event[0];
        pending[i][1] = event[1];
        pending[i][2] = kap_db_text(handlers[i]);
        steps[n++] = (struct kap_db_step){ PUT_PENDING, 3, pending[i] };
    }
    /* What was marked before the event was known stays done. */
    steps[n++] = (struct kap_db_step){ DROP_DONE_PENDING, 2, event };
    /* Only a first put may be taken back: there is no row that would have to go as well. */
    const struct event_name name = { 'e', key };
    is_new |= take_back(db, key);
    kap_db_run(db->db, &(struct kap_db_operation){ .steps = steps,
                                                   .n = n,
                                                   .name = is_new ? name_of(&name) : KAP_STR(""),
                                                   .done = done,
                                                   .ctx = ctx,
                                                   .token = token });
    kap_free(steps);
    kap_free(pending);
}

void kap_alert_db_done(struct kap_alert_db *db, struct kap_alert_key key, struct kap_str handler,
                       int64_t wall_ns, kap_db_done_fn done, void *ctx, uint64_t token)
{
    const struct kap_db_value values[] = {
        kap_db_int((int64_t)key.hi),
        kap_db_int((int64_t)key.lo),
        kap_db_text(handler),
        kap_db_int(wall_ns),
    };
    const struct kap_db_step steps[] = { { DROP_PENDING, 3, values }, { PUT_MARK, 4, values } };
    kap_db_run(db->db, &(struct kap_db_operation){
                           .steps = steps, .n = 2, .done = done, .ctx = ctx, .token = token });
    count_mark(db, wall_ns);
}

void kap_alert_db_forget(struct kap_alert_db *db, struct kap_alert_key key, int64_t wall_ns)
{
    const struct kap_db_value values[] = {
        kap_db_int((int64_t)key.hi),
        kap_db_int((int64_t)key.lo),
        kap_db_text(KAP_STR("")),
        kap_db_int(wall_ns),
    };
    const struct kap_db_step steps[] = {
        { DROP_EVENT, 2, values },
        { CLEAR_PENDING, 2, values },
        { DROP_MARKS_OF, 2, values },
        { PUT_MARK, 4, values },
    };
    const size_t skip = take_back(db, key) ? 2 : 0;
    run(db, steps + skip, KAP_COUNT(steps) - skip);
    count_mark(db, wall_ns);
}

void kap_alert_db_drop(struct kap_alert_db *db, struct kap_alert_key key, bool is_marked)
{
    const struct kap_db_value values[] = { kap_db_int((int64_t)key.hi), kap_db_int((int64_t)key.lo) };
    const struct kap_db_step steps[] = { { DROP_EVENT, 2, values },
                                         { CLEAR_PENDING, 2, values },
                                         { DROP_MARKS_OF, 2, values } };
    const size_t skip = take_back(db, key) ? 2 : 0;
    const size_t n = is_marked ? 3 : 2;
    if (skip < n)
        run(db, steps + skip, n - skip);
}

void kap_alert_db_put_state(struct kap_alert_db *db, struct kap_str topic, struct kap_str id, uint64_t stamp,
                            struct kap_str blob)
{
    const struct kap_db_value values[] = { kap_db_text(topic), kap_db_text(id), kap_db_int((int64_t)stamp),
                                           kap_db_blob(blob) };
    const struct kap_db_step step = { PUT_STATE, 4, values };
    KAP_AUTO_BUF struct kap_buf name = { 0 };
    kap_buf_addc(&name, 's');
    kap_buf_add(&name, topic);
    kap_buf_addc(&name, '\0');
    kap_buf_add(&name, id);
    kap_db_run(db->db, &(struct kap_db_operation){ .steps = &step, .n = 1, .name = kap_buf_str(&name) });
}

void kap_alert_db_drop_topic(struct kap_alert_db *db, struct kap_str topic, uint64_t stamp)
{
    const struct kap_db_value values[] = { kap_db_text(topic), kap_db_int((int64_t)stamp) };
    const struct kap_db_step steps[] = { { DROP_STATES, 1, values }, { PUT_TOPIC, 2, values } };
    run(db, steps, 2);
}

enum kap_status kap_alert_db_flush(struct kap_alert_db *db, struct kap_error *err)
{
    return kap_db_flush(db->db, err);
}

struct kap_db_stats kap_alert_db_stats(struct kap_alert_db *db)
{
    return kap_db_stats(db->db);
}
