/* Blocking TCP with a time limit, for handlers that run on threads of the dispatcher. */
#ifndef KAP_HANDLERS_NET_H
#define KAP_HANDLERS_NET_H

#include "base/error.h"
#include "base/str.h"

/* Connects to "host:port" ("[::1]:port", ":port"), sends all of `data`, and closes when the other side has taken it (or
 * closed). KAP_EINVAL: the address makes no sense. */
enum kap_status kap_tcp_send(struct kap_str address, struct kap_str data, int64_t timeout_ns, struct kap_error *err);

#endif
