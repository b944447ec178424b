#include "../test.h"

#include "client/flags.h"
#include "client/format.h"
#include "client/table.h"

static void check(void (*format)(const json_t *, struct kap_buf *), const char *json, const char *want)
{
    json_t *v = json_loads(json, 0, NULL);
    assert_non_null(v);
    struct kap_buf out = { 0 };
    format(v, &out);
    json_decref(v);
    STR_EQ(kap_buf_str(&out), want);
    kap_buf_done(&out);
}

/* The clustering guide's output, column for column. */
TEST(members_look_as_in_the_guide)
{
    check(
        kap_format_members,
        "{\"state\": \"initialized\", \"cluster-id\": \"876ddfb4-1879-4f40-87e2-4080c04d3096\","
        " \"local-member-id\": \"f74f3547-efaf-4e6e-8b05-fb12b19f8287\", \"members\": ["
        "{\"id\": \"f74f3547-efaf-4e6e-8b05-fb12b19f8287\", \"gossip-address\": \"serverA:9090\", "
        "\"rpc-address\": \"serverA:9091\","
        " \"api-address\": \"serverA:9092\", \"roles\": \"worker\", \"status\": \"alive\"},"
        "{\"id\": \"13eeefdd-41b5-453f-928e-cb9c55fd2a5d\", \"gossip-address\": \"serverB:9090\", "
        "\"rpc-address\": \"serverB:9091\","
        " \"api-address\": \"serverB:9092\", \"roles\": \"worker\", \"status\": \"alive\"}]}",
        "State: initialized\n"
        "Cluster ID: 876ddfb4-1879-4f40-87e2-4080c04d3096\n"
        "Local Member ID: f74f3547-efaf-4e6e-8b05-fb12b19f8287\n"
        "Member ID                               Gossip Address RPC Address    API Address    Roles  Status\n"
        "f74f3547-efaf-4e6e-8b05-fb12b19f8287    serverA:9090   serverA:9091   serverA:9092   worker alive\n"
        "13eeefdd-41b5-453f-928e-cb9c55fd2a5d    serverB:9090   serverB:9091   serverB:9092   worker "
        "alive\n");
}

TEST(a_column_grows_to_its_longest_cell_and_one)
{
    check(kap_format_members,
          "{\"state\": \"uninitialized\", \"cluster-id\": \"c\", \"local-member-id\": \"m\", \"members\": ["
          "{\"id\": \"m\", \"gossip-address\": \"kapacitor-1.example:9090\", \"rpc-address\": \"r\", "
          "\"api-address\": \"a\","
          " \"roles\": \"worker\", \"status\": \"alive\"}]}",
          "State: uninitialized\nCluster ID: c\nLocal Member ID: m\n"
          "Member ID                               Gossip Address           RPC Address    API Address    "
          "Roles  Status\n"
          "m                                       kapacitor-1.example:9090 r              a              "
          "worker alive\n");
}

TEST(lists_have_the_columns_that_scripts_know)
{
    check(kap_format_tasks,
          "[{\"id\": \"z\", \"type\": \"batch\", \"status\": \"disabled\", \"executing\": false, \"dbrps\": "
          "[]},"
          " {\"id\": \"cpu_alert\", \"type\": \"stream\", \"status\": \"enabled\", \"executing\": true,"
          " \"dbrps\": [{\"db\": \"telegraf\", \"rp\": \"autogen\"}, {\"db\": \"a\\\"b\", \"rp\": \"\"}]}]",
          "ID        Type      Status    Executing Databases and Retention Policies\n"
          "cpu_alert stream    enabled   true      [\"telegraf\".\"autogen\" \"a\\\"b\".\"\"]\n"
          "z         batch     disabled  false     []\n");
    check(kap_format_templates, "[{\"id\": \"t\", \"type\": \"stream\", \"vars\": {\"b\": {}, \"a\": {}}}]",
          "ID Type      Vars                                    \n"
          "t  stream    a,b                                     \n");
    check(kap_format_topics, "[{\"id\": \"main:x:alert2\", \"level\": \"CRITICAL\", \"collected\": 12}]",
          "ID            Level     Collected\n"
          "main:x:alert2 CRITICAL         12\n");
    check(kap_format_topic_handlers, "[{\"topic\": \"a_long_topic\", \"id\": \"h\", \"kind\": \"slack\"}]",
          "Topic        ID         Kind       \n"
          "a_long_topic h          slack      \n");
}

