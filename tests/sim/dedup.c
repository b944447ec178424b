/* Deduplication under faults: the scenarios of the guide to alert deduplication with their expected counts,
 * and random courses from a seed. KAP_SEED repeats one, KAP_SEEDS says how many. */
#include "alerts.h"

#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define ALL 0xffu
#define CHECK(a, condition)                                                                                  \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            sim_print_history(alerts_sim(a));                                                                \
            fail_msg("%s", #condition);                                                                      \
        }                                                                                                    \
    } while (0)

static struct alerts *five(void)
{
    const struct alerts_options o = { .members = 5, .redundancy = 3, .handlers = 1 };
    return alerts_new(sim_seed(), &o);
}

static int got(struct alerts *a, int64_t time_ns)
{
    return alerts_deliveries(a, "t", "id", time_ns, 0);
}

static void finish(struct alerts *a)
{
    CHECK(a, alerts_lost(a) == 0);
    CHECK(a, alerts_out_of_order(a) == 0);
    CHECK(a, alerts_totals(a)->bad_messages == 0);
    alerts_free(a);
}

static void event(struct alerts *a, int64_t time_ns, int level)
{
    alerts_produce(a, "t", "id", time_ns, level, ALL, 5 * KAP_MS);
}

static void s01_no_fault(void **state)
{
    struct alerts *a = five();
    const int64_t start = alerts_sim(a)->now_ns;
    event(a, 1, 3);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1 && alerts_attempts(a) == 1);
    CHECK(a, alerts_first_at(a, "t", "id", 1) - start < 100 * KAP_MS);
    CHECK(a, alerts_pending(a) == 0);
    finish(a);
}

static void s02_first_owner_dead_before(void **state)
{
    struct alerts *a = five();
    alerts_kill(a, alerts_owner(a, "t", 0));
    alerts_run(a, 20 * KAP_S);
    const int64_t start = alerts_sim(a)->now_ns;
    event(a, 1, 3);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1 && alerts_attempts(a) == 1);
    CHECK(a, alerts_first_at(a, "t", "id", 1) - start < 100 * KAP_MS);
    finish(a);
}

static void s03_killed_before_the_attempt_arrives(void **state)
{
    struct alerts *a = five();
    const int64_t start = alerts_sim(a)->now_ns;
    event(a, 1, 3);
    alerts_run(a, 12 * KAP_MS);
    alerts_kill(a, alerts_owner(a, "t", 0));
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1);
    CHECK(a, alerts_first_at(a, "t", "id", 1) - start < 1500 * KAP_MS);
    finish(a);
}

static void s04_killed_after_the_endpoint_got_it(void **state)
{
    struct alerts *a = five();
    event(a, 1, 3);
    alerts_run(a, 40 * KAP_MS);
    alerts_kill(a, alerts_owner(a, "t", 0));
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 2);
    finish(a);
}

static void s05_and_it_comes_back(void **state)
{
    struct alerts *a = five();
    const int first = alerts_owner(a, "t", 0);
    event(a, 1, 3);
    alerts_run(a, 40 * KAP_MS);
    alerts_kill(a, first);
    alerts_run(a, 3 * KAP_S);
    alerts_start(a, first);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 2);
    CHECK(a, alerts_pending(a) == 0);
    finish(a);
}

static void s06_done_reached_one_only(void **state)
{
    struct alerts *a = five();
    const int first = alerts_owner(a, "t", 0), second = alerts_owner(a, "t", 1);
    event(a, 1, 3);
    alerts_run(a, 20 * KAP_MS);
    sim_cut(alerts_sim(a), first, second);
    alerts_run(a, 60 * KAP_MS);
    alerts_kill(a, first);
    sim_heal(alerts_sim(a), first, second);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1);
    finish(a);
}

