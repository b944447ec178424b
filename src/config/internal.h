/* What reading and printing the configuration share. */
#ifndef KAP_CONFIG_INTERNAL_H
#define KAP_CONFIG_INTERNAL_H

#include "config/config.h"

struct kap_config_state { /* a section and its elements */
    const struct kap_section *def;
    size_t n;
    void *elements;                        /* n structs of def->size */
    const struct kap_toml ***given_values; /* [element][property]: what was given; NULL: the default */
    bool given;
};

struct kap_config {
    struct kap_arena *arena;
    const char *path;
    const char *const *env; /* while loading */
    struct kap_config_state *states;
    size_t nstates, states_cap;
    struct kap_config_note *notes;
    size_t nnotes, notes_cap;
};

struct kap_config_state *kap_config_find(const struct kap_config *c, struct kap_str section); /* NULL: none */
/* One more element, with its defaults. */
void kap_config_add(struct kap_config *c, struct kap_config_state *s);
/* Sets one key of an element; the message says what the value must be. */
enum kap_status kap_config_set(const struct kap_prop *p, void *element, const struct kap_toml *v,
                               struct kap_arena *arena, struct kap_error *err);
size_t kap_config_props(const struct kap_section *def); /* how many there are */
void *kap_config_element_at(const struct kap_config_state *s, size_t i);

#endif