TEST(a_task_is_shown_whole)
{
    check(kap_format_task,
          "{\"id\": \"t\", \"error\": \"\", \"template-id\": \"tm\", \"type\": \"stream\", \"status\": "
          "\"enabled\","
          " \"executing\": true, \"created\": \"2024-02-03T04:05:06.7Z\", \"modified\": "
          "\"2024-12-31T23:59:59Z\","
          " \"last-enabled\": \"0001-01-01T00:00:00Z\", \"dbrps\": [{\"db\": \"d\", \"rp\": \"r\"}], "
          "\"script\": \"stream\\n\","
          " \"vars\": {\"g\": {\"type\": \"list\", \"value\": [{\"type\": \"string\", \"value\": \"host\"}, "
          "{\"type\": \"star\", \"value\": null}]},"
          " \"d\": {\"type\": \"duration\", \"value\": 90000000000}, \"f\": {\"type\": \"float\", \"value\": "
          "7.5}}, \"dot\": \"digraph t {\\n}\"}",
          "ID: t\nError: \nTemplate: tm\nType: stream\nStatus: enabled\nExecuting: true\n"
          "Created: 03 Feb 24 04:05 UTC\nModified: 31 Dec 24 23:59 UTC\nLastEnabled: 01 Jan 01 00:00 UTC\n"
          "Databases Retention Policies: [\"d\".\"r\"]\nTICKscript:\nstream\n\nVars:\n"
          "Name                          Type      Value                                   \n"
          "d                             duration  1m30s                                   \n"
          "f                             float     7.5                                     \n"
          "g                             list      [host, *]                               \n"
          "DOT:\ndigraph t {\n}\n");
}

TEST(a_template_marks_what_it_needs)
{
    check(kap_format_template,
          "{\"id\": \"t\", \"error\": \"\", \"type\": \"stream\", \"created\": \"2024-02-03T04:05:06Z\","
          " \"modified\": \"2024-02-03T04:05:06Z\", \"script\": \"s\", \"dot\": \"d\","
          " \"vars\": {\"m\": {\"type\": \"string\", \"value\": null, \"description\": \"what\"}}}",
          "ID: t\nError: \nType: stream\nCreated: 03 Feb 24 04:05 UTC\nModified: 03 Feb 24 04:05 "
          "UTC\nTICKscript:\ns\nVars:\n"
          "Name                          Type      Default Value                           Description       "
          "                      \n"
          "m                             string    <required>                              what              "
          "                      \n"
          "DOT:\nd\n");
}

TEST(events_of_a_topic_stand_in_the_order_of_time)
{
    setenv("TZ", "UTC", 1);
    json_t *topic = json_loads("{\"id\": \"cpu\", \"level\": \"WARNING\", \"collected\": 3}", 0, NULL);
    json_t *events = json_loads("[{\"id\": \"b\", \"state\": {\"level\": \"OK\", \"message\": \"b is OK\", "
                                "\"time\": \"1970-01-01T00:02:00Z\"}},"
                                "{\"id\": \"a\", \"state\": {\"level\": \"WARNING\", \"message\": \"a is "
                                "WARNING\", \"time\": \"1970-01-01T00:01:00Z\"}}]",
                                0, NULL);
    json_t *handlers = json_loads("[{\"id\": \"x\"}, {\"id\": \"y\"}]", 0, NULL);
    struct kap_buf out = { 0 };
    kap_format_topic(topic, events, handlers, &out);
    STR_EQ(kap_buf_str(&out), "ID: cpu\nLevel: WARNING\nCollected: 3\nHandlers: [x, y]\nEvents:\n"
                              "Event Level    Message      Date                   \n"
                              "a     WARNING  a is WARNING 01 Jan 70 00:01 UTC    \n"
                              "b     OK       b is OK      01 Jan 70 00:02 UTC    \n");
    kap_buf_done(&out);
    json_decref(topic);
    json_decref(events);
    json_decref(handlers);
}

