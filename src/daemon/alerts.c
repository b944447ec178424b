#include "daemon/alerts.h"
#include "base/mem.h"
#include "daemon/dead_letters.h"
#include "handlers/handlers.h"
#include "store/alert_db.h"
#include <pthread.h>

#define ON_THE_WAY_MAX 200000            /* events between workers and the loop */
#define RECENT 4096                      /* accepted events kept decoded, power of two */
#define DRAIN_MS 2000

struct recent {
    struct kap_dedup_key key;
    struct kap_event *ev;
};

struct kap_alerts {
    struct kap_alerts_options opts;
    const struct kap_overrides *overrides; /* NULL until the definitions can be read */
    struct kap_cluster *cluster;
    struct kap_alert_db *db;
    struct kap_topics *topics;
    struct kap_silences *silences;
    uint64_t silenced;
    struct kap_dedup *dedup;
    struct kap_dispatch *dispatch;
    struct kap_dead_letters *dead_letters;
    uv_timer_t timer, drain_timer;
    bool touched, started, closed;
    struct recent recent[RECENT];
    struct kap_buf api_url;
    struct kap_event *submitting; /* the local event that the dedup core is being given */
    void (*drained)(void *ctx);
    void *drained_ctx;
    pthread_mutex_t lock;
    pthread_cond_t room;
    size_t on_the_way; /* guarded by the lock */
};

static void settle(void *arg);

static void touch(struct kap_alerts *a)
{
    if (a->touched || a->closed)
        return;
    a->touched = true;
    kap_loop_post(a->opts.loop, settle, a);
}

static struct kap_dedup_identity identity_of(const struct kap_event *ev)
{
    return (struct kap_dedup_identity){ .topic = ev->topic, .task = ev->task, .node = ev->node, .run = ev->run,
                                        .id = ev->id, .time_ns = ev->time_ns, .level = (int32_t)ev->level,
                                        .previous = (int32_t)ev->previous, .nth = ev->nth };
}

/* --- events in decoded form --- */

static struct recent *slot(struct kap_alerts *a, struct kap_dedup_key key)
{
    return &a->recent[key.lo & (RECENT - 1)];
}

static bool same_key(struct kap_dedup_key x, struct kap_dedup_key y)
{
    return x.hi == y.hi && x.lo == y.lo;
}

/* Takes the reference. */
static void remember(struct kap_alerts *a, struct kap_dedup_key key, struct kap_event *ev)
{
    struct recent *r = slot(a, key);
    kap_event_unref(r->ev);
    *r = (struct recent){ key, ev };
}

/* Owned; NULL when the stored form cannot be read. */
static struct kap_event *decode(const struct kap_dedup_event *e)
{
    struct kap_event *ev = NULL;
    struct kap_error err;
    if (kap_event_decode(e->blob, &ev, &err) == KAP_OK)
        return ev;
    kap_log(KAP_LOG_ERROR, "alert", "an event could not be read", kap_kv_n("topic", e->identity.topic),
            kap_kv_n("id", e->identity.id), kap_kv_s("err", err.msg));
    return NULL;
}

/* --- topic states as the dedup core and the store keep them --- */

enum { STATE_VERSION = 1 };

static void put_u64(struct kap_buf *b, uint64_t u)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(u >> (8 * i));
    kap_buf_addn(b, bytes, sizeof bytes);
}

static bool take_u64(struct kap_str *s, uint64_t *ret)
{
    if (s->n < 8)
        return false;
    *ret = 0;
    for (int i = 0; i < 8; i++)
        *ret |= (uint64_t)(unsigned char)s->p[i] << (8 * i);
    s->p += 8;
    s->n -= 8;
    return true;
}

static bool take_text(struct kap_str *s, struct kap_str *ret)
{
    uint64_t n;
    if (!take_u64(s, &n) || n > s->n)
        return false;
    *ret = kap_strn(s->p, n);
    s->p += n;
    s->n -= n;
    return true;
}

static bool state_get(void *ctx, struct kap_str topic, struct kap_str id, struct kap_buf *ret)
{
    struct kap_alerts *a = ctx;
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct kap_event_state state;
    if (!kap_topics_state(a->topics, topic, id, &state, arena))
        return false;
    kap_buf_addc(ret, STATE_VERSION);
    put_u64(ret, state.level);
    put_u64(ret, (uint64_t)state.time_ns);
    put_u64(ret, (uint64_t)state.duration_ns);
    put_u64(ret, state.message.n);
    kap_buf_add(ret, state.message);
    put_u64(ret, state.details.n);
    kap_buf_add(ret, state.details);
    return true;
}

