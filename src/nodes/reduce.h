/* The InfluxQL functions: what they have in common. On batches a function reduces each batch; on a stream it reduces
 * the points of one identical time and emits when the time changes. Transformations (difference, elapsed, ..) give
 * one result per point instead.
 *
 * A function is a struct kap_reducer in a file of its own: an accumulator that is reset, fed and read (zeroed at first). The first usable
 * value fixes the type; values of another type are errors. Selectors (min, first, percentile, ..) keep the chosen
 * point's other fields and tags.
 * Threads: the shard's worker. */
#ifndef KAP_NODES_REDUCE_H
#define KAP_NODES_REDUCE_H

#include "nodes/ring.h"
#include "nodes/snapshot.h"
#include "nodes/util.h"

struct kap_reducer;

struct kap_reduce_config {
    const struct kap_reducer *reducer;
    struct kap_str field, as;
    bool point_times;
    int64_t n;                          /* top, bottom, movingAverage: number of points */
    double percent;                     /* percentile */
    int64_t unit_ns;                    /* elapsed */
    int64_t horizon, season, interval_ns; /* holtWinters */
    bool with_fit;
    struct kap_strings fields_and_tags; /* top, bottom */
};

struct kap_reduced {
    struct kap_value v;
    bool timed;                  /* the result has a time of its own */
    int64_t time_ns;
    const struct kap_tags *tags; /* borrowed; NULL: the group's */
};

/* Results of one emission; kept by the node and used again. */
struct kap_results {
    struct kap_reduced *v;
    size_t n, cap;
};
void kap_results_add(struct kap_results *r, struct kap_reduced v);

enum kap_reduce_choice { KAP_REDUCE_PASS, KAP_REDUCE_CHOOSE }; /* CHOOSE: a selector takes this point */

#define KAP_ACCEPT(type) (1U << (type))
#define KAP_ACCEPT_NUMBERS (KAP_ACCEPT(KAP_FLOAT) | KAP_ACCEPT(KAP_INT))
#define KAP_ACCEPT_ALL (KAP_ACCEPT_NUMBERS | KAP_ACCEPT(KAP_STRING) | KAP_ACCEPT(KAP_BOOL))

struct kap_reducer {
    const char *name;
    unsigned accepts;
    bool empty_ok;      /* has a result over no values */
    bool selector, transform;
    bool reads_tags;    /* results carry the tags of points */
    bool keeps_points;  /* a selector whose choice is only known at the end: points are kept in a ring, choose() tells */
    bool point_times;   /* results always have their own times */
    void (*reset)(void *acc, const struct kap_reduce_config *c, enum kap_type type);
    enum kap_reduce_choice (*add)(void *acc, const struct kap_reduce_config *c, struct kap_value v,
                                  const struct kap_point *p);
    void (*emit)(void *acc, const struct kap_reduce_config *c, struct kap_results *out);
    bool (*choose)(void *acc, const struct kap_reduce_config *c, size_t *ret); /* index of the chosen point */
    void (*done)(void *acc);                                                   /* frees what the accumulator holds */
    void (*save)(const void *acc, struct kap_snap *w);
    void (*load)(void *acc, struct kap_snap *r);
};

/* The node around a reducer; a group's state is the head below and the accumulator. */
struct kap_reduce_state {
    const struct kap_reduce_config *cfg;
    const struct kap_reducer *r;
    const struct kap_sym *field, *as;
    struct kap_columns keep;
    struct kap_results results;
    struct kap_field_buf fields;
};
struct kap_reduce_group {
    bool started;
    const struct kap_sym *name;
    int64_t time_ns;
    enum kap_type type;          /* MISSING: no usable value yet */
    size_t size;                 /* of the batch */
    struct kap_field_buf chosen; /* of a selector, with its strings */
    struct kap_buf text;
    const struct kap_tags *chosen_tags;
    int64_t chosen_ns;
    struct kap_ring ring;
    _Alignas(16) char acc[];
};

