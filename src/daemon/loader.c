#include "daemon/loader.h"

#include "base/log.h"
#include "base/mem.h"

#include <pthread.h>

struct kap_loader {
    struct kap_load_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    bool wants_run, ending;
};

static void run(const struct kap_loader *l)
{
    struct kap_load_counts counts = { 0 };
    struct kap_error err;
    if (kap_load(&l->options, &counts, &err) != KAP_OK)
        kap_log(KAP_LOG_ERROR, "load", "the load directory cannot be used", kap_kv_s("err", err.msg));
    else
        kap_log(counts.failed ? KAP_LOG_WARN : KAP_LOG_INFO, "load", "load directory read",
                kap_kv_s("dir", l->options.dir), kap_kv_i("loaded", (int64_t)counts.loaded),
                kap_kv_i("unchanged", (int64_t)counts.unchanged),
                kap_kv_i("removed", (int64_t)counts.removed), kap_kv_i("failed", (int64_t)counts.failed));
}

static void *loader_main(void *arg)
{
    struct kap_loader *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->ending) {
        if (!l->wants_run) {
            pthread_cond_wait(&l->wanted, &l->lock);
            continue;
        }
        l->wants_run = false;
        pthread_mutex_unlock(&l->lock);
        run(l);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

enum kap_status kap_loader_new(const struct kap_load_options *options, struct kap_loader **ret,
                               struct kap_error *err)
{
    struct kap_loader *l = KAP_NEW(struct kap_loader);
    l->options = *options;
    l->wants_run = true;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wanted, NULL);
    if (pthread_create(&l->thread, NULL, loader_main, l) != 0) {
        kap_free(l);
        return kap_fail(err, KAP_EINTERNAL, "cannot start the thread of the load directory");
    }
    *ret = l;
    return KAP_OK;
}

void kap_loader_again(struct kap_loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->wants_run = true;
    pthread_cond_signal(&l->wanted);
    pthread_mutex_unlock(&l->lock);
}

void kap_loader_free(struct kap_loader *l)
{
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->lock);
    l->ending = true;
    pthread_cond_signal(&l->wanted);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->wanted);
    kap_free(l);
}
