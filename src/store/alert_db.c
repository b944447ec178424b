#include "store/alert_db.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/map.h"
#include "base/mem.h"
#include <pthread.h>
#include <sqlite3.h>

enum { SWEEP_EVERY = 8192 };

/* What the file says about events is found by their place in it, which is the order of their arrival: rows
 * that come and go together stand together. Where an event stands is known in memory. */
struct kap_alert_db {
    struct kap_db *db;
    size_t max_marks;
    int64_t mark_age_ns;
    pthread_mutex_t lock;
    struct kap_map *places; /* of events that are in the file or on the way there, by key */
    int64_t last_place;
    size_t marks_since_sweep;
};

/* event.handlers: those to deliver to when it was put, each with a zero byte behind it; delivered: those done
 * since. A mark with an empty handler covers all handlers of the event. */
static const char *const migrations[] = {
    "CREATE TABLE event (place INTEGER PRIMARY KEY, hi INTEGER NOT NULL, lo INTEGER NOT NULL,"
    " meta BLOB NOT NULL, blob BLOB NOT NULL, handlers BLOB NOT NULL);"
    "CREATE TABLE delivered (place INTEGER NOT NULL, handler TEXT NOT NULL,"
    " PRIMARY KEY (place, handler)) WITHOUT ROWID;"
    "CREATE TABLE mark (seq INTEGER PRIMARY KEY, hi INTEGER NOT NULL, lo INTEGER NOT NULL,"
    " handler TEXT NOT NULL, time INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX mark_key ON mark (hi, lo, handler);"
    "CREATE TABLE topic (name TEXT PRIMARY KEY, dropped INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE state (topic TEXT NOT NULL, id TEXT NOT NULL, stamp INTEGER NOT NULL, blob BLOB NOT NULL,"
    " PRIMARY KEY (topic, id)) WITHOUT ROWID",
    "CREATE TABLE dead (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, handler TEXT NOT NULL,"
    " error TEXT NOT NULL, blob BLOB NOT NULL)",
};

