/* Runs the load directory (task/load.h) on a thread of its own, because defining something waits for the
 * loop: once at the start and once for each SIGHUP; requests that arrive meanwhile are one more run.
 * Ownership: owned by the daemon; options and what they point to are borrowed. */
#ifndef KAP_DAEMON_LOADER_H
#define KAP_DAEMON_LOADER_H

#include "task/load.h"

struct kap_loader;

/* Starts with a first run. */
enum kap_status kap_loader_new(const struct kap_load_options *options, struct kap_loader **ret,
                               struct kap_error *err);
void kap_loader_again(struct kap_loader *l); /* any thread */
/* Waits for a run to end, which needs the loop while it lasts. NULL is fine. */
void kap_loader_free(struct kap_loader *l);

#endif
