/* State that is saved at any point and loaded into a fresh task goes on as if nothing had happened. */
#include "nodes/script.h"
#include "nodes/snapshot.h"

static const char script[] =
    "var s = stream|from().measurement('m').groupBy('g')\n"
    "var t = stream|from().measurement('k').groupBy('g')\n"
    "s|window().period(7u).every(3u).align()|log()\n"
    "s|window().periodCount(5).everyCount(2)|mean('v')\n"
    "s|derivative('v').unit(1u)\n"
    "s|difference('i')\n"
    "s|elapsed('v', 1ms)\n"
    "s|movingAverage('v', 4)\n"
    "s|cumulativeSum('v')\n"
    "s|max('v')|log()\n"
    "s|percentile('v', 60.0)|log()\n"
    "s|distinct('s')|log()\n"
    "s|top(2, 'v')|log()\n"
    "s|first('s')|log()\n"
    "s|changeDetect('s', 'i')|log()\n"
    "s|sample(3)|log()\n"
    "s|stateDuration(lambda: \"v\" > 5.0).unit(1u)|log()\n"
    "s|stateCount(lambda: sigma(\"v\") > 0.5)|log()\n"
    "s|where(lambda: count() % 3 == 0)|log()\n"
    "s|eval(lambda: spread(\"v\"), lambda: \"v\" + 1.0).as('x', 'y')|log()\n"
    "s|join(t).as('a', 'b').fill('null').tolerance(2u)|log()\n"
    "s|join(stream|from().measurement('k')).as('a', 'b').on('g')\n"
    "s|union(t).rename('u')|log()\n"
    "s|combine(lambda: \"v\" > 5.0, lambda: TRUE).as('l', 'r').tolerance(4u)|log()\n"
    "s|flatten().on('h').tolerance(4u)|log()\n"
    "s|window().periodCount(4).everyCount(3)|groupBy('h')|httpOut('batches')|log()\n"
    "s|httpOut('points')\n";

enum { NODES_MAX = 80, POINTS = 300 };


static struct kap_graph *graph(void)
{
    struct kap_tick_script *s;
    struct kap_graph *g;
    struct kap_error err;
    if (kap_tick_parse(kap_str(script), &s, &err) != KAP_OK ||
        kap_tick_eval(s, &(struct kap_tick_options){ .registry = &script_registry, .type = KAP_TASK_INVALID }, &g, NULL,
                      NULL, &err) != KAP_OK)
        fail_msg("%s", err.msg);
    kap_tick_script_unref(s);
    return g;
}

static struct kap_rig *rig_of(struct kap_graph *g, struct kap_buf *out)
{
    struct kap_rig *rig;
    struct kap_error err;
    kap_log_set_level(KAP_LOG_OFF);
    if (kap_rig_new(g, &(struct kap_rig_options){ .now_ns = 1000 }, &rig, &err) != KAP_OK)
        fail_msg("%s", err.msg);
    assert_true(g->n <= NODES_MAX);
    for (size_t i = 0; i < g->n; i++)
        kap_rig_collect(rig, g->nodes[i]->name, &out[i]);
    return rig;
}

/* Points of three groups; times stand still, go on and sometimes back; fields come and go and change their type. */
static void line(struct kap_random *r, struct kap_buf *b, int64_t *t_ns)
{
    const uint64_t dice = kap_random_below(r, 10);
    *t_ns += dice < 3 ? 0 : dice < 9 ? (int64_t)kap_random_below(r, 3000) : -(int64_t)kap_random_below(r, 2000);
    kap_buf_reset(b);
    kap_buf_addf(b, "%s,g=%c", kap_random_below(r, 3) ? "m" : "k", (char)('a' + kap_random_below(r, 3)));
    if (kap_random_below(r, 5))
        kap_buf_addf(b, ",h=%c", (char)('x' + kap_random_below(r, 2)));
    if (kap_random_below(r, 12))
        kap_buf_addf(b, " v=%g", (double)kap_random_below(r, 100) / 8);
    else
        kap_buf_adds(b, kap_random_below(r, 2) ? " v=\"odd\"" : " z=1");
    if (kap_random_below(r, 6))
        kap_buf_addf(b, ",i=%di", (int)kap_random_below(r, 4));
    if (kap_random_below(r, 6))
        kap_buf_addf(b, ",s=\"%c\"", (char)('p' + kap_random_below(r, 3)));
    kap_buf_addf(b, " %lld\n", (long long)*t_ns);
}

