/* Definitions as they are stored, and requests as they come. */
#include "task/internal.h"

#include "base/mem.h"

struct kap_definition *kap_definition_new(void)
{
    struct kap_definition *d = KAP_NEW(struct kap_definition);
    d->refs = 1;
    d->arena = kap_arena_new();
    d->id = d->template_id = d->script = KAP_STR("");
    d->type = KAP_TASK_INVALID;
    return d;
}

struct kap_definition *kap_definition_ref(struct kap_definition *d)
{
    d->refs++;
    return d;
}

void kap_definition_unref(struct kap_definition *d)
{
    if (d == NULL || --d->refs > 0)
        return;
    kap_tick_vars_done(&d->vars);
    kap_arena_free(d->arena);
    kap_free(d);
}

void kap_definition_set_dbrps(struct kap_definition *d, const struct kap_dbrp *v, size_t n)
{
    d->dbrps = KAP_ARENA_ARRAY(d->arena, struct kap_dbrp, n + 1);
    d->ndbrps = n;
    for (size_t i = 0; i < n; i++)
        d->dbrps[i] = (struct kap_dbrp){ kap_arena_str(d->arena, v[i].db), kap_arena_str(d->arena, v[i].rp) };
}

static void vars_copy(const struct kap_tick_vars *from, struct kap_tick_vars *to)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_json j;
    kap_json_init(&j, &b, false);
    kap_tick_vars_json(&j, from, false);
    kap_tick_vars_parse(kap_buf_str(&b), to, NULL);
}

struct kap_definition *kap_definition_copy(const struct kap_definition *d)
{
    struct kap_definition *copy = kap_definition_new();
    copy->id = kap_arena_str(copy->arena, d->id);
    copy->template_id = kap_arena_str(copy->arena, d->template_id);
    copy->script = kap_arena_str(copy->arena, d->script);
    copy->type = d->type;
    kap_definition_set_dbrps(copy, d->dbrps, d->ndbrps);
    vars_copy(&d->vars, &copy->vars);
    copy->enabled = d->enabled;
    copy->created_ns = d->created_ns;
    copy->modified_ns = d->modified_ns;
    copy->last_enabled_ns = d->last_enabled_ns;
    copy->run_ns = d->run_ns;
    copy->reloading = d->reloading;
    return copy;
}

/* --- as it is stored --- */

static const char *type_name(enum kap_task_type type)
{
    return type == KAP_TASK_BATCH ? "batch" : type == KAP_TASK_STREAM ? "stream" : "invalid";
}

void kap_definition_encode(const struct kap_definition *d, struct kap_buf *out)
{
    struct kap_json j;
    kap_json_init(&j, out, false);
    kap_json_object(&j);
    kap_json_key(&j, "id");
    kap_json_str(&j, d->id);
    kap_json_key(&j, "template-id");
    kap_json_str(&j, d->template_id);
    kap_json_key(&j, "type");
    kap_json_cstr(&j, type_name(d->type));
    kap_json_key(&j, "dbrps");
    kap_json_array(&j);
    for (size_t i = 0; i < d->ndbrps; i++) {
        kap_json_object(&j);
        kap_json_key(&j, "db");
        kap_json_str(&j, d->dbrps[i].db);
        kap_json_key(&j, "rp");
        kap_json_str(&j, d->dbrps[i].rp);
        kap_json_object_end(&j);
    }
    kap_json_array_end(&j);
    kap_json_key(&j, "script");
    kap_json_str(&j, d->script);
    kap_json_key(&j, "vars");
    kap_tick_vars_json(&j, &d->vars, false);
    kap_json_key(&j, "status");
    kap_json_cstr(&j, d->enabled ? "enabled" : "disabled");
    const struct {
        const char *name;
        int64_t ns;
    } times[] = {
        { "created", d->created_ns },
        { "modified", d->modified_ns },
        { "last-enabled", d->last_enabled_ns },
        { "run", d->run_ns },
    };
    for (size_t i = 0; i < KAP_COUNT(times); i++) {
        kap_json_key(&j, times[i].name);
        kap_json_i64(&j, times[i].ns);
    }
    if (d->reloading) {
        kap_json_key(&j, "reloading");
        kap_json_bool(&j, true);
    }
    kap_json_object_end(&j);
}

static struct kap_str member_str(const json_t *json, const char *name)
{
    const json_t *v = json_object_get(json, name);
    return json_is_string(v) ? kap_strn(json_string_value(v), json_string_length(v)) : KAP_STR("");
}

static int64_t member_int(const json_t *json, const char *name)
{
    const json_t *v = json_object_get(json, name);
    return json_is_integer(v) ? json_integer_value(v) : 0;
}

