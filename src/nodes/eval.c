#include "base/mem.h"
#include "nodes/columns.h"
#include "nodes/nodes.h"
#include "nodes/services.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct config {
    const struct kap_expr **lambdas;
    size_t nlambdas;
    struct kap_strings as, tags, keep;
    bool keep_flag; /* keep() was called */
};

struct state {
    const struct config *cfg;
    struct kap_lambda **lambdas;
    const struct kap_sym **as;
    bool *is_tag;                /* of as[i] */
    const struct kap_sym **keep;
    bool stateful;
    struct kap_field_buf scope;  /* the point's fields, then the results, which later expressions see */
    struct kap_field_buf out;
    struct kap_tag_buf tags;
    struct kap_value *results;
};

struct group {
    struct kap_lambda_state **lambdas; /* NULL: none keeps state */
};

static void close_eval(struct kap_node *n, void *state)
{
    struct state *s = state;
    for (size_t i = 0; s->lambdas && i < s->cfg->nlambdas; i++)
        kap_lambda_free(s->lambdas[i]);
    kap_free(s->lambdas);
    kap_free(s->as);
    kap_free(s->is_tag);
    kap_free(s->results);
    kap_free(s->keep);
    kap_field_buf_done(&s->scope);
    kap_field_buf_done(&s->out);
    kap_tag_buf_done(&s->tags);
}

static enum kap_status open_eval(struct kap_node *n, void *state, struct kap_error *err)
{
    const struct config *c = kap_node_config(n);
    struct state *s = state;
    s->cfg = c;
    s->lambdas = KAP_ARRAY(struct kap_lambda *, c->nlambdas);
    s->as = KAP_ARRAY(const struct kap_sym *, c->nlambdas);
    s->is_tag = KAP_ARRAY(bool, c->nlambdas);
    s->results = KAP_ARRAY(struct kap_value, c->nlambdas);
    s->keep = KAP_ARRAY(const struct kap_sym *, c->keep.n + 1);
    for (size_t i = 0; i < c->nlambdas; i++) {
        if (kap_lambda_new(c->lambdas[i], NULL, &s->lambdas[i], err) != KAP_OK) {
            close_eval(n, state);
            return kap_wrap(err, "Failed to compile %zu expression", i);
        }
        s->stateful |= kap_lambda_stateful(s->lambdas[i]);
        s->as[i] = kap_sym(c->as.v[i]);
        for (size_t t = 0; t < c->tags.n; t++)
            s->is_tag[i] |= kap_str_eq(c->tags.v[t], c->as.v[i]);
    }
    for (size_t i = 0; i < c->keep.n; i++)
        s->keep[i] = kap_sym(c->keep.v[i]);
    return KAP_OK;
}

static void group_open(struct kap_node *n, void *state, void *gs, struct kap_group *g)
{
    const struct state *s = state;
    if (!s->stateful)
        return;
    struct group *group = gs;
    group->lambdas = KAP_ARRAY(struct kap_lambda_state *, s->cfg->nlambdas);
    for (size_t i = 0; i < s->cfg->nlambdas; i++)
        group->lambdas[i] = kap_lambda_state_new(s->lambdas[i]);
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *g)
{
    const struct state *s = state;
    struct group *group = gs;
    for (size_t i = 0; group->lambdas && i < s->cfg->nlambdas; i++)
        kap_lambda_state_free(group->lambdas[i]);
    kap_free(group->lambdas);
}

/* A result hides a tag of its name from later expressions, as well as a field. */
static const struct kap_tags *scope_tags(struct state *s, const struct kap_tags *tags)
{
    bool hidden = false;
    for (size_t i = 0; i + 1 < s->cfg->nlambdas && !hidden; i++)
        hidden = kap_tags_get(tags, s->as[i]) != NULL;
    if (!hidden)
        return kap_tags_ref(tags);
    kap_tag_buf_copy(&s->tags, tags);
    for (size_t i = 0; i + 1 < s->cfg->nlambdas; i++)
        kap_tag_buf_del(&s->tags, s->as[i]);
    return kap_tag_buf_tags(&s->tags);
}