static void state_set(void *ctx, struct kap_str topic, struct kap_str id, struct kap_str blob)
{
    struct kap_alerts *a = ctx;
    uint64_t level, time_ns, duration_ns;
    struct kap_event_state state = { 0 };
    if (blob.n == 0 || blob.p[0] != STATE_VERSION)
        return;
    blob.p++;
    blob.n--;
    if (!take_u64(&blob, &level) || level > KAP_LEVEL_CRITICAL || !take_u64(&blob, &time_ns) ||
        !take_u64(&blob, &duration_ns) || !take_text(&blob, &state.message) || !take_text(&blob, &state.details))
        return;
    state.level = (enum kap_level)level;
    state.time_ns = (int64_t)time_ns;
    state.duration_ns = (int64_t)duration_ns;
    kap_topics_load(a->topics, topic, id, &state);
}

/* A topic that a peer deleted is deleted here without telling the others again. */
static _Thread_local bool dropping_for_peer;

static void topic_drop(void *ctx, struct kap_str topic)
{
    struct kap_alerts *a = ctx;
    dropping_for_peer = true;
    kap_topics_delete(a->topics, topic);
    dropping_for_peer = false;
}

struct topic_call {
    struct kap_alerts *a;
    char *topic;
};

static void drop_on_loop(void *arg)
{
    struct topic_call *call = arg;
    kap_dedup_drop_topic(call->a->dedup, kap_str(call->topic));
    touch(call->a);
    kap_free(call->topic);
    kap_free(call);
}

static void on_topic_deleted(void *ctx, struct kap_str topic)
{
    struct kap_alerts *a = ctx;
    if (dropping_for_peer)
        return;
    struct topic_call *call = KAP_NEW(struct topic_call);
    *call = (struct topic_call){ a, kap_strndup(topic.p, topic.n) };
    kap_loop_post(a->opts.loop, drop_on_loop, call);
}

/* --- the dedup core's outputs --- */

static void dedup_send(void *ctx, struct kap_str member, struct kap_str bytes)
{
    struct kap_alerts *a = ctx;
    if (a->cluster)
        kap_cluster_send(a->cluster, member, bytes);
}

struct stored {
    struct kap_alerts *a;
    uint64_t token;
    bool ok;
};

static void stored_on_loop(void *arg)
{
    struct stored *s = arg;
    kap_dedup_stored(s->a->dedup, s->token, s->ok);
    touch(s->a);
    kap_free(s);
}

/* On the store's thread. */
static void on_stored(void *ctx, uint64_t token, enum kap_status status, const struct kap_error *err)
{
    struct kap_alerts *a = ctx;
    if (status != KAP_OK)
        kap_log(KAP_LOG_ERROR, "store", "an alert event could not be stored", kap_kv_s("err", err->msg));
    struct stored *s = KAP_NEW(struct stored);
    *s = (struct stored){ a, token, status == KAP_OK };
    kap_loop_post(a->opts.loop, stored_on_loop, s);
}

static void dedup_store(void *ctx, const struct kap_dedup_store *op)
{
    struct kap_alerts *a = ctx;
    const struct kap_alert_key key = { op->key.hi, op->key.lo };
    const int64_t now = kap_clock_wall(a->opts.clock);
    const kap_db_done_fn done = op->token ? on_stored : NULL;
    switch (op->kind) {
    case KAP_DEDUP_STORE_EVENT:
        kap_alert_db_put_event(a->db, key, op->meta, op->blob, op->handlers, op->nhandlers, done, a, op->token);
        break;
    case KAP_DEDUP_STORE_DONE:
        kap_alert_db_done(a->db, key, op->handler, now, done, a, op->token);
        break;
    case KAP_DEDUP_STORE_FORGET:
        if (op->carried)
            kap_alert_db_drop(a->db, key, op->is_marked);
        else
            kap_alert_db_forget(a->db, key, now);
        break;
    case KAP_DEDUP_STORE_STATE:
        kap_alert_db_put_state(a->db, op->topic, op->id, op->stamp, op->blob);
        break;
    case KAP_DEDUP_STORE_TOPIC:
        kap_alert_db_drop_topic(a->db, op->topic, op->stamp);
        break;
    }
}

