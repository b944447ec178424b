#include "nodes/reduce.h"
#include "base/mem.h"
#include "nodes/columns.h"

void kap_results_add(struct kap_results *r, struct kap_reduced v)
{
    KAP_GROW(r->v, r->cap, r->n + 1);
    r->v[r->n++] = v;
}

enum kap_status kap_reduce_open(struct kap_node *n, void *state, struct kap_error *err)
{
    struct kap_reduce_state *s = state;
    s->cfg = kap_node_config(n);
    s->r = s->cfg->reducer;
    s->field = kap_sym(s->cfg->field);
    s->as = kap_sym(s->cfg->as);
    if (s->r->selector) {
        kap_columns_pass(kap_node_graph(n), &s->keep, s->as);
        kap_columns_add(&s->keep, s->field);
    }
    return KAP_OK;
}

void kap_reduce_close(struct kap_node *n, void *state)
{
    struct kap_reduce_state *s = state;
    kap_columns_done(&s->keep);
    kap_field_buf_done(&s->fields);
    kap_free(s->results.v);
}

void kap_reduce_group_close(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    const struct kap_reduce_state *s = state;
    struct kap_reduce_group *g = gs;
    kap_field_buf_done(&g->chosen);
    kap_buf_done(&g->text);
    kap_tags_unref(g->chosen_tags);
    kap_ring_done(&g->ring);
    if (s->r->done)
        s->r->done(g->acc);
}

/* The type of the field decides which form of the function is used until the next reset. */
static bool realize(struct kap_node *n, struct kap_reduce_state *s, struct kap_reduce_group *g,
                    const struct kap_value *v, const struct kap_group *kg)
{
    if (!v || v->type == KAP_MISSING) {
        kap_node_error(n, kg, "failed to realize reduce context from fields: field \"%s\" missing from point",
                       s->field->s);
        return false;
    }
    if (!(s->r->accepts & KAP_ACCEPT(v->type))) {
        kap_node_error(n, kg,
                       "failed to realize reduce context from fields: invalid influxql func %s with field %s: "
                       "cannot apply %s to %s field",
                       s->r->name, s->field->s, s->r->name, kap_go_type(v->type));
        return false;
    }
    g->type = v->type;
    kap_ring_done(&g->ring);
    s->r->reset(g->acc, s->cfg, v->type);
    return true;
}

static void choose(struct kap_reduce_group *g, const struct kap_point *p)
{
    size_t need = 0;
    for (uint32_t i = 0; i < p->nfields; i++)
        if (p->fields[i].v.type == KAP_STRING)
            need += p->fields[i].v.s.n;
    kap_field_buf_copy(&g->chosen, p->fields, p->nfields);
    kap_buf_reset(&g->text);
    (void)kap_buf_reserve(&g->text, need);
    for (uint32_t i = 0; i < g->chosen.n; i++) {
        struct kap_value *v = &g->chosen.v[i].v;
        if (v->type != KAP_STRING)
            continue;
        const size_t at = g->text.n;
        kap_buf_add(&g->text, v->s);
        v->s.p = g->text.p ? g->text.p + at : "";
    }
    kap_tags_ref(p->tags);
    kap_tags_unref(g->chosen_tags);
    g->chosen_tags = p->tags;
    g->chosen_ns = p->time_ns;
}

static void add(struct kap_node *n, struct kap_reduce_state *s, struct kap_reduce_group *g, const struct kap_value *v,
                const struct kap_point *p, const char *what)
{
    if (!v) {
        kap_node_error(n, p->group, "%s: field %s missing from point cannot aggregate", what, s->field->s);
    } else if (v->type != g->type) {
        kap_node_error(n, p->group, "%s: field %s has wrong type: got %s exp %s", what, s->field->s,
                       kap_go_type(v->type), kap_go_type(g->type));
    } else {
        if (s->r->add(g->acc, s->cfg, *v, p) == KAP_REDUCE_CHOOSE)
            choose(g, p);
        if (s->r->keeps_points)
            kap_ring_push(&g->ring, p, &s->keep);
    }
}

static int64_t time_of(const struct kap_reduce_state *s, const struct kap_reduce_group *g, bool timed, int64_t time_ns)
{
    const bool own = s->cfg->point_times || s->r->transform || s->r->point_times;
    return own && timed ? time_ns : g->time_ns;
}

