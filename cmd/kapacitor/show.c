/* list and the show commands. */
#include "base/mem.h"
#include "commands.h"

static enum kap_status list_topics(struct kap_client *c, char **patterns, size_t n, json_t **ret,
                                   struct kap_error *err)
{
    json_t *all = json_array();
    for (size_t i = 0; i < KAP_MAX(n, (size_t)1); i++) {
        KAP_AUTO_BUF struct kap_buf path = { 0 };
        json_t *answer = NULL;
        kap_buf_adds(&path, "/alerts/topics?pattern=");
        kap_client_escape(&path, n > 0 ? patterns[i] : "");
        const enum kap_status st = kap_client_json(c, "GET", path.p, NULL, &answer, err);
        if (st != KAP_OK) {
            json_decref(all);
            return st;
        }
        json_array_extend(all, json_object_get(answer, "topics"));
        json_decref(answer);
    }
    *ret = all;
    return KAP_OK;
}

static enum kap_status handlers_of(struct kap_client *c, const char *topic, const char *pattern, json_t *all,
                                   struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    json_t *answer = NULL;
    kap_buf_adds(&path, "/alerts/topics/");
    kap_client_escape(&path, topic);
    kap_buf_adds(&path, "/handlers?pattern=");
    kap_client_escape(&path, pattern);
    KAP_TRY(kap_client_json(c, "GET", path.p, NULL, &answer, err));
    const json_t *handlers = json_object_get(answer, "handlers");
    for (size_t i = 0; i < json_array_size(handlers); i++) {
        json_t *h = json_array_get(handlers, i);
        json_object_set_new(h, "topic", json_string(topic));
        json_array_append(all, h);
    }
    json_decref(answer);
    return KAP_OK;
}

static enum kap_status list_handlers(struct kap_client *c, char **args, size_t n, json_t **ret,
                                     struct kap_error *err)
{
    json_t *topics;
    KAP_TRY(list_topics(c, args, n > 0 ? 1 : 0, &topics, err));
    json_t *all = json_array();
    enum kap_status st = KAP_OK;
    for (size_t i = 0; st == KAP_OK && i < json_array_size(topics); i++) {
        const char *topic = json_string_value(json_object_get(json_array_get(topics, i), "id"));
        for (size_t k = 1; st == KAP_OK && topic && k < KAP_MAX(n, (size_t)2); k++)
            st = handlers_of(c, topic, k < n ? args[k] : "", all, err);
    }
    json_decref(topics);
    if (st == KAP_OK)
        *ret = all;
    else
        json_decref(all);
    return st;
}

static int list(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    static const char task_fields[] = "&fields=type&fields=status&fields=executing&fields=dbrps";
    struct kap_error err;
    enum kap_status st;
    json_t *all = NULL;
    void (*format)(const json_t *, struct kap_buf *) = NULL;
    if (n == 0)
        return kap_command_misused(self, "Must specify 'tasks', 'templates', 'recordings', 'replays', 'topics' or 'topic-handlers'");
    const char *kind = args[0];
    if (strcmp(kind, "tasks") == 0) {
        st = kap_command_list(c, "/tasks", "tasks", args + 1, n - 1, task_fields, &all, &err);
        format = kap_format_tasks;
    } else if (strcmp(kind, "templates") == 0) {
        st = kap_command_list(c, "/templates", "templates", args + 1, n - 1, "&fields=type&fields=vars", &all,
                              &err);
        format = kap_format_templates;
    } else if (strcmp(kind, "recordings") == 0) {
        st = kap_command_list(c, "/recordings", "recordings", args + 1, n - 1,
                              "&fields=type&fields=size&fields=date&fields=status", &all, &err);
        format = kap_format_recordings;
    } else if (strcmp(kind, "replays") == 0) {
        st = kap_command_list(c, "/replays", "replays", args + 1, n - 1,
                              "&fields=task&fields=recording&fields=status&fields=clock&fields=date", &all, &err);
        format = kap_format_replays;
    } else if (strcmp(kind, "topics") == 0) {
        st = list_topics(c, args + 1, n - 1, &all, &err);
        format = kap_format_topics;
    } else if (strcmp(kind, "topic-handlers") == 0) {
        st = list_handlers(c, args + 1, n - 1, &all, &err);
        format = kap_format_topic_handlers;
    } else {
        st = kap_fail(&err, KAP_EINVAL,
                      "cannot list '%s' did you mean 'tasks', 'templates', 'recordings', 'replays', 'topics' or "
                      "'topic-handlers'?",
                      kind);
    }
    if (st != KAP_OK)
        return kap_program_failed(&err);
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    format(all, &out);
    json_decref(all);
    return kap_command_print(&out);
}

