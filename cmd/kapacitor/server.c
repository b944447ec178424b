/* level, stats, vars, logs, watch, version. */
#include "base/mem.h"
#include "commands.h"

#include <stdio.h>

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

static bool print_piece(void *ctx, struct kap_str piece)
{
    return fwrite(piece.p, 1, piece.n, stdout) == piece.n && fflush(stdout) == 0;
}

/* NAME=VALUE arguments as the parameters of a URL. */
static enum kap_status add_filters(char **args, size_t n, struct kap_buf *path, struct kap_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *equals = strchr(args[i], '=');
        if (equals == NULL || strchr(equals + 1, '='))
            return kap_fail(err, KAP_EINVAL, "bad keyvalue pair: '%s'", args[i]);
        KAP_AUTO_FREE char *name = kap_strndup(args[i], (size_t)(equals - args[i]));
        kap_buf_addc(path, strchr(path->p, '?') ? '&' : '?');
        kap_client_escape(path, name);
        kap_buf_addc(path, '=');
        kap_client_escape(path, equals + 1);
    }
    return KAP_OK;
}

static int follow(struct kap_client *c, struct kap_buf *path, char **args, size_t n)
{
    struct kap_error err;
    enum kap_status st = add_filters(args, n, path, &err);
    if (st == KAP_OK)
        st = kap_client_follow(c, path->p, print_piece, NULL, &err);
    return st == KAP_OK ? 0 : kap_program_failed(&err);
}

static int logs(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    kap_buf_adds(&path, "/kapacitor/v1preview/logs");
    return follow(c, &path, args, n);
}

static int watch(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    if (n == 0)
        return kap_command_misused(self, "Must provide a task ID.");
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    kap_buf_adds(&path, "/kapacitor/v1preview/logs?task=");
    kap_client_escape(&path, args[0]);
    return follow(c, &path, args + 1, n - 1);
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
    { "logs", "Follow the server's log.", "[NAME=VALUE...]\n       kapacitor logs service=http lvl=info+",
      NULL, logs },
    { "watch", "Follow the log of a task.",
      "TASK-ID [NAME=VALUE...]\n       kapacitor watch cpu_alert node=log5", NULL, watch },
    { "version", "Print the version of this client.", "", NULL, version },
    { 0 },
};
