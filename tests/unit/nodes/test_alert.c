/* The alert node over the rig. Expectations are those of the golden cases of the same name in tests/golden/cases/alert,
 * where there is one. */
#include "alert/inhibit.h"
#include "alert/topics.h"
#include "base/duration.h"
#include "base/mem.h"
#include "engine/rig.h"
#include "handlers/handlers.h"
#include "nodes/nodes.h"
#include "tick/tick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct kap_registry registry = { .nodes = kap_node_types, .handlers = kap_handler_types };

struct world {
    struct kap_topics *topics;
    struct kap_services services;
    struct kap_buf events;       /* "TOPIC-LESS: level previous time duration" by line */
    struct kap_event *last;
};

static void collect(void *ctx, struct kap_event *ev)
{
    struct world *w = ctx;
    struct kap_topic_matches m = { 0 };
    kap_topics_apply(w->topics, ev, 0, &m);
    kap_topic_matches_done(&m);
    kap_buf_addf(&w->events, "%s %s %lld %lld\n", kap_level_name(ev->level), kap_level_name(ev->previous),
                 (long long)(ev->time_ns / KAP_S), (long long)(ev->duration_ns / KAP_S));
    kap_event_unref(w->last);
    w->last = kap_event_ref(ev);
}

static bool restore(void *ctx, struct kap_str topic, struct kap_str id, struct kap_event_state *ret)
{
    return kap_topics_state(((struct world *)ctx)->topics, topic, id, ret, NULL);
}

static enum kap_status open_topic(void *ctx, struct kap_str topic, const struct kap_graph_node *node, struct kap_error *err)
{
    return kap_topics_open(((struct world *)ctx)->topics, topic, node, err);
}

static void close_topic(void *ctx, struct kap_str topic, const struct kap_graph_node *node)
{
    kap_topics_close(((struct world *)ctx)->topics, topic);
}

static void world_open(struct world *w)
{
    const struct kap_topics_options opts = { .types = kap_handler_types, .persist = true };
    *w = (struct world){ .topics = kap_topics_new(&opts) };
    w->services = (struct kap_services){
        .ctx = w, .hostname = KAP_STR("localhost"), .server_id = KAP_STR("s"), .cluster_id = KAP_STR("c"),
        .inhibitors = kap_inhibitors_new(), .alert_restore = restore, .alert_collect = collect,
        .alert_open = open_topic, .alert_close = close_topic,
    };
}

static void world_close(struct world *w)
{
    kap_event_unref(w->last);
    kap_inhibitors_free(w->services.inhibitors);
    kap_topics_free(w->topics);
    kap_buf_done(&w->events);
}

static enum kap_status start_task(struct world *w, const char *script, struct kap_rig **ret, struct kap_error *err)
{
    struct kap_tick_script *s;
    struct kap_graph *g;
    KAP_TRY(kap_tick_parse(kap_str(script), &s, err));
    const struct kap_tick_options opt = { .registry = &registry };
    enum kap_status status = kap_tick_eval(s, &opt, &g, NULL, NULL, err);
    kap_tick_script_unref(s);
    if (status != KAP_OK)
        return status;
    const struct kap_rig_options rig = { .task = KAP_STR("t"), .services = &w->services, .now_ns = KAP_HOUR };
    status = kap_rig_new(g, &rig, ret, err);
    kap_graph_unref(g);
    return status;
}

static struct kap_rig *task(struct world *w, const char *script)
{
    struct kap_rig *rig;
    struct kap_error err;
    if (start_task(w, script, &rig, &err) != KAP_OK)
        fail_msg("%s: %s", script, err.msg);
    return rig;
}

/* "KEY v,v,v.. FIRST": a point per value, a second apart, from the second FIRST on; _ is a hole. */
static void feed(struct kap_rig *rig, const char *key, int first, const char *values)
{
    struct kap_error err;
    KAP_AUTO_FREE char *copy = kap_strdup(values);
    char *save = NULL;
    for (char *v = strtok_r(copy, " ", &save); v; v = strtok_r(NULL, " ", &save), first++) {
        if (*v == '_')
            continue;
        KAP_AUTO_FREE char *line = kap_asprintf("%s %s%s %d000000000\n", key, strchr(v, '=') ? "" : "v=", v, first);
        if (kap_rig_write(rig, "db", "rp", line, &err) != KAP_OK)
            fail_msg("%s", err.msg);
    }
}

