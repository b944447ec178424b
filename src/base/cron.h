/* Cron expressions as batch tasks use them: "minute hour day-of-month month day-of-week [year]", or seven
 * fields with seconds first; "@yearly" and the like. Fields take "*", "?", lists, ranges, steps, names
 * ("MON", "jan"); days of the month also "L" (last) and "15W" (the working day next to the 15th), days of the
 * week "5L" (last Friday) and "5#3" (third Friday). When both kinds of days are restricted, either is enough.
 * The same language as github.com/gorhill/cronexpr, which the reference uses. Ownership: the caller's.
 * Threads: read-only once parsed. */
#ifndef KAP_BASE_CRON_H
#define KAP_BASE_CRON_H

#include "base/error.h"
#include "base/str.h"

struct kap_cron;

/* Seconds that local time is ahead of UTC at an instant. */
struct kap_zone {
    int64_t (*offset_s)(void *ctx, int64_t time_ns);
    void *ctx;
};
extern const struct kap_zone kap_zone_utc;
extern const struct kap_zone kap_zone_local; /* the process's */

/* "missing field(s)", "syntax error in minute field: 'x'". */
enum kap_status kap_cron_parse(struct kap_str text, struct kap_cron **ret, struct kap_error *err);
void kap_cron_free(struct kap_cron *c); /* NULL is fine */
/* The first instant after `after_ns` that fits, false: there is none (before the year 2100). */
bool kap_cron_next(const struct kap_cron *c, const struct kap_zone *zone, int64_t after_ns, int64_t *ret_ns);

#endif