static void dedup_accept(void *ctx, const struct kap_dedup_event *e, struct kap_dedup_handlers *ret)
{
    struct kap_alerts *a = ctx;
    struct kap_event *ev = NULL;
    if (a->submitting) {
        const struct kap_dedup_identity identity = identity_of(a->submitting);
        if (same_key(kap_dedup_key_of(&identity), e->key))
            ev = kap_event_ref(a->submitting);
    }
    if (!ev)
        ev = decode(e);
    if (!ev)
        return;
    const bool silenced = kap_silences_match(a->silences, ev, kap_clock_wall(a->opts.clock));
    a->silenced += silenced;
    struct kap_topic_matches matches = { 0 };
    kap_topics_apply(a->topics, ev, kap_clock_mono(a->opts.clock), silenced ? NULL : &matches);
    for (size_t i = 0; i < matches.n; i++)
        kap_dedup_add_handler(ret, matches.ids[i]);
    kap_topic_matches_done(&matches);
    remember(a, e->key, ev);
}

static void dedup_deliver(void *ctx, const struct kap_dedup_event *e, struct kap_str handler, unsigned attempt)
{
    struct kap_alerts *a = ctx;
    struct recent *r = slot(a, e->key);
    struct kap_event *ev = r->ev && same_key(r->key, e->key) ? kap_event_ref(r->ev) : decode(e);
    if (!ev)
        return;
    kap_dispatch_send(a->dispatch, ev, handler, e->stamp);
    kap_event_unref(ev);
}

static void dedup_notice(void *ctx, const struct kap_dedup_notice *n)
{
    static const struct {
        enum kap_log_level level;
        const char *text;
    } texts[] = {
        [KAP_DEDUP_TAKE_OVER] = { KAP_LOG_INFO, "took over the delivery of an event" },
        [KAP_DEDUP_HAND_OVER] = { KAP_LOG_INFO, "handed the delivery of an event over" },
        [KAP_DEDUP_RETRYING] = { KAP_LOG_DEBUG, "will deliver again" },
        [KAP_DEDUP_GAVE_UP] = { KAP_LOG_ERROR, "gave an event up: it will never be delivered" },
        [KAP_DEDUP_SUPERSEDED] = { KAP_LOG_INFO, "not sent: a newer event was delivered by another member" },
        [KAP_DEDUP_STORE_FAILED] = { KAP_LOG_ERROR, "an event could not be stored" },
        [KAP_DEDUP_LIMIT] = { KAP_LOG_ERROR, "an event was refused: too many are pending" },
        [KAP_DEDUP_BAD_MESSAGE] = { KAP_LOG_WARN, "bad message about events" },
    };
    kap_log(texts[n->kind].level, "alert", texts[n->kind].text, kap_kv_n("topic", n->topic), kap_kv_n("id", n->id),
            kap_kv_n("handler", n->handler), kap_kv_n("member", n->member), kap_kv_s("detail", n->text ? n->text : ""));
}

/* --- the dispatcher's word --- */

struct outcome {
    struct kap_alerts *a;
    struct kap_event *ev;
    char *handler, *error;
    enum kap_verdict verdict;
};

static void tell_dedup(struct kap_alerts *a, const struct outcome *o)
{
    static const enum kap_dedup_verdict verdicts[] = {
        [KAP_SENT] = KAP_DEDUP_SENT, [KAP_RETRY] = KAP_DEDUP_RETRY, [KAP_GIVE_UP] = KAP_DEDUP_GIVE_UP,
    };
    const struct kap_dedup_identity identity = identity_of(o->ev);
    if (o->verdict == KAP_GIVE_UP)
        kap_dead_letters_add(a->dead_letters, o->ev, kap_str(o->handler), o->error, kap_clock_wall(a->opts.clock));
    /* Who tries again, and when, is the dedup core's to say: another owner may do better. */
    if (o->verdict != KAP_RETRY || kap_dispatch_cancel(a->dispatch, o->ev, kap_str(o->handler)))
        kap_dedup_delivered(a->dedup, kap_dedup_key_of(&identity), kap_str(o->handler), verdicts[o->verdict]);
}

