#include "handlers/util.h"

#include "alert/spec.h"
#include "base/number.h"

/* --- templates --- */

static struct kap_tvalue series_value(const struct kap_event *ev, struct kap_arena *arena)
{
    struct kap_tvalue *rows = KAP_ARENA_ARRAY(arena, struct kap_tvalue, ev->nrows + 1);
    for (size_t i = 0; i < ev->nrows; i++)
        rows[i] = kap_t_row(arena, ev->rows[i]);
    struct kap_tpair *series = KAP_ARENA_NEW(arena, struct kap_tpair);
    *series = (struct kap_tpair){ KAP_STR("Series"), kap_t_list(arena, "models.Rows", rows, ev->nrows) };
    struct kap_tstruct *st = KAP_ARENA_NEW(arena, struct kap_tstruct);
    *st = (struct kap_tstruct){ "models.Result", 1, series };
    return kap_t_struct(st);
}

static struct kap_tvalue server_value(const struct kap_handler_env *env, struct kap_arena *arena)
{
    struct kap_tpair *v = KAP_ARENA_ARRAY(arena, struct kap_tpair, 3);
    v[0] = (struct kap_tpair){ KAP_STR("Hostname"), kap_t_str(env->hostname) };
    v[1] = (struct kap_tpair){ KAP_STR("ClusterID"), kap_t_str(env->cluster_id) };
    v[2] = (struct kap_tpair){ KAP_STR("ServerID"), kap_t_str(env->server_id) };
    struct kap_tstruct *st = KAP_ARENA_NEW(arena, struct kap_tstruct);
    *st = (struct kap_tstruct){ "kapacitor.serverInfo", 3, v };
    return kap_t_struct(st);
}

struct kap_tvalue kap_event_tvalue(const struct kap_event *ev, const struct kap_handler_env *env,
                                   struct kap_arena *arena)
{
    const struct kap_tpair v[] = {
        { KAP_STR("ID"), kap_t_str(ev->id) },
        { KAP_STR("Message"), kap_t_str(ev->message) },
        { KAP_STR("Details"), kap_t_str(ev->details) },
        { KAP_STR("Time"), kap_t_time(ev->time_ns) },
        { KAP_STR("Duration"), kap_t_duration(ev->duration_ns) },
        { KAP_STR("Level"), kap_t_str(kap_str(kap_level_name(ev->level))) },
        { KAP_STR("Data"), series_value(ev, arena) },
        { KAP_STR("PreviousLevel"), kap_t_str(kap_str(kap_level_name(ev->previous))) },
        { KAP_STR("Recoverable"), { .kind = KAP_T_BOOL, .b = ev->recoverable } },
        { KAP_STR("Name"), kap_t_str(ev->name) },
        { KAP_STR("TaskName"), kap_t_str(ev->task) },
        { KAP_STR("Group"), kap_t_str(ev->group) },
        { KAP_STR("Tags"), kap_t_tags(arena, ev->tags) },
        { KAP_STR("Fields"), kap_t_fields(arena, ev->fields, ev->nfields) },
        { KAP_STR("ServerInfo"), server_value(env, arena) },
    };
    struct kap_tpair *copy = KAP_ARENA_ARRAY(arena, struct kap_tpair, KAP_COUNT(v));
    memcpy(copy, v, sizeof v);
    struct kap_tstruct *st = KAP_ARENA_NEW(arena, struct kap_tstruct);
    *st = (struct kap_tstruct){ "alert.Data", KAP_COUNT(v), copy };
    return kap_t_struct(st);
}

enum kap_status kap_event_render(const char *name, struct kap_str text, const struct kap_event *ev,
                                 const struct kap_handler_env *env, struct kap_arena *arena, struct kap_str *ret,
                                 struct kap_error *err)
{
    if (!memmem(text.p, text.n, "{{", 2)) {
        *ret = text;
        return KAP_OK;
    }
    struct kap_template *t;
    KAP_TRY(kap_template_new(name, text, KAP_TEMPLATE_JSON, &t, err));
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    const enum kap_status status = kap_template_render(t, kap_event_tvalue(ev, env, arena), arena, &out, err);
    kap_template_free(t);
    if (status == KAP_OK)
        *ret = kap_arena_str(arena, kap_buf_str(&out));
    return status;
}

