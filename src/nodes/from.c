#include "nodes/from.h"

struct state {
    const struct kap_from *cfg;
    const struct kap_sym *db, *rp, *name; /* NULL: any */
    struct kap_lambda *where;
    struct kap_lambda_state *where_state;
    struct kap_grouper grouper;
    const struct kap_sym *tag;            /* of a condition "tag" == 'value' that must hold; NULL: none */
    struct kap_str tag_value;
    bool routed;                          /* below the root: the router may have found the group */
};

static const struct kap_sym *wanted(struct kap_str s)
{
    return s.n ? kap_sym(s) : NULL;
}

/* A condition on one tag among those that are joined with AND. */
static void find_tag(struct state *s, const struct kap_expr *e)
{
    if (s->tag || e->kind != KAP_EXPR_BINARY)
        return;
    if (e->op == KAP_OP_AND) {
        find_tag(s, e->left);
        find_tag(s, e->right);
        return;
    }
    if (e->op != KAP_OP_EQ)
        return;
    const struct kap_expr *ref = e->left, *lit = e->right;
    if (ref->kind != KAP_EXPR_REFERENCE) {
        ref = e->right;
        lit = e->left;
    }
    if (ref->kind == KAP_EXPR_REFERENCE && lit->kind == KAP_EXPR_LITERAL && lit->value.type == KAP_STRING) {
        s->tag = kap_sym(ref->name);
        s->tag_value = lit->value.s;
    }
}

static enum kap_status open_from(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    if (s->cfg->where) {
        if (kap_lambda_new(s->cfg->where, NULL, &s->where, err) != KAP_OK)
            return kap_wrap(err, "Failed to compile from expression");
        s->where_state = kap_lambda_state_new(s->where);
        if (!kap_lambda_stateful(s->where)) /* a stateful one must see every point */
            find_tag(s, s->cfg->where);
    }
    const struct kap_graph_node *gn = kap_node_graph(n);
    s->routed = gn->nparents == 1 && gn->parents[0]->type == &kap_node_stream;
    s->db = wanted(s->cfg->database);
    s->rp = wanted(s->cfg->retention_policy);
    s->name = wanted(s->cfg->measurement);
    kap_grouper_open(&s->grouper, &s->cfg->group_by);
    return KAP_OK;
}

static void close_from(struct kap_node *n, void *state)
{
    struct state *s = state;
    kap_grouper_close(&s->grouper);
    kap_lambda_state_free(s->where_state);
    kap_lambda_free(s->where);
}

/* A name that is both a tag and a field is an error to the expression, which only the point can tell. */
static bool names_a_field(const struct state *s, const struct kap_point *p)
{
    const struct kap_sym *const *refs;
    const size_t n = kap_lambda_refs(s->where, &refs);
    for (size_t i = 0; i < n; i++)
        if (kap_point_field(p, refs[i]))
            return true;
    return false;
}

static bool matches(struct kap_node *n, struct state *s, const struct kap_point *p)
{
    if ((s->db && p->db != s->db) || (s->rp && p->rp != s->rp) || (s->name && p->name != s->name))
        return false;
    if (!s->where || (s->routed && p->decided && !names_a_field(s, p)))
        return true;
    struct kap_error err;
    bool pass = false;
    if (kap_node_predicate(n, s->where, s->where_state, p, &pass, &err) != KAP_OK) {
        kap_node_error(n, p->group, "failed to evaluate WHERE expression: %s", err.msg);
        return false;
    }
    return pass;
}

static struct kap_group *group_of(struct kap_node *n, struct state *s, const struct kap_point *p)
{
    const struct kap_dims dims = kap_grouper_dims(&s->grouper, p->tags);
    return kap_groups_get(kap_node_groups(n), &dims, p->name, p->tags, false);
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct state *s = state;
    if (!matches(n, s, p))
        return;
    struct kap_point q = *p;
    q.time_ns = kap_time_round(kap_time_truncate(p->time_ns, s->cfg->truncate_ns), s->cfg->round_ns);
    if (s->routed && p->group) {
        kap_emit_point(n, &q);
        return;
    }
    q.group = group_of(n, s, p);
    kap_emit_point(n, &q);
    kap_group_unref(kap_node_groups(n), q.group);
}

static void route_key(struct kap_node *n, void *state, struct kap_route_key *ret)
{
    const struct state *s = state;
    *ret = (struct kap_route_key){ .db = s->db, .rp = s->rp, .name = s->name };
    ret->tag = s->tag;
    ret->tag_value = s->tag_value;
}

