/* The control loop: the libuv loop of the main thread, where the cluster's cores live, and the two ways into it.
 * kap_loop_post() may be called from any thread, also from the loop's own; calls run in the order of posting.
 * Ownership: the loop is owned by whoever made it. */
#ifndef KAP_DAEMON_LOOP_H
#define KAP_DAEMON_LOOP_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct kap_loop;

typedef void (*kap_loop_fn)(void *arg);

struct kap_loop *kap_loop_new(void);
void kap_loop_free(struct kap_loop *l);            /* NULL is fine; every handle must have been closed */
uv_loop_t *kap_loop_uv(struct kap_loop *l);
void kap_loop_run(struct kap_loop *l);             /* until kap_loop_stop() */
void kap_loop_stop(struct kap_loop *l);            /* any thread */
void kap_loop_drain(struct kap_loop *l);           /* the loop's thread, after run: until no handle is open any more */
/* Runs fn(arg) on the loop, soon. */
void kap_loop_post(struct kap_loop *l, kap_loop_fn fn, void *arg);
/* Runs fn(arg) on the loop and waits for it; directly when called on the loop's own thread. False: the loop has
 * stopped, fn was not run. */
bool kap_loop_call(struct kap_loop *l, kap_loop_fn fn, void *arg);

#endif
