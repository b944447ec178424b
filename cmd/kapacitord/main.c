/* kapacitord: the server. */
#include "base/mem.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "handlers/handlers.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct arguments {
    const char *config, *hostname, *pidfile, *log_file, *log_level;
    bool strict;
};

static const char usage[] =
    "kapacitord: processes streams and batches of data, and alerts on them.\n"
    "\n"
    "usage: kapacitord [run] [options]    run the server (the default)\n"
    "       kapacitord config [options]   print the effective configuration\n"
    "       kapacitord version            print the version\n"
    "       kapacitord help               print this\n"
    "\n"
    "options of run:\n"
    "  -config FILE      the configuration (or $KAPACITOR_CONFIG_PATH, ~/.kapacitor/kapacitor.conf,\n"
    "                    /etc/kapacitor/kapacitor.conf)\n"
    "  -hostname NAME    overrides hostname of the configuration\n"
    "  -pidfile FILE     write the process ID there\n"
    "  -log-file FILE    overrides [logging] file\n"
    "  -log-level LEVEL  overrides [logging] level: DEBUG, INFO, WARN, ERROR, OFF\n"
    "options of config:\n"
    "  -config FILE, -hostname NAME as above\n"
    "  -strict           unknown and unused keys are errors\n";

static enum kap_status parse(int argc, char **argv, struct arguments *ret, struct kap_error *err)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },   { "hostname", required_argument, NULL, 'h' },
        { "pidfile", required_argument, NULL, 'p' },  { "log-file", required_argument, NULL, 'f' },
        { "log-level", required_argument, NULL, 'l' }, { "strict", no_argument, NULL, 's' }, { 0 },
    };
    opterr = 0;
    for (int c; (c = getopt_long_only(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'c': ret->config = optarg; break;
        case 'h': ret->hostname = optarg; break;
        case 'p': ret->pidfile = optarg; break;
        case 'f': ret->log_file = optarg; break;
        case 'l': ret->log_level = optarg; break;
        case 's': ret->strict = true; break;
        default: return kap_fail(err, KAP_EINVAL, "flag provided but not defined or without a value: %s", argv[optind - 1]);
        }
    }
    if (optind < argc)
        return kap_fail(err, KAP_EINVAL, "unexpected argument: %s", argv[optind]);
    return KAP_OK;
}

static enum kap_status load(const struct arguments *a, struct kap_config **ret, struct kap_error *err)
{
    const struct kap_config_args args = { .path = a->config, .hostname = a->hostname,
                                          .handlers = kap_handler_types, .strict = a->strict };
    return kap_config_load(&args, ret, err);
}

static enum kap_status open_log(const struct kap_config *config, const struct arguments *a, struct kap_error *err)
{
    const struct kap_config_logging *logging = kap_config_section(config, "logging");
    const char *level = a->log_level ? a->log_level : logging->level.p;
    enum kap_log_level parsed;
    if (!kap_log_level_parse(kap_str(level), &parsed))
        return kap_fail(err, KAP_EINVAL, "unknown log level \"%s\": use DEBUG, INFO, WARN, ERROR or OFF", level);
    kap_log_set_level(parsed);
    return kap_log_open(a->log_file ? a->log_file : logging->file.p, err);
}

static enum kap_status write_pidfile(const char *path, struct kap_error *err)
{
    FILE *f = fopen(path, "we");
    if (!f || fprintf(f, "%d\n", (int)getpid()) < 0 || fclose(f) != 0)
        return kap_fail(err, KAP_EIO, "cannot write pidfile %s: %s", path, strerror(errno));
    return KAP_OK;
}

static void log_notes(const struct kap_config *config)
{
    const char *path = kap_config_path(config);
    kap_log(KAP_LOG_INFO, "run", path ? "using configuration" : "no configuration file found, using defaults",
            kap_kv_s("path", path ? path : ""));
    const struct kap_config_note *notes;
    const size_t n = kap_config_notes(config, &notes);
    for (size_t i = 0; i < n; i++)
        kap_log(notes[i].level, "config", notes[i].text.p);
}

static enum kap_status run(int argc, char **argv, struct kap_error *err)
{
    struct arguments a = { 0 };
    KAP_TRY(parse(argc, argv, &a, err));
    struct kap_config *config = NULL;
    KAP_TRY(load(&a, &config, err));
    enum kap_status status = open_log(config, &a, err);
    if (status == KAP_OK && a.pidfile)
        status = write_pidfile(a.pidfile, err);
    if (status == KAP_OK) {
        kap_log(KAP_LOG_INFO, "run", "kapacitor starting", kap_kv_s("version", KAP_VERSION));
        log_notes(config);
        status = kap_daemon_run(config, err);
    }
    if (a.pidfile)
        unlink(a.pidfile);
    kap_config_free(config);
    return status;
}

static enum kap_status print_config(int argc, char **argv, struct kap_error *err)
{
    struct arguments a = { 0 };
    KAP_TRY(parse(argc, argv, &a, err));
    struct kap_config *config = NULL;
    KAP_TRY(load(&a, &config, err));
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    kap_config_print(config, &text);
    fwrite(text.p, 1, text.n, stdout);
    const struct kap_config_note *notes;
    const size_t n = kap_config_notes(config, &notes);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "%.*s\n", KAP_STR_ARG(notes[i].text));
    kap_config_free(config);
    return fflush(stdout) == 0 ? KAP_OK : kap_fail(err, KAP_EIO, "cannot write: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 && argv[1][0] != '-' ? argv[1] : "run";
    if (argc > 1 && argv[1][0] != '-') {
        argv++;
        argc--;
    }
    static struct kap_error err;
    enum kap_status status = KAP_OK;
    if (strcmp(command, "run") == 0)
        status = run(argc, argv, &err);
    else if (strcmp(command, "config") == 0)
        status = print_config(argc, argv, &err);
    else if (strcmp(command, "version") == 0)
        printf("Kapacitor %s (C, clustering)\n", KAP_VERSION);
    else if (strcmp(command, "help") == 0)
        fputs(usage, stdout);
    else
        status = kap_fail(&err, KAP_EINVAL, "unknown command \"%s\"; try: kapacitord help", command);
    if (status == KAP_OK)
        return 0;
    kap_log(KAP_LOG_ERROR, "run", "encountered error", kap_kv_s("err", err.msg));
    fprintf(stderr, "%s: %s\n", command, err.msg);
    return 1;
}
