#include "config/config.h"
#include "alert/httppost.h"

#include "base/duration.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static const char *file(const char *text)
{
    snprintf(path, sizeof path, "/tmp/kap-config-%d.conf", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static enum kap_status load_with(const char *text, const char *const *env, bool strict,
                                 struct kap_config **ret, struct kap_error *err)
{
    static const char *const no_env[] = { NULL };
    static const struct kap_handler_type post = {
        .kind = "post",
        .section = "httppost",
        .config_size = sizeof(struct kap_httppost_endpoint),
        .config_init = kap_httppost_init,
        .config_props = kap_httppost_props,
        .config_many = true,
    };
    static const struct kap_handler_type *const handlers[] = { &post, NULL };
    const struct kap_config_args args = {
        .path = file(text), .env = env ? env : no_env, .handlers = handlers, .strict = strict
    };
    const enum kap_status st = kap_config_load(&args, ret, err);
    unlink(path);
    return st;
}

static struct kap_config *load(const char *text, const char *const *env)
{
    struct kap_config *c = NULL;
    struct kap_error err = { 0 };
    if (load_with(text, env, false, &c, &err) != KAP_OK)
        fail_msg("%s", err.msg);
    return c;
}

static void an_empty_file_gives_the_defaults(void **state)
{
    struct kap_config *c = load("", NULL);
    const struct kap_config_root *root = kap_config_section(c, "");
    const struct kap_config_http *http = kap_config_section(c, "http");
    const struct kap_config_alert *alert = kap_config_section(c, "alert");
    size_t n;
    const struct kap_config_influxdb *influxdb = kap_config_elements(c, "influxdb", &n);
    assert_true(kap_str_is(root->hostname, "localhost"));
    assert_true(kap_str_is(http->bind_address, ":9092"));
    assert_true(http->log_enabled);
    assert_int_equal(alert->delay_per_member_ns, 10 * KAP_S);
    assert_int_equal(n, 1);
    assert_true(kap_str_is(influxdb[0].urls.v[0], "http://localhost:8086"));
    assert_false(kap_config_given(c, "influxdb"));
    assert_null(kap_config_section(c, "nosuch"));
    kap_config_free(c);
}

static void the_file_wins_over_defaults_and_the_environment_over_the_file(void **state)
{
    const char *const env[] = { "KAPACITOR_HOSTNAME=env",
                                "KAPACITOR_HTTP_LOG_ENABLED=false",
                                "KAPACITOR_ALERT_DELAY_PER_MEMBER=3s",
                                "KAPACITOR_INFLUXDB_1_URLS_0=http://b2",
                                "KAPACITOR_INFLUXDB_7_NAME=ignored",
                                "KAPACITOR_HTTPPOST_0_HEADERS_X_A=changed",
                                "KAPACITOR_STATS_TIMING_SAMPLE_RATE=0.5",
                                "KAPACITOR_CLUSTER_TASK_REDUNDANCY=2",
                                NULL };
    struct kap_config *c =
        load("hostname = 'file'\ndata_dir = '/d'\n[http]\nbind-address = ':1'\n[alert]\n"
             "delay-per-member = '1s'\n[[influxdb]]\nname = 'a'\n[[influxdb]]\nname = 'b'\n"
             "urls = ['http://b', 'http://c']\nexcluded-subscriptions = {x = ['y', 'z']}\n"
             "[[httppost]]\nendpoint = 'e'\nheaders = {X-A = '1', X-B = '2'}\n"
             "[httppost.basic-auth]\nusername = 'u'\npassword = 'p'\n",
             env);
    const struct kap_config_root *root = kap_config_section(c, "");
    const struct kap_config_http *http = kap_config_section(c, "http");
    const struct kap_config_alert *alert = kap_config_section(c, "alert");
    const struct kap_config_stats *stats = kap_config_section(c, "stats");
    const struct kap_config_cluster *cluster = kap_config_section(c, "cluster");
    const struct kap_httppost_endpoint *post = kap_config_section(c, "httppost");
    size_t n;
    const struct kap_config_influxdb *influxdb = kap_config_elements(c, "influxdb", &n);
    assert_true(kap_str_is(root->hostname, "env"));
    assert_true(kap_str_is(root->data_dir, "/d"));
    assert_true(kap_str_is(http->bind_address, ":1"));
    assert_false(http->log_enabled);
    assert_int_equal(alert->delay_per_member_ns, 3 * KAP_S);
    assert_true(stats->timing_sample_rate == 0.5);
    assert_int_equal(cluster->task_redundancy, 2);
    assert_int_equal(n, 2);
    assert_true(kap_str_is(influxdb[0].name, "a"));
    assert_true(kap_str_is(influxdb[1].urls.v[0], "http://b2"));
    assert_true(kap_str_is(influxdb[1].urls.v[1], "http://c"));
    assert_true(kap_str_is(influxdb[0].excluded_subscriptions.v[0].key, "_kapacitor"));
    assert_int_equal(influxdb[1].excluded_subscriptions.n, 1);
    assert_true(kap_str_is(influxdb[1].excluded_subscriptions.v[0].values.v[1], "z"));
    assert_int_equal(post->nheaders, 2);
    assert_true(kap_str_is(post->headers[0].value, "changed"));
    assert_true(kap_str_is(post->username, "u"));
    assert_true(kap_str_is(post->password, "p"));
    kap_config_free(c);
}

static void a_wrong_value_names_file_line_and_key(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "[http]\nlog-enabled = 'yes'",
          ":2:15: 'log-enabled' in section [http]: must be true or false, got string" },
        { "hostname = 5", ":1:12: 'hostname': must be a string, got integer" },
        { "[alert]\ndelay-per-member = 10",
          ":2:20: 'delay-per-member' in section [alert]: must be a duration like \"10s\", got integer" },
        { "[alert]\ndelay-per-member = '10'", ":2:20: 'delay-per-member' in section [alert]: must be a "
                                              "duration like \"10s\" or \"1h30m\", got \"10\"" },
        { "[cluster]\nroles = ['worker', 1]",
          ":2:9: 'roles' in section [cluster]: must be a list of strings, element 2 is integer" },
        { "[cluster]\nroles = ['boss']", "[cluster] roles knows 'worker' only, not 'boss'" },
        { "[[http]]\n[[http]]", ":2:3: section [http] may be given only once" },
        { "[http\n", ".conf:1:6: expected ']' after the name of a section, got the end of the line" },
        { "[[httppost]]\nheaders = {a = 1}", ":2:11: 'headers' in section [httppost]: 'a' must be a string" },
    };
    for (size_t i = 0; i < KAP_COUNT(cases); i++) {
        struct kap_config *c = NULL;
        struct kap_error err = { 0 };
        assert_int_equal(load_with(cases[i].text, NULL, false, &c, &err), KAP_EINVAL);
        if (strstr(err.msg, cases[i].message) == NULL)
            fail_msg("got '%s'\nwant '%s'", err.msg, cases[i].message);
    }
    const char *const env[] = { "KAPACITOR_ALERT_REDUNDANCY=two", NULL };
    struct kap_config *c = NULL;
    struct kap_error err = { 0 };
    assert_int_equal(load_with("", env, false, &c, &err), KAP_EINVAL);
    assert_string_equal(err.msg,
                        "environment variable KAPACITOR_ALERT_REDUNDANCY: must be an integer, got \"two\"");
}

