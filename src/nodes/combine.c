/* combine: joins a stream with itself. Of the points of one time, all combinations are tried in which each expression
 * holds for a point of its own. */
#include "base/mem.h"
#include "nodes/multi.h"
#include "nodes/nodes.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct config {
    const struct kap_expr **lambdas;
    size_t nlambdas;
    struct kap_strings as;
    struct kap_str delimiter;
    int64_t tolerance_ns, max;
};

struct state {
    const struct config *cfg;
    struct kap_lambda **lambdas;
    struct kap_field_buf fields;
    struct kap_tag_buf tags;
};

struct group {
    const struct kap_sym *name;
    bool timed;
    int64_t time_ns;
    struct kap_message *v;   /* the points of time_ns */
    size_t n, cap;
    struct kap_lambda_state **lambdas;
};

static void close_combine(struct kap_node *n, void *state)
{
    struct state *s = state;
    for (size_t i = 0; s->lambdas && i < s->cfg->nlambdas; i++)
        kap_lambda_free(s->lambdas[i]);
    kap_free(s->lambdas);
    kap_field_buf_done(&s->fields);
    kap_tag_buf_done(&s->tags);
}

static enum kap_status open_combine(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    s->lambdas = KAP_ARRAY(struct kap_lambda *, s->cfg->nlambdas);
    for (size_t i = 0; i < s->cfg->nlambdas; i++) {
        if (kap_lambda_new(s->cfg->lambdas[i], NULL, &s->lambdas[i], err) != KAP_OK) {
            close_combine(n, state);
            return kap_wrap(err, "Failed to compile %zu expression", i);
        }
    }
    return KAP_OK;
}

static void group_open(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    const struct state *s = state;
    struct group *g = gs;
    g->lambdas = KAP_ARRAY(struct kap_lambda_state *, s->cfg->nlambdas);
    for (size_t i = 0; i < s->cfg->nlambdas; i++)
        g->lambdas[i] = kap_lambda_state_new(s->lambdas[i]);
}

static void clear(struct kap_node *n, struct group *g)
{
    for (size_t i = 0; i < g->n; i++)
        kap_message_done(n, &g->v[i]);
    g->n = 0;
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    const struct state *s = state;
    struct group *g = gs;
    clear(n, g);
    kap_free(g->v);
    for (size_t i = 0; i < s->cfg->nlambdas; i++)
        kap_lambda_state_free(g->lambdas[i]);
    kap_free(g->lambdas);
}

/* ---- combinations ---- */

struct attempt {
    struct kap_node *n;
    struct state *s;
    struct group *g;
    struct kap_group *kg;
    bool *matches;           /* [expression * points + point] */
    size_t *indices, *left;  /* the combination; those of it that are not taken yet */
    const struct kap_point **chosen;
};

static const struct kap_sym *joined(struct state *s, size_t i, const struct kap_sym *name)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_buf_add(&b, s->cfg->as.v[i]);
    kap_buf_add(&b, s->cfg->delimiter);
    kap_buf_add(&b, kap_sym_str(name));
    return kap_sym(kap_buf_str(&b));
}

static void emit(const struct attempt *a)
{
    struct state *s = a->s;
    s->fields.n = 0;
    s->tags.n = 0;
    for (size_t i = 0; i < s->cfg->nlambdas; i++) {
        const struct kap_point *p = a->chosen[i];
        for (uint32_t f = 0; f < p->nfields; f++)
            kap_field_buf_set(&s->fields, joined(s, i, p->fields[f].key), p->fields[f].v);
        for (uint32_t t = 0; t < p->tags->n; t++) {
            const struct kap_tag *tag = &p->tags->v[t];
            const bool dim = kap_syms_has(a->kg->dims.names, a->kg->dims.n, tag->key);
            kap_tag_buf_set(&s->tags, dim ? tag->key : joined(s, i, tag->key), tag->val);
        }
    }
    const struct kap_point q = {
        .time_ns = a->chosen[0]->time_ns,
        .db = kap_sym_empty,
        .rp = kap_sym_empty,
        .name = a->g->name,
        .tags = kap_tag_buf_tags(&s->tags),
        .group = a->kg,
        .nfields = s->fields.n,
        .fields = s->fields.v,
    };
    kap_emit_point(a->n, &q);
    kap_tags_unref(q.tags);
}

