/* What every unit test includes: cmocka with the headers it needs, and a few checks that print both sides. */
#ifndef KAP_TESTS_UNIT_TEST_H
#define KAP_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"

#define TEST(name) static void name(void **cmocka_state)
#define RUN_TESTS(tests) cmocka_run_group_tests((tests), NULL, NULL)

/* The call succeeds, else its message is shown. */
#define OK(call, err)                                                                                            \
    do {                                                                                                         \
        if ((call) != KAP_OK)                                                                                    \
            fail_msg("%s: %s", #call, (err)->msg);                                                               \
    } while (0)

/* The call fails with exactly this message. */
#define FAILS(call, err, message)                                                                                \
    do {                                                                                                         \
        assert_int_not_equal((call), KAP_OK);                                                                    \
        assert_string_equal((err)->msg, (message));                                                              \
    } while (0)

#define STR_EQ(slice, text) check_str_eq((slice), (text), __FILE__, __LINE__)

static inline void check_str_eq(struct kap_str got, const char *want, const char *file, int line)
{
    if (kap_str_eq(got, kap_str(want)))
        return;
    print_error("got:  %.*s\nwant: %s\n", KAP_STR_ARG(got), want);
    _fail(file, line);
}

#endif
