#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "alert/httppost.h"
#include "base/mem.h"
#include "nodes/nodes.h"
#include "nodes/services.h"
#include "nodes/util.h"
#include "template/template.h"

struct config {
    struct kap_strings urls, endpoints;
    struct kap_keyed_values headers;
    struct kap_str code_field;
    int64_t timeout_ns;
    bool capture_response;
};

#define TEMPLATE_FILE_BYTES (1024 * 1024)

struct state {
    const struct config *cfg;
    struct kap_template *url, *row; /* row NULL: the body is JSON */
    const char **headers;           /* "Name: value", our own last */
    const struct kap_sym *code;     /* NULL: the status is not kept */
    struct kap_field_buf fields;
    struct kap_arena *arena;        /* of one request */
};

struct group {
    struct kap_batch batch; /* that is coming in */
};

static void close_post(struct kap_node *n, void *state)
{
    struct state *s = state;
    kap_template_free(s->url);
    kap_template_free(s->row);
    for (size_t i = 0; s->headers && s->headers[i]; i++)
        kap_free((void *)(uintptr_t)s->headers[i]);
    kap_free((void *)s->headers);
    kap_field_buf_done(&s->fields);
    kap_arena_free(s->arena);
}

/* Sets a header line; one of the same name is replaced. Takes the line. */
static void add_header(struct state *s, size_t *n, struct kap_str name, char *line)
{
    size_t at = 0;
    while (at < *n && !(strncasecmp(s->headers[at], name.p, name.n) == 0 && s->headers[at][name.n] == ':'))
        at++;
    if (at < *n)
        kap_free((void *)(uintptr_t)s->headers[at]);
    else
        (*n)++;
    s->headers[at] = line;
}

/* The endpoint's headers, the content type, then those of the script. */
static void make_headers(struct state *s, const struct kap_httppost_endpoint *e)
{
    size_t n = 0;
    s->headers = KAP_ARRAY(const char *, s->cfg->headers.n + (e ? e->nheaders : 0) + 3);
    for (size_t i = 0; e && i < e->nheaders; i++)
        add_header(s, &n, e->headers[i].name,
                   kap_asprintf("%.*s: %.*s", KAP_STR_ARG(e->headers[i].name), KAP_STR_ARG(e->headers[i].value)));
    if (e && e->username.n && e->password.n)
        add_header(s, &n, KAP_STR("Authorization"), kap_basic_auth(e->username, e->password));
    if (!s->row)
        add_header(s, &n, KAP_STR("Content-Type"), kap_strdup("Content-Type: application/json"));
    for (size_t i = 0; i < s->cfg->headers.n; i++) {
        const struct kap_keyed_value *h = &s->cfg->headers.v[i];
        add_header(s, &n, kap_sym_str(h->key), kap_asprintf("%s: %.*s", h->key->s, KAP_STR_ARG(h->v.s)));
    }
}

/* The endpoint's template for rows, if it has one. */
static enum kap_status open_row(struct state *s, const struct kap_httppost_endpoint *e, struct kap_error *err)
{
    if (e->row_template.n)
        return kap_template_new("row", e->row_template, KAP_TEMPLATE_JSON, &s->row, err);
    if (!e->row_template_file.n)
        return KAP_OK;
    KAP_AUTO_FREE char *path = kap_strndup(e->row_template_file.p, e->row_template_file.n);
    KAP_AUTO_FREE char *text = kap_alloc(TEMPLATE_FILE_BYTES);
    FILE *f = fopen(path, "re");
    if (!f)
        return kap_fail(err, KAP_EIO, "failed to read row template file %s: %s", path, strerror(errno));
    const size_t n = fread(text, 1, TEMPLATE_FILE_BYTES, f);
    const bool whole = !ferror(f) && n < TEMPLATE_FILE_BYTES;
    (void)fclose(f);
    if (!whole)
        return kap_fail(err, KAP_EIO, "failed to read row template file %s: at most %d bytes are supported", path,
                        TEMPLATE_FILE_BYTES - 1);
    return kap_template_new("row", kap_strn(text, n), KAP_TEMPLATE_JSON, &s->row, err);
}

