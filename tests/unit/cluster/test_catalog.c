#include "rig.h"

static bool agree(const struct rig *r)
{
    for (int i = 1; i < r->n; i++)
        if (rig_digest(r, i) != rig_digest(r, 0))
            return false;
    return true;
}

static struct rig *three(void)
{
    struct rig *r = rig_new(3, false);
    rig_list_all(r);
    rig_run(r, KAP_S);
    return r;
}

TEST(a_definition_reaches_all_at_once)
{
    struct rig *r = three();
    rig_put(r, 0, "cpu", "v1");
    STR_EQ(rig_get(r, 0, "cpu"), "v1"); /* here before it is stored */
    rig_pump(r);
    for (int i = 0; i < 3; i++)
        STR_EQ(rig_get(r, i, "cpu"), "v1");
    assert_true(agree(r));
    rig_free(r);
}

TEST(the_last_writer_wins_everywhere)
{
    struct rig *r = three();
    r->m[1].wall_off_ns = -30 * KAP_S; /* the one who writes later has the slower clock */
    rig_put(r, 0, "cpu", "v1");
    rig_pump(r);
    rig_put(r, 1, "cpu", "v2");
    rig_pump(r);
    for (int i = 0; i < 3; i++)
        STR_EQ(rig_get(r, i, "cpu"), "v2");
    rig_free(r);
}

TEST(writers_at_the_same_time_agree_on_one)
{
    struct rig *r = three();
    for (int i = 0; i < 3; i++)
        rig_put(r, i, "cpu", i == 0 ? "a" : i == 1 ? "b" : "c");
    rig_run(r, 2 * KAP_S);
    assert_true(agree(r));
    for (int i = 0; i < 3; i++)
        STR_EQ(rig_get(r, i, "cpu"), "c"); /* equal stamps: the larger member ID */
    rig_free(r);
}

TEST(lost_pushes_are_repaired)
{
    struct rig *r = three();
    r->lose_messages = true;
    rig_put(r, 0, "cpu", "v1");
    rig_put(r, 1, "mem", "v1");
    rig_run(r, 5 * KAP_S);
    STR_EQ(rig_get(r, 1, "cpu"), "-");
    r->lose_messages = false;
    rig_run(r, 20 * KAP_S);
    assert_true(agree(r));
    STR_EQ(rig_get(r, 2, "cpu"), "v1");
    STR_EQ(rig_get(r, 0, "mem"), "v1");
    rig_free(r);
}

TEST(a_deletion_wins_over_who_missed_it)
{
    struct rig *r = three();
    rig_put(r, 0, "cpu", "v1");
    rig_pump(r);
    rig_kill(r, 2);
    rig_drop(r, 0, "cpu");
    rig_run(r, 7 * 24 * KAP_HOUR / 1000); /* ten minutes of ticks; tombstones do not age */
    STR_EQ(rig_get(r, 1, "cpu"), "-");
    assert_true(kap_catalog_was_dropped(r->m[0].catalog, KAP_CATALOG_TASK, KAP_STR("cpu")));
    rig_start(r, 2);
    STR_EQ(rig_get(r, 2, "cpu"), "v1"); /* its disk still has it */
    rig_list_all(r);
    rig_run(r, 20 * KAP_S);
    for (int i = 0; i < 3; i++)
        STR_EQ(rig_get(r, i, "cpu"), "-");
    rig_free(r);
}

TEST(a_tombstone_goes_when_all_have_seen_it)
{
    struct rig *r = three();
    rig_put(r, 0, "cpu", "v1");
    rig_pump(r);
    rig_drop(r, 0, "cpu");
    rig_run(r, 120 * KAP_S);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kap_catalog_stats(r->m[i].catalog).tombstones, 0);
        assert_false(kap_catalog_was_dropped(r->m[i].catalog, KAP_CATALOG_TASK, KAP_STR("cpu")));
    }
    assert_true(agree(r));
    rig_put(r, 1, "cpu", "again");
    rig_pump(r);
    STR_EQ(rig_get(r, 2, "cpu"), "again");
    rig_free(r);
}