TEST(ingress_is_sorted)
{
    check(kap_format_ingress_stats,
          "{\"kapacitor\": {\"a\": {\"name\": \"ingress\", \"tags\": {\"database\": \"z\", "
          "\"retention_policy\": \"r\", \"measurement\": \"m\"},"
          " \"values\": {\"points_received\": 5}}, \"b\": {\"name\": \"nodes\"}, \"c\": {\"name\": "
          "\"ingress\", \"tags\":"
          " {\"database\": \"a\", \"retention_policy\": \"r\", \"measurement\": \"m\"}, \"values\": "
          "{\"points_received\": 7}}}}",
          "Database Retention Policy Measurement Points Received\n"
          "a        r                m                         7\n"
          "z        r                m                         5\n");
}

TEST(widths_count_characters)
{
    static const struct kap_column columns[] = { { "A", 0, false, false }, { "B", 0, false, false } };
    struct kap_table *t = kap_table_new(columns, 2);
    kap_table_row(t, (const char *const[]){ "\xc5\xbc\xc3\xb3\xc5\x82\xc4\x87", "x" });
    struct kap_buf out = { 0 };
    kap_table_print(t, &out);
    STR_EQ(kap_buf_str(&out), "A    B\n\xc5\xbc\xc3\xb3\xc5\x82\xc4\x87 x\n");
    kap_buf_done(&out);
    kap_table_free(t);
}

TEST(flags_are_read_as_go_reads_them)
{
    const char *url = NULL;
    bool yes = false, no = true;
    struct kap_flag_list list = { 0 };
    const struct kap_flag flags[] = { { KAP_FLAG_STRING, "url", &url, "" },
                                      { KAP_FLAG_BOOL, "yes", &yes, "" },
                                      { KAP_FLAG_BOOL, "no", &no, "" },
                                      { KAP_FLAG_LIST, "l", &list, "" },
                                      { 0 } };
    char *args[] = { "-url", "http://x", "--yes", "-no=false", "-l=1", "-l", "-2", "word", "-url" };
    size_t used;
    struct kap_error err;
    OK(kap_flags_parse(flags, args, 9, &used, &err), &err);
    assert_int_equal(used, 7);
    assert_string_equal(url, "http://x");
    assert_true(yes);
    assert_false(no);
    assert_int_equal(list.n, 2);
    assert_string_equal(list.v[1], "-2");
    FAILS(kap_flags_parse(flags, (char *[]){ "-nope" }, 1, &used, &err), &err,
          "flag provided but not defined: -nope");
    FAILS(kap_flags_parse(flags, (char *[]){ "-url" }, 1, &used, &err), &err, "flag needs an argument: -url");
    FAILS(kap_flags_parse(flags, (char *[]){ "-yes=perhaps" }, 1, &used, &err), &err,
          "invalid boolean value \"perhaps\" for -yes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_look_as_in_the_guide),
        cmocka_unit_test(a_column_grows_to_its_longest_cell_and_one),
        cmocka_unit_test(lists_have_the_columns_that_scripts_know),
        cmocka_unit_test(a_task_is_shown_whole),
        cmocka_unit_test(a_template_marks_what_it_needs),
        cmocka_unit_test(events_of_a_topic_stand_in_the_order_of_time),
        cmocka_unit_test(ingress_is_sorted),
        cmocka_unit_test(widths_count_characters),
        cmocka_unit_test(flags_are_read_as_go_reads_them),
    };
    return RUN_TESTS(tests);
}
