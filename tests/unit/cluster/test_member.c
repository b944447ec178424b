#include "rig.h"

static void add(struct rig *r, int by, int whom)
{
    kap_members_add(r->m[by].members, kap_str(r->m[whom].address), 9);
    rig_run(r, 3 * KAP_S);
}

static void added(struct rig *r, int by, int whom)
{
    add(r, by, whom);
    assert_int_equal(r->m[by].finished_token, 9);
    if (r->m[by].finished_status != KAP_OK)
        fail_msg("%s", r->m[by].finished_text);
}

static void removed(struct rig *r, int by, int whom)
{
    r->m[by].finished_token = 0;
    kap_members_remove(r->m[by].members, kap_str(r->m[whom].id), 8);
    rig_run(r, 3 * KAP_S);
    assert_int_equal(r->m[by].finished_token, 8);
    assert_int_equal(r->m[by].finished_status, KAP_OK);
}

static size_t count(const struct rig *r, int member)
{
    return kap_members_count(r->m[member].members);
}

static bool together(const struct rig *r, int a, int b)
{
    return strcmp(r->m[a].cluster_id, r->m[b].cluster_id) == 0;
}

static struct rig *cluster_of(int n)
{
    struct rig *r = rig_new(RIG_MEMBERS, true);
    rig_run(r, KAP_S);
    for (int i = 1; i < n; i++)
        added(r, 0, i);
    return r;
}

TEST(alone_it_is_uninitialized)
{
    struct rig *r = cluster_of(1);
    assert_int_equal(count(r, 0), 1);
    assert_false(kap_members_initialized(r->m[0].members));
    assert_string_equal(kap_members_at(r->m[0].members, 0)->id, r->m[0].id);
    assert_null(kap_members_at(r->m[0].members, 1));
    rig_free(r);
}

TEST(an_add_makes_both_initialized_under_the_adders_id)
{
    struct rig *r = cluster_of(1);
    char adders[40];
    snprintf(adders, sizeof adders, "%s", r->m[0].cluster_id);
    added(r, 0, 1);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(r->m[i].cluster_id, adders);
        assert_string_equal(kap_members_cluster_id(r->m[i].members), adders);
        assert_int_equal(count(r, i), 2);
        assert_true(kap_members_initialized(r->m[i].members));
    }
    STR_EQ(kap_members_at(r->m[1].members, 1)->rpc_address, "m0:9091");
    rig_free(r);
}

TEST(everybody_lists_everybody_in_the_order_of_the_adds)
{
    struct rig *r = cluster_of(1);
    added(r, 0, 2);
    added(r, 2, 1); /* any member may add */
    for (int i = 0; i < 3; i++)
        assert_int_equal(count(r, i), 3);
    assert_string_equal(kap_members_at(r->m[0].members, 1)->id, r->m[2].id);
    assert_string_equal(kap_members_at(r->m[0].members, 2)->id, r->m[1].id);
    assert_true(together(r, 0, 1) && together(r, 0, 2));
    rig_free(r);
}

TEST(definitions_meet_at_an_add)
{
    struct rig *r = cluster_of(1);
    rig_put(r, 0, "cpu", "cluster");
    rig_put(r, 1, "cpu", "brought");
    rig_put(r, 1, "own", "brought");
    rig_pump(r);
    added(r, 0, 1);
    rig_run(r, 20 * KAP_S);
    for (int i = 0; i < 2; i++) {
        STR_EQ(rig_get(r, i, "cpu"), "cluster");
        STR_EQ(rig_get(r, i, "own"), "brought");
    }
    assert_int_equal(r->m[1].conflicts, 1);
    assert_true(rig_digest(r, 0) == rig_digest(r, 1));
    rig_free(r);
}

TEST(adding_again_changes_nothing)
{
    struct rig *r = cluster_of(2);
    added(r, 0, 1);
    added(r, 1, 0);
    assert_int_equal(count(r, 0), 2);
    assert_true(together(r, 0, 1));
    rig_free(r);
}

TEST(a_member_of_another_cluster_is_refused)
{
    struct rig *r = cluster_of(2);
    added(r, 2, 3);
    add(r, 0, 3);
    assert_int_equal(r->m[0].finished_status, KAP_ESTATE);
    assert_non_null(strstr(r->m[0].finished_text, "belongs to cluster"));
    assert_non_null(strstr(r->m[0].finished_text, "kapacitor-ctl member remove"));
    assert_int_equal(count(r, 0), 2);
    assert_int_equal(count(r, 3), 2);
    assert_false(together(r, 0, 3));
    rig_free(r);
}