/* --- one --- */

static const char *replay_id;
static const struct kap_flag show_flags[] = {
    { KAP_FLAG_STRING, "replay", &replay_id, "Show the task as it runs in this replay." },
    { 0 },
};

static int show(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    size_t used;
    struct kap_error err;
    if (kap_flags_parse(show_flags, args, n, &used, &err) != KAP_OK)
        return kap_command_misused(self, err.msg);
    if (n - used != 1)
        return kap_command_misused(self, "Must specify one task ID");
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    json_t *task = NULL;
    kap_buf_adds(&path, "/tasks/");
    kap_client_escape(&path, args[used]);
    if (replay_id) {
        kap_buf_adds(&path, "?replay-id=");
        kap_client_escape(&path, replay_id);
    }
    if (kap_client_json(c, "GET", path.p, NULL, &task, &err) != KAP_OK)
        return kap_program_failed(&err);
    kap_format_task(task, &out);
    json_decref(task);
    return kap_command_print(&out);
}

static int show_template(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    if (n != 1)
        return kap_command_misused(self, "Must specify one template ID");
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    json_t *tmpl = NULL;
    struct kap_error err;
    kap_buf_adds(&path, "/templates/");
    kap_client_escape(&path, args[0]);
    if (kap_client_json(c, "GET", path.p, NULL, &tmpl, &err) != KAP_OK)
        return kap_program_failed(&err);
    kap_format_template(tmpl, &out);
    json_decref(tmpl);
    return kap_command_print(&out);
}

static int show_topic(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    if (n != 1)
        return kap_command_misused(self, "Must specify one topic ID");
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    json_t *topic = NULL, *events = NULL, *handlers = NULL;
    struct kap_error err;
    kap_buf_adds(&path, "/alerts/topics/");
    kap_client_escape(&path, args[0]);
    const size_t length = path.n;
    enum kap_status st = kap_client_json(c, "GET", path.p, NULL, &topic, &err);
    if (st == KAP_OK) {
        kap_buf_adds(&path, "/events");
        st = kap_client_json(c, "GET", path.p, NULL, &events, &err);
    }
    if (st == KAP_OK) {
        path.n = length;
        kap_buf_adds(&path, "/handlers");
        st = kap_client_json(c, "GET", path.p, NULL, &handlers, &err);
    }
    if (st == KAP_OK)
        kap_format_topic(topic, json_object_get(events, "events"), json_object_get(handlers, "handlers"),
                         &out);
    json_decref(topic);
    json_decref(events);
    json_decref(handlers);
    return st == KAP_OK ? kap_command_print(&out) : kap_program_failed(&err);
}

static int show_topic_handler(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    if (n != 2)
        return kap_command_misused(self, "Must specify both topic and handler IDs");
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    json_t *handler = NULL;
    struct kap_error err;
    kap_buf_adds(&path, "/alerts/topics/");
    kap_client_escape(&path, args[0]);
    kap_buf_adds(&path, "/handlers/");
    kap_client_escape(&path, args[1]);
    if (kap_client_json(c, "GET", path.p, NULL, &handler, &err) != KAP_OK)
        return kap_program_failed(&err);
    kap_format_topic_handler(args[0], handler, &out);
    json_decref(handler);
    return kap_command_print(&out);
}

const struct kap_command kap_show_commands[] = {
    { "list", "List tasks, templates, topics or topic handlers.",
      "tasks|templates|recordings|replays|topics [ID-OR-PATTERN...]\n       kapacitor list topic-handlers [TOPIC "
      "[ID-OR-PATTERN...]]",
      NULL, list },
    { "show", "Show a task.", "[-replay REPLAY-ID] TASK-ID", show_flags, show },
    { "show-template", "Show a template.", "TEMPLATE-ID", NULL, show_template },
    { "show-topic", "Show a topic with its events.", "TOPIC", NULL, show_topic },
    { "show-topic-handler", "Show a handler of a topic.", "TOPIC HANDLER-ID", NULL, show_topic_handler },
    { 0 },
};
