#include "base/buf.h"
#include "pipeline/dot.h"
#include "pipeline/test_registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct kap_graph_node *add(struct kap_graph *g, struct kap_graph_node *parent,
                                  const struct kap_node_type *type)
{
    struct kap_graph_node *n = NULL;
    struct kap_error err;
    if (kap_graph_add(g, parent, type, &n, &err) != KAP_OK)
        fail_msg("%s", err.msg);
    return n;
}

static struct kap_graph *new_graph(enum kap_task_type type)
{
    struct kap_graph *g = kap_graph_new(type);
    g->registry = &test_registry;
    return g;
}

static void assert_dot(const struct kap_graph *g, const char *expected)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_graph_dot(g, KAP_STR("t"), &b);
    assert_string_equal(b.p, expected);
}

static void nodes_get_defaults_names_and_edges(void **state)
{
    struct kap_graph *g = new_graph(KAP_TASK_STREAM);
    struct kap_graph_node *root = add(g, NULL, &test_stream), *from = add(g, root, &test_from);
    struct kap_graph_node *window = add(g, from, &test_window), *eval = add(g, window, &test_eval);
    struct kap_graph_node *sink = add(g, eval, &test_out);
    assert_string_equal(root->name, "stream0");
    assert_string_equal(window->name, "window2");
    assert_string_equal(sink->name, "influxdb_out4");
    assert_int_equal(((struct test_config *)eval->config)->count, 21);
    assert_int_equal(from->edge, KAP_EDGE_STREAM);
    assert_int_equal(window->edge, KAP_EDGE_BATCH);
    assert_int_equal(eval->edge, KAP_EDGE_BATCH); /* that of its parent */
    assert_int_equal(sink->edge, KAP_EDGE_NONE);
    assert_ptr_equal(eval->parents[0], window);
    assert_ptr_equal(window->children[0], eval);
    kap_graph_unref(kap_graph_ref(g));
    kap_graph_unref(g);
    kap_graph_unref(NULL);
}

static void wrong_edges_are_refused(void **state)
{
    struct kap_graph *g = new_graph(KAP_TASK_BATCH);
    struct kap_graph_node *query = add(g, add(g, NULL, &test_batch), &test_query), *n = NULL;
    struct kap_error err;
    assert_int_equal(kap_graph_add(g, query, &test_window, &n, &err), KAP_EINVAL);
    assert_string_equal(err.msg, "cannot Window batch edge");
    assert_null(n);
    assert_int_equal(g->n, 2);
    kap_graph_unref(g);
}

/* Each link of a node takes a number, and the node is called after its last one. */
static void a_second_parent_renames(void **state)
{
    struct kap_graph *g = new_graph(KAP_TASK_STREAM);
    struct kap_graph_node *root = add(g, NULL, &test_stream);
    struct kap_graph_node *a = add(g, root, &test_from), *b = add(g, root, &test_from);
    struct kap_graph_node *both = add(g, b, &test_union);
    struct kap_error err;
    assert_string_equal(both->name, "union3");
    assert_int_equal(kap_graph_link(a, both, &err), KAP_OK);
    assert_string_equal(both->name, "union4");
    struct kap_graph_node *log = add(g, both, &test_http_out);
    assert_string_equal(log->name, "http_out5");
    assert_int_equal(both->nparents, 2);
    assert_dot(g, "digraph t {\nstream0 -> from1;\nstream0 -> from2;\nfrom2 -> union4;\nfrom1 -> union4;\n"
                  "union4 -> http_out5;\n}");
    assert_int_equal(kap_graph_link(root, both, &err), KAP_ESTATE);
    kap_graph_unref(g);
}

static void the_batch_source_is_not_drawn(void **state)
{
    struct kap_graph *g = new_graph(KAP_TASK_BATCH);
    add(g, add(g, add(g, NULL, &test_batch), &test_query), &test_eval);
    assert_dot(g, "digraph t {\nquery1 -> eval2;\n}");
    kap_graph_unref(g);
}

static void one_counter(void *ctx, const struct kap_graph_node *n,
                        void (*each)(void *to, const char *name, const char *value), void *to)
{
    (void)ctx;
    each(to, "avg_exec_time_ns", "1.5µs");
    each(to, "errors", n->nparents ? "1" : "0");
}

static int64_t passed(void *ctx, const struct kap_graph_node *from, size_t child)
{
    (void)ctx;
    return 10 * from->id + (int64_t)child;
}