static void emit_selected(struct kap_node *n, struct kap_reduce_state *s, struct kap_reduce_group *g,
                          struct kap_group *kg)
{
    if (s->r->keeps_points) {
        size_t index;
        if (!s->r->choose(g->acc, s->cfg, &index))
            return;
        struct kap_point p = { .group = kg, .name = g->name };
        struct kap_ring_iter it = kap_ring_begin(&g->ring);
        for (size_t i = 0; i <= index; i++)
            if (!kap_ring_next(&g->ring, &it, &s->fields, &p))
                return;
        choose(g, &p);
    }
    if (!g->chosen_tags)
        return;
    kap_field_buf_copy(&s->fields, g->chosen.v, g->chosen.n);
    if (s->as != s->field) {
        const struct kap_value *v = kap_field_buf_get(&s->fields, s->field);
        if (v) {
            kap_field_buf_set(&s->fields, s->as, *v);
            kap_field_buf_del(&s->fields, s->field);
        }
    }
    const struct kap_point q = {
        .time_ns = time_of(s, g, true, g->chosen_ns),
        .db = kap_sym_empty,
        .rp = kap_sym_empty,
        .name = g->name,
        .tags = g->chosen_tags,
        .group = kg,
        .nfields = s->fields.n,
        .fields = s->fields.v,
    };
    kap_emit_point(n, &q);
    kap_tags_unref(g->chosen_tags);
    g->chosen_tags = NULL;
    kap_ring_done(&g->ring);
}

/* The tags of a result's point, with those of the group that the point lacks. A reference. */
static const struct kap_tags *merged_tags(const struct kap_tags *group, const struct kap_tags *tags)
{
    if (!tags || tags->n == 0)
        return kap_tags_ref(group);
    bool whole = true;
    for (uint32_t i = 0; i < group->n && whole; i++)
        whole = kap_tags_get(tags, group->v[i].key) != NULL;
    if (whole)
        return kap_tags_ref(tags);
    struct kap_tag_buf b = { 0 };
    kap_tag_buf_copy(&b, group);
    for (uint32_t i = 0; i < tags->n; i++)
        kap_tag_buf_set(&b, tags->v[i].key, tags->v[i].val);
    const struct kap_tags *ret = kap_tag_buf_tags(&b);
    kap_tag_buf_done(&b);
    return ret;
}

static struct kap_point result_point(struct kap_reduce_state *s, const struct kap_reduce_group *g,
                                     struct kap_group *kg, const struct kap_reduced *r)
{
    s->fields.n = 0;
    kap_field_buf_add(&s->fields, s->as, r->v);
    return (struct kap_point){
        .time_ns = time_of(s, g, r->timed, r->time_ns),
        .db = kap_sym_empty,
        .rp = kap_sym_empty,
        .name = g->name,
        .tags = kg->tags,
        .group = kg,
        .nfields = s->fields.n,
        .fields = s->fields.v,
    };
}

static void emit_batch(struct kap_node *n, struct kap_reduce_state *s, struct kap_reduce_group *g,
                       struct kap_group *kg)
{
    struct kap_batch_begin b = {
        .time_ns = g->time_ns, .name = g->name, .group = kg, .size_hint = (uint32_t)s->results.n
    };
    for (size_t i = 0; i < s->results.n; i++) {
        const int64_t t_ns = time_of(s, g, s->results.v[i].timed, s->results.v[i].time_ns);
        b.time_ns = KAP_MAX(b.time_ns, t_ns);
    }
    kap_emit_begin(n, &b);
    for (size_t i = 0; i < s->results.n; i++) {
        struct kap_point q = result_point(s, g, kg, &s->results.v[i]);
        q.tags = merged_tags(kg->tags, s->results.v[i].tags);
        kap_emit_batch_point(n, &q);
        kap_tags_unref(q.tags);
    }
    kap_emit_end(n, &b);
}

static void emit(struct kap_node *n, struct kap_reduce_state *s, struct kap_reduce_group *g, struct kap_group *kg)
{
    if (s->r->selector) {
        emit_selected(n, s, g, kg);
        return;
    }
    s->results.n = 0;
    s->r->emit(g->acc, s->cfg, &s->results);
    if (kap_node_graph(n)->edge == KAP_EDGE_BATCH && !s->r->transform) {
        emit_batch(n, s, g, kg);
    } else if (s->results.n == 1) {
        const struct kap_point q = result_point(s, g, kg, &s->results.v[0]);
        kap_emit_point(n, &q);
    }
}

