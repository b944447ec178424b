/* InfluxDB line protocol: "cpu,host=a value=1.5,n=2i 1500000000".
 * Accepts and refuses exactly what the reference does, with its texts; a body is taken as a whole or not at
 * all. Usual lines take a path in one pass, with guesses from the line before (the next series, the order of
 * the fields); whatever is unusual in a line (escapes, stray quotes, errors) goes through a second parser
 * that follows the format step by step.
 *
 * Ownership: a batch owns points, fields and strings, and holds its series by a pin; it may be used again
 * after kap_line_batch_clear(). Threads: a parser and a batch each belong to one thread at a time; the cache
 * is shared. */
#ifndef KAP_DATA_LINE_H
#define KAP_DATA_LINE_H

#include "base/arena.h"
#include "base/buf.h"
#include "data/point.h"
#include "data/series.h"

#define KAP_LINE_KEY_MAX 65535

struct kap_line_point {
    struct kap_series *series;
    int64_t time_ns;
    uint32_t first, nfields;           /* in kap_line_batch.fields */
    uint32_t series_id;
};

struct kap_line_batch {
    struct kap_line_point *points;
    size_t n, cap;
    struct kap_field *fields;
    size_t nfields, cap_fields;
    struct kap_arena *text;            /* strings; made when needed */
    struct kap_series_cache *cache;
    struct kap_series_pin *pin;
};

void kap_line_batch_clear(struct kap_line_batch *b); /* keeps memory for reuse */
void kap_line_batch_done(struct kap_line_batch *b);
size_t kap_line_batch_bytes(const struct kap_line_batch *b);
/* The i-th point, for the call; group NULL. */
void kap_line_batch_point(const struct kap_line_batch *b, size_t i, struct kap_point *ret);

struct kap_line_options {
    int64_t unit_ns;                   /* of timestamps */
    int64_t now_ns;                    /* for lines without one; cut to whole units */
    bool discard;                      /* check and count only: points come without fields */
    bool careful;                      /* the second parser only; for tests */
};

struct kap_line_parser;

struct kap_line_parser *kap_line_parser_new(void);
void kap_line_parser_free(struct kap_line_parser *lp);
/* "n", "u", "ms", "s", "m", "h"; anything else is a nanosecond. */
int64_t kap_line_precision(struct kap_str precision);
/* Appends nothing on failure: the batch is then empty. The text names the first bad line. */
enum kap_status kap_line_parse(struct kap_line_parser *lp, struct kap_series_cache *cache,
                               const struct kap_source *source, struct kap_str body,
                               const struct kap_line_options *opts, struct kap_line_batch *out,
                               struct kap_error *err);

/* Writes a point as a line with its newline: tags and fields in the point's order, escaped, time in units.
 * Null fields are left out; a point without any other field writes nothing. Floats as influxdb writes them
 * (no exponent). */
void kap_line_write(struct kap_buf *b, const struct kap_point *p, int64_t unit_ns);

#endif
