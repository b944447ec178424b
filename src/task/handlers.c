#include "task/handlers.h"

#include "base/log.h"
#include "base/mem.h"

#include <pthread.h>

struct kap_topic_handlers {
    struct kap_definitions *definitions;
    struct kap_topics *topics;
    pthread_mutex_t change; /* one change of this member at a time */
};

static void key_of(struct kap_buf *b, struct kap_str topic, struct kap_str id)
{
    kap_buf_addf(b, "%.*s/%.*s", KAP_STR_ARG(topic), KAP_STR_ARG(id));
}

/* "TOPIC/HANDLER"; neither has a '/'. */
static bool split(struct kap_str key, struct kap_str *topic, struct kap_str *id)
{
    const char *slash = memchr(key.p, '/', key.n);
    if (slash == NULL)
        return false;
    *topic = kap_strn(key.p, (size_t)(slash - key.p));
    *id = kap_strn(slash + 1, key.n - topic->n - 1);
    return true;
}

static enum kap_status decode(struct kap_str topic, struct kap_str text, struct kap_handler_spec *ret,
                              struct kap_error *err)
{
    KAP_AUTO_FREE char *name = kap_strndup(topic.p, topic.n);
    json_t *json = json_loadb(text.p, text.n, 0, NULL);
    const enum kap_status st = kap_handler_spec_read(json, name, ret, err);
    json_decref(json);
    return st;
}

/* Puts a stored definition into effect. */
static void take(struct kap_topic_handlers *h, struct kap_str key, struct kap_str json)
{
    struct kap_str topic, id;
    struct kap_handler_spec spec;
    struct kap_error err;
    if (!split(key, &topic, &id))
        return;
    enum kap_status st = decode(topic, json, &spec, &err);
    if (st == KAP_OK) {
        st = kap_topics_put_handler(h->topics, &spec, &err);
        kap_handler_spec_done(&spec);
    }
    if (st != KAP_OK)
        kap_log(KAP_LOG_ERROR, "alert", "cannot use a handler's definition", kap_kv_n("topic", topic),
                kap_kv_n("handler", id), kap_kv_s("err", err.msg));
}

static bool load_one(void *ctx, struct kap_str key, struct kap_str json)
{
    take(ctx, key, json);
    return true;
}

static void on_change(void *ctx, enum kap_definition_kind kind, struct kap_str key, bool remote)
{
    struct kap_topic_handlers *h = ctx;
    struct kap_str topic, id;
    if (!remote || !split(key, &topic, &id))
        return;
    KAP_AUTO_BUF struct kap_buf json = { 0 };
    if (h->definitions->get(h->definitions->ctx, kind, key, &json, NULL) == KAP_OK)
        take(h, key, kap_buf_str(&json));
    else
        kap_topics_delete_handler(h->topics, topic, id);
}

enum kap_status kap_topic_handlers_new(struct kap_definitions *definitions, struct kap_topics *topics,
                                       struct kap_topic_handlers **ret, struct kap_error *err)
{
    struct kap_topic_handlers *h = KAP_NEW(struct kap_topic_handlers);
    h->definitions = definitions;
    h->topics = topics;
    pthread_mutex_init(&h->change, NULL);
    const enum kap_status st = definitions->each(definitions->ctx, KAP_DEFINITION_HANDLER, load_one, h, err);
    if (st != KAP_OK) {
        pthread_mutex_destroy(&h->change);
        kap_free(h);
        return st;
    }
    definitions->watch(definitions->ctx, KAP_DEFINITION_HANDLER, on_change, h);
    *ret = h;
    return KAP_OK;
}

void kap_topic_handlers_free(struct kap_topic_handlers *h)
{
    if (h == NULL)
        return;
    h->definitions->watch(h->definitions->ctx, KAP_DEFINITION_HANDLER, NULL, NULL);
    pthread_mutex_destroy(&h->change);
    kap_free(h);
}

static enum kap_status drop(struct kap_topic_handlers *h, struct kap_str topic, struct kap_str id,
                            struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf key = { 0 };
    key_of(&key, topic, id);
    KAP_TRY(h->definitions->drop(h->definitions->ctx, KAP_DEFINITION_HANDLER, kap_buf_str(&key), err));
    kap_topics_delete_handler(h->topics, topic, id);
    return KAP_OK;
}

static enum kap_status put(struct kap_topic_handlers *h, const struct kap_handler_spec *spec,
                           const char *old_id, struct kap_error *err)
{
    const bool renamed = old_id && strcmp(old_id, spec->id) != 0;
    KAP_TRY(kap_topics_check_handler(h->topics, spec, old_id == NULL || renamed, err));
    KAP_AUTO_BUF struct kap_buf key = { 0 };
    KAP_AUTO_BUF struct kap_buf json = { 0 };
    struct kap_json j;
    key_of(&key, kap_str(spec->topic), kap_str(spec->id));
    kap_json_init(&j, &json, false);
    kap_handler_spec_json(spec, &j);
    KAP_TRY(h->definitions->put(h->definitions->ctx, KAP_DEFINITION_HANDLER, kap_buf_str(&key),
                                kap_buf_str(&json), err));
    KAP_TRY(kap_topics_put_handler(h->topics, spec, err));
    return renamed ? drop(h, kap_str(spec->topic), kap_str(old_id), err) : KAP_OK;
}

enum kap_status kap_topic_handlers_put(struct kap_topic_handlers *h, const struct kap_handler_spec *spec,
                                       const char *old_id, struct kap_error *err)
{
    pthread_mutex_lock(&h->change);
    const enum kap_status st = put(h, spec, old_id, err);
    pthread_mutex_unlock(&h->change);
    return st;
}

enum kap_status kap_topic_handlers_drop(struct kap_topic_handlers *h, struct kap_str topic, struct kap_str id,
                                        struct kap_error *err)
{
    pthread_mutex_lock(&h->change);
    const enum kap_status st = drop(h, topic, id, err);
    pthread_mutex_unlock(&h->change);
    return st;
}

enum kap_status kap_topic_handlers_get(struct kap_topic_handlers *h, struct kap_str topic, struct kap_str id,
                                       struct kap_handler_spec *ret, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf key = { 0 };
    KAP_AUTO_BUF struct kap_buf json = { 0 };
    key_of(&key, topic, id);
    KAP_TRY(h->definitions->get(h->definitions->ctx, KAP_DEFINITION_HANDLER, kap_buf_str(&key), &json, err));
    return decode(topic, kap_buf_str(&json), ret, err);
}