static void outcome_on_loop(void *arg)
{
    struct outcome *o = arg;
    struct kap_alerts *a = o->a;
    if (a->dispatch && !kap_dead_letters_outcome(a->dead_letters, o->ev, kap_str(o->handler), o->verdict, o->error))
        tell_dedup(a, o);
    if (a->dispatch)
        kap_dispatch_confirm(a->dispatch, o->ev->topic, kap_str(o->handler));
    touch(a);
    kap_event_unref(o->ev);
    kap_free(o->handler);
    kap_free(o->error);
    kap_free(o);
}

/* On a thread of the dispatcher. */
static void on_outcome(void *ctx, struct kap_event *ev, struct kap_str handler, enum kap_verdict verdict, const char *error)
{
    struct kap_alerts *a = ctx;
    struct outcome *o = KAP_NEW(struct outcome);
    *o = (struct outcome){ a, kap_event_ref(ev), kap_strndup(handler.p, handler.n),
                           kap_strdup(error ? error : ""), verdict };
    kap_loop_post(a->opts.loop, outcome_on_loop, o);
}

/* --- from nodes --- */

struct submission {
    struct kap_alerts *a;
    struct kap_event *ev;
    struct kap_buf blob;
};

static void submit_on_loop(void *arg)
{
    struct submission *s = arg;
    struct kap_alerts *a = s->a;
    pthread_mutex_lock(&a->lock);
    if (a->on_the_way-- == ON_THE_WAY_MAX)
        pthread_cond_broadcast(&a->room);
    pthread_mutex_unlock(&a->lock);
    const struct kap_dedup_identity identity = identity_of(s->ev);
    struct kap_error err;
    a->submitting = s->ev;
    if (kap_dedup_submit(a->dedup, &identity, kap_buf_str(&s->blob), &err) != KAP_OK)
        kap_log(KAP_LOG_ERROR, "alert", "an event was lost: the outbox is full", kap_kv_n("topic", s->ev->topic),
                kap_kv_n("id", s->ev->id), kap_kv_s("err", err.msg));
    a->submitting = NULL;
    touch(a);
    kap_event_unref(s->ev);
    kap_buf_done(&s->blob);
    kap_free(s);
}

void kap_alerts_collect(struct kap_alerts *a, struct kap_event *ev)
{
    struct submission *s = KAP_NEW(struct submission);
    s->a = a;
    s->ev = kap_event_ref(ev);
    kap_event_encode(ev, &s->blob);
    pthread_mutex_lock(&a->lock);
    while (a->on_the_way >= ON_THE_WAY_MAX && !a->closed)
        pthread_cond_wait(&a->room, &a->lock);
    a->on_the_way++;
    pthread_mutex_unlock(&a->lock);
    kap_loop_post(a->opts.loop, submit_on_loop, s);
}

bool kap_alerts_restore(struct kap_alerts *a, struct kap_str topic, struct kap_str event_id, struct kap_event_state *ret)
{
    return kap_topics_state(a->topics, topic, event_id, ret, NULL);
}

/* A publish handler's event for another topic: it comes from each owner, and is one. On the loop's thread. */
static void publish(void *ctx, struct kap_str topic, struct kap_event *ev)
{
    struct kap_alerts *a = ctx;
    struct kap_event *derived = kap_event_derive(ev, topic);
    struct submission *s = KAP_NEW(struct submission);
    s->a = a;
    s->ev = derived;
    kap_event_encode(derived, &s->blob);
    pthread_mutex_lock(&a->lock);
    a->on_the_way++; /* never waits: it is the loop that makes room */
    pthread_mutex_unlock(&a->lock);
    kap_loop_post(a->opts.loop, submit_on_loop, s);
}

static void handler_env(void *ctx, const struct kap_handler_type *type, struct kap_handler_env *ret)
{
    struct kap_alerts *a = ctx;
    *ret = (struct kap_handler_env){ .hostname = a->opts.hostname, .server_id = kap_str(a->opts.identity->server_id),
                                     .cluster_id = kap_str(a->opts.identity->cluster_id), .ctx = a, .publish = publish };
    ret->api_url = kap_buf_str(&a->api_url);
    if (type->section)
        ret->config = kap_config_elements(a->overrides ? kap_overrides_config(a->overrides) : a->opts.config, type->section, &ret->nconfigs);
}

