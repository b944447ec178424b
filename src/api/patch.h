/* JSON Patch (RFC 6902) over JSON Pointers (RFC 6901). Ownership: the result is the caller's. Threads: one at
 * a time. */
#ifndef KAP_API_PATCH_H
#define KAP_API_PATCH_H

#include "base/error.h"

#include <jansson.h>

/* Applies all operations of `patch` to a copy of `doc`, or none. */
enum kap_status kap_json_patch(const json_t *doc, const json_t *patch, json_t **ret, struct kap_error *err);

#endif
