#include "handlers/handlers.h"
#include "alert/httppost.h"
#include "handlers/util.h"

#include <errno.h>
#include <stdio.h>

#define TEMPLATE_FILE_BYTES (1024 * 1024)

struct options {
    struct kap_str url, endpoint;
    struct kap_pairs headers;
    bool capture_response, skip_verify;
    bool in_script;
    int64_t timeout_ns;
};

static void init(void *options)
{
    *(struct options *)options = (struct options){ .url = KAP_STR(""), .endpoint = KAP_STR("") };
}

static enum kap_status args(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                            struct kap_error *err)
{
    struct options *o = options;
    struct kap_strings urls;
    KAP_TRY(kap_arg_texts(&urls, arena, args, nargs, 0, "post", err));
    o->in_script = true;
    if (urls.n)
        o->url = urls.v[0];
    return KAP_OK;
}

static enum kap_status set_header(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                  struct kap_error *err)
{
    return kap_pairs_call(&((struct options *)options)->headers, arena, args, nargs, true, "header", err);
}

static enum kap_status option(void *options, struct kap_arena *arena, const char *key, const struct json_t *value,
                              struct kap_error *err)
{
    if (strcasecmp(key, "headers") != 0)
        return KAP_ENOTFOUND;
    return kap_pairs_option(&((struct options *)options)->headers, arena, "headers", value, true, err);
}

static const struct kap_httppost_endpoint *endpoint_of(const struct options *o, const struct kap_handler_env *env)
{
    const struct kap_httppost_endpoint *v = env->config;
    for (size_t i = 0; o->endpoint.n && i < env->nconfigs; i++)
        if (kap_str_eq(v[i].endpoint, o->endpoint))
            return &v[i];
    return NULL;
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    const struct options *o = options;
    if (endpoint_of(o, env))
        return KAP_OK;
    if (o->url.n == 0)
        return kap_fail(err, KAP_EINVAL,
                        "An appropriately formatted url must be specified if an endpoint is not specified");
    return kap_event_render_check("url", o->url, err);
}

static enum kap_status check_inline(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    const struct options *o = options;
    if (o->in_script && o->url.n == 0 && o->endpoint.n == 0)
        return kap_fail(err, KAP_EINVAL, "Either URL or endpoint must be non-empty");
    if (check(options, env, err) == KAP_OK)
        return KAP_OK;
    return o->in_script ? kap_wrap(err, "failed to create HTTPPostService.Handler") : KAP_EINVAL;
}

static enum kap_status read_file(struct kap_str path, struct kap_arena *arena, struct kap_str *ret,
                                 struct kap_error *err)
{
    FILE *f = fopen(kap_cstr(arena, path), "re");
    if (!f)
        return kap_fail(err, KAP_EIO, "%.*s: %s", KAP_STR_ARG(path), strerror(errno));
    char *p = kap_arena_raw(arena, TEMPLATE_FILE_BYTES);
    const size_t n = fread(p, 1, TEMPLATE_FILE_BYTES, f);
    const bool bad = ferror(f), more = n == TEMPLATE_FILE_BYTES && fgetc(f) != EOF;
    fclose(f);
    if (bad || more)
        return kap_fail(err, KAP_EIO, "%.*s: %s", KAP_STR_ARG(path), more ? "too large" : "cannot be read");
    *ret = kap_strn(p, n);
    return KAP_OK;
}

/* The body by the endpoint's template; *ret stays empty when it has none. */
static enum kap_status shaped_body(const struct kap_httppost_endpoint *e, const struct kap_event *ev,
                                   const struct kap_handler_env *env, struct kap_arena *arena, struct kap_str *ret,
                                   struct kap_error *err)
{
    struct kap_str text = e->alert_template;
    if (text.n == 0 && e->alert_template_file.n)
        KAP_TRY(read_file(e->alert_template_file, arena, &text, err));
    return text.n ? kap_event_render("body", text, ev, env, arena, ret, err) : KAP_OK;
}

static bool has_content_type(const struct kap_pairs *headers)
{
    for (size_t i = 0; i < headers->n; i++)
        if (headers->v[i].key.n == strlen("content-type") &&
            strncasecmp(headers->v[i].key.p, "content-type", headers->v[i].key.n) == 0)
            return true;
    return false;
}