void kap_alerts_overrides(struct kap_alerts *a, const struct kap_overrides *overrides)
{
    a->overrides = overrides;
}

/* --- timers --- */

static void on_timer(uv_timer_t *timer)
{
    touch(timer->data);
}

static void finish_drain(struct kap_alerts *a)
{
    if (!a->drained)
        return;
    void (*drained)(void *) = a->drained;
    a->drained = NULL;
    uv_timer_stop(&a->drain_timer);
    kap_loop_post(a->opts.loop, drained, a->drained_ctx);
}

static void settle(void *arg)
{
    struct kap_alerts *a = arg;
    a->touched = false;
    if (a->closed || !a->started)
        return;
    const int64_t now = kap_clock_mono(a->opts.clock);
    if (kap_dedup_deadline(a->dedup) <= now)
        kap_dedup_tick(a->dedup);
    if (kap_topics_next(a->topics) <= now)
        kap_topics_tick(a->topics, now);
    if (a->drained && kap_dedup_stats(a->dedup).busy == 0)
        finish_drain(a);
    const int64_t deadline = KAP_MIN(kap_dedup_deadline(a->dedup), kap_topics_next(a->topics));
    if (deadline == INT64_MAX) {
        uv_timer_stop(&a->timer);
        return;
    }
    const int64_t wait_ms = deadline <= now ? 0 : (deadline - now) / 1000000 + 1;
    uv_timer_start(&a->timer, on_timer, (uint64_t)wait_ms, 0);
}

/* --- life --- */

static void load_mark(void *ctx, struct kap_alert_key key, struct kap_str handler)
{
    struct kap_alerts *a = ctx;
    kap_dedup_load_mark(a->dedup, (struct kap_dedup_key){ key.hi, key.lo }, handler);
}

static void load_event(void *ctx, struct kap_alert_key key, struct kap_str meta, struct kap_str blob,
                       const struct kap_str *handlers, size_t nhandlers)
{
    struct kap_alerts *a = ctx;
    struct kap_error err;
    if (kap_dedup_load_event(a->dedup, (struct kap_dedup_key){ key.hi, key.lo }, meta, blob, handlers, nhandlers, &err) !=
        KAP_OK)
        kap_log(KAP_LOG_ERROR, "store", "an event of the outbox could not be read", kap_kv_s("err", err.msg));
}

static void load_topic(void *ctx, struct kap_str topic, uint64_t dropped_stamp)
{
    struct kap_alerts *a = ctx;
    kap_dedup_load_topic(a->dedup, topic, dropped_stamp);
}

static void load_dead(void *ctx, const struct kap_alert_dead *letter)
{
    struct kap_alerts *a = ctx;
    kap_dead_letters_load(a->dead_letters, letter);
}

static void load_state(void *ctx, struct kap_str topic, struct kap_str id, uint64_t stamp, struct kap_str blob)
{
    struct kap_alerts *a = ctx;
    kap_dedup_load_state(a->dedup, topic, id, stamp, blob);
}

static void make_topics(struct kap_alerts *a, bool persist)
{
    const struct kap_topics_options options = {
        .types = kap_handler_types, .persist = persist, .env = handler_env, .env_ctx = a,
        .store = { .ctx = a, .delete_topic = on_topic_deleted },
    };
    a->silences = kap_silences_new();
    a->topics = kap_topics_new(&options);
    const struct kap_dispatch_options dispatch = { .topics = a->topics, .clock = a->opts.clock,
                                                   .seed = kap_random_system_seed(), .done = on_outcome, .ctx = a,
                                                   .confirm = true };
    a->dispatch = kap_dispatch_new(&dispatch);
    a->dead_letters = kap_dead_letters_new(a->db, a->dispatch);
}

/* "http://serverA:9092/kapacitor/v1": where links in notifications lead to. */
static void add_api_url(struct kap_alerts *a)
{
    const struct kap_config_http *http = kap_config_section(a->opts.config, "http");
    kap_buf_adds(&a->api_url, http->https_enabled ? "https://" : "http://");
    if (http->bind_address.n > 0 && http->bind_address.p[0] != ':' && http->advertise_address.n == 0)
        kap_buf_add(&a->api_url, http->bind_address);
    else
        kap_config_advertise(http->advertise_address, http->bind_address, a->opts.hostname, &a->api_url);
    kap_buf_adds(&a->api_url, KAP_HTTP_BASE);
}

