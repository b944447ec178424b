#include "replay/internal.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <sqlite3.h>
#include <sys/stat.h>

enum statement { PUT, DROP };

static const char *const migrations[] = {
    "CREATE TABLE meta (kind INTEGER NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (kind, id))"
    " WITHOUT ROWID;",
};
static const char *const statements[] = {
    [PUT] = "INSERT INTO meta (kind, id, json) VALUES (?1, ?2, ?3)"
            " ON CONFLICT (kind, id) DO UPDATE SET json = excluded.json",
    [DROP] = "DELETE FROM meta WHERE kind = ?1 AND id = ?2",
};
static const struct kap_db_schema schema = { "replay", migrations, KAP_COUNT(migrations), statements,
                                             KAP_COUNT(statements) };

#define SHUTDOWN "unexpected Kapacitor shutdown"
#define STREAM_SUFFIX ".srpl"
#define BATCH_SUFFIX ".brpl"

static const char *const status_names[] = { "running", "finished", "failed" };

const char *kap_run_status_name(enum kap_run_status s)
{
    return status_names[s];
}

/* --- entries --- */

struct kap_meta *kap_meta_new(enum kap_meta_kind kind)
{
    struct kap_meta *m = KAP_NEW(struct kap_meta);
    m->kind = kind;
    m->arena = kap_arena_new();
    return m;
}

void kap_meta_free(struct kap_meta *m)
{
    if (!m)
        return;
    kap_arena_free(m->arena);
    kap_free(m);
}

struct kap_str kap_meta_id(const struct kap_meta *m)
{
    return m->kind == KAP_META_RECORDING ? m->recording.id : m->replay.id;
}

static struct kap_str copy(struct kap_arena *a, struct kap_str s)
{
    return kap_arena_str(a, s.p ? s : KAP_STR(""));
}

void kap_recording_copy(struct kap_arena *a, const struct kap_recording *from, struct kap_recording *to)
{
    *to = *from;
    to->id = copy(a, from->id);
    to->error = copy(a, from->error);
}

void kap_replay_copy(struct kap_arena *a, const struct kap_replay *from, struct kap_replay *to)
{
    *to = *from;
    to->id = copy(a, from->id);
    to->recording = copy(a, from->recording);
    to->task = copy(a, from->task);
    to->error = copy(a, from->error);
    to->stats = copy(a, from->stats);
}

/* --- on disk --- */

static void put_text(struct kap_json *j, const char *key, struct kap_str value)
{
    kap_json_key(j, key);
    kap_json_str(j, value);
}

static void put_number(struct kap_json *j, const char *key, int64_t value)
{
    kap_json_key(j, key);
    kap_json_i64(j, value);
}

static void encode(const struct kap_meta *m, struct kap_buf *out)
{
    const struct kap_recording *rec = &m->recording;
    const struct kap_replay *rep = &m->replay;
    struct kap_json j;
    kap_json_init(&j, out, false);
    kap_json_object(&j);
    if (m->kind == KAP_META_RECORDING) {
        put_text(&j, "error", rec->error);
        put_number(&j, "type", rec->type);
        put_number(&j, "size", rec->size_bytes);
        put_number(&j, "date", rec->date_ns);
        put_number(&j, "status", rec->status);
    } else {
        put_text(&j, "error", rep->error);
        put_text(&j, "recording", rep->recording);
        put_text(&j, "task", rep->task);
        put_text(&j, "stats", rep->stats);
        put_number(&j, "recording-time", rep->recording_time);
        put_number(&j, "real-clock", rep->real_clock);
        put_number(&j, "date", rep->date_ns);
        put_number(&j, "status", rep->status);
    }
    kap_json_object_end(&j);
}

static struct kap_str get_text(struct kap_arena *a, const json_t *root, const char *key)
{
    const json_t *v = json_object_get(root, key);
    return copy(a, json_is_string(v) ? kap_strn(json_string_value(v), json_string_length(v)) : KAP_STR(""));
}

static int64_t get_number(const json_t *root, const char *key)
{
    return json_integer_value(json_object_get(root, key));
}

/* What was running is so no more. */
static enum kap_run_status get_status(const json_t *root, struct kap_str *error)
{
    switch (get_number(root, "status")) {
    case KAP_RUN_FINISHED:
        return KAP_RUN_FINISHED;
    case KAP_RUN_RUNNING:
        *error = KAP_STR(SHUTDOWN);
        return KAP_RUN_FAILED;
    default:
        return KAP_RUN_FAILED;
    }
}

static struct kap_meta *decode(enum kap_meta_kind kind, struct kap_str id, struct kap_str json)
{
    json_t *root = json_loadb(json.p, json.n, JSON_ALLOW_NUL, NULL);
    if (!root)
        return NULL;
    struct kap_meta *m = kap_meta_new(kind);
    struct kap_arena *a = m->arena;
    if (kind == KAP_META_RECORDING) {
        struct kap_recording *rec = &m->recording;
        *rec = (struct kap_recording){ .id = copy(a, id),
                                       .error = get_text(a, root, "error"),
                                       .size_bytes = get_number(root, "size"),
                                       .date_ns = get_number(root, "date") };
        rec->type = get_number(root, "type") == KAP_TASK_BATCH ? KAP_TASK_BATCH : KAP_TASK_STREAM;
        rec->status = get_status(root, &rec->error);
    } else {
        struct kap_replay *rep = &m->replay;
        *rep = (struct kap_replay){ .id = copy(a, id),
                                    .error = get_text(a, root, "error"),
                                    .recording = get_text(a, root, "recording"),
                                    .task = get_text(a, root, "task"),
                                    .stats = get_text(a, root, "stats"),
                                    .date_ns = get_number(root, "date") };
        rep->recording_time = get_number(root, "recording-time") != 0;
        rep->real_clock = get_number(root, "real-clock") != 0;
        rep->status = get_status(root, &rep->error);
    }
    json_decref(root);
    return m;
}

