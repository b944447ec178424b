#include "alert/spec.h"

#include "base/mem.h"

#include <yaml.h>

void kap_handler_spec_done(struct kap_handler_spec *s)
{
    kap_free(s->topic);
    kap_free(s->id);
    kap_free(s->kind);
    kap_free(s->match);
    json_decref(s->options);
    *s = (struct kap_handler_spec){ 0 };
}

static enum kap_status text_member(const char *key, const json_t *v, char **ret, struct kap_error *err)
{
    if (json_is_null(v))
        return KAP_OK;
    if (!json_is_string(v))
        return kap_fail(err, KAP_EINVAL, "handler spec: \"%s\" must be a string", key);
    kap_free(*ret);
    *ret = kap_strndup(json_string_value(v), json_string_length(v));
    return KAP_OK;
}

#define MAX_CONCURRENCY 1000

static enum kap_status read_limit(struct kap_handler_spec *s, const char *key, const json_t *v, struct kap_error *err)
{
    if (strcmp(key, "concurrency") == 0) {
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > MAX_CONCURRENCY)
            return kap_fail(err, KAP_EINVAL, "handler spec: \"concurrency\" must be an integer from 0 to %d",
                            MAX_CONCURRENCY);
        s->concurrency = (unsigned)json_integer_value(v);
        return KAP_OK;
    }
    if (!json_is_number(v) || json_number_value(v) < 0)
        return kap_fail(err, KAP_EINVAL, "handler spec: \"rate-limit\" must be a number of attempts in a second");
    s->rate_limit = json_number_value(v);
    return KAP_OK;
}

static enum kap_status read_member(struct kap_handler_spec *s, const char *key, json_t *v, struct kap_error *err)
{
    static const char *const known[] = { "id", "topic", "kind", "match", "options", "concurrency", "rate-limit" };
    char **const texts[] = { &s->id, &s->topic, &s->kind, &s->match };
    for (size_t i = 0; i < KAP_COUNT(texts); i++)
        if (strcmp(key, known[i]) == 0)
            return text_member(key, v, texts[i], err);
    if (strcmp(key, "options") == 0) {
        if (!json_is_object(v) && !json_is_null(v))
            return kap_fail(err, KAP_EINVAL, "handler spec: \"options\" must be an object");
        json_decref(s->options);
        s->options = json_incref(v);
        return KAP_OK;
    }
    if (strcmp(key, "concurrency") == 0 || strcmp(key, "rate-limit") == 0)
        return read_limit(s, key, v, err);
    if (strcmp(key, "link") == 0) /* what the API shows may be given back to it */
        return KAP_OK;
    const int near = kap_closest(key, known, KAP_COUNT(known));
    if (near >= 0)
        return kap_fail(err, KAP_EINVAL, "handler spec: unknown member \"%s\", did you mean \"%s\"?", key, known[near]);
    return kap_fail(err, KAP_EINVAL, "handler spec: unknown member \"%s\"", key);
}

enum kap_status kap_handler_spec_read(const json_t *json, const char *topic, struct kap_handler_spec *ret,
                                      struct kap_error *err)
{
    if (!json_is_object(json))
        return kap_fail(err, KAP_EINVAL, "handler spec: must be an object");
    struct kap_handler_spec s = { .topic = kap_strdup(topic ? topic : ""), .id = kap_strdup(""),
                                  .kind = kap_strdup(""), .match = kap_strdup(""), .options = json_null() };
    const char *key;
    json_t *v;
    void *it = json_object_iter((json_t *)(uintptr_t)json);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)json, it)) {
        key = json_object_iter_key(it);
        v = json_object_iter_value(it);
        const enum kap_status status = read_member(&s, key, v, err);
        if (status != KAP_OK) {
            kap_handler_spec_done(&s);
            return status;
        }
    }
    if (topic) {
        kap_free(s.topic);
        s.topic = kap_strdup(topic);
    }
    *ret = s;
    return KAP_OK;
}

/* Letters of any script, digits, '-', '.', '_'. */
static bool id_valid(const char *s)
{
    struct kap_str rest = kap_str(s);
    if (rest.n == 0)
        return false;
    while (rest.n) {
        uint32_t rune;
        const size_t n = kap_utf8_decode(rest.p, rest.n, &rune);
        if (n == 0)
            return false;
        const bool ascii_word = (rune >= '0' && rune <= '9') || ((rune | 0x20) >= 'a' && (rune | 0x20) <= 'z') ||
                                rune == '-' || rune == '.' || rune == '_';
        if (rune < 0x80 ? !ascii_word : rune < 0xaa)
            return false;
        rest.p += n;
        rest.n -= n;
    }
    return true;
}