static void s07_done_lost_for_a_while(void **state)
{
    struct alerts *a = five();
    const int first = alerts_owner(a, "t", 0);
    event(a, 1, 3);
    alerts_run(a, 20 * KAP_MS);
    for (int i = 0; i < 5; i++)
        if (i != first)
            sim_cut(alerts_sim(a), first, i);
    alerts_run(a, 5 * KAP_S);
    sim_heal_all(alerts_sim(a));
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1 && alerts_pending(a) == 0);
    finish(a);
}

static void s08_done_never_reaches_the_second(void **state)
{
    struct alerts *a = five();
    sim_cut(alerts_sim(a), alerts_owner(a, "t", 0), alerts_owner(a, "t", 1));
    event(a, 1, 3);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1);
    finish(a);
}

static void s09_slow_endpoint(void **state)
{
    struct alerts *a = five();
    alerts_endpoint_time(a, 25 * KAP_S);
    event(a, 1, 3);
    alerts_run(a, 90 * KAP_S);
    CHECK(a, got(a, 1) == 1 && alerts_attempts(a) == 1);
    finish(a);
}

static void s11_endpoint_down_for_long(void **state)
{
    struct alerts *a = five();
    alerts_refuse(a, 0, ALL);
    event(a, 1, 3);
    alerts_run(a, 600 * KAP_S);
    alerts_refuse(a, 0, 0);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1);
    CHECK(a, alerts_attempts(a) < 80); /* one owner at a time, with growing pauses */
    CHECK(a, alerts_totals(a)->hand_overs > 0);
    finish(a);
}

static void s12_endpoint_refuses_one_member(void **state)
{
    struct alerts *a = five();
    alerts_refuse(a, 0, 1u << alerts_owner(a, "t", 0));
    event(a, 1, 3);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1);
    CHECK(a, alerts_totals(a)->hand_overs == 1);
    finish(a);
}

static void pause_case(int64_t before_ns, int64_t for_ns, int expected)
{
    struct alerts *a = five();
    const int first = alerts_owner(a, "t", 0);
    sim_pause(alerts_sim(a), first);
    event(a, 1, 3);
    alerts_run(a, for_ns);
    sim_resume(alerts_sim(a), first);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == expected);
    finish(a);
}

static void s13_paused_shortly(void **state)
{
    pause_case(0, 4 * KAP_S, 1);
}

static void s14_paused_for_long(void **state)
{
    pause_case(0, 15 * KAP_S, 1);
}

static void s16_partition_with_data_on_both_sides(void **state)
{
    struct alerts *a = five();
    alerts_partition(a, 1u << alerts_owner(a, "t", 0) | 1u << alerts_owner(a, "t", 1));
    event(a, 1, 3);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 2);
    alerts_heal(a);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 2 && alerts_pending(a) == 0);
    finish(a);
}

static void s17_partition_with_data_on_one_side(void **state)
{
    struct alerts *a = five();
    const unsigned left = 1u << alerts_owner(a, "t", 0) | 1u << alerts_owner(a, "t", 1);
    alerts_partition(a, left);
    alerts_produce(a, "t", "id", 1, 3, left, 0);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1);
    alerts_heal(a);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1 && alerts_pending(a) == 0);
    finish(a);
}

static void s25_duplicated_and_reordered(void **state)
{
    struct alerts *a = five();
    alerts_sim(a)->link =
        (struct sim_link){ .duplicate = 1, .reorder = 0.5, .reorder_ns = 2 * KAP_S, .delay_ns = KAP_MS };
    for (int i = 0; i < 20; i++) {
        event(a, i + 1, i % 2 ? 0 : 3);
        alerts_run(a, KAP_S);
    }
    alerts_run(a, 60 * KAP_S);
    CHECK(a, alerts_duplicates(a) == 0 && alerts_attempts(a) == 20);
    finish(a);
}

static void s26_wall_clock_off(void **state)
{
    struct alerts *a = five();
    sim_set_wall_offset(alerts_sim(a), alerts_owner(a, "t", 0), 3600 * KAP_S);
    event(a, 1, 3);
    alerts_run(a, 5 * KAP_S);
    sim_set_wall_offset(alerts_sim(a), alerts_owner(a, "t", 0), -3600 * KAP_S);
    event(a, 2, 0);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1 && got(a, 2) == 1);
    finish(a);
}

