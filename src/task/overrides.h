/* Configuration that was set through the API: kept in the definitions store as "SECTION/ELEMENT", so that
 * every member has it, and laid over what file and environment say while the server runs.
 *
 * Ownership: one object, owned by the daemon. A configuration that was handed out stays valid until the
 * object is freed, as whoever delivers an alert may still be reading it; each change costs a copy of the
 * sections. Threads: all. */
#ifndef KAP_TASK_OVERRIDES_H
#define KAP_TASK_OVERRIDES_H

#include "config/config.h"
#include "task/definitions.h"

#include <stdbool.h>

struct kap_overrides;

struct kap_overrides_options {
    const struct kap_config *base;
    struct kap_definitions *definitions;
    bool skip; /* skip-config-overrides: what is stored has no effect, and nothing can be changed */
};

/* Applies what is stored; what cannot be applied (any more) is logged and left out. */
enum kap_status kap_overrides_new(const struct kap_overrides_options *options, struct kap_overrides **ret,
                                  struct kap_error *err);
void kap_overrides_free(struct kap_overrides *o); /* NULL is fine */
/* The configuration in effect. */
const struct kap_config *kap_overrides_config(const struct kap_overrides *o);

struct json_t;

/* One update of the API: {"set": {..}, "delete": [..]} on an element, {"add": {..}} or {"remove": [..]} on a
 * section. `has_element`: the path named one, be it "" as in "talk/". KAP_EINVAL with the reference's texts.
 */
enum kap_status kap_overrides_update(struct kap_overrides *o, struct kap_str section, struct kap_str element,
                                     bool has_element, const struct json_t *action, struct kap_error *err);

#endif