TEST(what_an_operator_gets_wrong)
{
    struct rig *r = cluster_of(1);
    kap_members_add(r->m[0].members, KAP_STR("serverB"), 1);
    assert_string_equal(r->m[0].finished_text,
                        "'serverB' is not an RPC address: give host:port, e.g. serverB:9091");
    add(r, 0, 0);
    assert_string_equal(r->m[0].finished_text, "m0:9091 is this member itself");
    kap_members_add(r->m[0].members, KAP_STR("nobody:9091"), 2);
    rig_pump(r);
    assert_string_equal(r->m[0].finished_text, "nobody:9091: connection refused");
    kap_members_remove(r->m[0].members, kap_str(r->m[1].id), 3);
    assert_int_equal(r->m[0].finished_status, KAP_ENOTFOUND);
    kap_members_remove(r->m[0].members, kap_str(r->m[0].id), 4);
    assert_string_equal(r->m[0].finished_text, "this member is alone; there is no cluster to remove it from");
    assert_int_equal(count(r, 0), 1);
    rig_free(r);
}

TEST(a_removed_one_is_alone_with_a_fresh_id)
{
    struct rig *r = cluster_of(3);
    char old[40];
    snprintf(old, sizeof old, "%s", r->m[0].cluster_id);
    rig_put(r, 0, "cpu", "v1");
    rig_pump(r);
    removed(r, 0, 2);
    assert_int_equal(r->m[2].times_removed, 1);
    assert_int_equal(count(r, 2), 1);
    assert_string_not_equal(r->m[2].cluster_id, old);
    assert_true(kap_uuid_valid(kap_str(r->m[2].cluster_id)));
    STR_EQ(rig_get(r, 2, "cpu"), "v1");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(count(r, i), 2);
        assert_string_equal(r->m[i].cluster_id, old);
    }
    added(r, 1, 2); /* and may come back */
    for (int i = 0; i < 3; i++)
        assert_int_equal(count(r, i), 3);
    assert_string_equal(r->m[2].cluster_id, old);
    rig_free(r);
}

TEST(a_member_can_remove_itself)
{
    struct rig *r = cluster_of(3);
    removed(r, 2, 2);
    assert_int_equal(count(r, 2), 1);
    assert_int_equal(count(r, 0), 2);
    assert_false(together(r, 0, 2));
    rig_free(r);
}

TEST(removed_while_it_was_down)
{
    struct rig *r = cluster_of(3);
    rig_kill(r, 2);
    removed(r, 0, 2);
    assert_int_equal(count(r, 1), 2);
    rig_run(r, 200 * KAP_S);
    rig_start(r, 2);
    assert_int_equal(count(r, 2), 3); /* it does not know yet */
    rig_run(r, 5 * KAP_S);
    assert_int_equal(r->m[2].times_removed, 1);
    assert_int_equal(count(r, 2), 1);
    assert_false(together(r, 0, 2));
    assert_int_equal(count(r, 0), 2);
    assert_int_equal(count(r, 1), 2);
    rig_free(r);
}

TEST(the_last_one_left_keeps_the_cluster_id)
{
    struct rig *r = cluster_of(2);
    char old[40];
    snprintf(old, sizeof old, "%s", r->m[0].cluster_id);
    removed(r, 1, 0); /* not the first one, either */
    assert_string_equal(r->m[1].cluster_id, old);
    assert_string_not_equal(r->m[0].cluster_id, old);
    assert_int_equal(count(r, 1), 1);
    assert_false(kap_members_initialized(r->m[1].members));
    added(r, 1, 3);
    assert_string_equal(r->m[3].cluster_id, old);
    rig_free(r);
}

TEST(a_restart_with_a_new_address_is_the_same_member)
{
    struct rig *r = cluster_of(3);
    rig_kill(r, 1);
    snprintf(r->m[1].address, sizeof r->m[1].address, "elsewhere:1");
    rig_run(r, 5 * KAP_S);
    rig_start(r, 1);
    rig_run(r, 20 * KAP_S);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(count(r, i), 3);
        STR_EQ(kap_members_find(r->m[i].members, kap_str(r->m[1].id))->rpc_address, "elsewhere:1");
    }
    assert_true(together(r, 0, 1));
    rig_free(r);
}

