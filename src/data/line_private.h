/* Between line.c and line_careful.c. */
#ifndef KAP_DATA_LINE_PRIVATE_H
#define KAP_DATA_LINE_PRIVATE_H

#include "base/buf.h"
#include "data/line.h"

enum { KAP_LINE_GUESSES = 64 };

struct kap_line_parser {
    /* this call's */
    struct kap_series_cache *cache;
    const struct kap_source *source;
    const struct kap_line_options *opts;
    struct kap_line_batch *out;
    int64_t default_ns;
    /* guesses from the line before */
    struct kap_series *last;
    const struct kap_sym *keys[KAP_LINE_GUESSES];
    uint32_t ndistinct;    /* as many of the first keys are known to differ from each other */
    struct kap_buf scratch;
};

/* Looks the key part up, adds it when it is new. */
enum kap_status kap_line_series(struct kap_line_parser *lp, struct kap_str key, struct kap_series **ret,
                                struct kap_error *err);
void kap_line_push_point(struct kap_line_parser *lp, struct kap_series *s, int64_t time_ns, uint32_t nfields);
struct kap_field *kap_line_room(struct kap_line_batch *b, size_t n);
struct kap_str kap_line_text(struct kap_line_batch *b, struct kap_str s);

/* Any line, without its newline and leading white space. */
enum kap_status kap_line_careful(struct kap_line_parser *lp, struct kap_str line, struct kap_error *err);
/* End of the line that starts at p: quotes in the field part may hold newlines, a backslash hides what
 * follows. */
const char *kap_line_end(const char *p, const char *end);
/* Sets *ret to the time of a timestamp in units. */
enum kap_status kap_line_time(int64_t units, int64_t unit_ns, int64_t *ret_ns, struct kap_error *err);

#endif
