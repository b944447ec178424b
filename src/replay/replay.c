#include "replay/internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/uuid.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINGER_S 10
#define SECOND_NS INT64_C(1000000000)

/* --- life --- */

enum kap_status kap_replays_new(const struct kap_replays_options *options, struct kap_replays **ret,
                                struct kap_error *err)
{
    struct kap_replays *r = KAP_NEW(struct kap_replays);
    r->opt = *options;
    r->dir = kap_strdup(options->dir);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    for (size_t i = 0; i < KAP_COUNT(r->tables); i++)
        r->tables[i] = kap_map_new();
    const enum kap_status st = kap_meta_open(r, err);
    if (st != KAP_OK) {
        kap_replays_free(r);
        return st;
    }
    *ret = r;
    return KAP_OK;
}

void kap_replays_free(struct kap_replays *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    for (struct kap_job *j = r->jobs; j; j = j->next)
        atomic_store(&j->cancel, true);
    pthread_cond_broadcast(&r->changed);
    while (r->jobs)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
    kap_meta_close(r);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    kap_free(r->dir);
    kap_free(r);
}

/* --- jobs: each on a thread of its own --- */

static struct kap_job *new_job(struct kap_replays *r)
{
    struct kap_job *job = KAP_NEW(struct kap_job);
    job->owner = r;
    job->arena = kap_arena_new();
    return job;
}

static void free_job(struct kap_job *job)
{
    kap_task_copy_done(&job->task);
    kap_meta_free(job->meta);
    kap_free(job->path);
    kap_arena_free(job->arena);
    kap_free(job);
}

static bool is_known(struct kap_replays *r, enum kap_meta_kind kind, struct kap_str id)
{
    pthread_mutex_lock(&r->lock);
    const bool known = kap_map_get(r->tables[kind], id) != NULL;
    pthread_mutex_unlock(&r->lock);
    return known;
}

static void finish_recording(struct kap_job *job, enum kap_status st, const struct kap_error *err)
{
    struct kap_recording *rec = &job->meta->recording;
    struct stat file;
    if (stat(job->path, &file) == 0)
        rec->size_bytes = file.st_size;
    rec->status = st == KAP_OK ? KAP_RUN_FINISHED : KAP_RUN_FAILED;
    rec->error = kap_arena_str(job->meta->arena, st == KAP_OK ? KAP_STR("") : kap_str(err->msg));
    rec->date_ns = kap_clock_wall(job->owner->opt.clock);
}

static void finish_replay(struct kap_job *job, enum kap_status st, const struct kap_buf *stats,
                          const struct kap_error *err)
{
    struct kap_replay *rep = &job->meta->replay;
    rep->status = st == KAP_OK ? KAP_RUN_FINISHED : KAP_RUN_FAILED;
    rep->error = kap_arena_str(job->meta->arena, st == KAP_OK ? KAP_STR("") : kap_str(err->msg));
    rep->stats = kap_arena_str(job->meta->arena, st == KAP_OK ? kap_buf_str(stats) : KAP_STR(""));
    rep->date_ns = kap_clock_wall(job->owner->opt.clock);
}

/* One that was deleted while it ran leaves nothing behind. */
static void publish_end(struct kap_job *job)
{
    struct kap_replays *r = job->owner;
    const enum kap_meta_kind kind = job->meta->kind;
    if (is_known(r, kind, kap_meta_id(job->meta)))
        kap_meta_put(r, KAP_STEAL(job->meta));
    else if (kind == KAP_META_RECORDING)
        (void)unlink(job->path);
}

static void linger(struct kap_job *job)
{
    struct kap_replays *r = job->owner;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LINGER_S;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping && pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0)
        continue;
    pthread_mutex_unlock(&r->lock);
}

