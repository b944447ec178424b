#include "client/format.h"

#include "base/duration.h"
#include "base/gotime.h"
#include "base/mem.h"
#include "client/table.h"

#include <time.h>

static const char *text(const json_t *v, const char *key)
{
    const char *s = json_string_value(json_object_get(v, key));
    return s ? s : "";
}

static int64_t number(const json_t *v, const char *key)
{
    return json_integer_value(json_object_get(v, key));
}

/* --- sorting --- */

static const char *sort_key; /* qsort has no context; the clients have one thread */

static int by_text(const void *a, const void *b)
{
    return strcmp(text(*(const json_t *const *)a, sort_key), text(*(const json_t *const *)b, sort_key));
}

/* The elements in the order of a member; owned array. */
static const json_t **sorted(const json_t *array, const char *key, size_t *ret_n)
{
    const size_t n = json_array_size(array);
    const json_t **v = KAP_ARRAY(const json_t *, n + 1);
    for (size_t i = 0; i < n; i++)
        v[i] = json_array_get(array, i);
    sort_key = key;
    qsort(v, n, sizeof *v, by_text);
    *ret_n = n;
    return v;
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of an object's members in order; owned array of borrowed names. */
static const char **names(const json_t *object, size_t *ret_n)
{
    const size_t n = json_object_size(object);
    const char **v = KAP_ARRAY(const char *, n + 1);
    size_t i = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) v[i++] = key;
    qsort(v, n, sizeof *v, by_string);
    *ret_n = n;
    return v;
}

/* --- values --- */

/* ["db"."rp" "db2"."rp2"] */
static void dbrps(const json_t *list, struct kap_buf *out)
{
    size_t i;
    json_t *v;
    kap_buf_addc(out, '[');
    json_array_foreach((json_t *)(uintptr_t)list, i, v)
    {
        kap_buf_adds(out, i ? " " : "");
        kap_buf_addq(out, kap_str(text(v, "db")));
        kap_buf_addc(out, '.');
        kap_buf_addq(out, kap_str(text(v, "rp")));
    }
    kap_buf_addc(out, ']');
}

/* 02 Jan 06 15:04 MST, in UTC or in the local zone. */
static void date(const char *rfc3339, bool local, struct kap_buf *out)
{
    int64_t ns;
    if (kap_time_parse_rfc3339(kap_str(rfc3339), &ns, NULL) != KAP_OK) {
        kap_buf_adds(out, "01 Jan 01 00:00 UTC"); /* the time that is no time */
        return;
    }
    if (!local) {
        kap_time_format(out, ns, KAP_STR("02 Jan 06 15:04 MST"));
        return;
    }
    const time_t t = (time_t)(ns / KAP_S - (ns % KAP_S < 0));
    struct tm tm;
    localtime_r(&t, &tm);
    kap_time_format(out, ns + tm.tm_gmtoff * KAP_S, KAP_STR("02 Jan 06 15:04 "));
    kap_buf_adds(out, tm.tm_zone);
}

static void var_value(const json_t *var, struct kap_buf *out);

static void var_list(const json_t *list, struct kap_buf *out)
{
    size_t i;
    json_t *v;
    kap_buf_addc(out, '[');
    json_array_foreach((json_t *)(uintptr_t)list, i, v)
    {
        kap_buf_adds(out, i ? ", " : "");
        if (strcmp(text(v, "type"), "star") == 0)
            kap_buf_addc(out, '*');
        else
            var_value(v, out);
    }
    kap_buf_addc(out, ']');
}

static void var_value(const json_t *var, struct kap_buf *out)
{
    const json_t *v = json_object_get(var, "value");
    if (json_is_array(v)) {
        var_list(v, out);
    } else if (json_is_string(v)) {
        kap_buf_adds(out, json_string_value(v));
    } else if (json_is_null(v) || v == NULL) {
        kap_buf_adds(out, "<required>");
    } else if (strcmp(text(var, "type"), "duration") == 0) {
        kap_duration_format_go(out, json_integer_value(v));
    } else {
        char *s = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        kap_buf_adds(out, s ? s : "");
        free(s);
    }
}

static void print_table(struct kap_table *t, struct kap_buf *out)
{
    kap_table_print(t, out);
    kap_table_free(t);
}

