/* The way in: entrances (database and policy), counters, parsing, and handing batches to workers. */
#include "engine/core.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Kept for the next request: as many as were under way of late, few when all is quiet. */
enum { POOLED_INPUTS = 16, POOLED_IDLE = 1 };
#define POOLED_BYTES (8u << 20)

/* ---- entrances ---- */

struct kap_entrance *kap_entrance_get(struct kap_engine *e, struct kap_str db, struct kap_str rp,
                                      bool bounded)
{
    char few[256];
    const size_t n = db.n + 1 + rp.n;
    char *key = n <= sizeof few ? few : (char *)kap_alloc(n);
    memcpy(key, db.p, db.n);
    key[db.n] = '\0';
    if (rp.n)
        memcpy(key + db.n + 1, rp.p, rp.n);
    pthread_mutex_lock(&e->entrances_lock);
    struct kap_entrance *en = (struct kap_entrance *)kap_map_get(e->entrances, kap_strn(key, n));
    if (!en && (!bounded || e->nentrances < e->limits.max_measurements)) {
        en = KAP_NEW(struct kap_entrance);
        en->source = (struct kap_source){ kap_sym(db), kap_sym(rp), e->nentrances++ };
        en->by_name = kap_map_new();
        en->last = &en->first;
        kap_map_put(e->entrances, kap_strn(key, n), en);
        en->next = e->first_entrance;
        e->first_entrance = en;
    }
    pthread_mutex_unlock(&e->entrances_lock);
    if (key != few)
        kap_free(key);
    return en;
}

void kap_entrance_use(struct kap_engine *e, struct kap_entrance *en, unsigned worker, int add)
{
    pthread_mutex_lock(&e->entrances_lock);
    en->users[worker] = (uint32_t)((int)en->users[worker] + add);
    const uint64_t bit = UINT64_C(1) << worker;
    const uint64_t mask = atomic_load(&en->workers);
    atomic_store(&en->workers, en->users[worker] ? mask | bit : mask & ~bit);
    pthread_mutex_unlock(&e->entrances_lock);
}

/* ---- counters ---- */

static struct kap_ingress *ingress_of(struct kap_engine *e, struct kap_entrance *en,
                                      const struct kap_sym *name)
{
    pthread_mutex_lock(&e->ingress_lock);
    if (e->ningress >= e->limits.max_measurements &&
        !kap_map_get(en->by_name, kap_strn((const char *)&name, sizeof(void *))))
        name = kap_sym_empty;
    const struct kap_str key = kap_strn((const char *)&name, sizeof(void *));
    struct kap_ingress *in = (struct kap_ingress *)kap_map_get(en->by_name, key);
    if (!in) {
        in = KAP_NEW(struct kap_ingress);
        in->name = name;
        kap_map_put(en->by_name, key, in);
        *en->last = in;
        en->last = &in->next;
        e->ningress++;
    }
    pthread_mutex_unlock(&e->ingress_lock);
    return in;
}

void kap_input_series_added(void *ctx, struct kap_series *s)
{
    struct kap_entrance *en = (struct kap_entrance *)(uintptr_t)s->source; /* its first member */
    s->user = ingress_of((struct kap_engine *)ctx, en, s->name);
}

static void ingress_add(struct kap_ingress *in, int64_t n, int64_t second)
{
    atomic_fetch_add_explicit(&in->points, n, memory_order_relaxed);
    int64_t counted = atomic_load_explicit(&in->second, memory_order_relaxed);
    if (counted != second && atomic_compare_exchange_strong(&in->second, &counted, second)) {
        const int64_t last = atomic_exchange(&in->in_second, 0);
        atomic_store(&in->in_last_second, second == counted + 1 ? last : 0);
    }
    atomic_fetch_add_explicit(&in->in_second, n, memory_order_relaxed);
}

int64_t kap_ingress_rate(const struct kap_ingress *in, int64_t now_ns)
{
    const int64_t second = now_ns / INT64_C(1000000000), counted = atomic_load(&in->second);
    if (second == counted)
        return atomic_load(&in->in_last_second);
    return second == counted + 1 ? atomic_load(&in->in_second) : 0;
}

