/* Checkpoints: the state of running tasks in files, so that a restart loses no windows.
 *
 * One file per task, DIRECTORY/NAME.checkpoint: a line of JSON (format, task, graph, version of the writer,
 * size and checksum of the state), then the state as the engine saves it, whose parts carry their own
 * versions. NAME is the task's ID with all but ASCII letters, digits, '-' and '_' as %XX; of a long one the
 * beginning and a hash. A file is written whole under another name, synced and renamed: a reader finds the
 * old one or the new one.
 *
 * `graph` is a fingerprint of the script, its variables and the graph made of them: state of another graph is
 * refused. Ownership: strings are borrowed for the call. Threads: all. */
#ifndef KAP_TASK_CHECKPOINT_H
#define KAP_TASK_CHECKPOINT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum { KAP_CHECKPOINT_FORMAT = 1 };

/* Makes the directory, parents too. KAP_EIO. */
enum kap_status kap_checkpoint_open(const char *dir, struct kap_error *err);
/* Writes and syncs under a temporary name (owned), which readers do not see. KAP_EIO. */
enum kap_status kap_checkpoint_write(const char *dir, struct kap_str task, uint64_t graph,
                                     struct kap_str state, char **temporary, struct kap_error *err);
/* Shows it in place of the checkpoint there is, or throws it away. */
enum kap_status kap_checkpoint_commit(const char *dir, struct kap_str task, const char *temporary,
                                      struct kap_error *err);
void kap_checkpoint_abandon(const char *temporary);
/* Appends the state. KAP_ENOTFOUND: there is none. KAP_EINVAL: it is damaged or of another task or graph; the
 * text says which. */
enum kap_status kap_checkpoint_read(const char *dir, struct kap_str task, uint64_t graph,
                                    struct kap_buf *state, struct kap_error *err);
void kap_checkpoint_remove(const char *dir, struct kap_str task);
/* Removes what belongs to no task that is wanted, and what a crash left half-written. */
void kap_checkpoint_sweep(const char *dir, bool (*wanted)(void *ctx, struct kap_str task), void *ctx);

#endif