static void var_table(const json_t *vars, bool with_description, struct kap_buf *out)
{
    const struct kap_column columns[] = {
        { "Name", 30, true, false },
        { "Type", 10, true, false },
        { with_description ? "Default Value" : "Value", 40, true, false },
        { "Description", 40, true, false },
    };
    struct kap_table *t = kap_table_new(columns, with_description ? 4 : 3);
    size_t n;
    const char **v = names(vars, &n);
    for (size_t i = 0; i < n; i++) {
        const json_t *var = json_object_get(vars, v[i]);
        KAP_AUTO_BUF struct kap_buf value = { 0 };
        var_value(var, &value);
        kap_table_row(t, (const char *const[]){ v[i], text(var, "type"), value.p ? value.p : "",
                                                text(var, "description") });
    }
    kap_free(v);
    print_table(t, out);
}

/* --- lists --- */

void kap_format_tasks(const json_t *tasks, struct kap_buf *out)
{
    static const struct kap_column columns[] = { { "ID", 3, false, false },
                                                 { "Type", 10, true, false },
                                                 { "Status", 10, true, false },
                                                 { "Executing", 10, true, false },
                                                 { "Databases and Retention Policies", 0, false, false } };
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    size_t n;
    const json_t **v = sorted(tasks, "id", &n);
    for (size_t i = 0; i < n; i++) {
        KAP_AUTO_BUF struct kap_buf list = { 0 };
        dbrps(json_object_get(v[i], "dbrps"), &list);
        kap_table_row(t, (const char *const[]){
                             text(v[i], "id"), text(v[i], "type"), text(v[i], "status"),
                             json_is_true(json_object_get(v[i], "executing")) ? "true" : "false", list.p });
    }
    kap_free(v);
    print_table(t, out);
}

void kap_format_templates(const json_t *templates, struct kap_buf *out)
{
    static const struct kap_column columns[] = { { "ID", 3, false, false },
                                                 { "Type", 10, true, false },
                                                 { "Vars", 40, true, false } };
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    size_t n, nvars;
    const json_t **v = sorted(templates, "id", &n);
    for (size_t i = 0; i < n; i++) {
        KAP_AUTO_BUF struct kap_buf list = { 0 };
        const char **vars = names(json_object_get(v[i], "vars"), &nvars);
        for (size_t k = 0; k < nvars; k++)
            kap_buf_addf(&list, "%s%s", k ? "," : "", vars[k]);
        kap_free(vars);
        kap_table_row(t, (const char *const[]){ text(v[i], "id"), text(v[i], "type"), list.p ? list.p : "" });
    }
    kap_free(v);
    print_table(t, out);
}

/* "82 B", "1.2 kB", "10 MB" */
static void size(int64_t bytes, struct kap_buf *out)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
    if (bytes < 10) {
        kap_buf_addf(out, "%lld B", (long long)bytes);
        return;
    }
    double v = (double)bytes;
    size_t unit = 0;
    for (; v >= 1000 && unit + 1 < KAP_COUNT(units); unit++)
        v /= 1000;
    const double rounded = (double)(int64_t)(v * 10 + 0.5) / 10;
    kap_buf_addf(out, unit > 0 && rounded < 10 ? "%.1f %s" : "%.0f %s", rounded, units[unit]);
}

void kap_format_recordings(const json_t *recordings, struct kap_buf *out)
{
    static const struct kap_column columns[] = {
        { "ID", 3, false, false }, { "Type", 8, true, false }, { "Status", 10, true, false }, { "Size", 10, true, false },
        { "Date", 23, true, false },
    };
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    for (size_t i = 0; i < json_array_size(recordings); i++) {
        const json_t *v = json_array_get(recordings, i);
        KAP_AUTO_BUF struct kap_buf bytes = { 0 };
        KAP_AUTO_BUF struct kap_buf when = { 0 };
        size(number(v, "size"), &bytes);
        date(text(v, "date"), true, &when);
        kap_table_row(t, (const char *[]){ text(v, "id"), text(v, "type"), text(v, "status"), bytes.p, when.p });
    }
    print_table(t, out);
}

void kap_format_replays(const json_t *replays, struct kap_buf *out)
{
    static const struct kap_column columns[] = {
        { "ID", 3, false, false }, { "Task", 5, false, false }, { "Recording", 10, false, false }, { "Status", 9, true, false },
        { "Clock", 8, true, false }, { "Date", 23, true, false },
    };
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    for (size_t i = 0; i < json_array_size(replays); i++) {
        const json_t *v = json_array_get(replays, i);
        KAP_AUTO_BUF struct kap_buf when = { 0 };
        date(text(v, "date"), true, &when);
        kap_table_row(t, (const char *[]){ text(v, "id"), text(v, "task"), text(v, "recording"), text(v, "status"),
                                           text(v, "clock"), when.p });
    }
    print_table(t, out);
}