static void counters_are_drawn_in_both_views(void **state)
{
    struct kap_graph *g = new_graph(KAP_TASK_STREAM);
    add(g, add(g, NULL, &test_stream), &test_from);
    const struct kap_dot_stats stats = { .throughput = 2.5, .node = one_counter, .edge = passed };
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_graph_dot_running(g, KAP_STR("t"), &stats, false, &b);
    assert_string_equal(
        b.p, "digraph t {\ngraph [throughput=\"2.50 points/s\"];\n\n"
             "stream0 [avg_exec_time_ns=\"1.5µs\" errors=\"0\" ];\nstream0 -> from1 [processed=\"0\"];\n\n"
             "from1 [avg_exec_time_ns=\"1.5µs\" errors=\"1\" ];\n}");
    kap_buf_reset(&b);
    kap_graph_dot_running(g, KAP_STR("t"), &stats, true, &b);
    assert_string_equal(
        b.p, "digraph t {\ngraph [label=\"Throughput: 2.50 points/s\" forcelabels=true pad=\"0.8,0.5\"];\n\n"
             "stream0 [xlabel=\"avg_exec_time_ns=1.5µs\\rerrors=0\"];\n"
             "stream0 -> from1 [label=\"processed=0\"];\n\n"
             "from1 [xlabel=\"avg_exec_time_ns=1.5µs\\rerrors=1\"];\n}");
    kap_graph_unref(g);
}

static void json_leaves_secrets_out(void **state)
{
    struct kap_graph *g = new_graph(KAP_TASK_STREAM);
    struct kap_graph_node *out = add(g, add(g, add(g, NULL, &test_stream), &test_from), &test_out);
    struct test_config *c = out->config;
    c->secret = KAP_STR("hidden");
    c->text = KAP_STR("shown");
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_json j;
    kap_json_init(&j, &b, false);
    kap_graph_json(g, &j);
    assert_non_null(strstr(b.p, "\"name\":\"influxdb_out2\",\"properties\":{\"count\":21,"));
    assert_non_null(strstr(b.p, "\"measurement\":\"shown\""));
    assert_null(strstr(b.p, "hidden"));
    assert_non_null(strstr(b.p, "\"edges\":[{\"parent\":0,\"child\":1},{\"parent\":1,\"child\":2}]"));
    kap_graph_unref(g);
}

static void checks_run_parents_first(void **state)
{
    struct kap_graph *g = new_graph(KAP_TASK_STREAM);
    struct kap_graph_node *from = add(g, add(g, NULL, &test_stream), &test_from);
    struct kap_error err;
    assert_int_equal(kap_graph_check(g, &err), KAP_OK);
    ((struct test_config *)from->config)->count = -1;
    assert_int_equal(kap_graph_check(g, &err), KAP_EINVAL);
    assert_string_equal(err.msg, "count must not be negative");
    kap_graph_unref(g);
}

/* A diamond many times over: each node once, parents first. */
static void sorting_visits_each_node_once(void **state)
{
    struct kap_graph *g = new_graph(KAP_TASK_STREAM);
    struct kap_graph_node *top = add(g, add(g, NULL, &test_stream), &test_from);
    struct kap_error err;
    for (int i = 0; i < 60; i++) {
        struct kap_graph_node *left = add(g, top, &test_eval), *right = add(g, top, &test_eval);
        top = add(g, left, &test_union);
        assert_int_equal(kap_graph_link(right, top, &err), KAP_OK);
    }
    KAP_AUTO_FREE const struct kap_graph_node **sorted = kap_graph_sorted(g);
    KAP_AUTO_FREE size_t *place = KAP_ARRAY(size_t, g->n);
    for (size_t i = 0; i < g->n; i++)
        place[sorted[i]->index] = i;
    for (size_t i = 0; i < g->n; i++) {
        for (size_t p = 0; p < g->nodes[i]->nparents; p++)
            assert_true(place[g->nodes[i]->parents[p]->index] < place[i]);
    }
    kap_graph_unref(g);
}

static void count_free(void *p)
{
    ++*(int *)p;
}

static void owned_things_go_with_the_graph(void **state)
{
    int freed = 0;
    struct kap_graph *g = new_graph(KAP_TASK_STREAM);
    kap_graph_own(g, &freed, count_free);
    kap_graph_own(g, &freed, count_free);
    kap_graph_ref(g);
    kap_graph_unref(g);
    assert_int_equal(freed, 0);
    kap_graph_unref(g);
    assert_int_equal(freed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_get_defaults_names_and_edges), cmocka_unit_test(wrong_edges_are_refused),
        cmocka_unit_test(a_second_parent_renames),            cmocka_unit_test(the_batch_source_is_not_drawn),
        cmocka_unit_test(counters_are_drawn_in_both_views),   cmocka_unit_test(json_leaves_secrets_out),
        cmocka_unit_test(checks_run_parents_first),           cmocka_unit_test(sorting_visits_each_node_once),
        cmocka_unit_test(owned_things_go_with_the_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
