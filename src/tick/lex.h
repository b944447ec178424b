/* Tokens of TICKscript. The lexer works on demand, never allocates but for comments, and stops at the first
 * error, which it reports as a token. Ownership: text is borrowed, comments live in the arena. Threads: one
 * at a time. */
#ifndef KAP_TICK_LEX_H
#define KAP_TICK_LEX_H

#include "lambda/expr.h"

enum kap_token_type {
    KAP_TOKEN_ERROR, /* text is the reason */
    KAP_TOKEN_EOF,
    KAP_TOKEN_VAR,
    KAP_TOKEN_DBRP,
    KAP_TOKEN_ASSIGN,
    KAP_TOKEN_DOT,
    KAP_TOKEN_PIPE,
    KAP_TOKEN_AT,
    KAP_TOKEN_IDENT,
    KAP_TOKEN_REFERENCE,
    KAP_TOKEN_LAMBDA,
    KAP_TOKEN_NUMBER,
    KAP_TOKEN_STRING,
    KAP_TOKEN_DURATION,
    KAP_TOKEN_LPAREN,
    KAP_TOKEN_RPAREN,
    KAP_TOKEN_LBRACKET,
    KAP_TOKEN_RBRACKET,
    KAP_TOKEN_COMMA,
    KAP_TOKEN_TRUE,
    KAP_TOKEN_FALSE,
    KAP_TOKEN_REGEX,
    KAP_TOKEN_STAR,
    KAP_TOKEN_NOT,
    KAP_TOKEN_OPERATOR, /* binary; also the minus sign */
};

struct kap_token {
    enum kap_token_type type;
    enum kap_op op;       /* OPERATOR */
    size_t pos;           /* byte offset */
    int line, character;  /* from 1 */
    struct kap_str text;  /* as written, quotes and all */
    const struct kap_comment *comment; /* in front of it; NULL: none */
};

struct kap_lexer {
    struct kap_str text;
    size_t pos;
    size_t line_start;   /* offset of the line that pos is in */
    int line;
    bool after_operand;  /* an operator may come: decides what / * - mean */
    bool done;           /* EOF or an error was given */
    struct kap_arena *arena;
};

void kap_lexer_init(struct kap_lexer *l, struct kap_str text, struct kap_arena *arena);
struct kap_token kap_lexer_next(struct kap_lexer *l);
/* As messages spell it: "identifier", "(", "AND". */
const char *kap_token_name(enum kap_token_type type, enum kap_op op);
/* The lines of both, `a` first; either may be NULL. */
const struct kap_comment *kap_comment_join(struct kap_arena *arena, const struct kap_comment *a,
                                           const struct kap_comment *b);

#endif