enum kap_status kap_handler_spec_check(const struct kap_handler_spec *s, struct kap_error *err)
{
    if (!id_valid(s->topic))
        return kap_fail(err, KAP_EINVAL, "invalid handler spec: handler topic must contain only letters, numbers, "
                                         "'-', '.' and '_'. \"%s\"", s->id);
    if (!id_valid(s->id))
        return kap_fail(err, KAP_EINVAL, "invalid handler spec: handler ID must contain only letters, numbers, "
                                         "'-', '.' and '_'. \"%s\"", s->id);
    if (!*s->kind)
        return kap_fail(err, KAP_EINVAL, "invalid handler spec: handler Kind must not be empty");
    return KAP_OK;
}

static void write_tree(const json_t *v, struct kap_json *j)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT: {
        kap_json_object(j);
        void *it = json_object_iter((json_t *)(uintptr_t)v);
        for (; it; it = json_object_iter_next((json_t *)(uintptr_t)v, it)) {
            kap_json_key(j, json_object_iter_key(it));
            write_tree(json_object_iter_value(it), j);
        }
        kap_json_object_end(j);
        return;
    }
    case JSON_ARRAY:
        kap_json_array(j);
        for (size_t i = 0; i < json_array_size(v); i++)
            write_tree(json_array_get(v, i), j);
        kap_json_array_end(j);
        return;
    case JSON_STRING:
        kap_json_str(j, kap_strn(json_string_value(v), json_string_length(v)));
        return;
    case JSON_INTEGER:
        kap_json_i64(j, json_integer_value(v));
        return;
    case JSON_REAL:
        kap_json_f64(j, json_real_value(v));
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        kap_json_bool(j, json_is_true(v));
        return;
    case JSON_NULL:
        break;
    }
    kap_json_null(j);
}

void kap_handler_spec_json(const struct kap_handler_spec *s, struct kap_json *j)
{
    KAP_AUTO_FREE char *href = kap_asprintf("/kapacitor/v1/alerts/topics/%s/handlers/%s", s->topic, s->id);
    kap_json_object(j);
    kap_json_key(j, "link");
    kap_json_object(j);
    kap_json_key(j, "rel");
    kap_json_cstr(j, "self");
    kap_json_key(j, "href");
    kap_json_cstr(j, href);
    kap_json_object_end(j);
    kap_json_key(j, "id");
    kap_json_cstr(j, s->id);
    kap_json_key(j, "kind");
    kap_json_cstr(j, s->kind);
    kap_json_key(j, "options");
    write_tree(s->options, j);
    kap_json_key(j, "match");
    kap_json_cstr(j, s->match);
    if (s->concurrency) {
        kap_json_key(j, "concurrency");
        kap_json_i64(j, s->concurrency);
    }
    if (s->rate_limit > 0) {
        kap_json_key(j, "rate-limit");
        kap_json_f64(j, s->rate_limit);
    }
    kap_json_object_end(j);
}

/* --- YAML --- */

static json_t *plain_scalar(const char *s, size_t n)
{
    static const char *const yes[] = { "true", "True", "TRUE" }, *const no[] = { "false", "False", "FALSE" };
    const struct kap_str t = kap_strn(s, n);
    if (n == 0 || kap_str_is(t, "~") || kap_str_is(t, "null") || kap_str_is(t, "Null") || kap_str_is(t, "NULL"))
        return json_null();
    for (size_t i = 0; i < KAP_COUNT(yes); i++) {
        if (kap_str_is(t, yes[i]))
            return json_true();
        if (kap_str_is(t, no[i]))
            return json_false();
    }
    int64_t i;
    double f;
    if (kap_str_to_i64(t, &i))
        return json_integer(i);
    if (((*s >= '0' && *s <= '9') || *s == '-' || *s == '.') && kap_str_to_f64(t, &f))
        return json_real(f);
    return json_stringn(s, n);
}

static enum kap_status node_json(yaml_document_t *doc, const yaml_node_t *n, int depth, json_t **ret,
                                 struct kap_error *err);

static enum kap_status mapping_json(yaml_document_t *doc, const yaml_node_t *n, int depth, json_t *into,
                                    struct kap_error *err)
{
    const yaml_node_pair_t *pair = n->data.mapping.pairs.start;
    for (; pair < n->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(doc, pair->key);
        const yaml_node_t *value = yaml_document_get_node(doc, pair->value);
        if (key->type != YAML_SCALAR_NODE)
            return kap_fail(err, KAP_EINVAL, "yaml: line %zu column %zu: a key must be a plain text",
                            key->start_mark.line + 1, key->start_mark.column + 1);
        json_t *v;
        KAP_TRY(node_json(doc, value, depth + 1, &v, err));
        if (json_object_setn_new(into, (const char *)key->data.scalar.value, key->data.scalar.length, v) != 0)
            return kap_fail(err, KAP_EINVAL, "yaml: line %zu column %zu: key is not valid UTF-8",
                            key->start_mark.line + 1, key->start_mark.column + 1);
    }
    return KAP_OK;
}

