#include "nodes/nodes.h"
#include "nodes/services.h"
#include "nodes/util.h"

struct config {
    struct kap_str database, retention_policy, measurement;
    struct kap_keyed_values tags;
};

enum { POINTS_WRITTEN };
static const char *const counters[] = { "points_written", NULL };

struct state {
    const struct config *cfg;
    const struct kap_sym *db, *rp, *name; /* name NULL: it stays */
    struct kap_tag_buf tags;
};

static enum kap_status open_loopback(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    const struct kap_graph *g = kap_node_graph(n)->graph;
    for (size_t i = 0; i < g->ndbrps; i++)
        if (kap_str_eq(g->dbrps[i].db, s->cfg->database) && kap_str_eq(g->dbrps[i].rp, s->cfg->retention_policy))
            return kap_fail(err, KAP_EINVAL, "loop detected on dbrp: \"%.*s\".\"%.*s\"", KAP_STR_ARG(g->dbrps[i].db),
                            KAP_STR_ARG(g->dbrps[i].rp));
    s->db = kap_sym(s->cfg->database);
    s->rp = kap_sym(s->cfg->retention_policy);
    s->name = s->cfg->measurement.n ? kap_sym(s->cfg->measurement) : NULL;
    return KAP_OK;
}

static void close_loopback(struct kap_node *n, void *state)
{
    kap_tag_buf_done(&((struct state *)state)->tags);
}

static void write_point(struct kap_node *n, struct state *s, const struct kap_point *p)
{
    const struct kap_services *services = kap_node_services(n);
    struct kap_point q = *p;
    struct kap_error err;
    q.db = s->db;
    q.rp = s->rp;
    q.name = s->name ? s->name : p->name;
    if (s->cfg->tags.n) {
        kap_tag_buf_copy(&s->tags, p->tags);
        for (size_t i = 0; i < s->cfg->tags.n; i++)
            kap_tag_buf_set(&s->tags, s->cfg->tags.v[i].key, s->cfg->tags.v[i].v.s);
        q.tags = kap_tag_buf_tags(&s->tags);
    } else {
        q.tags = kap_tags_ref(p->tags);
    }
    if (services->loopback(services->ctx, &q, &err) == KAP_OK)
        kap_node_count(n, POINTS_WRITTEN, 1);
    else
        kap_node_error(n, p->group, "failed to write point over loopback: %s", err.msg);
    kap_tags_unref(q.tags);
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    write_point(n, state, p);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    write_point(n, state, p);
}

static enum kap_status set_tag(void *config, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                               struct kap_error *err)
{
    return kap_keyed_set_string(&((struct config *)config)->tags, arena, args, nargs, "tag", err);
}

static enum kap_status check(const struct kap_graph_node *node, struct kap_error *err)
{
    const struct config *c = node->config;
    if (c->database.n == 0)
        return kap_fail(err, KAP_EINVAL, "must specify a database");
    if (c->retention_policy.n == 0)
        return kap_fail(err, KAP_EINVAL, "must specify a retention policy");
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct config, database, "database", NULL, "The database of the points; required."),
    KAP_PROP_AT(STRING, struct config, retention_policy, "retentionPolicy", NULL,
                "The retention policy of the points; required."),
    KAP_PROP_AT(STRING, struct config, measurement, "measurement", NULL, "The measurement; empty: as it is."),
    { .kind = KAP_PROP_CALL, .name = "tag", .signature = "(key string, value string)", .set = set_tag,
      .doc = "A tag to add to each point." },
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .open = open_loopback,
    .close = close_loopback,
    .point = point,
    .batch_point = batch_point,
    .counters = counters,
};

const struct kap_node_type kap_node_kapacitor_loopback = {
    .name = "kapacitorLoopback",
    .kind = "kapacitor_loopback",
    .doc = "Writes data back into the stream of incoming points, for other tasks.",
    .signature = "()",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_NONE,
    .config_size = sizeof(struct config),
    .props = props,
    .no_children = true,
    .check = check,
    .run = &run,
};
