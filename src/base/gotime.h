/* Calendar times as Go prints and reads them. Times are nanoseconds since the Unix epoch, UTC unless said. */
#ifndef KAP_BASE_GOTIME_H
#define KAP_BASE_GOTIME_H

#include "base/buf.h"

struct kap_civil { int64_t year; int month, day, hour, minute, second, nsec, weekday /* 0 Sunday */, yday /* 1.. */; };

struct kap_civil kap_civil(int64_t time_ns);                   /* UTC, proleptic Gregorian, any int64 */
int64_t kap_civil_ns(const struct kap_civil *c);               /* inverse; weekday and yday ignored */
void kap_time_rfc3339nano(struct kap_buf *b, int64_t time_ns); /* 1970-01-01T00:00:01.5Z, no trailing zeros */
void kap_time_string(struct kap_buf *b, int64_t time_ns);      /* Time.String(): 1970-01-01 00:00:01 +0000 UTC */
/* Time.Format(layout) with Go's reference-time layouts; zone UTC. */
void kap_time_format(struct kap_buf *b, int64_t time_ns, struct kap_str layout);
enum kap_status kap_time_parse_rfc3339(struct kap_str s, int64_t *ret_ns, struct kap_error *err);

#endif
