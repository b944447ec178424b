#include "daemon/loop.h"
#include "base/mem.h"
#include <pthread.h>

struct call {
    struct call *next;
    kap_loop_fn fn;
    void *arg;
    bool *done; /* of a waiting caller, guarded by the lock; NULL: nobody waits */
    bool *ran;
};

struct kap_loop {
    uv_loop_t uv;
    uv_async_t wake;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t finished;
    struct call *first, **last;
    bool stopped; /* guarded by the lock */
};

/* The calls waiting now, in order. */
static struct call *take_all(struct kap_loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct call *first = l->first;
    l->first = NULL;
    l->last = &l->first;
    pthread_mutex_unlock(&l->lock);
    return first;
}

static void finish(struct kap_loop *l, struct call *c, bool ran)
{
    if (c->done) {
        pthread_mutex_lock(&l->lock);
        *c->ran = ran;
        *c->done = true;
        pthread_cond_broadcast(&l->finished);
        pthread_mutex_unlock(&l->lock);
    }
    kap_free(c);
}

static void on_wake(uv_async_t *wake)
{
    struct kap_loop *l = wake->data;
    for (struct call *c = take_all(l), *next; c; c = next) {
        next = c->next;
        c->fn(c->arg);
        finish(l, c, true);
    }
}

struct kap_loop *kap_loop_new(void)
{
    struct kap_loop *l = KAP_NEW(struct kap_loop);
    if (uv_loop_init(&l->uv) != 0 || uv_async_init(&l->uv, &l->wake, on_wake) != 0)
        abort(); /* no descriptors at start-up: nothing can work */
    l->wake.data = l;
    l->last = &l->first;
    l->thread = pthread_self();
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->finished, NULL);
    return l;
}

void kap_loop_free(struct kap_loop *l)
{
    if (!l)
        return;
    kap_loop_drain(l);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->finished);
    kap_free(l);
}

uv_loop_t *kap_loop_uv(struct kap_loop *l)
{
    return &l->uv;
}

void kap_loop_run(struct kap_loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

static void stop_on_loop(void *arg)
{
    uv_stop(arg);
}

void kap_loop_stop(struct kap_loop *l)
{
    kap_loop_post(l, stop_on_loop, &l->uv);
}

void kap_loop_drain(struct kap_loop *l)
{
    pthread_mutex_lock(&l->lock);
    const bool first_time = !l->stopped;
    l->stopped = true;
    pthread_mutex_unlock(&l->lock);
    if (!first_time)
        return;
    on_wake(&l->wake);
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    uv_loop_close(&l->uv);
}

static bool enqueue(struct kap_loop *l, kap_loop_fn fn, void *arg, bool *done, bool *ran)
{
    struct call *c = KAP_NEW(struct call);
    *c = (struct call){ .fn = fn, .arg = arg, .done = done, .ran = ran };
    pthread_mutex_lock(&l->lock);
    const bool open = !l->stopped;
    if (open) {
        const bool asleep = !l->first; /* else it has been woken and not come to it yet */
        *l->last = c;
        l->last = &c->next;
        if (asleep)
            uv_async_send(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    if (!open)
        kap_free(c);
    return open;
}

void kap_loop_post(struct kap_loop *l, kap_loop_fn fn, void *arg)
{
    enqueue(l, fn, arg, NULL, NULL);
}

bool kap_loop_call(struct kap_loop *l, kap_loop_fn fn, void *arg)
{
    if (pthread_equal(pthread_self(), l->thread)) {
        fn(arg);
        return true;
    }
    bool done = false, ran = false;
    if (!enqueue(l, fn, arg, &done, &ran))
        return false;
    pthread_mutex_lock(&l->lock);
    while (!done)
        pthread_cond_wait(&l->finished, &l->lock);
    pthread_mutex_unlock(&l->lock);
    return ran;
}
