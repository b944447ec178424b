/* What the handlers of services send. The bodies are those of the golden cases in tests/golden/cases/services. */
#include "../alert/sample.h"

#include "alert/http_send.h"
#include "alert/spec.h"
#include "handlers/handlers.h"
#include "pipeline/bind.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

/* A handler with options and configuration from the tables, as a file and a section would set them. */
struct made {
    struct kap_arena *arena;
    void *options, *config;
    struct kap_handler_env env;
};

static void set_config(const struct kap_handler_type *t, struct made *m, const char *key, const char *value)
{
    for (const struct kap_prop *p = t->config_props; p->kind != KAP_PROP_END; p++) {
        if (!p->option || strcmp(p->option, key) != 0)
            continue;
        void *at = (char *)m->config + p->offset;
        if (p->kind == KAP_PROP_BOOL)
            *(bool *)at = strcmp(value, "true") == 0;
        else if (p->kind == KAP_PROP_INT)
            *(int64_t *)at = atoll(value); /* NOLINT(cert-err34-c): constants of this file */
        else if (p->kind == KAP_PROP_STRINGS) {
            struct kap_strings *s = at;
            s->v = KAP_ARENA_ARRAY(m->arena, struct kap_str, 1);
            s->v[0] = kap_str(value);
            s->n = 1;
        } else
            *(struct kap_str *)at = kap_str(value);
        return;
    }
    fail_msg("%s has no key %s", t->kind, key);
}

/* config: "key", "value", .., NULL */
static struct made make(const struct kap_handler_type *t, const char *options, const char *const *config)
{
    struct made m = { .arena = kap_arena_new() };
    struct kap_error err;
    m.options = kap_arena_alloc(m.arena, t->options_size);
    if (t->init)
        t->init(m.options);
    json_t *tree = json_loads(options, 0, NULL);
    assert_non_null(tree);
    if (kap_handler_options_read(t, tree, m.options, m.arena, &err) != KAP_OK)
        fail_msg("%s: %s", t->kind, err.msg);
    json_decref(tree);
    if (t->config_size) {
        m.config = kap_arena_alloc(m.arena, t->config_size);
        t->config_init(m.config);
        for (; config && *config; config += 2)
            set_config(t, &m, config[0], config[1]);
        m.env.config = m.config;
        m.env.nconfigs = 1;
    }
    m.env.hostname = m.env.cluster_id = m.env.server_id = KAP_STR("");
    m.env.api_url = KAP_STR("http://SERVER/kapacitor/v1");
    if (t->check && t->check(m.options, &m.env, &err) != KAP_OK)
        fail_msg("%s: %s", t->kind, err.msg);
    return m;
}

static struct kap_event *event(const char *id, enum kap_level level, double v)
{
    struct kap_event *ev = sample_event("t", id, level);
    ev->message = kap_str(kap_arena_printf(ev->arena, "%s %s", id, kap_level_name(level)));
    ev->details = KAP_STR("");
    ev->task = KAP_STR("task-t");
    ev->name = KAP_STR("m");
    ev->time_ns = KAP_S;
    const struct kap_tag tag = { kap_sym_c("h"), KAP_STR("a") };
    kap_tags_unref(ev->tags);
    ev->tags = kap_tags_new(&tag, 1);
    ev->nfields = 1;
    ev->fields[0].v = kap_value_f(v);
    struct kap_row *row = ev->rows[0];
    row->name = kap_sym_c("m");
    kap_tags_unref(row->tags);
    row->tags = kap_tags_ref(ev->tags);
    row->values[0] = kap_value_time(KAP_S);
    row->values[1] = kap_value_f(v);
    return ev;
}

static void same_json(const char *got, const char *want)
{
    json_t *a = json_loads(got, JSON_DECODE_ANY, NULL), *b = json_loads(want, JSON_DECODE_ANY, NULL);
    assert_non_null(b);
    if (!a || !json_equal(a, b))
        fail_msg("sent %s, not %s", got, want);
    json_decref(a);
    json_decref(b);
}

/* Headers are joined by " | ". */
static void sends(const struct kap_handler_type *t, const char *options, const char *const *config,
                  enum kap_level level, const char *url, const char *header, const char *body)
{
    struct made m = make(t, options, config);
    struct kap_event *ev = event("ID", level, 2);
    struct kap_http_out out = { 0 };
    struct kap_error err;
    if (t->build(m.options, &m.env, ev, m.arena, &out, &err) != KAP_OK)
        fail_msg("%s: %s", t->kind, err.msg);
    assert_string_equal(kap_arena_str(m.arena, out.url).p, url);
    const char *text = kap_arena_str(m.arena, out.body).p;
    if (body[0] == '{')
        same_json(text, body);
    else
        assert_string_equal(text, body);
    bool found = header == NULL;
    for (size_t i = 0; header && out.headers[i]; i++)
        found |= strcmp(out.headers[i], header) == 0;
    assert_true(found);
    kap_event_unref(ev);
    kap_arena_free(m.arena);
}

