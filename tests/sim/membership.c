/* Membership under a simulated network: convergence, detection times, faults of every kind. The seed is printed;
 * KAP_SEED repeats a run. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "cluster.h"
#include "base/mem.h"
#include <stdio.h>

static uint64_t base_seed;
static uint64_t chaos_runs = 16; /* KAP_SEEDS; from 1000 on the long forms run too */

/* A failure frees its cluster, so that the report of leaks does not bury the history. KAP_SEED in the message is the
 * one to repeat the program with; a cluster's own seed is derived from it. */
#define EXPECT(c, what)                                                                                              \
    do {                                                                                                             \
        if (!(what)) {                                                                                               \
            sim_print_history((c)->sim);                                                                             \
            cluster_free(c);                                                                                         \
            fail_msg("%s; repeat with KAP_SEED=%llu", #what, (unsigned long long)base_seed);                         \
        }                                                                                                            \
    } while (0)

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

/* n members that have all met. */
static struct cluster *gathered(uint64_t seed, int n)
{
    struct cluster *c = cluster_new(seed, n);
    cluster_join_all(c);
    /* Gossip reaches nearly everybody at once; the next push/pull brings the rest. */
    EXPECT(c, sim_run_until(c->sim, 60 * KAP_S, cluster_converged, c));
    return c;
}

static void members_find_each_other(void **state)
{
    (void)state;
    const int sizes[] = { 1, 2, 3, 7, 20, 100 };
    for (size_t i = 0; i < KAP_COUNT(sizes); i++) {
        struct cluster *c = cluster_new(base_seed + i, sizes[i]);
        const int64_t start = c->sim->now_ns;
        cluster_join_all(c);
        EXPECT(c, sim_run_until(c->sim, sizes[i] <= 20 ? 20 * KAP_S : 100 * KAP_S, cluster_converged, c));
        print_message("%d members know each other after %.2f s\n", sizes[i], seconds(c->sim->now_ns - start));
        cluster_free(c);
    }
}

static void news_of_tags_reach_all_in_time(void **state)
{
    (void)state;
    struct cluster *c = gathered(base_seed, 20);
    sim_run(c->sim, 5 * KAP_S);
    const struct kap_wire_tag tags[] = { { KAP_STR("role"), KAP_STR("changed") } };
    assert_int_equal(kap_swim_set_tags(c->members[3].core, tags, 1, c->sim->now_ns, NULL), KAP_OK);
    sim_wake_at(c->sim, 3, kap_swim_deadline(c->members[3].core));
    sim_run(c->sim, 2 * KAP_S);
    for (int i = 0; i < c->n; i++) {
        const struct kap_swim_member *m = kap_swim_find(c->members[i].core, kap_str(c->members[3].name));
        EXPECT(c, kap_str_is(kap_swim_tag(m, "role"), "changed"));
        EXPECT(c, kap_str_is(kap_swim_tag(m, "cluster"), "one"));
    }
    cluster_free(c);
}

struct kill {
    struct cluster *c;
    int victim;
};

static bool victim_is_failed_everywhere(void *ctx)
{
    const struct kill *k = ctx;
    for (int i = 0; i < k->c->n; i++)
        if (k->c->members[i].core && cluster_view(k->c, i, k->victim) != KAP_SWIM_FAILED)
            return false;
    return true;
}

/* Mean time from a crash until everybody knows. */
static double mean_detection(int n, int kills)
{
    double sum = 0, worst = 0;
    for (int i = 0; i < kills; i++) {
        struct cluster *c = gathered(base_seed + (uint64_t)i * 7919, n);
        sim_run(c->sim, 3 * KAP_S + (int64_t)kap_random_below(&c->sim->random, KAP_S));
        struct kill k = { c, (int)kap_random_below(&c->sim->random, (uint64_t)n) };
        const int64_t at = c->sim->now_ns;
        cluster_crash(c, k.victim);
        EXPECT(c, sim_run_until(c->sim, 60 * KAP_S, victim_is_failed_everywhere, &k));
        const double took = seconds(c->sim->now_ns - at);
        sum += took;
        worst = KAP_MAX(worst, took);
        EXPECT(c, cluster_converged(c));
        cluster_free(c);
    }
    print_message("%d members: a crash is known to all after %.2f s (mean of %d), %.2f s at most\n", n, sum / kills,
                  kills, worst);
    return sum / kills;
}

static void crashes_are_detected_in_time(void **state)
{
    (void)state;
    /* What is required is 6.5 s with 3 members and 10.5 s with 100, until somebody declares; this waits until all know.
     * The bounds between are three standard errors of 50 kills above what is measured (6.3 and 7.5 s). */
    assert_true(mean_detection(3, 50) <= 6.5);
    assert_true(mean_detection(10, 50) <= 7.0);
    if (chaos_runs >= 1000)
        assert_true(mean_detection(100, 50) <= 10.8);
    assert_true(mean_detection(20, 50) <= 8.3);
}

static void nobody_is_declared_dead_falsely_at_five_percent_loss(void **state)
{
    (void)state;
    struct cluster *c = gathered(base_seed, 20);
    c->sim->link.loss = 0.05;
    c->sim->link.duplicate = 0.02;
    c->sim->link.reorder = 0.05;
    sim_run(c->sim, KAP_HOUR / 2);
    EXPECT(c, cluster_events(c, KAP_SWIM_EV_FAILED) == 0);
    print_message("20 members, 5 %% loss, half an hour: %llu accusations, %llu failures\n",
                  (unsigned long long)cluster_events(c, KAP_SWIM_EV_SUSPECT),
                  (unsigned long long)cluster_events(c, KAP_SWIM_EV_FAILED));
    EXPECT(c, cluster_converged(c));
    cluster_free(c);
}

static void a_day_at_five_percent_loss_kills_nobody(void **state)
{
    (void)state;
    if (chaos_runs < 1000)
        skip();
    struct cluster *c = gathered(base_seed, 100);
    c->sim->link.loss = 0.05;
    sim_run(c->sim, 24 * KAP_HOUR);
    print_message("100 members, 5 %% loss, one day: %llu accusations, %llu failures\n",
                  (unsigned long long)cluster_events(c, KAP_SWIM_EV_SUSPECT),
                  (unsigned long long)cluster_events(c, KAP_SWIM_EV_FAILED));
    EXPECT(c, cluster_events(c, KAP_SWIM_EV_FAILED) == 0);
    EXPECT(c, cluster_converged(c));
    cluster_free(c);
}

static void twenty_percent_loss_does_not_break_the_cluster(void **state)
{
    (void)state;
    struct cluster *c = gathered(base_seed, 20);
    c->sim->link.loss = 0.2;
    sim_run(c->sim, 5 * KAP_MINUTE);
    c->sim->link.loss = 0;
    EXPECT(c, sim_run_until(c->sim, 40 * KAP_S, cluster_converged, c));
    cluster_free(c);
}

static void a_short_pause_is_no_failure(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct cluster *c = gathered(base_seed + (uint64_t)i, i % 2 ? 5 : 20);
        sim_run(c->sim, (int64_t)kap_random_below(&c->sim->random, 3 * KAP_S));
        sim_pause(c->sim, 1);
        sim_run(c->sim, 4500 * KAP_MS);
        sim_resume(c->sim, 1);
        sim_run(c->sim, 10 * KAP_S);
        EXPECT(c, cluster_events(c, KAP_SWIM_EV_FAILED) == 0);
        EXPECT(c, cluster_converged(c));
        cluster_free(c);
    }
}