TEST(what_is_not_stored_is_not_told)
{
    struct rig *r = three();
    struct kap_error err;
    const uint64_t before = rig_digest(r, 0);
    r->m[0].disk_fails = true;
    OK(kap_catalog_put(r->m[0].catalog, KAP_CATALOG_TASK, KAP_STR("cpu"), KAP_STR("v1"), 77, &err), &err);
    rig_pump(r);
    assert_int_equal(r->m[0].done_token, 77);
    assert_int_equal(r->m[0].done_status, KAP_EIO);
    assert_int_equal(r->m[0].store_failed, 1);
    assert_true(rig_digest(r, 0) == before);
    STR_EQ(rig_get(r, 1, "cpu"), "-");
    r->m[0].disk_fails = false; /* it is tried again */
    rig_run(r, 5 * KAP_S);
    STR_EQ(rig_get(r, 1, "cpu"), "v1");
    assert_true(agree(r));
    rig_free(r);
}

TEST(done_comes_when_it_is_durable)
{
    struct rig *r = rig_new(1, false);
    struct kap_error err;
    OK(kap_catalog_put(r->m[0].catalog, KAP_CATALOG_TASK, KAP_STR("cpu"), KAP_STR("v1"), 5, &err), &err);
    assert_int_equal(r->m[0].done_token, 0);
    rig_pump(r);
    assert_int_equal(r->m[0].done_token, 5);
    assert_int_equal(r->m[0].done_status, KAP_OK);
    OK(kap_catalog_drop(r->m[0].catalog, KAP_CATALOG_TASK, KAP_STR("none"), 6, &err), &err);
    assert_int_equal(r->m[0].done_token, 6); /* nothing to do is done */
    rig_free(r);
}

TEST(a_restart_finds_what_was_stored)
{
    struct rig *r = three();
    rig_put(r, 0, "cpu", "v1");
    rig_put(r, 0, "mem", "v1");
    rig_pump(r);
    r->lose_messages = true;
    rig_drop(r, 0, "mem");
    rig_pump(r);
    rig_put(r, 0, "disk", "v1"); /* not stored in time */
    const uint64_t digest = rig_digest(r, 0);
    rig_kill(r, 0);
    rig_pump(r);
    r->lose_messages = false;
    rig_start(r, 0);
    assert_true(rig_digest(r, 0) == digest);
    STR_EQ(rig_get(r, 0, "cpu"), "v1");
    STR_EQ(rig_get(r, 0, "disk"), "-");
    assert_true(kap_catalog_was_dropped(r->m[0].catalog, KAP_CATALOG_TASK, KAP_STR("mem")));
    rig_put(r, 0, "cpu", "v2"); /* newer than all that was loaded */
    rig_list_all(r);
    rig_run(r, 20 * KAP_S);
    STR_EQ(rig_get(r, 1, "cpu"), "v2");
    STR_EQ(rig_get(r, 1, "mem"), "-");
    assert_true(agree(r));
    rig_free(r);
}

TEST(a_clock_too_far_ahead_is_refused)
{
    struct rig *r = three();
    r->m[0].wall_off_ns = 2 * KAP_HOUR;
    rig_put(r, 0, "cpu", "future");
    rig_pump(r);
    STR_EQ(rig_get(r, 1, "cpu"), "-");
    assert_true(r->m[1].ahead > 0);
    assert_true(kap_catalog_stats(r->m[1].catalog).refused > 0);
    rig_put(r, 1, "cpu", "now");
    rig_pump(r);
    STR_EQ(rig_get(r, 2, "cpu"), "now"); /* the others are not dragged along */
    rig_free(r);
}

