/* Definitions of topic handlers, as handler files and the API give them:
 *     {"id": "slack", "topic": "cpu", "kind": "slack", "match": "changed() == TRUE", "options": {"channel": "#alerts"}}
 * with, beyond the reference, "concurrency": 2 (attempts at a time) and "rate-limit": 0.5 (attempts in a second),
 * and the filling of a handler's options from such a tree by the table of its type.
 * Ownership: a spec owns copies. Threads: one at a time. */
#ifndef KAP_ALERT_SPEC_H
#define KAP_ALERT_SPEC_H

#include "alert/handler.h"
#include "base/json.h"

#include <jansson.h>

#define KAP_SPEC_BYTES (1024 * 1024) /* of a handler file */

struct kap_handler_spec {
    char *topic, *id, *kind, *match; /* never NULL once read */
    json_t *options;                 /* object, or null */
    unsigned concurrency;            /* attempts at a time; 0: the dispatcher's limit */
    double rate_limit;               /* attempts in a second; 0: none */
};

void kap_handler_spec_done(struct kap_handler_spec *s); /* frees what it holds, not the struct */

/* Reads a spec; a topic in it must be `topic` when that is given (NULL: the tree's own). Unknown members are an error that
 * names them, with the nearest known one. IDs are not checked. */
enum kap_status kap_handler_spec_read(const json_t *json, const char *topic, struct kap_handler_spec *ret,
                                      struct kap_error *err);
/* "invalid handler spec: handler ID must contain only letters, ..". */
enum kap_status kap_handler_spec_check(const struct kap_handler_spec *s, struct kap_error *err);
/* As the API shows it: link, id, kind, options, match. */
void kap_handler_spec_json(const struct kap_handler_spec *s, struct kap_json *j);

/* A YAML (so also JSON) document as a JSON tree: plain scalars become null, booleans, numbers or strings by the rules
 * of YAML 1.1's core; aliases, several documents and non-scalar keys are refused. Owned. Fails with line and column. */
enum kap_status kap_yaml_json(struct kap_str text, json_t **ret, struct kap_error *err);

/* Fills `options` (type->options_size bytes, zeroed and init()ed) from an object or null.
 * "failed to decode options into *alert.LogHandlerConfig: 1 error(s) decoding:\n\n* '' has invalid keys: nope". */
enum kap_status kap_handler_options_read(const struct kap_handler_type *type, const json_t *json, void *options,
                                         struct kap_arena *arena, struct kap_error *err);
/* Helpers for kap_handler_type.option. */
enum kap_status kap_option_type_error(struct kap_error *err, const char *key, const char *expected, const json_t *got);

#endif
