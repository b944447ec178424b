/* One HTTP request, waited for, as nodes and sideload ask for it (nodes/services.h). Connections are kept per thread.
 * Ownership: the reply's strings live in `arena`. Threads: all. Failure: status 0 and the reason in reply->error. */
#ifndef KAP_DAEMON_HTTP_CLIENT_H
#define KAP_DAEMON_HTTP_CLIENT_H

#include "nodes/services.h"

#define KAP_HTTP_REPLY_BYTES (1 << 20)
#define KAP_HTTP_TIMEOUT_NS (10 * INT64_C(1000000000))

void kap_http_client_request(const struct kap_http_request *req, struct kap_http_reply *ret, struct kap_arena *arena);

#endif