enum {
    PUT_EVENT,
    DROP_EVENT,
    PUT_DELIVERED,
    DROP_DELIVERED,
    PUT_MARK,
    DROP_MARKS_OF,
    SWEEP_AGE,
    SWEEP_COUNT,
    PUT_STATE,
    DROP_STATES,
    PUT_TOPIC,
    PUT_DEAD,
    DROP_DEAD,
};
static const char *const statements[] = {
    [PUT_EVENT] = "INSERT OR REPLACE INTO event (place, hi, lo, meta, blob, handlers) VALUES (?,?,?,?,?,?)",
    [DROP_EVENT] = "DELETE FROM event WHERE place = ?",
    [PUT_DELIVERED] = "INSERT OR IGNORE INTO delivered (place, handler) VALUES (?,?)",
    [DROP_DELIVERED] = "DELETE FROM delivered WHERE place = ?",
    [PUT_MARK] = "INSERT OR IGNORE INTO mark (hi, lo, handler, time) VALUES (?,?,?,?)",
    [DROP_MARKS_OF] = "DELETE FROM mark WHERE hi = ? AND lo = ?",
    [SWEEP_AGE] = "DELETE FROM mark WHERE time < ?",
    [SWEEP_COUNT] = "DELETE FROM mark WHERE seq <= (SELECT max(seq) FROM mark) - ?",
    [PUT_STATE] = "INSERT OR REPLACE INTO state (topic, id, stamp, blob) VALUES (?,?,?,?)",
    [DROP_STATES] = "DELETE FROM state WHERE topic = ?",
    [PUT_TOPIC] = "INSERT OR REPLACE INTO topic (name, dropped) VALUES (?,?)",
    [PUT_DEAD] = "INSERT OR REPLACE INTO dead (id, time, handler, error, blob) VALUES (?,?,?,?,?)",
    [DROP_DEAD] = "DELETE FROM dead WHERE id = ?",
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

static struct kap_str key_bytes(const struct kap_alert_key *key)
{
    return kap_strn((const char *)key, sizeof *key);
}

/* 0: it is not in the file. */
static int64_t place_of(struct kap_alert_db *db, struct kap_alert_key key)
{
    pthread_mutex_lock(&db->lock);
    const int64_t place = (int64_t)(intptr_t)kap_map_get(db->places, key_bytes(&key));
    pthread_mutex_unlock(&db->lock);
    return place;
}

static int64_t make_place(struct kap_alert_db *db, struct kap_alert_key key)
{
    pthread_mutex_lock(&db->lock);
    int64_t place = (int64_t)(intptr_t)kap_map_get(db->places, key_bytes(&key));
    if (place == 0) {
        place = ++db->last_place;
        kap_map_put(db->places, key_bytes(&key), (void *)(intptr_t)place);
    }
    pthread_mutex_unlock(&db->lock);
    return place;
}

static int64_t take_place(struct kap_alert_db *db, struct kap_alert_key key)
{
    pthread_mutex_lock(&db->lock);
    const int64_t place = (int64_t)(intptr_t)kap_map_del(db->places, key_bytes(&key));
    pthread_mutex_unlock(&db->lock);
    return place;
}

static struct kap_alert_key key_of(struct sqlite3_stmt *st, int column)
{
    return (struct kap_alert_key){ (uint64_t)sqlite3_column_int64(st, column),
                                   (uint64_t)sqlite3_column_int64(st, column + 1) };
}

static bool load_place(void *ctx, struct sqlite3_stmt *st)
{
    struct kap_alert_db *db = ctx;
    const struct kap_alert_key key = key_of(st, 1);
    db->last_place = sqlite3_column_int64(st, 0);
    kap_map_put(db->places, key_bytes(&key), (void *)(intptr_t)db->last_place);
    return true;
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
    a->places = kap_map_new();
    pthread_mutex_init(&a->lock, NULL);
    const enum kap_status status =
        kap_db_read(db, "SELECT place, hi, lo FROM event ORDER BY place", NULL, 0, load_place, a, err);
    if (status != KAP_OK) {
        kap_alert_db_close(a);
        return status;
    }
    sweep(a, kap_clock_wall(&kap_clock_system));
    *ret = a;
    return KAP_OK;
}

void kap_alert_db_close(struct kap_alert_db *db)
{
    if (!db)
        return;
    kap_db_close(db->db);
    kap_map_free(db->places);
    pthread_mutex_destroy(&db->lock);
    kap_free(db);
}

/* ---- load ---- */

struct load {
    const struct kap_alert_db_loader *to;
    struct kap_map *done; /* deliveries: keys of events with handlers behind them */
};

static void done_key(struct kap_buf *key, struct kap_alert_key event, struct kap_str handler)
{
    kap_buf_reset(key);
    kap_buf_add(key, key_bytes(&event));
    kap_buf_add(key, handler);
}

static void is_done(const struct load *l, struct kap_alert_key key, struct kap_str handler)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    done_key(&b, key, handler);
    kap_map_put(l->done, kap_buf_str(&b), l->done);
}

static bool load_mark(void *ctx, struct sqlite3_stmt *st)
{
    const struct load *l = ctx;
    is_done(l, key_of(st, 0), kap_db_column(st, 2));
    l->to->mark(l->to->ctx, key_of(st, 0), kap_db_column(st, 2));
    return true;
}

static bool load_delivered(void *ctx, struct sqlite3_stmt *st)
{
    is_done(ctx, key_of(st, 0), kap_db_column(st, 2));
    return true;
}

