#include "alert/httppost.h"

#include "base/mem.h"

void kap_httppost_init(void *config)
{
    *(struct kap_httppost_endpoint *)config = (struct kap_httppost_endpoint){
        .endpoint = KAP_STR("example"), .url = KAP_STR("http://example.com"), .username = KAP_STR(""),
        .password = KAP_STR(""), .alert_template = KAP_STR(""), .alert_template_file = KAP_STR(""),
        .row_template = KAP_STR(""), .row_template_file = KAP_STR(""),
    };
}

/* An entry of a table: a name and its text. */
static enum kap_status config_entry(const struct kap_arg *args, size_t nargs, struct kap_httppost_header *ret,
                                    struct kap_error *err)
{
    if (nargs != 2 || args[0].kind != KAP_ARG_VALUE || args[0].value.type != KAP_STRING)
        return kap_fail(err, KAP_EINVAL, "must be a table");
    if (args[1].kind != KAP_ARG_VALUE || args[1].value.type != KAP_STRING)
        return kap_fail(err, KAP_EINVAL, "'%.*s' must be a string", KAP_STR_ARG(args[0].value.s));
    *ret = (struct kap_httppost_header){ args[0].value.s, args[1].value.s };
    return KAP_OK;
}

static enum kap_status config_header(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                     struct kap_error *err)
{
    struct kap_httppost_endpoint *e = config;
    struct kap_httppost_header h;
    KAP_TRY(config_entry(args, nargs, &h, err));
    h = (struct kap_httppost_header){ kap_arena_str(arena, h.name), kap_arena_str(arena, h.value) };
    for (size_t i = 0; i < e->nheaders; i++) {
        if (kap_str_eq(e->headers[i].name, h.name)) {
            e->headers[i] = h;
            return KAP_OK;
        }
    }
    struct kap_httppost_header *v = KAP_ARENA_ARRAY(arena, struct kap_httppost_header, e->nheaders + 1);
    if (e->nheaders)
        memcpy(v, e->headers, e->nheaders * sizeof *v);
    v[e->nheaders++] = h;
    e->headers = v;
    return KAP_OK;
}

static enum kap_status config_auth(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                   struct kap_error *err)
{
    struct kap_httppost_endpoint *e = config;
    struct kap_httppost_header h;
    KAP_TRY(config_entry(args, nargs, &h, err));
    if (kap_str_is(h.name, "username"))
        e->username = kap_arena_str(arena, h.value);
    else if (kap_str_is(h.name, "password"))
        e->password = kap_arena_str(arena, h.value);
    else
        return kap_fail(err, KAP_EINVAL, "knows 'username' and 'password', not '%.*s'", KAP_STR_ARG(h.name));
    return KAP_OK;
}

#define CONFIG(member, opt, text) KAP_PROP_AT(STRING, struct kap_httppost_endpoint, member, NULL, opt, text)

const struct kap_prop kap_httppost_props[] = {
    CONFIG(endpoint, "endpoint", "Name of the endpoint."),
    CONFIG(url, "url", "URL; a template."),
    { .kind = KAP_PROP_CALL, .option = "headers", .set = config_header, .doc = "Headers of every request." },
    { .kind = KAP_PROP_CALL, .option = "basic-auth", .set = config_auth, .doc = "User name and password.", .secret = true },
    CONFIG(alert_template, "alert-template", "Template of the body for alerts; JSON of the event when empty."),
    CONFIG(alert_template_file, "alert-template-file", "File of that template."),
    CONFIG(row_template, "row-template", "Template of the body for httpPost nodes."),
    CONFIG(row_template_file, "row-template-file", "File of that template."),
    { .kind = KAP_PROP_END },
};
