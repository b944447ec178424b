#include "api/resource.h"

#include "base/mem.h"

int kap_api_http_status(enum kap_status st)
{
    switch (st) {
    case KAP_OK:
        return 200;
    case KAP_EINVAL:
    case KAP_EEXIST:
    case KAP_ELIMIT:
        return 400;
    case KAP_ENOTFOUND:
        return 404;
    case KAP_ESTATE:
        return 409;
    default:
        return 500;
    }
}

void kap_reply_failure(struct kap_request *rq, enum kap_status st, const struct kap_error *err)
{
    kap_reply_error(rq, kap_api_http_status(st), "%s", err->msg);
}

/* A word that starts like null, true or false and goes on otherwise. */
static bool misspelt_literal(struct kap_str s, struct kap_buf *out)
{
    static const char *const words[] = { "null", "true", "false" };
    for (size_t w = 0; w < KAP_COUNT(words); w++) {
        const size_t n = strlen(words[w]);
        size_t same = 0;
        while (same < n && same < s.n && s.p[same] == words[w][same])
            same++;
        if (same == 0)
            continue;
        if (same == s.n)
            kap_buf_adds(out, "unexpected EOF");
        else if (same < n)
            kap_buf_addf(out, "invalid character '%c' in literal %s (expecting '%c')", s.p[same], words[w],
                         words[w][same]);
        return same < n;
    }
    return false;
}

void kap_json_problem(struct kap_str text, struct kap_buf *out)
{
    const struct kap_str s = kap_str_trim(text);
    if (s.n == 0) {
        kap_buf_adds(out, "EOF");
        return;
    }
    if (misspelt_literal(s, out))
        return;
    if (s.p[0] == '\0' || strchr("{[\"-0123456789ntf", s.p[0]) == NULL)
        kap_buf_addf(out, "invalid character '%c' looking for beginning of value", s.p[0]);
    else
        kap_buf_adds(out, "the value is malformed or of a wrong kind");
}

void kap_reply_json(struct kap_request *rq, struct kap_json *j)
{
    kap_json_init(j, kap_request_out(rq), true);
}

void kap_json_link(struct kap_json *j, const char *key, const char *rel, const char *href)
{
    kap_json_key(j, key);
    kap_json_object(j);
    kap_json_key(j, "rel");
    kap_json_cstr(j, rel);
    kap_json_key(j, "href");
    kap_json_cstr(j, href);
    kap_json_object_end(j);
}

bool kap_query_int(struct kap_request *rq, const char *name, int64_t *ret)
{
    const struct kap_str v = kap_request_query(rq, name);
    if (v.n == 0 || kap_str_to_i64(v, ret))
        return true;
    KAP_AUTO_BUF struct kap_buf quoted = { 0 };
    kap_buf_addq(&quoted, v);
    kap_reply_error(
        rq, 400, "invalid %s parameter %s must be an integer: strconv.ParseInt: parsing %s: invalid syntax",
        name, quoted.p, quoted.p);
    return false;
}

bool kap_query_word(struct kap_request *rq, const char *name, const char *usual, const char *other,
                    bool *ret_other)
{
    const struct kap_str v = kap_request_query(rq, name);
    *ret_other = kap_str_is(v, other);
    if (v.n == 0 || *ret_other || kap_str_is(v, usual))
        return true;
    KAP_AUTO_BUF struct kap_buf quoted = { 0 };
    kap_buf_addq(&quoted, v);
    kap_reply_error(rq, 400, "invalid %s parameter %s", name, quoted.p);
    return false;
}

void kap_api_routes(struct kap_httpd *h, const struct kap_api *api)
{
    const struct kap_route *const all[] = { kap_routes_basic,     kap_routes_write,  kap_routes_tasks,
                                            kap_routes_templates, kap_routes_topics, kap_routes_cluster,
                                            kap_routes_vars,      kap_routes_logs,   kap_routes_silences,
                                            kap_routes_recordings, kap_routes_replays,
                                            kap_routes_dead_letters, kap_routes_config,
                                            kap_routes_service_tests, kap_routes_storage };
    for (size_t i = 0; i < KAP_COUNT(all); i++)
        kap_httpd_add(h, all[i], (void *)(uintptr_t)api);
}
