#include "test.h"
#include "base/arena.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/sym.h"
#include <pthread.h>
#include <stdio.h>

TEST(a_map_agrees_with_a_plain_table)
{
    enum { KEYS = 300 };
    static int values[KEYS];
    bool there[KEYS] = { false };
    struct kap_random r;
    kap_random_seed(&r, 1);
    struct kap_map *m = kap_map_new();
    size_t n = 0;
    for (int i = 0; i < 20000; i++) {
        const uint64_t k = kap_random_below(&r, KEYS);
        char key[16];
        snprintf(key, sizeof key, "key%d", (int)k);
        void *old;
        if (kap_random_below(&r, 2)) {
            old = kap_map_put(m, kap_str(key), &values[k]);
            n += !there[k];
            assert_true((old != NULL) == there[k]);
            there[k] = true;
        } else {
            old = kap_map_del(m, kap_str(key));
            n -= there[k];
            assert_true((old != NULL) == there[k]);
            there[k] = false;
        }
        assert_true(kap_map_len(m) == n);
        assert_ptr_equal(kap_map_get(m, kap_str(key)), there[k] ? &values[k] : NULL);
    }
    size_t i = 0, seen = 0;
    struct kap_str key;
    void *value;
    while (kap_map_next(m, &i, &key, &value))
        seen++;
    assert_true(seen == n);
    kap_map_free(m);
}

TEST(a_map_is_walked_in_order_of_insertion)
{
    struct kap_map *m = kap_map_new();
    int v[4];
    kap_map_put(m, KAP_STR("c"), &v[0]);
    kap_map_put(m, KAP_STR("a"), &v[1]);
    kap_map_put(m, KAP_STR("b"), &v[2]);
    kap_map_del(m, KAP_STR("c"));
    kap_map_put(m, KAP_STR("c"), &v[3]);
    size_t i = 0;
    struct kap_str key;
    char order[4] = "";
    while (kap_map_next(m, &i, &key, NULL))
        strncat(order, key.p, 1);
    assert_string_equal(order, "abc");
    kap_map_free(m);
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static size_t positions[2000];
static int heap_values[2000];

static void moved(void *item, size_t index)
{
    positions[(int *)item - heap_values] = index;
}

TEST(a_heap_gives_the_smallest_and_forgets_from_the_middle)
{
    struct kap_random r;
    kap_random_seed(&r, 5);
    struct kap_heap h;
    kap_heap_init(&h, by_value, moved);
    for (int i = 0; i < 2000; i++) {
        heap_values[i] = (int)kap_random_below(&r, 500);
        kap_heap_push(&h, &heap_values[i]);
    }
    for (int i = 0; i < 2000; i += 3)
        assert_ptr_equal(kap_heap_remove(&h, positions[i]), &heap_values[i]);
    int last = -1;
    size_t n = 0;
    for (int *v; (v = kap_heap_pop(&h)) != NULL; n++) {
        assert_true(*v >= last);
        assert_int_not_equal((v - heap_values) % 3, 0);
        last = *v;
    }
    assert_int_equal(n, 2000 - 667);
    kap_heap_done(&h);
}

TEST(an_arena_hands_out_zeroed_aligned_memory)
{
    KAP_AUTO_ARENA struct kap_arena *a = kap_arena_new();
    for (size_t size = 1; size < 5000; size += 37) {
        unsigned char *p = kap_arena_alloc(a, size);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
    }
    kap_arena_alloc(a, 10 << 20);
    kap_arena_reset(a);
    assert_true(kap_arena_bytes(a) <= 1 << 20);
    assert_string_equal(kap_arena_printf(a, "%d %s", 5, "x"), "5 x");
}

static void *intern_many(void *arg)
{
    const struct kap_sym **out = arg;
    for (int i = 0; i < 5000; i++) {
        char text[16];
        snprintf(text, sizeof text, "s%d", i);
        out[i] = kap_sym_c(text);
    }
    return NULL;
}

TEST(symbols_are_one_object_for_all_threads)
{
    static const struct kap_sym *out[4][5000];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, intern_many, out[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 1; i < 4; i++)
        assert_memory_equal(out[0], out[i], sizeof out[0]);
    assert_ptr_equal(kap_sym(KAP_STR("")), kap_sym_empty);
    assert_null(kap_sym_find(KAP_STR("never seen")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_agrees_with_a_plain_table),
        cmocka_unit_test(a_map_is_walked_in_order_of_insertion),
        cmocka_unit_test(a_heap_gives_the_smallest_and_forgets_from_the_middle),
        cmocka_unit_test(an_arena_hands_out_zeroed_aligned_memory),
        cmocka_unit_test(symbols_are_one_object_for_all_threads),
    };
    return RUN_TESTS(tests);
}
