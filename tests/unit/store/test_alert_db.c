#include "store/alert_db.h"

#include "dir.h"

static char seen[4096];

static void add(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void add(const char *fmt, ...)
{
    const size_t n = strlen(seen);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(seen + n, sizeof seen - n, fmt, ap);
    va_end(ap);
}

static void mark(void *ctx, struct kap_alert_key key, struct kap_str handler)
{
    add("mark %llu '%.*s'\n", (unsigned long long)key.lo, KAP_STR_ARG(handler));
}

static void event(void *ctx, struct kap_alert_key key, struct kap_str meta, struct kap_str blob,
                  const struct kap_str *handlers, size_t nhandlers)
{
    add("event %llu %.*s %.*s:", (unsigned long long)key.lo, KAP_STR_ARG(meta), KAP_STR_ARG(blob));
    for (size_t i = 0; i < nhandlers; i++)
        add(" %.*s", KAP_STR_ARG(handlers[i]));
    add("\n");
}

static void topic(void *ctx, struct kap_str name, uint64_t stamp)
{
    add("topic %.*s %llu\n", KAP_STR_ARG(name), (unsigned long long)stamp);
}

static void topic_state(void *ctx, struct kap_str name, struct kap_str id, uint64_t stamp,
                        struct kap_str blob)
{
    add("state %.*s %.*s %llu %.*s\n", KAP_STR_ARG(name), KAP_STR_ARG(id), (unsigned long long)stamp,
        KAP_STR_ARG(blob));
}

static void dead(void *ctx, const struct kap_alert_dead *letter)
{
    add("dead %llu %lld %.*s %.*s %.*s\n", (unsigned long long)letter->id, (long long)letter->time_ns,
        KAP_STR_ARG(letter->handler), KAP_STR_ARG(letter->error), KAP_STR_ARG(letter->blob));
}

static const struct kap_alert_db_loader loader = {
    .mark = mark, .event = event, .topic = topic, .state = topic_state, .dead = dead
};

static struct kap_alert_db *open_db(size_t max_marks)
{
    struct kap_error err;
    struct kap_alert_db *db;
    const struct kap_alert_db_config config = { .max_marks = max_marks };
    assert_int_equal(kap_alert_db_open(test_dir, &config, &db, &err), KAP_OK);
    return db;
}

static void load(struct kap_alert_db *db)
{
    struct kap_error err;
    seen[0] = '\0';
    assert_int_equal(kap_alert_db_load(db, &loader, &err), KAP_OK);
}

static const struct kap_str two[] = { { "h1", 2 }, { "h2", 2 } };

static struct kap_alert_key key(uint64_t lo)
{
    return (struct kap_alert_key){ UINT64_MAX, lo };
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void test_an_event_lives_until_it_is_complete(void **state)
{
    struct kap_alert_db *db = open_db(0);
    kap_alert_db_put_event(db, key(1), KAP_STR("m1"), KAP_STR("b1"), two, 2, NULL, NULL, 0);
    kap_alert_db_put_event(db, key(2), KAP_STR("m2"), KAP_STR("b2"), two, 0, NULL, NULL, 0);
    kap_alert_db_done(db, key(1), two[0], now(), NULL, NULL, 0);
    kap_alert_db_close(db);
    db = open_db(0);
    load(db);
    assert_string_equal(seen, "mark 1 'h1'\nevent 1 m1 b1: h2\nevent 2 m2 b2:\n");
    kap_alert_db_done(db, key(1), two[1], now(), NULL, NULL, 0);
    kap_alert_db_forget(db, key(1), now());
    load(db);
    assert_string_equal(seen, "mark 1 ''\nevent 2 m2 b2:\n");
    kap_alert_db_close(db);
}

static void test_a_mark_may_come_before_its_event(void **state)
{
    struct kap_alert_db *db = open_db(0);
    kap_alert_db_done(db, key(1), two[0], now(), NULL, NULL, 0);
    kap_alert_db_put_event(db, key(1), KAP_STR("m1"), KAP_STR("b1"), two, 2, NULL, NULL, 0);
    load(db);
    assert_string_equal(seen, "mark 1 'h1'\nevent 1 m1 b1: h2\n");
    kap_alert_db_put_event(db, key(1), KAP_STR("m9"), KAP_STR("b9"), two + 1, 1, NULL, NULL, 0);
    load(db);
    assert_string_equal(seen, "mark 1 'h1'\nevent 1 m9 b9: h2\n");
    kap_alert_db_close(db);
}

/* What is undone before its turn to be written leaves nothing, and what came later is undone as well. */
static void test_events_that_end_early(void **state)
{
    for (int written = 0; written < 2; written++) {
        struct kap_alert_db *db = open_db(0);
        struct kap_error err;
        for (uint64_t i = 1; i <= 4; i++) {
            kap_alert_db_put_event(db, key(i), KAP_STR("m"), KAP_STR("b"), two, 2, NULL, NULL, 0);
            if (written)
                assert_int_equal(kap_alert_db_flush(db, &err), KAP_OK);
        }
        kap_alert_db_put_event(db, key(2), KAP_STR("m2"), KAP_STR("b2"), two, 1, NULL, NULL, 0);
        kap_alert_db_put_event(db, key(4), KAP_STR("m4"), KAP_STR("b4"), two, 1, NULL, NULL, 0);
        kap_alert_db_done(db, key(3), two[0], now(), NULL, NULL, 0);
        kap_alert_db_drop(db, key(1), false);
        kap_alert_db_drop(db, key(2), false);
        kap_alert_db_drop(db, key(3), true);
        load(db);
        assert_string_equal(seen, "event 4 m4 b4: h1\n");
        kap_alert_db_forget(db, key(4), now());
        kap_alert_db_put_event(db, key(5), KAP_STR("m"), KAP_STR("b"), two, 2, NULL, NULL, 0);
        kap_alert_db_forget(db, key(5), now());
        load(db);
        assert_string_equal(seen, "mark 4 ''\nmark 5 ''\n");
        kap_alert_db_drop(db, key(4), true);
        kap_alert_db_drop(db, key(5), true);
        kap_alert_db_close(db);
        db = open_db(0); /* a place that is free again brings no deliveries of who had it before */
        kap_alert_db_put_event(db, key(6), KAP_STR("m"), KAP_STR("b"), two, 2, NULL, NULL, 0);
        load(db);
        assert_string_equal(seen, "event 6 m b: h1 h2\n");
        kap_alert_db_drop(db, key(6), false);
        kap_alert_db_close(db);
    }
}

static void test_dead_letters_stay_until_they_are_dropped(void **state)
{
    struct kap_alert_db *db = open_db(0);
    struct kap_error err;
    for (uint64_t i = 1; i <= 2; i++) {
        const struct kap_alert_dead letter = { .id = i, .time_ns = 5, .handler = KAP_STR("h"), .error = KAP_STR("e"),
                                               .blob = KAP_STR("b") };
        kap_alert_db_put_dead(db, &letter);
    }
    kap_alert_db_close(db);
    db = open_db(0);
    KAP_AUTO_BUF struct kap_buf blob = { 0 };
    assert_int_equal(kap_alert_db_dead_blob(db, 2, &blob, &err), KAP_OK);
    assert_string_equal(blob.p, "b");
    kap_alert_db_drop_dead(db, 1);
    assert_int_equal(kap_alert_db_dead_blob(db, 1, &blob, &err), KAP_ENOTFOUND);
    load(db);
    assert_non_null(strstr(seen, "dead 2 5 h e b\n"));
    assert_null(strstr(seen, "dead 1"));
    kap_alert_db_drop_dead(db, 2);
    kap_alert_db_close(db);
}

static void test_marks_have_limits(void **state)
{
    struct kap_alert_db *db = open_db(3);
    kap_alert_db_done(db, key(100), two[0], now() - 7200000000000L, NULL, NULL, 0); /* too old */
    for (uint64_t i = 0; i < 5; i++)
        kap_alert_db_done(db, key(i), two[0], now(), NULL, NULL, 0);
    kap_alert_db_put_event(db, key(50), KAP_STR("m"), KAP_STR("b"), two, 2, NULL, NULL, 0);
    kap_alert_db_close(db);
    db = open_db(3); /* sweeps */
    load(db);
    assert_string_equal(seen, "mark 2 'h1'\nmark 3 'h1'\nmark 4 'h1'\nevent 50 m b: h1 h2\n");
    kap_alert_db_close(db);
}

static void test_topic_states(void **state)
{
    struct kap_alert_db *db = open_db(0);
    kap_alert_db_put_state(db, KAP_STR("t1"), KAP_STR("b"), 1, KAP_STR("x"));
    kap_alert_db_put_state(db, KAP_STR("t1"), KAP_STR("a"), 2, KAP_STR("y"));
    kap_alert_db_put_state(db, KAP_STR("t2"), KAP_STR("a"), 3, KAP_STR("z"));
    kap_alert_db_put_state(db, KAP_STR("t1"), KAP_STR("b"), 4, KAP_STR("w"));
    load(db);
    assert_string_equal(seen, "state t1 a 2 y\nstate t1 b 4 w\nstate t2 a 3 z\n");
    kap_alert_db_drop_topic(db, KAP_STR("t1"), 9);
    load(db);
    assert_string_equal(seen, "topic t1 9\nstate t2 a 3 z\n");
    kap_alert_db_close(db);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_test_dir, drop_test_dir)
    const struct CMUnitTest tests[] = {
        TEST(test_an_event_lives_until_it_is_complete),
        TEST(test_a_mark_may_come_before_its_event),
        TEST(test_events_that_end_early),
        TEST(test_dead_letters_stay_until_they_are_dropped),
        TEST(test_marks_have_limits),
        TEST(test_topic_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
