#include "test.h"
#include "daemon/loop.h"
#include <pthread.h>

struct counter {
    struct kap_loop *loop;
    int posted, called;
    bool refused;
};

static void count_posted(void *arg)
{
    struct counter *c = arg;
    c->posted++;
}

static void count_called(void *arg)
{
    struct counter *c = arg;
    c->called++;
}

static void *caller(void *arg)
{
    struct counter *c = arg;
    for (int i = 0; i < 200; i++) {
        kap_loop_post(c->loop, count_posted, c);
        const int before = c->called;
        assert_true(kap_loop_call(c->loop, count_called, c));
        assert_true(c->called > before); /* it has run when the call returns */
    }
    kap_loop_stop(c->loop);
    return NULL;
}

TEST(calls_from_other_threads_run_and_are_waited_for)
{
    struct counter c = { .loop = kap_loop_new() };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, caller, &c), 0);
    kap_loop_run(c.loop);
    pthread_join(thread, NULL);
    assert_int_equal(c.posted, 200);
    assert_int_equal(c.called, 200);
    assert_true(kap_loop_call(c.loop, count_called, &c)); /* on the loop's own thread: at once */
    assert_int_equal(c.called, 201);
    kap_loop_free(c.loop);
}

static void *late_caller(void *arg)
{
    struct counter *c = arg;
    c->refused = !kap_loop_call(c->loop, count_called, c);
    return NULL;
}

TEST(a_call_after_the_end_is_refused_instead_of_hanging)
{
    struct counter c = { .loop = kap_loop_new() };
    kap_loop_post(c.loop, count_posted, &c);
    kap_loop_drain(c.loop);
    assert_int_equal(c.posted, 1); /* what was posted before still ran */
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, late_caller, &c), 0);
    pthread_join(thread, NULL);
    assert_true(c.refused);
    assert_int_equal(c.called, 0);
    kap_loop_free(c.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_from_other_threads_run_and_are_waited_for),
        cmocka_unit_test(a_call_after_the_end_is_refused_instead_of_hanging),
    };
    return RUN_TESTS(tests);
}
