/* TICKscript: parsing, formatting, template variables, and evaluation into a pipeline graph.
 *
 * A script is parsed once (kap_tick_parse) and then formatted, asked for its task type, dbrp statements and
 * variables, or evaluated, as often as wanted. Messages are the reference implementation's, word for word,
 * without the prefix "invalid TICKscript: " that the API puts in front; what helps beyond them is in struct
 * kap_tick_hint. Limits: KAP_TICK_*; passing one is an error (KAP_ELIMIT). Ownership: scripts are shared,
 * counted. Threads: parsed scripts are read-only, any thread may use them. */
#ifndef KAP_TICK_TICK_H
#define KAP_TICK_TICK_H

#include "base/json.h"
#include "pipeline/graph.h"

#include <jansson.h>

#define KAP_TICK_SCRIPT_BYTES (1024 * 1024)
#define KAP_TICK_NESTING 200     /* parentheses and calls in each other */
#define KAP_TICK_DEPTH 2000      /* of an expression tree: operators in a row count */
#define KAP_TICK_LAMBDA_NODES 100000 /* of a lambda with all its vars put in */

struct kap_tick_script;

/* Parses. Failures are "parser: unexpected ) line 2 char 12 in "..". expected: .." */
enum kap_status kap_tick_parse(struct kap_str text, struct kap_tick_script **ret, struct kap_error *err);
struct kap_tick_script *kap_tick_script_ref(struct kap_tick_script *s);
void kap_tick_script_unref(struct kap_tick_script *s); /* NULL is fine */

/* Canonical layout. Formatting what this writes gives the same text again. */
void kap_tick_format(const struct kap_tick_script *s, struct kap_buf *out);

/* The type that the script's chains start from; KAP_TASK_INVALID: neither, or both. */
enum kap_task_type kap_tick_task_type(const struct kap_tick_script *s);
/* The dbrp statements, in order; borrowed from s. */
size_t kap_tick_dbrps(const struct kap_tick_script *s, const struct kap_dbrp **ret);

/* One expression as after "lambda:", e.g. a handler's match. Owned by *ret; the compiler copies what it
 * needs. */
struct kap_tick_lambda;
enum kap_status kap_tick_lambda_parse(struct kap_str text, struct kap_tick_lambda **ret,
                                      struct kap_error *err);
void kap_tick_lambda_free(struct kap_tick_lambda *l); /* NULL is fine */
const struct kap_expr *kap_tick_lambda_expr(const struct kap_tick_lambda *l);

/* ---- variables ---- */

enum kap_var_type {
    KAP_VAR_BOOL, KAP_VAR_INT, KAP_VAR_FLOAT, KAP_VAR_STRING, KAP_VAR_REGEX, KAP_VAR_DURATION, KAP_VAR_LAMBDA,
    KAP_VAR_LIST, KAP_VAR_STAR,
};

struct kap_tick_var {
    struct kap_str name, description;
    enum kap_var_type type;
    bool has_value;                     /* false: declared with a type only */
    union {
        bool b;
        int64_t i;                      /* INT; DURATION in ns */
        double f;
        struct kap_str s;               /* STRING; pattern of REGEX; text of LAMBDA */
        struct {
            struct kap_tick_var *v;     /* names are empty */
            size_t n;
        } list;
    };
};

struct kap_tick_vars {                  /* plain data in an arena of its own */
    struct kap_tick_var *v;             /* in order of name */
    size_t n;
    struct kap_arena *arena;
};

void kap_tick_vars_done(struct kap_tick_vars *v); /* frees what it holds, not the struct */
/* The one with that name, or NULL. */
const struct kap_tick_var *kap_tick_vars_find(const struct kap_tick_vars *v, struct kap_str name);
/* From {"NAME": {"type": "int", "value": 7, "description": ".."}, ..}. Durations are nanoseconds or strings
 * ("90s"). json NULL or null gives no variables. The reference answers "invalid JSON" for what fails here
 * with KAP_EINVAL. */
enum kap_status kap_tick_vars_from_json(const json_t *json, struct kap_tick_vars *ret, struct kap_error *err);
enum kap_status kap_tick_vars_parse(struct kap_str json, struct kap_tick_vars *ret, struct kap_error *err);
/* The same form; durations in nanoseconds. `declared`: as of a template, where a star is {"typeOf":"star"}.
 */
void kap_tick_vars_json(struct kap_json *j, const struct kap_tick_vars *v, bool declared);

/* ---- evaluation ---- */

struct kap_tick_hint {                  /* what helps beyond the message: place and a suggestion */
    int line, character;                /* from 1; 0: unknown */
    char text[256];                     /* "did you mean \"from\"?"; "": none */
};

struct kap_tick_options {
    const struct kap_registry *registry;
    enum kap_task_type type;            /* KAP_TASK_INVALID: what the script says */
    const struct kap_tick_vars *vars;   /* given values; NULL: none */
    const struct kap_deadman *deadman;  /* NULL: the defaults of the reference */
    bool is_template; /* typed vars without a value get a zero value; "does nothing" is fine */
    /* Lambda expressions and alert templates that cannot work, found already here: the reference accepts them and fails when the
     * task is enabled or data arrive. Each is told (may be NULL); `strict` makes the first one an error. */
    void (*warn)(void *ctx, int line, int character, const char *message);
    void *warn_ctx;
    bool strict;
};

/* Evaluates into a checked graph. `vars` gets the declared variables with their defaults (NULL: not wanted),
 * `hint` may be NULL. Fails with "invalid task type: invalid" when no type is given or found. */
enum kap_status kap_tick_eval(struct kap_tick_script *s, const struct kap_tick_options *opt,
                              struct kap_graph **ret, struct kap_tick_vars *vars, struct kap_tick_hint *hint,
                              struct kap_error *err);

/* For clients: when `message` names a place ("line 3 char 9"), appends that line of the script with a caret
 * below: 3 |     |from( |      ^ and returns true. */
bool kap_tick_error_excerpt(struct kap_buf *out, struct kap_str script, const char *message);

extern const struct kap_deadman kap_deadman_default;

#endif