static void expect(struct world *w, const char *events)
{
    assert_string_equal(w->events.p ? w->events.p : "", events);
    kap_buf_reset(&w->events);
    if (w->events.p)
        w->events.p[0] = '\0';
}

static void one(const char *script, const char *values, const char *events)
{
    struct world w;
    world_open(&w);
    struct kap_rig *rig = task(&w, script);
    feed(rig, "m,h=a", 1, values);
    expect(&w, events);
    kap_rig_free(rig);
    world_close(&w);
}

static void levels(void **state)
{
    one("stream|from()|alert().topic('x').info(lambda: \"v\" > 10.0).warn(lambda: \"v\" > 20.0).crit(lambda: \"v\" > 30.0)",
        "5 15 25 _ 35 25 5 6",
        "INFO OK 2 0\nWARNING INFO 3 1\nCRITICAL WARNING 5 3\nWARNING CRITICAL 6 4\nOK WARNING 7 5\n");
}

static void levels_gaps(void **state)
{
    struct world w;
    world_open(&w);
    struct kap_rig *rig = task(&w, "stream|from()|alert().id('x').topic('x').warn(lambda: \"a\" > 1.0).crit(lambda: \"b\" > 1.0)");
    feed(rig, "m", 1, "a=0,b=0 a=2 b=2 a=0 a=2,b=2 c=1 a=0,b=0");
    expect(&w, "WARNING OK 2 0\nCRITICAL WARNING 3 1\nOK CRITICAL 4 2\nCRITICAL OK 5 0\nOK CRITICAL 6 1\n");
    struct kap_task_stats st;
    kap_rig_stats(rig, &st);
    int64_t errors = -1;
    for (size_t i = 0; i < st.n; i++)
        if (strcmp(st.nodes[i].node->name, "alert2") == 0)
            errors = st.nodes[i].errors;
    kap_task_stats_done(&st);
    assert_int_equal(errors, 6);
    kap_rig_free(rig);
    world_close(&w);
}

static void resets(void **state)
{
    one("stream|from()|alert().id('x').topic('x').info(lambda: \"v\" > 60.0).infoReset(lambda: \"v\" < 50.0)"
        ".warn(lambda: \"v\" > 70.0).warnReset(lambda: \"v\" < 60.0).crit(lambda: \"v\" > 80.0).critReset(lambda: \"v\" < 70.0)",
        "45 61 73 64 85 62 56 47 81 79 75 71 69 40",
        "INFO OK 2 0\nWARNING INFO 3 1\nWARNING WARNING 4 2\nCRITICAL WARNING 5 3\nINFO CRITICAL 6 4\nINFO INFO 7 5\n"
        "OK INFO 8 6\nCRITICAL OK 9 0\nCRITICAL CRITICAL 10 1\nCRITICAL CRITICAL 11 2\nCRITICAL CRITICAL 12 3\n"
        "INFO CRITICAL 13 4\nOK INFO 14 5\n");
    one("stream|from()|alert().topic('x').crit(lambda: \"v\" > 10.0).critReset(lambda: \"v\" < 5.0).stateChangesOnly()",
        "11 8 _ 5 4 8", "CRITICAL OK 1 0\nOK CRITICAL 5 4\n");
}

static void state_changes(void **state)
{
    one("stream|from()|alert().id('x').topic('x').warn(lambda: \"v\" > 1.0).crit(lambda: \"v\" > 2.0).stateChangesOnly()",
        "0 2 2 3 3 3 2 0 0 3",
        "WARNING OK 2 0\nCRITICAL WARNING 4 2\nWARNING CRITICAL 7 5\nOK WARNING 8 6\nCRITICAL OK 10 0\n");
    struct world w;
    world_open(&w);
    struct kap_rig *rig = task(&w, "stream|from()|alert().id('x').topic('x').crit(lambda: \"v\" > 2.0).stateChangesOnly(10s)");
    static const int at[] = { 1, 5, 11, 12, 20, 21, 35 };
    for (size_t i = 0; i < KAP_COUNT(at); i++)
        feed(rig, "m", at[i], "3");
    feed(rig, "m", 36, "0");
    feed(rig, "m", 50, "0 3");
    expect(&w, "CRITICAL OK 1 0\nCRITICAL CRITICAL 11 10\nCRITICAL CRITICAL 21 20\nCRITICAL CRITICAL 35 34\nOK CRITICAL 36 35\n"
               "CRITICAL OK 51 0\n");
    kap_rig_free(rig);
    world_close(&w);
}