TEST(the_cluster_wins_at_an_add)
{
    struct rig *r = rig_new(2, false);
    rig_put(r, 1, "cpu", "theirs");
    rig_put(r, 1, "own", "theirs");
    rig_put(r, 1, "same", "equal");
    rig_put(r, 1, "gone", "theirs");
    rig_drop(r, 1, "gone");
    rig_put(r, 0, "same", "equal");
    rig_put(r, 0, "gone", "cluster");
    rig_pump(r);
    r->m[0].wall_off_ns = -KAP_HOUR; /* older, and wins all the same */
    rig_put(r, 0, "cpu", "cluster");
    kap_catalog_rebase(r->m[1].catalog);
    rig_list_all(r);
    rig_run(r, 20 * KAP_S);
    for (int i = 0; i < 2; i++) {
        STR_EQ(rig_get(r, i, "cpu"), "cluster");
        STR_EQ(rig_get(r, i, "own"), "theirs");
        STR_EQ(rig_get(r, i, "same"), "equal");
        STR_EQ(rig_get(r, i, "gone"), "cluster");
    }
    assert_int_equal(r->m[1].conflicts, 1);
    assert_string_equal(r->m[1].loser, "theirs");
    assert_string_equal(r->m[1].winner, "cluster");
    assert_int_equal(r->m[0].conflicts, 0);
    assert_true(agree(r));
    rig_free(r);
}

TEST(a_removed_one_keeps_definitions_and_loses_tombstones)
{
    struct rig *r = three();
    rig_put(r, 0, "cpu", "v1");
    rig_put(r, 0, "mem", "v1");
    rig_pump(r);
    rig_drop(r, 1, "mem");
    rig_pump(r);
    kap_catalog_detach(r->m[2].catalog);
    STR_EQ(rig_get(r, 2, "cpu"), "v1");
    assert_int_equal(kap_catalog_stats(r->m[2].catalog).tombstones, 0);
    rig_put(r, 0, "cpu", "v2"); /* it does not listen any more */
    rig_run(r, 70 * KAP_S);
    STR_EQ(rig_get(r, 2, "cpu"), "v1");
    rig_free(r);
}

TEST(limits)
{
    struct rig *r = three();
    struct kap_error err;
    struct kap_catalog *c = r->m[0].catalog;
    char *big = kap_alloc(KAP_CATALOG_BLOB_BYTES + 1);
    memset(big, 'x', KAP_CATALOG_BLOB_BYTES + 1);
    FAILS(kap_catalog_put(c, KAP_CATALOG_TASK, KAP_STR(""), KAP_STR("v"), 0, &err), &err,
          "the ID of a task must have 1 to 1024 bytes");
    FAILS(kap_catalog_put(c, KAP_CATALOG_HANDLER, kap_strn(big, 1025), KAP_STR("v"), 0, &err), &err,
          "the ID of a handler must have 1 to 1024 bytes");
    FAILS(kap_catalog_put(c, KAP_CATALOG_TASK, KAP_STR("t"), kap_strn(big, KAP_CATALOG_BLOB_BYTES + 1), 0,
                          &err),
          &err, "task 't' has 4194305 bytes, the limit is 4194304");
    FAILS(kap_catalog_put(c, KAP_CATALOG_KINDS, KAP_STR("t"), KAP_STR("v"), 0, &err), &err,
          "unknown kind 6 of definition");
    OK(kap_catalog_put(c, KAP_CATALOG_TASK, kap_strn(big, 1024), kap_strn(big, KAP_CATALOG_BLOB_BYTES), 0,
                       &err),
       &err);
    rig_pump(r);
    assert_true(agree(r));
    assert_int_equal(kap_catalog_stats(r->m[2].catalog).entries, 1);
    kap_free(big);
    rig_free(r);
}

TEST(what_cannot_be_read_costs_a_counter)
{
    struct rig *r = three();
    kap_catalog_message(r->m[0].catalog, kap_str(r->m[1].id), KAP_STR("\xff\xff\xff"));
    assert_int_equal(r->m[0].bad, 1);
    assert_int_equal(kap_catalog_stats(r->m[0].catalog).bad_messages, 1);
    kap_catalog_message(r->m[0].catalog, KAP_STR("stranger"), KAP_STR("\xff\xff\xff"));
    assert_int_equal(r->m[0].bad, 1); /* who is not a member is not even read */
    kap_catalog_stored(r->m[0].catalog, 12345, true);
    rig_free(r);
}

static bool collect(void *ctx, const struct kap_catalog_entry *e)
{
    kap_buf_add(ctx, e->id);
    return !kap_str_eq(e->id, KAP_STR("c"));
}

