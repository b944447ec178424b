#include "nodes/sideload_source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "alert/httppost.h"
#include "base/map.h"
#include "base/mem.h"
#include "nodes/util.h"

#define FILE_BYTES_MAX (16 * 1024 * 1024)
#define FILES_MAX 100000
#define DEPTH_MAX 32

struct values {                 /* one complete load */
    struct kap_arena *arena;
    struct kap_map *files;      /* path -> kap_map of key -> kap_value */
};

struct kap_sideload_source {
    const struct kap_services *services;
    char *dir;                  /* file sources; else NULL */
    char *url;
    char *authorization;        /* a header line; NULL: none */
    struct values values;
};

static void values_done(struct values *v)
{
    void *file;
    for (size_t i = 0; v->files && kap_map_next(v->files, &i, NULL, &file);)
        kap_map_free(file);
    kap_map_free(v->files);
    kap_arena_free(v->arena);
    *v = (struct values){ 0 };
}

static struct values values_new(void)
{
    return (struct values){ .arena = kap_arena_new(), .files = kap_map_new() };
}

static void put(struct values *v, struct kap_map *file, struct kap_str key, struct kap_value value)
{
    struct kap_value *copy = KAP_ARENA_NEW(v->arena, struct kap_value);
    if (value.type == KAP_STRING)
        value.s = kap_arena_str(v->arena, value.s);
    *copy = value;
    kap_map_put(file, key, copy);
}

static struct kap_value json_value(const json_t *j)
{
    if (json_is_number(j))
        return kap_value_f(json_number_value(j));
    if (json_is_boolean(j))
        return kap_value_b(json_is_true(j));
    if (json_is_string(j))
        return kap_value_s(kap_strn(json_string_value(j), json_string_length(j)));
    return (struct kap_value){ .type = KAP_MISSING };
}

static void put_object(struct values *v, struct kap_str path, json_t *object)
{
    struct kap_map *file = kap_map_new();
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it))
        put(v, file, kap_str(json_object_iter_key(it)), json_value(json_object_iter_value(it)));
    kap_map_free(kap_map_put(v->files, path, file));
}

static enum kap_status parse_json(struct values *v, struct kap_str path, struct kap_str text, struct kap_error *err)
{
    json_error_t at;
    json_t *doc = json_loadb(text.p, text.n, 0, &at);
    if (!doc || !json_is_object(doc)) {
        json_decref(doc);
        return kap_fail(err, KAP_EINVAL, "failed to unmarshal json values \"%.*s\": %s", KAP_STR_ARG(path),
                        doc ? "not an object" : at.text);
    }
    put_object(v, path, doc);
    json_decref(doc);
    return KAP_OK;
}

/* Plain scalars become numbers and booleans as YAML 1.1 has them. */
static struct kap_value yaml_value(const yaml_event_t *e)
{
    const struct kap_str s = kap_strn((const char *)e->data.scalar.value, e->data.scalar.length);
    static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y" };
    static const char *const no[] = { "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N" };
    double f;
    if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return kap_value_s(s);
    if (s.n == 0 || kap_str_is(s, "~") || kap_str_is(s, "null") || kap_str_is(s, "Null") || kap_str_is(s, "NULL"))
        return (struct kap_value){ .type = KAP_MISSING };
    for (size_t i = 0; i < KAP_COUNT(yes); i++)
        if (kap_str_is(s, yes[i]) || kap_str_is(s, no[i]))
            return kap_value_b(kap_str_is(s, yes[i]));
    return (s.p[0] <= '9') && kap_str_to_f64(s, &f) ? kap_value_f(f) : kap_value_s(s);
}

/* One flat mapping; what is nested has no value that a point could take. */
static bool parse_yaml_events(struct values *v, struct kap_map *file, yaml_parser_t *parser)
{
    int depth = 0;
    char *key = NULL;
    for (bool done = false; !done;) {
        yaml_event_t e;
        if (!yaml_parser_parse(parser, &e)) {
            kap_free(key);
            return false;
        }
        if (e.type == YAML_MAPPING_START_EVENT || e.type == YAML_SEQUENCE_START_EVENT) {
            depth++;
            if (depth == 2) {
                kap_free(key);
                key = NULL;
            }
        } else if (e.type == YAML_MAPPING_END_EVENT || e.type == YAML_SEQUENCE_END_EVENT) {
            depth--;
        } else if (e.type == YAML_SCALAR_EVENT && depth == 1) {
            if (key) {
                put(v, file, kap_str(key), yaml_value(&e));
                kap_free(key);
                key = NULL;
            } else {
                key = kap_strndup((const char *)e.data.scalar.value, e.data.scalar.length);
            }
        }
        done = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
    }
    kap_free(key);
    return true;
}

