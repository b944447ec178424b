/* Answers of InfluxDB: however the text is cut, the same series come out or the same mistake is found. */
#include "base/mem.h"
#include "influxdb/query.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum kap_status count(void *ctx, struct kap_block *b, struct kap_error *err)
{
    size_t *points = ctx;
    *points += b->n + 1;
    kap_block_free(b);
    return KAP_OK;
}

static enum kap_status read_in(struct kap_str text, size_t piece, size_t *points, struct kap_error *err)
{
    struct kap_result *r = kap_result_new(false, count, points);
    enum kap_status st = KAP_OK;
    *points = 0;
    for (size_t at = 0; st == KAP_OK && at < text.n; at += piece)
        st = kap_result_feed(r, kap_strn(text.p + at, KAP_MIN(piece, text.n - at)), err);
    if (st == KAP_OK)
        st = kap_result_end(r, err);
    kap_result_free(r);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kap_error whole_err, cut_err;
    size_t whole, cut;
    if (size == 0 || size > 4096)
        return 0;
    const struct kap_str text = kap_strn((const char *)data, size);
    const enum kap_status st = read_in(text, size, &whole, &whole_err);
    if (read_in(text, 3, &cut, &cut_err) != st || whole != cut)
        abort();
    if (st != KAP_OK && strcmp(whole_err.msg, cut_err.msg) != 0)
        abort();
    return 0;
}
