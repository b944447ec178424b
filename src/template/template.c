#include "template/template.h"
#include "base/mem.h"
#include "template/internal.h"

/* *ret is set on failure as well, unless the text is too long: it knows the place then. */
static enum kap_status compile(const char *name, struct kap_str text, unsigned flags, struct kap_template **ret,
                               struct kap_error *err)
{
    if (text.n > KAP_T_MAX_TEXT)
        return kap_fail(err, KAP_ELIMIT, "template: %s: longer than %zu bytes", name, KAP_T_MAX_TEXT);
    struct kap_template *t = KAP_NEW(struct kap_template);
    t->arena = kap_arena_new();
    t->name = kap_arena_strdup(t->arena, name);
    t->text = kap_arena_str(t->arena, text);
    t->flags = flags;
    enum kap_status status = kap_template_parse(t, err);
    if (status == KAP_OK && (flags & KAP_TEMPLATE_HTML))
        status = kap_template_escape(t, err);
    *ret = t;
    return status;
}

enum kap_status kap_template_new(const char *name, struct kap_str text, unsigned flags, struct kap_template **ret,
                                 struct kap_error *err)
{
    struct kap_template *t = NULL;
    const enum kap_status status = compile(name, text, flags, &t, err);
    if (status == KAP_OK)
        *ret = t;
    else
        kap_template_free(t);
    return status;
}

enum kap_status kap_template_check(const char *name, struct kap_str text, unsigned flags, struct kap_error *err)
{
    struct kap_template *t = NULL;
    struct kap_error found;
    enum kap_status status = compile(name, text, flags, &t, &found);
    if (status != KAP_OK && t)
        status = kap_fail(err, status, "%s, at line %zu column %zu", found.msg, kap_template_line(t, t->mistake),
                          kap_template_column(t, t->mistake) + 1);
    else if (status != KAP_OK)
        status = kap_fail(err, status, "%s", found.msg);
    kap_template_free(t);
    return status;
}

void kap_template_free(struct kap_template *t)
{
    if (!t)
        return;
    kap_arena_free(t->arena);
    kap_free(t);
}

const char *kap_template_name(const struct kap_template *t)
{
    return t->name;
}

bool kap_template_constant(const struct kap_template *t, struct kap_str *ret)
{
    const bool text = t->root->nitems == 1 && t->root->items[0]->kind == KAP_N_TEXT;
    if (t->root->nitems > 0 && !text)
        return false;
    *ret = text ? t->root->items[0]->text : KAP_STR("");
    return true;
}

/* The last definition of a name counts; a block's body is one. */
struct kap_tnode *kap_template_find(const struct kap_template *t, struct kap_str name)
{
    for (const struct kap_tdefine *d = t->defines; d; d = d->next)
        if (kap_str_eq(d->name, name))
            return d->body;
    return kap_str_is(name, t->name) ? t->root : NULL;
}
