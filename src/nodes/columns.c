#include "nodes/columns.h"
#include "base/mem.h"
#include "base/sym.h"
#include "nodes/node.h"

void kap_columns_done(struct kap_columns *c)
{
    kap_free(c->names);
    *c = (struct kap_columns){ 0 };
}

bool kap_columns_has(const struct kap_columns *c, const struct kap_sym *name)
{
    if (c->all)
        return true;
    for (size_t i = 0; i < c->n; i++)
        if (c->names[i] == name)
            return true;
    return false;
}

void kap_columns_add(struct kap_columns *c, const struct kap_sym *name)
{
    if (kap_columns_has(c, name))
        return;
    KAP_GROW(c->names, c->cap, c->n + 1);
    c->names[c->n++] = name;
}

void kap_columns_expr(struct kap_columns *c, const struct kap_expr *e)
{
    if (!e)
        return;
    if (e->kind == KAP_EXPR_REFERENCE) {
        kap_columns_add(c, kap_sym(e->name));
        c->tags = true;
    }
    kap_columns_expr(c, e->left);
    kap_columns_expr(c, e->right);
    for (size_t i = 0; i < e->nargs; i++)
        kap_columns_expr(c, e->args[i]);
}

void kap_columns_below(const struct kap_graph_node *node, struct kap_columns *c)
{
    for (size_t i = 0; i < node->nchildren; i++) {
        const struct kap_graph_node *child = node->children[i];
        if (child->type->run && child->type->run->needs)
            child->type->run->needs(child, c);
        else
            c->all = c->tags = true;
    }
}

void kap_columns_pass(const struct kap_graph_node *node, struct kap_columns *c, const struct kap_sym *made)
{
    struct kap_columns below = { 0 };
    kap_columns_below(node, &below);
    c->all |= below.all;
    c->tags |= below.tags;
    for (size_t i = 0; i < below.n; i++)
        if (below.names[i] != made)
            kap_columns_add(c, below.names[i]);
    kap_columns_done(&below);
}
