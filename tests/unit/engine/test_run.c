/* The run time of nodes, through the test rig. */
#include "../test.h"

#include "base/duration.h"
#include "base/mem.h"
#include "engine/rig.h"

/* A node that remembers how many points each group had, and can do all that the run time offers. */
static int groups_open, nodes_open;

static enum kap_status counter_open(struct kap_node *n, void *state, struct kap_error *err)
{
    nodes_open++;
    return KAP_OK;
}

static void counter_close(struct kap_node *n, void *state)
{
    nodes_open--;
}

static void group_open(struct kap_node *n, void *state, void *gs, struct kap_group *g)
{
    groups_open++;
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *g)
{
    groups_open--;
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    int64_t *count = gs;
    ++*count;
    const struct kap_field f[] = { { kap_sym_c("n"), kap_value_i(*count) } };
    struct kap_point q = *p;
    q.fields = f;
    q.nfields = 1;
    kap_node_count(n, 1, 2);
    kap_node_set_timer(n, p->group->index, kap_node_now(n) + 10 * KAP_S);
    if (p->time_ns == 13)
        kap_node_error(n, p->group, "unlucky");
    kap_emit_point(n, &q);
}

static void timer(struct kap_node *n, void *state, uint64_t id, int64_t now_ns)
{
    uint32_t i = 0;
    struct kap_group *g;
    void *gs;
    while (kap_node_next_group(n, &i, &g, &gs))
        if (g->index == id)
            kap_emit_barrier(n, &(struct kap_barrier){ now_ns, g });
    if (id == 1)
        kap_node_set_timer(n, 1, 0);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_buf *out)
{
    if (g)
        kap_buf_addn(out, gs, sizeof(int64_t));
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *g,
                            struct kap_str data, struct kap_error *err)
{
    if (data.n != sizeof(int64_t))
        return kap_fail(err, KAP_EINVAL, "not a counter");
    memcpy(gs, data.p, data.n);
    return KAP_OK;
}

static const char *const counters[] = { "first", "second", NULL };
static const struct kap_node_run counter_run = {
    .state_size = 8,
    .group_size = sizeof(int64_t),
    .open = counter_open,
    .close = counter_close,
    .group_open = group_open,
    .group_close = group_close,
    .point = point,
    .timer = timer,
    .save = save,
    .load = load,
    .counters = counters,
};
static const struct kap_node_type counter_type = { .name = "counter",
                                                   .kind = "counter",
                                                   .wants = KAP_EDGE_STREAM,
                                                   .provides = KAP_EDGE_STREAM,
                                                   .run = &counter_run };

static struct kap_dims by_host(void)
{
    static const struct kap_sym *names[1];
    names[0] = kap_sym_c("host");
    return (struct kap_dims){ .n = 1, .names = names };
}

static void feed(struct kap_rig *rig, const char *host, int64_t time_ns)
{
    const struct kap_tag tag = { kap_sym_c("host"), kap_str(host) };
    const struct kap_tags *tags = kap_tags_new(&tag, 1);
    const struct kap_dims dims = by_host();
    struct kap_group *g = kap_groups_get(kap_rig_groups(rig), &dims, kap_sym_c("m"), tags, false);
    const struct kap_point p = { .time_ns = time_ns,
                                 .db = kap_sym_empty,
                                 .rp = kap_sym_empty,
                                 .name = kap_sym_c("m"),
                                 .tags = tags,
                                 .group = g };
    kap_rig_point(rig, "counter1", &p);
    kap_group_unref(kap_rig_groups(rig), g);
    kap_tags_unref(tags);
}

static struct kap_rig *make(void)
{
    struct kap_rig *rig;
    struct kap_error err;
    OK(kap_rig_new_node(&counter_type, KAP_EDGE_STREAM, NULL, NULL,
                        &(struct kap_rig_options){ .now_ns = KAP_S }, &rig, &err),
       &err);
    return rig;
}

