#include "pipeline/graph.h"

#include "pipeline/handler.h"
#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>

/* More nodes than any task has; keeps a script within its size limit from making millions. */
#define GRAPH_NODES_MAX 10000

struct kap_graph_owned {
    struct kap_graph_owned *next;
    void *p;
    void (*free_fn)(void *p);
};

struct kap_graph *kap_graph_new(enum kap_task_type type)
{
    struct kap_graph *g = KAP_NEW(struct kap_graph);
    g->type = type;
    g->arena = kap_arena_new();
    g->refs = 1;
    return g;
}

struct kap_graph *kap_graph_ref(struct kap_graph *g)
{
    __atomic_fetch_add(&g->refs, 1, __ATOMIC_RELAXED);
    return g;
}

void kap_graph_unref(struct kap_graph *g)
{
    if (!g || __atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (struct kap_graph_owned *o = g->owned, *next; o; o = next) {
        next = o->next;
        o->free_fn(o->p);
        kap_free(o);
    }
    for (size_t i = 0; i < g->n; i++) {
        kap_free(g->nodes[i]->parents);
        kap_free(g->nodes[i]->children);
        kap_free(g->nodes[i]->handlers);
    }
    kap_free(g->nodes);
    kap_arena_free(g->arena);
    kap_free(g);
}

void kap_graph_own(struct kap_graph *g, void *p, void (*free_fn)(void *p))
{
    struct kap_graph_owned *o = KAP_NEW(struct kap_graph_owned);
    *o = (struct kap_graph_owned){ .next = g->owned, .p = p, .free_fn = free_fn };
    g->owned = o;
}

void kap_graph_shown(struct kap_buf *b, const struct kap_node_type *type)
{
    kap_buf_adds(b, "*pipeline.");
    if (type->shown) {
        kap_buf_adds(b, type->shown);
        return;
    }
    const char *name = type->name ? type->name : type->kind;
    kap_buf_addc(b, (char)toupper((unsigned char)name[0]));
    kap_buf_adds(b, name + 1);
    kap_buf_adds(b, "Node");
}

static void name_node(struct kap_graph_node *n)
{
    n->id = n->graph->next_id++;
    n->name = kap_arena_printf(n->graph->arena, "%s%d", n->type->kind, n->id);
}

/* Arrays of the graph grow by doubling; the count tells the capacity. */
static void append_node(struct kap_graph_node ***list, size_t *n, struct kap_graph_node *node)
{
    if ((*n & (*n - 1)) == 0)
        *list = kap_realloc(*list, (*n ? *n * 2 : 1) * sizeof(struct kap_graph_node *));
    (*list)[(*n)++] = node;
}

static const char *edge_name(enum kap_edge e)
{
    return e == KAP_EDGE_STREAM ? "stream" : e == KAP_EDGE_BATCH ? "batch" : "noedge";
}

static enum kap_status check_edge(const struct kap_graph_node *parent, const struct kap_node_type *type,
                                  struct kap_error *err)
{
    if (type->wants == KAP_EDGE_ANY || type->wants == KAP_EDGE_SAME || type->wants == parent->edge)
        return KAP_OK;
    const char *name = type->name ? type->name : type->kind;
    return kap_fail(err, KAP_EINVAL, "cannot %c%s %s edge", toupper((unsigned char)name[0]), name + 1,
                    edge_name(parent->edge));
}

enum kap_status kap_graph_add(struct kap_graph *g, struct kap_graph_node *parent,
                              const struct kap_node_type *type, struct kap_graph_node **ret,
                              struct kap_error *err)
{
    if (g->n >= GRAPH_NODES_MAX)
        return kap_fail(err, KAP_ELIMIT, "more than %d nodes in one task", GRAPH_NODES_MAX);
    if (parent)
        KAP_TRY(check_edge(parent, type, err));
    struct kap_graph_node *n = KAP_ARENA_NEW(g->arena, struct kap_graph_node);
    n->type = type;
    n->graph = g;
    n->config = kap_arena_alloc(g->arena, type->config_size ? type->config_size : 1);
    if (type->init)
        type->init(n->config);
    n->edge = type->provides;
    if (type->provides == KAP_EDGE_SAME || type->provides == KAP_EDGE_ANY)
        n->edge = parent ? parent->edge : KAP_EDGE_NONE;
    n->index = g->n;
    append_node(&g->nodes, &g->n, n);
    if (parent)
        KAP_TRY(kap_graph_link(parent, n, err));
    else
        name_node(n);
    *ret = n;
    return KAP_OK;
}

enum kap_status kap_graph_link(struct kap_graph_node *parent, struct kap_graph_node *child,
                               struct kap_error *err)
{
    if (child->nchildren) /* graphs grow downwards, so there are no cycles */
        return kap_fail(err, KAP_ESTATE, "node %s has children, it cannot get another parent", child->name);
    append_node(&parent->children, &parent->nchildren, child);
    append_node(&child->parents, &child->nparents, parent);
    name_node(child);
    return KAP_OK;
}

struct kap_graph_handler *kap_graph_add_handler(struct kap_graph_node *node,
                                                const struct kap_handler_type *type)
{
    struct kap_arena *a = node->graph->arena;
    if ((node->nhandlers & (node->nhandlers - 1)) == 0)
        node->handlers = kap_realloc(node->handlers, (node->nhandlers ? node->nhandlers * 2 : 1) *
                                                         sizeof(struct kap_graph_handler));
    struct kap_graph_handler *h = &node->handlers[node->nhandlers++];
    h->type = type;
    h->options = kap_arena_alloc(a, type->options_size ? type->options_size : 1);
    if (type->init)
        type->init(h->options);
    return h;
}

/* Depth-first, iterative: chains may be thousands of nodes long. Marks are kept beside the graph, which is
 * read-only. */
struct visit {
    const struct kap_graph_node *node;
    size_t next_child;
};

static size_t visit(const struct kap_graph_node *root, bool *seen, struct visit *stack,
                    const struct kap_graph_node **out, size_t nout)
{
    size_t depth = 0;
    stack[depth++] = (struct visit){ root, 0 };
    seen[root->index] = true;
    while (depth > 0) {
        struct visit *v = &stack[depth - 1];
        if (v->next_child == v->node->nchildren) {
            out[nout++] = v->node;
            depth--;
            continue;
        }
        const struct kap_graph_node *child = v->node->children[v->next_child++];
        if (seen[child->index])
            continue;
        seen[child->index] = true;
        stack[depth++] = (struct visit){ child, 0 };
    }
    return nout;
}

const struct kap_graph_node **kap_graph_sorted(const struct kap_graph *g)
{
    const struct kap_graph_node **out = KAP_ARRAY(const struct kap_graph_node *, g->n + 1);
    KAP_AUTO_FREE bool *seen = KAP_ARRAY(bool, g->n + 1);
    KAP_AUTO_FREE struct visit *stack = KAP_ARRAY(struct visit, g->n + 1);
    size_t n = 0;
    for (size_t i = g->n; i-- > 0;) { /* last source first, then reversed as a whole */
        if (g->nodes[i]->nparents == 0)
            n = visit(g->nodes[i], seen, stack, out, n);
    }
    for (size_t i = 0; i < n / 2; i++) {
        const struct kap_graph_node *swap = out[i];
        out[i] = out[n - 1 - i];
        out[n - 1 - i] = swap;
    }
    return out;
}

enum kap_status kap_graph_check(const struct kap_graph *g, struct kap_error *err)
{
    KAP_AUTO_FREE const struct kap_graph_node **sorted = kap_graph_sorted(g);
    for (size_t i = 0; i < g->n; i++) {
        if (sorted[i]->type->check)
            KAP_TRY(sorted[i]->type->check(sorted[i], err));
    }
    return KAP_OK;
}

const struct kap_node_type *kap_registry_kind(const struct kap_registry *r, const char *kind)
{
    for (const struct kap_node_type *const *t = r->nodes; *t; t++) {
        if (strcmp((*t)->kind, kind) == 0)
            return *t;
    }
    return NULL;
}
