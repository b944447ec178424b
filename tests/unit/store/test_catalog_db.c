#include "store/catalog_db.h"

#include "dir.h"

static char seen[1024];

static void row(void *ctx, const struct kap_catalog_row *r)
{
    const size_t n = strlen(seen);
    snprintf(seen + n, sizeof seen - n, "%d/%.*s=%.*s%s%s@%llu by %.*s;", r->kind, KAP_STR_ARG(r->id),
             KAP_STR_ARG(r->blob), r->deleted ? " deleted" : "", r->foreign ? " foreign" : "",
             (unsigned long long)r->stamp, KAP_STR_ARG(r->origin));
}

static void backup(void *ctx, const struct kap_catalog_row *r, int64_t wall_ns)
{
    assert_int_equal(wall_ns, 77);
    row(ctx, r);
}

static void test_round_trip(void **state)
{
    struct kap_error err;
    struct kap_catalog_db *db;
    uint64_t watermark = 1;
    assert_int_equal(kap_catalog_db_open(test_dir, &db, &err), KAP_OK);
    struct kap_catalog_row r = {
        .kind = 2, .id = KAP_STR("b"), .blob = KAP_STR("{}"), .origin = KAP_STR("A"), .stamp = UINT64_MAX - 5
    };
    kap_catalog_db_put(db, &r, NULL, NULL, 0);
    r.id = KAP_STR("a");
    r.foreign = true;
    kap_catalog_db_put(db, &r, NULL, NULL, 0);
    r.foreign = false;
    r.deleted = true;
    r.blob = KAP_STR("");
    kap_catalog_db_put(db, &r, NULL, NULL, 0);
    r.id = KAP_STR("gone");
    kap_catalog_db_put(db, &r, NULL, NULL, 0);
    kap_catalog_db_forget(db, 2, KAP_STR("gone"));
    kap_catalog_db_set_watermark(db, UINT64_MAX);
    r.deleted = false;
    r.blob = KAP_STR("old");
    kap_catalog_db_backup(db, &r, 77);
    kap_catalog_db_close(db);

    assert_int_equal(kap_catalog_db_open(test_dir, &db, &err), KAP_OK);
    seen[0] = '\0';
    assert_int_equal(kap_catalog_db_load(db, row, NULL, &watermark, &err), KAP_OK);
    assert_string_equal(seen, "2/a= deleted@18446744073709551610 by A;2/b={}@18446744073709551610 by A;");
    assert_true(watermark == UINT64_MAX);
    seen[0] = '\0';
    assert_int_equal(kap_catalog_db_backups(db, backup, NULL, &err), KAP_OK);
    assert_string_equal(seen, "2/gone=old@18446744073709551610 by A;");
    kap_catalog_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, make_test_dir, drop_test_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