static void count(struct kap_engine *e, const struct kap_line_batch *b, int64_t now_ns)
{
    const int64_t second = now_ns / INT64_C(1000000000);
    for (size_t i = 0; i < b->n;) {
        struct kap_ingress *in = (struct kap_ingress *)b->points[i].series->user;
        const size_t start = i;
        while (i < b->n &&
               (b->points[i].series == b->points[start].series || b->points[i].series->user == in))
            i++;
        ingress_add(in, (int64_t)(i - start), second);
    }
    atomic_fetch_add(&e->points, (int64_t)b->n);
}

struct ingress_row {
    const struct kap_source *source;
    const struct kap_ingress *in;
};

static int ingress_cmp(const void *a, const void *b)
{
    const struct ingress_row *x = (const struct ingress_row *)a, *y = (const struct ingress_row *)b;
    int cmp = kap_sym_cmp(x->source->db, y->source->db);
    if (cmp == 0)
        cmp = kap_sym_cmp(x->source->rp, y->source->rp);
    return cmp ? cmp : kap_sym_cmp(x->in->name, y->in->name);
}

void kap_engine_ingress(struct kap_engine *e,
                        void (*fn)(void *ctx, struct kap_str db, struct kap_str rp,
                                   struct kap_str measurement, int64_t points),
                        void *ctx)
{
    pthread_mutex_lock(&e->entrances_lock);
    pthread_mutex_lock(&e->ingress_lock);
    struct ingress_row *rows = KAP_ARRAY(struct ingress_row, e->ningress + 1);
    size_t n = 0;
    for (const struct kap_entrance *en = e->first_entrance; en; en = en->next)
        for (const struct kap_ingress *in = en->first; in; in = in->next)
            rows[n++] = (struct ingress_row){ &en->source, in };
    pthread_mutex_unlock(&e->ingress_lock);
    pthread_mutex_unlock(&e->entrances_lock);
    qsort(rows, n, sizeof *rows, ingress_cmp);
    for (size_t i = 0; i < n; i++)
        fn(ctx, kap_sym_str(rows[i].source->db), kap_sym_str(rows[i].source->rp),
           kap_sym_str(rows[i].in->name), atomic_load(&rows[i].in->points));
    kap_free(rows);
}

/* ---- batches ---- */

static struct kap_input *input_new(struct kap_engine *e)
{
    pthread_mutex_lock(&e->pool_lock);
    struct kap_input *in = e->pool;
    if (in) {
        e->pool = in->next;
        e->npool--;
    }
    pthread_mutex_unlock(&e->pool_lock);
    if (in)
        return in;
    in = (struct kap_input *)kap_calloc(1, sizeof *in + e->nworkers * sizeof *in->msgs);
    in->engine = e;
    in->parser = kap_line_parser_new();
    for (unsigned i = 0; i < e->nworkers; i++)
        in->msgs[i] = (struct kap_input_msg){ { .run = kap_worker_input }, in };
    return in;
}

static void input_done(struct kap_input *in)
{
    if (!in)
        return;
    kap_line_batch_done(&in->batch);
    kap_line_parser_free(in->parser);
    kap_free(in);
}

void kap_input_free(struct kap_input *in)
{
    if (!in)
        return;
    struct kap_engine *e = in->engine;
    kap_line_batch_clear(&in->batch);
    const bool keep = kap_line_batch_bytes(&in->batch) <= POOLED_BYTES;
    struct kap_input *surplus = in;
    pthread_mutex_lock(&e->pool_lock);
    if (keep && e->npool < POOLED_INPUTS) {
        in->next = e->pool;
        e->pool = in;
        e->npool++;
        surplus = NULL;
    }
    if (!surplus && e->npool > POOLED_IDLE + atomic_load(&e->inflight)) {
        surplus = e->pool;
        e->pool = surplus->next;
        e->npool--;
    }
    /* as the last of a burst come back, those of its height go, two for one */
    struct kap_input *more = NULL;
    if (surplus && e->npool > POOLED_IDLE + atomic_load(&e->inflight)) {
        more = e->pool;
        e->pool = more->next;
        e->npool--;
    }
    pthread_mutex_unlock(&e->pool_lock);
    input_done(surplus);
    input_done(more);
}

void kap_input_unref(struct kap_input *in)
{
    if (atomic_fetch_sub(&in->refs, 1) != 1)
        return;
    struct kap_engine *e = in->engine;
    if (in->loop)
        atomic_fetch_sub(&e->loop_bytes, in->bytes);
    kap_input_free(in);
    atomic_fetch_sub(&e->inflight, 1);
}