enum kap_status kap_alerts_new(const struct kap_alerts_options *opts, struct kap_alerts **ret, struct kap_error *err)
{
    struct kap_alerts *a = KAP_NEW(struct kap_alerts);
    *ret = a; /* closed by the caller also when the rest fails */
    a->opts = *opts;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->room, NULL);
    uv_timer_init(kap_loop_uv(opts->loop), &a->timer);
    uv_timer_init(kap_loop_uv(opts->loop), &a->drain_timer);
    a->timer.data = a->drain_timer.data = a;
    add_api_url(a);
    KAP_TRY(kap_alert_db_open(opts->data_dir, NULL, &a->db, err));

    const struct kap_config_alert *alert = kap_config_section(opts->config, "alert");
    make_topics(a, alert->persist_topics);
    const struct kap_dedup_config config = {
        .self = kap_str(opts->identity->server_id), .clock = opts->clock,
        .redundancy = alert->redundancy > 0 ? (size_t)alert->redundancy : 0, .delay_ns = alert->delay_per_member_ns,
        .full_sync_ns = alert->full_sync_interval_ns, .persist_states = alert->persist_topics,
    };
    const struct kap_dedup_io io = {
        .send = dedup_send, .store = dedup_store, .accept = dedup_accept, .deliver = dedup_deliver,
        .state_get = state_get, .state_set = state_set, .topic_drop = topic_drop, .notice = dedup_notice, .ctx = a,
    };
    a->dedup = kap_dedup_new(&config, &io);
    const struct kap_alert_db_loader loader = { .mark = load_mark, .event = load_event, .topic = load_topic,
                                                .state = load_state, .dead = load_dead, .ctx = a };
    return kap_alert_db_load(a->db, &loader, err);
}

void kap_alerts_start(struct kap_alerts *a, struct kap_cluster *cluster)
{
    a->cluster = cluster;
    a->started = true;
    touch(a);
}

static void on_drain_timer(uv_timer_t *timer)
{
    finish_drain(timer->data);
}

void kap_alerts_drain(struct kap_alerts *a, void (*done)(void *ctx), void *ctx)
{
    a->drained = done;
    a->drained_ctx = ctx;
    kap_dedup_drain(a->dedup);
    uv_timer_start(&a->drain_timer, on_drain_timer, DRAIN_MS, 0);
    touch(a);
}

void kap_alerts_close(struct kap_alerts *a)
{
    if (!a || a->closed)
        return;
    pthread_mutex_lock(&a->lock);
    a->closed = true;
    pthread_cond_broadcast(&a->room);
    pthread_mutex_unlock(&a->lock);
    uv_close((uv_handle_t *)&a->timer, NULL);
    uv_close((uv_handle_t *)&a->drain_timer, NULL);
    kap_dispatch_free(a->dispatch);
    a->dispatch = NULL;
    if (a->db)
        kap_alert_db_close(a->db);
    a->db = NULL;
}

void kap_alerts_free(struct kap_alerts *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < RECENT; i++)
        kap_event_unref(a->recent[i].ev);
    kap_dedup_free(a->dedup);
    kap_topics_free(a->topics);
    kap_silences_free(a->silences);
    kap_dead_letters_free(a->dead_letters);
    kap_buf_done(&a->api_url);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->room);
    kap_free(a);
}

struct kap_topics *kap_alerts_topics(struct kap_alerts *a)
{
    return a->topics;
}

struct kap_silences *kap_alerts_silences(struct kap_alerts *a)
{
    return a->silences;
}

void kap_alerts_members(struct kap_alerts *a, const struct kap_dedup_member *members, size_t n)
{
    kap_dedup_members(a->dedup, members, n);
    touch(a);
}

void kap_alerts_message(struct kap_alerts *a, struct kap_str member, struct kap_str bytes)
{
    kap_dedup_message(a->dedup, member, bytes);
    touch(a);
}

/* --- dead letters, for the API --- */

struct letter_call {
    struct kap_alerts *a;
    uint64_t id;
    bool drop;
    struct kap_json *j;
    struct kap_error *err;
    enum kap_status status;
};

