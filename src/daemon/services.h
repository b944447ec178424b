/* What nodes may ask of the world (nodes/services.h), answered by this process's rooms.
 * Ownership: everything is borrowed until the engine is freed. */
#ifndef KAP_DAEMON_SERVICES_H
#define KAP_DAEMON_SERVICES_H

#include "daemon/alerts.h"
#include "engine/engine.h"
#include "engine/outputs.h"
#include "influxdb/influxdb.h"

struct kap_daemon_services {
    struct kap_services api; /* ctx is this */
    struct kap_alerts *alerts;
    struct kap_outputs *outputs;
    struct kap_influxdb *influxdb;
    struct kap_engine *engine; /* set once it exists */
    struct kap_overrides *overrides;
};

/* Fills `api` from the other members, which are set before; kap_daemon_services_done() gives back what it made. */
void kap_daemon_services_init(struct kap_daemon_services *s, const struct kap_clock *clock, struct kap_str hostname,
                              const struct kap_identity *identity);
void kap_daemon_services_done(struct kap_daemon_services *s);

/* The clusters of the [[influxdb]] sections that are enabled. Owned. */
struct kap_influxdb *kap_daemon_influxdb(const struct kap_config *config);

#endif
