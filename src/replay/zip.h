/* ZIP archives as .brpl files are: a few members, deflated, written in one pass (sizes behind the data).
 * Format: PKWARE APPNOTE 6.3, without ZIP64: archives and members are below 4 GiB.
 * Ownership: handles are the caller's. Threads: one at a time. Errors name what is damaged. */
#ifndef KAP_REPLAY_ZIP_H
#define KAP_REPLAY_ZIP_H

#include "base/buf.h"

struct kap_zip_writer;

enum kap_status kap_zip_create(const char *path, struct kap_zip_writer **ret, struct kap_error *err);
/* Ends the member before and starts the next. */
enum kap_status kap_zip_member(struct kap_zip_writer *z, const char *name, struct kap_error *err);
enum kap_status kap_zip_write(struct kap_zip_writer *z, struct kap_str data, struct kap_error *err);
/* Writes the directory and closes; `z` is freed in any case. NULL is fine. */
enum kap_status kap_zip_finish(struct kap_zip_writer *z, struct kap_error *err);
void kap_zip_abandon(struct kap_zip_writer *z); /* closes without a directory; NULL is fine */

/* All members in the order of the directory. */
struct kap_zip;
enum kap_status kap_zip_open(const char *path, struct kap_zip **ret, struct kap_error *err);
void kap_zip_close(struct kap_zip *z); /* NULL is fine; before its streams: they have files of their own */
size_t kap_zip_count(const struct kap_zip *z);

struct kap_zip_stream;
enum kap_status kap_zip_stream_open(const struct kap_zip *z, size_t member, struct kap_zip_stream **ret,
                                    struct kap_error *err);
/* Up to n bytes; *got 0: the end, where the checksum has been compared. */
enum kap_status kap_zip_read(struct kap_zip_stream *s, char *p, size_t n, size_t *got, struct kap_error *err);
void kap_zip_stream_close(struct kap_zip_stream *s); /* NULL is fine */

#endif