/* A pure condition on tags alone has one result for the whole series; where that is an error, points find out. */
static enum kap_wanted where_of_series(struct kap_node *n, struct state *s, const struct kap_point *series)
{
    if (!s->where)
        return KAP_WANTED;
    if (!kap_lambda_pure(s->where))
        return KAP_MAYBE_WANTED;
    const struct kap_sym *const *refs;
    const size_t nrefs = kap_lambda_refs(s->where, &refs);
    for (size_t i = 0; i < nrefs; i++)
        if (!kap_tags_get(series->tags, refs[i]))
            return KAP_MAYBE_WANTED;
    bool pass;
    if (kap_node_predicate(n, s->where, NULL, series, &pass, NULL) != KAP_OK)
        return KAP_MAYBE_WANTED;
    return pass ? KAP_WANTED : KAP_UNWANTED;
}

static enum kap_wanted route(struct kap_node *n, void *state, const struct kap_point *series, struct kap_group **group)
{
    struct state *s = state;
    if ((s->db && series->db != s->db) || (s->rp && series->rp != s->rp) || (s->name && series->name != s->name))
        return KAP_UNWANTED;
    const enum kap_wanted wanted = where_of_series(n, s, series);
    if (wanted != KAP_UNWANTED)
        *group = group_of(n, s, series);
    return wanted;
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_buf *out)
{
    const struct state *s = state;
    if (!g && s->where_state)
        kap_lambda_state_save(s->where_state, out);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_str data,
                            struct kap_error *err)
{
    struct state *s = state;
    if (g || !s->where_state || !data.n)
        return KAP_OK;
    return kap_lambda_state_load(s->where_state, data, err);
}

static enum kap_status set_where(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                 struct kap_error *err)
{
    struct kap_from *c = config;
    if (nargs != 1 || args[0].kind != KAP_ARG_LAMBDA)
        return kap_fail(err, KAP_EINVAL, "where expects one lambda expression");
    if (!c->where) {
        c->where = args[0].lambda;
        return KAP_OK;
    }
    struct kap_expr *and = KAP_ARENA_NEW(arena, struct kap_expr);
    and->kind = KAP_EXPR_BINARY;
    and->op = KAP_OP_AND;
    and->left = kap_expr_copy(arena, c->where);
    and->right = kap_expr_copy(arena, args[0].lambda);
    and->line = args[0].lambda->line;
    and->character = args[0].lambda->character;
    c->where = and;
    return KAP_OK;
}

static enum kap_status set_group_by(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                    struct kap_error *err)
{
    struct kap_from *c = config;
    return kap_group_by_set(&c->group_by, arena, args, nargs, err);
}

static enum kap_status check(const struct kap_graph_node *node, struct kap_error *err)
{
    const struct kap_from *c = node->config;
    return kap_group_by_check(&c->group_by, err);
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct kap_from, database, "database", NULL, "Only points of this database; empty: any."),
    KAP_PROP_AT(STRING, struct kap_from, retention_policy, "retentionPolicy", NULL,
                "Only points of this retention policy; empty: any."),
    KAP_PROP_AT(STRING, struct kap_from, measurement, "measurement", NULL,
                "Only points of this measurement; empty: any."),
    { .kind = KAP_PROP_CALL, .name = "where", .signature = "(expression lambda)", .set = set_where,
      .doc = "Only points for which the expression is true; several calls are joined with AND." },
    { .kind = KAP_PROP_CALL, .name = "groupBy", .signature = "(tags ...string or *)", .set = set_group_by,
      .doc = "The tags that split the stream into groups; * takes all of them." },
    { .kind = KAP_PROP_FLAG, .name = "groupByMeasurement", .offset = offsetof(struct kap_from, group_by.by_name),
      .doc = "Makes the measurement a part of the group." },
    KAP_PROP_AT(DURATION, struct kap_from, truncate_ns, "truncate", NULL, "Truncates times to multiples of this."),
    KAP_PROP_AT(DURATION, struct kap_from, round_ns, "round", NULL, "Rounds times to multiples of this."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .open = open_from,
    .close = close_from,
    .point = point,
    .save = save,
    .load = load,
    .route_key = route_key,
    .route = route,
};

const struct kap_node_type kap_node_from = {
    .name = "from",
    .kind = "from",
    .doc = "Selects points from the stream by database, retention policy, measurement and a condition, and groups them.",
    .signature = "()",
    .below = KAP_BELOW_SOURCE,
    .repeatable = true,
    .wants = KAP_EDGE_STREAM,
    .provides = KAP_EDGE_STREAM,
    .config_size = sizeof(struct kap_from),
    .props = props,
    .check = check,
    .run = &run,
};
