/* silence, dead-letters: alerts beyond topics and handlers. */
#include "base/mem.h"
#include "client/table.h"
#include "commands.h"

static struct kap_flag_list tags, levels;
static const char *id, *topic, *event, *comment;
static const struct kap_flag flags[] = {
    { KAP_FLAG_STRING, "topic", &topic, "Pattern of the topic." },
    { KAP_FLAG_STRING, "event", &event, "Pattern of the event ID." },
    { KAP_FLAG_LIST, "tag", &tags, "KEY=PATTERN of a tag; may be given several times." },
    { KAP_FLAG_LIST, "level", &levels, "OK, INFO, WARNING or CRITICAL; may be given several times." },
    { KAP_FLAG_STRING, "comment", &comment, "Why." },
    { KAP_FLAG_STRING, "id", &id, "ID of the silence; a random one without it." },
    { 0 },
};

static void set_text(json_t *body, const char *key, const char *value)
{
    if (value)
        json_object_set_new(body, key, json_string(value));
}

static enum kap_status describe(json_t *body, struct kap_error *err)
{
    set_text(body, "id", id);
    set_text(body, "topic", topic);
    set_text(body, "event", event);
    set_text(body, "comment", comment);
    json_t *patterns = json_object(), *wanted = json_array();
    for (size_t i = 0; i < levels.n; i++)
        json_array_append_new(wanted, json_string(levels.v[i]));
    json_object_set_new(body, "levels", wanted);
    json_object_set_new(body, "tags", patterns);
    for (size_t i = 0; i < tags.n; i++) {
        const char *equals = strchr(tags.v[i], '=');
        if (equals == NULL || equals == tags.v[i])
            return kap_fail(err, KAP_EINVAL, "-tag must be KEY=PATTERN, not '%s'", tags.v[i]);
        KAP_AUTO_FREE char *key = kap_strndup(tags.v[i], (size_t)(equals - tags.v[i]));
        json_object_set_new(patterns, key, json_string(equals + 1));
    }
    return KAP_OK;
}

static int add(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    size_t used;
    struct kap_error err;
    if (kap_flags_parse(flags, args, n, &used, &err) != KAP_OK)
        return kap_command_misused(self, err.msg);
    if (n - used != 1)
        return kap_command_misused(self, "Must say for how long: 30m, 2h, 1d");
    json_t *body = json_object(), *answer = NULL;
    set_text(body, "duration", args[used]);
    enum kap_status st = describe(body, &err);
    if (st == KAP_OK)
        st = kap_client_json(c, "POST", "/alerts/silences", body, &answer, &err);
    json_decref(body);
    if (st != KAP_OK)
        return kap_program_failed(&err);
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    kap_buf_addf(&out, "%s\n", json_string_value(json_object_get(answer, "id")));
    json_decref(answer);
    return kap_command_print(&out);
}

static void add_text(struct kap_buf *b, const json_t *silence, const char *key)
{
    const char *text = json_string_value(json_object_get(silence, key));
    if (text)
        kap_buf_addf(b, "%s%s=%s", b->n ? " " : "", key, text);
}

/* "topic=cpu tags.host=web* level=CRITICAL" */
static void what(struct kap_buf *b, json_t *silence)
{
    const char *key;
    json_t *value;
    size_t i;
    add_text(b, silence, "topic");
    add_text(b, silence, "event");
    json_t *patterns = json_object_get(silence, "tags");
    for (void *it = json_object_iter(patterns); it; it = json_object_iter_next(patterns, it)) {
        key = json_object_iter_key(it);
        kap_buf_addf(b, "%stag=%s=%s", b->n ? " " : "", key, json_string_value(json_object_iter_value(it)));
    }
    json_array_foreach(json_object_get(silence, "levels"), i, value) {
        kap_buf_addf(b, "%slevel=%s", b->n ? " " : "", json_string_value(value));
    }
}

static int list(struct kap_client *c)
{
    static const struct kap_column columns[] = {
        { "ID", 0, false, false }, { "Expires", 0, false, false }, { "Matches", 0, false, false },
        { "Comment", 0, false, false },
    };
    struct kap_error err;
    json_t *answer = NULL, *silence;
    size_t i;
    if (kap_client_json(c, "GET", "/alerts/silences", NULL, &answer, &err) != KAP_OK)
        return kap_program_failed(&err);
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    json_array_foreach(json_object_get(answer, "silences"), i, silence) {
        KAP_AUTO_BUF struct kap_buf matches = { 0 };
        what(&matches, silence);
        const char *why = json_string_value(json_object_get(silence, "comment"));
        const char *const cells[] = { json_string_value(json_object_get(silence, "id")),
                                      json_string_value(json_object_get(silence, "expires")),
                                      matches.n ? matches.p : "", why ? why : "" };
        kap_table_row(t, cells);
    }
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    kap_table_print(t, &out);
    kap_table_free(t);
    json_decref(answer);
    return kap_command_print(&out);
}