static void what_is_not_known_is_noted_and_refused_in_strict_mode(void **state)
{
    const char *text =
        "[http]\nbind-adress = ':1'\n[slak]\n[kubernetes]\nin-cluster = true\n[talk]\nenabled = false\n";
    struct kap_config *c = load(text, NULL);
    const struct kap_config_note *notes;
    assert_int_equal(kap_config_notes(c, &notes), 3);
    assert_int_equal(notes[0].level, KAP_LOG_WARN);
    assert_non_null(strstr(
        notes[0].text.p, ":2:1: unknown key 'bind-adress' in section [http], did you mean 'bind-address'?"));
    assert_non_null(strstr(notes[1].text.p, ":3:2: unknown section [slak], did you mean [slack]?"));
    assert_int_equal(notes[2].level, KAP_LOG_INFO);
    assert_non_null(
        strstr(notes[2].text.p, ":4:2: section [kubernetes] is not supported yet and has no effect"));
    kap_config_free(c);
    struct kap_error err = { 0 };
    assert_int_equal(load_with(text, NULL, true, &c, &err), KAP_EINVAL);
    assert_non_null(strstr(err.msg, "bind-adress"));
    assert_non_null(strstr(err.msg, "kubernetes"));
    assert_int_equal(load_with("[http]\nauth-enabled = true\n", NULL, false, &c, &err), KAP_EINVAL);
    assert_non_null(strstr(err.msg, "[http] auth-enabled: this server has no users yet"));
    assert_int_equal(load_with("[http]\n", NULL, true, &c, &err), KAP_OK);
    kap_config_free(c);
}

