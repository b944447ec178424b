/* enable, disable, reload, delete: for all that fits a pattern. */
#include "base/mem.h"
#include "commands.h"

#define PAGE 100
#define MAX_OBJECTS 1000000

static enum kap_status one_page(struct kap_client *c, const char *path, const char *member,
                                const char *pattern, size_t offset, const char *query, json_t *all,
                                size_t *ret_n, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf url = { 0 };
    json_t *answer = NULL;
    kap_buf_addf(&url, "%s?pattern=", path);
    kap_client_escape(&url, pattern);
    kap_buf_addf(&url, "&offset=%zu&limit=%d%s", offset, PAGE, query);
    KAP_TRY(kap_client_json(c, "GET", url.p, NULL, &answer, err));
    json_t *page = json_object_get(answer, member);
    *ret_n = json_array_size(page);
    json_array_extend(all, page);
    json_decref(answer);
    return KAP_OK;
}

enum kap_status kap_command_list(struct kap_client *c, const char *path, const char *member, char **patterns,
                                 size_t n, const char *query, json_t **ret, struct kap_error *err)
{
    static char no_pattern[] = "";
    static char *everything[] = { no_pattern };
    json_t *all = json_array();
    if (n == 0) {
        patterns = everything;
        n = 1;
    }
    for (size_t i = 0; i < n; i++) {
        size_t got = PAGE;
        for (size_t offset = 0; got == PAGE && offset < MAX_OBJECTS; offset += PAGE) {
            const enum kap_status st = one_page(c, path, member, patterns[i], offset, query, all, &got, err);
            if (st != KAP_OK) {
                json_decref(all);
                return st;
            }
        }
    }
    *ret = all;
    return KAP_OK;
}

/* Runs a method on every object of a list, by its link. */
static enum kap_status each_link(struct kap_client *c, const json_t *all, const char *method,
                                 const json_t *body, const char *doing, struct kap_error *err)
{
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *v = json_array_get(all, i);
        const char *href = json_string_value(json_object_get(json_object_get(v, "link"), "href"));
        const char *id = json_string_value(json_object_get(v, "id"));
        KAP_AUTO_BUF struct kap_buf path = { 0 };
        for (const char *p = href ? href : ""; *p; p++) { /* links come as they are; a path must be escaped */
            if (*p == '/')
                kap_buf_addc(&path, '/');
            else
                kap_client_escape(&path, (const char[]){ *p, '\0' });
        }
        if (path.n > 0 && kap_client_json(c, method, path.p, body, NULL, err) != KAP_OK)
            return kap_wrap(err, "%s %s", doing, id ? id : "?");
    }
    return KAP_OK;
}

/* `reload`: a server that knows the word keeps the state of a task that is disabled to be enabled again. */
static enum kap_status set_all(struct kap_client *c, const char *status, bool reload, char **args, size_t n,
                               struct kap_error *err)
{
    json_t *all;
    KAP_TRY(kap_command_list(c, "/tasks", "tasks", args, n, "&fields=link", &all, err));
    json_t *body = json_pack("{s:s}", "status", status);
    if (reload)
        json_object_set_new(body, "reload", json_true());
    const enum kap_status st = each_link(
        c, all, "PATCH", body, strcmp(status, "enabled") == 0 ? "enabling task" : "disabling task", err);
    json_decref(body);
    json_decref(all);
    return st;
}

static int change(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    struct kap_error err;
    enum kap_status st = KAP_OK;
    if (n == 0)
        return kap_command_misused(self, "Must pass at least one task ID");
    if (strcmp(self->name, "enable") != 0)
        st = set_all(c, "disabled", strcmp(self->name, "reload") == 0, args, n, &err);
    if (st == KAP_OK && strcmp(self->name, "disable") != 0)
        st = set_all(c, "enabled", false, args, n, &err);
    return st == KAP_OK ? 0 : kap_program_failed(&err);
}

/* --- delete --- */

