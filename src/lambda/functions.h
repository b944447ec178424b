/* The functions of lambda expressions: one table gives names, signatures, implementation and documentation.
 * docs/lambda.md is generated from it. Threads: constants. */
#ifndef KAP_LAMBDA_FUNCTIONS_H
#define KAP_LAMBDA_FUNCTIONS_H

#include "base/error.h"
#include "data/value.h"

struct kap_run;

/* Computes *ret from arguments that match one of the signatures; false: *err says why not. */
typedef bool (*kap_lambda_call_fn)(struct kap_run *r, const struct kap_value *args, size_t nargs,
                                   struct kap_value *ret, struct kap_error *err);

enum kap_lambda_fn_flags {
    KAP_FN_STATE = 1,  /* keeps state per expression and group */
    KAP_FN_IMPURE = 2, /* depends on more than its arguments */
};

struct kap_lambda_fn {
    const char *name;
    const char *group;       /* heading in the documentation */
    /* Parted by spaces, "ARGUMENTS:RESULT", a letter for each type: f float, i int, s string, b boolean, t time,
     * d duration, r regex, m missing. */
    const char *signatures;
    const char *doc;
    kap_lambda_call_fn call; /* NULL: math */
    double (*math)(double);  /* for "f:f" */
    unsigned flags;
};

extern const struct kap_lambda_fn kap_lambda_fns[]; /* in order of the documentation; a NULL name ends it */

const struct kap_lambda_fn *kap_lambda_fn_find(struct kap_str name); /* NULL: none */
/* The result type for arguments of these types; -1: no signature fits. */
int kap_lambda_fn_result(const struct kap_lambda_fn *fn, const enum kap_type *args, size_t nargs);
/* "[(string,int,int)]" */
struct kap_buf;
void kap_lambda_fn_signatures(struct kap_buf *b, const struct kap_lambda_fn *fn);

#endif