static void a_long_pause_is_one_failure_and_accuses_nobody(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct cluster *c = gathered(base_seed + (uint64_t)i, 10);
        sim_pause(c->sim, 1);
        sim_run(c->sim, 20 * KAP_S);
        EXPECT(c, cluster_events(c, KAP_SWIM_EV_FAILED) == 9);
        const int64_t at = c->sim->now_ns;
        sim_resume(c->sim, 1);
        EXPECT(c, sim_run_until(c->sim, 3 * KAP_S, cluster_converged, c));
        EXPECT(c, c->sim->now_ns - at <= 2 * KAP_S);
        sim_run(c->sim, 20 * KAP_S);
        EXPECT(c, cluster_events(c, KAP_SWIM_EV_FAILED) == 9);
        EXPECT(c, c->members[1].events[KAP_SWIM_EV_SUSPECT] == 0);
        cluster_free(c);
    }
}

static void a_healed_partition_is_one_cluster_again(void **state)
{
    (void)state;
    const int64_t lengths[] = { 15 * KAP_S, 90 * KAP_S, 10 * KAP_MINUTE };
    double worst = 0;
    for (int i = 0; i < 12; i++) {
        struct cluster *c = gathered(base_seed + (uint64_t)i, 10);
        bool left[10] = { false };
        for (int j = 0; j < 1 + i % 5; j++)
            left[j] = true;
        sim_partition(c->sim, left);
        sim_run(c->sim, lengths[i % 3]);
        EXPECT(c, cluster_view(c, 0, 9) == KAP_SWIM_FAILED || lengths[i % 3] < 60 * KAP_S);
        const int64_t at = c->sim->now_ns;
        sim_heal_all(c->sim);
        EXPECT(c, sim_run_until(c->sim, 10 * KAP_S, cluster_converged, c));
        worst = KAP_MAX(worst, seconds(c->sim->now_ns - at));
        cluster_free(c);
    }
    print_message("partitions of 10 members healed within %.2f s\n", worst);
    assert_true(worst <= 2.0);
}

