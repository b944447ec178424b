#include "../test.h"

#include "base/log.h"
#include "base/mem.h"
#include "handlers/handlers.h"
#include "task/overrides.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

struct server {
    char path[64];
    struct kap_config *config;
    struct kap_definitions *definitions;
    struct kap_overrides *overrides;
};

static const char conf[] = "data_dir = \"/tmp\"\n"
                           "[talk]\nenabled = true\nurl = \"http://secret\"\nauthor_name = \"kap\"\n"
                           "[[httppost]]\nendpoint = \"a\"\nurl = \"http://a\"\nheaders = { X = \"1\" }\n";

static void open_overrides(struct server *s)
{
    struct kap_error err;
    const struct kap_overrides_options options = { .base = s->config, .definitions = s->definitions };
    OK(kap_overrides_new(&options, &s->overrides, &err), &err);
}

static int setup(void **state)
{
    static const char *const env[] = { NULL };
    struct kap_error err;
    struct server *s = KAP_NEW(struct server);
    kap_log_set_level(KAP_LOG_OFF);
    snprintf(s->path, sizeof s->path, "/tmp/kap-overrides-XXXXXX");
    const int fd = mkstemp(s->path);
    assert_int_equal(write(fd, conf, sizeof conf - 1), sizeof conf - 1);
    close(fd);
    const struct kap_config_args args = { .path = s->path, .env = env, .handlers = kap_handler_types };
    OK(kap_config_load(&args, &s->config, &err), &err);
    s->definitions = kap_definitions_memory();
    open_overrides(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct server *s = *state;
    kap_overrides_free(s->overrides);
    kap_definitions_memory_free(s->definitions);
    kap_config_free(s->config);
    unlink(s->path);
    kap_free(s);
    return 0;
}

static enum kap_status update(struct server *s, const char *section, const char *element, const char *action,
                              struct kap_error *err)
{
    json_t *json = json_loads(action, 0, NULL);
    assert_non_null(json);
    const enum kap_status st = kap_overrides_update(
        s->overrides, kap_str(section), kap_str(element ? element : ""), element != NULL, json, err);
    json_decref(json);
    return st;
}

static void check_shown(struct server *s, const char *section, size_t i, const char *want)
{
    KAP_AUTO_BUF struct kap_buf options = { 0 };
    KAP_AUTO_BUF struct kap_buf redacted = { 0 };
    struct kap_str name;
    size_t element;
    assert_true(kap_config_element_name(kap_overrides_config(s->overrides), section, i, &name, &element));
    assert_true(kap_config_show(kap_overrides_config(s->overrides), section, element, &options, &redacted));
    if (strstr(options.p, want) == NULL)
        fail_msg("%s is not in %s", want, options.p);
}

TEST(sets_and_deletes)
{
    struct server *s = *cmocka_state;
    struct kap_error err;
    const struct kap_config *before = kap_overrides_config(s->overrides);
    OK(update(s, "talk", "", "{\"set\": {\"author_name\": \"me\", \"enabled\": false}}", &err), &err);
    check_shown(s, "talk", 0, "\"author_name\":\"me\"");
    check_shown(s, "talk", 0, "\"enabled\":false");
    check_shown(s, "talk", 0, "\"url\":true");
    assert_ptr_not_equal(before, kap_overrides_config(s->overrides));
    OK(update(s, "talk", "", "{\"delete\": [\"author_name\", \"enabled\"]}", &err), &err);
    check_shown(s, "talk", 0, "\"author_name\":\"kap\"");
    KAP_AUTO_BUF struct kap_buf json = { 0 };
    assert_int_equal(
        s->definitions->get(s->definitions->ctx, KAP_DEFINITION_CONFIG, KAP_STR("talk/"), &json, NULL),
        KAP_ENOTFOUND);
}

TEST(a_table_is_replaced_not_added_to)
{
    struct server *s = *cmocka_state;
    struct kap_error err;
    OK(update(s, "httppost", "a", "{\"set\": {\"headers\": {\"Y\": \"2\"}}}", &err), &err);
    check_shown(s, "httppost", 0, "\"headers\":{\"Y\":\"2\"}");
    OK(update(s, "httppost", "a", "{\"delete\": [\"headers\"]}", &err), &err);
    check_shown(s, "httppost", 0, "\"headers\":{\"X\":\"1\"}");
}

TEST(adds_and_removes_elements_and_keeps_them_over_a_restart)
{
    struct server *s = *cmocka_state;
    struct kap_error err;
    struct kap_str name;
    size_t element;
    OK(update(s, "httppost", NULL, "{\"add\": {\"endpoint\": \"b\", \"url\": \"http://b\"}}", &err), &err);
    kap_overrides_free(s->overrides);
    open_overrides(s);
    check_shown(s, "httppost", 1, "\"url\":\"http://b\"");
    FAILS(update(s, "httppost", NULL, "{\"add\": {\"endpoint\": \"b\"}}", &err), &err,
          "failed to apply update: cannot add new override, override already exists for httppost/b");
    OK(update(s, "httppost", NULL, "{\"remove\": [\"b\"]}", &err), &err);
    assert_false(kap_config_element_name(kap_overrides_config(s->overrides), "httppost", 1, &name, &element));
}

TEST(bad_updates_change_nothing)
{
    static const struct {
        const char *section, *element, *action, *want;
    } bad[] = {
        { "talk", "", "{\"set\": {\"b\": 1, \"a\": 2}}",
          "failed to override configuration talk/: unknown options [a b] in section talk" },
        { "talk", "", "{\"set\": {\"enabled\": 1}}",
          "failed to override configuration talk/: cannot set option enabled: wrong kind float64, expected "
          "value of kind "
          "bool: false" },
        { "httppost", "a", "{\"set\": {\"endpoint\": \"z\"}}",
          "failed to override configuration httppost/a: cannot override element key endpoint" },
        { "httppost", "q", "{\"set\": {\"url\": \"z\"}}",
          "failed to override configuration httppost/q: unknown element \"q\" in section httppost" },
        { "http", "", "{\"set\": {\"auth-enabled\": false}}",
          "failed to override configuration http/: unknown section http" },
        { "talk", NULL, "{\"add\": {\"url\": \"z\"}}",
          "failed to apply update: section \"talk\" is not a list, cannot add new element" },
        { "httppost", NULL, "{\"add\": {\"url\": \"z\"}}",
          "failed to apply update: missing key \"endpoint\" in \"add\" map" },
        { "talk", "", "{\"set\": [1]}",
          "failed to apply update: invalid update action: \"set\" must be an object" },
        { "talk", "", "{\"set\": {\"url\": \"z\"}, \"remove\": [\"x\"]}",
          "failed to apply update: invalid update action: cannot provide both set/delete and add/remove "
          "actions in the "
          "same update" },
        { "ta.lk", "", "{}",
          "failed to apply update: invalid update action: invalid section name \"ta.lk\"" },
    };
    struct server *s = *cmocka_state;
    const struct kap_config *before = kap_overrides_config(s->overrides);
    for (size_t i = 0; i < KAP_COUNT(bad); i++) {
        struct kap_error err;
        FAILS(update(s, bad[i].section, bad[i].element, bad[i].action, &err), &err, bad[i].want);
    }
    assert_ptr_equal(before, kap_overrides_config(s->overrides));
}

/* What another member or a later version stored must not take the other overrides with it. */
TEST(a_bad_stored_override_is_left_out)
{
    struct server *s = *cmocka_state;
    struct kap_definitions *d = s->definitions;
    struct kap_error err;
    OK(d->put(d->ctx, KAP_DEFINITION_CONFIG, KAP_STR("new/x"), KAP_STR("{\"options\":{\"a\":1}}"), &err),
       &err);
    OK(d->put(d->ctx, KAP_DEFINITION_CONFIG, KAP_STR("junk/"), KAP_STR("[]"), &err), &err);
    OK(d->put(d->ctx, KAP_DEFINITION_CONFIG, KAP_STR("talk/"),
              KAP_STR("{\"options\":{\"author_name\":\"x\"}}"), &err),
       &err);
    check_shown(s, "talk", 0, "\"author_name\":\"x\"");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(sets_and_deletes),
        T(a_table_is_replaced_not_added_to),
        T(bad_updates_change_nothing),
        T(adds_and_removes_elements_and_keeps_them_over_a_restart),
        T(a_bad_stored_override_is_left_out),
    };
    return RUN_TESTS(tests);
}