static void s31_power_cut_with_pending(void **state)
{
    struct alerts *a = five();
    char id[16];
    alerts_refuse(a, 0, ALL);
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "id%d", i);
        alerts_produce(a, "t", id, 1, 3, ALL, 5 * KAP_MS);
    }
    alerts_run(a, 2 * KAP_S);
    for (int i = 0; i < 5; i++)
        alerts_kill(a, i);
    alerts_refuse(a, 0, 0);
    alerts_run(a, KAP_S);
    for (int i = 0; i < 5; i++)
        alerts_start(a, i);
    alerts_run(a, 120 * KAP_S);
    CHECK(a, alerts_duplicates(a) == 0 && alerts_pending(a) == 0);
    finish(a);
}

static void s37_topics_are_independent(void **state)
{
    struct alerts *a = five();
    alerts_produce(a, "t1", "id", 1, 3, ALL, 0);
    alerts_produce(a, "t2", "id", 1, 3, ALL, 0);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, alerts_deliveries(a, "t1", "id", 1, 0) == 1 && alerts_deliveries(a, "t2", "id", 1, 0) == 1);
    finish(a);
}

static void s38_handlers_are_independent(void **state)
{
    const struct alerts_options o = { .members = 5, .redundancy = 3, .handlers = 3 };
    struct alerts *a = alerts_new(sim_seed(), &o);
    alerts_refuse(a, 1, ALL);
    event(a, 1, 3);
    alerts_run(a, 10 * KAP_S);
    CHECK(a, alerts_deliveries(a, "t", "id", 1, 0) == 1 && alerts_deliveries(a, "t", "id", 1, 2) == 1);
    alerts_kill(a, alerts_owner(a, "t", 0) ? alerts_owner(a, "t", 0) : alerts_owner(a, "t", 1));
    alerts_run(a, 50 * KAP_S);
    alerts_refuse(a, 1, 0);
    alerts_run(a, 60 * KAP_S);
    for (int h = 0; h < 3; h++)
        CHECK(a, alerts_deliveries(a, "t", "id", 1, h) == 1);
    finish(a);
}

static void s39_in_order_over_a_death(void **state)
{
    struct alerts *a = five();
    event(a, 1, 3);
    alerts_run(a, KAP_S);
    const int first = alerts_owner(a, "t", 0);
    event(a, 2, 0);
    alerts_run(a, 10 * KAP_MS);
    alerts_kill(a, first);
    alerts_run(a, KAP_S);
    event(a, 3, 3);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1 && got(a, 2) == 1 && got(a, 3) == 1);
    CHECK(a, alerts_first_at(a, "t", "id", 2) < alerts_first_at(a, "t", "id", 3));
    finish(a);
}

static void s41_disk_full(void **state)
{
    struct alerts *a = five();
    const int first = alerts_owner(a, "t", 0);
    alerts_disk_full(a, first, true);
    event(a, 1, 3);
    alerts_run(a, 20 * KAP_S);
    event(a, 2, 0);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1 && got(a, 2) == 1);
    finish(a);
}

static void s43_two_members_apart(void **state)
{
    const struct alerts_options o = { .members = 2, .handlers = 1 };
    struct alerts *a = alerts_new(sim_seed(), &o);
    alerts_partition(a, 1);
    event(a, 1, 3);
    alerts_run(a, 60 * KAP_S);
    alerts_heal(a);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 2);
    finish(a);
}

static void s15_paused_inside_the_attempt(void **state)
{
    struct alerts *a = five();
    const int first = alerts_owner(a, "t", 0);
    event(a, 1, 3);
    alerts_run(a, 40 * KAP_MS);
    CHECK(a, alerts_attempts(a) == 1);
    sim_pause(alerts_sim(a), first);
    alerts_run(a, 15 * KAP_S);
    sim_resume(alerts_sim(a), first);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) >= 1 && got(a, 1) <= 2 && alerts_pending(a) == 0);
    finish(a);
}