/* --- the tables --- */

static void run(struct kap_replays *r, enum statement statement, const struct kap_db_value *values, size_t n)
{
    const struct kap_db_step step = { statement, n, values };
    const struct kap_db_operation op = { .steps = &step, .n = 1, .name = KAP_STR("") };
    kap_db_run(r->db, &op);
}

void kap_meta_put(struct kap_replays *r, struct kap_meta *m)
{
    KAP_AUTO_BUF struct kap_buf json = { 0 };
    encode(m, &json);
    const struct kap_str id = kap_meta_id(m);
    const struct kap_db_value values[] = { kap_db_int(m->kind), kap_db_text(id),
                                           kap_db_text(kap_buf_str(&json)) };
    pthread_mutex_lock(&r->lock);
    run(r, PUT, values, KAP_COUNT(values));
    kap_meta_free(kap_map_put(r->tables[m->kind], id, m));
    pthread_mutex_unlock(&r->lock);
}

bool kap_meta_drop(struct kap_replays *r, enum kap_meta_kind kind, struct kap_str id)
{
    const struct kap_db_value values[] = { kap_db_int(kind), kap_db_text(id) };
    pthread_mutex_lock(&r->lock);
    struct kap_meta *m = kap_map_del(r->tables[kind], id);
    if (m)
        run(r, DROP, values, KAP_COUNT(values));
    pthread_mutex_unlock(&r->lock);
    const bool was = m != NULL;
    kap_meta_free(m);
    return was;
}

static bool load_row(void *ctx, struct sqlite3_stmt *row)
{
    struct kap_replays *r = ctx;
    const enum kap_meta_kind kind =
        sqlite3_column_int(row, 0) == KAP_META_REPLAY ? KAP_META_REPLAY : KAP_META_RECORDING;
    struct kap_meta *m = decode(kind, kap_db_column(row, 1), kap_db_column(row, 2));
    if (m)
        kap_meta_free(kap_map_put(r->tables[kind], kap_meta_id(m), m));
    return true;
}

char *kap_recording_path(const struct kap_replays *r, struct kap_str id, enum kap_task_type type)
{
    return kap_asprintf("%s/%.*s%s", r->dir, KAP_STR_ARG(id),
                        type == KAP_TASK_BATCH ? BATCH_SUFFIX : STREAM_SUFFIX);
}

/* A file that was put into the folder by hand. */
static void adopt_file(struct kap_replays *r, const char *name)
{
    const struct kap_str s = kap_str(name);
    const bool batch = kap_str_has_suffix(s, KAP_STR(BATCH_SUFFIX));
    if (!batch && !kap_str_has_suffix(s, KAP_STR(STREAM_SUFFIX)))
        return;
    const struct kap_str id = kap_strn(s.p, s.n - strlen(STREAM_SUFFIX));
    KAP_AUTO_FREE char *path = kap_asprintf("%s/%s", r->dir, name);
    struct stat st;
    if (!kap_id_valid(id) || kap_map_get(r->tables[KAP_META_RECORDING], id) || stat(path, &st) != 0 ||
        !S_ISREG(st.st_mode))
        return;
    struct kap_meta *m = kap_meta_new(KAP_META_RECORDING);
    m->recording = (struct kap_recording){
        .id = copy(m->arena, id),
        .error = KAP_STR(""),
        .type = batch ? KAP_TASK_BATCH : KAP_TASK_STREAM,
        .size_bytes = st.st_size,
        .status = KAP_RUN_FINISHED,
        .date_ns = (int64_t)st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec,
    };
    kap_meta_put(r, m);
}

static enum kap_status adopt_files(struct kap_replays *r, struct kap_error *err)
{
    if (mkdir(r->dir, 0755) != 0 && errno != EEXIST)
        return kap_fail(err, KAP_EIO, "[replay] dir: cannot make %s: %s", r->dir, strerror(errno));
    struct dirent **names;
    const int n = scandir(r->dir, &names, NULL, alphasort);
    if (n < 0)
        return kap_fail(err, KAP_EIO, "[replay] dir: cannot read %s: %s", r->dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        adopt_file(r, names[i]->d_name);
        kap_free(names[i]);
    }
    kap_free(names);
    return KAP_OK;
}

enum kap_status kap_meta_open(struct kap_replays *r, struct kap_error *err)
{
    KAP_AUTO_FREE char *path = kap_asprintf("%s/replay.db", r->opt.data_dir);
    KAP_TRY(kap_db_open(path, &schema, &r->db, err));
    KAP_TRY(
        kap_db_read(r->db, "SELECT kind, id, json FROM meta ORDER BY kind, id", NULL, 0, load_row, r, err));
    return adopt_files(r, err);
}

void kap_meta_close(struct kap_replays *r)
{
    for (size_t k = 0; k < KAP_COUNT(r->tables); k++) {
        void *m;
        for (size_t i = 0; kap_map_next(r->tables[k], &i, NULL, &m);)
            kap_meta_free(m);
        kap_map_free(r->tables[k]);
    }
    if (r->db)
        kap_db_close(r->db);
}