TEST(an_adoption_that_got_lost_is_repeated)
{
    struct rig *r = cluster_of(1);
    kap_members_add(r->m[0].members, kap_str(r->m[1].address), 9);
    rig_handle(r, &r->queue[r->head]); /* its own entry is stored or the call arrives: step by step */
    while (!rig_lists(r, 0, 1)) {
        kap_buf_done(&r->queue[r->head].bytes);
        rig_row_done(&r->queue[r->head].row);
        r->head++;
        rig_handle(r, &r->queue[r->head]);
    }
    kap_buf_done(&r->queue[r->head].bytes);
    rig_row_done(&r->queue[r->head].row);
    r->head++;
    r->cut[0][1] = r->cut[1][0] = true; /* the adoption is on its way */
    rig_run(r, 5 * KAP_S);
    assert_int_equal(r->m[0].finished_status, KAP_EIO);
    assert_non_null(strstr(r->m[0].finished_text, "it joins as soon as it can be reached"));
    assert_int_equal(count(r, 0), 2);
    assert_int_equal(count(r, 1), 1);
    r->cut[0][1] = r->cut[1][0] = false;
    rig_run(r, 5 * KAP_S);
    assert_int_equal(count(r, 1), 2);
    assert_true(together(r, 0, 1));
    rig_free(r);
}

TEST(two_adders_at_once_do_not_share_one)
{
    struct rig *r = cluster_of(1);
    kap_members_add(r->m[0].members, kap_str(r->m[2].address), 9);
    kap_members_add(r->m[1].members, kap_str(r->m[2].address), 9);
    rig_run(r, 10 * KAP_S);
    const int winner = together(r, 0, 2) ? 0 : 1, loser = 1 - winner;
    assert_int_equal(r->m[winner].finished_status, KAP_OK);
    assert_int_equal(r->m[loser].finished_status, KAP_ESTATE);
    assert_int_equal(count(r, winner), 2);
    assert_int_equal(count(r, 2), 2);
    assert_int_equal(count(r, loser), 1);
    assert_false(together(r, 0, 1));
    rig_free(r);
}

TEST(strangers_get_nothing)
{
    struct rig *r = cluster_of(2);
    assert_int_equal(kap_members_hello(r->m[0].members, kap_str(r->m[2].id), kap_str(r->m[2].cluster_id),
                                       kap_str(r->m[2].address)),
                     KAP_WELCOME_STRANGER);
    /* It claims our cluster, but was never added. */
    assert_int_equal(kap_members_hello(r->m[0].members, kap_str(r->m[2].id), kap_str(r->m[0].cluster_id),
                                       kap_str(r->m[2].address)),
                     KAP_WELCOME_STRANGER);
    /* A second process with our own ID. */
    assert_int_equal(kap_members_hello(r->m[0].members, kap_str(r->m[0].id), kap_str(r->m[0].cluster_id),
                                       kap_str(r->m[2].address)),
                     KAP_WELCOME_STRANGER);
    kap_members_request(r->m[0].members, KAP_STR("x"), 2ull << 32, KAP_STR("\xff\xff"));
    kap_members_answer(r->m[0].members, 4711, KAP_OK, KAP_STR("\xff"), NULL);
    assert_int_equal(count(r, 0), 2);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_it_is_uninitialized),
        cmocka_unit_test(an_add_makes_both_initialized_under_the_adders_id),
        cmocka_unit_test(everybody_lists_everybody_in_the_order_of_the_adds),
        cmocka_unit_test(definitions_meet_at_an_add),
        cmocka_unit_test(adding_again_changes_nothing),
        cmocka_unit_test(a_member_of_another_cluster_is_refused),
        cmocka_unit_test(what_an_operator_gets_wrong),
        cmocka_unit_test(a_removed_one_is_alone_with_a_fresh_id),
        cmocka_unit_test(a_member_can_remove_itself),
        cmocka_unit_test(removed_while_it_was_down),
        cmocka_unit_test(the_last_one_left_keeps_the_cluster_id),
        cmocka_unit_test(a_restart_with_a_new_address_is_the_same_member),
        cmocka_unit_test(an_adoption_that_got_lost_is_repeated),
        cmocka_unit_test(two_adders_at_once_do_not_share_one),
        cmocka_unit_test(strangers_get_nothing),
    };
    return RUN_TESTS(tests);
}
