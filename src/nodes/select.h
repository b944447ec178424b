/* The chosen value of first and last, with a copy of its text. */
#ifndef KAP_NODES_SELECT_H
#define KAP_NODES_SELECT_H

#include "nodes/reduce.h"

struct kap_select {
    bool has;
    int64_t time_ns;
    struct kap_value v;
    struct kap_buf text;
};

void kap_select_reset(void *acc, const struct kap_reduce_config *c, enum kap_type type);
void kap_select_done(void *acc);
void kap_select_save(const void *acc, struct kap_snap *w);
void kap_select_load(void *acc, struct kap_snap *r);
enum kap_reduce_choice kap_select_take(struct kap_select *a, const struct kap_value *v, int64_t time_ns);
/* > 0: v is larger than the chosen value. */
int kap_select_cmp(const struct kap_select *a, const struct kap_value *v);

#endif