static enum kap_status prepare(struct kap_node *n, struct state *s, struct kap_error *err)
{
    const struct kap_services *services = kap_node_services(n);
    const struct config *c = s->cfg;
    const struct kap_httppost_endpoint *e = NULL;
    if (c->endpoints.n) {
        e = services->httppost_endpoint(services->ctx, c->endpoints.v[0]);
        if (!e)
            return kap_fail(err, KAP_EINVAL, "endpoint '%.*s' does not exist", KAP_STR_ARG(c->endpoints.v[0]));
        KAP_TRY(open_row(s, e, err));
    }
    if (kap_template_new("url", e ? e->url : c->urls.v[0], KAP_TEMPLATE_JSON, &s->url, err) != KAP_OK)
        return kap_wrap(err, "error in url templating");
    make_headers(s, e);
    return KAP_OK;
}

static enum kap_status open_post(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    s->code = s->cfg->code_field.n ? kap_sym(s->cfg->code_field) : NULL;
    s->arena = kap_arena_new();
    const enum kap_status status = prepare(n, s, err);
    if (status != KAP_OK)
        close_post(n, state);
    return status;
}

static enum kap_status make_body(struct state *s, const struct kap_row *row, struct kap_tvalue dot, struct kap_buf *body,
                                 struct kap_error *err)
{
    if (s->row) {
        if (kap_template_render(s->row, dot, s->arena, body, err) != KAP_OK)
            return kap_wrap(err, "failed to execute template");
        return KAP_OK;
    }
    struct kap_json j;
    kap_json_init(&j, body, false);
    kap_json_object(&j);
    kap_json_key(&j, "series");
    kap_json_array(&j);
    const bool ok = kap_row_json(row, &j);
    kap_json_array_end(&j);
    kap_json_object_end(&j);
    kap_buf_addc(body, '\n');
    return ok ? KAP_OK : kap_fail(err, KAP_EINVAL, "failed to marshal row data json: json: unsupported value: NaN");
}

/* Posts a row; the HTTP status, 0 when there was no answer. */
static int post(struct kap_node *n, struct state *s, struct kap_row *row, const struct kap_group *kg)
{
    const struct kap_services *services = kap_node_services(n);
    KAP_AUTO_BUF struct kap_buf url = { 0 }, body = { 0 };
    struct kap_error err;
    kap_arena_reset(s->arena);
    struct kap_str constant;
    const bool plain = !s->row && kap_template_constant(s->url, &constant);
    struct kap_tvalue dot = { 0 };
    if (!plain)
        dot = kap_t_row(s->arena, row);
    if (make_body(s, row, dot, &body, &err) != KAP_OK ||
        kap_template_render(s->url, dot, s->arena, &url, &err) != KAP_OK) {
        kap_node_error(n, kg, "failed to POST data: %s", err.msg);
        return 0;
    }
    const struct kap_http_request req = {
        .method = "POST",
        .url = kap_buf_str(&url),
        .body = kap_buf_str(&body),
        .headers = s->headers,
        .timeout_ns = s->cfg->timeout_ns,
    };
    struct kap_http_reply reply = { 0 };
    services->http(services->ctx, &req, &reply, s->arena);
    if (reply.status == 0)
        kap_node_error(n, kg, "failed to POST data: %s", reply.error ? reply.error : "no answer");
    else if (reply.status / 100 != 2 && s->cfg->capture_response)
        kap_node_error(n, kg, "POST returned non 2xx status code: %.*s (code %d)", KAP_STR_ARG(reply.body),
                       reply.status);
    else if (reply.status / 100 != 2)
        kap_node_error(n, kg,
                       "POST returned non 2xx status code: unknown error, use .captureResponse() to capture the HTTP "
                       "response (code %d)",
                       reply.status);
    return reply.status;
}

