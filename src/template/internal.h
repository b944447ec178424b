/* What the files of this room share: the parsed form of a template. Written by parse.c, annotated by escape.c, run by
 * exec.c. Everything lives in the template's arena and is read-only after parsing. */
#ifndef KAP_TEMPLATE_INTERNAL_H
#define KAP_TEMPLATE_INTERNAL_H

#include "template/template.h"

#define KAP_T_MAX_TEXT ((size_t)1024 * 1024)
#define KAP_T_MAX_OUTPUT ((size_t)4 * 1024 * 1024)
#define KAP_T_MAX_STEPS 200000
#define KAP_T_MAX_DEPTH 100       /* of nesting, and of templates that run templates */
#define KAP_T_MAX_ARGS 32
#define KAP_T_ESCAPERS 3

enum kap_tnode_kind {
    KAP_N_LIST,     /* items */
    KAP_N_TEXT,     /* text */
    KAP_N_ACTION,   /* pipe, escapers */
    KAP_N_IF,       /* pipe, body, otherwise */
    KAP_N_WITH,
    KAP_N_RANGE,
    KAP_N_TEMPLATE, /* text: name; pipe or NULL */
    KAP_N_END,      /* while parsing only */
    KAP_N_ELSE,
    KAP_N_PIPE,     /* items: commands; decl */
    KAP_N_COMMAND,  /* items: operands */
    KAP_N_FIELD,    /* path */
    KAP_N_VARIABLE, /* text: "$x"; path */
    KAP_N_CHAIN,    /* pipe: what the path starts from; path */
    KAP_N_FUNCTION, /* fn */
    KAP_N_DOT,
    KAP_N_NIL,
    KAP_N_CONSTANT, /* value; text: as written */
};

enum kap_tescaper {
    KAP_ESC_NONE,
    KAP_ESC_HTML,           /* text and quoted attributes */
    KAP_ESC_ATTR,           /* like HTML; tags are stripped from HTML content */
    KAP_ESC_UNQUOTED,       /* attribute without quotes */
    KAP_ESC_RCDATA,
    KAP_ESC_COMMENT,        /* nothing is shown */
    KAP_ESC_ATTR_NAME,
    KAP_ESC_JS_VALUE,
    KAP_ESC_JS_STRING,
    KAP_ESC_JS_REGEX,
    KAP_ESC_CSS,            /* string or url in a style */
    KAP_ESC_CSS_VALUE,
    KAP_ESC_URL_FILTER,     /* start of an URL: only known schemes */
    KAP_ESC_URL_NORMALIZE,
    KAP_ESC_URL,            /* inside of a query */
};

struct kap_tnode {
    enum kap_tnode_kind kind;
    size_t pos;                     /* byte in the text */
    struct kap_str text;
    struct kap_tnode **items;
    size_t nitems, items_cap;
    struct kap_tnode *pipe, *body, *otherwise;
    struct kap_str *path;
    size_t npath, path_cap;
    struct kap_str decl[2];         /* variables that a pipe sets */
    size_t ndecl;
    bool assign;                    /* = rather than := */
    const struct kap_tfn *fn;
    struct kap_tvalue value;
    uint8_t escapers[KAP_T_ESCAPERS];
};

struct kap_tdefine {
    struct kap_str name;
    struct kap_tnode *body;
    struct kap_tdefine *next;
};

struct kap_template {
    struct kap_arena *arena;
    char *name;
    struct kap_str text;
    unsigned flags;
    struct kap_tnode *root;
    struct kap_tdefine *defines;
    size_t mistake;                 /* byte in the text that the failure of parsing is about */
};

/* Functions: false: the message is in err. */
struct kap_tcall {
    struct kap_arena *arena;
    struct kap_error *err;
};
struct kap_tfn {
    const char *name;
    int min, max;                   /* arguments; max -1: any number */
    bool (*call)(struct kap_tcall *c, const struct kap_tvalue *args, size_t n, struct kap_tvalue *ret);
    unsigned flag;                  /* KAP_TEMPLATE_JSON: only then */
};
const struct kap_tfn *kap_tfn_find(struct kap_str name, unsigned flags);
/* Methods of times and durations; NULL: none of that name. */
struct kap_tmethod {
    enum kap_tkind of;
    int nargs;
    const char *name;
    bool (*call)(struct kap_tcall *c, struct kap_tvalue self, const struct kap_tvalue *args, struct kap_tvalue *ret);
};
const struct kap_tmethod *kap_tmethod_find(enum kap_tkind of, struct kap_str name);

enum kap_status kap_template_parse(struct kap_template *t, struct kap_error *err);   /* parse.c */
enum kap_status kap_template_escape(struct kap_template *t, struct kap_error *err);  /* escape.c */
struct kap_tnode *kap_template_find(const struct kap_template *t, struct kap_str name);
void kap_tnode_text(struct kap_buf *b, const struct kap_tnode *n);                   /* as Go prints it in messages */
size_t kap_template_line(const struct kap_template *t, size_t pos);                  /* from 1 */
size_t kap_template_column(const struct kap_template *t, size_t pos);                /* bytes before pos in its line */
/* escapers.c: appends the escaped form of v */
void kap_tescape(struct kap_buf *b, enum kap_tescaper how, struct kap_tvalue v);
/* value.c */
const char *kap_t_type(struct kap_tvalue v);                                         /* Go's name */
bool kap_t_truth(struct kap_tvalue v);
void kap_t_quote(struct kap_buf *b, struct kap_str s);                               /* %q */

#endif
