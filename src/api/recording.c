#include "api/recording.h"

#include "base/gotime.h"

json_t *kap_body_object(struct kap_request *rq)
{
    const struct kap_str body = kap_request_body(rq);
    json_t *root = json_loadb(body.p ? body.p : "", body.n, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, NULL);
    if (json_is_object(root))
        return root;
    json_decref(root);
    kap_buf_reset(kap_request_out(rq));
    KAP_AUTO_BUF struct kap_buf why = { 0 };
    kap_json_problem(body, &why);
    kap_reply_error(rq, 400, "%s", why.p);
    return NULL;
}

struct kap_str kap_body_str(const json_t *root, const char *key)
{
    const json_t *v = json_object_get(root, key);
    return json_is_string(v) ? kap_strn(json_string_value(v), json_string_length(v)) : KAP_STR("");
}

bool kap_body_time(struct kap_request *rq, const json_t *root, const char *key, int64_t *ret_ns)
{
    struct kap_error err;
    const struct kap_str text = kap_body_str(root, key);
    *ret_ns = KAP_NO_TIME;
    if (text.n == 0 || kap_str_is(text, "0001-01-01T00:00:00Z") ||
        kap_time_parse_rfc3339(text, ret_ns, &err) == KAP_OK)
        return true;
    kap_reply_error(rq, 400, "%s", err.msg);
    return false;
}

bool kap_list_query(struct kap_request *rq, struct kap_list_query *ret)
{
    *ret = (struct kap_list_query){ .pattern = kap_request_query(rq, "pattern"), .limit = 100 };
    ret->nfields = kap_request_query_all(rq, "fields", &ret->fields);
    return kap_query_int(rq, "offset", &ret->offset) && kap_query_int(rq, "limit", &ret->limit);
}

void kap_list_refused(struct kap_request *rq, const char *what, struct kap_str pattern,
                      const struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf quoted = { 0 };
    kap_buf_addq(&quoted, pattern);
    kap_reply_error(rq, 400, "failed to list %s with pattern %s: %s", what, quoted.p, err->msg);
}

static bool has_field(const struct kap_list_query *q, const char *name)
{
    for (size_t i = 0; i < q->nfields; i++)
        if (kap_str_is(q->fields[i], name))
            return true;
    return false;
}

static bool put_entry(struct kap_json *j, const struct kap_list_query *q, const struct kap_str *fields,
                      size_t n, const void *entry, kap_entry_field_fn field, struct kap_str *ret_unknown)
{
    kap_json_object(j);
    for (size_t i = 0; i < n; i++) {
        if (!field(j, entry, fields[i])) {
            *ret_unknown = fields[i];
            return false;
        }
    }
    if (fields == q->fields) {
        if (!has_field(q, "id"))
            (void)field(j, entry, KAP_STR("id"));
        if (!has_field(q, "link"))
            (void)field(j, entry, KAP_STR("link"));
    }
    kap_json_object_end(j);
    return true;
}

void kap_reply_list(struct kap_request *rq, const char *key, const struct kap_list_query *q,
                    const struct kap_str *all_fields, size_t nall, const void *entries, size_t entry_size,
                    size_t n, kap_entry_field_fn field)
{
    const struct kap_str *fields = q->nfields ? q->fields : all_fields;
    const size_t nfields = q->nfields ? q->nfields : nall;
    struct kap_json j;
    kap_reply_json(rq, &j);
    kap_json_object(&j);
    kap_json_key(&j, key);
    kap_json_array(&j);
    for (size_t i = 0; i < n; i++) {
        struct kap_str unknown;
        if (put_entry(&j, q, fields, nfields, (const char *)entries + i * entry_size, field, &unknown))
            continue;
        KAP_AUTO_BUF struct kap_buf quoted = { 0 };
        kap_buf_addq(&quoted, unknown);
        kap_buf_reset(kap_request_out(rq));
        kap_reply_error(rq, 400, "unsupported field %s", quoted.p);
        return;
    }
    kap_json_array_end(&j);
    kap_json_object_end(&j);
    kap_reply_body(rq, 200, NULL);
}

void kap_reply_entry(struct kap_request *rq, int status, const struct kap_str *fields, size_t n,
                     const void *entry, kap_entry_field_fn field)
{
    struct kap_json j;
    kap_reply_json(rq, &j);
    kap_json_object(&j);
    for (size_t i = 0; i < n; i++)
        (void)field(&j, entry, fields[i]);
    kap_json_object_end(&j);
    kap_reply_body(rq, status, NULL);
}
