/* Small things that several nodes share: changing the fields and tags of a point that passes through, times rounded
 * as Go rounds them, the grouping that from() and groupBy() ask for, lambdas of a node.
 * Threads: the shard's worker. */
#ifndef KAP_NODES_UTIL_H
#define KAP_NODES_UTIL_H

#include "base/error.h"
#include "lambda/lambda.h"
#include "nodes/node.h"

/* time.Time.Truncate and Round: multiples of d counted from 0001-01-01, halves go to the later time. d <= 0: t itself. */
int64_t kap_time_truncate(int64_t t_ns, int64_t d_ns);
int64_t kap_time_round(int64_t t_ns, int64_t d_ns);

/* A growing list of fields that is filled anew for each point: what a node changes without allocating per point.
 * Ownership: embedded by value; values are borrowed from wherever they came. */
struct kap_field_buf {
    struct kap_field *v;
    uint32_t n, cap;
};
void kap_field_buf_done(struct kap_field_buf *b);
void kap_field_buf_copy(struct kap_field_buf *b, const struct kap_field *v, uint32_t n); /* replaces what is there */
void kap_field_buf_set(struct kap_field_buf *b, const struct kap_sym *key, struct kap_value v); /* replaces or appends */
void kap_field_buf_add(struct kap_field_buf *b, const struct kap_sym *key, struct kap_value v); /* appends: a new key */
bool kap_field_buf_del(struct kap_field_buf *b, const struct kap_sym *key);
const struct kap_value *kap_field_buf_get(const struct kap_field_buf *b, const struct kap_sym *key);
/* p with the fields of b. */
static inline struct kap_point kap_point_with(const struct kap_point *p, const struct kap_field_buf *b)
{
    struct kap_point q = *p;
    q.fields = b->v;
    q.nfields = b->n;
    return q;
}

/* The same for tags. kap_tag_buf_tags() makes a fresh set (owned). */
struct kap_tag_buf {
    struct kap_tag *v;
    uint32_t n, cap;
};
void kap_tag_buf_done(struct kap_tag_buf *b);
void kap_tag_buf_copy(struct kap_tag_buf *b, const struct kap_tags *t);
void kap_tag_buf_set(struct kap_tag_buf *b, const struct kap_sym *key, struct kap_str v);
bool kap_tag_buf_del(struct kap_tag_buf *b, const struct kap_sym *key);
const struct kap_tags *kap_tag_buf_tags(const struct kap_tag_buf *b);

/* Symbols of a list of strings, in the arena. */
const struct kap_sym **kap_syms(struct kap_arena *a, struct kap_strings names);
bool kap_syms_has(const struct kap_sym *const *v, size_t n, const struct kap_sym *key);

/* Names with values in the order they were written, as .field('x', 1.0) and .tag('k', 'v') give them. */
struct kap_keyed_value {
    const struct kap_sym *key;
    struct kap_value v;
};
struct kap_keyed_values {
    struct kap_keyed_value *v;
    size_t n;
};
/* Sets `name` to `v`, text copied into the arena; an earlier value of the name is replaced. */
void kap_keyed_set(struct kap_keyed_values *p, struct kap_arena *arena, struct kap_str name, struct kap_value v);
/* (name string, value string) of a property. */
enum kap_status kap_keyed_set_string(struct kap_keyed_values *p, struct kap_arena *arena, const struct kap_arg *args,
                                     size_t nargs, const char *method, struct kap_error *err);
/* (name string, value int, float, bool or string) of a property. */
enum kap_status kap_keyed_set_any(struct kap_keyed_values *p, struct kap_arena *arena, const struct kap_arg *args,
                                  size_t nargs, const char *method, struct kap_error *err);

/* What a groupBy asks for: tag names or all tags. Config part, as written in the script. */
struct kap_group_by {
    struct kap_strings names;
    bool star, by_name;
    struct kap_strings exclude;
};
/* Arguments of groupBy(tags...): strings and *. */
enum kap_status kap_group_by_set(struct kap_group_by *g, struct kap_arena *arena, const struct kap_arg *args,
                                 size_t nargs, struct kap_error *err);
enum kap_status kap_group_by_check(const struct kap_group_by *g, struct kap_error *err);

/* Its run time: dimensions made ready, and for * those of each point. */
struct kap_grouper {
    struct kap_dims dims;              /* named dimensions, sorted; by_name */
    const struct kap_sym **exclude;
    uint32_t nexclude;
    bool star;
    const struct kap_sym **scratch;    /* names of one point, for * */
    uint32_t cap;
};
void kap_grouper_open(struct kap_grouper *g, const struct kap_group_by *by);
void kap_grouper_close(struct kap_grouper *g);
/* The dimensions for a point with these tags; borrowed until the next call. */
struct kap_dims kap_grouper_dims(struct kap_grouper *g, const struct kap_tags *tags);

/* The group of a point whose tags were changed: looked up again unless its tags are still those of `g`. A reference. */
struct kap_group *kap_regroup(struct kap_node *n, const struct kap_group *g, const struct kap_sym *name,
                              const struct kap_tags *tags, bool empty_missing);
/* A batch's group after its tags became `tags`: the dimensions are all of them. A reference. */
struct kap_group *kap_batch_regroup(struct kap_node *n, const struct kap_group *g, const struct kap_sym *name,
                                    const struct kap_tags *tags);

/* Evaluates a predicate on a point. */
enum kap_status kap_node_predicate(struct kap_node *n, struct kap_lambda *l, struct kap_lambda_state *s,
                                   const struct kap_point *p, bool *ret, struct kap_error *err);
/* KAP_STRINGS from the arguments of a variadic method, copied into the arena. */
enum kap_status kap_args_strings(struct kap_strings *out, struct kap_arena *arena, const struct kap_arg *args,
                                 size_t nargs, const char *method, struct kap_error *err);
/* One argument of the method must be of this type. */
enum kap_status kap_arg_check(const struct kap_arg *args, size_t nargs, size_t i, enum kap_type type,
                              const char *method, struct kap_error *err);
/* Go's spelling of a value's type: "float64", "int64", "string", "bool", "<nil>". */
const char *kap_go_type(enum kap_type t);

/* qsort that keeps equal items in their order, so that results do not depend on the C library. */
void kap_sort_stable(void *v, size_t n, size_t size, int (*cmp)(const void *a, const void *b));

/* The header line "Authorization: Basic .."; owned. */
char *kap_basic_auth(struct kap_str user, struct kap_str password);

/* For nodes that keep nothing per group but are counted by group. */
#define KAP_GROUPED_WITHOUT_STATE 1

#endif