static void flapping(void **state)
{
    one("stream|from()|alert().id('x').topic('x').crit(lambda: \"v\" > 1.0).history(5).flapping(0.25, 0.5)",
        "0 2 0 2 0 2 2 2 2 2 0 0", "CRITICAL OK 2 0\nOK CRITICAL 3 1\nCRITICAL OK 10 8\nOK CRITICAL 11 9\n");
    one("stream|from()|alert().id('x').topic('x').warn(lambda: \"v\" > 1.0).crit(lambda: \"v\" > 2.0).history(10)"
        ".flapping(0.2, 0.4).stateChangesOnly()",
        "0 3 2 3 0 3 0 0 0 0 0 0 0 0 3 3",
        "CRITICAL OK 2 0\nWARNING CRITICAL 3 1\nCRITICAL WARNING 4 2\nOK CRITICAL 5 3\nCRITICAL OK 15 0\n");
}

static void no_recoveries(void **state)
{
    one("stream|from()|alert().id('x').topic('x').warn(lambda: \"v\" > 1.0).crit(lambda: \"v\" > 2.0).noRecoveries()",
        "3 2 0 0 2", "CRITICAL OK 1 0\nWARNING CRITICAL 2 1\nWARNING WARNING 5 0\n");
}

static void batches(void **state)
{
    one("stream|from()|window().periodCount(3).everyCount(3)|alert().id('x').topic('x').warn(lambda: \"v\" > 10.0)"
        ".crit(lambda: \"v\" > 20.0).all()",
        "1 25 12 11 25 13 21 25 30 1 1 1", "WARNING OK 6 0\nCRITICAL WARNING 9 3\nOK CRITICAL 12 6\n");
    struct world w;
    world_open(&w);
    struct kap_rig *rig = task(&w, "stream|from().groupBy('h')|window().periodCount(3).everyCount(3)|alert()"
                                   ".id('{{ index .Tags \"h\" }}').message('{{ .Level }} {{ index .Fields \"v\" }}').topic('x')"
                                   ".warn(lambda: \"v\" > 10.0).crit(lambda: \"v\" > 20.0)");
    feed(rig, "m,h=a", 1, "1 25 12");
    assert_true(kap_str_is(w.last->message, "CRITICAL 25"));
    assert_true(kap_str_is(w.last->id, "a"));
    assert_int_equal(w.last->rows[0]->nvalues, 3);
    feed(rig, "m,h=a", 4, "11 1 13 1 2 3");
    assert_true(kap_str_is(w.last->message, "OK 1"));
    expect(&w, "CRITICAL OK 2 0\nWARNING CRITICAL 4 2\nOK WARNING 9 7\n");
    kap_rig_free(rig);
    world_close(&w);
}

static void defaults(void **state)
{
    struct world w;
    world_open(&w);
    struct kap_rig *rig = task(&w, "stream|from().groupBy('h')|alert().topic('x').category('c').crit(lambda: \"v\" > 10.0)");
    feed(rig, "cpu,h=a", 1, "v=11.5,s=\"<\"");
    assert_true(kap_str_is(w.last->id, "cpu:h=a"));
    assert_true(kap_str_is(w.last->message, "cpu:h=a is CRITICAL"));
    assert_true(kap_str_is(w.last->category, "c"));
    assert_true(kap_str_is(w.last->task, "t"));
    assert_true(kap_str_is(w.last->node, "alert2"));
    assert_true(w.last->recoverable);
    assert_string_equal(w.last->details.p,
        "{&#34;Name&#34;:&#34;cpu&#34;,&#34;TaskName&#34;:&#34;t&#34;,&#34;Group&#34;:&#34;h=a&#34;,&#34;Tags&#34;:{&#34;h"
        "&#34;:&#34;a&#34;},&#34;ServerInfo&#34;:{&#34;Hostname&#34;:&#34;localhost&#34;,&#34;ClusterID&#34;:&#34;c&#34;,"
        "&#34;ServerID&#34;:&#34;s&#34;},&#34;ID&#34;:&#34;cpu:h=a&#34;,&#34;Fields&#34;:{&#34;s&#34;:&#34;\\u003c&#34;,"
        "&#34;v&#34;:11.5},&#34;Level&#34;:&#34;CRITICAL&#34;,&#34;Time&#34;:&#34;1970-01-01T00:00:01Z&#34;,&#34;Duration"
        "&#34;:0,&#34;Message&#34;:&#34;cpu:h=a is CRITICAL&#34;}\n");
    kap_rig_free(rig);
    world_close(&w);
}

