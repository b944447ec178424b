/* Recording files, the same both ways as the reference's:
 *   .srpl  gzip (plain is read too); three lines for each point: database, policy, the point in line protocol
 * with nanoseconds. .brpl  a ZIP archive with a member "0", "1", .. for each query of the batch task, each a
 * sequence of JSON documents
 *          {"name","tmax","group","byname","tags","points":[{"fields","tags","time"}]}.
 * Errors name the record that is damaged; what stands before it was handed out.
 * Ownership: handles are the caller's; points and blocks as said. Threads: one at a time. */
#ifndef KAP_REPLAY_RECORDING_H
#define KAP_REPLAY_RECORDING_H

#include "base/error.h"
#include "data/block.h"

#define KAP_RECORDING_LINE_BYTES (4 << 20)
#define KAP_RECORDING_BATCH_BYTES (256 << 20)

/* --- streams --- */

struct kap_srpl_writer;
enum kap_status kap_srpl_create(const char *path, struct kap_srpl_writer **ret, struct kap_error *err);
/* A point without fields is left out: the format has no way to say it. */
enum kap_status kap_srpl_write(struct kap_srpl_writer *w, const struct kap_point *p, struct kap_error *err);
/* Frees in any case. NULL is fine. */
enum kap_status kap_srpl_finish(struct kap_srpl_writer *w, struct kap_error *err);

struct kap_srpl_reader;
enum kap_status kap_srpl_open(const char *path, struct kap_srpl_reader **ret, struct kap_error *err);
void kap_srpl_close(struct kap_srpl_reader *r); /* NULL is fine */
/* The next point, borrowed until the next call; *more false: the end. */
enum kap_status kap_srpl_next(struct kap_srpl_reader *r, struct kap_point *ret, bool *more,
                              struct kap_error *err);

/* --- batches --- */

struct kap_brpl_writer;
enum kap_status kap_brpl_create(const char *path, struct kap_brpl_writer **ret, struct kap_error *err);
/* Batches that follow are those of the next query; called before the first one too. */
enum kap_status kap_brpl_query(struct kap_brpl_writer *w, struct kap_error *err);
enum kap_status kap_brpl_write(struct kap_brpl_writer *w, const struct kap_block *b, struct kap_error *err);
/* Frees in any case. NULL is fine. */
enum kap_status kap_brpl_finish(struct kap_brpl_writer *w, struct kap_error *err);

struct kap_brpl_reader;
enum kap_status kap_brpl_open(const char *path, struct kap_brpl_reader **ret, struct kap_error *err);
void kap_brpl_close(struct kap_brpl_reader *r); /* NULL is fine */
size_t kap_brpl_queries(const struct kap_brpl_reader *r);
/* The next batch with points of a query; owned by the caller. *ret NULL: the end. */
enum kap_status kap_brpl_next(struct kap_brpl_reader *r, size_t query, struct kap_block **ret,
                              struct kap_error *err);

#endif
