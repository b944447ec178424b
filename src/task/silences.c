#include "task/silences.h"

#include "base/duration.h"
#include "base/log.h"
#include "base/mem.h"

#include <pthread.h>

#define KEPT_NS (24 * KAP_HOUR) /* after its end */

struct kap_stored_silences {
    struct kap_definitions *definitions;
    struct kap_silences *silences;
    pthread_mutex_t change; /* one change of this member at a time */
};

static void take(struct kap_stored_silences *st, struct kap_str id, struct kap_str text)
{
    struct kap_silence s;
    struct kap_error err;
    json_t *json = json_loadb(text.p, text.n, 0, NULL);
    if (kap_silence_read(json, 0, &s, &err) == KAP_OK)
        kap_silences_put(st->silences, &s);
    else
        kap_log(KAP_LOG_ERROR, "alert", "cannot use a silence", kap_kv_n("silence", id), kap_kv_s("err", err.msg));
    json_decref(json);
}

static bool load_one(void *ctx, struct kap_str id, struct kap_str json)
{
    take(ctx, id, json);
    return true;
}

static void on_change(void *ctx, enum kap_definition_kind kind, struct kap_str id, bool remote)
{
    struct kap_stored_silences *st = ctx;
    if (!remote)
        return;
    KAP_AUTO_BUF struct kap_buf json = { 0 };
    if (st->definitions->get(st->definitions->ctx, kind, id, &json, NULL) == KAP_OK)
        take(st, id, kap_buf_str(&json));
    else
        kap_silences_drop(st->silences, id);
}

enum kap_status kap_stored_silences_new(struct kap_definitions *definitions, struct kap_silences *silences,
                                        struct kap_stored_silences **ret, struct kap_error *err)
{
    struct kap_stored_silences *st = KAP_NEW(struct kap_stored_silences);
    st->definitions = definitions;
    st->silences = silences;
    pthread_mutex_init(&st->change, NULL);
    const enum kap_status status = definitions->each(definitions->ctx, KAP_DEFINITION_SILENCE, load_one, st, err);
    if (status != KAP_OK) {
        pthread_mutex_destroy(&st->change);
        kap_free(st);
        return status;
    }
    definitions->watch(definitions->ctx, KAP_DEFINITION_SILENCE, on_change, st);
    *ret = st;
    return KAP_OK;
}

void kap_stored_silences_free(struct kap_stored_silences *st)
{
    if (!st)
        return;
    st->definitions->watch(st->definitions->ctx, KAP_DEFINITION_SILENCE, NULL, NULL);
    pthread_mutex_destroy(&st->change);
    kap_free(st);
}

struct old {
    int64_t before_ns;
    struct kap_arena *arena;
    struct kap_str *ids;
    size_t n, cap;
    bool known;
    struct kap_str wanted;
};

static void note_old(void *ctx, const struct kap_silence *s)
{
    struct old *o = ctx;
    o->known |= kap_str_eq(s->id, o->wanted);
    if (s->expires_ns >= o->before_ns)
        return;
    KAP_GROW(o->ids, o->cap, o->n + 1);
    o->ids[o->n++] = kap_arena_str(o->arena, s->id);
}

static enum kap_status drop(struct kap_stored_silences *st, struct kap_str id, struct kap_error *err)
{
    KAP_TRY(st->definitions->drop(st->definitions->ctx, KAP_DEFINITION_SILENCE, id, err));
    kap_silences_drop(st->silences, id);
    return KAP_OK;
}

static void drop_old(struct kap_stored_silences *st, int64_t now_ns)
{
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct old o = { .before_ns = now_ns - KEPT_NS, .arena = arena, .wanted = KAP_STR("") };
    kap_silences_each(st->silences, note_old, &o);
    for (size_t i = 0; i < o.n; i++)
        (void)drop(st, o.ids[i], NULL); /* else the next time */
    kap_free(o.ids);
}

static enum kap_status put(struct kap_stored_silences *st, const struct kap_silence *s, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf json = { 0 };
    struct kap_json j;
    if (kap_silences_len(st->silences) >= KAP_SILENCES_MAX)
        return kap_fail(err, KAP_ELIMIT, "there are %d silences already", KAP_SILENCES_MAX);
    kap_json_init(&j, &json, false);
    kap_silence_json(s, &j);
    return st->definitions->put(st->definitions->ctx, KAP_DEFINITION_SILENCE, s->id, kap_buf_str(&json), err);
}

enum kap_status kap_stored_silences_put(struct kap_stored_silences *st, struct kap_silence *s, int64_t now_ns,
                                        struct kap_error *err)
{
    pthread_mutex_lock(&st->change);
    drop_old(st, now_ns);
    const enum kap_status status = put(st, s, err);
    if (status == KAP_OK)
        kap_silences_put(st->silences, s);
    else
        kap_silence_done(s);
    pthread_mutex_unlock(&st->change);
    return status;
}

enum kap_status kap_stored_silences_drop(struct kap_stored_silences *st, struct kap_str id, struct kap_error *err)
{
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct old o = { .before_ns = INT64_MIN, .arena = arena, .wanted = id };
    pthread_mutex_lock(&st->change);
    kap_silences_each(st->silences, note_old, &o);
    const enum kap_status status =
        o.known ? drop(st, id, err) : kap_fail(err, KAP_ENOTFOUND, "unknown silence: \"%.*s\"", KAP_STR_ARG(id));
    pthread_mutex_unlock(&st->change);
    return status;
}

struct kap_silences *kap_stored_silences_registry(struct kap_stored_silences *st)
{
    return st->silences;
}
