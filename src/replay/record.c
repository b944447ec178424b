#include "replay/internal.h"

#include "base/mem.h"
#include "engine/engine.h"
#include "nodes/from.h"

#include <time.h>

#define LATE_NS (10 * INT64_C(1000000000)) /* how long data may come after its time */
#define LOOK_NS (100 * INT64_C(1000000))

/* --- the live stream --- */

struct tap {
    struct kap_srpl_writer *writer;
    int64_t stop_ns;
    const struct kap_sym **names; /* measurements; NULL: all */
    size_t nnames;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended;
    enum kap_status status;
    struct kap_error err;
};

static bool wanted(const struct tap *t, const struct kap_point *p)
{
    for (size_t i = 0; i < t->nnames; i++)
        if (t->names[i] == p->name)
            return true;
    return t->names == NULL;
}

static void take_point(void *ctx, const struct kap_point *p)
{
    struct tap *t = ctx;
    if (!wanted(t, p))
        return;
    pthread_mutex_lock(&t->lock);
    if (!t->ended && p->time_ns <= t->stop_ns)
        t->status = kap_srpl_write(t->writer, p, &t->err);
    if (p->time_ns > t->stop_ns || t->status != KAP_OK) {
        t->ended = true;
        pthread_cond_signal(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
}

/* The measurements of the task's from() nodes, unless one takes any. */
static void find_names(const struct kap_graph *g, struct tap *t)
{
    t->names = KAP_ARRAY(const struct kap_sym *, g->n + 1);
    for (size_t i = 0; i < g->n; i++) {
        if (g->nodes[i]->type != &kap_node_from)
            continue;
        const struct kap_from *from = g->nodes[i]->config;
        if (from->measurement.n == 0) {
            kap_free((void *)t->names);
            t->names = NULL;
            t->nnames = 0;
            return;
        }
        t->names[t->nnames++] = kap_sym(from->measurement);
    }
}

/* Until a point is later than the end, or, when the end was still to come, until the clock is well past it.
 */
static void wait_for_end(struct kap_job *job, struct tap *t)
{
    const struct kap_clock *clock = job->owner->opt.clock;
    const bool by_clock = kap_clock_wall(clock) < t->stop_ns;
    pthread_mutex_lock(&t->lock);
    while (!t->ended && !atomic_load(&job->cancel)) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        const int64_t ns = until.tv_nsec + LOOK_NS;
        until.tv_sec += ns / INT64_C(1000000000);
        until.tv_nsec = ns % INT64_C(1000000000);
        pthread_cond_timedwait(&t->changed, &t->lock, &until);
        if (by_clock && kap_clock_wall(clock) - LATE_NS > t->stop_ns)
            break;
    }
    t->ended = true;
    pthread_mutex_unlock(&t->lock);
}

static enum kap_status record_stream(struct kap_job *job, struct kap_error *err)
{
    struct tap t = { .stop_ns = job->record.stop_ns,
                     .lock = PTHREAD_MUTEX_INITIALIZER,
                     .changed = PTHREAD_COND_INITIALIZER };
    KAP_TRY(kap_srpl_create(job->path, &t.writer, err));
    find_names(job->task.graph, &t);
    struct kap_engine *engine = job->owner->opt.engine;
    const uint64_t handle = kap_engine_tap(engine, job->task.dbrps, job->task.ndbrps, take_point, &t);
    wait_for_end(job, &t);
    kap_engine_untap(engine, handle);
    kap_free((void *)t.names);
    const enum kap_status st = kap_srpl_finish(t.writer, err);
    if (t.status != KAP_OK && err)
        *err = t.err;
    if (t.status == KAP_OK && atomic_load(&job->cancel))
        return kap_fail(err, KAP_ESTATE, "stopped");
    return t.status != KAP_OK ? t.status : st;
}

/* --- queries --- */

static enum kap_status write_point(void *ctx, const struct kap_point *p, struct kap_error *err)
{
    return kap_srpl_write(ctx, p, err);
}

static enum kap_status begin_query(void *ctx, size_t query, struct kap_error *err)
{
    return kap_brpl_query(ctx, err);
}

static enum kap_status write_block(void *ctx, size_t query, struct kap_block *b, struct kap_error *err)
{
    const enum kap_status st = kap_brpl_write(ctx, b, err);
    kap_block_free(b);
    return st;
}

static enum kap_status record_points(struct kap_job *job, struct kap_error *err)
{
    struct kap_srpl_writer *w;
    KAP_TRY(kap_srpl_create(job->path, &w, err));
    const struct kap_stream_sink sink = { w, write_point };
    const enum kap_status st = kap_query_points(job, job->record.query, job->record.cluster, &sink, err);
    const enum kap_status closed = kap_srpl_finish(w, st == KAP_OK ? err : NULL);
    return st != KAP_OK ? st : closed;
}

static enum kap_status record_blocks(struct kap_job *job, struct kap_error *err)
{
    const struct kap_record_request *rq = &job->record;
    struct kap_brpl_writer *w;
    KAP_TRY(kap_brpl_create(job->path, &w, err));
    const struct kap_batch_sink sink = { w, begin_query, write_block };
    const enum kap_status st = rq->kind == KAP_RECORD_BATCH
                                   ? kap_task_blocks(job, rq->start_ns, rq->stop_ns, false, &sink, err)
                                   : kap_query_blocks(job, rq->query, rq->cluster, &sink, err);
    const enum kap_status closed = kap_brpl_finish(w, st == KAP_OK ? err : NULL);
    return st != KAP_OK ? st : closed;
}

enum kap_status kap_job_record(struct kap_job *job, struct kap_error *err)
{
    if (job->record.kind == KAP_RECORD_STREAM)
        return record_stream(job, err);
    return job->meta->recording.type == KAP_TASK_BATCH ? record_blocks(job, err) : record_points(job, err);
}