static struct kap_point with_code(struct state *s, const struct kap_point *p, int code)
{
    kap_field_buf_copy(&s->fields, p->fields, p->nfields);
    kap_field_buf_set(&s->fields, s->code, kap_value_i(code));
    return kap_point_with(p, &s->fields);
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    struct kap_row *row = kap_row_from_point(p);
    const int code = post(n, s, row, p->group);
    kap_row_free(row);
    if (!s->code) {
        kap_emit_point(n, p);
        return;
    }
    const struct kap_point q = with_code(s, p, code);
    kap_emit_point(n, &q);
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    kap_batch_clear(kap_node_groups(n), &((struct group *)gs)->batch);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct group *g = gs;
    kap_batch_clear(kap_node_groups(n), &g->batch);
    g->batch.begin = *b;
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    kap_batch_add(&((struct group *)gs)->batch, p);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct state *s = state;
    struct group *g = gs;
    struct kap_row *row = kap_row_from_batch(&g->batch);
    const int code = post(n, s, row, b->group);
    kap_row_free(row);
    kap_emit_begin(n, &g->batch.begin);
    for (size_t i = 0; i < g->batch.n; i++) {
        const struct kap_point q = s->code ? with_code(s, g->batch.points[i], code) : *g->batch.points[i];
        kap_emit_batch_point(n, &q);
    }
    kap_emit_end(n, b);
    kap_batch_clear(kap_node_groups(n), &g->batch);
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    return kap_args_strings(&((struct config *)config)->urls, arena, args, nargs, "httpPost", err);
}

static enum kap_status set_header(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                  struct kap_error *err)
{
    return kap_keyed_set_string(&((struct config *)config)->headers, arena, args, nargs, "header", err);
}

static enum kap_status check(const struct kap_graph_node *node, struct kap_error *err)
{
    const struct config *c = node->config;
    if (c->urls.n >= 2)
        return kap_fail(err, KAP_EINVAL, "httpPost expects 0 or 1 arguments, got %zu", c->urls.n);
    if (c->endpoints.n > 1)
        return kap_fail(err, KAP_EINVAL, "httpPost expects 0 or 1 endpoints, got %zu", c->endpoints.n);
    if (c->urls.n == 0 && c->endpoints.n == 0)
        return kap_fail(err, KAP_EINVAL, "must provide url or endpoint");
    if (c->urls.n && c->endpoints.n)
        return kap_fail(err, KAP_EINVAL, "only one endpoint and url may be specified");
    for (size_t i = 0; i < c->headers.n; i++)
        if (strcasecmp(c->headers.v[i].key->s, "authenticate") == 0)
            return kap_fail(err, KAP_EINVAL, "cannot set 'authenticate' header");
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRINGS_ADD, struct config, endpoints, "endpoint", NULL, "A configured [[httppost]] endpoint."),
    { .kind = KAP_PROP_CALL, .name = "header", .signature = "(name string, value string)", .set = set_header,
      .doc = "A header of the requests." },
    KAP_PROP_AT(STRING, struct config, code_field, "codeField", NULL,
                "A field that gets the HTTP status, 0 when no connection could be made."),
    KAP_PROP_AT(FLAG, struct config, capture_response, "captureResponse", NULL,
                "Shows the answer in the log when its status is not 2xx."),
    KAP_PROP_AT(DURATION, struct config, timeout_ns, "timeout", NULL, "Gives up after this time; 0: 10 seconds."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_post,
    .close = close_post,
    .group_close = group_close,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
};

const struct kap_node_type kap_node_http_post = {
    .name = "httpPost",
    .kind = "http_post",
    .shown = "HTTPPostNode",
    .doc = "Posts each point or batch to a URL, as JSON in the form of an InfluxDB query result or by the endpoint's row "
           "template, and passes it on.",
    .signature = "(url ...string)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .args = args,
    .props = props,
    .check = check,
    .run = &run,
};