enum kap_status kap_reduce_open(struct kap_node *n, void *state, struct kap_error *err);
void kap_reduce_close(struct kap_node *n, void *state);
void kap_reduce_group_close(struct kap_node *n, void *state, void *gs, struct kap_group *g);
void kap_reduce_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in);
void kap_reduce_begin(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in);
void kap_reduce_batch_point(struct kap_node *n, void *state, void *gs, const struct kap_point *p, int in);
void kap_reduce_end(struct kap_node *n, void *state, void *gs, const struct kap_batch_begin *b, int in);
void kap_reduce_save(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_buf *out);
enum kap_status kap_reduce_load(struct kap_node *n, void *state, void *gs, struct kap_group *g, struct kap_str data,
                                struct kap_error *err);
void kap_reduce_needs(const struct kap_graph_node *node, struct kap_columns *c);

void kap_reduce_init(void *config, const struct kap_reducer *r);
/* (field string) */
enum kap_status kap_reduce_args(void *config, struct kap_graph_node *node, struct kap_arena *arena,
                                const struct kap_arg *args, size_t nargs, struct kap_error *err);
/* The number of arguments must be `n`; the first is the field. */
enum kap_status kap_reduce_args_n(struct kap_reduce_config *c, struct kap_arena *arena, const struct kap_arg *args,
                                  size_t nargs, size_t n, struct kap_error *err);
extern const struct kap_prop kap_reduce_props[];

#define KAP_REDUCE_RUN(acc)                                                                                      \
    {                                                                                                            \
        .state_size = sizeof(struct kap_reduce_state),                                                           \
        .group_size = sizeof(struct kap_reduce_group) + sizeof(acc),                                             \
        .open = kap_reduce_open,                                                                                 \
        .close = kap_reduce_close,                                                                               \
        .group_close = kap_reduce_group_close,                                                                   \
        .point = kap_reduce_point,                                                                               \
        .begin = kap_reduce_begin,                                                                               \
        .batch_point = kap_reduce_batch_point,                                                                   \
        .end = kap_reduce_end,                                                                                   \
        .save = kap_reduce_save,                                                                                 \
        .load = kap_reduce_load,                                                                                 \
        .needs = kap_reduce_needs,                                                                               \
    }

/* Defines kap_node_IDENT from `reducer` and `struct acc` of the file. */
#define KAP_REDUCE_NODE(ident, method, edge, sig, args_fn, text)                                                 \
    static void init_##ident(void *config)                                                                       \
    {                                                                                                            \
        kap_reduce_init(config, &reducer);                                                                       \
    }                                                                                                            \
    static const struct kap_node_run run_##ident = KAP_REDUCE_RUN(struct acc);                                   \
    const struct kap_node_type kap_node_##ident = {                                                              \
        .name = (method),                                                                                        \
        .kind = (method),                                                                                        \
        .shown = "InfluxQLNode",                                                                                 \
        .doc = (text),                                                                                           \
        .signature = (sig),                                                                                      \
        .wants = KAP_EDGE_ANY,                                                                                   \
        .provides = (edge),                                                                                      \
        .config_size = sizeof(struct kap_reduce_config),                                                         \
        .init = init_##ident,                                                                                    \
        .args = (args_fn),                                                                                       \
        .props = kap_reduce_props,                                                                               \
        .run = &run_##ident,                                                                                     \
    }

/* Values with their times, for functions that must see all of them. */
struct kap_sample {
    int64_t time_ns;
    union {
        double f;
        int64_t i;
    };
};
struct kap_samples {
    struct kap_sample *v;
    size_t n, cap;
    enum kap_type type;
};
void kap_samples_reset(void *samples, const struct kap_reduce_config *c, enum kap_type type);
enum kap_reduce_choice kap_samples_add(void *samples, const struct kap_reduce_config *c, struct kap_value v,
                                       const struct kap_point *p);
void kap_samples_done(void *samples);
void kap_samples_save(const void *samples, struct kap_snap *w);
void kap_samples_load(void *samples, struct kap_snap *r);
double kap_sample_f(const struct kap_samples *s, size_t i);
/* By value; equal values stay in the order of arrival. */
void kap_samples_sort(struct kap_samples *s);

/* The value as a double, for functions whose result is a float. */
static inline double kap_number(struct kap_value v)
{
    return v.type == KAP_INT ? (double)v.i : v.f;
}
/* Go's integers wrap around. */
static inline int64_t kap_add_wrap(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static inline int64_t kap_sub_wrap(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

#endif
