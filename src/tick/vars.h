/* Values of a script while it is evaluated, and variables made of them. Internal to this room. */
#ifndef KAP_TICK_VARS_H
#define KAP_TICK_VARS_H

#include "tick/tick.h"

/* The type of a value as messages and variables know it; false: it cannot be a variable's (nodes, time()). */
bool kap_tick_arg_type(const struct kap_arg *a, enum kap_var_type *ret);
const char *kap_tick_type_name(enum kap_var_type t);       /* "boolean", "int", .. as in messages */
bool kap_tick_type_find(struct kap_str declared,
                        enum kap_var_type *ret); /* "bool", "int", .. as in scripts and JSON */

/* Adds a variable with the value as its default (NULL: no value). */
void kap_tick_vars_add(struct kap_tick_vars *vars, struct kap_str name, struct kap_str description,
                       enum kap_var_type type, const struct kap_arg *value);
/* A given variable as a value; regexes and lambdas are made to live as long as the graph. */
enum kap_status kap_tick_var_value(const struct kap_tick_var *v, struct kap_graph *g, struct kap_arg *ret,
                                   struct kap_error *err);
/* What a typed variable without a value gets in a template. */
struct kap_arg kap_tick_zero_value(enum kap_var_type type, struct kap_graph *g);

#endif