static void reset(struct kap_reduce_group *g, int64_t time_ns)
{
    g->time_ns = time_ns;
    g->type = KAP_MISSING;
    g->size = 0;
    kap_tags_unref(g->chosen_tags);
    g->chosen_tags = NULL;
}

static void start(struct kap_reduce_group *g, const struct kap_sym *name, int64_t time_ns)
{
    if (g->started)
        return;
    g->started = true;
    g->name = name;
    g->time_ns = time_ns;
}

void kap_reduce_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct kap_reduce_state *s = state;
    struct kap_reduce_group *g = gs;
    start(g, p->name, p->time_ns);
    if (!s->r->transform && p->time_ns != g->time_ns) {
        if (g->type != KAP_MISSING)
            emit(n, s, g, p->group);
        reset(g, p->time_ns);
        g->name = p->name;
    }
    const struct kap_value *v = kap_point_field(p, s->field);
    if (g->type == KAP_MISSING && !realize(n, s, g, v, p->group))
        return;
    add(n, s, g, v, p, "failed to aggregate point");
    if (s->r->transform)
        emit(n, s, g, p->group);
}

void kap_reduce_begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    const struct kap_reduce_state *s = state;
    struct kap_reduce_group *g = gs;
    start(g, b->name, b->time_ns);
    reset(g, b->time_ns);
    if (s->r->transform) {
        struct kap_batch_begin nb = *b;
        nb.size_hint = 0;
        kap_emit_begin(n, &nb);
    }
}

void kap_reduce_batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct kap_reduce_state *s = state;
    struct kap_reduce_group *g = gs;
    const struct kap_value *v = kap_point_field(p, s->field);
    if (g->type == KAP_MISSING && !realize(n, s, g, v, p->group))
        return;
    add(n, s, g, v, p, s->r->transform ? "failed to aggregate batch point" : "failed to aggregate point in batch");
    g->size++;
    if (!s->r->transform)
        return;
    s->results.n = 0;
    s->r->emit(g->acc, s->cfg, &s->results);
    if (s->results.n != 1)
        return;
    const struct kap_point q = result_point(s, g, p->group, &s->results.v[0]);
    kap_emit_batch_point(n, &q);
}

void kap_reduce_end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct kap_reduce_state *s = state;
    struct kap_reduce_group *g = gs;
    if (s->r->transform) {
        kap_emit_end(n, b);
        return;
    }
    if (g->size == 0 && !s->r->empty_ok)
        return;
    if (g->type == KAP_MISSING) {
        g->type = KAP_FLOAT;
        s->r->reset(g->acc, s->cfg, KAP_FLOAT);
    }
    emit(n, s, g, b->group);
}

void kap_reduce_save(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_buf *out)
{
    const struct kap_reduce_state *s = state;
    const struct kap_reduce_group *g = gs;
    if (!kg || !g->started)
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_sym(&w, g->name);
    kap_snap_i64(&w, g->time_ns);
    kap_snap_u64(&w, g->type);
    if (g->type == KAP_MISSING)
        return;
    s->r->save(g->acc, &w);
    kap_ring_save(&g->ring, &w);
    kap_snap_u64(&w, g->chosen_tags != NULL);
    if (!g->chosen_tags)
        return;
    const struct kap_point p = {
        .time_ns = g->chosen_ns, .name = g->name, .tags = g->chosen_tags, .group = kg,
        .fields = g->chosen.v, .nfields = g->chosen.n,
    };
    kap_snap_point(&w, &p);
}

