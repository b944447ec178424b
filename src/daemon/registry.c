#include "daemon/registry.h"
#include "handlers/handlers.h"
#include "nodes/nodes.h"

const struct kap_registry kap_daemon_registry = { .nodes = kap_node_types, .handlers = kap_handler_types };