/* The series cache is gone through once in this time, a second's share at a time. */
#define SERIES_AGE_NS INT64_C(300000000000)
#define AGE_STEP_NS INT64_C(1000000000)
enum { AGE_AT_LEAST = 64, AGE_AT_MOST = 16384 };

static void age_series(struct kap_engine *e, int64_t now_ns)
{
    int64_t last_ns = atomic_load_explicit(&e->aged_ns, memory_order_relaxed);
    const int64_t passed_ns = now_ns - last_ns;
    if ((passed_ns >= 0 && passed_ns < AGE_STEP_NS) ||
        !atomic_compare_exchange_strong(&e->aged_ns, &last_ns, now_ns))
        return;
    if (passed_ns < 0 || last_ns == 0) /* the clock was moved, or this is the beginning */
        return;
    const double share = (double)passed_ns / (double)SERIES_AGE_NS;
    const double n = share * (double)kap_series_cache_len(e->cache);
    kap_series_age(e->cache, KAP_MIN((size_t)n + AGE_AT_LEAST, (size_t)AGE_AT_MOST));
}

enum kap_status kap_engine_parse(struct kap_engine *e, const struct kap_write *w, struct kap_input **ret,
                                 size_t *n, struct kap_error *err)
{
    struct kap_entrance *en = kap_entrance_get(e, w->db, w->rp, true);
    if (!en) {
        (void)kap_fail(err, KAP_ELIMIT, "too many databases and retention policies");
        return KAP_ELIMIT;
    }
    struct kap_input *in = input_new(e);
    in->entrance = en;
    in->loop = false;
    const int64_t now_ns = kap_clock_wall(e->clock);
    age_series(e, now_ns);
    const struct kap_line_options opts = {
        .unit_ns = kap_line_precision(w->precision),
        .now_ns = now_ns,
        .discard = atomic_load(&en->workers) == 0,
    };
    const enum kap_status st =
        kap_line_parse(in->parser, e->cache, &en->source, w->body, &opts, &in->batch, err);
    if (st != KAP_OK) {
        atomic_fetch_add(&e->parse_errors, 1);
        kap_input_free(in);
        return st;
    }
    count(e, &in->batch, now_ns);
    *n = in->batch.n;
    in->bytes = sizeof *in + in->batch.n * sizeof *in->batch.points +
                in->batch.nfields * sizeof *in->batch.fields +
                (in->batch.text ? kap_arena_bytes(in->batch.text) : 0);
    if (opts.discard) /* nobody wants them; whoever comes meanwhile gets what is written after */
        in->batch.n = 0;
    *ret = in;
    return KAP_OK;
}

static bool full(const struct kap_engine *e, uint64_t workers)
{
    for (unsigned i = 0; i < e->nworkers; i++)
        if (workers >> i & 1 && atomic_load(&e->workers[i].queued_bytes) >= e->limits.queue_bytes)
            return true;
    return false;
}

/* Wakes those who wait for room, when a worker has worked off half of what it may hold. */
void kap_input_wake(struct kap_engine *e, const struct kap_worker *w)
{
    if (atomic_load(&e->nwaiters) == 0 || atomic_load(&w->queued_bytes) > e->limits.queue_bytes / 2)
        return;
    pthread_mutex_lock(&e->waiters_lock);
    struct kap_waiter *list = e->waiters;
    e->waiters = NULL;
    atomic_store(&e->nwaiters, 0);
    pthread_mutex_unlock(&e->waiters_lock);
    while (list) {
        struct kap_waiter *next = list->next;
        list->wake(list->ctx);
        kap_free(list);
        list = next;
    }
}

/* Registers first and looks again after, so that room made in between is not missed. False: there is room
 * now. */
static bool wait_for_room(struct kap_engine *e, uint64_t workers, void (*wake)(void *ctx), void *ctx)
{
    if (!wake)
        return true;
    struct kap_waiter *waiter = KAP_NEW(struct kap_waiter);
    *waiter = (struct kap_waiter){ wake, ctx, NULL };
    pthread_mutex_lock(&e->waiters_lock);
    waiter->next = e->waiters;
    e->waiters = waiter;
    atomic_fetch_add(&e->nwaiters, 1);
    const bool waits = full(e, workers);
    if (!waits) {
        e->waiters = waiter->next;
        atomic_fetch_sub(&e->nwaiters, 1);
    }
    pthread_mutex_unlock(&e->waiters_lock);
    if (!waits)
        kap_free(waiter);
    return waits;
}