static enum kap_status sequence_json(yaml_document_t *doc, const yaml_node_t *n, int depth, json_t *into,
                                     struct kap_error *err)
{
    const yaml_node_item_t *item = n->data.sequence.items.start;
    for (; item < n->data.sequence.items.top; item++) {
        json_t *v;
        KAP_TRY(node_json(doc, yaml_document_get_node(doc, *item), depth + 1, &v, err));
        json_array_append_new(into, v);
    }
    return KAP_OK;
}

static enum kap_status node_json(yaml_document_t *doc, const yaml_node_t *n, int depth, json_t **ret,
                                 struct kap_error *err)
{
    if (depth > 32)
        return kap_fail(err, KAP_ELIMIT, "yaml: line %zu: nested too deeply", n->start_mark.line + 1);
    if (n->type == YAML_SCALAR_NODE) {
        const char *s = (const char *)n->data.scalar.value;
        json_t *v = n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain_scalar(s, n->data.scalar.length)
                                                                    : json_stringn(s, n->data.scalar.length);
        if (!v)
            return kap_fail(err, KAP_EINVAL, "yaml: line %zu: text is not valid UTF-8", n->start_mark.line + 1);
        *ret = v;
        return KAP_OK;
    }
    const bool is_map = n->type == YAML_MAPPING_NODE;
    json_t *v = is_map ? json_object() : json_array();
    const enum kap_status status =
        is_map ? mapping_json(doc, n, depth, v, err) : sequence_json(doc, n, depth, v, err);
    if (status != KAP_OK) {
        json_decref(v);
        return status;
    }
    *ret = v;
    return KAP_OK;
}

/* Aliases could blow a small text up to any size. */
static enum kap_status refuse_aliases(struct kap_str text, struct kap_error *err)
{
    yaml_parser_t p;
    yaml_parser_initialize(&p);
    yaml_parser_set_input_string(&p, (const unsigned char *)text.p, text.n);
    enum kap_status status = KAP_OK;
    for (bool more = true; more && status == KAP_OK;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&p, &ev)) {
            status = kap_fail(err, KAP_EINVAL, "yaml: line %zu column %zu: %s", p.problem_mark.line + 1,
                              p.problem_mark.column + 1, p.problem ? p.problem : "not YAML");
            break;
        }
        more = ev.type != YAML_STREAM_END_EVENT && ev.type != YAML_DOCUMENT_END_EVENT;
        if (ev.type == YAML_ALIAS_EVENT)
            status = kap_fail(err, KAP_EINVAL, "yaml: line %zu column %zu: aliases are not supported",
                              ev.start_mark.line + 1, ev.start_mark.column + 1);
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&p);
    return status;
}

enum kap_status kap_yaml_json(struct kap_str text, json_t **ret, struct kap_error *err)
{
    if (text.n > KAP_SPEC_BYTES)
        return kap_fail(err, KAP_ELIMIT, "yaml: larger than %d bytes", KAP_SPEC_BYTES);
    KAP_TRY(refuse_aliases(text, err));
    yaml_parser_t p;
    yaml_document_t doc;
    yaml_parser_initialize(&p);
    yaml_parser_set_input_string(&p, (const unsigned char *)text.p, text.n);
    enum kap_status status;
    if (!yaml_parser_load(&p, &doc)) {
        status = kap_fail(err, KAP_EINVAL, "yaml: line %zu column %zu: %s", p.problem_mark.line + 1,
                          p.problem_mark.column + 1, p.problem ? p.problem : "not YAML");
    } else {
        const yaml_node_t *root = yaml_document_get_root_node(&doc);
        status = root ? node_json(&doc, root, 0, ret, err) : kap_fail(err, KAP_EINVAL, "yaml: no document");
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&p);
    return status;
}

/* --- options --- */

static const char *go_kind(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "map[string]interface {}";
    case JSON_ARRAY:
        return "[]interface {}";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "float64";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    case JSON_NULL:
        break;
    }
    return "<nil>";
}

enum kap_status kap_option_type_error(struct kap_error *err, const char *key, const char *expected, const json_t *got)
{
    return kap_fail(err, KAP_EINVAL, "'%s' expected type '%s', got unconvertible type '%s'", key, expected,
                    go_kind(got));
}

