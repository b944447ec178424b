#include "base/log.h"
#include "base/gotime.h"
#include "base/number.h"
#include "nodes/nodes.h"
#include "nodes/util.h"

struct config {
    struct kap_str level, prefix;
};

struct state {
    const struct config *cfg;
    enum kap_log_level level;
};

static enum kap_status open_log(struct kap_node *n, void *state, struct kap_error *err)
{
    struct state *s = state;
    s->cfg = kap_node_config(n);
    if (!kap_log_level_parse(s->cfg->level, &s->level) || s->level == KAP_LOG_OFF)
        s->level = KAP_LOG_INFO;
    return KAP_OK;
}

static struct kap_kv value_kv(struct kap_arena *a, const char *key, const struct kap_value *v)
{
    switch (v->type) {
    case KAP_FLOAT:
        return kap_kv_f(key, v->f);
    case KAP_INT:
        return kap_kv_i(key, v->i);
    case KAP_BOOL:
        return kap_kv_s(key, v->b ? "true" : "false");
    case KAP_STRING:
        return kap_kv_n(key, kap_arena_str(a, v->s));
    default:
        return kap_kv_s(key, "");
    }
}

struct line {
    struct kap_arena *arena;
    struct kap_kv *v;
    size_t n;
};

static struct line line_new(struct kap_node *n, const struct state *s, size_t room)
{
    struct kap_arena *a = kap_node_scratch(n);
    struct line l = { .arena = a, .v = KAP_ARENA_ARRAY(a, struct kap_kv, room + 10) };
    l.v[l.n++] = kap_kv_n("task", kap_node_task(n));
    l.v[l.n++] = kap_kv_s("node", kap_node_name(n));
    l.v[l.n++] = kap_kv_n("prefix", s->cfg->prefix);
    return l;
}

static void add_tags(struct line *l, const struct kap_tags *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        l->v[l->n++] = kap_kv_n(kap_arena_printf(l->arena, "tag_%s", t->v[i].key->s), t->v[i].val);
}

static void add_fields(struct line *l, const struct kap_point *p)
{
    for (uint32_t i = 0; i < p->nfields; i++)
        l->v[l->n++] = value_kv(l->arena, kap_arena_printf(l->arena, "field_%s", p->fields[i].key->s), &p->fields[i].v);
}

static void write_line(struct line *l, const struct state *s, const char *msg, int64_t time_ns)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_time_rfc3339nano(&b, time_ns);
    l->v[l->n++] = kap_kv_n("time", kap_arena_str(l->arena, kap_buf_str(&b)));
    l->v[l->n] = (struct kap_kv){ 0 };
    kap_log_write(s->level, "kapacitor", msg, l->v);
}

static void point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    const struct state *s = state;
    if (kap_log_enabled(s->level)) {
        struct line l = line_new(n, s, p->tags->n + p->nfields + p->group->dims.n);
        l.v[l.n++] = kap_kv_n("name", kap_sym_str(p->name));
        l.v[l.n++] = kap_kv_n("db", kap_sym_str(p->db));
        l.v[l.n++] = kap_kv_n("rp", kap_sym_str(p->rp));
        l.v[l.n++] = kap_kv_n("group", p->group->id);
        for (uint32_t i = 0; i < p->group->dims.n; i++)
            l.v[l.n++] = kap_kv_n(kap_arena_printf(l.arena, "dimension_%u", i), kap_sym_str(p->group->dims.names[i]));
        add_tags(&l, p->tags);
        add_fields(&l, p);
        write_line(&l, s, "point", p->time_ns);
    }
    kap_emit_point(n, p);
}

static void log_batch(struct kap_node *n, const struct state *s, const struct kap_batch_begin *b, const char *msg)
{
    if (!kap_log_enabled(s->level))
        return;
    struct line l = line_new(n, s, b->group->tags->n);
    l.v[l.n++] = kap_kv_n("name", kap_sym_str(b->name));
    l.v[l.n++] = kap_kv_n("group", b->group->id);
    add_tags(&l, b->group->tags);
    write_line(&l, s, msg, b->time_ns);
}

static void begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    log_batch(n, state, b, "begin batch");
    kap_emit_begin(n, b);
}

static void batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in)
{
    const struct state *s = state;
    if (kap_log_enabled(s->level)) {
        struct line l = line_new(n, s, p->tags->n + p->nfields);
        l.v[l.n++] = kap_kv_n("name", kap_sym_str(p->name));
        l.v[l.n++] = kap_kv_n("group", p->group->id);
        add_tags(&l, p->tags);
        add_fields(&l, p);
        write_line(&l, s, "batch point", p->time_ns);
    }
    kap_emit_batch_point(n, p);
}

static void end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in)
{
    log_batch(n, state, b, "end batch");
    kap_emit_end(n, b);
}

static void init(void *config)
{
    ((struct config *)config)->level = KAP_STR("INFO");
}

static const struct kap_prop props[] = {
    KAP_PROP_AT(STRING, struct config, level, "level", NULL, "DEBUG, INFO, WARN or ERROR; anything else acts as INFO."),
    KAP_PROP_AT(STRING, struct config, prefix, "prefix", NULL, "Text that is added to each line."),
    { 0 },
};

static const struct kap_node_run run = {
    .state_size = sizeof(struct state),
    .open = open_log,
    .point = point,
    .begin = begin,
    .batch_point = batch_point,
    .end = end,
};

const struct kap_node_type kap_node_log = {
    .name = "log",
    .kind = "log",
    .doc = "Writes all data that pass to the log of the server.",
    .signature = "()",
    .wants = KAP_EDGE_ANY,
    .provides = KAP_EDGE_SAME,
    .config_size = sizeof(struct config),
    .init = init,
    .props = props,
    .run = &run,
};
