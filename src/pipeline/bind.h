/* Binding: a method call of a script against the descriptor tables. Sets properties of config structs, builds
 * nodes for chain methods, adds handlers to alert nodes. Every message is the reference implementation's
 * where it has a text of its own. Threads: one at a time for each graph. */
#ifndef KAP_PIPELINE_BIND_H
#define KAP_PIPELINE_BIND_H

#include "pipeline/graph.h"

/* What a method is called on: a node, or the latest handler given to it (.slack().channel('#x')). */
struct kap_bind_target {
    struct kap_graph_node *node;
    int handler; /* index into node->handlers; -1: the node itself */
};

struct kap_bind_call {
    enum kap_op op;             /* KAP_OP_PIPE, KAP_OP_DOT, KAP_OP_AT */
    struct kap_str name;
    const struct kap_arg *args;
    size_t nargs;
    int line, character;        /* for messages; line 0: leave the place out */
};

/* Calls. *ret is what the script goes on with. `hint` (may be NULL, at least 256 bytes) gets a suggestion or
 * "". */
enum kap_status kap_bind_call(struct kap_bind_target on, const struct kap_bind_call *call,
                              struct kap_bind_target *ret, char *hint, struct kap_error *err);

/* The property of that name; only the case of the first letter is free. NULL: none. */
const struct kap_prop *kap_bind_find(const struct kap_prop *props, struct kap_str name);
/* Sets one property. `shown` names the object in messages. */
enum kap_status kap_bind_set(void *config, struct kap_arena *arena, const struct kap_prop *prop,
                             const char *shown, const struct kap_arg *args, size_t nargs,
                             struct kap_error *err);
/* True when names are the same but for the case of their first letter. */
bool kap_bind_name_is(struct kap_str name, const char *method);

#endif
