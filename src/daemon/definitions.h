/* Definitions (task/definitions.h) kept in the cluster's catalog. Every call of another thread becomes a call on the loop;
 * put and drop wait until the change is durable. Watchers are told on the loop's thread.
 * Ownership: owned by the daemon; the cluster is borrowed. */
#ifndef KAP_DAEMON_DEFINITIONS_H
#define KAP_DAEMON_DEFINITIONS_H

#include "daemon/cluster.h"
#include "task/definitions.h"

struct kap_catalog_definitions;

struct kap_catalog_definitions *kap_catalog_definitions_new(struct kap_loop *loop);
void kap_catalog_definitions_free(struct kap_catalog_definitions *d);
/* Before anything else is called: where definitions are kept. */
void kap_catalog_definitions_connect(struct kap_catalog_definitions *d, struct kap_cluster *cluster);
struct kap_definitions *kap_catalog_definitions_api(struct kap_catalog_definitions *d);
/* Forward kap_cluster_io.definition_changed. */
void kap_catalog_definitions_changed(struct kap_catalog_definitions *d, const struct kap_catalog_entry *e, bool local);

#endif
