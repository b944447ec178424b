#include "alert/dispatch.h"

#include "alert/http_send.h"
#include "base/duration.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define OPEN_AFTER 5 /* failures in a row */
#define BACKLOG 16                   /* more deliveries waiting at a handler: attempts start side by side */
#define HEAD_START_NS (250 * KAP_MS) /* else: that an attempt has before the next of its handler starts beside it */

struct lane;
struct queue;

struct wake {                   /* an entry of the heap of times */
    int64_t at_ns;
    uint64_t seq;
    size_t place;               /* in the heap, from 1; 0: not there */
    struct lane *lane;
    struct queue *queue;        /* NULL: the lane itself */
};

struct delivery {
    struct delivery *next;
    struct kap_event *ev;
    uint64_t order, seq;        /* as wished, and of handing in */
};

struct queue {                  /* deliveries of one (topic, handler, event ID), in order */
    struct lane *lane;
    char *key;
    size_t nkey;
    struct delivery *first, **last;
    unsigned attempts;          /* of the first delivery */
    bool running;
    size_t ready_place;         /* in the lane's heap, from 1; 0: not there */
    struct wake wake;
};

struct lane {                   /* a handler of a topic */
    char *topic, *handler;
    struct kap_heap ready;      /* queues that may start, by their first delivery */
    int64_t started_ns;         /* the latest attempt */
    size_t pending, running;
    size_t unconfirmed;         /* attempts that ended, and what follows from it may not be here yet */
    unsigned failures;          /* in a row */
    int64_t retry_at_ns;        /* while open: no attempt before */
    double tokens;              /* attempts that the rate limit allows now */
    int64_t filled_ns;          /* when they were counted; 0: never */
    int64_t missing_ns;         /* since when there is no such handler; 0: there is */
    uint64_t sent, failed, given_up;
    char error[256];
    struct wake wake;
};

struct job {                    /* one attempt */
    struct job *next;
    struct queue *queue;
    struct kap_event *ev;
    struct kap_handler *handler;
    struct kap_http_send *http;
    struct job *next_transfer, *prev_transfer; /* HTTP requests under way; the HTTP thread's */
};

struct jobs { struct job *first, **last; };

struct kap_dispatch {
    struct kap_dispatch_options opts;
    pthread_mutex_t lock;       /* all below */
    pthread_cond_t work, gone;  /* for the pool: a job waits; for free(): a thread has ended */
    bool stopping;
    struct kap_random random;
    struct kap_map *lanes, *queues;
    struct kap_heap wakes;
    uint64_t seq, deliveries;
    struct jobs http, blocking;
    unsigned threads, idle;
    pthread_t http_thread;
    int64_t http_awake_ns;      /* when that thread looks at the times again by itself */
    CURLM *multi;
    struct job *transfers;      /* the HTTP thread's */
};

static int64_t now_of(const struct kap_dispatch *d)
{
    return kap_clock_mono(d->opts.clock);
}

/* --- times --- */

