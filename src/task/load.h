/* The load directory: definitions that are kept as files.
 *
 *     DIR/templates/NAME.tick                  the template NAME
 *     DIR/tasks/NAME.tick                      the task NAME; the script names its databases
 *     DIR/tasks/NAME.json|.yaml|.yml           template-id, dbrps and vars of the task NAME
 *     DIR/handlers/ANY.json|.yaml|.yml         a topic handler with its topic and ID
 *
 * They are taken in this order, and by name within a folder. A task that is loaded is enabled. What was
 * loaded earlier by this member and has no file any more is deleted; what was never loaded is left alone. Two
 * things are better than in the reference: a file that says what is defined already changes nothing, so that
 * a running task keeps its state; and a bad file costs a log line and nothing else: the others are loaded,
 * and whatever it defined earlier stays.
 *
 * Ownership: everything is borrowed for the call. Threads: any that may wait for the definitions store. */
#ifndef KAP_TASK_LOAD_H
#define KAP_TASK_LOAD_H

#include "task/handlers.h"
#include "task/task.h"

#define KAP_LOAD_FILE_BYTES (4 * 1024 * 1024)

struct kap_load_options {
    struct kap_tasks *tasks;
    struct kap_topic_handlers *handlers;
    const char *dir;
    const char *memory; /* file that holds what was loaded, for deletions; written anew each time */
};

struct kap_load_counts {
    size_t loaded, unchanged, removed, failed; /* failed: files, each is in the log */
};

/* Fails only when the directory or the memory cannot be used at all; then nothing was deleted. A directory
 * that does not exist is no failure: nothing is loaded, nothing deleted. */
enum kap_status kap_load(const struct kap_load_options *options, struct kap_load_counts *ret,
                         struct kap_error *err);

#endif
