/* level, stats, vars, version. */
#include "base/mem.h"
#include "commands.h"

static int level(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    if (n != 1)
        return kap_command_misused(self, "Must specify one level: debug, info or error");
    struct kap_error err;
    json_t *body = json_pack("{s:s}", "level", args[0]);
    const enum kap_status st = kap_client_json(c, "POST", "/loglevel", body, NULL, &err);
    json_decref(body);
    return st == KAP_OK ? 0 : kap_program_failed(&err);
}

static int stats(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    const bool general = n == 1 && strcmp(args[0], "general") == 0;
    if (!general && !(n == 1 && strcmp(args[0], "ingress") == 0))
        return kap_command_misused(self, "Must specify 'general' or 'ingress'");
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    json_t *vars = NULL;
    struct kap_error err;
    if (kap_client_json(c, "GET", "/debug/vars", NULL, &vars, &err) != KAP_OK)
        return kap_program_failed(&err);
    if (general)
        kap_format_general_stats(vars, &out);
    else
        kap_format_ingress_stats(vars, &out);
    json_decref(vars);
    return kap_command_print(&out);
}

static int vars(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_error err;
    if (kap_client_call(c, "GET", "/debug/vars", NULL, &out, &err) != KAP_OK)
        return kap_program_failed(&err);
    kap_buf_addc(&out, '\n');
    return kap_command_print(&out);
}

static int version(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    kap_buf_addf(&out, "Kapacitor OSS %s (git: unknown unknown)\n", KAP_VERSION);
    return kap_command_print(&out);
}

const struct kap_command kap_server_commands[] = {
    { "level", "Set the server's log level.", "debug|info|error", NULL, level },
    { "stats", "Show figures of the server.", "general|ingress", NULL, stats },
    { "vars", "Print all figures of the server as JSON.", "", NULL, vars },
    { "version", "Print the version of this client.", "", NULL, version },
    { 0 },
};
