#include "store/db.h"

#include "dir.h"
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { INSERT, FAIL };
static const char *const v1[] = { "CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)" };
static const char *const v2[] = { "CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)",
                                  "ALTER TABLE t ADD COLUMN w TEXT" };
static const char *const statements[] = {
    [INSERT] = "INSERT INTO t (k, v) VALUES (?,?)",
    [FAIL] = "INSERT INTO t (k, v) VALUES (abs(-9223372036854775808), ?)",
};
static const struct kap_db_schema schema1 = { "test", v1, 1, statements, 2, 0 };
static const struct kap_db_schema schema2 = { "test", v2, 2, statements, 2, 0 };

static _Atomic int done_ok, done_failed;

static void done(void *ctx, uint64_t token, enum kap_status status, const struct kap_error *err)
{
    if (status == KAP_OK)
        done_ok++;
    else
        done_failed++;
}

static void run(struct kap_db *db, const struct kap_db_step *steps, size_t n, const char *name, int64_t token)
{
    kap_db_run(db, &(struct kap_db_operation){ .steps = steps, .n = n, .name = kap_str(name), .done = done,
                                               .token = (uint64_t)token });
}

static void insert_named(struct kap_db *db, int64_t k, const char *v, const char *name)
{
    const struct kap_db_value values[] = { kap_db_int(k), kap_db_blob(kap_str(v)) };
    run(db, &(struct kap_db_step){ INSERT, 2, values }, 1, name, k);
}

static void insert(struct kap_db *db, int64_t k, const char *v)
{
    insert_named(db, k, v, "");
}

/* `second` NULL: a step that fails. */
static void insert_two(struct kap_db *db, int64_t k, const char *first, const char *second)
{
    const struct kap_db_value a[] = { kap_db_int(k), kap_db_blob(kap_str(first)) };
    const struct kap_db_value b[] = { kap_db_int(k + 1), kap_db_blob(kap_str(second ? second : "")) };
    const struct kap_db_value bad = kap_db_blob(KAP_STR("x"));
    const struct kap_db_step steps[] = { { INSERT, 2, a },
                                         second ? (struct kap_db_step){ INSERT, 2, b } : (struct kap_db_step){ FAIL, 1, &bad } };
    run(db, steps, 2, "", k);
}

static bool count_row(void *ctx, struct sqlite3_stmt *row)
{
    ++*(int *)ctx;
    return true;
}

static int count(struct kap_db *db)
{
    int n = 0;
    struct kap_error err;
    assert_int_equal(kap_db_read(db, "SELECT k FROM t", NULL, 0, count_row, &n, &err), KAP_OK);
    return n;
}

static void test_groups_and_answers(void **state)
{
    KAP_AUTO_FREE char *path = test_path("a.db");
    struct kap_error err;
    struct kap_db *db;
    done_ok = done_failed = 0;
    assert_int_equal(kap_db_open(path, &schema1, &db, &err), KAP_OK);
    for (int i = 0; i < 10000; i++)
        insert(db, i, "value");
    assert_int_equal(kap_db_flush(db, &err), KAP_OK);
    assert_int_equal(done_ok, 10000);
    assert_int_equal(count(db), 10000);
    assert_true(kap_db_stats(db).commits < 5000);
    kap_db_close(db);
    assert_int_equal(kap_db_open(path, &schema1, &db, &err), KAP_OK);
    assert_int_equal(count(db), 10000);
    kap_db_close(db);
}

static void test_an_operation_fails_alone_and_whole(void **state)
{
    KAP_AUTO_FREE char *path = test_path("a.db");
    struct kap_error err;
    struct kap_db *db;
    done_ok = done_failed = 0;
    assert_int_equal(kap_db_open(path, &schema1, &db, &err), KAP_OK);
    insert(db, 1, "one");
    insert_two(db, 2, "two", NULL);
    insert_two(db, 3, "three", "four");
    assert_int_equal(kap_db_flush(db, &err), KAP_EIO);
    assert_int_equal(done_ok, 2);
    assert_int_equal(done_failed, 1);
    assert_int_equal(count(db), 3);
    kap_db_close(db);
}

static const struct kap_db_schema patient = { "test", v1, 1, statements, 2, .linger_ns = INT64_C(60000000000) };

