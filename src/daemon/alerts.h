/* The way of alert events in this process: from alert nodes through the dedup core, the durable outbox and the topics to the
 * dispatcher, and the dispatcher's word back. Connects alert/, cluster/dedup and store/alert_db on the control loop.
 * Threads: as each function says. Ownership: owned by the daemon; options are borrowed until freed. */
#ifndef KAP_DAEMON_ALERTS_H
#define KAP_DAEMON_ALERTS_H

#include "alert/dispatch.h"
#include "alert/silence.h"
#include "cluster/dedup.h"
#include "config/config.h"
#include "daemon/cluster.h"
#include "daemon/loop.h"
#include "task/overrides.h"

struct kap_alerts;

struct kap_alerts_options {
    struct kap_loop *loop;
    const struct kap_clock *clock;
    const struct kap_config *config;
    const struct kap_identity *identity;
    const char *data_dir;
    struct kap_str hostname;
};

/* Opens the outbox and takes up what is in it; nothing is delivered before kap_alerts_start(). */
enum kap_status kap_alerts_new(const struct kap_alerts_options *opts, struct kap_alerts **ret, struct kap_error *err);
void kap_alerts_start(struct kap_alerts *a, struct kap_cluster *cluster);
/* Hands over what is under way, then calls done(ctx), after at most two seconds. The loop's thread. */
void kap_alerts_drain(struct kap_alerts *a, void (*done)(void *ctx), void *ctx);
void kap_alerts_close(struct kap_alerts *a); /* timers; the loop's thread */
void kap_alerts_free(struct kap_alerts *a);  /* after the loop has drained; NULL is fine */

/* Before handlers are defined: what they see of the configuration from then on. Borrowed. */
void kap_alerts_overrides(struct kap_alerts *a, const struct kap_overrides *overrides);

struct kap_topics *kap_alerts_topics(struct kap_alerts *a);
void kap_alerts_dead_letters(struct kap_alerts *a, struct kap_api_dead_letters *ret);
struct kap_silences *kap_alerts_silences(struct kap_alerts *a);

/* For nodes, on any worker. Collecting waits while far too much is on its way. */
void kap_alerts_collect(struct kap_alerts *a, struct kap_event *ev);
bool kap_alerts_restore(struct kap_alerts *a, struct kap_str topic, struct kap_str event_id, struct kap_event_state *ret);

/* For the cluster, on the loop's thread. */
void kap_alerts_members(struct kap_alerts *a, const struct kap_dedup_member *members, size_t n);
void kap_alerts_message(struct kap_alerts *a, struct kap_str member, struct kap_str bytes);

void kap_alerts_stats(struct kap_alerts *a, struct kap_api_stats *w); /* statistics; any thread but the loop's */

#endif
