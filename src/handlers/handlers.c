#include "handlers/handlers.h"

#include <stddef.h>

const struct kap_handler_type *const kap_handler_types[] = {
    &kap_handler_aggregate,
    &kap_handler_alerta,
    &kap_handler_bigpanda,
    &kap_handler_discord,
    &kap_handler_exec,
#ifdef KAP_WITH_KAFKA
    &kap_handler_kafka,
#endif
    &kap_handler_log,
#ifdef KAP_WITH_MQTT
    &kap_handler_mqtt,
#endif
    &kap_handler_opsgenie,
    &kap_handler_opsgenie2,
    &kap_handler_pagerduty,
    &kap_handler_pagerduty2,
    &kap_handler_post,
    &kap_handler_publish,
    &kap_handler_pushover,
    &kap_handler_sensu,
    &kap_handler_servicenow,
    &kap_handler_slack,
    &kap_handler_smtp,
#ifdef KAP_WITH_SNMP
    &kap_handler_snmptrap,
#endif
    &kap_handler_talk,
    &kap_handler_tcp,
    &kap_handler_teams,
    &kap_handler_telegram,
    &kap_handler_victorops,
    &kap_handler_zenoss,
    NULL,
};