enum kap_status kap_reduce_load(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_str data,
                                struct kap_error *err)
{
    struct kap_reduce_state *s = state;
    struct kap_reduce_group *g = gs;
    if (!kg || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    g->name = kap_snap_get_sym(&r);
    g->time_ns = kap_snap_get_i64(&r);
    const uint64_t type = kap_snap_get_u64(&r);
    g->started = g->name != NULL;
    if (r.bad || type > KAP_BOOL || (type != KAP_MISSING && !(s->r->accepts & KAP_ACCEPT(type))))
        return kap_fail(err, KAP_EINVAL, "snapshot of %s is damaged", s->r->name);
    g->type = (enum kap_type)type;
    if (g->type == KAP_MISSING)
        return kap_snap_end(&r, err);
    s->r->reset(g->acc, s->cfg, g->type);
    s->r->load(g->acc, &r);
    kap_ring_load(&g->ring, &r, &s->keep);
    if (kap_snap_get_u64(&r)) {
        struct kap_point *p = kap_snap_get_point(&r, kap_node_groups(n));
        if (p)
            choose(g, p);
        kap_point_free(kap_node_groups(n), p);
    }
    return kap_snap_end(&r, err);
}

void kap_reduce_needs(const struct kap_graph_node *node, struct kap_columns *c)
{
    const struct kap_reduce_config *cfg = node->config;
    if (cfg->reducer->selector)
        kap_columns_pass(node, c, kap_sym(cfg->as));
    kap_columns_add(c, kap_sym(cfg->field));
    c->tags |= cfg->reducer->reads_tags;
}

void kap_reduce_init(void *config, const struct kap_reducer *r)
{
    struct kap_reduce_config *c = config;
    c->reducer = r;
    c->as = kap_str(r->name);
}

enum kap_status kap_reduce_args_n(struct kap_reduce_config *c, struct kap_arena *arena, const struct kap_arg *args,
                                  size_t nargs, size_t n, struct kap_error *err)
{
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_STRING, c->reducer->name, err));
    if (nargs != n)
        return kap_fail(err, KAP_EINVAL, "%s expects %zu argument%s, got %zu", c->reducer->name, n, n == 1 ? "" : "s",
                        nargs);
    c->field = kap_arena_str(arena, args[0].value.s);
    return KAP_OK;
}

enum kap_status kap_reduce_args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                                const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    return kap_reduce_args_n(config, arena, args, nargs, 1, err);
}

const struct kap_prop kap_reduce_props[] = {
    KAP_PROP_AT(STRING, struct kap_reduce_config, as, "as", NULL,
                "The name of the resulting field; the name of the function by default."),
    KAP_PROP_AT(FLAG, struct kap_reduce_config, point_times, "usePointTimes", NULL,
                "A selector's result has the time of the chosen point instead of the batch's."),
    { 0 },
};

void kap_samples_reset(void *samples, const struct kap_reduce_config *c, enum kap_type type)
{
    struct kap_samples *s = samples;
    s->n = 0;
    s->type = type;
}

enum kap_reduce_choice kap_samples_add(void *samples, const struct kap_reduce_config *c, struct kap_value v,
                                       const struct kap_point *p)
{
    struct kap_samples *s = samples;
    KAP_GROW(s->v, s->cap, s->n + 1);
    s->v[s->n].time_ns = p->time_ns;
    if (s->type == KAP_INT)
        s->v[s->n++].i = v.i;
    else
        s->v[s->n++].f = v.f;
    return KAP_REDUCE_PASS;
}

void kap_samples_done(void *samples)
{
    struct kap_samples *s = samples;
    kap_free(s->v);
    *s = (struct kap_samples){ 0 };
}

void kap_samples_save(const void *samples, struct kap_snap *w)
{
    const struct kap_samples *s = samples;
    kap_snap_u64(w, s->n);
    for (size_t i = 0; i < s->n; i++) {
        kap_snap_i64(w, s->v[i].time_ns);
        kap_snap_i64(w, s->v[i].i);
    }
}

void kap_samples_load(void *samples, struct kap_snap *r)
{
    struct kap_samples *s = samples;
    for (size_t left = kap_snap_get_count(r); left && !r->bad; left--) {
        KAP_GROW(s->v, s->cap, s->n + 1);
        s->v[s->n].time_ns = kap_snap_get_i64(r);
        s->v[s->n++].i = kap_snap_get_i64(r);
    }
}

double kap_sample_f(const struct kap_samples *s, size_t i)
{
    return s->type == KAP_INT ? (double)s->v[i].i : s->v[i].f;
}

static int by_int(const void *a, const void *b)
{
    const struct kap_sample *x = a, *y = b;
    return x->i < y->i ? -1 : x->i > y->i;
}

static int by_float(const void *a, const void *b)
{
    const struct kap_sample *x = a, *y = b;
    return x->f < y->f ? -1 : x->f > y->f;
}

void kap_samples_sort(struct kap_samples *s)
{
    kap_sort_stable(s->v, s->n, sizeof *s->v, s->type == KAP_INT ? by_int : by_float);
}
