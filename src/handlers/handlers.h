/* All kinds of handlers. One file each; adding one touches this list only. */
#ifndef KAP_HANDLERS_HANDLERS_H
#define KAP_HANDLERS_HANDLERS_H

#include "alert/handler.h"

/* Ends with NULL. */
extern const struct kap_handler_type *const kap_handler_types[];

extern const struct kap_handler_type kap_handler_aggregate, kap_handler_exec, kap_handler_log, kap_handler_post,
    kap_handler_publish, kap_handler_tcp;

#endif
