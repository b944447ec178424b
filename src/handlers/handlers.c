#include "handlers/handlers.h"

#include <stddef.h>

const struct kap_handler_type *const kap_handler_types[] = {
    &kap_handler_aggregate, &kap_handler_exec, &kap_handler_log, &kap_handler_post, &kap_handler_publish,
    &kap_handler_tcp,       NULL,
};
