/* The encoding of node state in snapshots: a version byte, then little-endian numbers, length-prefixed bytes and
 * values that carry their type. Reading never trusts the input: running out or a wrong type is an error.
 * Threads: plain data. Ownership: a reader borrows its input; strings that come out point into it. */
#ifndef KAP_NODES_SNAPSHOT_H
#define KAP_NODES_SNAPSHOT_H

#include "base/buf.h"
#include "data/point.h"
#include "lambda/lambda.h"

struct kap_snap {
    struct kap_buf *out;   /* writing */
    struct kap_str in;     /* reading: what is left */
    bool bad;              /* input ran out or made no sense */
};

struct kap_snap kap_snap_writer(struct kap_buf *out, uint8_t version);
enum kap_status kap_snap_reader(struct kap_snap *r, struct kap_str data, uint8_t version, struct kap_error *err);
/* After the last item: fails when the input ran out or something is left over. */
enum kap_status kap_snap_end(const struct kap_snap *r, struct kap_error *err);

void kap_snap_u64(struct kap_snap *w, uint64_t u);
void kap_snap_i64(struct kap_snap *w, int64_t i);
void kap_snap_f64(struct kap_snap *w, double f);
void kap_snap_bytes(struct kap_snap *w, struct kap_str s);
void kap_snap_sym(struct kap_snap *w, const struct kap_sym *s);     /* NULL is kept as such */
void kap_snap_value(struct kap_snap *w, const struct kap_value *v); /* a field value */
void kap_snap_tags(struct kap_snap *w, const struct kap_tags *t);
/* The point with its group, which is found again (dimensions, name, tags) when it is read. */
void kap_snap_point(struct kap_snap *w, const struct kap_point *p);
void kap_snap_batch(struct kap_snap *w, const struct kap_batch *b);
void kap_snap_group(struct kap_snap *w, const struct kap_group *g);
void kap_snap_lambda(struct kap_snap *w, const struct kap_lambda_state *s); /* NULL is fine */

uint64_t kap_snap_get_u64(struct kap_snap *r);
int64_t kap_snap_get_i64(struct kap_snap *r);
double kap_snap_get_f64(struct kap_snap *r);
struct kap_str kap_snap_get_bytes(struct kap_snap *r);
const struct kap_sym *kap_snap_get_sym(struct kap_snap *r);
struct kap_value kap_snap_get_value(struct kap_snap *r);
const struct kap_tags *kap_snap_get_tags(struct kap_snap *r);       /* a reference, never NULL */
struct kap_point *kap_snap_get_point(struct kap_snap *r, struct kap_groups *groups); /* owned; NULL when bad */
/* False when bad. The batch's group is a reference that the caller takes over. */
bool kap_snap_get_batch(struct kap_snap *r, struct kap_groups *groups, struct kap_batch *b);
struct kap_group *kap_snap_get_group(struct kap_snap *r, struct kap_groups *groups); /* a reference; NULL when bad */
enum kap_status kap_snap_get_lambda(struct kap_snap *r, struct kap_lambda_state *s, struct kap_error *err);
/* A count of items that take at least one byte each: bad when more than what is left. */
size_t kap_snap_get_count(struct kap_snap *r);

#endif
