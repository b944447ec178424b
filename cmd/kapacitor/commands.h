/* The commands of the client. Each gets its arguments (without its name) and returns the program's exit code.
 */
#ifndef KAP_CMD_KAPACITOR_COMMANDS_H
#define KAP_CMD_KAPACITOR_COMMANDS_H

#include "client/format.h"
#include "client/program.h"

struct kap_command {
    const char *name;
    const char *summary;
    const char *usage;            /* arguments and what they mean */
    const struct kap_flag *flags; /* NULL: none */
    int (*run)(struct kap_client *c, const struct kap_command *self, char **args, size_t n);
};

extern const struct kap_command kap_define_commands[], kap_change_commands[], kap_check_commands[],
    kap_show_commands[], kap_server_commands[], kap_alert_commands[],
    kap_replay_commands[], kap_service_commands[];

/* Says what is missing and how the command is used; returns KAP_EXIT_ARGUMENTS. */
int kap_command_misused(const struct kap_command *self, const char *what);
void kap_command_help(const struct kap_command *self, struct kap_buf *out);
/* Prints and ends the command. */
int kap_command_print(const struct kap_buf *out);

/* All objects of a list ("/tasks", "tasks") that fit one of the patterns (none: all), page by page; `query`
 * is
 * "&fields=.." or "". Owned array. */
enum kap_status kap_command_list(struct kap_client *c, const char *path, const char *member, char **patterns,
                                 size_t n, const char *query, json_t **ret, struct kap_error *err);

#endif
