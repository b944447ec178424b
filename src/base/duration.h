/* Durations in the two spellings that users meet. All values are nanoseconds.
 * InfluxQL / TICKscript: integer and one unit (u, µ, ms, s, m, h, d, w); printed in the largest exact unit.
 * Go: "1h2m3.5s", "300ms"; used in configuration files, JSON messages and templates. */
#ifndef KAP_BASE_DURATION_H
#define KAP_BASE_DURATION_H

#include "base/buf.h"

enum kap_status kap_duration_parse_influx(struct kap_str s, int64_t *ret_ns, struct kap_error *err);
enum kap_status kap_duration_parse_go(struct kap_str s, int64_t *ret_ns, struct kap_error *err);
void kap_duration_format_influx(struct kap_buf *b, int64_t ns); /* 90s is "90s", 3600s is "1h", 0 is "0s" */
void kap_duration_format_go(struct kap_buf *b, int64_t ns);     /* 3723s is "1h2m3s", 0 is "0s" */

#define KAP_US INT64_C(1000)
#define KAP_MS INT64_C(1000000)
#define KAP_S INT64_C(1000000000)
#define KAP_MINUTE (60 * KAP_S)
#define KAP_HOUR (3600 * KAP_S)

#endif
