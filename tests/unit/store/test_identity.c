#include "store/identity.h"

#include "dir.h"

static void test_makes_ids_once(void **state)
{
    struct kap_error err;
    struct kap_identity a, b;
    assert_int_equal(kap_identity_open(test_dir, &a, &err), KAP_OK);
    assert_true(kap_uuid_valid(kap_str(a.server_id)));
    assert_true(kap_uuid_valid(kap_str(a.cluster_id)));
    assert_string_not_equal(a.server_id, a.cluster_id);
    kap_identity_close(&a);
    assert_int_equal(kap_identity_open(test_dir, &b, &err), KAP_OK);
    assert_string_equal(a.server_id, b.server_id);
    assert_string_equal(a.cluster_id, b.cluster_id);
    kap_identity_close(&b);
}

static void test_adopts_existing_files(void **state)
{
    struct kap_error err;
    struct kap_identity id;
    write_test_file("server.id", "13eeefdd-41b5-453f-928e-cb9c55fd2a5d");
    write_test_file("cluster.id", "876ddfb4-1879-4f40-87e2-4080c04d3096\n");
    assert_int_equal(kap_identity_open(test_dir, &id, &err), KAP_OK);
    assert_string_equal(id.server_id, "13eeefdd-41b5-453f-928e-cb9c55fd2a5d");
    assert_string_equal(id.cluster_id, "876ddfb4-1879-4f40-87e2-4080c04d3096");
    kap_identity_close(&id);
}

static void test_refuses_garbage_by_name(void **state)
{
    struct kap_error err;
    struct kap_identity id;
    write_test_file("server.id", "not an id");
    assert_int_equal(kap_identity_open(test_dir, &id, &err), KAP_EINVAL);
    assert_non_null(strstr(err.msg, "server.id"));
    write_test_file("server.id", "");
    assert_int_equal(kap_identity_open(test_dir, &id, &err), KAP_EINVAL);
}

static void test_one_process_per_directory(void **state)
{
    struct kap_error err;
    struct kap_identity a, b;
    assert_int_equal(kap_identity_open(test_dir, &a, &err), KAP_OK);
    assert_int_equal(kap_identity_open(test_dir, &b, &err), KAP_ESTATE);
    assert_non_null(strstr(err.msg, "in use"));
    kap_identity_close(&a);
    assert_int_equal(kap_identity_open(test_dir, &b, &err), KAP_OK);
    kap_identity_close(&b);
}

static void test_new_cluster_id_is_kept(void **state)
{
    struct kap_error err;
    struct kap_identity id;
    assert_int_equal(kap_identity_open(test_dir, &id, &err), KAP_OK);
    assert_int_equal(kap_identity_set_cluster_id(test_dir, &id, "nonsense", &err), KAP_EINVAL);
    assert_int_equal(kap_identity_set_cluster_id(test_dir, &id, "876ddfb4-1879-4f40-87e2-4080c04d3096", &err),
                     KAP_OK);
    kap_identity_close(&id);
    assert_int_equal(kap_identity_open(test_dir, &id, &err), KAP_OK);
    assert_string_equal(id.cluster_id, "876ddfb4-1879-4f40-87e2-4080c04d3096");
    kap_identity_close(&id);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_test_dir, drop_test_dir)
    const struct CMUnitTest tests[] = {
        TEST(test_makes_ids_once),          TEST(test_adopts_existing_files),
        TEST(test_refuses_garbage_by_name), TEST(test_one_process_per_directory),
        TEST(test_new_cluster_id_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
