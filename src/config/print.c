/* Printing the effective configuration: as TOML for people, as JSON for the API. */
#include "base/duration.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/number.h"
#include "config/internal.h"

#include <math.h>

static void print_string(struct kap_buf *out, struct kap_str s)
{
    kap_buf_addc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            kap_buf_addf(out, "\\%c", c);
        else if (c == '\n')
            kap_buf_adds(out, "\\n");
        else if (c == '\t')
            kap_buf_adds(out, "\\t");
        else if (c < 0x20 || c == 0x7f)
            kap_buf_addf(out, "\\u%04x", c);
        else
            kap_buf_addc(out, (char)c);
    }
    kap_buf_addc(out, '"');
}

static void print_float(struct kap_buf *out, double f)
{
    const size_t start = out->n;
    if (isnan(f) || isinf(f)) {
        kap_buf_adds(out, isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
        return;
    }
    kap_number_format(out, f, 'g', -1);
    if (memchr(out->p + start, '.', out->n - start) == NULL &&
        memchr(out->p + start, 'e', out->n - start) == NULL)
        kap_buf_adds(out, ".0");
}

static void print_strings(struct kap_buf *out, const struct kap_strings *list)
{
    kap_buf_addc(out, '[');
    for (size_t i = 0; i < list->n; i++) {
        kap_buf_adds(out, i ? ", " : "");
        print_string(out, list->v[i]);
    }
    kap_buf_addc(out, ']');
}

static void print_toml(struct kap_buf *out, const struct kap_toml *v)
{
    switch (v->kind) {
    case KAP_TOML_STRING:
        print_string(out, v->s);
        break;
    case KAP_TOML_TIME:
        kap_buf_add(out, v->s);
        break;
    case KAP_TOML_INT:
        kap_number_i64(out, v->i);
        break;
    case KAP_TOML_FLOAT:
        print_float(out, v->f);
        break;
    case KAP_TOML_BOOL:
        kap_buf_adds(out, v->b ? "true" : "false");
        break;
    case KAP_TOML_ARRAY:
        kap_buf_addc(out, '[');
        for (size_t i = 0; i < v->nitems; i++) {
            kap_buf_adds(out, i ? ", " : "");
            print_toml(out, v->items[i]);
        }
        kap_buf_addc(out, ']');
        break;
    case KAP_TOML_TABLE:
        kap_buf_adds(out, "{");
        for (size_t i = 0; i < v->npairs; i++) {
            kap_buf_adds(out, i ? ", " : " ");
            print_string(out, v->pairs[i].key);
            kap_buf_adds(out, " = ");
            print_toml(out, v->pairs[i].value);
        }
        kap_buf_adds(out, v->npairs ? " }" : "}");
        break;
    }
}

static void print_key(struct kap_buf *out, const struct kap_prop *p, const void *element,
                      const struct kap_toml *given)
{
    const void *at = (const char *)element + p->offset;
    if (p->option == NULL || p->kind == KAP_PROP_LAMBDA || (p->kind == KAP_PROP_CALL && given == NULL))
        return;
    kap_buf_addf(out, "%s = ", p->option);
    switch (p->kind) {
    case KAP_PROP_INT:
        kap_number_i64(out, *(const int64_t *)at);
        break;
    case KAP_PROP_FLOAT:
        print_float(out, *(const double *)at);
        break;
    case KAP_PROP_STRING:
        print_string(out, *(const struct kap_str *)at);
        break;
    case KAP_PROP_BOOL:
    case KAP_PROP_FLAG:
        kap_buf_adds(out, *(const bool *)at ? "true" : "false");
        break;
    case KAP_PROP_DURATION:
        kap_buf_addc(out, '"');
        kap_duration_format_go(out, *(const int64_t *)at);
        kap_buf_addc(out, '"');
        break;
    case KAP_PROP_STRINGS:
    case KAP_PROP_STRINGS_ADD:
        print_strings(out, at);
        break;
    case KAP_PROP_CALL:
        print_toml(out, given);
        break;
    case KAP_PROP_LAMBDA:
    case KAP_PROP_END:
        break;
    }
    kap_buf_addc(out, '\n');
}

void kap_config_print(const struct kap_config *c, struct kap_buf *out)
{
    for (size_t k = 0; k < c->nstates; k++) {
        const struct kap_config_state *s = &c->states[k];
        for (size_t i = 0; i < s->n; i++) {
            if (s->def->name[0] != '\0')
                kap_buf_addf(out, s->def->many ? "\n[[%s]]\n" : "\n[%s]\n", s->def->name);
            for (size_t p = 0; s->def->props[p].kind != KAP_PROP_END; p++)
                print_key(out, &s->def->props[p], kap_config_element_at(s, i), s->given_values[i][p]);
        }
    }
}

/* --- JSON --- */

static void show_toml(struct kap_json *j, const struct kap_toml *v)
{
    switch (v->kind) {
    case KAP_TOML_STRING:
    case KAP_TOML_TIME:
        kap_json_str(j, v->s);
        break;
    case KAP_TOML_INT:
        kap_json_i64(j, v->i);
        break;
    case KAP_TOML_FLOAT:
        kap_json_f64(j, v->f);
        break;
    case KAP_TOML_BOOL:
        kap_json_bool(j, v->b);
        break;
    case KAP_TOML_ARRAY:
        kap_json_array(j);
        for (size_t i = 0; i < v->nitems; i++)
            show_toml(j, v->items[i]);
        kap_json_array_end(j);
        break;
    case KAP_TOML_TABLE:
        kap_json_object(j);
        for (size_t i = 0; i < v->npairs; i++) {
            kap_json_keyn(j, v->pairs[i].key);
            show_toml(j, v->pairs[i].value);
        }
        kap_json_object_end(j);
        break;
    }
}

static void show_strings(struct kap_json *j, const struct kap_strings *list)
{
    kap_json_array(j);
    for (size_t i = 0; i < list->n; i++)
        kap_json_str(j, list->v[i]);
    kap_json_array_end(j);
}

/* Was a secret given? That is all that is told. */
static bool is_set(const struct kap_prop *p, const void *at, const struct kap_toml *given)
{
    switch (p->kind) {
    case KAP_PROP_STRING:
        return ((const struct kap_str *)at)->n > 0;
    case KAP_PROP_STRINGS:
    case KAP_PROP_STRINGS_ADD:
        return ((const struct kap_strings *)at)->n > 0;
    default:
        return given != NULL;
    }
}

static void show_key(struct kap_json *j, const struct kap_prop *p, const void *element,
                     const struct kap_toml *given)
{
    const void *at = (const char *)element + p->offset;
    kap_json_key(j, p->option);
    if (p->secret) {
        kap_json_bool(j, is_set(p, at, given));
        return;
    }
    switch (p->kind) {
    case KAP_PROP_INT:
        kap_json_i64(j, *(const int64_t *)at);
        break;
    case KAP_PROP_FLOAT:
        kap_json_f64(j, *(const double *)at);
        break;
    case KAP_PROP_STRING:
        kap_json_str(j, *(const struct kap_str *)at);
        break;
    case KAP_PROP_BOOL:
    case KAP_PROP_FLAG:
        kap_json_bool(j, *(const bool *)at);
        break;
    case KAP_PROP_DURATION: {
        KAP_AUTO_BUF struct kap_buf b = { 0 };
        kap_duration_format_go(&b, *(const int64_t *)at);
        kap_json_str(j, kap_buf_str(&b));
        break;
    }
    case KAP_PROP_STRINGS:
    case KAP_PROP_STRINGS_ADD:
        show_strings(j, at);
        break;
    default:
        if (given)
            show_toml(j, given);
        else
            kap_json_null(j);
        break;
    }
}

bool kap_config_show(const struct kap_config *c, const char *section, size_t element, struct kap_buf *options,
                     struct kap_buf *redacted)
{
    const struct kap_config_state *s = NULL;
    for (size_t i = 0; i < c->nstates && s == NULL; i++)
        s = strcmp(c->states[i].def->name, section) == 0 ? &c->states[i] : NULL;
    if (s == NULL || element >= s->n)
        return false;
    struct kap_json o, r;
    kap_json_init(&o, options, false);
    kap_json_init(&r, redacted, false);
    kap_json_object(&o);
    kap_json_array(&r);
    for (size_t p = 0; s->def->props[p].kind != KAP_PROP_END; p++) {
        if (s->def->props[p].option == NULL)
            continue;
        show_key(&o, &s->def->props[p], kap_config_element_at(s, element), s->given_values[element][p]);
        if (s->def->props[p].secret)
            kap_json_cstr(&r, s->def->props[p].option);
    }
    kap_json_object_end(&o);
    kap_json_array_end(&r);
    return true;
}
