/* InfluxQL: whatever parses is printed as a query that parses again and prints the same, but for the time
 * bounds that are added once more. */
#include "base/mem.h"
#include "influxql/influxql.h"

#include <stdio.h>
#include <stdlib.h>

#define BOUNDS "time >= '1970-01-01T00:00:00Z' AND time < '1970-01-01T00:00:00.000000001Z'"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The last place of the bounds: before it only text of the query, after it no text of strings that could hold
 * them. */
static size_t find_bounds(struct kap_str text)
{
    size_t found = SIZE_MAX;
    for (size_t i = 0; i + sizeof BOUNDS - 1 <= text.n; i++) {
        if (memcmp(text.p + i, BOUNDS, sizeof BOUNDS - 1) == 0)
            found = i;
    }
    return found;
}

static void check(const struct kap_influxql *q)
{
    struct kap_influxql *again = NULL;
    struct kap_error err;
    KAP_AUTO_BUF struct kap_buf once = { 0 }, twice = { 0 }, expected = { 0 };
    kap_influxql_print(q, 0, 1, &once);
    if (kap_influxql_parse(kap_buf_str(&once), &again, &err) != KAP_OK) {
        (void)fprintf(stderr, "printed query does not parse: %s\n%s\n", err.msg, once.p);
        abort();
    }
    kap_influxql_print(again, 0, 1, &twice);
    const size_t at = find_bounds(kap_buf_str(&once));
    if (at == SIZE_MAX)
        abort();
    kap_buf_addn(&expected, once.p, at);
    kap_buf_adds(&expected, BOUNDS " AND ");
    kap_buf_addn(&expected, once.p + at, once.n - at);
    if (!kap_str_eq(kap_buf_str(&expected), kap_buf_str(&twice))) {
        (void)fprintf(stderr, "printing again changes\n%s\n%s\n", once.p, twice.p);
        abort();
    }
    kap_influxql_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kap_influxql *q = NULL;
    struct kap_error err;
    if (size > 4096 || kap_influxql_parse(kap_strn((const char *)data, size), &q, &err) != KAP_OK)
        return 0;
    check(q);
    kap_influxql_free(q);
    return 0;
}
