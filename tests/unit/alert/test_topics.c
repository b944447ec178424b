#include "sample.h"

#include "alert/topics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* An outside-reaching kind, and an internal one that counts. */

struct options { struct kap_str url; };

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct options, url, "url", "url", "Where to."),
    { .kind = KAP_PROP_END },
};

static void init(void *options)
{
    ((struct options *)options)->url = KAP_STR("");
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    if (kap_str_is(((const struct options *)options)->url, "bad"))
        return kap_fail(err, KAP_EINVAL, "url is bad");
    return KAP_OK;
}

static enum kap_verdict send(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_error *err)
{
    return KAP_SENT;
}

static int64_t collected_at, ticked_at;

static int64_t collect(const void *options, void *state, const struct kap_handler_env *env, struct kap_event *ev,
                       int64_t now_ns)
{
    collected_at = now_ns;
    return now_ns + 10;
}

static int64_t tick(const void *options, void *state, const struct kap_handler_env *env, int64_t now_ns)
{
    ticked_at = now_ns;
    return 0;
}

static const struct kap_handler_type out_type = {
    .kind = "out", .options_size = sizeof(struct options), .init = init, .props = props, .check = check, .send = send,
};
static const struct kap_handler_type in_type = {
    .kind = "in", .options_size = sizeof(struct options), .init = init, .props = props, .internal = true,
    .collect = collect, .tick = tick,
};
static const struct kap_handler_type *const types[] = { &out_type, &in_type, NULL };

static struct kap_topics *open_topics(bool persist)
{
    const struct kap_topics_options opts = { .types = types, .persist = persist };
    return kap_topics_new(&opts);
}

static struct kap_handler_spec spec_of(const char *json)
{
    json_t *tree;
    struct kap_handler_spec s;
    struct kap_error err;
    assert_int_equal(kap_yaml_json(kap_str(json), &tree, &err), KAP_OK);
    assert_int_equal(kap_handler_spec_read(tree, NULL, &s, &err), KAP_OK);
    json_decref(tree);
    return s;
}

static void put(struct kap_topics *ts, const char *json)
{
    struct kap_handler_spec s = spec_of(json);
    struct kap_error err;
    if (kap_topics_put_handler(ts, &s, &err) != KAP_OK)
        fail_msg("%s", err.msg);
    kap_handler_spec_done(&s);
}

static void refuse(struct kap_topics *ts, const char *json, const char *message)
{
    struct kap_handler_spec s = spec_of(json);
    struct kap_error err;
    assert_int_not_equal(kap_topics_check_handler(ts, &s, true, &err), KAP_OK);
    assert_string_equal(err.msg, message);
    kap_handler_spec_done(&s);
}

