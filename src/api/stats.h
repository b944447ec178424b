/* The server's figures, gathered once for every form that they are shown in: /debug/vars, /metrics, and the
 * points that the [stats] service writes to the internal stream. Threads: any but the loop's. */
#ifndef KAP_API_STATS_H
#define KAP_API_STATS_H

#include "api/api.h"

/* begin(), any number of value(), end(), for each statistic. `tags`: names and values in turn, NULL at the
 * end, with cluster_id, host and server_id. */
struct kap_stats_form {
    void (*begin)(void *ctx, const char *name, const char *const *tags);
    void (*value)(void *ctx, const char *name, int64_t v);
    void (*end)(void *ctx);
};

void kap_api_each_stat(const struct kap_api *api, struct kap_httpd *h, const struct kap_stats_form *form,
                       void *ctx);
/* As line protocol, one line for each statistic, with the time given. */
void kap_api_stats_lines(const struct kap_api *api, struct kap_httpd *h, int64_t time_ns,
                         struct kap_buf *out);

#endif