static enum kap_status evaluate(struct kap_node *n, struct state *s, struct group *gs, const struct kap_point *p,
                                struct kap_error *err)
{
    struct kap_lambda_env env = kap_lambda_env_point(p);
    env.clock = kap_node_services(n)->clock;
    env.scratch = kap_node_scratch(n);
    const struct kap_tags *hidden = NULL;
    enum kap_status status = KAP_OK;
    if (s->cfg->nlambdas > 1)
        kap_field_buf_copy(&s->scope, p->fields, p->nfields);
    for (size_t i = 0; i < s->cfg->nlambdas && status == KAP_OK; i++) {
        if (i == 1)
            env.tags = hidden = scope_tags(s, p->tags);
        if (i > 0) {
            env.fields = s->scope.v;
            env.nfields = s->scope.n;
        }
        status = kap_lambda_eval(s->lambdas[i], gs->lambdas ? gs->lambdas[i] : NULL, &env, &s->results[i], err);
        if (status == KAP_OK && s->cfg->nlambdas > 1)
            kap_field_buf_set(&s->scope, s->as[i], s->results[i]);
    }
    kap_tags_unref(hidden);
    return status;
}

static const struct kap_value *result(const struct state *s, const struct kap_sym *name)
{
    for (size_t i = s->cfg->nlambdas; i-- > 0;)
        if (s->as[i] == name)
            return &s->results[i];
    return NULL;
}

static enum kap_status keep_list(struct state *s, const struct kap_point *p, struct kap_error *err)
{
    s->out.n = 0;
    for (size_t i = 0; i < s->cfg->keep.n; i++) {
        const struct kap_value *v = result(s, s->keep[i]);
        if (!v)
            v = kap_point_field(p, s->keep[i]);
        if (!v) {
            /* A tag that an expression reads may be kept as a field. */
            const struct kap_str *tag = kap_tags_get(p->tags, s->keep[i]);
            bool read = false;
            for (size_t l = 0; tag && l < s->cfg->nlambdas && !read; l++) {
                const struct kap_sym *const *refs = NULL;
                read = kap_syms_has(refs, kap_lambda_refs(s->lambdas[l], &refs), s->keep[i]);
            }
            if (!read)
                return kap_fail(err, KAP_EINVAL, "cannot keep field \"%s\", field does not exist", s->keep[i]->s);
            kap_field_buf_set(&s->out, s->keep[i], kap_value_s(*tag));
            continue;
        }
        kap_field_buf_set(&s->out, s->keep[i], *v);
    }
    return KAP_OK;
}

static enum kap_status fields_out(struct state *s, const struct kap_point *p, struct kap_error *err)
{
    if (s->cfg->keep_flag && s->cfg->keep.n)
        return keep_list(s, p, err);
    if (s->cfg->keep_flag)
        kap_field_buf_copy(&s->out, p->fields, p->nfields);
    else
        s->out.n = 0;
    for (size_t i = 0; i < s->cfg->nlambdas; i++)
        if (s->cfg->keep_flag || !s->is_tag[i])
            kap_field_buf_set(&s->out, s->as[i], s->results[i]);
    return KAP_OK;
}

static enum kap_status tags_out(struct state *s, const struct kap_point *p, const struct kap_tags **ret,
                                struct kap_error *err)
{
    if (!s->cfg->tags.n) {
        *ret = kap_tags_ref(p->tags);
        return KAP_OK;
    }
    kap_tag_buf_copy(&s->tags, p->tags);
    for (size_t i = 0; i < s->cfg->nlambdas; i++) {
        if (!s->is_tag[i])
            continue;
        const struct kap_value *v = result(s, s->as[i]);
        if (v->type != KAP_STRING)
            return kap_fail(err, KAP_EINVAL, "result of a tag expression must be of type string, got %s",
                            kap_go_type(v->type));
        kap_tag_buf_set(&s->tags, s->as[i], v->s);
    }
    *ret = kap_tag_buf_tags(&s->tags);
    return KAP_OK;
}

/* The new point in *q with a reference to its tags; false: it is dropped. */
static bool make(struct kap_node *n, struct state *s, struct group *gs, const struct kap_point *p, struct kap_point *q)
{
    struct kap_error err;
    const struct kap_tags *tags = NULL;
    if (evaluate(n, s, gs, p, &err) == KAP_OK && fields_out(s, p, &err) == KAP_OK &&
        tags_out(s, p, &tags, &err) == KAP_OK) {
        *q = kap_point_with(p, &s->out);
        q->tags = tags;
        return true;
    }
    if (!kap_node_graph(n)->quiet)
        kap_node_error(n, p->group, "error evaluating expression: %s", err.msg);
    return false;
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    struct kap_point q;
    if (!make(n, s, gs, p, &q))
        return;
    if (!s->cfg->tags.n) {
        kap_emit_point(n, &q);
    } else {
        q.group = kap_regroup(n, p->group, p->name, q.tags, false);
        kap_emit_point(n, &q);
        kap_group_unref(kap_node_groups(n), q.group);
    }
    kap_tags_unref(q.tags);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct kap_batch_begin nb = *b;
    nb.size_hint = 0;
    kap_emit_begin(n, &nb);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct kap_point q;
    if (!make(n, state, gs, p, &q))
        return;
    kap_emit_batch_point(n, &q);
    kap_tags_unref(q.tags);
}