static enum kap_status parse_yaml(struct values *v, struct kap_str path, struct kap_str text, struct kap_error *err)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return kap_fail(err, KAP_EINTERNAL, "cannot make a YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    struct kap_map *file = kap_map_new();
    enum kap_status status = KAP_OK;
    if (parse_yaml_events(v, file, &parser)) {
        kap_map_free(kap_map_put(v->files, path, file));
    } else {
        status = kap_fail(err, KAP_EINVAL, "failed to unmarshal yaml values \"%.*s\": line %zu: %s", KAP_STR_ARG(path),
                          parser.problem_mark.line + 1, parser.problem ? parser.problem : "cannot be read");
        kap_map_free(file);
    }
    yaml_parser_delete(&parser);
    return status;
}

static enum kap_status read_file(int fd, const char *path, struct kap_buf *text, struct kap_error *err)
{
    for (;;) {
        char *p = kap_buf_reserve(text, 65536);
        if (!p)
            return kap_fail(err, KAP_ELIMIT, "values file \"%s\" is larger than %d bytes", path, FILE_BYTES_MAX);
        const ssize_t got = read(fd, p, 65536);
        if (got < 0)
            return kap_fail(err, KAP_EIO, "failed to read values file \"%s\": %s", path, strerror(errno));
        if (got == 0)
            return KAP_OK;
        text->n += (size_t)got;
    }
}

static enum kap_status load_file(struct values *v, int dir, const char *name, const char *rel, struct kap_error *err)
{
    const struct kap_str path = kap_str(rel);
    const bool yaml = kap_str_has_suffix(path, KAP_STR(".yml")) || kap_str_has_suffix(path, KAP_STR(".yaml"));
    if (!yaml && !kap_str_has_suffix(path, KAP_STR(".json")))
        return KAP_OK;
    if (kap_map_len(v->files) >= FILES_MAX)
        return kap_fail(err, KAP_ELIMIT, "more than %d values files", FILES_MAX);
    const int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return kap_fail(err, KAP_EIO, "failed to open values file \"%s\": %s", rel, strerror(errno));
    KAP_AUTO_BUF struct kap_buf text = { .max = FILE_BYTES_MAX };
    enum kap_status status = read_file(fd, rel, &text, err);
    close(fd);
    if (status == KAP_OK)
        status = yaml ? parse_yaml(v, path, kap_buf_str(&text), err) : parse_json(v, path, kap_buf_str(&text), err);
    return status;
}

static enum kap_status load_dir(struct values *v, int fd, const char *prefix, int depth, struct kap_error *err)
{
    DIR *dir = fdopendir(fd); /* takes fd */
    enum kap_status status = KAP_OK;
    if (!dir) {
        close(fd);
        return kap_fail(err, KAP_EIO, "cannot list \"%s\": %s", prefix, strerror(errno));
    }
    for (struct dirent *e; status == KAP_OK && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        KAP_AUTO_FREE char *rel = kap_asprintf("%s%s%s", prefix, *prefix ? "/" : "", e->d_name);
        struct stat st;
        if (fstatat(dirfd(dir), e->d_name, &st, 0) != 0)
            continue; /* gone since, or a link to nowhere */
        if (S_ISREG(st.st_mode)) {
            status = load_file(v, dirfd(dir), e->d_name, rel, err);
        } else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
            const int sub = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (sub >= 0)
                status = load_dir(v, sub, rel, depth + 1, err);
        }
    }
    closedir(dir);
    return status;
}

static enum kap_status load_files(const struct kap_sideload_source *s, struct values *v, struct kap_error *err)
{
    const int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        (void)kap_fail(err, KAP_EIO, "lstat %s: %s", s->dir, strerror(errno));
    else if (load_dir(v, fd, "", 0, err) == KAP_OK)
        return KAP_OK;
    return kap_wrap(err, "failed to update sideload cache for source file \"%s\"", s->dir);
}

