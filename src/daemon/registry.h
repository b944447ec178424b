/* What scripts and handler files of this build may use. */
#ifndef KAP_DAEMON_REGISTRY_H
#define KAP_DAEMON_REGISTRY_H

#include "pipeline/graph.h"

extern const struct kap_registry kap_daemon_registry;

#endif
