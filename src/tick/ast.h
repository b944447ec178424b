/* A parsed script: statements over struct kap_expr. Internal to this room. */
#ifndef KAP_TICK_AST_H
#define KAP_TICK_AST_H

#include "lambda/regex.h"
#include "tick/lex.h"
#include "tick/tick.h"

enum kap_tick_stmt_kind {
    KAP_TICK_EXPR,    /* expr */
    KAP_TICK_VAR,     /* var name = expr */
    KAP_TICK_TYPED,   /* var name type_name */
    KAP_TICK_DBRP,    /* dbrp "db"."rp" */
    KAP_TICK_COMMENT, /* at the end of the script */
};

struct kap_tick_stmt {
    enum kap_tick_stmt_kind kind;
    struct kap_str name, type_name;
    struct kap_dbrp dbrp;
    struct kap_expr *expr;
    const struct kap_comment *comment;
};

/* Regexes that literals refer to; the tree itself is in an arena. */
struct kap_tick_regexes {
    struct kap_regex **v;
    size_t n, cap;
};

struct kap_tick_script {
    uint32_t refs;
    struct kap_arena *arena;
    struct kap_tick_stmt *stmts;
    size_t nstmts, stmts_cap;
    struct kap_dbrp *dbrps;
    size_t ndbrps;
    struct kap_tick_regexes regexes;
};

struct kap_tick_lambda {
    struct kap_arena *arena;
    struct kap_expr *expr;
    struct kap_tick_regexes regexes;
};

/* Prints one expression as the script formatter does, at the given indentation. */
void kap_tick_format_expr(struct kap_buf *out, const struct kap_expr *e, int indent, bool on_new_line);

#endif
