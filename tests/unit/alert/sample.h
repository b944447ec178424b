/* An event to test with. */
#ifndef KAP_TESTS_ALERT_SAMPLE_H
#define KAP_TESTS_ALERT_SAMPLE_H

#include "alert/event.h"
#include "base/duration.h"
#include "base/mem.h"

#include <math.h>

static inline struct kap_row *sample_row(const char *host, double v)
{
    struct kap_row *r = KAP_NEW(struct kap_row);
    r->arena = kap_arena_new();
    r->name = kap_sym_c("cpu");
    const struct kap_tag tags[] = { { kap_sym_c("host"), kap_str(host) } };
    r->tags = kap_tags_new(tags, 1);
    r->ncolumns = 2;
    r->nvalues = 1;
    r->columns = KAP_ARENA_ARRAY(r->arena, struct kap_str, 2);
    r->columns[0] = KAP_STR("time");
    r->columns[1] = KAP_STR("v");
    r->values = KAP_ARENA_ARRAY(r->arena, struct kap_value, 2);
    r->values[0] = kap_value_time(2 * KAP_S);
    r->values[1] = kap_value_f(v);
    return r;
}

static inline struct kap_event *sample_event(const char *topic, const char *id, enum kap_level level)
{
    struct kap_event *ev = kap_event_new();
    ev->topic = kap_arena_str(ev->arena, kap_str(topic));
    ev->task = KAP_STR("t");
    ev->node = KAP_STR("alert2");
    ev->run = KAP_STR("7");
    ev->id = kap_arena_str(ev->arena, kap_str(id));
    ev->time_ns = 2 * KAP_S;
    ev->level = level;
    ev->nth = 3;
    ev->sequence = 99;
    ev->previous = KAP_LEVEL_OK;
    ev->message = kap_str(kap_arena_printf(ev->arena, "%s is %s", id, kap_level_name(level)));
    ev->details = KAP_STR("<b>x</b>");
    ev->duration_ns = KAP_S;
    ev->recoverable = true;
    ev->name = KAP_STR("cpu");
    ev->group = KAP_STR("host=a");
    ev->category = KAP_STR("");
    const struct kap_tag tags[] = { { kap_sym_c("host"), KAP_STR("a") } };
    kap_tags_unref(ev->tags);
    ev->tags = kap_tags_new(tags, 1);
    ev->fields = KAP_ARENA_ARRAY(ev->arena, struct kap_field, 4);
    ev->fields[ev->nfields++] = (struct kap_field){ kap_sym_c("v"), kap_value_f(15) };
    ev->fields[ev->nfields++] = (struct kap_field){ kap_sym_c("n"), kap_value_i(-3) };
    ev->fields[ev->nfields++] = (struct kap_field){ kap_sym_c("s"), kap_value_s(KAP_STR("q")) };
    ev->fields[ev->nfields++] = (struct kap_field){ kap_sym_c("b"), kap_value_b(true) };
    ev->rows = KAP_ARENA_ARRAY(ev->arena, struct kap_row *, 1);
    ev->rows[ev->nrows++] = sample_row("a", 15);
    return ev;
}

#endif