static void a_cut_in_one_direction_is_survived(void **state)
{
    (void)state;
    struct cluster *c = gathered(base_seed, 10);
    for (int i = 1; i < 5; i++)
        sim_cut(c->sim, 0, i);
    sim_run(c->sim, 2 * KAP_MINUTE);
    sim_heal_all(c->sim);
    EXPECT(c, sim_run_until(c->sim, 15 * KAP_S, cluster_converged, c));
    EXPECT(c, cluster_events(c, KAP_SWIM_EV_FAILED) == 0); /* the others relay its probes and its refutations */
    cluster_free(c);
}

static void a_member_comes_back_after_a_crash(void **state)
{
    (void)state;
    const int64_t downs[] = { 100 * KAP_MS, 3 * KAP_S, 9 * KAP_S, 60 * KAP_S };
    for (int i = 0; i < 8; i++) {
        struct cluster *c = gathered(base_seed + (uint64_t)i, 7);
        cluster_crash(c, 2);
        sim_run(c->sim, downs[i % 4]);
        const bool new_address = i >= 4;
        const int64_t at = c->sim->now_ns;
        cluster_restart(c, 2, new_address, 5);
        EXPECT(c, sim_run_until(c->sim, 5 * KAP_S, cluster_converged, c));
        if (i == 3 || i == 7)
            print_message("back after a crash%s in %.2f s\n", new_address ? " at another address" : "",
                          seconds(c->sim->now_ns - at));
        sim_run(c->sim, 40 * KAP_S);
        EXPECT(c, cluster_converged(c));
        for (int j = 0; j < c->n; j++) {
            const struct kap_swim_member *m = kap_swim_find(c->members[j].core, kap_str(c->members[2].name));
            EXPECT(c, m->addr.port == c->members[2].port);
        }
        cluster_free(c);
    }
}

static void who_leaves_is_left_and_not_failed(void **state)
{
    (void)state;
    for (int new_address = 0; new_address < 2; new_address++) {
        struct cluster *c = gathered(base_seed, 10);
        cluster_leave(c, 4);
        sim_run(c->sim, 8 * KAP_S);
        EXPECT(c, c->members[4].events[KAP_SWIM_EV_LEAVE_DONE] == 1);
        cluster_crash(c, 4);
        sim_run(c->sim, new_address ? 60 * KAP_S : 5 * KAP_S);
        for (int i = 0; i < c->n; i++)
            if (i != 4)
                EXPECT(c, cluster_view(c, i, 4) == KAP_SWIM_LEFT);
        EXPECT(c, cluster_events(c, KAP_SWIM_EV_FAILED) == 0);
        cluster_restart(c, 4, new_address, 0);
        EXPECT(c, sim_run_until(c->sim, 5 * KAP_S, cluster_converged, c));
        cluster_free(c);
    }
}

static void two_clusters_never_merge(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(base_seed, 8);
    for (int i = 4; i < 8; i++) {
        c->members[i].cluster_id = "two";
        assert_int_equal(kap_swim_enable(c->members[i].core, "two", c->sim->now_ns, NULL), KAP_OK);
        cluster_join(c, i, 4);
    }
    for (int i = 1; i < 4; i++)
        cluster_join(c, i, 0);
    sim_run(c->sim, 5 * KAP_S);
    cluster_join(c, 1, 5); /* somebody mistypes an address, in both directions */
    cluster_join(c, 6, 0);
    sim_run(c->sim, 3 * KAP_MINUTE);
    for (int a = 0; a < 8; a++)
        for (int b = 0; b < 8; b++) {
            const struct kap_swim_member *m = kap_swim_find(c->members[a].core, kap_str(c->members[b].name));
            EXPECT(c, (m != NULL) == (a / 4 == b / 4));
        }
    EXPECT(c, c->members[1].events[KAP_SWIM_EV_JOIN_FAILED] == 1);
    EXPECT(c, c->members[5].events[KAP_SWIM_EV_REFUSED] >= 1);
    EXPECT(c, c->members[0].events[KAP_SWIM_EV_REFUSED] >= 1);
    cluster_free(c);
}

