#include "daemon/dead_letters.h"

#include "base/log.h"
#include "base/mem.h"

struct letter {
    uint64_t id;
    int64_t time_ns;             /* when it was given up; wall clock */
    char *topic, *event, *handler, *error;
    enum kap_level level;
    struct kap_event *replaying; /* what the dispatcher was given; NULL: nothing */
};

struct kap_dead_letters {
    struct kap_alert_db *db;
    struct kap_dispatch *dispatch;
    struct letter *v; /* by rising ID */
    size_t n, cap;
    uint64_t last_id;
};

struct kap_dead_letters *kap_dead_letters_new(struct kap_alert_db *db, struct kap_dispatch *dispatch)
{
    struct kap_dead_letters *d = KAP_NEW(struct kap_dead_letters);
    d->db = db;
    d->dispatch = dispatch;
    return d;
}

static void done(struct letter *l)
{
    kap_free(l->topic);
    kap_free(l->event);
    kap_free(l->handler);
    kap_free(l->error);
    kap_event_unref(l->replaying);
}

void kap_dead_letters_free(struct kap_dead_letters *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++)
        done(&d->v[i]);
    kap_free(d->v);
    kap_free(d);
}

static void forget(struct kap_dead_letters *d, struct letter *l)
{
    kap_alert_db_drop_dead(d->db, l->id);
    done(l);
    const size_t at = (size_t)(l - d->v);
    memmove(l, l + 1, (--d->n - at) * sizeof *l);
}

static void keep(struct kap_dead_letters *d, const struct kap_event *ev, uint64_t id, int64_t time_ns,
                 struct kap_str handler, struct kap_str error)
{
    if (d->n == KAP_DEAD_LETTERS_MAX) {
        kap_log(KAP_LOG_WARN, "alert", "too many dead letters, the oldest is dropped", kap_kv_s("topic", d->v[0].topic),
                kap_kv_s("event", d->v[0].event), kap_kv_s("handler", d->v[0].handler));
        forget(d, &d->v[0]);
    }
    KAP_GROW(d->v, d->cap, d->n + 1);
    d->v[d->n++] = (struct letter){
        .id = id, .time_ns = time_ns, .topic = kap_strndup(ev->topic.p, ev->topic.n),
        .event = kap_strndup(ev->id.p, ev->id.n), .handler = kap_strndup(handler.p, handler.n),
        .error = kap_strndup(error.p, error.n), .level = ev->level,
    };
    d->last_id = KAP_MAX(d->last_id, id);
}

void kap_dead_letters_load(struct kap_dead_letters *d, const struct kap_alert_dead *letter)
{
    struct kap_event *ev;
    struct kap_error err;
    if (kap_event_decode(letter->blob, &ev, &err) != KAP_OK) {
        kap_log(KAP_LOG_ERROR, "store", "a dead letter could not be read", kap_kv_s("err", err.msg));
        return;
    }
    keep(d, ev, letter->id, letter->time_ns, letter->handler, letter->error);
    kap_event_unref(ev);
}

void kap_dead_letters_add(struct kap_dead_letters *d, const struct kap_event *ev, struct kap_str handler,
                          const char *error, int64_t wall_ns)
{
    KAP_AUTO_BUF struct kap_buf blob = { 0 };
    kap_event_encode(ev, &blob);
    const struct kap_alert_dead letter = { .id = d->last_id + 1, .time_ns = wall_ns, .handler = handler,
                                           .error = kap_str(error), .blob = kap_buf_str(&blob) };
    kap_alert_db_put_dead(d->db, &letter);
    keep(d, ev, letter.id, wall_ns, handler, letter.error);
}

static struct letter *find(const struct kap_dead_letters *d, uint64_t id)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->v[i].id == id)
            return &d->v[i];
    return NULL;
}

static enum kap_status unknown(uint64_t id, struct kap_error *err)
{
    return kap_fail(err, KAP_ENOTFOUND, "unknown dead letter: %llu", (unsigned long long)id);
}

enum kap_status kap_dead_letters_replay(struct kap_dead_letters *d, uint64_t id, struct kap_error *err)
{
    struct letter *l = find(d, id);
    if (!l)
        return unknown(id, err);
    if (l->replaying)
        return kap_fail(err, KAP_ESTATE, "dead letter %llu is being replayed", (unsigned long long)id);
    KAP_AUTO_BUF struct kap_buf blob = { 0 };
    KAP_TRY(kap_alert_db_dead_blob(d->db, id, &blob, err));
    KAP_TRY(kap_event_decode(kap_buf_str(&blob), &l->replaying, err));
    kap_dispatch_send(d->dispatch, l->replaying, kap_str(l->handler), 0);
    return KAP_OK;
}

enum kap_status kap_dead_letters_delete(struct kap_dead_letters *d, uint64_t id, struct kap_error *err)
{
    struct letter *l = find(d, id);
    if (!l)
        return unknown(id, err);
    if (l->replaying)
        return kap_fail(err, KAP_ESTATE, "dead letter %llu is being replayed", (unsigned long long)id);
    forget(d, l);
    return KAP_OK;
}

bool kap_dead_letters_outcome(struct kap_dead_letters *d, const struct kap_event *ev, struct kap_str handler,
                              enum kap_verdict verdict, const char *error)
{
    struct letter *l = NULL;
    for (size_t i = 0; i < d->n && !l; i++)
        if (d->v[i].replaying == ev)
            l = &d->v[i];
    if (!l)
        return false;
    if (verdict == KAP_SENT) {
        forget(d, l);
        return true;
    }
    if (verdict == KAP_RETRY)
        kap_dispatch_cancel(d->dispatch, ev, handler);
    kap_free(l->error);
    l->error = kap_strdup(error);
    kap_event_unref(l->replaying);
    l->replaying = NULL;
    return true;
}

static void text_member(struct kap_json *j, const char *key, const char *text)
{
    kap_json_key(j, key);
    kap_json_cstr(j, text);
}

void kap_dead_letters_json(const struct kap_dead_letters *d, struct kap_json *j)
{
    kap_json_array(j);
    for (size_t i = 0; i < d->n; i++) {
        const struct letter *l = &d->v[i];
        kap_json_object(j);
        kap_json_key(j, "id");
        kap_json_u64(j, l->id);
        kap_json_key(j, "time");
        kap_json_time(j, l->time_ns);
        text_member(j, "topic", l->topic);
        text_member(j, "event", l->event);
        text_member(j, "level", kap_level_name(l->level));
        text_member(j, "handler", l->handler);
        text_member(j, "error", l->error);
        kap_json_key(j, "replaying");
        kap_json_bool(j, l->replaying != NULL);
        kap_json_object_end(j);
    }
    kap_json_array_end(j);
}

size_t kap_dead_letters_len(const struct kap_dead_letters *d)
{
    return d->n;
}