static enum kap_status load_url(const struct kap_sideload_source *s, struct values *v, struct kap_error *err)
{
    const char *const headers[] = { s->authorization, NULL };
    const struct kap_http_request req = { .method = "GET", .url = kap_str(s->url), .headers = headers };
    struct kap_http_reply reply = { 0 };
    s->services->http(s->services->ctx, &req, &reply, v->arena);
    if (reply.status == 0)
        return kap_fail(err, KAP_EIO, "Error fetching sideload data from %s :: %s", s->url,
                        reply.error ? reply.error : "no answer");
    json_error_t at;
    json_t *doc = json_loadb(reply.body.p, reply.body.n, 0, &at);
    if (!doc || !json_is_object(doc)) {
        json_decref(doc);
        return kap_fail(err, KAP_EINVAL,
                        "Error fetching sideload data from %s :: failed to unmarshal json values in response body: %s",
                        s->url, doc ? "not an object" : at.text);
    }
    for (void *it = json_object_iter(doc); it; it = json_object_iter_next(doc, it))
        if (json_is_object(json_object_iter_value(it)))
            put_object(v, kap_str(json_object_iter_key(it)), json_object_iter_value(it));
    json_decref(doc);
    return KAP_OK;
}

enum kap_status kap_sideload_source_load(struct kap_sideload_source *s, struct kap_error *err)
{
    struct values v = values_new();
    const enum kap_status status = s->dir ? load_files(s, &v, err) : load_url(s, &v, err);
    if (status != KAP_OK) {
        values_done(&v);
        return status;
    }
    values_done(&s->values);
    s->values = v;
    return KAP_OK;
}

static enum kap_status locate(struct kap_sideload_source *s, struct kap_str source, struct kap_error *err)
{
    if (kap_str_has_prefix(source, KAP_STR("file://"))) {
        const struct kap_str path = { source.p + 7, source.n - 7 };
        if (!path.n || path.p[0] != '/')
            return kap_fail(err, KAP_EINVAL, "sideload source path must be absolute \"%.*s\"", KAP_STR_ARG(path));
        s->dir = kap_strndup(path.p, path.n);
        return KAP_OK;
    }
    if (kap_str_has_prefix(source, KAP_STR("http://")) || kap_str_has_prefix(source, KAP_STR("https://"))) {
        s->url = kap_strndup(source.p, source.n);
        return KAP_OK;
    }
    const char *colon = memmem(source.p, source.n, "://", 3);
    if (colon)
        return kap_fail(err, KAP_EINVAL, "unsupported source scheme \"%.*s\", must be 'file', 'http', or 'https'",
                        (int)(colon - source.p), source.p);
    const struct kap_httppost_endpoint *e = s->services->httppost_endpoint(s->services->ctx, source);
    if (!e)
        return kap_fail(err, KAP_EINVAL, "Specified endpoint does not exist: %.*s", KAP_STR_ARG(source));
    s->url = kap_strndup(e->url.p, e->url.n);
    if (e->username.n && e->password.n)
        s->authorization = kap_basic_auth(e->username, e->password);
    return KAP_OK;
}

enum kap_status kap_sideload_source_new(const struct kap_services *services, struct kap_str source,
                                        struct kap_sideload_source **ret, struct kap_error *err)
{
    struct kap_sideload_source *s = KAP_NEW(struct kap_sideload_source);
    s->services = services;
    enum kap_status status = locate(s, source, err);
    if (status == KAP_OK)
        status = kap_sideload_source_load(s, err);
    if (status == KAP_OK)
        *ret = s;
    else
        kap_sideload_source_free(s);
    return status;
}

void kap_sideload_source_free(struct kap_sideload_source *s)
{
    if (!s)
        return;
    values_done(&s->values);
    kap_free(s->dir);
    kap_free(s->url);
    kap_free(s->authorization);
    kap_free(s);
}

const struct kap_value *kap_sideload_source_get(const struct kap_sideload_source *s, struct kap_str path,
                                                struct kap_str key)
{
    const struct kap_map *file = kap_map_get(s->values.files, path);
    return file ? kap_map_get(file, key) : NULL;
}
