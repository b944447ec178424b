/* What the clients print about tasks, templates, topics and members, from the API's JSON: the column formats
 * that scripts of users parse. Ownership: writes into the caller's buffer. */
#ifndef KAP_CLIENT_FORMAT_H
#define KAP_CLIENT_FORMAT_H

#include "base/buf.h"

#include <jansson.h>

void kap_format_tasks(const json_t *tasks, struct kap_buf *out);         /* array; sorted by ID */
void kap_format_templates(const json_t *templates, struct kap_buf *out); /* array; sorted by ID */
void kap_format_recordings(const json_t *recordings, struct kap_buf *out); /* array; in its order */
void kap_format_replays(const json_t *replays, struct kap_buf *out);       /* array; in its order */
void kap_format_topics(const json_t *topics, struct kap_buf *out);
/* Array of {"topic", "id", "kind"}. */
void kap_format_topic_handlers(const json_t *handlers, struct kap_buf *out);
void kap_format_task(const json_t *task, struct kap_buf *out);
void kap_format_template(const json_t *tmpl, struct kap_buf *out);
void kap_format_topic(const json_t *topic, const json_t *events, const json_t *handlers, struct kap_buf *out);
void kap_format_topic_handler(const char *topic, const json_t *handler, struct kap_buf *out);
void kap_format_general_stats(const json_t *vars, struct kap_buf *out);
void kap_format_ingress_stats(const json_t *vars, struct kap_buf *out);
/* The whole of `member list`. */
void kap_format_members(const json_t *cluster, struct kap_buf *out);

#endif