static bool load_event(void *ctx, struct sqlite3_stmt *st)
{
    const struct load *l = ctx;
    const struct kap_alert_key key = key_of(st, 0);
    struct kap_str left = kap_db_column(st, 4);
    struct kap_str *pending = NULL;
    size_t n = 0, cap = 0;
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    while (left.n) {
        const struct kap_str handler = kap_strn(left.p, strnlen(left.p, left.n));
        const size_t used = KAP_MIN(handler.n + 1, left.n);
        left = kap_strn(left.p + used, left.n - used);
        done_key(&b, key, handler);
        if (kap_map_get(l->done, kap_buf_str(&b)))
            continue;
        KAP_GROW(pending, cap, n + 1);
        pending[n++] = handler;
    }
    l->to->event(l->to->ctx, key, kap_db_column(st, 2), kap_db_column(st, 3), pending, n);
    kap_free(pending);
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

static bool load_dead(void *ctx, struct sqlite3_stmt *st)
{
    const struct load *l = ctx;
    const struct kap_alert_dead letter = { .id = (uint64_t)sqlite3_column_int64(st, 0),
                                           .time_ns = sqlite3_column_int64(st, 1),
                                           .handler = kap_db_column(st, 2),
                                           .error = kap_db_column(st, 3),
                                           .blob = kap_db_column(st, 4) };
    if (l->to->dead)
        l->to->dead(l->to->ctx, &letter);
    return true;
}

static enum kap_status load_all(struct kap_alert_db *db, struct load *l, struct kap_error *err)
{
    KAP_TRY(kap_db_read(db->db, "SELECT hi, lo, handler FROM mark ORDER BY seq", NULL, 0, load_mark, l, err));
    KAP_TRY(kap_db_read(db->db,
                        "SELECT e.hi, e.lo, d.handler FROM delivered d JOIN event e ON e.place = d.place",
                        NULL, 0, load_delivered, l, err));
    KAP_TRY(kap_db_read(db->db, "SELECT hi, lo, meta, blob, handlers FROM event ORDER BY place", NULL, 0,
                        load_event, l, err));
    KAP_TRY(
        kap_db_read(db->db, "SELECT name, dropped FROM topic ORDER BY name", NULL, 0, load_topic, l, err));
    KAP_TRY(kap_db_read(db->db, "SELECT topic, id, stamp, blob FROM state ORDER BY topic, id", NULL, 0,
                        load_state, l, err));
    return kap_db_read(db->db, "SELECT id, time, handler, error, blob FROM dead ORDER BY id", NULL, 0,
                       load_dead, l, err);
}

enum kap_status kap_alert_db_load(struct kap_alert_db *db, const struct kap_alert_db_loader *loader,
                                  struct kap_error *err)
{
    KAP_TRY(kap_db_flush(db->db, err));
    struct load l = { .to = loader, .done = kap_map_new() };
    const enum kap_status status = load_all(db, &l, err);
    kap_map_free(l.done);
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

void kap_alert_db_put_event(struct kap_alert_db *db, struct kap_alert_key key, struct kap_str meta,
                            struct kap_str blob, const struct kap_str *handlers, size_t nhandlers,
                            kap_db_done_fn done, void *ctx, uint64_t token)
{
    const bool is_new = place_of(db, key) == 0 || take_back(db, key);
    KAP_AUTO_BUF struct kap_buf pending = { 0 };
    for (size_t i = 0; i < nhandlers; i++) {
        kap_buf_add(&pending, handlers[i]);
        kap_buf_addc(&pending, '\0');
    }
    const struct kap_db_value event[] = {
        kap_db_int(make_place(db, key)),
        kap_db_int((int64_t)key.hi),
        kap_db_int((int64_t)key.lo),
        kap_db_blob(meta),
        kap_db_blob(blob),
        kap_db_blob(kap_buf_str(&pending)),
    };
    const struct kap_db_step steps[] = { { PUT_EVENT, 6, event }, { DROP_DELIVERED, 1, event } };
    /* Only a first put may be taken back: there is no row that would have to go as well. */
    const struct event_name name = { 'e', key };
    kap_db_run(db->db, &(struct kap_db_operation){ .steps = steps,
                                                   .n = is_new ? 1 : 2,
                                                   .name = is_new ? name_of(&name) : KAP_STR(""),
                                                   .done = done,
                                                   .ctx = ctx,
                                                   .token = token });
}

void kap_alert_db_done(struct kap_alert_db *db, struct kap_alert_key key, struct kap_str handler,
                       int64_t wall_ns, kap_db_done_fn done, void *ctx, uint64_t token)
{
    const int64_t place = place_of(db, key);
    const struct kap_db_value mark[] = { kap_db_int((int64_t)key.hi), kap_db_int((int64_t)key.lo),
                                         kap_db_text(handler), kap_db_int(wall_ns) };
    const struct kap_db_value delivered[] = { kap_db_int(place), kap_db_text(handler) };
    const struct kap_db_step steps[] = { { PUT_MARK, 4, mark }, { PUT_DELIVERED, 2, delivered } };
    kap_db_run(db->db, &(struct kap_db_operation){
                           .steps = steps, .n = place ? 2 : 1, .done = done, .ctx = ctx, .token = token });
    count_mark(db, wall_ns);
}

/* What it left goes; then the mark is put, if any. */
static void end_event(struct kap_alert_db *db, struct kap_alert_key key, bool is_marked,
                      const struct kap_db_value *mark)
{
    const struct kap_db_value k[] = { kap_db_int((int64_t)key.hi), kap_db_int((int64_t)key.lo) };
    const struct kap_db_value place = kap_db_int(take_place(db, key));
    struct kap_db_step steps[4];
    size_t n = 0;
    if (place.i && !take_back(db, key))
        steps[n++] = (struct kap_db_step){ DROP_EVENT, 1, &place };
    if (place.i && is_marked)
        steps[n++] = (struct kap_db_step){ DROP_DELIVERED, 1, &place };
    if (is_marked)
        steps[n++] = (struct kap_db_step){ DROP_MARKS_OF, 2, k };
    if (mark)
        steps[n++] = (struct kap_db_step){ PUT_MARK, 4, mark };
    if (n)
        run(db, steps, n);
}

void kap_alert_db_forget(struct kap_alert_db *db, struct kap_alert_key key, int64_t wall_ns)
{
    const struct kap_db_value mark[] = {
        kap_db_int((int64_t)key.hi),
        kap_db_int((int64_t)key.lo),
        kap_db_text(KAP_STR("")),
        kap_db_int(wall_ns),
    };
    end_event(db, key, true, mark);
    count_mark(db, wall_ns);
}

void kap_alert_db_drop(struct kap_alert_db *db, struct kap_alert_key key, bool is_marked)
{
    end_event(db, key, is_marked, NULL);
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

void kap_alert_db_put_dead(struct kap_alert_db *db, const struct kap_alert_dead *letter)
{
    const struct kap_db_value values[] = { kap_db_int((int64_t)letter->id), kap_db_int(letter->time_ns),
                                           kap_db_text(letter->handler), kap_db_text(letter->error),
                                           kap_db_blob(letter->blob) };
    run(db, &(struct kap_db_step){ PUT_DEAD, 5, values }, 1);
}

void kap_alert_db_drop_dead(struct kap_alert_db *db, uint64_t id)
{
    const struct kap_db_value value = kap_db_int((int64_t)id);
    run(db, &(struct kap_db_step){ DROP_DEAD, 1, &value }, 1);
}

static bool take_blob(void *ctx, struct sqlite3_stmt *st)
{
    kap_buf_add(ctx, kap_db_column(st, 0));
    return false;
}

enum kap_status kap_alert_db_dead_blob(struct kap_alert_db *db, uint64_t id, struct kap_buf *ret, struct kap_error *err)
{
    const struct kap_db_value value = kap_db_int((int64_t)id);
    const size_t before = ret->n;
    KAP_TRY(kap_db_flush(db->db, err));
    KAP_TRY(kap_db_read(db->db, "SELECT blob FROM dead WHERE id = ?", &value, 1, take_blob, ret, err));
    if (ret->n == before)
        return kap_fail(err, KAP_ENOTFOUND, "dead letter %llu is not in the store", (unsigned long long)id);
    return KAP_OK;
}

enum kap_status kap_alert_db_flush(struct kap_alert_db *db, struct kap_error *err)
{
    return kap_db_flush(db->db, err);
}

struct kap_db_stats kap_alert_db_stats(struct kap_alert_db *db)
{
    return kap_db_stats(db->db);
}