enum kap_status kap_event_render_check(const char *name, struct kap_str text, struct kap_error *err)
{
    struct kap_template *t;
    KAP_TRY(kap_template_new(name, text, KAP_TEMPLATE_JSON, &t, err));
    kap_template_free(t);
    return KAP_OK;
}

/* --- bodies --- */

enum kap_status kap_event_body(const struct kap_event *ev, struct kap_arena *arena, struct kap_str *ret,
                               struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_json j;
    kap_json_init(&j, &b, false);
    if (!kap_event_json(ev, &j))
        return kap_fail(err, KAP_EINVAL, "json: unsupported value: NaN or Inf");
    kap_buf_addc(&b, '\n');
    *ret = kap_arena_str(arena, kap_buf_str(&b));
    return KAP_OK;
}

const char **kap_json_headers(struct kap_arena *arena, const char *more)
{
    const char **v = KAP_ARENA_ARRAY(arena, const char *, 3);
    v[0] = "Content-Type: application/json";
    v[1] = more;
    return v;
}

void kap_props_empty(void *object, const struct kap_prop *props)
{
    for (; props->kind != KAP_PROP_END; props++)
        if (props->kind == KAP_PROP_STRING)
            *(struct kap_str *)((char *)object + props->offset) = KAP_STR("");
}

enum kap_status kap_service_off(struct kap_error *err)
{
    return kap_fail(err, KAP_ESTATE, "service is not enabled");
}

void kap_json_text(struct kap_json *j, const char *key, struct kap_str s)
{
    kap_json_key(j, key);
    kap_json_str(j, s);
}

void kap_json_texts(struct kap_json *j, const char *key, struct kap_strings s)
{
    kap_json_key(j, key);
    kap_json_array(j);
    for (size_t i = 0; i < s.n; i++)
        kap_json_str(j, s.v[i]);
    kap_json_array_end(j);
}

struct kap_str kap_event_data_text(const struct kap_event *ev, struct kap_arena *arena)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    struct kap_json j;
    kap_json_init(&j, &b, false);
    return kap_event_data_json(ev, &j) ? kap_arena_str(arena, kap_buf_str(&b)) : KAP_STR("null");
}

void kap_http_json(struct kap_http_out *out, struct kap_arena *arena, struct kap_str url, struct kap_buf *body)
{
    kap_buf_addc(body, '\n');
    out->url = url;
    out->body = kap_arena_str(arena, kap_buf_str(body));
    out->headers = kap_json_headers(arena, NULL);
    kap_buf_done(body);
}

void kap_judge_message(struct kap_str body, const char *member, struct kap_error *err)
{
    json_t *tree = json_loadb(body.p, body.n, 0, NULL);
    const char *text = json_string_value(json_object_get(tree, member));
    if (text)
        kap_fail(err, KAP_EIO, "%s", text);
    json_decref(tree);
}

struct kap_str kap_url_join(struct kap_arena *arena, struct kap_str url, struct kap_str segment)
{
    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    return kap_str(kap_arena_printf(arena, "%.*s/%.*s", KAP_STR_ARG(url), KAP_STR_ARG(segment)));
}

void kap_url_escape(struct kap_buf *out, struct kap_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        const bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                           (c && strchr("-_.~", c));
        if (plain)
            kap_buf_addc(out, (char)c);
        else if (c == ' ')
            kap_buf_addc(out, '+');
        else
            kap_buf_addf(out, "%%%02X", c);
    }
}

/* --- arguments --- */

enum kap_status kap_arg_text(struct kap_str *ret, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                             size_t i, const char *method, struct kap_error *err)
{
    if (i >= nargs)
        return kap_fail(err, KAP_EINVAL, "%s expects a string as argument %zu", method, i + 1);
    if (args[i].kind != KAP_ARG_VALUE || args[i].value.type != KAP_STRING)
        return kap_fail(err, KAP_EINVAL, "argument %zu of %s must be a string", i + 1, method);
    *ret = kap_arena_str(arena, args[i].value.s);
    return KAP_OK;
}