/* Gives each expression the first point of the combination that it holds for and that is not taken. */
static void attempt(const struct attempt *a)
{
    const size_t k = a->s->cfg->nlambdas;
    size_t left = k;
    memcpy(a->left, a->indices, k * sizeof *a->left);
    for (size_t i = 0; i < k; i++) {
        size_t at = 0;
        while (at < left && !a->matches[i * a->g->n + a->left[at]])
            at++;
        if (at == left)
            return;
        a->chosen[i] = a->g->v[a->left[at]].point;
        memmove(a->left + at, a->left + at + 1, (left - at - 1) * sizeof *a->left);
        left--;
    }
    emit(a);
}

/* Binomial coefficient, or max + 1 when it is larger. */
static int64_t combinations(size_t n, size_t k, int64_t max)
{
    __int128 count = 1;
    for (size_t i = 0; i < k; i++) {
        count = count * (__int128)(n - i) / (__int128)(i + 1);
        if (count > (__int128)INT64_MAX / 2)
            return INT64_MAX;
    }
    return (int64_t)count;
}

static bool next_combination(size_t *indices, size_t n, size_t k)
{
    size_t i = k;
    while (i > 0 && indices[i - 1] == i - 1 + n - k)
        i--;
    if (i == 0)
        return false;
    indices[i - 1]++;
    for (; i < k; i++)
        indices[i] = indices[i - 1] + 1;
    return true;
}

static void evaluate(struct attempt *a)
{
    struct kap_error err;
    for (size_t p = 0; p < a->g->n; p++) {
        for (size_t i = 0; i < a->s->cfg->nlambdas; i++) {
            bool *match = &a->matches[i * a->g->n + p];
            if (kap_node_predicate(a->n, a->s->lambdas[i], a->g->lambdas[i], a->g->v[p].point, match, &err) == KAP_OK)
                continue;
            *match = false;
            kap_node_error(a->n, a->kg, "error evaluating lambda expression: %s", err.msg);
        }
    }
}

static void combine(struct kap_node *n, struct state *s, struct group *g, struct kap_group *kg)
{
    const size_t k = s->cfg->nlambdas;
    if (g->n == 0)
        return;
    struct attempt a = { .n = n, .s = s, .g = g, .kg = kg, .matches = KAP_ARRAY(bool, g->n * k) };
    a.indices = KAP_ARRAY(size_t, 2 * k);
    a.left = a.indices + k;
    a.chosen = KAP_ARRAY(const struct kap_point *, k);
    evaluate(&a);
    const int64_t count = g->n < k ? 0 : combinations(g->n, k, s->cfg->max);
    if (count > s->cfg->max) {
        kap_node_error(n, kg,
                       "refusing to perform combination as total combinations %lld exceeds max combinations %lld",
                       (long long)count, (long long)s->cfg->max);
    } else if (count > 0) {
        for (size_t i = 0; i < k; i++)
            a.indices[i] = i;
        do
            attempt(&a);
        while (next_combination(a.indices, g->n, k));
    }
    kap_free(a.matches);
    kap_free(a.indices);
    kap_free((void *)a.chosen);
    clear(n, g);
}

/* ---- messages ---- */

