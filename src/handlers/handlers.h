/* All kinds of handlers. One file each; adding one touches this list only. */
#ifndef KAP_HANDLERS_HANDLERS_H
#define KAP_HANDLERS_HANDLERS_H

#include "alert/handler.h"

/* Ends with NULL. */
extern const struct kap_handler_type *const kap_handler_types[];

extern const struct kap_handler_type kap_handler_aggregate, kap_handler_alerta, kap_handler_bigpanda,
    kap_handler_discord, kap_handler_exec, kap_handler_kafka, kap_handler_log, kap_handler_mqtt,
    kap_handler_opsgenie, kap_handler_opsgenie2, kap_handler_pagerduty, kap_handler_pagerduty2, kap_handler_post,
    kap_handler_publish, kap_handler_pushover, kap_handler_sensu, kap_handler_servicenow, kap_handler_slack,
    kap_handler_smtp, kap_handler_snmptrap, kap_handler_talk, kap_handler_tcp, kap_handler_teams, kap_handler_telegram,
    kap_handler_victorops, kap_handler_zenoss;

#endif
