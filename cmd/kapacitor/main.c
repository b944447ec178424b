/* kapacitor: the client of a Kapacitor server. */
#include "base/mem.h"
#include "commands.h"

#include <stdio.h>

static const char *url;
static bool skip_verify;
static const struct kap_flag flags[] = {
    { KAP_FLAG_STRING, "url", &url,
      "http(s)://host:port of the server. Without it KAPACITOR_URL, then http://localhost:9092." },
    { KAP_FLAG_BOOL, "skipVerify", &skip_verify, "Accept any certificate. Without it KAPACITOR_UNSAFE_SSL." },
    { 0 },
};

static const struct kap_command *const groups[] = { kap_define_commands, kap_change_commands,
                                                    kap_check_commands, kap_show_commands, kap_server_commands,
                                                    kap_alert_commands,  kap_replay_commands, kap_service_commands };

static const struct kap_command *find(const char *name)
{
    for (size_t g = 0; g < KAP_COUNT(groups); g++) {
        for (const struct kap_command *c = groups[g]; c->name; c++) {
            if (strcmp(c->name, name) == 0)
                return c;
        }
    }
    return NULL;
}

static void print_usage(FILE *to)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_adds(&b, "Usage: kapacitor [options] COMMAND [arguments]\n\nCommands:\n\n");
    for (size_t g = 0; g < KAP_COUNT(groups); g++) {
        for (const struct kap_command *c = groups[g]; c->name; c++)
            kap_buf_addf(&b, "  %-22s%s\n", c->name, c->summary);
    }
    kap_buf_addf(&b, "  %-22s%s\n\nOptions:\n\n", "help", "Explain a command.");
    kap_flags_print(flags, &b);
    fputs(b.p, to);
}

static int unknown(const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (size_t g = 0; g < KAP_COUNT(groups); g++) {
        for (const struct kap_command *c = groups[g]; c->name && n < KAP_COUNT(names); c++)
            names[n++] = c->name;
    }
    const int closest = kap_closest(name, names, n);
    fprintf(stderr, "Unknown command %s", name);
    if (closest >= 0)
        fprintf(stderr, ", did you mean %s?", names[closest]);
    fputs("\n\n", stderr);
    print_usage(stderr);
    return KAP_EXIT_USAGE;
}

static int help(char **args, size_t n)
{
    if (n == 0) {
        print_usage(stdout);
        return 0;
    }
    const struct kap_command *c = find(args[0]);
    if (c == NULL)
        return unknown(args[0]);
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_command_help(c, &b);
    return kap_command_print(&b);
}

void kap_command_help(const struct kap_command *self, struct kap_buf *out)
{
    kap_buf_addf(out, "Usage: kapacitor %s %s\n\n%s\n", self->name, self->usage, self->summary);
    if (self->flags) {
        kap_buf_adds(out, "\nOptions:\n\n");
        kap_flags_print(self->flags, out);
    }
}

int kap_command_misused(const struct kap_command *self, const char *what)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_command_help(self, &b);
    fprintf(stderr, "%s\n\n%s", what, b.p);
    return KAP_EXIT_ARGUMENTS;
}

int kap_command_print(const struct kap_buf *out)
{
    if (kap_program_print(out))
        return 0;
    fputs("Error: cannot write to standard output\n", stderr);
    return KAP_EXIT_FAILED;
}

int main(int argc, char **argv)
{
    size_t used;
    struct kap_error err;
    if (kap_flags_parse(flags, argv + 1, (size_t)argc - 1, &used, &err) != KAP_OK) {
        fprintf(stderr, "%s\n\n", err.msg);
        print_usage(stderr);
        return KAP_EXIT_ARGUMENTS;
    }
    char **args = argv + 1 + used;
    const size_t n = (size_t)argc - 1 - used;
    if (n == 0) {
        fputs("Error: Must pass a command.\n\n", stderr);
        print_usage(stderr);
        return KAP_EXIT_USAGE;
    }
    if (strcmp(args[0], "help") == 0)
        return help(args + 1, n - 1);
    const struct kap_command *command = find(args[0]);
    if (command == NULL)
        return unknown(args[0]);
    struct kap_client *c;
    if (kap_program_connect(url, skip_verify, &c, &err) != KAP_OK) {
        kap_program_failed(&err);
        return KAP_EXIT_CLIENT;
    }
    const int code = command->run(c, command, args + 1, n - 1);
    kap_client_free(c);
    return code;
}