static void a_run_that_is_cut_equals_one_that_is_not(void **state)
{
    struct kap_graph *g = graph();
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct kap_random r;
        struct kap_buf whole_out[NODES_MAX] = { 0 }, cut_out[NODES_MAX] = { 0 };
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        struct kap_rig *whole = rig_of(g, whole_out), *cut = rig_of(g, cut_out);
        struct kap_error err;
        int64_t t_ns = 10000;
        kap_random_seed(&r, seed);
        for (int i = 0; i < POINTS; i++) {
            line(&r, &b, &t_ns);
            script_write(whole, b.p);
            script_write(cut, b.p);
            if (kap_random_below(&r, 25))
                continue;
            KAP_AUTO_BUF struct kap_buf snapshot = { 0 };
            kap_rig_save(cut, &snapshot);
            kap_rig_free(cut);
            cut = rig_of(g, cut_out);
            if (kap_rig_load(cut, kap_buf_str(&snapshot), &err) != KAP_OK)
                fail_msg("seed %d: %s", (int)seed, err.msg);
        }
        kap_rig_finish(whole);
        kap_rig_finish(cut);
        size_t emitted = 0;
        for (size_t i = 0; i < g->n; i++) {
            const char *want = whole_out[i].p ? whole_out[i].p : "", *got = cut_out[i].p ? cut_out[i].p : "";
            if (strcmp(got, want) != 0)
                fail_msg("seed %d, node %s: got\n%s\nwant\n%s", (int)seed, g->nodes[i]->name, got, want);
            emitted += whole_out[i].n > 0;
            kap_buf_done(&whole_out[i]);
            kap_buf_done(&cut_out[i]);
        }
        assert_true(emitted > g->n / 2);
        kap_rig_free(whole);
        kap_rig_free(cut);
    }
    kap_graph_unref(g);
}

/* Damaged snapshots are errors, never worse. */
static void damage_is_an_error(void **state)
{
    struct kap_graph *g = graph();
    struct kap_buf out[NODES_MAX] = { 0 };
    struct kap_rig *rig = rig_of(g, out);
    struct kap_random r;
    KAP_AUTO_BUF struct kap_buf b = { 0 }, snapshot = { 0 };
    struct kap_error err;
    int64_t t_ns = 10000;
    kap_random_seed(&r, 99);
    for (int i = 0; i < 100; i++) {
        line(&r, &b, &t_ns);
        script_write(rig, b.p);
    }
    kap_rig_save(rig, &snapshot);
    kap_rig_free(rig);
    for (int i = 0; i < 300; i++) {
        KAP_AUTO_FREE char *copy = kap_strndup(snapshot.p, snapshot.n);
        size_t n = snapshot.n;
        if (i % 3 == 0)
            n = kap_random_below(&r, n);
        else
            copy[kap_random_below(&r, n)] ^= (char)(1 << kap_random_below(&r, 8));
        rig = rig_of(g, out);
        (void)kap_rig_load(rig, kap_strn(copy, n), &err);
        kap_rig_free(rig);
    }
    for (size_t i = 0; i < g->n; i++)
        kap_buf_done(&out[i]);
    kap_graph_unref(g);
}

static void values_come_back(void **state)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_snap w = kap_snap_writer(&b, 3), rd;
    struct kap_error err;
    const struct kap_value v[] = { kap_value_f(-0.0), kap_value_i(INT64_MIN), kap_value_b(true),
                                   kap_value_s(KAP_STR("a\0b")), { .type = KAP_MISSING } };
    for (size_t i = 0; i < KAP_COUNT(v); i++)
        kap_snap_value(&w, &v[i]);
    kap_snap_sym(&w, NULL);
    kap_snap_sym(&w, kap_sym_c("name"));
    assert_int_equal(kap_snap_reader(&rd, kap_buf_str(&b), 2, &err), KAP_EINVAL);
    assert_string_equal(err.msg, "snapshot has version 3, this node reads 2");
    assert_int_equal(kap_snap_reader(&rd, kap_buf_str(&b), 3, &err), KAP_OK);
    for (size_t i = 0; i < KAP_COUNT(v); i++) {
        const struct kap_value got = kap_snap_get_value(&rd);
        assert_int_equal(got.type, v[i].type);
        if (got.type != KAP_MISSING)
            assert_true(kap_value_eq(&got, &v[i]));
    }
    assert_null(kap_snap_get_sym(&rd));
    assert_ptr_equal(kap_snap_get_sym(&rd), kap_sym_c("name"));
    assert_int_equal(kap_snap_end(&rd, &err), KAP_OK);
    (void)kap_snap_get_u64(&rd);
    assert_int_equal(kap_snap_end(&rd, &err), KAP_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back),
        cmocka_unit_test(a_run_that_is_cut_equals_one_that_is_not),
        cmocka_unit_test(damage_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
