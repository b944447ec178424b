/* service-tests, backup. */
#include "base/mem.h"
#include "client/table.h"
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static bool as_json;
static const struct kap_flag test_flags[] = {
    { KAP_FLAG_BOOL, "json", &as_json, "Print JSON instead of a table." },
    { 0 },
};

/* Tests all services that fit a pattern, with their own options; adds {"service", "success", "message"}. */
static enum kap_status test_services(struct kap_client *c, const char *pattern, json_t *results,
                                     struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    json_t *list = NULL, *service;
    size_t i;
    kap_buf_adds(&path, "/service-tests?pattern=");
    kap_client_escape(&path, pattern);
    KAP_TRY(kap_client_json(c, "GET", path.p, NULL, &list, err));
    enum kap_status st = KAP_OK;
    json_array_foreach(json_object_get(list, "services"), i, service)
    {
        const char *name = json_string_value(json_object_get(service, "name"));
        json_t *result = NULL;
        kap_buf_reset(&path);
        kap_buf_adds(&path, "/service-tests/");
        kap_client_escape(&path, name ? name : "");
        st = kap_client_json(c, "POST", path.p, json_object_get(service, "options"), &result, err);
        if (st != KAP_OK)
            break;
        json_object_set(result, "service", json_object_get(service, "name"));
        json_array_append_new(results, result);
    }
    json_decref(list);
    return st;
}

static void print_results(const json_t *results, struct kap_buf *out)
{
    static const struct kap_column columns[] = { { "Service", 20 }, { "Success", 10 }, { "Message" } };
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    json_t *result;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)results, i, result)
    {
        const char *name = json_string_value(json_object_get(result, "service"));
        const char *message = json_string_value(json_object_get(result, "message"));
        const char *const cells[] = { name ? name : "",
                                      json_is_true(json_object_get(result, "success")) ? "true" : "false",
                                      message ? message : "" };
        kap_table_row(t, cells);
    }
    kap_table_print(t, out);
    kap_table_free(t);
}

static int service_tests(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    size_t used;
    struct kap_error err;
    if (kap_flags_parse(self->flags, args, n, &used, &err) != KAP_OK)
        return kap_command_misused(self, err.msg);
    if (used == n)
        return kap_command_misused(self, "Must provide at least one service name or pattern.");
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    json_t *results = json_array();
    enum kap_status st = KAP_OK;
    for (size_t i = used; i < n && st == KAP_OK; i++)
        st = test_services(c, args[i], results, &err);
    if (st == KAP_OK && as_json) {
        KAP_AUTO_FREE char *text = json_dumps(results, JSON_INDENT(4) | JSON_SORT_KEYS);
        kap_buf_addf(&out, "%s\n", text);
    } else if (st == KAP_OK) {
        print_results(results, &out);
    }
    json_decref(results);
    return st == KAP_OK ? kap_command_print(&out) : kap_program_failed(&err);
}

/* --- backup --- */

struct target {
    int fd;
    uint64_t written;
    int error;
};

static bool save_piece(void *ctx, struct kap_str piece)
{
    struct target *t = ctx;
    while (piece.n > 0) {
        const ssize_t n = write(t->fd, piece.p, piece.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            t->error = n < 0 ? errno : ENOSPC;
            return false;
        }
        piece = kap_strn(piece.p + n, piece.n - (size_t)n);
        t->written += (uint64_t)n;
    }
    return true;
}

/* Under another name until it is whole: a backup that broke off must not look like one. */
static enum kap_status save(struct kap_client *c, const char *path, struct kap_error *err)
{
    KAP_AUTO_FREE char *part = kap_asprintf("%s.part", path);
    struct target t = { .fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) };
    if (t.fd < 0)
        return kap_fail(err, KAP_EIO, "failed to create backup file %s: %s", part, strerror(errno));
    enum kap_status st = kap_client_follow(c, "/kapacitor/v1/storage/backup", save_piece, &t, err);
    if (t.error == 0 && st == KAP_OK && fsync(t.fd) != 0)
        t.error = errno;
    if (close(t.fd) != 0 && t.error == 0)
        t.error = errno;
    if (t.error == 0 && st == KAP_OK && rename(part, path) != 0)
        t.error = errno;
    if (t.error != 0)
        st = kap_fail(err, KAP_EIO, "failed to save backup: %s", strerror(t.error));
    if (st != KAP_OK)
        unlink(part);
    return st;
}

static int backup(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    if (n != 1)
        return kap_command_misused(self, "Must provide file path for backup.");
    struct kap_error err;
    return save(c, args[0], &err) == KAP_OK ? 0 : kap_program_failed(&err);
}

const struct kap_command kap_service_commands[] = {
    { "service-tests", "Try services with what is configured: one attempt each.",
      "[-json] SERVICE|PATTERN...", test_flags, service_tests },
    { "backup", "Save all definitions: tasks, templates, handlers, configuration.",
      "FILE\n\nTo restore, stop the server and put the file into its data_dir as catalog.db.", NULL, backup },
    { 0 },
};
