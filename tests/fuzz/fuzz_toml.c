/* TOML: any bytes give a tree or one error; what is read has its kinds and places right. */
#include "base/mem.h"
#include "config/toml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct kap_toml *v, int depth)
{
    if (v->line < 1 || v->column < 1 || depth > 3 * KAP_TOML_DEPTH)
        abort();
    for (size_t i = 0; i < v->nitems; i++)
        check(v->items[i], depth + 1);
    for (size_t i = 0; i < v->npairs; i++) {
        if (kap_toml_get(v, v->pairs[i].key) != v->pairs[i].value)
            abort();
        check(v->pairs[i].value, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kap_arena *arena = kap_arena_new();
    struct kap_toml *root = NULL;
    struct kap_error err;
    if (kap_toml_parse(kap_strn((const char *)data, size), "text", arena, &root, &err) == KAP_OK)
        check(root, 0);
    else if (err.msg[0] == '\0' || root != NULL)
        abort();
    kap_arena_free(arena);
    return 0;
}