#define CONFIG(...) ((const char *const[]){ "enabled", "true", __VA_ARGS__, NULL })
#define SERIES "{\"series\":[{\"name\":\"m\",\"tags\":{\"h\":\"a\"},\"columns\":[\"time\",\"v\"],\"values\":[[\"1970-01-01T00:00:01Z\",2]]}]}"
#define SERIES_TEXT                                                                                                \
    "\"{\\\"series\\\":[{\\\"name\\\":\\\"m\\\",\\\"tags\\\":{\\\"h\\\":\\\"a\\\"},\\\"columns\\\":[\\\"time\\\",\\\"v\\\"],"      \
    "\\\"values\\\":[[\\\"1970-01-01T00:00:01Z\\\",2]]}]}\""

static void slack(void **state)
{
    sends(&kap_handler_slack, "{}", CONFIG("url", "http://u/hook", "channel", "#ops", "username", "kap"), KAP_LEVEL_CRITICAL,
          "http://u/hook", "Content-Type: application/json",
          "{\"as_user\":false,\"attachments\":[{\"color\":\"danger\",\"fallback\":\"ID CRITICAL\",\"mrkdwn_in\":[\"text\"],"
          "\"text\":\"ID CRITICAL\"}],\"channel\":\"#ops\",\"icon_emoji\":\"\",\"text\":\"\",\"username\":\"kap\"}");
    sends(&kap_handler_slack, "{\"channel\":\"@me\",\"username\":\"bot\",\"icon-emoji\":\":boom:\"}",
          CONFIG("url", "http://u", "token", "tok"), KAP_LEVEL_OK, "http://u", "Authorization: Bearer tok",
          "{\"as_user\":false,\"attachments\":[{\"color\":\"good\",\"fallback\":\"ID OK\",\"mrkdwn_in\":[\"text\"],"
          "\"text\":\"ID OK\"}],\"channel\":\"@me\",\"icon_emoji\":\":boom:\",\"text\":\"\",\"username\":\"bot\"}");
}

static void chat_services(void **state)
{
    sends(&kap_handler_telegram, "{\"chat-id\":\"42\",\"disable-notification\":true}",
          CONFIG("url", "http://u/bot", "token", "tgtoken", "parse-mode", "Markdown"), KAP_LEVEL_CRITICAL,
          "http://u/bottgtoken/sendMessage", NULL,
          "{\"chat_id\":\"42\",\"disable_notification\":true,\"parse_mode\":\"Markdown\",\"text\":\"ID CRITICAL\"}");
    sends(&kap_handler_discord, "{}", CONFIG("url", "http://u/hook", "username", "kap"), KAP_LEVEL_CRITICAL, "http://u/hook", NULL,
          "{\"avatar_url\":\"\",\"embeds\":[{\"color\":16342867,\"description\":\"ID CRITICAL\",\"timestamp\":\"\",\"title\":\"\"}],"
          "\"username\":\"kap\"}");
    sends(&kap_handler_teams, "{}", CONFIG("channel-url", "http://u/hook"), KAP_LEVEL_OK, "http://u/hook", NULL,
          "{\"@context\":\"http://schema.org/extensions\",\"@type\":\"MessageCard\",\"summary\":\"OK: [ID] - ID OK...\","
          "\"text\":\"ID OK\",\"title\":\"OK: [ID]\"}");
    sends(&kap_handler_pushover, "{\"device\":\"d1\",\"title\":\"T\",\"sound\":\"siren\"}",
          CONFIG("token", "potoken", "user-key", "pouser", "url", "http://u/messages"), KAP_LEVEL_CRITICAL, "http://u/messages",
          "Content-Type: application/x-www-form-urlencoded",
          "device=d1&message=ID+CRITICAL&priority=1&sound=siren&title=T&token=potoken&user=pouser");
}