static void what_is_printed_reads_back_the_same(void **state)
{
    struct kap_config *c =
        load("hostname = \"a\\\"b\\\\\"\n[[httppost]]\nendpoint='e'\nheaders={\"X Y\"='1'}\n[stats]\n"
             "timing-sample-rate = 1\n[deadman]\ninterval = '1h30m'\n",
             NULL);
    KAP_AUTO_BUF struct kap_buf first = { 0 }, second = { 0 };
    kap_config_print(c, &first);
    kap_config_free(c);
    c = load(first.p, NULL);
    const struct kap_config_note *notes;
    assert_int_equal(kap_config_notes(c, &notes), 0);
    kap_config_print(c, &second);
    assert_string_equal(first.p, second.p);
    assert_non_null(strstr(first.p, "\n[deadman]\ninterval = \"1h30m0s\"\n"));
    assert_non_null(strstr(first.p, "headers = { \"X Y\" = \"1\" }\n"));
    kap_config_free(c);
}

static void secrets_are_shown_as_booleans(void **state)
{
    struct kap_config *c =
        load("[[httppost]]\nendpoint='e'\nurl='http://x'\nbasic-auth={username='u',password='p'}\n", NULL);
    KAP_AUTO_BUF struct kap_buf options = { 0 }, redacted = { 0 };
    assert_true(kap_config_show(c, "httppost", 0, &options, &redacted));
    assert_string_equal(options.p,
                        "{\"endpoint\":\"e\",\"url\":\"http://x\",\"headers\":null,\"basic-auth\":true,"
                        "\"alert-template\":\"\",\"alert-template-file\":\"\",\"row-template\":\"\","
                        "\"row-template-file\":\"\"}");
    assert_string_equal(redacted.p, "[\"basic-auth\"]");
    assert_false(kap_config_show(c, "httppost", 1, &options, &redacted));
    kap_config_free(c);
}

static void addresses_for_others(void **state)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    kap_config_advertise(KAP_STR(""), KAP_STR(":9090"), KAP_STR("serverA"), &b);
    assert_string_equal(b.p, "serverA:9090");
    kap_buf_reset(&b);
    kap_config_advertise(KAP_STR("x:1"), KAP_STR("[::]:9090"), KAP_STR("serverA"), &b);
    assert_string_equal(b.p, "x:1");
    kap_buf_reset(&b);
    kap_config_advertise(KAP_STR(""), KAP_STR("[::]:9091"), KAP_STR("h"), &b);
    assert_string_equal(b.p, "h:9091");
}

static void a_missing_file_is_named(void **state)
{
    static const char *const env[] = { "KAPACITOR_CONFIG_PATH=/nowhere/k.conf", NULL };
    const struct kap_config_args args = { .env = env };
    struct kap_config *c = NULL;
    struct kap_error err = { 0 };
    assert_int_equal(kap_config_load(&args, &c, &err), KAP_ENOTFOUND);
    assert_string_equal(err.msg, "configuration file /nowhere/k.conf: No such file or directory");
}

static void the_command_line_wins(void **state)
{
    static const char *const env[] = { "HOME=/nowhere", "KAPACITOR_HOSTNAME=env", NULL };
    const struct kap_config_args args = { .env = env, .hostname = "flag", .path = file("") };
    struct kap_config *c = NULL;
    assert_int_equal(kap_config_load(&args, &c, NULL), KAP_OK);
    unlink(path);
    const struct kap_config_root *root = kap_config_section(c, "");
    assert_true(kap_str_is(root->hostname, "flag"));
    kap_config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_gives_the_defaults),
        cmocka_unit_test(the_file_wins_over_defaults_and_the_environment_over_the_file),
        cmocka_unit_test(a_wrong_value_names_file_line_and_key),
        cmocka_unit_test(what_is_not_known_is_noted_and_refused_in_strict_mode),
        cmocka_unit_test(what_is_printed_reads_back_the_same),
        cmocka_unit_test(secrets_are_shown_as_booleans),
        cmocka_unit_test(addresses_for_others),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(the_command_line_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
