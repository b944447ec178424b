/* Message templates, as text and with HTML escaping: parse, and render over data of every kind.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "template/template.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kap_tvalue sample(struct kap_arena *a, struct kap_tstruct *st, struct kap_tpair pairs[7])
{
    const struct kap_field fields[] = {
        { kap_sym_c("b"), kap_value_b(true) }, { kap_sym_c("f"), kap_value_f(1.5) }, { kap_sym_c("i"), kap_value_i(-7) },
        { kap_sym_c("nil"), { .type = KAP_MISSING } }, { kap_sym_c("s"), kap_value_s(KAP_STR("<\x01'\"\xff&>")) },
    };
    const struct kap_tvalue list[] = { kap_t_i64(1), kap_t_str(KAP_STR("x")), { .kind = KAP_T_NIL } };
    pairs[0] = (struct kap_tpair){ KAP_STR("Fields"), kap_t_fields(a, fields, KAP_COUNT(fields)) };
    pairs[1] = (struct kap_tpair){ KAP_STR("ID"), kap_t_str(KAP_STR("<id>")) };
    pairs[2] = (struct kap_tpair){ KAP_STR("List"), kap_t_list(a, "[]interface {}", list, KAP_COUNT(list)) };
    pairs[3] = (struct kap_tpair){ KAP_STR("Time"), kap_t_time(INT64_C(1600000000123456789)) };
    pairs[4] = (struct kap_tpair){ KAP_STR("Duration"), kap_t_duration(INT64_C(61500000000)) };
    pairs[5] = (struct kap_tpair){ KAP_STR("Tags"), kap_t_tags(a, NULL) };
    pairs[6] = (struct kap_tpair){ KAP_STR("Level"), kap_t_str(KAP_STR("OK")) };
    *st = (struct kap_tstruct){ .type = "sample", .n = 7, .v = pairs };
    return kap_t_struct(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    for (unsigned flags = 0; flags < 4; flags++) {
        struct kap_error err;
        struct kap_template *t;
        if (kap_template_new("fuzz", kap_strn((const char *)data, size), flags, &t, &err) != KAP_OK) {
            if (!strstr(err.msg, "template:"))
                abort();
            continue;
        }
        struct kap_arena *a = kap_arena_new();
        struct kap_tstruct st;
        struct kap_tpair pairs[7];
        KAP_AUTO_BUF struct kap_buf out = { .max = 1 << 20 };
        const struct kap_tvalue dot = sample(a, &st, pairs);
        const enum kap_status status = kap_template_render(t, dot, a, &out, &err);
        if (status != KAP_OK && !strstr(err.msg, "template:"))
            abort();
        kap_arena_free(a);
        kap_template_free(t);
    }
    return 0;
}