static void pagers(void **state)
{
    sends(&kap_handler_pagerduty2, "{\"routing-key\":\"other\",\"links\":[{\"href\":\"http://x/{{ .ID }}\",\"text\":\"text {{ .Level }}\"}]}",
          CONFIG("url", "http://u/v2"), KAP_LEVEL_WARNING, "http://u/v2", NULL,
          "{\"client\":\"kapacitor\",\"client_url\":\"http://SERVER/kapacitor/v1\",\"dedup_key\":\"ID\",\"event_action\":\"trigger\","
          "\"images\":null,\"links\":[{\"href\":\"http://x/ID\",\"text\":\"text WARNING\"}],\"payload\":{\"class\":\"task-t\","
          "\"component\":\"\",\"custom_details\":{\"result\":" SERIES "},\"group\":\"\",\"severity\":\"warning\",\"source\":"
          "\"unknown\",\"summary\":\"ID WARNING\",\"timestamp\":\"1970-01-01T00:00:01.000000000Z\"},\"routing_key\":\"other\"}");
    sends(&kap_handler_pagerduty2, "{}", CONFIG("url", "http://u/v2", "routing-key", "k"), KAP_LEVEL_OK, "http://u/v2", NULL,
          "{\"dedup_key\":\"ID\",\"event_action\":\"resolve\",\"routing_key\":\"k\"}");
    sends(&kap_handler_pagerduty, "{}", CONFIG("url", "http://u/v1", "service-key", "k"), KAP_LEVEL_CRITICAL, "http://u/v1", NULL,
          "{\"client\":\"kapacitor\",\"client_url\":\"http://SERVER/kapacitor/v1\",\"description\":\"ID CRITICAL\",\"details\":\"\","
          "\"event_type\":\"trigger\",\"incident_key\":\"ID\",\"service_key\":\"k\"}");
    sends(&kap_handler_opsgenie2, "{\"teams-list\":[\"t1\"],\"recipients-list\":[\"r1\",\"r2\"]}",
          CONFIG("url", "http://u/alerts", "api-key", "og2key"), KAP_LEVEL_WARNING, "http://u/alerts",
          "Authorization: GenieKey og2key",
          "{\"alias\":\"SUQ=\",\"description\":" SERIES_TEXT ",\"details\":{\"Kapacitor Task Name\":\"m\",\"Level\":\"WARNING\","
          "\"Monitoring Tool\":\"Kapacitor\",\"h\":\"a\"},\"entity\":\"ID\",\"message\":\"ID WARNING\",\"note\":\"\",\"priority\":\"P3\","
          "\"responders\":[{\"name\":\"t1\",\"type\":\"team\"},{\"type\":\"user\",\"username\":\"r1\"},{\"type\":\"user\",\"username\":"
          "\"r2\"}]}");
    sends(&kap_handler_opsgenie2, "{}", CONFIG("url", "http://u/alerts"), KAP_LEVEL_OK,
          "http://u/alerts/SUQ=/notes?identifierType=alias", NULL, "{\"note\":\"ID OK\"}");
    sends(&kap_handler_opsgenie, "{\"teams-list\":[\"t1\"]}", CONFIG("url", "http://u/alert", "api-key", "k"), KAP_LEVEL_CRITICAL,
          "http://u/alert/", NULL,
          "{\"alias\":\"ID\",\"apiKey\":\"k\",\"description\":" SERIES_TEXT ",\"details\":{\"Level\":\"CRITICAL\","
          "\"Monitoring Tool\":\"Kapacitor\"},\"entity\":\"ID\",\"message\":\"ID CRITICAL\",\"monitoring_tool\":\"kapacitor\","
          "\"note\":\"\",\"teams\":[\"t1\"]}");
    sends(&kap_handler_opsgenie, "{}", CONFIG("recovery_url", "http://u/note", "api-key", "k"), KAP_LEVEL_OK, "http://u/note/", NULL,
          "{\"alias\":\"ID\",\"apiKey\":\"k\",\"description\":" SERIES_TEXT ",\"details\":{\"Level\":\"RECOVERY\","
          "\"Monitoring Tool\":\"Kapacitor\"},\"entity\":\"ID\",\"message\":\"ID OK\",\"monitoring_tool\":\"kapacitor\","
          "\"note\":\"ID OK\"}");
    sends(&kap_handler_victorops, "{\"routing-key\":\"rk\"}", CONFIG("url", "http://u", "api-key", "vokey"), KAP_LEVEL_OK,
          "http://u/vokey/rk", NULL,
          "{\"data\":" SERIES_TEXT ",\"entity_id\":\"ID\",\"message_type\":\"RECOVERY\",\"monitoring_tool\":\"kapacitor\","
          "\"state_message\":\"ID OK\",\"timestamp\":1}");
}

