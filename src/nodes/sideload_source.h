/* The values that sideload nodes look up: flat maps by path, from the .json, .yml and .yaml files below a folder, or
 * from one JSON document of maps behind a URL. Numbers are floats.
 * Ownership: owned; values are borrowed until the next load. Threads: one at a time. */
#ifndef KAP_NODES_SIDELOAD_SOURCE_H
#define KAP_NODES_SIDELOAD_SOURCE_H

#include "base/error.h"
#include "data/value.h"
#include "nodes/services.h"

struct kap_sideload_source;

/* `source`: file:///folder, http(s)://.. or the name of a [[httppost]] endpoint. Loads it. */
enum kap_status kap_sideload_source_new(const struct kap_services *services, struct kap_str source,
                                        struct kap_sideload_source **ret, struct kap_error *err);
void kap_sideload_source_free(struct kap_sideload_source *s); /* NULL is fine */
/* Loads all again; on failure the old values stay. */
enum kap_status kap_sideload_source_load(struct kap_sideload_source *s, struct kap_error *err);
const struct kap_value *kap_sideload_source_get(const struct kap_sideload_source *s, struct kap_str path,
                                                struct kap_str key); /* NULL: none */

#endif