static void list_on_loop(void *arg)
{
    const struct letter_call *c = arg;
    kap_dead_letters_json(c->a->dead_letters, c->j);
}

static void list_letters(void *ctx, struct kap_json *j)
{
    struct letter_call c = { .a = ctx, .j = j };
    if (kap_loop_call(c.a->opts.loop, list_on_loop, &c))
        return;
    kap_json_array(j); /* the server is shutting down */
    kap_json_array_end(j);
}

static void change_on_loop(void *arg)
{
    struct letter_call *c = arg;
    c->status = c->drop ? kap_dead_letters_delete(c->a->dead_letters, c->id, c->err)
                        : kap_dead_letters_replay(c->a->dead_letters, c->id, c->err);
}

static enum kap_status change_letter(struct letter_call *c)
{
    if (!kap_loop_call(c->a->opts.loop, change_on_loop, c))
        return kap_fail(c->err, KAP_ESTATE, "the server is shutting down");
    return c->status;
}

static enum kap_status replay_letter(void *ctx, uint64_t id, struct kap_error *err)
{
    return change_letter(&(struct letter_call){ .a = ctx, .id = id, .err = err });
}

static enum kap_status drop_letter(void *ctx, uint64_t id, struct kap_error *err)
{
    return change_letter(&(struct letter_call){ .a = ctx, .id = id, .drop = true, .err = err });
}

void kap_alerts_dead_letters(struct kap_alerts *a, struct kap_api_dead_letters *ret)
{
    *ret = (struct kap_api_dead_letters){ .ctx = a, .list = list_letters, .replay = replay_letter, .drop = drop_letter };
}

/* --- figures --- */

struct stats {
    struct kap_alerts *a;
    struct kap_dedup_stats dedup;
    uint64_t silenced;
    size_t dead_letters;
};

static void stats_on_loop(void *arg)
{
    struct stats *s = arg;
    s->dedup = kap_dedup_stats(s->a->dedup);
    s->silenced = s->a->silenced;
    s->dead_letters = kap_dead_letters_len(s->a->dead_letters);
}

static void write_handler(void *ctx, const struct kap_dispatch_stats *s)
{
    struct kap_api_stats *w = ctx;
    KAP_AUTO_FREE char *topic = kap_strndup(s->topic.p, s->topic.n);
    KAP_AUTO_FREE char *handler = kap_strndup(s->handler.p, s->handler.n);
    const char *const tags[] = { "topic", topic, "handler", handler, NULL };
    kap_api_stat_begin(w, "handlers", tags);
    kap_api_stat_value(w, "pending", (int64_t)s->pending);
    kap_api_stat_value(w, "running", (int64_t)s->running);
    kap_api_stat_value(w, "sent", (int64_t)s->sent);
    kap_api_stat_value(w, "retries", (int64_t)s->failed);
    kap_api_stat_value(w, "given_up", (int64_t)s->given_up);
    kap_api_stat_value(w, "circuit_open", s->open);
    kap_api_stat_end(w);
}

void kap_alerts_stats(struct kap_alerts *a, struct kap_api_stats *w)
{
    struct stats s = { .a = a };
    if (!kap_loop_call(a->opts.loop, stats_on_loop, &s))
        return;
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        { "pending", s.dedup.pending },     { "pending_bytes", s.dedup.pending_bytes }, { "busy", s.dedup.busy },
        { "submitted", s.dedup.submitted }, { "received", s.dedup.received },           { "accepted", s.dedup.accepted },
        { "merged", s.dedup.merged },       { "delivered", s.dedup.delivered },         { "retries", s.dedup.retried },
        { "gave_up", s.dedup.gave_up },     { "superseded", s.dedup.superseded },       { "take_overs", s.dedup.take_overs },
        { "hand_overs", s.dedup.hand_overs }, { "refused", s.dedup.refused },
        { "silenced", s.silenced },     { "dead_letters", s.dead_letters },
    };
    kap_api_stat_begin(w, "kapacitor_alerts", NULL);
    for (size_t i = 0; i < KAP_COUNT(figures); i++)
        kap_api_stat_value(w, figures[i].name, (int64_t)figures[i].value);
    kap_api_stat_end(w);
    kap_dispatch_each_stats(a->dispatch, write_handler, w);
}