/* One random fault or repair. */
static void disturb(struct cluster *c)
{
    struct kap_random *r = &c->sim->random;
    const int node = (int)kap_random_below(r, (uint64_t)c->n), other = (int)kap_random_below(r, (uint64_t)c->n);
    struct cluster_member *m = &c->members[node];
    switch (kap_random_below(r, 9)) {
    case 0:
        if (m->core)
            cluster_crash(c, node);
        break;
    case 1:
    case 2:
        if (!m->core)
            cluster_restart(c, node, kap_random_below(r, 2), other);
        break;
    case 3:
        if (m->core && !sim_is_paused(c->sim, node))
            sim_pause(c->sim, node);
        break;
    case 4:
    case 5:
        if (m->core && sim_is_paused(c->sim, node))
            sim_resume(c->sim, node);
        break;
    case 6:
        if (node != other)
            sim_cut(c->sim, node, other);
        break;
    case 7:
        sim_heal_all(c->sim);
        break;
    default:
        c->sim->link.loss = 0.3 * kap_random_f64(r);
        c->sim->link.duplicate = 0.1 * kap_random_f64(r);
        c->sim->link.reorder = 0.2 * kap_random_f64(r);
        c->sim->link.jitter_ns = (int64_t)kap_random_below(r, 200 * KAP_MS);
        break;
    }
}

static void calm(struct cluster *c)
{
    c->sim->link = (struct sim_link){ .delay_ns = 200 * KAP_US, .jitter_ns = 200 * KAP_US };
    sim_heal_all(c->sim);
    for (int i = 0; i < c->n; i++) {
        if (!c->members[i].core)
            cluster_restart(c, i, false, (i + 1) % c->n);
        else if (sim_is_paused(c->sim, i))
            sim_resume(c->sim, i);
    }
    /* A driver tries the addresses that it knows until it is in: needed when several moved at once. */
    for (int i = 0; i < c->n; i++)
        cluster_join(c, i, (i + 1) % c->n);
}

static void after_any_faults_all_agree_again(void **state)
{
    (void)state;
    struct sim_counters sum = { 0 };
    for (uint64_t run = 0; run < chaos_runs; run++) {
        struct cluster *c = gathered(base_seed + run, run % 2 ? 24 : 5);
        for (int i = 0; i < 60; i++) {
            disturb(c);
            sim_run(c->sim, (int64_t)kap_random_below(&c->sim->random, 2 * KAP_S));
        }
        calm(c);
        EXPECT(c, sim_run_until(c->sim, 90 * KAP_S, cluster_converged, c));
        sum.crashes += c->sim->counters.crashes;
        sum.restarts += c->sim->counters.restarts;
        sum.pauses += c->sim->counters.pauses;
        sum.cuts += c->sim->counters.cuts;
        sum.lost += c->sim->counters.lost;
        sum.duplicated += c->sim->counters.duplicated;
        sum.reordered += c->sim->counters.reordered;
        cluster_free(c);
    }
    print_message("faults: %llu crashes, %llu restarts, %llu pauses, %llu cuts, %llu lost, %llu duplicated\n",
                  (unsigned long long)sum.crashes, (unsigned long long)sum.restarts, (unsigned long long)sum.pauses,
                  (unsigned long long)sum.cuts, (unsigned long long)sum.lost, (unsigned long long)sum.duplicated);
    assert_true(sum.crashes && sum.restarts && sum.pauses && sum.cuts && sum.lost && sum.duplicated && sum.reordered);
}

