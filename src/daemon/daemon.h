/* The daemon: starts every room in its order, connects them, and stops them in the opposite order.
 * kap_daemon_run() returns after SIGTERM or SIGINT (or a second one, which does not wait for what is under way).
 * Threads: the caller's becomes the control loop's. */
#ifndef KAP_DAEMON_DAEMON_H
#define KAP_DAEMON_DAEMON_H

#include "base/error.h"

struct kap_config;

/* The configuration is borrowed until it returns. Failures name what could not be opened. */
enum kap_status kap_daemon_run(const struct kap_config *config, struct kap_error *err);

#endif