/* The IDs that match, joined by spaces; the level before in *previous. */
static const char *apply(struct kap_topics *ts, const char *topic, const char *id, enum kap_level level,
                         enum kap_level *previous)
{
    static char text[256];
    static struct kap_topic_matches m;
    struct kap_event *ev = sample_event(topic, id, level);
    kap_topics_apply(ts, ev, 100, &m);
    text[0] = '\0';
    size_t at = 0;
    for (size_t i = 0; i < m.n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s", i ? " " : "", KAP_STR_ARG(m.ids[i]));
    if (previous)
        *previous = ev->previous;
    kap_event_unref(ev);
    kap_topic_matches_done(&m);
    return text;
}

#define SHOW(call)                                                                                                \
    ({                                                                                                           \
        static struct kap_buf out;                                                                               \
        struct kap_json j;                                                                                       \
        struct kap_error err = { 0 };                                                                            \
        kap_buf_done(&out);                                                                                      \
        kap_json_init(&j, &out, false);                                                                          \
        if ((call) != KAP_OK)                                                                                    \
            kap_buf_adds(&out, err.msg);                                                                         \
        char *shown = kap_buf_take(&out);                                                                        \
        shown;                                                                                                   \
    })

static void states_and_levels(void **state)
{
    struct kap_topics *ts = open_topics(true);
    enum kap_level previous;
    apply(ts, "t", "a", KAP_LEVEL_CRITICAL, &previous);
    assert_int_equal(previous, KAP_LEVEL_OK);
    apply(ts, "t", "b", KAP_LEVEL_WARNING, NULL);
    apply(ts, "t", "a", KAP_LEVEL_OK, &previous);
    assert_int_equal(previous, KAP_LEVEL_CRITICAL);
    KAP_AUTO_FREE char *topic = SHOW(kap_topics_topic_json(ts, KAP_STR("t"), &j, &err));
    assert_string_equal(topic,
                        "{\"link\":{\"rel\":\"self\",\"href\":\"/kapacitor/v1/alerts/topics/t\"},\"id\":\"t\",\"level\":"
                        "\"WARNING\",\"collected\":3,\"events-link\":{\"rel\":\"events\",\"href\":\"/kapacitor/v1/alerts/"
                        "topics/t/events\"},\"handlers-link\":{\"rel\":\"handlers\",\"href\":\"/kapacitor/v1/alerts/topics/"
                        "t/handlers\"}}");
    KAP_AUTO_FREE char *events = SHOW(kap_topics_events_json(ts, KAP_STR("t"), KAP_STR("warn"), &j, &err));
    assert_string_equal(events,
                        "{\"link\":{\"rel\":\"self\",\"href\":\"/kapacitor/v1/alerts/topics/t/events\"},\"topic\":\"t\","
                        "\"events\":[{\"link\":{\"rel\":\"self\",\"href\":\"/kapacitor/v1/alerts/topics/t/events/b\"},"
                        "\"id\":\"b\",\"state\":{\"message\":\"b is WARNING\",\"details\":\"\\u003cb\\u003ex\\u003c/b\\u003e\","
                        "\"time\":\"1970-01-01T00:00:02Z\",\"duration\":\"1s\",\"level\":\"WARNING\"}}]}");
    struct kap_event_state st;
    assert_true(kap_topics_state(ts, KAP_STR("t"), KAP_STR("a"), &st, NULL));
    assert_int_equal(st.level, KAP_LEVEL_OK);
    assert_false(kap_topics_state(ts, KAP_STR("t"), KAP_STR("c"), &st, NULL));
    kap_topics_free(ts);
}

/* Messages are those of the golden case topics/handler_bad. */
static void what_the_api_refuses(void **state)
{
    struct kap_topics *ts = open_topics(true);
    put(ts, "{topic: t, id: h, kind: out}");
    KAP_AUTO_FREE char *a = SHOW(kap_topics_topic_json(ts, KAP_STR("x"), &j, &err));
    assert_string_equal(a, "unknown topic: \"x\"");
    KAP_AUTO_FREE char *b = SHOW(kap_topics_events_json(ts, KAP_STR("x"), KAP_STR(""), &j, &err));
    assert_string_equal(b, "failed to get topic events: unknown topic \"x\"");
    KAP_AUTO_FREE char *c = SHOW(kap_topics_event_json(ts, KAP_STR("t"), KAP_STR("none"), &j, &err));
    assert_string_equal(c, "unknown event \"none\" in topic \"t\"");
    KAP_AUTO_FREE char *d = SHOW(kap_topics_list_json(ts, KAP_STR(""), KAP_STR("loud"), &j, &err));
    assert_string_equal(d, "unknown alert level 'LOUD'");
    KAP_AUTO_FREE char *e = SHOW(kap_topics_handlers_json(ts, KAP_STR("t"), KAP_STR("["), &j, &err));
    assert_string_equal(e, "invalid pattern: syntax error in pattern");
    KAP_AUTO_FREE char *f = SHOW(kap_topics_handler_json(ts, KAP_STR("t"), KAP_STR("none"), &j, &err));
    assert_string_equal(f, "unknown handler: \"none\"");
    refuse(ts, "{topic: t, id: h1, kind: nosuch}", "unsupported action kind \"nosuch\"");
    refuse(ts, "{topic: t, id: h1, kind: out, options: {url: bad}}", "url is bad");
    refuse(ts, "{topic: t, id: h1, kind: out, options: {nope: 1}}",
           "failed to decode options into *out.HandlerConfig: 1 error(s) decoding:\n\n* '' has invalid keys: nope");
    refuse(ts, "{topic: t, id: h1, kind: out, options: {url: 5}}",
           "failed to decode options into *out.HandlerConfig: 1 error(s) decoding:\n\n* 'url' expected type 'string', got "
           "unconvertible type 'float64'");
    refuse(ts, "{topic: t, id: h, kind: out}", "cannot register handler, handler with ID \"h\" already exists");
    refuse(ts, "{topic: t, id: h1, kind: out, match: 'level( == 1'}",
           "invalid match expression: parser: unexpected unknown state, last char: '=' line 1 char 8 in \"level( == 1\". "
           "expected: \"number\",\"string\",\"duration\",\"identifier\",\"TRUE\",\"FALSE\",\"==\",\"(\",\"-\",\"!\"");
    kap_topics_free(ts);
}

/* The expressions are those of the golden case topics/match_expressions. */
static void matches(void **state)
{
    struct kap_topics *ts = open_topics(true);
    put(ts, "{topic: t, id: absent, kind: out, match: '\"nope\" == ''x'''}");
    put(ts, "{topic: t, id: atleast, kind: out, match: 'level() >= WARNING'}");
    put(ts, "{topic: t, id: changed, kind: out, match: 'changed() == TRUE'}");
    put(ts, "{topic: t, id: host, kind: out, match: '\"host\" == ''a'' AND changed()'}");
    put(ts, "{topic: t, id: long, kind: out, match: 'alertDuration() > 500ms'}");
    put(ts, "{topic: t, id: name, kind: out, match: 'name() == ''cpu'' AND taskName() =~ /^t$/ AND level() != INFO'}");
    assert_string_equal(apply(ts, "t", "x", KAP_LEVEL_INFO, NULL), "changed host long");
    assert_string_equal(apply(ts, "t", "x", KAP_LEVEL_INFO, NULL), "long");
    assert_string_equal(apply(ts, "t", "x", KAP_LEVEL_CRITICAL, NULL), "atleast changed host long name");
    assert_true(kap_topics_delete_handler(ts, KAP_STR("t"), KAP_STR("long")));
    assert_false(kap_topics_delete_handler(ts, KAP_STR("t"), KAP_STR("long")));
    assert_string_equal(apply(ts, "t", "x", KAP_LEVEL_OK, NULL), "changed host name");
    refuse(ts, "{topic: t, id: u, kind: out, match: 'level() == LOUD'}",
           "invalid match expression: unknown identifier \"LOUD\"");
    kap_topics_free(ts);
}

static void internal_handlers_run_here_and_tick(void **state)
{
    struct kap_topics *ts = open_topics(true);
    put(ts, "{topic: t, id: in, kind: in}");
    put(ts, "{topic: t, id: out, kind: out}");
    assert_int_equal(kap_topics_next(ts), INT64_MAX);
    assert_string_equal(apply(ts, "t", "x", KAP_LEVEL_INFO, NULL), "out");
    assert_int_equal(collected_at, 100);
    assert_int_equal(kap_topics_next(ts), 110);
    assert_int_equal(kap_topics_tick(ts, 109), 110);
    assert_int_equal(kap_topics_tick(ts, 110), INT64_MAX);
    assert_int_equal(ticked_at, 110);
    struct kap_event *ev = sample_event("t", "y", KAP_LEVEL_INFO);
    ev->no_external = true;
    struct kap_topic_matches m = { 0 };
    kap_topics_apply(ts, ev, 200, &m);
    assert_int_equal(m.n, 0);
    assert_int_equal(collected_at, 200);
    kap_topic_matches_done(&m);
    kap_event_unref(ev);
    kap_topics_free(ts);
}

static void delete_keeps_handlers(void **state)
{
    struct kap_topics *ts = open_topics(true);
    put(ts, "{topic: t, id: h, kind: out}");
    apply(ts, "t", "x", KAP_LEVEL_INFO, NULL);
    kap_topics_delete(ts, KAP_STR("t"));
    KAP_AUTO_FREE char *a = SHOW(kap_topics_topic_json(ts, KAP_STR("t"), &j, &err));
    assert_string_equal(a, "unknown topic: \"t\"");
    assert_string_equal(apply(ts, "t", "x", KAP_LEVEL_INFO, NULL), "h");
    kap_topics_delete(ts, KAP_STR("nosuch"));
    kap_topics_free(ts);
}

static void anonymous_topics_come_back(void **state)
{
    const struct kap_str name = KAP_STR("main:task:alert2");
    for (int persist = 0; persist < 2; persist++) {
        struct kap_topics *ts = open_topics(persist);
        struct kap_graph *g = kap_graph_new(KAP_TASK_STREAM);
        struct options o = { KAP_STR("x") };
        struct kap_graph_handler handlers[2] = { { &out_type, &o }, { &out_type, &o } };
        struct kap_graph_node node = { .graph = g, .handlers = handlers, .nhandlers = 2 };
        struct kap_error e;
        assert_int_equal(kap_topics_open(ts, name, &node, &e), KAP_OK);
        assert_string_equal(apply(ts, name.p, "x", KAP_LEVEL_CRITICAL, NULL), "out0 out1");
        KAP_AUTO_FREE char *listed = SHOW(kap_topics_handlers_json(ts, name, KAP_STR(""), &j, &err));
        assert_non_null(strstr(listed, "\"handlers\":[]"));
        struct kap_handler *h = kap_topics_handler(ts, name, KAP_STR("out1"));
        assert_non_null(h);
        kap_topics_close(ts, name);
        kap_handler_unref(h);
        KAP_AUTO_FREE char *closed = SHOW(kap_topics_topic_json(ts, name, &j, &err));
        assert_string_equal(closed, "unknown topic: \"main:task:alert2\"");
        struct kap_event_state st;
        assert_int_equal(kap_topics_state(ts, name, KAP_STR("x"), &st, NULL), persist);
        assert_int_equal(kap_topics_open(ts, name, &node, &e), KAP_OK);
        enum kap_level previous;
        apply(ts, name.p, "x", KAP_LEVEL_OK, &previous);
        assert_int_equal(previous, persist ? KAP_LEVEL_CRITICAL : KAP_LEVEL_OK);
        o.url = KAP_STR("bad");
        assert_int_equal(kap_topics_open(ts, name, &node, &e), KAP_EINVAL);
        kap_topics_free(ts);
        kap_graph_unref(g);
    }
}

struct section { bool enabled, global, changes; };
static struct section section;
static const struct kap_prop section_props[] = {
    KAP_PROP_AT(BOOL, struct section, enabled, NULL, "enabled", ""),
    KAP_PROP_AT(BOOL, struct section, global, NULL, "global", ""),
    KAP_PROP_AT(BOOL, struct section, changes, NULL, "state-changes-only", ""),
    { .kind = KAP_PROP_END },
};
static const struct kap_handler_type global_type = {
    .kind = "glob", .method = "glob", .options_size = sizeof(struct options), .props = props,
    .section = "glob", .config_size = sizeof section, .config_props = section_props,
};

static void section_env(void *ctx, const struct kap_handler_type *type, struct kap_handler_env *ret)
{
    ret->config = &section;
    ret->nconfigs = 1;
}

static void handlers_of_the_configuration(void **state)
{
    static const struct kap_handler_type *const with_global[] = { &global_type, NULL };
    const struct kap_topics_options opts = { .types = with_global, .env = section_env };
    struct kap_topics *ts = kap_topics_new(&opts);
    struct kap_graph *g = kap_graph_new(KAP_TASK_STREAM);
    struct options o = { KAP_STR("x") };
    struct kap_graph_handler own = { &global_type, &o };
    struct kap_graph_node node = { .graph = g };
    struct kap_error e;
    bool changes_only;
    section = (struct section){ .enabled = false, .global = true, .changes = true };
    assert_int_equal(kap_topics_globals(ts, &node, &changes_only), 0);
    assert_false(changes_only);
    section.enabled = true;
    assert_int_equal(kap_topics_globals(ts, &node, &changes_only), 1);
    assert_true(changes_only);
    assert_int_equal(kap_topics_open(ts, KAP_STR("main:t:alert2"), &node, &e), KAP_OK);
    assert_string_equal(apply(ts, "main:t:alert2", "x", KAP_LEVEL_CRITICAL, NULL), "glob0");
    node.handlers = &own; /* named in the script: once is enough, its changes count all the same */
    node.nhandlers = 1;
    assert_int_equal(kap_topics_globals(ts, &node, &changes_only), 0);
    assert_true(changes_only);
    assert_int_equal(kap_topics_open(ts, KAP_STR("main:t:alert2"), &node, &e), KAP_OK);
    assert_string_equal(apply(ts, "main:t:alert2", "x", KAP_LEVEL_OK, NULL), "glob0");
    kap_topics_free(ts);
    kap_graph_unref(g);
}

static void restored_states(void **state)
{
    struct kap_topics *ts = open_topics(true);
    const struct kap_event_state st = { .level = KAP_LEVEL_WARNING, .time_ns = 5, .message = KAP_STR("m"),
                                        .details = KAP_STR("d") };
    kap_topics_load(ts, KAP_STR("t"), KAP_STR("x"), &st);
    kap_topics_load(ts, KAP_STR("main:a:alert2"), KAP_STR("x"), &st);
    KAP_AUTO_FREE char *list = SHOW(kap_topics_list_json(ts, KAP_STR(""), KAP_STR(""), &j, &err));
    assert_non_null(strstr(list, "\"id\":\"t\",\"level\":\"WARNING\",\"collected\":0"));
    assert_null(strstr(list, "main:"));
    enum kap_level previous;
    apply(ts, "t", "x", KAP_LEVEL_OK, &previous);
    assert_int_equal(previous, KAP_LEVEL_WARNING);
    kap_topics_free(ts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_and_levels),
        cmocka_unit_test(what_the_api_refuses),
        cmocka_unit_test(matches),
        cmocka_unit_test(internal_handlers_run_here_and_tick),
        cmocka_unit_test(delete_keeps_handlers),
        cmocka_unit_test(anonymous_topics_come_back),
        cmocka_unit_test(handlers_of_the_configuration),
        cmocka_unit_test(restored_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
