/* Query-result JSON: {"series":[{"name":..,"tags":{..},"columns":["time",..],"values":[[..]]}]}, as httpOut
 * serves it, as alert data carries it and as httpPost sends it. Columns are "time", then fields and those
 * tags that are not in `tags`, together in byte order; a point lacking a column shows null. An empty batch
 * has neither columns nor values. Ownership: rows own copies. Threads: one at a time. */
#ifndef KAP_DATA_RESULT_H
#define KAP_DATA_RESULT_H

#include "base/json.h"
#include "data/point.h"

struct kap_row {
    const struct kap_sym *name;
    const struct kap_tags *tags;            /* referenced */
    size_t ncolumns, nvalues;
    struct kap_str *columns;                /* ncolumns; [0] is "time" (type KAP_TIME in values) */
    struct kap_value *values;               /* nvalues rows of ncolumns */
    struct kap_arena *arena;                /* holds columns, values and their strings */
};

struct kap_row *kap_row_from_point(const struct kap_point *p);   /* owned; tags: all of the point */
struct kap_row *kap_row_from_batch(const struct kap_batch *b);   /* owned; tags: the group's */
void kap_row_free(struct kap_row *r);
/* False: a NaN or Inf is in it (JSON has none); the text is then not to be used. */
bool kap_row_json(const struct kap_row *r, struct kap_json *j);

#endif