TEST(walks_go_by_id_and_skip_what_was_dropped)
{
    struct rig *r = rig_new(1, false);
    KAP_AUTO_BUF struct kap_buf seen = { 0 };
    const char *const ids[] = { "d", "b", "a", "x", "c" };
    for (size_t i = 0; i < KAP_COUNT(ids); i++)
        rig_put(r, 0, ids[i], "v");
    rig_drop(r, 0, "b");
    kap_catalog_each(r->m[0].catalog, KAP_CATALOG_TASK, collect, &seen);
    STR_EQ(kap_buf_str(&seen), "ac"); /* and ends where it is told to */
    rig_free(r);
}

TEST(many_definitions_are_repaired_in_one_go)
{
    struct rig *r = three();
    char id[16];
    r->lose_messages = true;
    for (int i = 0; i < 3000; i++) {
        snprintf(id, sizeof id, "task%d", i);
        rig_put(r, i % 3, id, "definition");
        if (i % 100 == 0)
            rig_pump(r);
    }
    rig_pump(r);
    r->lose_messages = false;
    rig_run(r, 60 * KAP_S);
    assert_true(agree(r));
    for (int i = 0; i < 3; i++)
        assert_int_equal(kap_catalog_stats(r->m[i].catalog).entries, 3000);
    rig_free(r);
}

/* Three members that lack one of the rules: what the tests above rest on. */
static struct rig *three_without(struct kap_catalog_faults faults)
{
    struct rig *r = rig_new(3, false);
    r->faults = faults;
    for (int i = 0; i < 3; i++) {
        rig_kill(r, i);
        rig_start(r, i);
    }
    rig_list_all(r);
    rig_run(r, KAP_S);
    return r;
}

TEST(without_tombstones_the_dead_come_back)
{
    struct rig *r = three_without((struct kap_catalog_faults){ .no_tombstones = true });
    rig_put(r, 0, "cpu", "v1");
    rig_pump(r);
    rig_kill(r, 2);
    for (int i = 0; i < 2; i++)
        rig_drop(r, i, "cpu");
    rig_run(r, 5 * KAP_S);
    STR_EQ(rig_get(r, 0, "cpu"), "-");
    rig_start(r, 2);
    rig_list_all(r);
    rig_run(r, 20 * KAP_S);
    STR_EQ(rig_get(r, 0, "cpu"), "v1");
    rig_free(r);
}

TEST(without_repair_what_is_lost_stays_lost)
{
    struct rig *r = three_without((struct kap_catalog_faults){ .no_repair = true });
    r->lose_messages = true;
    rig_put(r, 0, "cpu", "v1");
    rig_run(r, 2 * KAP_S);
    r->lose_messages = false;
    rig_run(r, 200 * KAP_S);
    STR_EQ(rig_get(r, 1, "cpu"), "-");
    assert_false(agree(r));
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_definition_reaches_all_at_once),
        cmocka_unit_test(the_last_writer_wins_everywhere),
        cmocka_unit_test(writers_at_the_same_time_agree_on_one),
        cmocka_unit_test(lost_pushes_are_repaired),
        cmocka_unit_test(a_deletion_wins_over_who_missed_it),
        cmocka_unit_test(a_tombstone_goes_when_all_have_seen_it),
        cmocka_unit_test(what_is_not_stored_is_not_told),
        cmocka_unit_test(done_comes_when_it_is_durable),
        cmocka_unit_test(a_restart_finds_what_was_stored),
        cmocka_unit_test(a_clock_too_far_ahead_is_refused),
        cmocka_unit_test(the_cluster_wins_at_an_add),
        cmocka_unit_test(a_removed_one_keeps_definitions_and_loses_tombstones),
        cmocka_unit_test(limits),
        cmocka_unit_test(what_cannot_be_read_costs_a_counter),
        cmocka_unit_test(walks_go_by_id_and_skip_what_was_dropped),
        cmocka_unit_test(many_definitions_are_repaired_in_one_go),
        cmocka_unit_test(without_tombstones_the_dead_come_back),
        cmocka_unit_test(without_repair_what_is_lost_stays_lost),
    };
    return RUN_TESTS(tests);
}
