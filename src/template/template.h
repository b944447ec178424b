/* Message templates: Go's text/template, and html/template's contextual escaping for alert details.
 * Parsed once when a task is enabled, rendered for each event. Parse errors read as Go's do
 * ("template: id:1: unexpected {{end}}"), so do errors while rendering ("template: id:1:3: executing \"id\" at
 * <.Nope>: can't evaluate field Nope in type kapacitor.idInfo").
 *
 * The data model is small: scalars, maps (ordered by key), lists and structs. Times and durations have Go's methods
 * (.Unix, .Format "15:04", .Seconds..). Values are borrowed: build them in an arena that lives until the rendering
 * returns; nothing keeps them longer.
 * Ownership: a template is owned by its caller and read-only after parsing. Threads: a template may be rendered by
 * several threads at once. Limits: output, loops and nesting are bounded, so that no template can hang a worker. */
#ifndef KAP_TEMPLATE_TEMPLATE_H
#define KAP_TEMPLATE_TEMPLATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "data/result.h"
#include "data/value.h"

enum kap_tkind {
    KAP_T_NONE,     /* no value at all: a missing key; prints as <no value> */
    KAP_T_NIL,      /* an interface that holds nothing; prints as <nil> in printf, as <no value> by itself */
    KAP_T_BOOL,
    KAP_T_INT,      /* Go's int: literals and len */
    KAP_T_INT64,    /* field values */
    KAP_T_FLOAT,    /* float64 */
    KAP_T_STRING,
    KAP_T_TIME,     /* i: ns since the epoch, UTC */
    KAP_T_DURATION, /* i: ns */
    KAP_T_MONTH,    /* i: 1.. ; prints as January */
    KAP_T_WEEKDAY,  /* i: 0.. ; prints as Sunday */
    KAP_T_MAP,
    KAP_T_LIST,
    KAP_T_STRUCT,
    KAP_T_JS,       /* s: JavaScript source already, not escaped again in scripts (json in HTML templates) */
};

struct kap_tvalue {
    enum kap_tkind kind;
    union {
        bool b;
        int64_t i;
        double f;
        struct kap_str s;
        const struct kap_tmap *map;
        const struct kap_tlist *list;
        const struct kap_tstruct *st;
    };
};

struct kap_tpair {
    struct kap_str key;
    struct kap_tvalue v;
};

struct kap_tmap {
    const char *type;             /* Go's name, for messages: "map[string]string" */
    bool strings;                 /* a missing key is "" for index (map[string]string), else no value */
    size_t n;
    const struct kap_tpair *v;    /* in byte order of the keys, unique */
};

struct kap_tlist {
    const char *type;             /* "[]interface {}" */
    size_t n;
    const struct kap_tvalue *v;
};

/* Also the fields of embedded structs, in the order in which JSON shows them. */
struct kap_tstruct {
    const char *type;             /* "kapacitor.idInfo" */
    size_t n;
    const struct kap_tpair *v;    /* names of fields; in order of declaration */
};

/* --- building values --- */
static inline struct kap_tvalue kap_t_str(struct kap_str s)
{
    return (struct kap_tvalue){ .kind = KAP_T_STRING, .s = s };
}
static inline struct kap_tvalue kap_t_i64(int64_t i)
{
    return (struct kap_tvalue){ .kind = KAP_T_INT64, .i = i };
}
static inline struct kap_tvalue kap_t_time(int64_t ns)
{
    return (struct kap_tvalue){ .kind = KAP_T_TIME, .i = ns };
}
static inline struct kap_tvalue kap_t_duration(int64_t ns)
{
    return (struct kap_tvalue){ .kind = KAP_T_DURATION, .i = ns };
}
static inline struct kap_tvalue kap_t_struct(const struct kap_tstruct *st)
{
    return (struct kap_tvalue){ .kind = KAP_T_STRUCT, .st = st };
}
struct kap_tvalue kap_t_value(struct kap_value v);  /* MISSING and REGEX become KAP_T_NIL */
/* map[string]string in key order; values are borrowed from t. */
struct kap_tvalue kap_t_tags(struct kap_arena *a, const struct kap_tags *t);
/* map[string]interface {}; sorts by key; a MISSING field is nil. */
struct kap_tvalue kap_t_fields(struct kap_arena *a, const struct kap_field *fields, size_t n);
/* A map from pairs in any order, copied and sorted; type "map[string]interface {}". Of equal keys the last counts. */
struct kap_tvalue kap_t_map(struct kap_arena *a, const struct kap_tpair *v, size_t n);
struct kap_tvalue kap_t_list(struct kap_arena *a, const char *type, const struct kap_tvalue *v, size_t n);
/* What an httpPost or alert endpoint's row template sees: .Name, .Tags, .Values (maps, "time" a time). */
struct kap_tvalue kap_t_row(struct kap_arena *a, const struct kap_row *row);

/* --- templates --- */
enum kap_template_flags {
    KAP_TEMPLATE_TEXT = 0,
    KAP_TEMPLATE_HTML = 1,   /* contextual escaping: alert details */
    KAP_TEMPLATE_JSON = 2,   /* the functions json (ends with a newline) and jsonCompact exist */
};

struct kap_template;

/* `name` appears in messages: "id", "message", "details". */
enum kap_status kap_template_new(const char *name, struct kap_str text, unsigned flags, struct kap_template **ret,
                                 struct kap_error *err);
/* Whether the text can be a template; "at line 2 column 7" of it comes after the message of kap_template_new, which
 * names the line at most. For those who tell of mistakes before the template is used. */
enum kap_status kap_template_check(const char *name, struct kap_str text, unsigned flags, struct kap_error *err);
void kap_template_free(struct kap_template *t); /* NULL is fine */
const char *kap_template_name(const struct kap_template *t);
/* True when the template is plain text; it is *ret then (borrowed): callers skip building data. */
bool kap_template_constant(const struct kap_template *t, struct kap_str *ret);
/* Appends to out. On failure out holds what was written before (as Go does): drop it. KAP_ELIMIT: over a limit.
 * `scratch` takes intermediate strings. */
enum kap_status kap_template_render(const struct kap_template *t, struct kap_tvalue dot, struct kap_arena *scratch,
                                    struct kap_buf *out, struct kap_error *err);

/* Go's fmt.Sprintf and fmt.Sprint over values, as templates' printf and print do. */
void kap_t_printf(struct kap_buf *out, struct kap_str format, const struct kap_tvalue *args, size_t n);
void kap_t_print(struct kap_buf *out, const struct kap_tvalue *args, size_t n);
/* encoding/json of a value; HTML-safe escapes. False: NaN or Inf is in it. */
bool kap_t_json(struct kap_tvalue v, struct kap_buf *out);

#endif
