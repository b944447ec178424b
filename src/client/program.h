/* What the two client programs share: the server's address from flags and environment, reading files,
 * leaving. Exit codes are those of the stock client: 0 fine, 1 usage, 2 arguments missing, 3 the command
 * failed, 4 no client. */
#ifndef KAP_CLIENT_PROGRAM_H
#define KAP_CLIENT_PROGRAM_H

#include "client/flags.h"
#include "client/http.h"

enum { KAP_EXIT_USAGE = 1, KAP_EXIT_ARGUMENTS = 2, KAP_EXIT_FAILED = 3, KAP_EXIT_CLIENT = 4 };

/* `url` and `skip_verify` as the flags gave them (NULL, false: not given), then KAPACITOR_URL and
 * KAPACITOR_UNSAFE_SSL, then http://localhost:9092. */
enum kap_status kap_program_connect(const char *url, bool skip_verify, struct kap_client **ret,
                                    struct kap_error *err);
/* Appends a file's text; at most 16 MiB. */
enum kap_status kap_program_read(const char *path, struct kap_buf *out, struct kap_error *err);
/* "Error: .." on standard error; returns KAP_EXIT_FAILED. */
int kap_program_failed(const struct kap_error *err);
/* Writes to standard output; false: it is closed or full. */
bool kap_program_print(const struct kap_buf *text);

#endif