/* The same point twice is two events; each carries its number. */
static void equal_events_are_counted(void **state)
{
    struct world w;
    world_open(&w);
    struct kap_rig *rig = task(&w, "stream|from()|alert().id('x').topic('x').crit(lambda: \"v\" > 1.0)");
    for (uint32_t i = 0; i < 3; i++) {
        feed(rig, "m", 1, "2");
        assert_int_equal(w.last->nth, i);
    }
    const uint64_t sequence = w.last->sequence;
    feed(rig, "m", 2, "2");
    assert_int_equal(w.last->nth, 0);
    assert_int_equal(w.last->sequence, sequence + 1);
    kap_rig_free(rig);
    world_close(&w);
}

static void data_flow_on(void **state)
{
    struct world w;
    world_open(&w);
    struct kap_buf out = { 0 };
    struct kap_rig *rig = task(&w, "stream|from().groupBy('h')|alert().id('id-{{ index .Tags \"h\" }}').message('m {{ .Level }}')"
                                   ".crit(lambda: \"v\" > 10.0).idTag('aid').idField('aidf').levelTag('lvl').levelField('lvlf')"
                                   ".messageField('msg').durationField('dur')");
    kap_rig_collect(rig, "alert2", &out);
    feed(rig, "m,h=a", 1, "11 _ _ _ 12 _ _ _ 1 1");
    assert_string_equal(out.p,
        "point m h=a {aid=id-a,h=a,lvl=CRITICAL} {aidf=\"id-a\",dur=0i,lvlf=\"CRITICAL\",msg=\"m CRITICAL\",v=11} 1000000000\n"
        "point m h=a {aid=id-a,h=a,lvl=CRITICAL} {aidf=\"id-a\",dur=4000000000i,lvlf=\"CRITICAL\",msg=\"m CRITICAL\",v=12} "
        "5000000000\n"
        "point m h=a {aid=id-a,h=a,lvl=OK} {aidf=\"id-a\",dur=8000000000i,lvlf=\"OK\",msg=\"m OK\",v=1} 9000000000\n");
    expect(&w, ""); /* neither topic nor handler */
    kap_rig_free(rig);
    kap_buf_done(&out);
    world_close(&w);
}

static void inhibition(void **state)
{
    struct world w;
    world_open(&w);
    struct kap_rig *host = task(&w, "stream|from().measurement('host').groupBy('h')|alert().category('down').id('host').topic('x')"
                                    ".crit(lambda: \"up\" == 0).inhibit('cpu', 'h')");
    struct kap_rig *cpu = task(&w, "stream|from().measurement('cpu').groupBy('h')|alert().category('cpu').topic('y')"
                                   ".id('cpu/{{ index .Tags \"h\" }}').crit(lambda: \"v\" > 10.0)");
    feed(cpu, "cpu,h=a", 1, "20");
    feed(cpu, "cpu,h=b", 1, "20");
    expect(&w, "CRITICAL OK 1 0\nCRITICAL OK 1 0\n");
    feed(host, "host,h=a", 2, "up=0i");
    expect(&w, "CRITICAL OK 2 0\n");
    feed(cpu, "cpu,h=a", 3, "21");
    feed(cpu, "cpu,h=b", 3, "21");
    expect(&w, "CRITICAL CRITICAL 3 2\n");
    feed(host, "host,h=a", 4, "up=1i");
    feed(cpu, "cpu,h=a", 5, "22");
    expect(&w, "OK CRITICAL 4 2\nCRITICAL CRITICAL 5 4\n");
    kap_rig_free(host);
    kap_rig_free(cpu);
    world_close(&w);
}

/* persisted_state: a task that starts again goes on at the level, and with the duration, that the topic knows. */
static void restored_state(void **state)
{
    struct world w;
    world_open(&w);
    static const char script[] = "stream|from()|alert().id('x').crit(lambda: \"v\" > 2.0).stateChangesOnly().log('/tmp/x')";
    struct kap_rig *rig = task(&w, script);
    feed(rig, "m", 1, "3");
    expect(&w, "CRITICAL OK 1 0\n");
    assert_true(kap_str_is(w.last->topic, "main:t:alert2"));
    kap_rig_free(rig);
    rig = task(&w, script);
    feed(rig, "m", 2, "3 1");
    expect(&w, "OK CRITICAL 3 2\n");
    kap_rig_free(rig);
    world_close(&w);
}

