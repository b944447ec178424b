/* What several handlers share: an event as template data, JSON bodies, arguments of TICKscript methods.
 * Ownership: results live in the arena given. Threads: none of its own. */
#ifndef KAP_HANDLERS_UTIL_H
#define KAP_HANDLERS_UTIL_H

#include "alert/handler.h"
#include "base/json.h"
#include "base/mem.h"
#include "template/template.h"

#include <jansson.h>

/* What a handler's templates see: ID, Name, TaskName, Group, Tags, Fields, Level, Time, Duration, Message, Details, Data
 * (with Series), PreviousLevel, Recoverable, ServerInfo. */
struct kap_tvalue kap_event_tvalue(const struct kap_event *ev, const struct kap_handler_env *env,
                                   struct kap_arena *arena);
/* Renders a text template; `name` is for messages. */
enum kap_status kap_event_render(const char *name, struct kap_str text, const struct kap_event *ev,
                                 const struct kap_handler_env *env, struct kap_arena *arena, struct kap_str *ret,
                                 struct kap_error *err);
/* Does it parse? */
enum kap_status kap_event_render_check(const char *name, struct kap_str text, struct kap_error *err);

/* The event's JSON and a newline, as json.Encoder writes it. KAP_EINVAL: there is a NaN or Inf in its data. */
enum kap_status kap_event_body(const struct kap_event *ev, struct kap_arena *arena, struct kap_str *ret,
                               struct kap_error *err);
/* Ends with NULL: Content-Type, and one more unless it is NULL. */
const char **kap_json_headers(struct kap_arena *arena, const char *more);
static inline const char *kap_cstr(struct kap_arena *arena, struct kap_str s)
{
    return kap_arena_str(arena, s).p;
}
/* The first that is not empty. */
static inline struct kap_str kap_or(struct kap_str a, struct kap_str b)
{
    return a.n ? a : b;
}
/* application/x-www-form-urlencoded or a path segment, as Go's url.QueryEscape writes it. */
void kap_url_escape(struct kap_buf *out, struct kap_str s);

/* Makes every string of an object that its table names "" (never NULL). */
void kap_props_empty(void *object, const struct kap_prop *props);
/* "service is not enabled" */
enum kap_status kap_service_off(struct kap_error *err);
void kap_json_text(struct kap_json *j, const char *key, struct kap_str s); /* "key":"s" */
void kap_json_texts(struct kap_json *j, const char *key, struct kap_strings s);
/* The event's data as a JSON text; "null" where JSON has none for it. */
struct kap_str kap_event_data_text(const struct kap_event *ev, struct kap_arena *arena);
/* A POST of what was written, as JSON with a line feed; gives the buffer back. */
void kap_http_json(struct kap_http_out *out, struct kap_arena *arena, struct kap_str url, struct kap_buf *body);
/* Verdicts by status alone are the dispatcher's; this one also tells what a JSON answer says in `member`. */
void kap_judge_message(struct kap_str body, const char *member, struct kap_error *err);
/* URL "/" segment, as path.Join has it: no double slashes. */
struct kap_str kap_url_join(struct kap_arena *arena, struct kap_str url, struct kap_str segment);

#define KAP_OPTION(k, member, tick, opt, text) KAP_PROP_AT(k, struct options, member, tick, opt, text)
#define KAP_CONFIG(k, member, opt, text) KAP_PROP_AT(k, struct config, member, NULL, opt, text)
#define KAP_SECRET(member, opt, text)                                                                            \
    { .kind = KAP_PROP_STRING, .option = (opt), .offset = offsetof(struct config, member), .doc = (text), .secret = true }
#define KAP_PROPS_END { .kind = KAP_PROP_END }

/* Argument i must be a string; its text copied. */
enum kap_status kap_arg_text(struct kap_str *ret, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                             size_t i, const char *method, struct kap_error *err);
/* All arguments from `first` on are strings. */
enum kap_status kap_arg_texts(struct kap_strings *ret, struct kap_arena *arena, const struct kap_arg *args,
                              size_t nargs, size_t first, const char *method, struct kap_error *err);

struct kap_pair {                       /* of .header('k', 'v'), .attribute('k', 5) */
    struct kap_str key;
    struct kap_value value;             /* STRING, INT, FLOAT or BOOL */
};
struct kap_pairs {                      /* unique keys, in order of first use */
    struct kap_pair *v;
    size_t n;
};
void kap_pairs_set(struct kap_pairs *p, struct kap_arena *arena, struct kap_str key, struct kap_value v);
/* For KAP_PROP_CALL: (key string, value). `strings_only`: the value must be one. */
enum kap_status kap_pairs_call(struct kap_pairs *p, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                               bool strings_only, const char *method, struct kap_error *err);
/* From an object of a handler file. */
enum kap_status kap_pairs_option(struct kap_pairs *p, struct kap_arena *arena, const char *key, const json_t *v,
                                 bool strings_only, struct kap_error *err);
/* The value as a JSON value; as text. */
void kap_pair_json(const struct kap_pair *p, struct kap_json *j);
void kap_pair_text(const struct kap_pair *p, struct kap_buf *out);

#endif
