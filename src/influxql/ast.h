/* Tokens and tree of InfluxQL. Internal to this room. Everything lives in the arena of the query. */
#ifndef KAP_INFLUXQL_AST_H
#define KAP_INFLUXQL_AST_H

#include "base/arena.h"
#include "influxql/influxql.h"

enum ql_token {
    QL_ILLEGAL,
    QL_EOF,
    QL_IDENT,
    QL_NUMBER,
    QL_INTEGER,
    QL_DURATION,
    QL_STRING,
    QL_BADSTRING,
    QL_BADESCAPE,
    QL_PARAM,
    QL_REGEX,
    QL_BADREGEX,
    QL_OPERATOR, /* op */
    QL_LPAREN,
    QL_RPAREN,
    QL_COMMA,
    QL_COLON,
    QL_DOUBLECOLON,
    QL_SEMICOLON,
    QL_DOT,
    QL_KEYWORD, /* keyword: its upper-case text */
};

enum ql_op {
    QL_ADD,
    QL_SUB,
    QL_MUL,
    QL_DIV,
    QL_MOD,
    QL_BITAND,
    QL_BITOR,
    QL_BITXOR,
    QL_AND,
    QL_OR,
    QL_EQ,
    QL_NEQ,
    QL_MATCH,
    QL_NOT_MATCH,
    QL_LT,
    QL_LTE,
    QL_GT,
    QL_GTE,
};

struct ql_lexeme {
    enum ql_token type;
    enum ql_op op;
    const char *keyword;
    size_t pos, end;          /* in the text */
    bool space_before;
    struct kap_str text;      /* unquoted */
};

struct ql_lexer {
    struct kap_str text;
    size_t pos;
    struct kap_arena *arena;
};

/* The token at l->pos, which stays where it is: go on by setting it to the token's end. */
struct ql_lexeme ql_lex(const struct ql_lexer *l);
/* A regex, when one starts at l->pos after white space: type REGEX or BADREGEX; otherwise type EOF. */
struct ql_lexeme ql_lex_regex(const struct ql_lexer *l);
const char *ql_op_text(enum ql_op op);
/* The upper-case spelling when the word is a keyword, operators and truth values included; NULL: it is none.
 */
const char *ql_keyword(struct kap_str word);

enum ql_kind {
    QL_EXPR_VAR,      /* text, cast */
    QL_EXPR_CALL,     /* text, args */
    QL_EXPR_DISTINCT, /* text */
    QL_EXPR_STRING,   /* text */
    QL_EXPR_NUMBER,   /* f */
    QL_EXPR_INT,      /* i */
    QL_EXPR_UNSIGNED, /* u */
    QL_EXPR_BOOL,     /* b */
    QL_EXPR_DURATION, /* i, ns */
    QL_EXPR_WILDCARD, /* cast: "", "field", "tag" */
    QL_EXPR_REGEX,    /* text */
    QL_EXPR_PAREN,    /* right */
    QL_EXPR_BINARY,   /* op, left, right */
};

struct ql_expr {
    enum ql_kind kind;
    enum ql_op op;
    struct kap_str text;
    const char *cast;
    union {
        double f;
        int64_t i;
        uint64_t u;
        bool b;
    };
    struct ql_expr *left, *right;
    struct ql_expr **args;
    size_t nargs;
};

struct ql_field {
    struct ql_expr *expr;
    struct kap_str alias;
};

struct ql_source {
    struct kap_influxql_source at;
    struct kap_str name;
    bool same_name;              /* target db.rp.:MEASUREMENT */
    struct ql_expr *regex;       /* in place of the name */
    struct ql_select *subquery;  /* in place of all */
};

enum ql_fill { QL_FILL_NULL, QL_FILL_NONE, QL_FILL_PREVIOUS, QL_FILL_LINEAR, QL_FILL_INT, QL_FILL_FLOAT };

struct ql_select {
    struct ql_field **fields;
    size_t nfields;
    struct ql_source *target;    /* INTO */
    struct ql_source **sources;
    size_t nsources;
    struct ql_expr *condition;
    struct ql_expr **dims;
    size_t ndims;
    enum ql_fill fill;
    int64_t fill_int;
    double fill_float;
    bool ordered, descending, order_by_name;
    int64_t limit, offset, slimit, soffset;
    struct kap_str zone;
};

struct kap_influxql {
    struct kap_arena *arena;
    struct ql_select *select;
    struct kap_influxql_source *sources;
    struct kap_influxql_dim *dims;
    size_t ndims;
    bool align_group;
};

#endif