static int remove_silences(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    struct kap_error err;
    if (n == 0)
        return kap_command_misused(self, "Must name a silence");
    for (size_t i = 0; i < n; i++) {
        KAP_AUTO_BUF struct kap_buf path = { 0 };
        kap_buf_adds(&path, "/alerts/silences/");
        kap_client_escape(&path, args[i]);
        if (kap_client_json(c, "DELETE", path.p, NULL, NULL, &err) != KAP_OK)
            return kap_program_failed(&err);
    }
    return 0;
}

static int silence(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    if (n > 0 && strcmp(args[0], "add") == 0)
        return add(c, self, args + 1, n - 1);
    if (n == 1 && strcmp(args[0], "list") == 0)
        return list(c);
    if (n > 0 && strcmp(args[0], "remove") == 0)
        return remove_silences(c, self, args + 1, n - 1);
    return kap_command_misused(self, "Must specify 'add', 'list' or 'remove'");
}

/* --- dead letters --- */

static int list_letters(struct kap_client *c)
{
    static const struct kap_column columns[] = {
        { "ID", 0, false, false }, { "Time", 0, false, false }, { "Topic", 0, false, false },
        { "Handler", 0, false, false }, { "Event", 0, false, false }, { "Level", 0, false, false },
        { "Error", 0, false, false },
    };
    static const char *const members[] = { "time", "topic", "handler", "event", "level", "error" };
    struct kap_error err;
    json_t *answer = NULL, *letter;
    size_t i;
    if (kap_client_json(c, "GET", "/alerts/dead-letters", NULL, &answer, &err) != KAP_OK)
        return kap_program_failed(&err);
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    json_array_foreach(json_object_get(answer, "dead-letters"), i, letter) {
        KAP_AUTO_FREE char *number = kap_asprintf("%lld", (long long)json_integer_value(json_object_get(letter, "id")));
        const char *cells[KAP_COUNT(columns)] = { number };
        for (size_t k = 0; k < KAP_COUNT(members); k++) {
            const char *text = json_string_value(json_object_get(letter, members[k]));
            cells[k + 1] = text ? text : "";
        }
        kap_table_row(t, cells);
    }
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    kap_table_print(t, &out);
    kap_table_free(t);
    json_decref(answer);
    return kap_command_print(&out);
}

static enum kap_status change_letter(struct kap_client *c, const char *letter, bool replay, struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf path = { 0 };
    kap_buf_adds(&path, "/alerts/dead-letters/");
    kap_client_escape(&path, letter);
    kap_buf_adds(&path, replay ? "/replay" : "");
    return kap_client_json(c, replay ? "POST" : "DELETE", path.p, NULL, NULL, err);
}

static enum kap_status change_all(struct kap_client *c, bool replay, struct kap_error *err)
{
    json_t *answer = NULL, *letter;
    size_t i;
    KAP_TRY(kap_client_json(c, "GET", "/alerts/dead-letters", NULL, &answer, err));
    enum kap_status st = KAP_OK;
    json_array_foreach(json_object_get(answer, "dead-letters"), i, letter) {
        KAP_AUTO_FREE char *number = kap_asprintf("%lld", (long long)json_integer_value(json_object_get(letter, "id")));
        if (st == KAP_OK && !json_is_true(json_object_get(letter, "replaying")))
            st = change_letter(c, number, replay, err);
    }
    json_decref(answer);
    return st;
}

static int dead_letters(struct kap_client *c, const struct kap_command *self, char **args, size_t n)
{
    if (n == 1 && strcmp(args[0], "list") == 0)
        return list_letters(c);
    const bool replay = n > 1 && strcmp(args[0], "replay") == 0;
    if (!replay && !(n > 1 && strcmp(args[0], "delete") == 0))
        return kap_command_misused(self, "Must specify 'list', 'replay' or 'delete', the latter with IDs or 'all'");
    struct kap_error err;
    enum kap_status st = KAP_OK;
    if (n == 2 && strcmp(args[1], "all") == 0)
        st = change_all(c, replay, &err);
    else
        for (size_t i = 1; i < n && st == KAP_OK; i++)
            st = change_letter(c, args[i], replay, &err);
    return st == KAP_OK ? 0 : kap_program_failed(&err);
}

const struct kap_command kap_alert_commands[] = {
    { "silence", "Keep events from their handlers for a while.",
      "add [options] DURATION\n       kapacitor silence list\n       kapacitor silence remove ID...\n\n"
      "       kapacitor silence add -topic cpu -tag host=web* -comment deploy 2h",
      flags, silence },
    { "dead-letters", "List, replay or delete deliveries that this member gave up.",
      "list\n       kapacitor dead-letters replay all|ID...\n       kapacitor dead-letters delete all|ID...",
      NULL, dead_letters },
    { 0 },
};