static void operations(void **state)
{
    sends(&kap_handler_alerta,
          "{\"resource\":\"res {{ index .Tags \\\"h\\\" }}\",\"event\":\"ev {{ .ID }}\",\"group\":\"grp\",\"value\":\"{{ index .Fields "
          "\\\"v\\\" }}\",\"service\":[\"s1\",\"s2\"],\"timeout\":300000000000}",
          CONFIG("url", "http://u", "token", "altoken", "environment", "Production", "origin", "golden"), KAP_LEVEL_WARNING,
          "http://u/alert", "Authorization: Bearer altoken",
          "{\"environment\":\"Production\",\"event\":\"ev ID\",\"group\":\"grp\",\"origin\":\"golden\",\"rawData\":" SERIES ","
          "\"resource\":\"res a\",\"service\":[\"s1\",\"s2\"],\"severity\":\"warning\",\"tags\":[\"h=a\"],\"text\":\"ID WARNING\","
          "\"timeout\":300,\"value\":\"2\"}");
    sends(&kap_handler_servicenow,
          "{\"node\":\"{{ index .Tags \\\"h\\\" }}\",\"type\":\"typ\",\"resource\":\"rs\",\"metric_name\":\"mn\",\"message_key\":\"mk {{ .ID }}\"}",
          CONFIG("url", "http://u/em", "source", "Kap"), KAP_LEVEL_WARNING, "http://u/em", NULL,
          "{\"description\":\"ID WARNING\",\"message_key\":\"mk ID\",\"metric_name\":\"mn\",\"node\":\"a\",\"resource\":\"rs\","
          "\"severity\":\"4\",\"source\":\"Kap\",\"type\":\"typ\"}");
    sends(&kap_handler_bigpanda, "{\"host\":\"h-{{ .ID }}\",\"attributes\":{\"n\":5}}",
          CONFIG("url", "http://u", "token", "t", "app-key", "k"), KAP_LEVEL_CRITICAL, "http://u", "Authorization: Bearer t",
          "{\"description\":\"ID CRITICAL\",\"check\":\"ID\",\"task\":\"task-t:m\",\"timestamp\":1,\"status\":\"critical\",\"app_key\":"
          "\"k\",\"h\":\"a\",\"v\":\"2\",\"host\":\"h-ID\",\"n\":\"5\"}");
    sends(&kap_handler_zenoss, "{\"device\":\"{{ index .Tags \\\"h\\\" }}\",\"customField\":{\"c\":1}}", CONFIG("url", "http://u"),
          KAP_LEVEL_OK, "http://u", NULL,
          "{\"action\":\"EventsRouter\",\"method\":\"add_event\",\"data\":[{\"summary\":\"ID OK\",\"device\":\"a\",\"component\":\"\","
          "\"severity\":\"Clear\",\"evclasskey\":\"\",\"evclass\":\"\",\"collector\":\"Kapacitor\",\"c\":1}],\"type\":\"rpc\",\"tid\":1}");
}

/* A service that is not enabled says so, and is not tried again. */
static void not_enabled(void **state)
{
    for (const struct kap_handler_type *const *t = kap_handler_types; *t; t++) {
        if (!(*t)->section || strcmp((*t)->section, "httppost") == 0)
            continue;
        const bool mqtt = strcmp((*t)->kind, "mqtt") == 0, snmp = strcmp((*t)->kind, "snmptrap") == 0;
        struct made m = make(*t, mqtt || strcmp((*t)->kind, "kafka") == 0 ? "{\"topic\":\"t\"}" : snmp ? "{\"trap-oid\":\"1.3.6\"}" : "{}",
                             NULL);
        struct kap_event *ev = event("ID", KAP_LEVEL_CRITICAL, 2);
        struct kap_error err = { 0 };
        assert_int_equal(kap_handler_attempt(*t, m.options, &m.env, ev, &err), KAP_GIVE_UP);
        assert_string_equal(err.msg, "service is not enabled");
        kap_event_unref(ev);
        kap_arena_free(m.arena);
    }
}

/* Descriptors are complete: every option has a name somewhere, a sentence, and no two are called the same. */
static void tables(void **state)
{
    for (const struct kap_handler_type *const *t = kap_handler_types; *t; t++) {
        assert_non_null((*t)->doc);
        assert_true((*t)->internal ? (*t)->collect != NULL : ((*t)->build != NULL) != ((*t)->send != NULL));
        for (const struct kap_prop *p = (*t)->props; p->kind != KAP_PROP_END; p++) {
            assert_true(p->name || p->option);
            assert_non_null(p->doc);
            for (const struct kap_prop *q = p + 1; q->kind != KAP_PROP_END; q++)
                assert_false(p->name && q->name && strcmp(p->name, q->name) == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slack),      cmocka_unit_test(chat_services), cmocka_unit_test(pagers),
        cmocka_unit_test(operations), cmocka_unit_test(not_enabled),   cmocka_unit_test(tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