static void s18_levels_change_on_both_sides(void **state)
{
    struct alerts *a = five();
    const unsigned left = 1u << alerts_owner(a, "t", 0) | 1u << alerts_owner(a, "t", 1);
    alerts_partition(a, left);
    alerts_run(a, 10 * KAP_S);
    alerts_produce(a, "t", "id", 1, 3, left, 0);
    alerts_produce(a, "t", "id", 2, 2, ~left, 0);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1 && got(a, 2) == 1);
    alerts_heal(a);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1 && got(a, 2) == 1 && alerts_pending(a) == 0);
    finish(a);
}

static void s19_all_owners_on_one_side(void **state)
{
    struct alerts *a = five();
    unsigned left = 0;
    for (int k = 0; k < 3; k++)
        left |= 1u << alerts_owner(a, "t", k);
    alerts_partition(a, left);
    event(a, 1, 3);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 2);
    alerts_heal(a);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 2 && alerts_pending(a) == 0);
    finish(a);
}

/* Nothing from the first owner reaches the others (out), or nothing reaches it (in). */
static void one_way(bool out, int most)
{
    struct alerts *a = five();
    const int first = alerts_owner(a, "t", 0);
    for (int i = 0; i < 5; i++)
        if (i != first)
            sim_cut(alerts_sim(a), out ? first : i, out ? i : first);
    event(a, 1, 3);
    alerts_run(a, 60 * KAP_S);
    sim_heal_all(alerts_sim(a));
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) >= 1 && got(a, 1) <= most && alerts_pending(a) == 0);
    finish(a);
}

static void s20_first_owner_is_not_heard(void **state)
{
    one_way(true, 2);
}

static void s21_first_owner_hears_nothing(void **state)
{
    one_way(false, 2);
}

static void s22_bridge(void **state)
{
    struct alerts *a = five();
    const int first = alerts_owner(a, "t", 0), second = alerts_owner(a, "t", 1);
    sim_cut(alerts_sim(a), first, second);
    sim_cut(alerts_sim(a), second, first);
    event(a, 1, 3);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1);
    finish(a);
}

static void s24_loss_on_everything(void **state)
{
    struct alerts *a = five();
    char id[16];
    alerts_sim(a)->link.loss = 0.2;
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "id%d", i % 50);
        alerts_produce(a, "t", id, i + 1, i / 50 % 2 ? 0 : 3, ALL, 5 * KAP_MS);
        alerts_run(a, 600 * KAP_MS);
    }
    alerts_run(a, 60 * KAP_S);
    CHECK(a, alerts_duplicates(a) <= 10 && alerts_pending(a) == 0);
    finish(a);
}

static void s27_wall_clock_jumps_back(void **state)
{
    struct alerts *a = five();
    event(a, 1, 3);
    alerts_run(a, 20 * KAP_MS);
    sim_set_wall_offset(alerts_sim(a), alerts_owner(a, "t", 0), -30 * KAP_S);
    alerts_run(a, KAP_S);
    event(a, 2, 0);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1 && got(a, 2) == 1);
    finish(a);
}

static void s28_restart_in_two_seconds(void **state)
{
    struct alerts *a = five();
    const int first = alerts_owner(a, "t", 0);
    event(a, 1, 3);
    alerts_run(a, KAP_S);
    alerts_kill(a, first);
    alerts_run(a, KAP_S);
    event(a, 2, 0);
    alerts_run(a, KAP_S);
    alerts_start(a, first);
    alerts_run(a, 5 * KAP_S);
    event(a, 3, 3);
    alerts_run(a, 60 * KAP_S);
    CHECK(a, got(a, 1) == 1 && got(a, 2) == 1 && got(a, 3) == 1 && alerts_pending(a) == 0);
    finish(a);
}