static void test_waiting_operations_are_replaced_or_taken_back(void **state)
{
    KAP_AUTO_FREE char *path = test_path("a.db");
    struct kap_error err;
    struct kap_db *db;
    done_ok = done_failed = 0;
    assert_int_equal(kap_db_open(path, &patient, &db, &err), KAP_OK);
    insert_named(db, 1, "old", "one");
    insert_named(db, 2, "two", "two");
    insert_named(db, 1, "new", "one"); /* would fail behind the first */
    assert_true(kap_db_take_back(db, KAP_STR("two")));
    assert_false(kap_db_take_back(db, KAP_STR("two")));
    assert_false(kap_db_take_back(db, KAP_STR("three")));
    assert_int_equal(done_ok, 0);
    assert_int_equal(kap_db_flush(db, &err), KAP_OK);
    assert_int_equal(done_ok, 3); /* all are answered */
    assert_int_equal(count(db), 1);
    assert_false(kap_db_take_back(db, KAP_STR("one")));

    insert_named(db, 5, "five", "five");
    assert_true(kap_db_take_back(db, KAP_STR("five")));
    const uint64_t commits = kap_db_stats(db).commits;
    assert_int_equal(kap_db_flush(db, &err), KAP_OK);
    assert_int_equal(kap_db_stats(db).commits, commits); /* nothing was left to write */
    insert_named(db, 6, "six", "six");
    kap_db_close(db); /* does not linger */
    assert_int_equal(kap_db_open(path, &schema1, &db, &err), KAP_OK);
    assert_int_equal(count(db), 2);
    kap_db_close(db);
}

static void test_migrates_and_refuses_newer(void **state)
{
    KAP_AUTO_FREE char *path = test_path("a.db");
    struct kap_error err;
    struct kap_db *db;
    assert_int_equal(kap_db_open(path, &schema1, &db, &err), KAP_OK);
    insert(db, 1, "one");
    kap_db_close(db);
    assert_int_equal(kap_db_open(path, &schema2, &db, &err), KAP_OK);
    int n = 0;
    assert_int_equal(kap_db_read(db, "SELECT w FROM t", NULL, 0, count_row, &n, &err), KAP_OK);
    assert_int_equal(n, 1);
    kap_db_close(db);
    assert_int_equal(kap_db_open(path, &schema1, &db, &err), KAP_ESTATE);
    assert_non_null(strstr(err.msg, "a.db"));
    assert_non_null(strstr(err.msg, "newer version"));
}

static void test_damaged_and_locked_files_are_named(void **state)
{
    KAP_AUTO_FREE char *path = test_path("a.db");
    struct kap_error err;
    struct kap_db *db, *second;
    write_test_file(
        "a.db", "this is not a database, it is a text that is long enough to be looked at as a header.....");
    assert_int_equal(kap_db_open(path, &schema1, &db, &err), KAP_EIO);
    assert_non_null(strstr(err.msg, "a.db is damaged"));
    unlink(path);
    assert_int_equal(kap_db_open(path, &schema1, &db, &err), KAP_OK);
    assert_int_equal(kap_db_open(path, &schema1, &second, &err), KAP_ESTATE);
    assert_non_null(strstr(err.msg, "a.db is locked"));
    kap_db_close(db);
}

/* The child reports each answered write on a pipe and is killed in the middle: all that was reported must be
 * there. */
static void test_answered_writes_survive_a_kill(void **state)
{
    KAP_AUTO_FREE char *path = test_path("a.db");
    struct kap_error err;
    int64_t base = 0;
    for (int round = 0; round < 5; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        const pid_t child = fork();
        if (child == 0) {
            struct kap_db *db;
            if (kap_db_open(path, &schema1, &db, &err) != KAP_OK)
                _exit(1);
            for (int64_t k = base;; k++) {
                done_ok = 0;
                insert(db, k, "value");
                while (!done_ok)
                    usleep(50);
                if (write(fds[1], &k, sizeof k) != sizeof k)
                    _exit(1);
            }
        }
        close(fds[1]);
        int64_t last = base - 1, k;
        for (int i = 0; i < 40 && read(fds[0], &k, sizeof k) == sizeof k; i++)
            last = k;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(fds[0], &k, sizeof k) == sizeof k)
            last = k;
        close(fds[0]);
        struct kap_db *db;
        assert_int_equal(kap_db_open(path, &schema1, &db, &err), KAP_OK);
        const int n = count(db);
        assert_true(n >= last + 1);
        assert_true(last >= base);
        base = n;
        kap_db_close(db);
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_test_dir, drop_test_dir)
    const struct CMUnitTest tests[] = {
        TEST(test_groups_and_answers),
        TEST(test_an_operation_fails_alone_and_whole),
        TEST(test_waiting_operations_are_replaced_or_taken_back),
        TEST(test_migrates_and_refuses_newer),
        TEST(test_damaged_and_locked_files_are_named),
        TEST(test_answered_writes_survive_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
