/* Runs a script on the rig and compares what a node emits with a text. */
#ifndef KAP_TESTS_NODES_SCRIPT_H
#define KAP_TESTS_NODES_SCRIPT_H

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "engine/rig.h"
#include "nodes/nodes.h"
#include "tick/tick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* Those that need no service beside the rig's. */
static const struct kap_node_type *const script_nodes[] = {
    &kap_node_stream, &kap_node_batch, &kap_node_from, &kap_node_where, &kap_node_eval, &kap_node_window,
    &kap_node_group_by, &kap_node_http_out, &kap_node_log, &kap_node_count_field, &kap_node_sum, &kap_node_mean,
    &kap_node_median, &kap_node_mode, &kap_node_spread, &kap_node_stddev, &kap_node_min, &kap_node_max,
    &kap_node_first, &kap_node_last, &kap_node_percentile, &kap_node_top, &kap_node_bottom, &kap_node_distinct,
    &kap_node_elapsed, &kap_node_difference, &kap_node_moving_average, &kap_node_cumulative_sum,
    &kap_node_holt_winters, &kap_node_holt_winters_with_fit, &kap_node_shift, &kap_node_sample, &kap_node_derivative,
    &kap_node_change_detect, &kap_node_state_duration, &kap_node_state_count, &kap_node_default, &kap_node_delete,
    &kap_node_trickle, &kap_node_union, &kap_node_join, &kap_node_flatten, &kap_node_combine, &kap_node_barrier,
    &kap_node_stats, &kap_node_query, &kap_node_noop, NULL,
};
static const struct kap_registry script_registry = { .nodes = script_nodes };

static inline enum kap_status script_open(const char *text, int64_t now_ns, struct kap_rig **ret, struct kap_error *err)
{
    struct kap_tick_script *s;
    struct kap_graph *g;
    kap_log_set_level(KAP_LOG_OFF);
    KAP_TRY(kap_tick_parse(kap_str(text), &s, err));
    enum kap_status st = kap_tick_eval(
        s, &(struct kap_tick_options){ .registry = &script_registry, .type = KAP_TASK_INVALID }, &g, NULL, NULL, err);
    kap_tick_script_unref(s);
    if (st != KAP_OK)
        return st;
    st = kap_rig_new(g, &(struct kap_rig_options){ .now_ns = now_ns }, ret, err);
    kap_graph_unref(g);
    return st;
}

static inline struct kap_rig *script_rig(const char *text)
{
    struct kap_rig *rig = NULL;
    struct kap_error err;
    if (script_open(text, INT64_C(1000000000), &rig, &err) != KAP_OK)
        fail_msg("%s\n%s", text, err.msg);
    return rig;
}

static inline void script_write(struct kap_rig *rig, const char *lines)
{
    struct kap_error err;
    if (kap_rig_write(rig, "db", "rp", lines, &err) != KAP_OK)
        fail_msg("%s\n%s", lines, err.msg);
}

static inline int64_t script_errors(struct kap_rig *rig, const char *node)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_task_stats st;
    struct kap_json j;
    kap_json_init(&j, &b, false);
    kap_rig_stats(rig, &st);
    kap_task_stats_json(&st, &j);
    kap_task_stats_done(&st);
    KAP_AUTO_FREE char *key = kap_asprintf("\"%s\":{", node);
    const char *at = strstr(b.p, key);
    assert_non_null(at);
    at = strstr(at, "\"errors\":");
    assert_non_null(at);
    return strtoll(at + strlen("\"errors\":"), NULL, 10);
}

static inline int64_t script_bytes(struct kap_rig *rig)
{
    struct kap_task_stats st;
    kap_rig_stats(rig, &st);
    const int64_t bytes = st.bytes;
    kap_task_stats_done(&st);
    return bytes;
}

/* Feeds `lines` (times in ns) through `text`, ends the input and compares what `node` emits. */
static inline void assert_script(const char *text, const char *lines, const char *node, const char *expected)
{
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_rig *rig = script_rig(text);
    kap_rig_collect(rig, node, &out);
    script_write(rig, lines);
    kap_rig_finish(rig);
    kap_rig_free(rig);
    const char *got = out.p ? out.p : "";
    if (strcmp(got, expected) != 0)
        fail_msg("%s\nwith\n%sgot\n%s\nexpected\n%s", text, lines, got, expected);
}

static inline void assert_refused(const char *text, const char *message)
{
    struct kap_rig *rig = NULL;
    struct kap_error err = { .msg = "" };
    if (script_open(text, INT64_C(1000000000), &rig, &err) == KAP_OK) {
        kap_rig_free(rig);
        fail_msg("%s\nwas accepted", text);
    }
    assert_string_equal(err.msg, message);
}

#endif