static void handlers_and_topic_both_get_it(void **state)
{
    struct world w;
    world_open(&w);
    struct kap_rig *rig = task(&w, "stream|from()|alert().id('x').topic('named').crit(lambda: \"v\" > 2.0).log('/tmp/x')");
    feed(rig, "m", 1, "3");
    expect(&w, "CRITICAL OK 1 0\nCRITICAL OK 1 0\n");
    assert_true(kap_str_is(w.last->topic, "named"));
    kap_rig_free(rig);
    world_close(&w);
}

/* Here we differ from the reference on purpose: there, such a template ends the task. */
static void a_failing_template_costs_its_text(void **state)
{
    struct world w;
    world_open(&w);
    struct kap_rig *rig = task(&w, "stream|from()|alert().id('x').topic('x')"
                                   ".message('{{ if gt (index .Fields \"v\") 5 }}y{{ end }}').details('')"
                                   ".crit(lambda: \"v\" > 10.0)");
    feed(rig, "m", 1, "11 1");
    expect(&w, "CRITICAL OK 1 0\nOK CRITICAL 2 1\n");
    assert_true(kap_str_is(w.last->message, "x is OK"));
    struct kap_error err;
    assert_false(kap_rig_failed(rig, &err));
    kap_rig_free(rig);
    rig = task(&w, "stream|from()|alert().id('{{ .Nope }}').topic('x').crit(lambda: \"v\" > 10.0)");
    feed(rig, "m", 1, "11");
    expect(&w, "");
    assert_false(kap_rig_failed(rig, &err));
    kap_rig_free(rig);
    world_close(&w);
}

static void bad_definitions(void **state)
{
    static const struct { const char *alert, *message; } cases[] = {
        { ".crit(lambda: 1 + 'a')", "Failed to compile stateful expression for crit: mismatched type to binary operator. got "
                                    "int + string. see bool(), int(), float(), string(), duration()" },
        { ".flapping(1.5, 2.0).crit(lambda: TRUE)",
          "alert flap thresholds are percentages and should be between 0 and 1" },
        { ".crit(lambda: TRUE).log('relative/path.log')",
          "failed to create log alert handler: log path must be absolute: relative/path.log is not absolute" },
        { ".crit(lambda: TRUE).post()", "Either URL or endpoint must be non-empty" },
        { ".crit(lambda: TRUE).post().endpoint('absent')",
          "failed to create HTTPPostService.Handler: An appropriately formatted url must be specified if an endpoint is not "
          "specified" },
        { ".crit(lambda: TRUE).message('{{')", NULL },
        { "", "" },
        { ".crit(lambda: 5)", "" },
        { ".critReset(lambda: TRUE)", "" },
        { ".flapping(0.5, 0.25)", "" },
        { ".crit(lambda: TRUE).history(1)", "" },
        { ".crit(lambda: TRUE).post('http://a', 'http://b')", "" },
        { ".crit(lambda: TRUE).inhibit('cat')", "" },
    };
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        KAP_AUTO_FREE char *script = kap_asprintf("stream|from()|alert()%s", cases[i].alert);
        struct kap_rig *rig;
        struct kap_error err = { 0 };
        const enum kap_status status = start_task(&w, script, &rig, &err);
        if (status == KAP_OK)
            kap_rig_free(rig);
        if (cases[i].message && *cases[i].message)
            assert_string_equal(err.msg, cases[i].message);
        else
            assert_int_equal(status == KAP_OK, cases[i].message != NULL);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(levels_gaps),
        cmocka_unit_test(resets),
        cmocka_unit_test(state_changes),
        cmocka_unit_test(flapping),
        cmocka_unit_test(no_recoveries),
        cmocka_unit_test(batches),
        cmocka_unit_test(defaults),
        cmocka_unit_test(equal_events_are_counted),
        cmocka_unit_test(data_flow_on),
        cmocka_unit_test(inhibition),
        cmocka_unit_test(restored_state),
        cmocka_unit_test(handlers_and_topic_both_get_it),
        cmocka_unit_test(a_failing_template_costs_its_text),
        cmocka_unit_test(bad_definitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