static void send(struct kap_input *in, uint64_t workers)
{
    struct kap_engine *e = in->engine;
    atomic_store(&in->refs, (unsigned)__builtin_popcountll(workers));
    atomic_fetch_add(&e->inflight, 1);
    const size_t bytes = in->bytes;
    for (unsigned i = 0; i < e->nworkers; i++) {
        if (!(workers >> i & 1))
            continue;
        workers &= ~(UINT64_C(1) << i);
        atomic_fetch_add(&e->workers[i].queued_bytes, bytes);
        kap_worker_send(&e->workers[i], &in->msgs[i].msg); /* `in` may be gone after the last one */
        if (workers == 0)
            break;
    }
}

bool kap_engine_submit(struct kap_engine *e, struct kap_input *in, void (*wake)(void *ctx), void *ctx)
{
    const uint64_t workers = in->batch.n ? atomic_load(&in->entrance->workers) : 0;
    if (workers == 0) {
        kap_input_free(in);
        return true;
    }
    if (full(e, workers)) {
        atomic_fetch_add(&e->waits, 1);
        if (wait_for_room(e, workers, wake, ctx))
            return false;
    }
    send(in, workers);
    return true;
}

static void post(void *ctx)
{
    sem_post((sem_t *)ctx);
}

enum kap_status kap_engine_write(struct kap_engine *e, const struct kap_write *w, size_t *n,
                                 struct kap_error *err)
{
    struct kap_input *in = NULL;
    size_t points = 0;
    KAP_TRY(kap_engine_parse(e, w, &in, &points, err));
    sem_t room;
    sem_init(&room, 0, 0);
    while (!kap_engine_submit(e, in, post, &room))
        while (sem_wait(&room) != 0)
            continue;
    sem_destroy(&room);
    if (n)
        *n = points;
    return KAP_OK;
}

enum kap_status kap_engine_loop(struct kap_engine *e, const struct kap_point *p, struct kap_error *err)
{
    if (atomic_load(&e->loop_bytes) >= e->limits.loop_bytes)
        return kap_fail(err, KAP_ELIMIT, "too many looped points are waiting (%zu bytes)",
                        e->limits.loop_bytes);
    KAP_AUTO_BUF struct kap_buf line = { 0 };
    kap_line_write(&line, p, 1);
    const struct kap_write w = { .db = kap_sym_str(p->db),
                                 .rp = kap_sym_str(p->rp),
                                 .precision = KAP_STR("n"),
                                 .body = kap_buf_str(&line) };
    struct kap_input *in = NULL;
    size_t n = 0;
    KAP_TRY(kap_engine_parse(e, &w, &in, &n, err));
    const uint64_t workers = in->batch.n ? atomic_load(&in->entrance->workers) : 0;
    if (workers == 0) {
        kap_input_free(in);
        return KAP_OK;
    }
    in->loop = true;
    atomic_fetch_add(&e->loop_bytes, in->bytes);
    send(in, workers);
    return KAP_OK;
}

/* ---- series that have left the cache ---- */

struct forget {
    struct kap_engine *engine;
    struct kap_series *list;
    _Atomic unsigned refs;
    struct forget_msg {
        struct kap_msg msg;
        struct forget *of;
    } msgs[];
};

static void run_forget(struct kap_worker *w, struct kap_msg *m)
{
    struct forget *f = ((struct forget_msg *)(void *)m)->of;
    for (const struct kap_series *s = f->list; s; s = s->retired)
        kap_worker_forget_series(w, s->id);
    if (atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    struct kap_engine *e = f->engine;
    for (struct kap_series *s = f->list, *next; s; s = next) {
        next = s->retired;
        kap_series_free(e->cache, s);
    }
    kap_free(f);
}

void kap_input_series_retired(void *ctx, struct kap_series *list)
{
    struct kap_engine *e = (struct kap_engine *)ctx;
    const unsigned n = e->nworkers;
    struct forget *f = (struct forget *)kap_calloc(1, sizeof *f + n * sizeof *f->msgs);
    f->engine = e;
    f->list = list;
    atomic_init(&f->refs, n);
    for (unsigned i = 0; i < n; i++) {
        f->msgs[i] = (struct forget_msg){ { .run = run_forget }, f };
    }
    for (unsigned i = 0; i < n; i++)
        kap_worker_send(&e->workers[i], &f->msgs[i].msg);
}
