#include "base/mem.h"
#include "nodes/nodes.h"
#include "nodes/services.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct config {
    struct kap_str endpoint;
};

/* The whole result is written anew when it is shown, so at most this often. */
#define PUBLISH_EVERY_NS INT64_C(50000000)
enum { PUBLISH_TIMER = 1 };

struct state {
    const struct config *cfg;
    bool seen; /* "series" is null until there was a group */
    bool timer;
    int64_t next_publish_ns;
    struct kap_buf json;
};

struct group {
    struct kap_point *point; /* the last one; or */
    struct kap_row *row;     /* the last batch */
    struct kap_batch batch;  /* that is coming in */
    size_t charged;
};

static void publish(struct kap_node *n, struct state *s)
{
    const struct kap_services *services = kap_node_services(n);
    if (!services->publish)
        return;
    struct kap_json j;
    kap_buf_reset(&s->json);
    kap_json_init(&j, &s->json, false);
    kap_json_object(&j);
    kap_json_key(&j, "series");
    bool ok = true;
    if (!s->seen) {
        kap_json_null(&j);
    } else {
        kap_json_array(&j);
        void *gs;
        for (uint32_t i = 0; kap_node_next_group(n, &i, NULL, &gs);) {
            const struct group *g = gs;
            if (g->row) {
                ok = kap_row_json(g->row, &j) && ok;
            } else if (g->point) {
                struct kap_row *row = kap_row_from_point(g->point);
                ok = kap_row_json(row, &j) && ok;
                kap_row_free(row);
            }
        }
        kap_json_array_end(&j);
    }
    kap_json_object_end(&j);
    services->publish(services->ctx, kap_node_task(n), s->cfg->endpoint, kap_buf_str(&s->json), ok);
    s->next_publish_ns = kap_node_now(n) + PUBLISH_EVERY_NS;
}

static void changed(struct kap_node *n, struct state *s)
{
    s->seen = true;
    if (s->timer)
        return;
    if (kap_node_now(n) >= s->next_publish_ns) {
        publish(n, s);
        return;
    }
    s->timer = true;
    kap_node_set_timer(n, PUBLISH_TIMER, s->next_publish_ns);
}

static void timer(struct kap_node *n, void *state, uint64_t id, int64_t now_ns)
{
    struct state *s = state;
    s->timer = false;
    publish(n, s);
}

static enum kap_status open_http_out(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    publish(n, s);
    s->next_publish_ns = 0;
    return KAP_OK;
}

static void close_http_out(struct kap_node *n, void *state)
{
    struct state *s = state;
    const struct kap_services *services = kap_node_services(n);
    if (services->unpublish)
        services->unpublish(services->ctx, kap_node_task(n), s->cfg->endpoint);
    kap_buf_done(&s->json);
}

static void clear(struct kap_node *n, struct group *g)
{
    kap_point_free(kap_node_groups(n), g->point);
    kap_row_free(g->row);
    g->point = NULL;
    g->row = NULL;
    kap_node_charge(n, -(int64_t)g->charged);
    g->charged = 0;
}

static void group_close(struct kap_node *n, void *state, void *gs, struct kap_group *kg)
{
    struct group *g = gs;
    clear(n, g);
    kap_batch_clear(kap_node_groups(n), &g->batch);
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    struct group *g = gs;
    clear(n, g);
    g->point = kap_point_copy(p);
    g->charged = kap_point_bytes(g->point);
    kap_node_charge(n, (int64_t)g->charged);
    changed(n, state);
    kap_emit_point(n, p);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct group *g = gs;
    kap_batch_clear(kap_node_groups(n), &g->batch);
    g->batch.begin = *b;
    kap_emit_begin(n, b);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    kap_batch_add(&((struct group *)gs)->batch, p);
    kap_emit_batch_point(n, p);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    struct group *g = gs;
    clear(n, g);
    g->row = kap_row_from_batch(&g->batch);
    g->charged = kap_arena_bytes(g->row->arena);
    kap_node_charge(n, (int64_t)g->charged);
    kap_batch_clear(kap_node_groups(n), &g->batch);
    changed(n, state);
    kap_emit_end(n, b);
}

static void delete_group(struct kap_node *n, void *state, void *gs, struct kap_group *g, int in)
{
    struct state *s = state;
    if (!s->timer) {
        s->timer = true;
        kap_node_set_timer(n, PUBLISH_TIMER, kap_node_now(n) + PUBLISH_EVERY_NS);
    }
    kap_emit_delete_group(n, g);
}

static void finish(struct kap_node *n, void *state, int in)
{
    publish(n, state);
}

