/* The expression tree that scripts are parsed into, shared by TICKscript and lambda expressions.
 * The parser (tick/) builds it; the formatter prints it back, so literals keep how they were written.
 * Lambda bodies handed to the compiler contain LITERAL, REFERENCE, UNARY, BINARY and CALL only: tick/ has replaced
 * identifiers by the values of their vars, and nested lambdas by their bodies.
 * Ownership: nodes live in an arena of whoever parsed. Threads: read-only after parsing. */
#ifndef KAP_LAMBDA_EXPR_H
#define KAP_LAMBDA_EXPR_H

#include "base/arena.h"
#include "data/value.h"

enum kap_expr_kind {
    KAP_EXPR_LITERAL,    /* value: FLOAT INT STRING BOOL DURATION REGEX */
    KAP_EXPR_REFERENCE,  /* name: "field" */
    KAP_EXPR_IDENTIFIER, /* name: a var (tick only) */
    KAP_EXPR_UNARY,      /* op, left */
    KAP_EXPR_BINARY,     /* op, left, right */
    KAP_EXPR_CALL,       /* name, args: a function in a lambda; a method in tick */
    KAP_EXPR_LAMBDA,     /* left: body (tick only) */
    KAP_EXPR_STAR,       /* * (tick only) */
    KAP_EXPR_LIST,       /* args (tick only) */
    KAP_EXPR_CHAIN,      /* op is '|' '.' or '@'; left, right is a CALL or IDENTIFIER (tick only) */
};

enum kap_op {
    KAP_OP_NONE,
    KAP_OP_ADD, KAP_OP_SUB, KAP_OP_MUL, KAP_OP_DIV, KAP_OP_MOD,
    KAP_OP_EQ, KAP_OP_NE, KAP_OP_LT, KAP_OP_LE, KAP_OP_GT, KAP_OP_GE,
    KAP_OP_MATCH, KAP_OP_NOT_MATCH, /* =~ !~ */
    KAP_OP_AND, KAP_OP_OR,
    KAP_OP_NOT, KAP_OP_NEG,         /* unary ! - */
    KAP_OP_PIPE, KAP_OP_DOT, KAP_OP_AT,
};

enum kap_quote { KAP_QUOTE_SINGLE, KAP_QUOTE_TRIPLE };

struct kap_comment {                /* lines without slashes and margin; the line "\n" is a blank line between groups */
    struct kap_str *lines;
    size_t nlines;
};

struct kap_expr {
    enum kap_expr_kind kind;
    enum kap_op op;
    bool parens;                    /* written in parentheses */
    bool multi_line;                /* formatter: was broken over lines */
    bool spans;                     /* formatter: takes more than one line, apart from a comment in front */
    enum kap_quote quote;           /* string literals */
    int line, character;            /* from 1, characters are bytes; an operator's own place for BINARY and CHAIN */
    int depth;                      /* of the tree below; parsers limit it, so that recursion over it is safe */
    struct kap_value value;
    struct kap_str name;
    struct kap_str text;            /* literal as written, for numbers, durations and regexes */
    struct kap_str regex;           /* REGEX literal: pattern with \/ undone */
    struct kap_expr *left, *right;
    struct kap_expr **args;
    size_t nargs;
    const struct kap_comment *comment; /* before this node; NULL: none */
};

const char *kap_op_text(enum kap_op op);             /* "+", "AND", "=~".. */
/* Prints an expression in the canonical form of the formatter (one line). */
struct kap_buf;
void kap_expr_format(struct kap_buf *b, const struct kap_expr *e);
struct kap_expr *kap_expr_copy(struct kap_arena *a, const struct kap_expr *e); /* deep */
/* Literal helper: an expression of a value (strings copied into a). Regex values reference the regex. */
struct kap_expr *kap_expr_literal(struct kap_arena *a, struct kap_value v);

#endif
