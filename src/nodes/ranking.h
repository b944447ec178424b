/* top and bottom: the n points with the largest or smallest values, in the order of time. */
#ifndef KAP_NODES_RANKING_H
#define KAP_NODES_RANKING_H

#include "nodes/reduce.h"

struct kap_ranked {
    struct kap_value v;
    int64_t time_ns;
    uint64_t seq;                /* order of arrival */
    const struct kap_tags *tags; /* a reference */
};

struct kap_ranking {
    struct kap_ranked *v;        /* a heap with the worst on top */
    size_t n, cap;
    uint64_t seq;
};

void kap_ranking_reset(void *acc, const struct kap_reduce_config *c, enum kap_type type);
void kap_ranking_done(void *acc);
void kap_ranking_save(const void *acc, struct kap_snap *w);
void kap_ranking_load(void *acc, struct kap_snap *r);
void kap_ranking_emit(void *acc, const struct kap_reduce_config *c, struct kap_results *out);
/* sign: 1 for top, -1 for bottom. */
enum kap_reduce_choice kap_ranking_add(struct kap_ranking *r, const struct kap_reduce_config *c, struct kap_value v,
                                       const struct kap_point *p, int sign);
/* (n int, field string, fields and tags ...string) */
enum kap_status kap_ranking_args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                                 const struct kap_arg *args, size_t nargs, struct kap_error *err);

#endif