static void s30_rolling_restart(void **state)
{
    struct alerts *a = five();
    char id[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "id%d", i % 50);
        alerts_produce(a, "t", id, i + 1, i / 50 % 2 ? 0 : 3, ALL, 5 * KAP_MS);
        alerts_run(a, 100 * KAP_MS);
        if (i % 200 == 50)
            alerts_kill(a, i / 200);
        if (i % 200 == 80)
            alerts_start(a, i / 200);
    }
    alerts_run(a, 60 * KAP_S);
    CHECK(a, alerts_duplicates(a) <= 5 && alerts_pending(a) == 0); /* one attempt in flight at each kill */
    finish(a);
}

static void s42_no_word_between_owners(void **state)
{
    const struct alerts_options o = { .members = 3, .handlers = 1 };
    struct alerts *a = alerts_new(sim_seed(), &o);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            if (i != k)
                sim_cut(alerts_sim(a), i, k);
    event(a, 1, 3);
    alerts_run(a, 360 * KAP_S);
    CHECK(a, got(a, 1) >= 1 && got(a, 1) <= 3);
    const int before = got(a, 1);
    sim_heal_all(alerts_sim(a));
    alerts_run(a, 300 * KAP_S);
    CHECK(a, got(a, 1) == before && alerts_pending(a) == 0 && alerts_states_agree(a));
    finish(a);
}

struct totals {
    int duplicates, unsent;
    uint64_t out_of_order, superseded, take_overs, hand_overs, asked, delivered, retried, merged;
    uint64_t kills, starts, partitions, refusals, lossy; /* faults done */
    int broken;                                          /* courses that broke an invariant */
};

/* One course from a seed: members die, come back, are cut off; endpoints fail; messages get lost. */
static struct alerts *random_course(uint64_t seed, struct kap_dedup_faults faults, struct totals *totals)
{
    struct kap_random r;
    kap_random_seed(&r, seed);
    const struct alerts_options o = {
        .members = 3 + (int)kap_random_below(&r, 3),
        .redundancy = kap_random_below(&r, 2) ? 0 : 2 + kap_random_below(&r, 2),
        .handlers = 1 + (int)kap_random_below(&r, 3),
        .endpoint_ns = (int64_t)(1 + kap_random_below(&r, 200)) * KAP_MS,
        .faults = faults,
    };
    struct alerts *a = alerts_new(seed, &o); /* a failure prints the seed */
    alerts_sim(a)->link.loss = kap_random_below(&r, 2) ? 0.01 * (double)kap_random_below(&r, 20) : 0;
    totals->lossy += alerts_sim(a)->link.loss > 0;
    for (int step = 0; step < 120; step++) {
        char topic[8], id[8];
        snprintf(topic, sizeof topic, "t%d", (int)kap_random_below(&r, 4));
        snprintf(id, sizeof id, "i%d", (int)kap_random_below(&r, 4));
        alerts_produce(a, topic, id, step + 1, step % 2 ? 0 : 3, ALL, 50 * KAP_MS);
        alerts_run(a, (int64_t)kap_random_below(&r, 500) * KAP_MS);
        const int m = (int)kap_random_below(&r, (uint64_t)o.members);
        switch (kap_random_below(&r, 14)) {
        case 0:
            totals->kills += alerts_is_up(a, m);
            if (alerts_is_up(a, m))
                alerts_kill(a, m);
            break;
        case 1:
        case 2:
            totals->starts += !alerts_is_up(a, m);
            if (!alerts_is_up(a, m))
                alerts_start(a, m);
            break;
        case 3:
            totals->partitions++;
            alerts_partition(a, 1u << m);
            break;
        case 4:
        case 5:
            alerts_heal(a);
            break;
        case 6:
            totals->refusals++;
            alerts_refuse(a, (int)kap_random_below(&r, ALERTS_HANDLERS), (unsigned)kap_random_below(&r, 256));
            break;
        case 7:
        case 8:
            for (int h = 0; h < ALERTS_HANDLERS; h++)
                alerts_refuse(a, h, 0);
            break;
        default:
            break;
        }
    }
    alerts_sim(a)->link.loss = 0;
    alerts_heal(a);
    for (int h = 0; h < ALERTS_HANDLERS; h++)
        alerts_refuse(a, h, 0);
    for (int i = 0; i < o.members; i++)
        if (!alerts_is_up(a, i))
            alerts_start(a, i);
    alerts_run(a, 400 * KAP_S);
    const struct kap_dedup_stats *t = alerts_totals(a);
    totals->duplicates += alerts_duplicates(a);
    totals->out_of_order += alerts_out_of_order(a); /* what one side of a partition missed comes late */
    totals->take_overs += t->take_overs;
    totals->hand_overs += t->hand_overs;
    totals->asked += t->asked;
    totals->delivered += t->delivered;
    totals->retried += t->retried;
    totals->merged += t->merged;
    totals->superseded += t->superseded;
    totals->unsent += alerts_lost(a);
    return a;
}