void kap_format_topics(const json_t *topics, struct kap_buf *out)
{
    static const struct kap_column columns[] = { { "ID", 3, false, false },
                                                 { "Level", 9, false, false },
                                                 { "Collected", 10, true, true } };
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)topics, i, v)
    {
        KAP_AUTO_BUF struct kap_buf collected = { 0 };
        kap_buf_addf(&collected, "%lld", (long long)number(v, "collected"));
        kap_table_row(t, (const char *const[]){ text(v, "id"), text(v, "level"), collected.p });
    }
    print_table(t, out);
}

void kap_format_topic_handlers(const json_t *handlers, struct kap_buf *out)
{
    static const struct kap_column columns[] = { { "Topic", 11, false, false },
                                                 { "ID", 11, false, false },
                                                 { "Kind", 11, false, false } };
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)handlers, i, v)
        kap_table_row(t, (const char *const[]){ text(v, "topic"), text(v, "id"), text(v, "kind") });
    print_table(t, out);
}

/* --- one --- */

static void line(struct kap_buf *out, const char *name, const char *value)
{
    kap_buf_addf(out, "%s: %s\n", name, value);
}

static void date_line(struct kap_buf *out, const char *name, const char *rfc3339)
{
    kap_buf_addf(out, "%s: ", name);
    date(rfc3339, false, out);
    kap_buf_addc(out, '\n');
}

void kap_format_task(const json_t *task, struct kap_buf *out)
{
    const json_t *vars = json_object_get(task, "vars");
    line(out, "ID", text(task, "id"));
    line(out, "Error", text(task, "error"));
    line(out, "Template", text(task, "template-id"));
    line(out, "Type", text(task, "type"));
    line(out, "Status", text(task, "status"));
    line(out, "Executing", json_is_true(json_object_get(task, "executing")) ? "true" : "false");
    date_line(out, "Created", text(task, "created"));
    date_line(out, "Modified", text(task, "modified"));
    date_line(out, "LastEnabled", text(task, "last-enabled"));
    kap_buf_adds(out, "Databases Retention Policies: ");
    dbrps(json_object_get(task, "dbrps"), out);
    kap_buf_addf(out, "\nTICKscript:\n%s\n", text(task, "script"));
    if (json_object_size(vars) > 0) {
        kap_buf_adds(out, "Vars:\n");
        var_table(vars, false, out);
    }
    kap_buf_addf(out, "DOT:\n%s\n", text(task, "dot"));
}

void kap_format_template(const json_t *tmpl, struct kap_buf *out)
{
    line(out, "ID", text(tmpl, "id"));
    line(out, "Error", text(tmpl, "error"));
    line(out, "Type", text(tmpl, "type"));
    date_line(out, "Created", text(tmpl, "created"));
    date_line(out, "Modified", text(tmpl, "modified"));
    kap_buf_addf(out, "TICKscript:\n%s\nVars:\n", text(tmpl, "script"));
    var_table(json_object_get(tmpl, "vars"), true, out);
    kap_buf_addf(out, "DOT:\n%s\n", text(tmpl, "dot"));
}

static int by_event_time(const void *a, const void *b)
{
    int64_t x = 0, y = 0;
    kap_time_parse_rfc3339(kap_str(text(json_object_get(*(const json_t *const *)a, "state"), "time")), &x,
                           NULL);
    kap_time_parse_rfc3339(kap_str(text(json_object_get(*(const json_t *const *)b, "state"), "time")), &y,
                           NULL);
    return x < y ? -1 : x > y;
}

static void event_table(const json_t *events, struct kap_buf *out)
{
    static const struct kap_column columns[] = { { "Event", 6, false, false },
                                                 { "Level", 9, true, false },
                                                 { "Message", 8, false, false },
                                                 { "Date", 23, true, false } };
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    size_t n;
    const json_t **v = sorted(events, "id", &n);
    qsort(v, n, sizeof *v, by_event_time);
    for (size_t i = 0; i < n; i++) {
        const json_t *state = json_object_get(v[i], "state");
        KAP_AUTO_BUF struct kap_buf when = { 0 };
        date(text(state, "time"), true, &when);
        kap_table_row(t, (const char *const[]){ text(v[i], "id"), text(state, "level"),
                                                text(state, "message"), when.p });
    }
    kap_free(v);
    print_table(t, out);
}

