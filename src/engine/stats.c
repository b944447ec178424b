#include "engine/stats.h"

#include "base/mem.h"

#include <stdlib.h>

void kap_task_stats_done(struct kap_task_stats *st)
{
    for (size_t i = 0; i < st->n; i++) {
        kap_free(st->nodes[i].counters);
        kap_free(st->nodes[i].edges);
    }
    kap_free(st->nodes);
    *st = (struct kap_task_stats){ 0 };
}

struct shown {
    const char *name;
    int64_t value;
};

static int shown_cmp(const void *a, const void *b)
{
    return strcmp(((const struct shown *)a)->name, ((const struct shown *)b)->name);
}

static void node_json(const struct kap_node_stats *n, struct kap_json *j)
{
    struct shown *v = KAP_ARRAY(struct shown, 5 + n->ncounters);
    size_t nv = 0;
    v[nv++] = (struct shown){ "avg_exec_time_ns", n->avg_exec_time_ns };
    v[nv++] = (struct shown){ "collected", n->collected };
    v[nv++] = (struct shown){ "emitted", n->emitted };
    v[nv++] = (struct shown){ "errors", n->errors };
    v[nv++] = (struct shown){ "working_cardinality", n->working_cardinality };
    for (size_t i = 0; i < n->ncounters; i++)
        v[nv++] = (struct shown){ n->counter_names[i], n->counters[i] };
    qsort(v, nv, sizeof *v, shown_cmp);
    kap_json_object(j);
    for (size_t i = 0; i < nv; i++) {
        kap_json_key(j, v[i].name);
        kap_json_i64(j, v[i].value);
    }
    kap_json_object_end(j);
    kap_free(v);
}

static int node_cmp(const void *a, const void *b)
{
    const struct kap_node_stats *const *x = (const struct kap_node_stats *const *)a;
    const struct kap_node_stats *const *y = (const struct kap_node_stats *const *)b;
    return strcmp((*x)->node->name, (*y)->node->name);
}

void kap_task_stats_json(const struct kap_task_stats *st, struct kap_json *j)
{
    const struct kap_node_stats **by_name = KAP_ARRAY(const struct kap_node_stats *, st->n + 1);
    for (size_t i = 0; i < st->n; i++)
        by_name[i] = &st->nodes[i];
    qsort((void *)by_name, st->n, sizeof *by_name, node_cmp);
    kap_json_object(j);
    kap_json_key(j, "task-stats");
    kap_json_object(j);
    kap_json_key(j, "throughput");
    kap_json_f64(j, st->throughput);
    kap_json_object_end(j);
    kap_json_key(j, "node-stats");
    kap_json_object(j);
    for (size_t i = 0; i < st->n; i++) {
        kap_json_key(j, by_name[i]->node->name);
        node_json(by_name[i], j);
    }
    kap_json_object_end(j);
    kap_json_object_end(j);
    kap_free((void *)by_name);
}