static enum kap_status delete_listed(struct kap_client *c, const char *path, const char *member,
                                     char **patterns, size_t n, const char *query, const char *what,
                                     struct kap_error *err)
{
    json_t *all;
    KAP_TRY(kap_command_list(c, path, member, patterns, n, query, &all, err));
    KAP_AUTO_FREE char *doing = kap_asprintf("deleting %s", what);
    const enum kap_status st = each_link(c, all, "DELETE", NULL, doing, err);
    json_decref(all);
    return st;
}

/* Topics and their handlers come without pages. */
static enum kap_status delete_unpaged(struct kap_client *c, const char *path, const char *member,
                                      char **patterns, size_t n, const char *what, struct kap_error *err)
{
    KAP_AUTO_FREE char *doing = kap_asprintf("deleting %s", what);
    for (size_t i = 0; i < n; i++) {
        KAP_AUTO_BUF struct kap_buf url = { 0 };
        json_t *answer = NULL;
        kap_buf_addf(&url, "%s?pattern=", path);
        kap_client_escape(&url, patterns[i]);
        KAP_TRY(kap_client_json(c, "GET", url.p, NULL, &answer, err));
        const enum kap_status st = each_link(c, json_object_get(answer, member), "DELETE", NULL, doing, err);
        json_decref(answer);
        KAP_TRY(st);
    }
    return KAP_OK;
}

static int delete_objects(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    struct kap_error err;
    enum kap_status st;
    if (n < 2)
        return kap_command_misused(self, "Must pass at least one ID");
    const char *kind = args[0];
    if (strcmp(kind, "tasks") == 0)
        st = delete_listed(c, "/tasks", "tasks", args + 1, n - 1, "&fields=link", "task", &err);
    else if (strcmp(kind, "templates") == 0)
        st = delete_listed(c, "/templates", "templates", args + 1, n - 1, "&fields=link", "template", &err);
    else if (strcmp(kind, "recordings") == 0)
        st = delete_listed(c, "/recordings", "recordings", args + 1, n - 1, "&fields=link", "recording", &err);
    else if (strcmp(kind, "replays") == 0)
        st = delete_listed(c, "/replays", "replays", args + 1, n - 1, "&fields=link", "replay", &err);
    else if (strcmp(kind, "topics") == 0)
        st = delete_unpaged(c, "/alerts/topics", "topics", args + 1, n - 1, "topic", &err);
    else if (strcmp(kind, "topic-handlers") == 0 && n < 3)
        return kap_command_misused(self, "Must pass a topic and at least one ID");
    else if (strcmp(kind, "topic-handlers") == 0) {
        KAP_AUTO_BUF struct kap_buf path = { 0 };
        kap_buf_adds(&path, "/alerts/topics/");
        kap_client_escape(&path, args[1]);
        kap_buf_adds(&path, "/handlers");
        st = delete_unpaged(c, path.p, "handlers", args + 2, n - 2, "handler", &err);
    } else
        st = kap_fail(&err, KAP_EINVAL,
                      "cannot delete '%s', it must be tasks, templates, recordings, replays, topics or "
                      "topic-handlers",
                      kind);
    return st == KAP_OK ? 0 : kap_program_failed(&err);
}

const struct kap_command kap_change_commands[] = {
    { "enable", "Enable tasks and start them on live data.", "TASK-ID-OR-PATTERN...", NULL, change },
    { "disable", "Stop tasks.", "TASK-ID-OR-PATTERN...", NULL, change },
    { "reload", "Stop tasks and start them with their present definition.", "TASK-ID-OR-PATTERN...", NULL,
      change },
    { "delete", "Delete tasks, templates, recordings, replays, topics or topic handlers.",
      "tasks|templates|recordings|replays|topics ID-OR-PATTERN...\n       kapacitor delete topic-handlers TOPIC "
      "ID-OR-PATTERN...",
      NULL, delete_objects },
    { 0 },
};