void kap_format_topic(const json_t *topic, const json_t *events, const json_t *handlers, struct kap_buf *out)
{
    size_t i;
    json_t *v;
    line(out, "ID", text(topic, "id"));
    line(out, "Level", text(topic, "level"));
    kap_buf_addf(out, "Collected: %lld\nHandlers: [", (long long)number(topic, "collected"));
    json_array_foreach((json_t *)(uintptr_t)handlers, i, v)
        kap_buf_addf(out, "%s%s", i ? ", " : "", text(v, "id"));
    kap_buf_adds(out, "]\nEvents:\n");
    event_table(events, out);
}

void kap_format_topic_handler(const char *topic, const json_t *handler, struct kap_buf *out)
{
    char *options =
        json_dumps(json_object_get(handler, "options"), JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    line(out, "ID", text(handler, "id"));
    line(out, "Topic", topic);
    line(out, "Kind", text(handler, "kind"));
    line(out, "Match", text(handler, "match"));
    line(out, "Options", options ? options : "null");
    free(options);
}

/* --- statistics --- */

void kap_format_general_stats(const json_t *vars, struct kap_buf *out)
{
    kap_buf_addf(out, "%-30s%-30s\n", "ClusterID:", text(vars, "cluster_id"));
    kap_buf_addf(out, "%-30s%-30s\n", "ServerID:", text(vars, "server_id"));
    kap_buf_addf(out, "%-30s%-30s\n", "Host:", text(vars, "host"));
    kap_buf_addf(out, "%-30s%-30lld\n", "Tasks:", (long long)number(vars, "num_tasks"));
    kap_buf_addf(out, "%-30s%-30lld\n", "Enabled Tasks:", (long long)number(vars, "num_enabled_tasks"));
    kap_buf_addf(out, "%-30s%-30lld\n", "Subscriptions:", (long long)number(vars, "num_subscriptions"));
    kap_buf_addf(out, "%-30s%-30s\n", "Platform:", text(vars, "platform"));
    kap_buf_addf(out, "%-30s%-30s\n", "Version:", text(vars, "version"));
}

static int by_source(const void *a, const void *b)
{
    static const char *const keys[] = { "database", "retention_policy", "measurement" };
    const json_t *x = json_object_get(*(const json_t *const *)a, "tags"),
                 *y = json_object_get(*(const json_t *const *)b, "tags");
    for (size_t i = 0; i < KAP_COUNT(keys); i++) {
        const int order = strcmp(text(x, keys[i]), text(y, keys[i]));
        if (order != 0)
            return order;
    }
    return 0;
}

void kap_format_ingress_stats(const json_t *vars, struct kap_buf *out)
{
    static const struct kap_column columns[] = { { "Database", 9, false, false },
                                                 { "Retention Policy", 17, false, false },
                                                 { "Measurement", 12, false, false },
                                                 { "Points Received", 15, true, true } };
    const json_t *all = json_object_get(vars, "kapacitor");
    const json_t **v = KAP_ARRAY(const json_t *, json_object_size(all) + 1);
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)all, key, value)
    {
        if (strcmp(text(value, "name"), "ingress") == 0)
            v[n++] = value;
    }
    qsort(v, n, sizeof *v, by_source);
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    for (size_t i = 0; i < n; i++) {
        const json_t *tags = json_object_get(v[i], "tags");
        KAP_AUTO_BUF struct kap_buf points = { 0 };
        kap_buf_addf(&points, "%lld", (long long)number(json_object_get(v[i], "values"), "points_received"));
        kap_table_row(t, (const char *const[]){ text(tags, "database"), text(tags, "retention_policy"),
                                                text(tags, "measurement"), points.p });
    }
    kap_free(v);
    print_table(t, out);
}

/* --- the cluster --- */

void kap_format_members(const json_t *cluster, struct kap_buf *out)
{
    static const struct kap_column columns[] = {
        { "Member ID", 40, false, false },   { "Gossip Address", 15, false, false },
        { "RPC Address", 15, false, false }, { "API Address", 15, false, false },
        { "Roles", 7, false, false },        { "Status", 0, false, false },
    };
    line(out, "State", text(cluster, "state"));
    line(out, "Cluster ID", text(cluster, "cluster-id"));
    line(out, "Local Member ID", text(cluster, "local-member-id"));
    struct kap_table *t = kap_table_new(columns, KAP_COUNT(columns));
    size_t i;
    json_t *m;
    json_array_foreach((json_t *)(uintptr_t)json_object_get(cluster, "members"), i, m) kap_table_row(
        t, (const char *const[]){ text(m, "id"), text(m, "gossip-address"), text(m, "rpc-address"),
                                  text(m, "api-address"), text(m, "roles"), text(m, "status") });
    print_table(t, out);
}
