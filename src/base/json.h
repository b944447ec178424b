/* JSON writer with Go's output: HTML-safe escapes (\u003c), numbers by kap_number_json. Reading is jansson's.
 * Compact by default; `indent` writes like json.MarshalIndent(v, "", "    ").
 * Ownership: writes into the caller's buffer. Threads: one at a time. Commas and colons are automatic. */
#ifndef KAP_BASE_JSON_H
#define KAP_BASE_JSON_H

#include "base/buf.h"

#define KAP_JSON_DEPTH 64

struct kap_json {
    struct kap_buf *out;
    bool indent, no_html_escape;
    bool bad_float;                    /* a NaN or Inf was asked for (written as null) */
    int depth;
    bool first[KAP_JSON_DEPTH], after_key;
};

void kap_json_init(struct kap_json *j, struct kap_buf *out, bool indent);
void kap_json_object(struct kap_json *j);
void kap_json_object_end(struct kap_json *j);
void kap_json_array(struct kap_json *j);
void kap_json_array_end(struct kap_json *j);
void kap_json_key(struct kap_json *j, const char *key);
void kap_json_keyn(struct kap_json *j, struct kap_str key);
void kap_json_str(struct kap_json *j, struct kap_str s);
void kap_json_cstr(struct kap_json *j, const char *s); /* NULL writes null */
void kap_json_i64(struct kap_json *j, int64_t i);
void kap_json_u64(struct kap_json *j, uint64_t u);
void kap_json_f64(struct kap_json *j, double f);
void kap_json_bool(struct kap_json *j, bool b);
void kap_json_null(struct kap_json *j);
void kap_json_raw(struct kap_json *j, struct kap_str json); /* a complete value, copied as it is */
void kap_json_time(struct kap_json *j, int64_t time_ns);    /* RFC3339Nano string, UTC */
/* Appends s quoted and escaped; invalid UTF-8 becomes \ufffd. */
void kap_json_escape(struct kap_buf *out, struct kap_str s, bool html);

#endif
