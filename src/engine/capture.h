/* A look at what a node emits, for tests, watches and recordings. */
#ifndef KAP_ENGINE_CAPTURE_H
#define KAP_ENGINE_CAPTURE_H

#include "nodes/node.h"

/* Called before the node's children are; messages are borrowed. Members may be NULL. */
struct kap_capture {
    void (*point)(void *ctx, const struct kap_point *p);
    void (*begin)(void *ctx, const struct kap_batch_begin *b);
    void (*batch_point)(void *ctx, const struct kap_point *p);
    void (*end)(void *ctx, const struct kap_batch_begin *b);
    void (*barrier)(void *ctx, const struct kap_barrier *b);
    void (*delete_group)(void *ctx, struct kap_group *g);
    void *ctx;
};

#endif