/* As the reference sends them: the endpoint's first, the handler's over them, the content type of JSON over all. */
static const char **headers_of(const struct options *o, const struct kap_httppost_endpoint *e,
                               const struct kap_handler_env *env, bool json, struct kap_arena *arena)
{
    struct kap_pairs all = { 0 };
    kap_pairs_set(&all, arena, KAP_STR("X-Kapacitor-Member"), kap_value_s(env->hostname)); /* who delivers */
    for (size_t i = 0; e && i < e->nheaders; i++)
        kap_pairs_set(&all, arena, e->headers[i].name, kap_value_s(e->headers[i].value));
    for (size_t i = 0; i < o->headers.n; i++)
        kap_pairs_set(&all, arena, o->headers.v[i].key, o->headers.v[i].value);
    if (json)
        kap_pairs_set(&all, arena, KAP_STR("Content-Type"), kap_value_s(KAP_STR("application/json")));
    else if (!has_content_type(&all)) /* or curl would say that it is a form */
        kap_pairs_set(&all, arena, KAP_STR("Content-Type"), kap_value_s(KAP_STR("text/plain; charset=utf-8")));
    const char **v = KAP_ARENA_ARRAY(arena, const char *, all.n + 1);
    for (size_t i = 0; i < all.n; i++)
        v[i] = kap_arena_printf(arena, "%.*s: %.*s", KAP_STR_ARG(all.v[i].key), KAP_STR_ARG(all.v[i].value.s));
    return v;
}

static enum kap_status build(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_arena *arena, struct kap_http_out *ret, struct kap_error *err)
{
    const struct options *o = options;
    const struct kap_httppost_endpoint *e = endpoint_of(o, env);
    if (!e && o->url.n == 0)
        return kap_fail(err, KAP_EINVAL, "endpoint \"%.*s\" does not exist", KAP_STR_ARG(o->endpoint));
    KAP_TRY(kap_event_render("url", e ? e->url : o->url, ev, env, arena, &ret->url, err));
    bool json = true;
    if (e) {
        ret->body = KAP_STR("");
        json = e->alert_template.n == 0 && e->alert_template_file.n == 0;
        KAP_TRY(shaped_body(e, ev, env, arena, &ret->body, err));
        if (e->username.n) {
            ret->username = kap_cstr(arena, e->username);
            ret->password = kap_cstr(arena, e->password);
        }
    }
    if (json)
        KAP_TRY(kap_event_body(ev, arena, &ret->body, err));
    ret->headers = headers_of(o, e, env, json, arena);
    ret->timeout_ns = o->timeout_ns;
    ret->skip_verify = o->skip_verify;
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct options, url, NULL, "url", "URL to post to; a template."),
    KAP_PROP_AT(STRING, struct options, endpoint, "endpoint", "endpoint", "Name of an [[httppost]] endpoint."),
    { .kind = KAP_PROP_CALL, .name = "header", .set = set_header, .signature = "(key string, value string)",
      .doc = "Sets a header of the request." },
    KAP_PROP_AT(FLAG, struct options, capture_response, "captureResponse", "capture-response",
                "Log what the endpoint answers when it is not a 2xx."),
    KAP_PROP_AT(DURATION, struct options, timeout_ns, "timeout", "timeout", "Limit of one request."),
    KAP_PROP_AT(FLAG, struct options, skip_verify, "skipSSLVerification", "skip-ssl-verification",
                "Accept any certificate."),
    { .kind = KAP_PROP_END },
};

const struct kap_handler_type kap_handler_post = {
    .kind = "post",
    .method = "post",
    .shown = "AlertHTTPPostHandler",
    .doc = "Posts each event as JSON, or as an endpoint's template makes it, to a URL.",
    .signature = "(urls ...string)",
    .options_size = sizeof(struct options),
    .init = init,
    .args = args,
    .props = props,
    .option = option,
    .options_shown = "httppost.HandlerConfig",
    .check = check_inline,
    .section = "httppost",
    .config_size = sizeof(struct kap_httppost_endpoint),
    .config_init = kap_httppost_init,
    .config_props = kap_httppost_props,
    .config_many = true,
    .build = build,
};