static void *run_job(void *arg)
{
    struct kap_job *job = arg;
    struct kap_replays *r = job->owner;
    KAP_AUTO_BUF struct kap_buf stats = { 0 };
    struct kap_error err = { 0 };
    if (job->meta->kind == KAP_META_RECORDING) {
        const enum kap_status st = kap_job_record(job, &err);
        finish_recording(job, st, &err);
    } else {
        const enum kap_status st = kap_job_replay(job, &stats, &err);
        finish_replay(job, st, &stats, &err);
    }
    publish_end(job);
    if (kap_job_lingers(job))
        linger(job);
    kap_job_close(job);
    pthread_mutex_lock(&r->lock);
    for (struct kap_job **at = &r->jobs; *at; at = &(*at)->next) {
        if (*at == job) {
            *at = job->next;
            break;
        }
    }
    free_job(job);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* Takes the job; its beginning is shown first. */
static enum kap_status start_job(struct kap_job *job, struct kap_error *err)
{
    struct kap_replays *r = job->owner;
    struct kap_meta *shown = kap_meta_new(job->meta->kind);
    kap_recording_copy(shown->arena, &job->meta->recording, &shown->recording);
    kap_replay_copy(shown->arena, &job->meta->replay, &shown->replay);
    kap_meta_put(r, shown);
    pthread_t thread;
    pthread_mutex_lock(&r->lock);
    enum kap_status st = r->stopping ? kap_fail(err, KAP_ESTATE, "the server is stopping") : KAP_OK;
    if (st == KAP_OK && kap_thread_start(&thread, "replay", run_job, job) != 0)
        st = kap_fail(err, KAP_EINTERNAL, "no thread could be started");
    if (st == KAP_OK) {
        pthread_detach(thread);
        job->next = r->jobs;
        r->jobs = job;
    }
    pthread_mutex_unlock(&r->lock);
    if (st != KAP_OK) {
        kap_meta_drop(r, job->meta->kind, kap_meta_id(job->meta));
        free_job(job);
    }
    return st;
}

static struct kap_str choose_id(struct kap_arena *a, struct kap_str id)
{
    if (id.n)
        return kap_arena_str(a, id);
    kap_uuid uuid;
    kap_uuid_new(uuid);
    return kap_arena_str(a, kap_str(uuid));
}

static enum kap_status check_id(const char *what, struct kap_str id, struct kap_error *err)
{
    if (kap_id_valid(id))
        return KAP_OK;
    KAP_AUTO_BUF struct kap_buf quoted = { 0 };
    kap_buf_addq(&quoted, id);
    return kap_fail(err, KAP_EINVAL, "%s ID must contain only letters, numbers, '-', '.' and '_'. %s", what,
                    quoted.p);
}

/* --- starting --- */

static enum kap_status prepare_record(struct kap_job *job, const struct kap_record_request *rq,
                                      struct kap_error *err)
{
    struct kap_replays *r = job->owner;
    struct kap_arena *a = job->arena;
    job->record = *rq;
    job->record.id = choose_id(a, rq->id);
    job->record.query = kap_arena_str(a, rq->query.p ? rq->query : KAP_STR(""));
    job->record.cluster = kap_arena_str(a, rq->cluster.p ? rq->cluster : KAP_STR(""));
    KAP_TRY(check_id("recording", job->record.id, err));
    if (rq->kind == KAP_RECORD_BATCH && rq->start_ns == KAP_NO_TIME)
        return kap_fail(err, KAP_EINVAL, "must provide start time");
    if (rq->kind == KAP_RECORD_QUERY && rq->query.n == 0)
        return kap_fail(err, KAP_EINVAL, "must provide query");
    if (rq->kind != KAP_RECORD_QUERY)
        KAP_TRY(kap_task_copy(r->opt.tasks, rq->task, &job->task, err));
    if (is_known(r, KAP_META_RECORDING, job->record.id))
        return kap_fail(err, KAP_EEXIST, "recording already exists");
    enum kap_task_type type = rq->kind == KAP_RECORD_STREAM ? KAP_TASK_STREAM : KAP_TASK_BATCH;
    if (rq->kind == KAP_RECORD_QUERY)
        type = rq->type == KAP_TASK_BATCH ? KAP_TASK_BATCH : KAP_TASK_STREAM;
    job->path = kap_recording_path(r, job->record.id, type);
    job->meta = kap_meta_new(KAP_META_RECORDING);
    const struct kap_recording rec = { .id = job->record.id,
                                       .type = type,
                                       .date_ns = kap_clock_wall(r->opt.clock) };
    kap_recording_copy(job->meta->arena, &rec, &job->meta->recording);
    return KAP_OK;
}

enum kap_status kap_record(struct kap_replays *r, const struct kap_record_request *rq,
                           struct kap_arena *arena, struct kap_recording *ret, struct kap_error *err)
{
    struct kap_job *job = new_job(r);
    const enum kap_status st = prepare_record(job, rq, err);
    if (st != KAP_OK) {
        free_job(job);
        return st;
    }
    struct kap_recording shown;
    kap_recording_copy(arena, &job->meta->recording, &shown);
    KAP_TRY(start_job(job, err));
    *ret = shown;
    return KAP_OK;
}

static enum kap_status prepare_replay(struct kap_job *job, const struct kap_replay_request *rq,
                                      struct kap_error *err)
{
    struct kap_replays *r = job->owner;
    struct kap_arena *a = job->arena;
    job->replay = *rq;
    job->replay.id = choose_id(a, rq->id);
    job->replay.task = kap_arena_str(a, rq->task.p ? rq->task : KAP_STR(""));
    job->replay.query = kap_arena_str(a, rq->query.p ? rq->query : KAP_STR(""));
    job->replay.cluster = kap_arena_str(a, rq->cluster.p ? rq->cluster : KAP_STR(""));
    KAP_TRY(check_id("replay", job->replay.id, err));
    if (rq->kind == KAP_REPLAY_QUERY && rq->query.n == 0)
        return kap_fail(err, KAP_EINVAL, "must provide query");
    if (kap_task_copy(r->opt.tasks, rq->task, &job->task, err) != KAP_OK)
        return kap_wrap(err, "task load");
    const bool batch = job->task.graph->type == KAP_TASK_BATCH;
    if (rq->kind == KAP_REPLAY_BATCH && !batch)
        return kap_fail(err, KAP_EINVAL, "cannot replay batch against stream task: %.*s",
                        KAP_STR_ARG(rq->task));
    if (rq->kind == KAP_REPLAY_RECORDING) {
        struct kap_recording rec;
        if (kap_recording_get(r, rq->recording, a, &rec, err) != KAP_OK)
            return kap_wrap(err, "recording not found");
        job->path = kap_recording_path(r, rec.id, rec.type);
    } else if (is_known(r, KAP_META_REPLAY, job->replay.id)) {
        return kap_fail(err, KAP_EEXIST, "replay already exists");
    }
    job->meta = kap_meta_new(KAP_META_REPLAY);
    const struct kap_replay rep = { .id = job->replay.id,
                                    .recording = rq->recording,
                                    .task = rq->task,
                                    .recording_time = rq->recording_time,
                                    .real_clock = rq->real_clock,
                                    .date_ns = kap_clock_wall(r->opt.clock) };
    kap_replay_copy(job->meta->arena, &rep, &job->meta->replay);
    return KAP_OK;
}

enum kap_status kap_replay_start(struct kap_replays *r, const struct kap_replay_request *rq,
                                 struct kap_arena *arena, struct kap_replay *ret, struct kap_error *err)
{
    struct kap_job *job = new_job(r);
    const enum kap_status st = prepare_replay(job, rq, err);
    if (st != KAP_OK) {
        free_job(job);
        return st;
    }
    struct kap_replay shown;
    kap_replay_copy(arena, &job->meta->replay, &shown);
    KAP_TRY(start_job(job, err));
    *ret = shown;
    return KAP_OK;
}

/* --- looking and deleting --- */

enum kap_status kap_recording_get(struct kap_replays *r, struct kap_str id, struct kap_arena *arena,
                                  struct kap_recording *ret, struct kap_error *err)
{
    pthread_mutex_lock(&r->lock);
    const struct kap_meta *m = kap_map_get(r->tables[KAP_META_RECORDING], id);
    if (m)
        kap_recording_copy(arena, &m->recording, ret);
    pthread_mutex_unlock(&r->lock);
    return m ? KAP_OK : kap_fail(err, KAP_ENOTFOUND, "no recording exists");
}

enum kap_status kap_replay_get(struct kap_replays *r, struct kap_str id, struct kap_arena *arena,
                               struct kap_replay *ret, struct kap_error *err)
{
    pthread_mutex_lock(&r->lock);
    const struct kap_meta *m = kap_map_get(r->tables[KAP_META_REPLAY], id);
    if (m)
        kap_replay_copy(arena, &m->replay, ret);
    pthread_mutex_unlock(&r->lock);
    return m ? KAP_OK : kap_fail(err, KAP_ENOTFOUND, "no replay exists");
}

static int64_t date_of(const struct kap_meta *m)
{
    return m->kind == KAP_META_RECORDING ? m->recording.date_ns : m->replay.date_ns;
}

/* The reference's order: by the second, then by ID, the last one first. */
static int latest_first(const void *a, const void *b)
{
    const struct kap_meta *x = *(struct kap_meta *const *)a, *y = *(struct kap_meta *const *)b;
    const int64_t tx = date_of(x) / SECOND_NS, ty = date_of(y) / SECOND_NS;
    if (tx != ty)
        return tx > ty ? -1 : 1;
    return kap_str_cmp(kap_meta_id(y), kap_meta_id(x));
}

/* Under the lock. Those that fit, from offset on, at most limit; owned array. */
static enum kap_status find(struct kap_replays *r, enum kap_meta_kind kind, struct kap_str pattern,
                            int64_t offset, int64_t limit, struct kap_meta ***ret, size_t *ret_n,
                            struct kap_error *err)
{
    if (pattern.n && kap_glob(pattern, KAP_STR("")) < 0)
        return kap_fail(err, KAP_EINVAL, "syntax error in pattern");
    struct kap_meta **v = KAP_ARRAY(struct kap_meta *, kap_map_len(r->tables[kind]) + 1);
    size_t n = 0, i = 0;
    struct kap_str id;
    void *m;
    while (kap_map_next(r->tables[kind], &i, &id, &m))
        if (pattern.n == 0 || kap_glob(pattern, id) == 1)
            v[n++] = m;
    qsort((void *)v, n, sizeof *v, latest_first);
    const size_t from = offset < 0 ? 0 : (size_t)KAP_MIN((uint64_t)offset, (uint64_t)n);
    const size_t left = n - from, take = limit < 0 ? 0 : (size_t)KAP_MIN((uint64_t)limit, (uint64_t)left);
    memmove((void *)v, (void *)(v + from), take * sizeof *v);
    *ret = v;
    *ret_n = take;
    return KAP_OK;
}

enum kap_status kap_recording_list(struct kap_replays *r, struct kap_str pattern, int64_t offset,
                                   int64_t limit, struct kap_arena *arena, struct kap_recording **ret,
                                   size_t *ret_n, struct kap_error *err)
{
    struct kap_meta **v = NULL;
    size_t n = 0;
    pthread_mutex_lock(&r->lock);
    const enum kap_status st = find(r, KAP_META_RECORDING, pattern, offset, limit, &v, &n, err);
    struct kap_recording *list = KAP_ARENA_ARRAY(arena, struct kap_recording, n + 1);
    for (size_t i = 0; i < n; i++)
        kap_recording_copy(arena, &v[i]->recording, &list[i]);
    pthread_mutex_unlock(&r->lock);
    kap_free((void *)v);
    KAP_TRY(st);
    *ret = list;
    *ret_n = n;
    return KAP_OK;
}

enum kap_status kap_replay_list(struct kap_replays *r, struct kap_str pattern, int64_t offset, int64_t limit,
                                struct kap_arena *arena, struct kap_replay **ret, size_t *ret_n,
                                struct kap_error *err)
{
    struct kap_meta **v = NULL;
    size_t n = 0;
    pthread_mutex_lock(&r->lock);
    const enum kap_status st = find(r, KAP_META_REPLAY, pattern, offset, limit, &v, &n, err);
    struct kap_replay *list = KAP_ARENA_ARRAY(arena, struct kap_replay, n + 1);
    for (size_t i = 0; i < n; i++)
        kap_replay_copy(arena, &v[i]->replay, &list[i]);
    pthread_mutex_unlock(&r->lock);
    kap_free((void *)v);
    KAP_TRY(st);
    *ret = list;
    *ret_n = n;
    return KAP_OK;
}

/* Ends the job of that name; its thread cleans up. */
static void cancel(struct kap_replays *r, enum kap_meta_kind kind, struct kap_str id)
{
    pthread_mutex_lock(&r->lock);
    for (struct kap_job *j = r->jobs; j; j = j->next)
        if (kap_str_eq(kind == KAP_META_RECORDING ? j->record.id : j->replay.id, id))
            atomic_store(&j->cancel, true);
    pthread_mutex_unlock(&r->lock);
}

enum kap_status kap_recording_delete(struct kap_replays *r, struct kap_str id, struct kap_error *err)
{
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct kap_recording rec;
    if (kap_recording_get(r, id, arena, &rec, NULL) != KAP_OK)
        return KAP_OK;
    (void)kap_meta_drop(r, KAP_META_RECORDING, id);
    cancel(r, KAP_META_RECORDING, id);
    KAP_AUTO_FREE char *path = kap_recording_path(r, id, rec.type);
    if (unlink(path) != 0 && errno != ENOENT)
        return kap_fail(err, KAP_EIO, "remove %s: %s", path, strerror(errno));
    return KAP_OK;
}

enum kap_status kap_replay_delete(struct kap_replays *r, struct kap_str id, struct kap_error *err)
{
    (void)kap_meta_drop(r, KAP_META_REPLAY, id);
    cancel(r, KAP_META_REPLAY, id);
    return KAP_OK;
}