static int wake_cmp(const void *a, const void *b)
{
    const struct wake *x = a, *y = b;
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void wake_moved(void *item, size_t index)
{
    ((struct wake *)item)->place = index + 1;
}

static void wake_clear(struct kap_dispatch *d, struct wake *w)
{
    if (w->place)
        kap_heap_remove(&d->wakes, w->place - 1);
    w->place = 0;
}

static void wake_set(struct kap_dispatch *d, struct wake *w, int64_t at_ns)
{
    wake_clear(d, w);
    w->at_ns = at_ns;
    w->seq = ++d->seq;
    kap_heap_push(&d->wakes, w);
    if (at_ns < d->http_awake_ns)
        curl_multi_wakeup(d->multi);
}

/* Half of the doubled pause, plus up to the other half by chance. */
static int64_t backoff(struct kap_dispatch *d, unsigned failures)
{
    int64_t pause = d->opts.backoff_min_ns;
    for (unsigned i = 1; i < failures && pause < d->opts.backoff_max_ns; i++)
        pause *= 2;
    pause = KAP_MIN(pause, d->opts.backoff_max_ns);
    return pause / 2 + (int64_t)kap_random_below(&d->random, (uint64_t)pause / 2 + 1);
}

/* --- lanes and queues, with the lock held --- */

static int ready_cmp(const void *a, const void *b)
{
    const struct delivery *x = ((const struct queue *)a)->first, *y = ((const struct queue *)b)->first;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void ready_moved(void *item, size_t index)
{
    ((struct queue *)item)->ready_place = index + 1;
}

static struct lane *lane_of(struct kap_dispatch *d, struct kap_str topic, struct kap_str handler)
{
    KAP_AUTO_BUF struct kap_buf key = { 0 };
    kap_buf_add(&key, topic);
    kap_buf_addc(&key, '\0');
    kap_buf_add(&key, handler);
    struct lane *l = kap_map_get(d->lanes, kap_buf_str(&key));
    if (l)
        return l;
    l = KAP_NEW(struct lane);
    l->topic = kap_strndup(topic.p, topic.n);
    l->handler = kap_strndup(handler.p, handler.n);
    kap_heap_init(&l->ready, ready_cmp, ready_moved);
    l->wake.lane = l;
    kap_map_put(d->lanes, kap_buf_str(&key), l);
    return l;
}

static void queue_key(struct kap_buf *key, const struct kap_event *ev, struct kap_str handler)
{
    kap_buf_add(key, ev->topic);
    kap_buf_addc(key, '\0');
    kap_buf_add(key, handler);
    kap_buf_addc(key, '\0');
    kap_buf_add(key, ev->id);
}

static struct queue *queue_of(struct kap_dispatch *d, const struct kap_event *ev, struct kap_str handler)
{
    KAP_AUTO_BUF struct kap_buf key = { 0 };
    queue_key(&key, ev, handler);
    struct queue *q = kap_map_get(d->queues, kap_buf_str(&key));
    if (q)
        return q;
    q = KAP_NEW(struct queue);
    q->lane = lane_of(d, ev->topic, handler);
    q->nkey = key.n;
    q->key = kap_buf_take(&key);
    q->last = &q->first;
    q->wake.lane = q->lane;
    q->wake.queue = q;
    kap_map_put(d->queues, kap_strn(q->key, q->nkey), q);
    return q;
}

static void make_ready(struct queue *q)
{
    if (!q->ready_place && !q->running && q->first)
        kap_heap_push(&q->lane->ready, q);
}

static void unready(struct queue *q)
{
    if (q->ready_place)
        kap_heap_remove(&q->lane->ready, q->ready_place - 1);
    q->ready_place = 0;
}

static struct queue *take_ready(struct lane *l)
{
    struct queue *q = kap_heap_pop(&l->ready);
    q->ready_place = 0;
    return q;
}

static void drop_queue(struct kap_dispatch *d, struct queue *q)
{
    unready(q);
    wake_clear(d, &q->wake);
    kap_map_del(d->queues, kap_strn(q->key, q->nkey));
    while (q->first) {
        struct delivery *del = q->first;
        q->first = del->next;
        kap_event_unref(del->ev);
        kap_free(del);
    }
    kap_free(q->key);
    kap_free(q);
}

static void drop_lane(struct kap_dispatch *d, struct lane *l)
{
    wake_clear(d, &l->wake);
    kap_heap_done(&l->ready);
    kap_free(l->topic);
    kap_free(l->handler);
    kap_free(l);
}

/* --- starting attempts --- */

static void jobs_add(struct jobs *js, struct job *j)
{
    j->next = NULL;
    *js->last = j;
    js->last = &j->next;
}

static struct job *jobs_take(struct jobs *js)
{
    struct job *j = js->first;
    if (!j)
        return NULL;
    js->first = j->next;
    if (!js->first)
        js->last = &js->first;
    return j;
}

static void *pool_main(void *arg);

static void start_blocking(struct kap_dispatch *d, struct job *j)
{
    jobs_add(&d->blocking, j);
    size_t waiting = 0;
    for (const struct job *w = d->blocking.first; w && waiting <= d->idle; w = w->next)
        waiting++;
    pthread_t thread;
    if (waiting > d->idle && d->threads < d->opts.threads && kap_thread_start(&thread, "handlers", pool_main, d) == 0) {
        d->threads++;
        pthread_detach(thread);
    }
    pthread_cond_signal(&d->work);
}

static void start(struct kap_dispatch *d, struct queue *q, struct kap_handler *h)
{
    struct job *j = KAP_NEW(struct job);
    j->queue = q;
    j->ev = kap_event_ref(q->first->ev);
    j->handler = h;
    if (h)
        q->lane->missing_ns = 0;
    else if (q->lane->missing_ns == 0)
        q->lane->missing_ns = now_of(d);
    q->running = true;
    q->attempts++;
    q->lane->running++;
    /* Also without a handler: the HTTP thread reports that it is missing. */
    if (h && !h->type->build) {
        start_blocking(d, j);
    } else {
        jobs_add(&d->http, j);
        curl_multi_wakeup(d->multi);
    }
}

static size_t limit_of(const struct kap_dispatch *d, const struct lane *l, const struct kap_handler *h)
{
    if (l->failures >= OPEN_AFTER)
        return 1;
    if (h && h->concurrency)
        return h->concurrency;
    return h && !h->type->build ? d->opts.blocking_per_handler : d->opts.http_per_handler;
}

/* When the lane may start its next attempt by its rate limit: a bucket that holds what a second allows, at least one. */
static int64_t allowed_at(const struct kap_dispatch *d, struct lane *l, const struct kap_handler *h)
{
    const int64_t now = now_of(d);
    if (!h || h->rate_limit <= 0)
        return now;
    const double most = h->rate_limit > 1 ? h->rate_limit : 1;
    const double gained = l->filled_ns ? (double)(now - l->filled_ns) / (double)KAP_S * h->rate_limit : most;
    l->tokens = KAP_MIN(l->tokens + gained, most);
    l->filled_ns = now;
    if (l->tokens >= 1)
        return now;
    return now + (int64_t)KAP_MIN((1 - l->tokens) / h->rate_limit * (double)KAP_S + 1, (double)KAP_HOUR);
}

/* No attempt may start before; something else than time may make it earlier. */
static void pause_lane(struct kap_dispatch *d, struct lane *l, int64_t until_ns)
{
    wake_set(d, &l->wake, until_ns);
}

/* Starts what the lane may start now. */
static void pump(struct kap_dispatch *d, struct lane *l)
{
    while (l->ready.n && !d->stopping) {
        if (l->failures >= OPEN_AFTER && now_of(d) < l->retry_at_ns) {
            pause_lane(d, l, l->retry_at_ns);
            return;
        }
        struct kap_handler *h = kap_topics_handler(d->opts.topics, kap_str(l->topic), kap_str(l->handler));
        if (l->running >= limit_of(d, l, h)) {
            kap_handler_unref(h);
            return;
        }
        const bool few = l->pending - l->running <= BACKLOG;
        int64_t at = allowed_at(d, l, h);
        if (few && (l->running || l->unconfirmed))
            at = KAP_MAX(at, l->started_ns + HEAD_START_NS);
        if (now_of(d) < at) {
            kap_handler_unref(h);
            pause_lane(d, l, at);
            return;
        }
        l->tokens -= h && h->rate_limit > 0;
        l->started_ns = now_of(d);
        start(d, take_ready(l), h);
    }
}

/* --- ends of attempts --- */

static void log_failure(const struct lane *l, const struct job *j, unsigned attempts, enum kap_verdict verdict,
                        const char *error)
{
    /* At the first attempts, then ever less often. */
    if (verdict == KAP_RETRY && (attempts & (attempts - 1)) != 0)
        return;
    kap_log(KAP_LOG_ERROR, "alert",
            verdict == KAP_RETRY ? "failed to deliver alert, will retry" : "failed to deliver alert, gave up",
            kap_kv_s("topic", l->topic), kap_kv_s("handler", l->handler), kap_kv_n("event", j->ev->id),
            kap_kv_i("attempt", attempts), kap_kv_s("err", error));
}

/* Everything that waits in the lane may go. */
static void ready_all(struct kap_dispatch *d, struct lane *l)
{
    size_t i = 0;
    void *value;
    while (kap_map_next(d->queues, &i, NULL, &value)) {
        struct queue *q = value;
        if (q->lane != l || !q->wake.place)
            continue;
        wake_clear(d, &q->wake);
        make_ready(q);
    }
}

static void succeeded(struct kap_dispatch *d, struct lane *l)
{
    l->sent++;
    if (l->failures >= OPEN_AFTER) {
        kap_log(KAP_LOG_INFO, "alert", "handler works again", kap_kv_s("topic", l->topic),
                kap_kv_s("handler", l->handler), kap_kv_i("pending", (int64_t)l->pending));
        ready_all(d, l);
    }
    l->failures = 0;
}

static void failed(struct kap_dispatch *d, struct lane *l, enum kap_verdict verdict, const char *error)
{
    l->failed++;
    snprintf(l->error, sizeof l->error, "%s", error);
    if (verdict == KAP_GIVE_UP) /* the endpoint answered: it is not down */
        return;
    l->failures++;
    if (l->failures == OPEN_AFTER)
        kap_log(KAP_LOG_WARN, "alert", "handler is presumed down", kap_kv_s("topic", l->topic),
                kap_kv_s("handler", l->handler), kap_kv_i("pending", (int64_t)l->pending),
                kap_kv_s("err", error));
    if (l->failures >= OPEN_AFTER)
        l->retry_at_ns = now_of(d) + backoff(d, l->failures - OPEN_AFTER + 1);
}

static void pop(struct queue *q)
{
    struct delivery *del = q->first;
    q->first = del->next;
    if (!q->first)
        q->last = &q->first;
    kap_event_unref(del->ev);
    kap_free(del);
    q->attempts = 0;
    q->lane->pending--;
}

/* Takes the result of an attempt; j is freed. */
static void finish(struct kap_dispatch *d, struct job *j, enum kap_verdict verdict, const char *error)
{
    pthread_mutex_lock(&d->lock);
    struct queue *q = j->queue;
    struct lane *l = q->lane;
    q->running = false;
    l->running--;
    l->unconfirmed += d->opts.confirm;
    if (verdict == KAP_SENT)
        succeeded(d, l);
    else
        failed(d, l, verdict, error);
    if (verdict != KAP_SENT)
        log_failure(l, j, q->attempts, verdict, error);
    if (verdict == KAP_RETRY) {
        wake_set(d, &q->wake, now_of(d) + backoff(d, q->attempts));
    } else {
        l->given_up += verdict == KAP_GIVE_UP;
        pop(q);
        if (q->first)
            make_ready(q);
        else
            drop_queue(d, q);
    }
    pump(d, l);
    const bool report = !d->stopping;
    const struct kap_str handler = kap_str(l->handler); /* lanes live as long as the dispatcher */
    pthread_mutex_unlock(&d->lock);
    if (report)
        d->opts.done(d->opts.ctx, j->ev, handler, verdict, verdict == KAP_SENT ? NULL : error);
    kap_http_send_free(j->http);
    kap_handler_unref(j->handler);
    kap_event_unref(j->ev);
    kap_free(j);
}

static void finish_missing(struct kap_dispatch *d, struct job *j)
{
    pthread_mutex_lock(&d->lock);
    const bool late = now_of(d) - j->queue->lane->missing_ns >= d->opts.grace_ns;
    KAP_AUTO_FREE char *text = kap_asprintf("handler \"%s\" of topic \"%s\" does not exist", j->queue->lane->handler,
                                            j->queue->lane->topic);
    pthread_mutex_unlock(&d->lock);
    finish(d, j, late ? KAP_GIVE_UP : KAP_RETRY, text);
}

/* --- threads --- */

static void *pool_main(void *arg)
{
    struct kap_dispatch *d = arg;
    pthread_mutex_lock(&d->lock);
    while (!d->stopping) {
        struct job *j = jobs_take(&d->blocking);
        if (!j) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_sec += 30;
            d->idle++;
            const int rc = pthread_cond_timedwait(&d->work, &d->lock, &until);
            d->idle--;
            if (rc == ETIMEDOUT && !d->blocking.first)
                break;
            continue;
        }
        pthread_mutex_unlock(&d->lock);
        struct kap_handler_env env;
        struct kap_error err = { 0 };
        kap_topics_env(d->opts.topics, j->handler->type, &env);
        const enum kap_verdict verdict = j->handler->type->send(j->handler->options, &env, j->ev, &err);
        finish(d, j, verdict, err.msg);
        pthread_mutex_lock(&d->lock);
    }
    d->threads--;
    pthread_cond_broadcast(&d->gone);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

static void begin_http(struct kap_dispatch *d, struct job *j)
{
    if (!j->handler) {
        finish_missing(d, j);
        return;
    }
    struct kap_handler_env env;
    struct kap_error err = { 0 };
    kap_topics_env(d->opts.topics, j->handler->type, &env);
    if (kap_http_send_new(j->handler->type, j->handler->options, &env, j->ev, &j->http, &err) != KAP_OK) {
        finish(d, j, KAP_GIVE_UP, err.msg);
        return;
    }
    curl_easy_setopt(j->http->easy, CURLOPT_PRIVATE, j);
    j->next_transfer = d->transfers;
    if (d->transfers)
        d->transfers->prev_transfer = j;
    d->transfers = j;
    curl_multi_add_handle(d->multi, j->http->easy);
}

static void end_transfer(struct kap_dispatch *d, struct job *j)
{
    curl_multi_remove_handle(d->multi, j->http->easy);
    if (j->prev_transfer)
        j->prev_transfer->next_transfer = j->next_transfer;
    else
        d->transfers = j->next_transfer;
    if (j->next_transfer)
        j->next_transfer->prev_transfer = j->prev_transfer;
}

static void end_http(struct kap_dispatch *d)
{
    int left;
    const CURLMsg *m;
    while ((m = curl_multi_info_read(d->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        CURL *easy = m->easy_handle;
        const CURLcode code = m->data.result;
        struct job *j;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&j);
        end_transfer(d, j);
        struct kap_error err = { 0 };
        const enum kap_verdict verdict = kap_http_send_judge(j->http, j->handler->type, code, &err);
        finish(d, j, verdict, err.msg);
    }
}

/* Puts what is due into the lists; returns how long to sleep. With the lock held. */
static int run_wakes(struct kap_dispatch *d)
{
    int pause_ms = 1000;
    struct wake *w;
    while ((w = kap_heap_peek(&d->wakes))) {
        const int64_t left_ns = w->at_ns - now_of(d);
        if (left_ns > 0) {
            pause_ms = (int)KAP_MIN(left_ns / KAP_MS + 1, pause_ms);
            break;
        }
        wake_clear(d, w);
        if (w->queue)
            make_ready(w->queue);
        pump(d, w->lane);
    }
    d->http_awake_ns = now_of(d) + pause_ms * KAP_MS;
    return pause_ms;
}

static void *http_main(void *arg)
{
    struct kap_dispatch *d = arg;
    for (;;) {
        pthread_mutex_lock(&d->lock);
        if (d->stopping) {
            pthread_mutex_unlock(&d->lock);
            return NULL;
        }
        const int pause_ms = run_wakes(d);
        struct job *j = jobs_take(&d->http);
        pthread_mutex_unlock(&d->lock);
        if (j) {
            begin_http(d, j);
            int running;
            curl_multi_perform(d->multi, &running);
            end_http(d);
            continue;
        }
        curl_multi_poll(d->multi, NULL, 0, pause_ms, NULL);
        int running;
        curl_multi_perform(d->multi, &running);
        end_http(d);
    }
}

/* --- public --- */

static void set_defaults(struct kap_dispatch_options *o)
{
    if (!o->clock)
        o->clock = &kap_clock_system;
    if (!o->http_per_handler)
        o->http_per_handler = 8;
    if (!o->blocking_per_handler)
        o->blocking_per_handler = 2;
    if (!o->threads)
        o->threads = 128;
    if (!o->backoff_min_ns)
        o->backoff_min_ns = 250 * KAP_MS;
    if (!o->backoff_max_ns)
        o->backoff_max_ns = 15 * KAP_S;
    if (!o->grace_ns)
        o->grace_ns = 60 * KAP_S;
}

struct kap_dispatch *kap_dispatch_new(const struct kap_dispatch_options *opts)
{
    struct kap_dispatch *d = KAP_NEW(struct kap_dispatch);
    d->opts = *opts;
    set_defaults(&d->opts);
    kap_random_seed(&d->random, d->opts.seed);
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->work, NULL);
    pthread_cond_init(&d->gone, NULL);
    d->lanes = kap_map_new();
    d->queues = kap_map_new();
    kap_heap_init(&d->wakes, wake_cmp, wake_moved);
    d->http.last = &d->http.first;
    d->blocking.last = &d->blocking.first;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    d->multi = curl_multi_init();
    kap_thread_start(&d->http_thread, "handlers http", http_main, d);
    return d;
}

static void drop_job(struct job *j)
{
    kap_http_send_free(j->http);
    kap_handler_unref(j->handler);
    kap_event_unref(j->ev);
    kap_free(j);
}

void kap_dispatch_free(struct kap_dispatch *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    d->stopping = true;
    pthread_cond_broadcast(&d->work);
    curl_multi_wakeup(d->multi);
    while (d->threads)
        pthread_cond_wait(&d->gone, &d->lock);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->http_thread, NULL);
    struct job *transfer = d->transfers;
    while (transfer) {
        struct job *next = transfer->next_transfer;
        curl_multi_remove_handle(d->multi, transfer->http->easy);
        drop_job(transfer);
        transfer = next;
    }
    for (struct job *j; (j = jobs_take(&d->http));)
        drop_job(j);
    for (struct job *j; (j = jobs_take(&d->blocking));)
        drop_job(j);
    size_t i = 0;
    void *value;
    while (kap_map_next(d->queues, &i, NULL, &value))
        drop_queue(d, value);
    i = 0;
    while (kap_map_next(d->lanes, &i, NULL, &value))
        drop_lane(d, value);
    kap_map_free(d->queues);
    kap_map_free(d->lanes);
    kap_heap_done(&d->wakes);
    curl_multi_cleanup(d->multi);
    pthread_cond_destroy(&d->gone);
    pthread_cond_destroy(&d->work);
    pthread_mutex_destroy(&d->lock);
    kap_free(d);
}

void kap_dispatch_send(struct kap_dispatch *d, struct kap_event *ev, struct kap_str handler, uint64_t order)
{
    struct delivery *del = KAP_NEW(struct delivery);
    del->ev = kap_event_ref(ev);
    del->order = order;
    pthread_mutex_lock(&d->lock);
    del->seq = ++d->deliveries;
    struct queue *q = queue_of(d, ev, handler);
    *q->last = del;
    q->last = &del->next;
    q->lane->pending++;
    if (!q->wake.place) /* else its first delivery waits for another attempt */
        make_ready(q);
    pump(d, q->lane);
    pthread_mutex_unlock(&d->lock);
}

void kap_dispatch_confirm(struct kap_dispatch *d, struct kap_str topic, struct kap_str handler)
{
    pthread_mutex_lock(&d->lock);
    struct lane *l = lane_of(d, topic, handler);
    if (l->unconfirmed > 0)
        l->unconfirmed--;
    pump(d, l);
    pthread_mutex_unlock(&d->lock);
}

bool kap_dispatch_cancel(struct kap_dispatch *d, const struct kap_event *ev, struct kap_str handler)
{
    KAP_AUTO_BUF struct kap_buf key = { 0 };
    queue_key(&key, ev, handler);
    bool taken = false;
    pthread_mutex_lock(&d->lock);
    struct queue *q = kap_map_get(d->queues, kap_buf_str(&key));
    struct delivery **at = q ? &q->first : NULL;
    while (at && *at && (*at)->ev != ev)
        at = &(*at)->next;
    if (at && *at && !(q->running && *at == q->first)) {
        struct delivery *del = *at;
        const bool was_first = del == q->first;
        unready(q);
        *at = del->next;
        if (!del->next)
            q->last = at;
        kap_event_unref(del->ev);
        kap_free(del);
        q->lane->pending--;
        taken = true;
        if (!q->first) {
            drop_queue(d, q);
        } else {
            if (was_first) {
                q->attempts = 0;
                wake_clear(d, &q->wake);
            }
            if (!q->wake.place)
                make_ready(q);
            pump(d, q->lane);
        }
    }
    pthread_mutex_unlock(&d->lock);
    return taken;
}

static int lane_cmp(const void *a, const void *b)
{
    const struct lane *x = *(struct lane *const *)a, *y = *(struct lane *const *)b;
    const int by_topic = strcmp(x->topic, y->topic);
    return by_topic ? by_topic : strcmp(x->handler, y->handler);
}

void kap_dispatch_each_stats(struct kap_dispatch *d, void (*fn)(void *ctx, const struct kap_dispatch_stats *s),
                             void *ctx)
{
    pthread_mutex_lock(&d->lock);
    struct lane **lanes = KAP_ARRAY(struct lane *, kap_map_len(d->lanes) + 1);
    size_t i = 0, n = 0;
    void *value;
    while (kap_map_next(d->lanes, &i, NULL, &value))
        lanes[n++] = value;
    qsort((void *)lanes, n, sizeof *lanes, lane_cmp);
    for (i = 0; i < n; i++) {
        const struct lane *l = lanes[i];
        const struct kap_dispatch_stats s = {
            .topic = kap_str(l->topic), .handler = kap_str(l->handler), .pending = l->pending - l->running,
            .running = l->running, .sent = l->sent, .failed = l->failed, .given_up = l->given_up,
            .open = l->failures >= OPEN_AFTER, .error = l->error,
        };
        fn(ctx, &s);
    }
    pthread_mutex_unlock(&d->lock);
    kap_free((void *)lanes);
}