static void idle_traffic_is_small(void **state)
{
    (void)state;
    struct cluster *c = gathered(base_seed, 20);
    sim_run(c->sim, 30 * KAP_S);
    const struct sim_counters before = c->sim->counters;
    sim_run(c->sim, 100 * KAP_S);
    const double datagrams = (double)(c->sim->counters.datagrams - before.datagrams) / 100 / c->n;
    const double bytes = (double)(c->sim->counters.bytes - before.bytes) / 100 / c->n;
    print_message("idle: %.2f datagrams and %.0f bytes a second and member\n", datagrams, bytes);
    assert_true(datagrams <= 3.0 && bytes <= 318);
    cluster_free(c);
}

static uint64_t run_hash(uint64_t seed)
{
    struct cluster *c = gathered(seed, 9);
    for (int i = 0; i < 20; i++) {
        disturb(c);
        sim_run(c->sim, KAP_S);
    }
    const uint64_t hash = c->sim->counters.steps * 31 + c->sim->counters.bytes * 17 + c->sim->counters.datagrams;
    cluster_free(c);
    return hash;
}

static void the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    assert_true(run_hash(base_seed) == run_hash(base_seed));
    assert_true(run_hash(base_seed) != run_hash(base_seed + 1));
}

/* The rules matter: without one of them the tests above could not pass. */
struct harm {
    uint64_t accusations, failures;
};

static struct harm harm_without(struct kap_swim_faults faults, uint64_t seed)
{
    struct cluster *c = cluster_new(seed, 10);
    c->faults = faults;
    for (int i = 0; i < c->n; i++) {
        cluster_crash(c, i);
        cluster_restart(c, i, false, i ? 0 : 1);
    }
    cluster_join_all(c);
    sim_run(c->sim, 60 * KAP_S);
    const struct harm before = { cluster_events(c, KAP_SWIM_EV_SUSPECT), cluster_events(c, KAP_SWIM_EV_FAILED) };
    c->sim->link.loss = 0.25;
    sim_run(c->sim, 5 * KAP_MINUTE);
    const struct harm harm = { cluster_events(c, KAP_SWIM_EV_SUSPECT) - before.accusations,
                               cluster_events(c, KAP_SWIM_EV_FAILED) - before.failures };
    cluster_free(c);
    return harm;
}

static void a_missing_rule_is_noticed(void **state)
{
    (void)state;
    const struct harm sound = harm_without((struct kap_swim_faults){ 0 }, base_seed);
    const struct harm no_refute = harm_without((struct kap_swim_faults){ .no_refute = true }, base_seed);
    const struct harm no_indirect = harm_without((struct kap_swim_faults){ .no_indirect = true }, base_seed);
    print_message("at 25 %% loss: %llu accusations, %llu failures; without refutation %llu failures; without "
                  "indirect probes %llu accusations\n",
                  (unsigned long long)sound.accusations, (unsigned long long)sound.failures,
                  (unsigned long long)no_refute.failures, (unsigned long long)no_indirect.accusations);
    assert_true(no_refute.failures > 20 * (sound.failures + 1));
    assert_true(no_indirect.accusations > 3 * (sound.accusations + 1));
}

int main(void)
{
    int64_t runs;
    base_seed = sim_seed();
    if (getenv("KAP_SEEDS") && kap_str_to_i64(kap_str(getenv("KAP_SEEDS")), &runs) && runs > 0)
        chaos_runs = (uint64_t)runs;
    printf("KAP_SEED=%llu\n", (unsigned long long)base_seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_find_each_other),
        cmocka_unit_test(news_of_tags_reach_all_in_time),
        cmocka_unit_test(crashes_are_detected_in_time),
        cmocka_unit_test(nobody_is_declared_dead_falsely_at_five_percent_loss),
        cmocka_unit_test(a_day_at_five_percent_loss_kills_nobody),
        cmocka_unit_test(twenty_percent_loss_does_not_break_the_cluster),
        cmocka_unit_test(a_short_pause_is_no_failure),
        cmocka_unit_test(a_long_pause_is_one_failure_and_accuses_nobody),
        cmocka_unit_test(a_healed_partition_is_one_cluster_again),
        cmocka_unit_test(a_cut_in_one_direction_is_survived),
        cmocka_unit_test(a_member_comes_back_after_a_crash),
        cmocka_unit_test(who_leaves_is_left_and_not_failed),
        cmocka_unit_test(two_clusters_never_merge),
        cmocka_unit_test(after_any_faults_all_agree_again),
        cmocka_unit_test(idle_traffic_is_small),
        cmocka_unit_test(the_same_seed_is_the_same_run),
        cmocka_unit_test(a_missing_rule_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