/* Not sent is only what a member had to drop because a newer event of that ID was out already. */
static bool nothing_lost(struct alerts *a)
{
    return (uint64_t)alerts_lost(a) <= alerts_totals(a)->superseded;
}

static uint64_t first_seed(void)
{
    return getenv("KAP_SEED") ? sim_seed() : 1000;
}

static void random_courses(void **state)
{
    const char *many = getenv("KAP_SEEDS");
    const int n = many ? (int)strtol(many, NULL, 10) : 60;
    const struct kap_dedup_faults none = { 0 };
    struct totals t = { 0 };
    for (int i = 0; i < n; i++) {
        struct alerts *a = random_course(first_seed() + (uint64_t)i, none, &t);
        CHECK(a, nothing_lost(a));
        CHECK(a, alerts_pending(a) == 0);
        CHECK(a, alerts_states_agree(a));
        alerts_free(a);
    }
    print_message("%d courses: %llu delivered, %d duplicates, %d superseded, %llu late\n", n,
                  (unsigned long long)t.delivered, t.duplicates, t.unsent,
                  (unsigned long long)t.out_of_order);
    const struct {
        const char *name;
        uint64_t n;
    } seen[] = {
        { "kills", t.kills },           { "starts", t.starts },         { "partitions", t.partitions },
        { "refusals", t.refusals },     { "lossy courses", t.lossy },   { "take-overs", t.take_overs },
        { "hand-overs", t.hand_overs }, { "asked", t.asked },           { "retried", t.retried },
        { "merged", t.merged },         { "superseded", t.superseded },
    };
    for (size_t i = 0; i < KAP_COUNT(seen); i++) {
        print_message("  %-14s %llu\n", seen[i].name, (unsigned long long)seen[i].n);
        if (n >= 20)
            assert_true(seen[i].n > 0);
    }
}

/* The same courses without one of the rules. */
static struct totals without(struct kap_dedup_faults faults, const char *what)
{
    struct totals t = { 0 };
    for (uint64_t i = 0; i < 20; i++) {
        struct alerts *a = random_course(1000 + i, faults, &t);
        t.broken += !nothing_lost(a) || alerts_pending(a) != 0 || !alerts_states_agree(a);
        alerts_free(a);
    }
    print_message("%-10s %d duplicates, %llu late, %d unsent, %d courses broken\n", what, t.duplicates,
                  (unsigned long long)t.out_of_order, t.unsent, t.broken);
    return t;
}

/* Events that reach an endpoint twice with nobody failing; the copies produce each at the same instant. */
static int duplicates_in_calm(int64_t endpoint_ns, struct kap_dedup_faults faults)
{
    const struct alerts_options o = {
        .members = 5, .redundancy = 3, .handlers = 1, .endpoint_ns = endpoint_ns, .faults = faults
    };
    struct alerts *a = alerts_new(1000, &o);
    char id[16];
    alerts_run(a, 20 * KAP_S); /* after a start everybody asks first */
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "id%d", i);
        alerts_produce(a, "t", id, 1, 3, ALL, 0);
    }
    alerts_run(a, 120 * KAP_S);
    const int n = alerts_duplicates(a);
    alerts_free(a);
    return n;
}