static void decode_dbrps(struct kap_definition *d, const json_t *list)
{
    const size_t n = json_array_size(list);
    struct kap_dbrp *v = KAP_ARRAY(struct kap_dbrp, n + 1);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        v[i] = (struct kap_dbrp){ member_str(item, "db"), member_str(item, "rp") };
    }
    kap_definition_set_dbrps(d, v, n);
    kap_free(v);
}

enum kap_status kap_definition_decode(struct kap_str id, struct kap_str text, struct kap_definition **ret,
                                      struct kap_error *err)
{
    json_t *json = json_loadb(text.p, text.n, 0, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return kap_fail(err, KAP_EINVAL, "the stored definition of '%.*s' is damaged", KAP_STR_ARG(id));
    }
    struct kap_definition *d = kap_definition_new();
    d->id = kap_arena_str(d->arena, id);
    d->template_id = kap_arena_str(d->arena, member_str(json, "template-id"));
    d->script = kap_arena_str(d->arena, member_str(json, "script"));
    const struct kap_str type = member_str(json, "type");
    d->type = kap_str_is(type, "batch")    ? KAP_TASK_BATCH
              : kap_str_is(type, "stream") ? KAP_TASK_STREAM
                                           : KAP_TASK_INVALID;
    decode_dbrps(d, json_object_get(json, "dbrps"));
    d->enabled = kap_str_is(member_str(json, "status"), "enabled");
    d->created_ns = member_int(json, "created");
    d->modified_ns = member_int(json, "modified");
    d->last_enabled_ns = member_int(json, "last-enabled");
    d->run_ns = member_int(json, "run");
    d->reloading = json_is_true(json_object_get(json, "reloading"));
    const enum kap_status st = kap_tick_vars_from_json(json_object_get(json, "vars"), &d->vars, err);
    json_decref(json);
    if (st != KAP_OK) {
        kap_definition_unref(d);
        return kap_wrap(err, "the stored definition of '%.*s'", KAP_STR_ARG(id));
    }
    *ret = d;
    return KAP_OK;
}

/* --- requests --- */

/* An optional string; false: it is something else. */
static bool take_str(const json_t *json, const char *name, struct kap_str *ret)
{
    const json_t *v = json_object_get(json, name);
    *ret = member_str(json, name);
    return v == NULL || json_is_null(v) || json_is_string(v);
}

static bool take_dbrps(struct kap_task_request *rq, const json_t *list)
{
    if (list == NULL || json_is_null(list))
        return true;
    if (!json_is_array(list))
        return false;
    rq->ndbrps = json_array_size(list);
    rq->dbrps = KAP_ARRAY(struct kap_dbrp, rq->ndbrps + 1);
    for (size_t i = 0; i < rq->ndbrps; i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_object(item) || !take_str(item, "db", &rq->dbrps[i].db) ||
            !take_str(item, "rp", &rq->dbrps[i].rp))
            return false;
    }
    return true;
}

static bool take_all(struct kap_task_request *rq, json_t *json)
{
    struct kap_str type, status;
    if (!take_str(json, "id", &rq->id) || !take_str(json, "template-id", &rq->template_id) ||
        !take_str(json, "script", &rq->script) || !take_str(json, "type", &type) ||
        !take_str(json, "status", &status) || !take_dbrps(rq, json_object_get(json, "dbrps")))
        return false;
    rq->type = kap_str_is(type, "stream")  ? KAP_TASK_STREAM
               : kap_str_is(type, "batch") ? KAP_TASK_BATCH
                                           : KAP_TASK_INVALID;
    rq->status = kap_str_is(status, "enabled")    ? KAP_STATUS_ENABLED
                 : kap_str_is(status, "disabled") ? KAP_STATUS_DISABLED
                                                  : KAP_STATUS_UNSAID;
    if ((type.n > 0 && rq->type == KAP_TASK_INVALID) || (status.n > 0 && rq->status == KAP_STATUS_UNSAID))
        return false;
    if (kap_tick_vars_from_json(json_object_get(json, "vars"), &rq->vars, NULL) != KAP_OK)
        return false;
    rq->has_vars = rq->vars.n > 0;
    rq->reload = json_is_true(json_object_get(json, "reload"));
    return true;
}

enum kap_status kap_task_request_parse(struct kap_str body, struct kap_task_request *ret,
                                       struct kap_error *err)
{
    *ret = (struct kap_task_request){ .type = KAP_TASK_INVALID };
    ret->json = json_loadb(body.p, body.n, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    const bool usable = json_is_object(ret->json) || json_is_null(ret->json);
    if (usable && take_all(ret, ret->json))
        return KAP_OK;
    kap_task_request_done(ret);
    return kap_fail(err, KAP_EINVAL, "invalid JSON");
}

void kap_task_request_done(struct kap_task_request *rq)
{
    kap_tick_vars_done(&rq->vars);
    kap_free(rq->dbrps);
    json_decref(rq->json);
    *rq = (struct kap_task_request){ 0 };
}