/* --- state: the result of each group, so that a restart shows the same, in the same order --- */

enum { SAVED_POINT = 1, SAVED_ROW };

static void save_row(struct kap_snap *w, const struct kap_row *row)
{
    kap_snap_sym(w, row->name);
    kap_snap_tags(w, row->tags);
    kap_snap_u64(w, row->ncolumns);
    for (size_t i = 0; i < row->ncolumns; i++)
        kap_snap_bytes(w, row->columns[i]);
    kap_snap_u64(w, row->nvalues);
    for (size_t i = 0; i < row->nvalues * row->ncolumns; i++) {
        if (i % row->ncolumns == 0)
            kap_snap_i64(w, row->values[i].i);
        else
            kap_snap_value(w, &row->values[i]);
    }
}

static struct kap_row *load_row(struct kap_snap *r)
{
    struct kap_row *row = KAP_NEW(struct kap_row);
    row->arena = kap_arena_new();
    row->name = kap_snap_get_sym(r);
    row->tags = kap_snap_get_tags(r);
    row->ncolumns = kap_snap_get_count(r);
    row->columns = KAP_ARENA_ARRAY(row->arena, struct kap_str, row->ncolumns);
    for (size_t i = 0; i < row->ncolumns; i++)
        row->columns[i] = kap_arena_str(row->arena, kap_snap_get_bytes(r));
    row->nvalues = kap_snap_get_count(r);
    if (row->nvalues && (!row->ncolumns || row->nvalues > r->in.n / row->ncolumns)) {
        r->bad = true;
        row->nvalues = 0;
    }
    row->values = KAP_ARENA_ARRAY(row->arena, struct kap_value, row->nvalues * row->ncolumns);
    for (size_t i = 0; i < row->nvalues * row->ncolumns; i++) {
        struct kap_value *v = &row->values[i];
        *v = i % row->ncolumns ? kap_snap_get_value(r)
                               : (struct kap_value){ .type = KAP_TIME, .i = kap_snap_get_i64(r) };
        if (v->type == KAP_STRING)
            v->s = kap_arena_str(row->arena, v->s);
    }
    return row;
}

static void save(struct kap_node *n, void *state, void *gs, struct kap_group *kg, struct kap_buf *out)
{
    const struct group *g = gs;
    if (!kg || (!g->point && !g->row))
        return;
    struct kap_snap w = kap_snap_writer(out, 1);
    kap_snap_u64(&w, g->row ? SAVED_ROW : SAVED_POINT);
    if (g->row)
        save_row(&w, g->row);
    else
        kap_snap_point(&w, g->point);
}

static enum kap_status load(struct kap_node *n, void *state, void *gs, struct kap_group *kg,
                            struct kap_str data, struct kap_error *err)
{
    struct group *g = gs;
    if (!kg || !data.n)
        return KAP_OK;
    struct kap_snap r;
    KAP_TRY(kap_snap_reader(&r, data, 1, err));
    if (kap_snap_get_u64(&r) == SAVED_ROW) {
        g->row = load_row(&r);
        g->charged = kap_arena_bytes(g->row->arena);
    } else {
        g->point = kap_snap_get_point(&r, kap_node_groups(n));
        g->charged = g->point ? kap_point_bytes(g->point) : 0;
    }
    kap_node_charge(n, (int64_t)g->charged);
    KAP_TRY(kap_snap_end(&r, err));
    changed(n, state);
    return KAP_OK;
}

static enum kap_status args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                            const struct kap_arg *args, size_t nargs, struct kap_error *err)
{
    struct config *c = config;
    KAP_TRY(kap_arg_check(args, nargs, 0, KAP_STRING, "httpOut", err));
    if (nargs != 1)
        return kap_fail(err, KAP_EINVAL, "httpOut expects one endpoint");
    c->endpoint = kap_arena_str(arena, args[0].value.s);
    return KAP_OK;
}

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .group_size = sizeof(struct group),
    .open = open_http_out,
    .close = close_http_out,
    .group_close = group_close,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
    .delete_group = delete_group,
    .finish = finish,
    .timer = timer,
    .save = save,
    .load = load,
};

const struct kap_node_type kap_node_http_out = {
    .name = "httpOut",
    .kind = "http_out",
    .shown = "HTTPOutNode",
    .doc = "Keeps the latest point or batch of each group and serves them at "
           "/kapacitor/v1/tasks/TASK/ENDPOINT, in the "
           "form of an InfluxDB query result.",
    .signature = "(endpoint string)",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .args = args,
    .run = &run,
};
