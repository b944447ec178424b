/* Which columns of a stream are read further down, so that a window keeps no others.
 * A node type says what it reads through kap_node_run.needs; one that has no such function reads everything. */
#ifndef KAP_NODES_COLUMNS_H
#define KAP_NODES_COLUMNS_H

#include "lambda/expr.h"
#include "pipeline/graph.h"

struct kap_columns {
    bool all;                       /* every field, and tags */
    bool tags;                      /* tags outside the group are read */
    const struct kap_sym **names;   /* fields that are read */
    size_t n, cap;
};

void kap_columns_done(struct kap_columns *c);
void kap_columns_add(struct kap_columns *c, const struct kap_sym *name);
bool kap_columns_has(const struct kap_columns *c, const struct kap_sym *name);
/* All names in an expression; they may be fields or tags. */
void kap_columns_expr(struct kap_columns *c, const struct kap_expr *e);
/* What the children of `node` read. */
void kap_columns_below(const struct kap_graph_node *node, struct kap_columns *c);
/* What is read below, of a node that passes points on as they are, or with a field named `made` set anew. */
void kap_columns_pass(const struct kap_graph_node *node, struct kap_columns *c, const struct kap_sym *made);

#endif