static void needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    const struct config *cfg = node->config;
    for (size_t i = 0; i < cfg->nlambdas; i++)
        kap_columns_expr(c, cfg->lambdas[i]);
    for (size_t i = 0; i < cfg->keep.n; i++)
        kap_columns_add(c, kap_sym(cfg->keep.v[i]));
    struct kap_columns below = { 0 };
    kap_columns_below(node, &below);
    c->tags |= below.tags;
    if (cfg->keep_flag && !cfg->keep.n) {
        c->all |= below.all;
        for (size_t i = 0; i < below.n; i++)
            kap_columns_add(c, below.names[i]);
    }
    kap_columns_done(&below);
}

/* One length-prefixed blob for each expression. */
static void save(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_buf *out)
{
    const struct state *s = state;
    const struct group *group = gs;
    if (!g || !group->lambdas)
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    for (size_t i = 0; i < s->cfg->nlambdas; i++)
        kap_snap_lambda(&w, group->lambdas[i]);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_str data,
                            struct kap_error *err)
{
    const struct state *s = state;
    struct group *group = gs;
    if (!g || !group->lambdas || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    for (size_t i = 0; i < s->cfg->nlambdas; i++)
        KAP_TRY(kap_snap_get_lambda(&r, group->lambdas[i], err));
    return kap_snap_end(&r, err);
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct config *c = config;
    c->lambdas = KAP_ARENA_ARRAY(arena, const struct kap_expr *, nargs ? nargs : 1);
    for (size_t i = 0; i < nargs; i++) {
        if (args[i].kind != KAP_ARG_LAMBDA)
            return kap_fail(err, KAP_EINVAL, "eval expects lambda expressions, argument %zu is none", i + 1);
        c->lambdas[c->nlambdas++] = args[i].lambda;
    }
    return KAP_OK;
}

static enum kap_status set_keep(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                struct kap_error *err)
{
    struct config *c = config;
    c->keep_flag = true;
    return kap_args_strings(&c->keep, arena, args, nargs, "keep", err);
}

static enum kap_status check(const struct kap_graph_node *node, struct kap_error *err)
{
    const struct config *c = node->config;
    if (c->as.n != c->nlambdas)
        return kap_fail(err, KAP_EINVAL,
                        "must specify same number of expressions and .as() names: got %zu as names, and %zu expressions.",
                        c->as.n, c->nlambdas);
    for (size_t t = 0; t < c->tags.n; t++) {
        bool found = false;
        for (size_t i = 0; i < c->as.n && !found; i++)
            found = kap_str_eq(c->as.v[i], c->tags.v[t]);
        if (!found)
            return kap_fail(err, KAP_EINVAL, "invalid tag name \"%.*s\", name is not present is .as() names",
                            KAP_STR_ARG(c->tags.v[t]));
    }
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRINGS, struct config, as, "as", NULL, "The names of the results, one for each expression."),
    KAP_PROP_AT(STRINGS, struct config, tags, "tags", NULL, "Results that become tags; they must be strings."),
    { .kind = KAP_PROP_CALL, .name = "keep", .signature = "(fields ...string)", .set = set_keep,
      .doc = "The fields to keep, old and new; without names all of them. Without keep() only the results remain." },
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_eval,
    .close = close_eval,
    .group_open = group_open,
    .group_close = group_close,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .save = save,
    .load = load,
    .needs = needs,
};

const struct kap_node_type kap_node_eval = {
    .name = "eval",
    .kind = "eval",
    .doc = "Computes new fields from expressions; they run in order, later ones see earlier results. A point that an "
           "expression fails for is dropped and counted as an error.",
    .signature = "(expressions ...lambda)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .args = args,
    .props = props,
    .check = check,
    .run = &run,
};
