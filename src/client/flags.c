#include "client/flags.h"

#include "base/mem.h"

bool kap_flags_bool(const char *s, bool *ret)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
    for (size_t i = 0; i < KAP_COUNT(yes); i++) {
        if (strcmp(s, yes[i]) == 0 || strcmp(s, no[i]) == 0) {
            *ret = strcmp(s, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static const struct kap_flag *find(const struct kap_flag *flags, const char *name, size_t n)
{
    for (; flags->kind != KAP_FLAG_END; flags++) {
        if (strlen(flags->name) == n && memcmp(flags->name, name, n) == 0)
            return flags;
    }
    return NULL;
}

static enum kap_status set(const struct kap_flag *f, const char *value, struct kap_error *err)
{
    if (f->kind == KAP_FLAG_BOOL) {
        if (!kap_flags_bool(value, f->value))
            return kap_fail(err, KAP_EINVAL, "invalid boolean value \"%s\" for -%s", value, f->name);
    } else if (f->kind == KAP_FLAG_STRING) {
        *(const char **)f->value = value;
    } else {
        struct kap_flag_list *list = f->value;
        if (list->n == KAP_COUNT(list->v))
            return kap_fail(err, KAP_ELIMIT, "flag -%s is given more than %zu times", f->name,
                            KAP_COUNT(list->v));
        list->v[list->n++] = value;
    }
    return KAP_OK;
}

enum kap_status kap_flags_parse(const struct kap_flag *flags, char **args, size_t n, size_t *ret,
                                struct kap_error *err)
{
    size_t i = 0;
    while (i < n && args[i][0] == '-' && args[i][1] != '\0') {
        if (strcmp(args[i], "--") == 0) {
            i++;
            break;
        }
        const char *name = args[i] + (args[i][1] == '-' ? 2 : 1);
        const size_t length = strcspn(name, "=");
        const struct kap_flag *f = find(flags, name, length);
        if (f == NULL)
            return kap_fail(err, KAP_EINVAL, "flag provided but not defined: -%.*s", (int)length, name);
        i++;
        if (name[length] == '=')
            KAP_TRY(set(f, name + length + 1, err));
        else if (f->kind == KAP_FLAG_BOOL)
            KAP_TRY(set(f, "true", err));
        else if (i == n)
            return kap_fail(err, KAP_EINVAL, "flag needs an argument: -%s", f->name);
        else
            KAP_TRY(set(f, args[i++], err));
    }
    *ret = i;
    return KAP_OK;
}

void kap_flags_print(const struct kap_flag *flags, struct kap_buf *out)
{
    for (; flags->kind != KAP_FLAG_END; flags++)
        kap_buf_addf(out, "  -%s%s\n\t%s\n", flags->name, flags->kind == KAP_FLAG_BOOL ? "" : " string",
                     flags->doc);
}
