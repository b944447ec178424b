#include "task/outputs.h"

#include "base/map.h"
#include "base/mem.h"

#include <pthread.h>

struct output {
    bool ok;
    struct kap_buf json;
};

struct kap_outputs {
    pthread_mutex_t lock;
    struct kap_map *by_path; /* "TASK/ENDPOINT": task IDs have no '/' */
};

struct kap_outputs *kap_outputs_new(void)
{
    struct kap_outputs *o = KAP_NEW(struct kap_outputs);
    pthread_mutex_init(&o->lock, NULL);
    o->by_path = kap_map_new();
    return o;
}

static void output_free(struct output *out)
{
    if (out == NULL)
        return;
    kap_buf_done(&out->json);
    kap_free(out);
}

void kap_outputs_free(struct kap_outputs *o)
{
    if (o == NULL)
        return;
    size_t i = 0;
    void *out;
    while (kap_map_next(o->by_path, &i, NULL, &out))
        output_free(out);
    kap_map_free(o->by_path);
    pthread_mutex_destroy(&o->lock);
    kap_free(o);
}

static void path_of(struct kap_buf *b, struct kap_str task, struct kap_str endpoint)
{
    kap_buf_addf(b, "%.*s/%.*s", KAP_STR_ARG(task), KAP_STR_ARG(endpoint));
}

void kap_outputs_publish(void *outputs, struct kap_str task, struct kap_str endpoint, struct kap_str json, bool ok)
{
    struct kap_outputs *o = outputs;
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    path_of(&path, task, endpoint);
    pthread_mutex_lock(&o->lock);
    struct output *out = kap_map_get(o->by_path, kap_buf_str(&path));
    if (out == NULL) {
        out = KAP_NEW(struct output);
        kap_map_put(o->by_path, kap_buf_str(&path), out);
    }
    kap_buf_reset(&out->json);
    kap_buf_add(&out->json, json);
    out->ok = ok;
    pthread_mutex_unlock(&o->lock);
}

void kap_outputs_unpublish(void *outputs, struct kap_str task, struct kap_str endpoint)
{
    struct kap_outputs *o = outputs;
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    path_of(&path, task, endpoint);
    pthread_mutex_lock(&o->lock);
    output_free(kap_map_del(o->by_path, kap_buf_str(&path)));
    pthread_mutex_unlock(&o->lock);
}

enum kap_status kap_outputs_get(struct kap_outputs *o, struct kap_str task, struct kap_str endpoint, struct kap_buf *ret,
                                struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    path_of(&path, task, endpoint);
    enum kap_status st = KAP_OK;
    pthread_mutex_lock(&o->lock);
    const struct output *out = kap_map_get(o->by_path, kap_buf_str(&path));
    if (out == NULL)
        st = kap_fail(err, KAP_ENOTFOUND, "no task exists");
    else if (!out->ok)
        st = kap_fail(err, KAP_EINVAL, "json: unsupported value: NaN");
    else
        kap_buf_add(ret, kap_buf_str(&out->json));
    pthread_mutex_unlock(&o->lock);
    return st;
}
