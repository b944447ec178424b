/* Lambda expressions: compiled once, specialised on the types they see, evaluated without allocation.
 * An instance belongs to one node of one task shard (specialisation is cached in it). State of the stateful functions
 * (sigma, count, spread) lives outside, one kap_lambda_state per group.
 * Ownership: instances and states are owned by the caller. Threads: one at a time. */
#ifndef KAP_LAMBDA_LAMBDA_H
#define KAP_LAMBDA_LAMBDA_H

#include "base/clock.h"
#include "base/error.h"
#include "data/point.h"
#include "lambda/expr.h"

struct kap_lambda;
struct kap_lambda_state;

/* What an evaluation sees. Names are looked up in fields and tags; one that is in both is an error; "time" is
 * time_ns. */
struct kap_lambda_env {
    const struct kap_field *fields;
    size_t nfields;
    const struct kap_tags *tags;
    int64_t time_ns;
    const struct kap_clock *clock; /* for now(); NULL: it is always the epoch */
    struct kap_arena *scratch;    /* results that are strings live here */
    const void *ctx;              /* passed to extra functions */
};

/* Functions beside the built-in ones, e.g. changed(), level(), name() of handler match expressions. They take no
 * arguments. */
struct kap_lambda_extra {
    const char *name;
    enum kap_type type;
    struct kap_value (*fn)(const void *ctx);
};

/* Compiles. Fails with the reference's text for what it finds at compile time (operators on constants and on typed
 * results). `extra` ends with a NULL name; may be NULL. The tree is copied as far as needed. */
enum kap_status kap_lambda_new(const struct kap_expr *e, const struct kap_lambda_extra *extra, struct kap_lambda **ret,
                               struct kap_error *err);
void kap_lambda_free(struct kap_lambda *l);
const struct kap_expr *kap_lambda_expr(const struct kap_lambda *l);

bool kap_lambda_stateful(const struct kap_lambda *l);
struct kap_lambda_state *kap_lambda_state_new(const struct kap_lambda *l); /* NULL when not stateful: that is fine */
void kap_lambda_state_free(struct kap_lambda_state *s);
void kap_lambda_state_reset(struct kap_lambda_state *s);
/* Versioned, self-describing snapshot; restore refuses one of another expression. */
void kap_lambda_state_save(const struct kap_lambda_state *s, struct kap_buf *out);
enum kap_status kap_lambda_state_load(struct kap_lambda_state *s, struct kap_str data, struct kap_error *err);

/* The distinct names referenced, for column pruning and routing; borrowed from l. */
size_t kap_lambda_refs(const struct kap_lambda *l, const struct kap_sym *const **ret);
/* True when the result depends on nothing but the referenced names (no now(), no state, no time). */
bool kap_lambda_pure(const struct kap_lambda *l);

enum kap_status kap_lambda_eval(struct kap_lambda *l, struct kap_lambda_state *s, const struct kap_lambda_env *env,
                                struct kap_value *ret, struct kap_error *err);
/* Fails with the reference's text when the result is not boolean. */
enum kap_status kap_lambda_eval_bool(struct kap_lambda *l, struct kap_lambda_state *s,
                                     const struct kap_lambda_env *env, bool *ret, struct kap_error *err);
/* The env of a point; the caller sets clock and scratch. */
static inline struct kap_lambda_env kap_lambda_env_point(const struct kap_point *p)
{
    return (struct kap_lambda_env){ .fields = p->fields, .nfields = p->nfields, .tags = p->tags, .time_ns = p->time_ns };
}

#endif
