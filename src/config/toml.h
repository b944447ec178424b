/* TOML v1.0 reader: the whole language, with the place of every value, so that a complaint about a
 * configuration file can name line and column. Format: https://toml.io/en/v1.0.0. Ownership: the tree and all
 * its strings live in the caller's arena. Threads: one at a time. Failure: KAP_EINVAL, "NAME:3:9: ..." with
 * line and column; nothing of a bad text is returned. */
#ifndef KAP_CONFIG_TOML_H
#define KAP_CONFIG_TOML_H

#include "base/arena.h"
#include "base/error.h"

#define KAP_TOML_DEPTH 64 /* nested arrays and tables */

enum kap_toml_kind {
    KAP_TOML_STRING,
    KAP_TOML_INT,
    KAP_TOML_FLOAT,
    KAP_TOML_BOOL,
    KAP_TOML_TIME, /* dates and times keep their spelling in `s`: no key of ours wants one */
    KAP_TOML_ARRAY,
    KAP_TOML_TABLE,
};

struct kap_toml;

struct kap_toml_pair {
    struct kap_str key;
    int line, column; /* of the key */
    struct kap_toml *value;
};

struct kap_toml {
    enum kap_toml_kind kind;
    int line, column; /* where the value, or a table's header, starts; from 1 */
    struct kap_str s; /* STRING, TIME */
    int64_t i;
    double f;
    bool b;
    struct kap_toml **items; /* ARRAY, in order */
    size_t nitems, items_cap;
    bool of_tables;              /* ARRAY written as [[name]] */
    struct kap_toml_pair *pairs; /* TABLE, in order of appearance */
    size_t npairs, pairs_cap;
    bool closed;  /* TABLE written inline, or ARRAY as a value: may not be extended */
    bool defined; /* TABLE that had its own [header] or was opened by dotted keys */
};

/* `name` is what messages call the text: the file's path. */
enum kap_status kap_toml_parse(struct kap_str text, const char *name, struct kap_arena *arena,
                               struct kap_toml **ret, struct kap_error *err);
/* NULL: not a table, or no such key. */
struct kap_toml *kap_toml_get(const struct kap_toml *table, struct kap_str key);
/* "string", "integer", "float", "boolean", "date or time", "array", "table", for messages. */
const char *kap_toml_kind_name(enum kap_toml_kind kind);

#endif
