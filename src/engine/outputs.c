#include "engine/outputs.h"
#include "base/map.h"
#include "base/mem.h"
#include <pthread.h>

struct kap_outputs {
    pthread_mutex_t lock;
    struct kap_map *by_key; /* struct output */
};

struct output {
    struct kap_buf json;
    bool ok;
};

struct kap_outputs *kap_outputs_new(void)
{
    struct kap_outputs *o = KAP_NEW(struct kap_outputs);
    pthread_mutex_init(&o->lock, NULL);
    o->by_key = kap_map_new();
    return o;
}

static void free_output(struct output *out)
{
    if (!out)
        return;
    kap_buf_done(&out->json);
    kap_free(out);
}

void kap_outputs_free(struct kap_outputs *o)
{
    if (!o)
        return;
    void *value;
    for (size_t i = 0; kap_map_next(o->by_key, &i, NULL, &value);)
        free_output(value);
    kap_map_free(o->by_key);
    pthread_mutex_destroy(&o->lock);
    kap_free(o);
}

/* Task IDs hold no slash. */
static struct kap_str key_of(struct kap_buf *b, struct kap_str task, struct kap_str endpoint)
{
    kap_buf_add(b, task);
    kap_buf_addc(b, '/');
    kap_buf_add(b, endpoint);
    return kap_buf_str(b);
}

void kap_outputs_publish(struct kap_outputs *o, struct kap_str task, struct kap_str endpoint,
                         struct kap_str json, bool ok)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const struct kap_str key = key_of(&b, task, endpoint);
    pthread_mutex_lock(&o->lock);
    struct output *out = kap_map_get(o->by_key, key);
    if (!out) {
        out = KAP_NEW(struct output);
        kap_map_put(o->by_key, key, out);
    }
    kap_buf_reset(&out->json);
    if (ok)
        kap_buf_add(&out->json, json);
    out->ok = ok;
    pthread_mutex_unlock(&o->lock);
}

void kap_outputs_unpublish(struct kap_outputs *o, struct kap_str task, struct kap_str endpoint)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const struct kap_str key = key_of(&b, task, endpoint);
    pthread_mutex_lock(&o->lock);
    free_output(kap_map_del(o->by_key, key));
    pthread_mutex_unlock(&o->lock);
}

enum kap_status kap_outputs_get(struct kap_outputs *o, struct kap_str task, struct kap_str endpoint,
                                struct kap_buf *out, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    const struct kap_str key = key_of(&b, task, endpoint);
    pthread_mutex_lock(&o->lock);
    const struct output *found = kap_map_get(o->by_key, key);
    if (found && found->ok)
        kap_buf_add(out, kap_buf_str(&found->json));
    const bool missing = !found, bad = found && !found->ok;
    pthread_mutex_unlock(&o->lock);
    if (missing)
        return kap_fail(err, KAP_ENOTFOUND, "no output");
    if (bad)
        return kap_fail(err, KAP_EINTERNAL, "json: unsupported value: NaN");
    return KAP_OK;
}