TEST(test_groups_and_counters)
{
    struct kap_rig *rig = make();
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    kap_rig_collect(rig, "counter1", &out);
    feed(rig, "a", 1);
    feed(rig, "b", 2);
    feed(rig, "a", 13);
    STR_EQ(kap_buf_str(&out), "point m host=a {host=a} {n=1i} 1\npoint m host=b {host=b} {n=1i} 2\n"
                              "point m host=a {host=a} {n=2i} 13\n");
    struct kap_task_stats st;
    kap_rig_stats(rig, &st);
    assert_int_equal(st.nodes[1].collected, 3);
    assert_int_equal(st.nodes[1].errors, 1);
    assert_int_equal(st.nodes[1].working_cardinality, 2);
    assert_int_equal(st.nodes[1].counters[0], 0);
    assert_int_equal(st.nodes[1].counters[1], 6);
    assert_int_equal(groups_open, 2);
    kap_task_stats_done(&st);

    /* a deleted group starts afresh */
    const struct kap_tag tag = { kap_sym_c("host"), KAP_STR("a") };
    const struct kap_tags *tags = kap_tags_new(&tag, 1);
    const struct kap_dims dims = by_host();
    struct kap_group *g = kap_groups_get(kap_rig_groups(rig), &dims, kap_sym_c("m"), tags, false);
    kap_buf_reset(&out);
    kap_rig_delete_group(rig, "counter1", g);
    kap_group_unref(kap_rig_groups(rig), g);
    kap_tags_unref(tags);
    assert_int_equal(groups_open, 1);
    feed(rig, "a", 4);
    STR_EQ(kap_buf_str(&out), "delete host=a\npoint m host=a {host=a} {n=1i} 4\n");
    kap_rig_free(rig);
    assert_int_equal(groups_open, 0);
    assert_int_equal(nodes_open, 0);
}

TEST(test_timers)
{
    struct kap_rig *rig = make();
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    feed(rig, "a", 1);
    kap_rig_advance(rig, 4 * KAP_S);
    feed(rig, "b", 2);
    kap_rig_collect(rig, "counter1", &out);
    kap_rig_advance(rig, 10 * KAP_S);
    STR_EQ(kap_buf_str(&out), "");
    kap_rig_advance(rig, 60 * KAP_S);
    STR_EQ(kap_buf_str(&out), "barrier host=a 11000000000\nbarrier host=b 14000000000\n");
    assert_int_equal(kap_rig_now(rig), 60 * KAP_S);
    feed(rig, "a", 3);
    feed(rig, "a", 3); /* set again: replaces */
    kap_buf_reset(&out);
    kap_rig_advance(rig, 100 * KAP_S);
    STR_EQ(kap_buf_str(&out), "barrier host=a 70000000000\n");
    feed(rig, "a", 3); /* one is left at the end */
    kap_rig_free(rig);
}

TEST(test_snapshot)
{
    struct kap_rig *rig = make();
    feed(rig, "a", 1);
    feed(rig, "b", 1);
    feed(rig, "a", 1);
    KAP_AUTO_BUF struct kap_buf snapshot = { 0 };
    kap_rig_save(rig, &snapshot);
    kap_rig_free(rig);

    rig = make();
    struct kap_error err;
    OK(kap_rig_load(rig, kap_buf_str(&snapshot), &err), &err);
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    kap_rig_collect(rig, "counter1", &out);
    feed(rig, "b", 2);
    feed(rig, "a", 2);
    STR_EQ(kap_buf_str(&out), "point m host=b {host=b} {n=2i} 2\npoint m host=a {host=a} {n=3i} 2\n");
    KAP_AUTO_BUF struct kap_buf again = { 0 };
    kap_rig_save(rig, &again);
    kap_rig_free(rig);
    assert_int_equal(snapshot.n, again.n);

    for (size_t n = 0; n < snapshot.n;
         n++) { /* cut anywhere, or with a byte changed: an error or a state, no crash */
        rig = make();
        KAP_AUTO_FREE char *copy = kap_strndup(snapshot.p, snapshot.n);
        (void)kap_rig_load(rig, kap_strn(copy, n), &err);
        copy[n] = (char)(copy[n] + 77);
        (void)kap_rig_load(rig, kap_strn(copy, snapshot.n), &err);
        kap_rig_free(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_and_counters),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_snapshot),
    };
    return RUN_TESTS(tests);
}
