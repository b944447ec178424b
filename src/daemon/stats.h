/* The [stats] service: the server's figures as points on its own stream, so that tasks can watch the server
 * itself. At instants that are multiples of the interval, the same on every member. Ownership: owned by the
 * daemon; the rest is borrowed. */
#ifndef KAP_DAEMON_STATS_H
#define KAP_DAEMON_STATS_H

#include "api/stats.h"
#include "config/config.h"

struct kap_stats_service;

enum kap_status kap_stats_service_new(const struct kap_config_stats *config, const struct kap_api *api,
                                      struct kap_httpd *h, struct kap_stats_service **ret,
                                      struct kap_error *err);
void kap_stats_service_free(struct kap_stats_service *s); /* not on the loop's thread; NULL is fine */

#endif