static void a_missing_rule_is_noticed(void **state)
{
    const struct totals sound = without((struct kap_dedup_faults){ 0 }, "all rules");
    const struct totals no_marks = without((struct kap_dedup_faults){ .no_marks = true }, "no marks");
    const struct totals no_ask = without((struct kap_dedup_faults){ .no_ask = true }, "no ask");
    const struct totals no_outbox = without((struct kap_dedup_faults){ .no_outbox = true }, "no outbox");
    const struct totals no_order = without((struct kap_dedup_faults){ .no_order = true }, "no order");
    assert_int_equal(sound.broken, 0);
    assert_true(no_marks.duplicates > 2 * sound.duplicates);
    assert_true(no_ask.duplicates > 2 * sound.duplicates);
    assert_true(no_outbox.broken > 0);
    assert_true(no_order.out_of_order > 2 * sound.out_of_order);
    assert_int_equal(duplicates_in_calm(25 * KAP_S, (struct kap_dedup_faults){ 0 }), 0);
    /* Who asks is told that the delivery is held, so ranks and leases show only where nobody asks. */
    const int calm_no_ranks =
        duplicates_in_calm(50 * KAP_MS, (struct kap_dedup_faults){ .no_ask = true, .no_ranks = true });
    const int calm_no_ask = duplicates_in_calm(25 * KAP_S, (struct kap_dedup_faults){ .no_ask = true });
    const int calm_no_lease =
        duplicates_in_calm(25 * KAP_S, (struct kap_dedup_faults){ .no_ask = true, .no_lease = true });
    print_message("in calm, without asking: %d duplicates; nor ranks %d; nor leases %d\n", calm_no_ask,
                  calm_no_ranks, calm_no_lease);
    assert_int_equal(calm_no_ask, 0);
    assert_true(calm_no_ranks > 0);
    assert_true(calm_no_lease > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s01_no_fault),
        cmocka_unit_test(s02_first_owner_dead_before),
        cmocka_unit_test(s03_killed_before_the_attempt_arrives),
        cmocka_unit_test(s04_killed_after_the_endpoint_got_it),
        cmocka_unit_test(s05_and_it_comes_back),
        cmocka_unit_test(s06_done_reached_one_only),
        cmocka_unit_test(s07_done_lost_for_a_while),
        cmocka_unit_test(s08_done_never_reaches_the_second),
        cmocka_unit_test(s09_slow_endpoint),
        cmocka_unit_test(s11_endpoint_down_for_long),
        cmocka_unit_test(s12_endpoint_refuses_one_member),
        cmocka_unit_test(s13_paused_shortly),
        cmocka_unit_test(s14_paused_for_long),
        cmocka_unit_test(s15_paused_inside_the_attempt),
        cmocka_unit_test(s16_partition_with_data_on_both_sides),
        cmocka_unit_test(s17_partition_with_data_on_one_side),
        cmocka_unit_test(s18_levels_change_on_both_sides),
        cmocka_unit_test(s19_all_owners_on_one_side),
        cmocka_unit_test(s20_first_owner_is_not_heard),
        cmocka_unit_test(s21_first_owner_hears_nothing),
        cmocka_unit_test(s22_bridge),
        cmocka_unit_test(s24_loss_on_everything),
        cmocka_unit_test(s25_duplicated_and_reordered),
        cmocka_unit_test(s26_wall_clock_off),
        cmocka_unit_test(s27_wall_clock_jumps_back),
        cmocka_unit_test(s28_restart_in_two_seconds),
        cmocka_unit_test(s30_rolling_restart),
        cmocka_unit_test(s31_power_cut_with_pending),
        cmocka_unit_test(s37_topics_are_independent),
        cmocka_unit_test(s38_handlers_are_independent),
        cmocka_unit_test(s39_in_order_over_a_death),
        cmocka_unit_test(s41_disk_full),
        cmocka_unit_test(s42_no_word_between_owners),
        cmocka_unit_test(s43_two_members_apart),
        cmocka_unit_test(random_courses),
        cmocka_unit_test(a_missing_rule_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