static void add(struct kap_node *n, struct state *s, struct group *g, const struct kap_point *p)
{
    struct kap_point q = *p;
    q.time_ns = kap_time_round(p->time_ns, s->cfg->tolerance_ns);
    if (!g->timed || q.time_ns != g->time_ns)
        combine(n, s, g, p->group);
    g->timed = true;
    g->time_ns = q.time_ns;
    KAP_GROW(g->v, g->cap, g->n + 1);
    g->v[g->n++] = kap_message_point(n, &q);
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct group *g = gs;
    if (!g->name)
        g->name = p->name;
    add(n, state, g, p);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct group *g = gs;
    g->name = b->name;
    g->timed = false;
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    add(n, state, gs, p);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    combine(n, state, gs, b->group);
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_buf *out)
{
    const struct state *s = state;
    const struct group *g = gs;
    if (!kg)
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_sym(&w, g->name);
    kap_snap_u64(&w, g->timed);
    kap_snap_i64(&w, g->time_ns);
    for (size_t i = 0; i < s->cfg->nlambdas; i++)
        kap_snap_lambda(&w, g->lambdas[i]);
    kap_snap_u64(&w, g->n);
    for (size_t i = 0; i < g->n; i++)
        kap_snap_point(&w, g->v[i].point);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_str data,
                            struct kap_error *err)
{
    const struct state *s = state;
    struct group *g = gs;
    if (!kg || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    g->name = kap_snap_get_sym(&r);
    g->timed = kap_snap_get_u64(&r) != 0;
    g->time_ns = kap_snap_get_i64(&r);
    for (size_t i = 0; i < s->cfg->nlambdas; i++)
        KAP_TRY(kap_snap_get_lambda(&r, g->lambdas[i], err));
    for (size_t left = kap_snap_get_count(&r); left && !r.bad; left--) {
        struct kap_point *p = kap_snap_get_point(&r, kap_node_groups(n));
        if (!p)
            break;
        KAP_GROW(g->v, g->cap, g->n + 1);
        g->v[g->n++] = kap_message_point(n, p);
        kap_point_free(kap_node_groups(n), p);
    }
    return kap_snap_end(&r, err);
}

/* ---- definition ---- */

static void init(void *config)
{
    struct config *c = config;
    c->delimiter = KAP_STR(".");
    c->max = 1000000;
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct config *c = config;
    c->lambdas = KAP_ARENA_ARRAY(arena, const struct kap_expr *, nargs + 1);
    for (size_t i = 0; i < nargs; i++) {
        if (args[i].kind != KAP_ARG_LAMBDA)
            return kap_fail(err, KAP_EINVAL, "combine expects lambda expressions, argument %zu is none", i + 1);
        c->lambdas[c->nlambdas++] = args[i].lambda;
    }
    return KAP_OK;
}

static enum kap_status check(const struct kap_graph_node *node, struct kap_error *err)
{
    const struct config *c = node->config;
    if (c->as.n == 0)
        return kap_fail(err, KAP_EINVAL, "a call to combine.as() is required to specify the output stream prefixes.");
    if (c->as.n != c->nlambdas)
        return kap_fail(err, KAP_EINVAL,
                        "number of prefixes specified by combine.as() must match the number of combine expressions");
    for (size_t i = 0; i < c->as.n; i++) {
        const struct kap_str name = c->as.v[i], d = c->delimiter;
        if (name.n == 0)
            return kap_fail(err, KAP_EINVAL,
                            "must provide a prefix name for the combine node, see .as() property method");
        if (d.n == 0 || memmem(name.p, name.n, d.p, d.n))
            return kap_fail(err, KAP_EINVAL,
                            "cannot use name %.*s as field prefix, it contains the delimiter character %.*s",
                            KAP_STR_ARG(name), KAP_STR_ARG(d));
        for (size_t k = 0; k < i; k++)
            if (kap_str_eq(c->as.v[k], name))
                return kap_fail(err, KAP_EINVAL, "cannot use the same prefix name see .as() property method");
    }
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRINGS, struct config, as, "as", NULL, "The prefixes of fields and tags, one for each expression."),
    KAP_PROP_AT(STRING, struct config, delimiter, "delimiter", NULL, "Between prefix and name; \".\" by default."),
    KAP_PROP_AT(DURATION, struct config, tolerance_ns, "tolerance", NULL,
                "Times are rounded to multiples of this before they are compared."),
    KAP_PROP_AT(INT, struct config, max, "max", NULL,
                "The largest number of combinations to try at one time; 1000000 by default."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_combine,
    .close = close_combine,
    .group_open = group_open,
    .group_close = group_close,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
    .save = save,
    .load = load,
};

const struct kap_node_type kap_node_combine = {
    .name = "combine",
    .kind = "combine",
    .doc = "Combines the points of one time and group with each other, where each expression holds for one of them.",
    .signature = "(expressions ...lambda)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_STREAM,
    .config_size = sizeof(struct config),
    .init = init,
    .args = args,
    .props = props,
    .check = check,
    .run = &run,
};