static enum kap_status set_strings(struct kap_strings *to, const char *key, struct kap_arena *arena, const json_t *v,
                                   struct kap_error *err)
{
    if (!json_is_array(v) && !json_is_string(v))
        return kap_option_type_error(err, key, "[]string", v);
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;
    struct kap_str *strings = KAP_ARENA_ARRAY(arena, struct kap_str, n + 1);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_string(item))
            return kap_option_type_error(err, key, "string", item);
        strings[i] = kap_arena_str(arena, kap_strn(json_string_value(item), json_string_length(item)));
    }
    to->v = strings;
    to->n = n;
    return KAP_OK;
}

static enum kap_status set_option(const struct kap_prop *prop, void *at, struct kap_arena *arena, const json_t *v,
                                  struct kap_error *err)
{
    switch (prop->kind) {
    case KAP_PROP_INT:
    case KAP_PROP_DURATION:
        if (!json_is_number(v))
            return kap_option_type_error(err, prop->option, prop->kind == KAP_PROP_INT ? "int" : "time.Duration", v);
        *(int64_t *)at = json_is_integer(v) ? json_integer_value(v) : (int64_t)json_real_value(v);
        return KAP_OK;
    case KAP_PROP_FLOAT:
        if (!json_is_number(v))
            return kap_option_type_error(err, prop->option, "float64", v);
        *(double *)at = json_number_value(v);
        return KAP_OK;
    case KAP_PROP_STRING:
        if (!json_is_string(v))
            return kap_option_type_error(err, prop->option, "string", v);
        *(struct kap_str *)at = kap_arena_str(arena, kap_strn(json_string_value(v), json_string_length(v)));
        return KAP_OK;
    case KAP_PROP_BOOL:
    case KAP_PROP_FLAG:
        if (!json_is_boolean(v))
            return kap_option_type_error(err, prop->option, "bool", v);
        *(bool *)at = json_is_true(v);
        return KAP_OK;
    case KAP_PROP_STRINGS:
    case KAP_PROP_STRINGS_ADD:
        return set_strings(at, prop->option, arena, v, err);
    case KAP_PROP_END:
    case KAP_PROP_LAMBDA:
    case KAP_PROP_CALL:
        break;
    }
    return kap_fail(err, KAP_EINVAL, "'%s' cannot be given in a handler file", prop->option);
}

static enum kap_status read_option(const struct kap_handler_type *type, const char *key, const json_t *v, void *options,
                                   struct kap_arena *arena, struct kap_error *err)
{
    if (type->option) {
        const enum kap_status status = type->option(options, arena, key, v, err);
        if (status != KAP_ENOTFOUND)
            return status;
    }
    for (const struct kap_prop *p = type->props; p && p->kind != KAP_PROP_END; p++) {
        if (p->option && p->kind != KAP_PROP_CALL && strcasecmp(p->option, key) == 0)
            return json_is_null(v) ? KAP_OK : set_option(p, (char *)options + p->offset, arena, v, err);
    }
    return KAP_ENOTFOUND;
}

static void add_message(struct kap_buf *all, size_t *n, const char *message)
{
    kap_buf_adds(all, (*n)++ ? "\n* " : "* ");
    kap_buf_adds(all, message);
}

enum kap_status kap_handler_options_read(const struct kap_handler_type *type, const json_t *json, void *options,
                                         struct kap_arena *arena, struct kap_error *err)
{
    if (!json || json_is_null(json))
        return KAP_OK;
    KAP_AUTO_BUF struct kap_buf messages = { .max = 1024 }, unknown = { .max = 512 };
    size_t nmessages = 0;
    void *it = json_object_iter((json_t *)(uintptr_t)json);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)json, it)) {
        struct kap_error e;
        const char *key = json_object_iter_key(it);
        const enum kap_status status = read_option(type, key, json_object_iter_value(it), options, arena, &e);
        if (status == KAP_ENOTFOUND)
            kap_buf_addf(&unknown, "%s%s", unknown.n ? ", " : "", key);
        else if (status != KAP_OK)
            add_message(&messages, &nmessages, e.msg);
    }
    if (unknown.n) {
        KAP_AUTO_FREE char *text = kap_asprintf("'' has invalid keys: %s", unknown.p);
        add_message(&messages, &nmessages, text);
    }
    if (nmessages == 0)
        return KAP_OK;
    char shown[64];
    snprintf(shown, sizeof shown, "%s.HandlerConfig", type->kind);
    return kap_fail(err, KAP_EINVAL, "failed to decode options into *%s: %zu error(s) decoding:\n\n%s",
                    type->options_shown ? type->options_shown : shown, nmessages, messages.p);
}