enum kap_status kap_arg_texts(struct kap_strings *ret, struct kap_arena *arena, const struct kap_arg *args,
                              size_t nargs, size_t first, const char *method, struct kap_error *err)
{
    const size_t n = nargs > first ? nargs - first : 0;
    struct kap_str *v = KAP_ARENA_ARRAY(arena, struct kap_str, n + 1);
    for (size_t i = 0; i < n; i++)
        KAP_TRY(kap_arg_text(&v[i], arena, args, nargs, first + i, method, err));
    ret->v = v;
    ret->n = n;
    return KAP_OK;
}

void kap_pairs_set(struct kap_pairs *p, struct kap_arena *arena, struct kap_str key, struct kap_value value)
{
    if (value.type == KAP_STRING)
        value.s = kap_arena_str(arena, value.s);
    for (size_t i = 0; i < p->n; i++) {
        if (kap_str_eq(p->v[i].key, key)) {
            p->v[i].value = value;
            return;
        }
    }
    struct kap_pair *v = KAP_ARENA_ARRAY(arena, struct kap_pair, p->n + 1);
    if (p->n)
        memcpy(v, p->v, p->n * sizeof *v);
    v[p->n] = (struct kap_pair){ kap_arena_str(arena, key), value };
    p->v = v;
    p->n++;
}

enum kap_status kap_pairs_call(struct kap_pairs *p, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                               bool strings_only, const char *method, struct kap_error *err)
{
    if (nargs != 2)
        return kap_fail(err, KAP_EINVAL, "%s expects a key and a value", method);
    struct kap_str key;
    KAP_TRY(kap_arg_text(&key, arena, args, nargs, 0, method, err));
    const enum kap_type type = args[1].kind == KAP_ARG_VALUE ? args[1].value.type : KAP_MISSING;
    const bool fits = strings_only ? type == KAP_STRING
                                   : type == KAP_STRING || type == KAP_INT || type == KAP_FLOAT || type == KAP_BOOL;
    if (!fits)
        return kap_fail(err, KAP_EINVAL, "argument 2 of %s must be a %s", method,
                        strings_only ? "string" : "string, number or boolean");
    kap_pairs_set(p, arena, key, args[1].value);
    return KAP_OK;
}

enum kap_status kap_pairs_option(struct kap_pairs *p, struct kap_arena *arena, const char *key, const json_t *v,
                                 bool strings_only, struct kap_error *err)
{
    if (!json_is_object(v))
        return kap_option_type_error(err, key, strings_only ? "map[string]string" : "map[string]interface {}", v);
    void *it = json_object_iter((json_t *)(uintptr_t)v);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)v, it)) {
        const json_t *item = json_object_iter_value(it);
        struct kap_value value;
        if (json_is_string(item))
            value = kap_value_s(kap_strn(json_string_value(item), json_string_length(item)));
        else if (strings_only || json_is_object(item) || json_is_array(item) || json_is_null(item))
            return kap_option_type_error(err, key, "string", item);
        else if (json_is_boolean(item))
            value = kap_value_b(json_is_true(item));
        else if (json_is_integer(item))
            value = kap_value_i(json_integer_value(item));
        else
            value = kap_value_f(json_real_value(item));
        kap_pairs_set(p, arena, kap_str(json_object_iter_key(it)), value);
    }
    return KAP_OK;
}

void kap_pair_json(const struct kap_pair *p, struct kap_json *j)
{
    if (p->value.type == KAP_INT)
        kap_json_i64(j, p->value.i);
    else if (p->value.type == KAP_FLOAT)
        kap_json_f64(j, p->value.f);
    else if (p->value.type == KAP_BOOL)
        kap_json_bool(j, p->value.b);
    else
        kap_json_str(j, p->value.s);
}

void kap_pair_text(const struct kap_pair *p, struct kap_buf *out)
{
    if (p->value.type == KAP_INT)
        kap_number_i64(out, p->value.i);
    else if (p->value.type == KAP_FLOAT)
        kap_number_format(out, p->value.f, 'g', -1);
    else if (p->value.type == KAP_BOOL)
        kap_buf_adds(out, p->value.b ? "true" : "false");
    else
        kap_buf_add(out, p->value.s);
}
