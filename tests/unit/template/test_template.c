#include "test.h"

#include "base/mem.h"
#include "template/template.h"
#include <math.h>

/* --- the data that an alert offers --- */

struct alert {
    struct kap_arena *a;
    struct kap_tpair pairs[12];
    struct kap_tstruct st, server;
    struct kap_tpair server_pairs[1];
    const struct kap_tags *tags;
};

static struct kap_tvalue alert_data(struct alert *d, const struct kap_tag *tags, size_t ntags, const struct kap_field *fields,
                                    size_t nfields)
{
    d->a = kap_arena_new();
    d->tags = kap_tags_new(tags, ntags);
    d->server_pairs[0] = (struct kap_tpair){ KAP_STR("Hostname"), kap_t_str(KAP_STR("localhost")) };
    d->server = (struct kap_tstruct){ .type = "kapacitor.serverInfo", .n = 1, .v = d->server_pairs };
    const struct kap_tpair pairs[] = {
        { KAP_STR("Name"), kap_t_str(KAP_STR("cpu")) },
        { KAP_STR("TaskName"), kap_t_str(KAP_STR("task")) },
        { KAP_STR("Group"), kap_t_str(KAP_STR("host=a")) },
        { KAP_STR("Tags"), kap_t_tags(d->a, d->tags) },
        { KAP_STR("ServerInfo"), kap_t_struct(&d->server) },
        { KAP_STR("ID"), kap_t_str(KAP_STR("<a&b>")) },
        { KAP_STR("Fields"), kap_t_fields(d->a, fields, nfields) },
        { KAP_STR("Level"), kap_t_str(KAP_STR("WARNING")) },
        { KAP_STR("Time"), kap_t_time(INT64_C(3723000000000)) },
        { KAP_STR("Duration"), kap_t_duration(INT64_C(3722000000000)) },
    };
    memcpy(d->pairs, pairs, sizeof pairs);
    d->st = (struct kap_tstruct){ .type = "kapacitor.messageInfo", .n = KAP_COUNT(pairs), .v = d->pairs };
    return kap_t_struct(&d->st);
}

static void alert_done(struct alert *d)
{
    kap_tags_unref(d->tags);
    kap_arena_free(d->a);
}

static struct kap_tvalue usual(struct alert *d)
{
    const struct kap_tag tags[] = { { kap_sym_c("host"), KAP_STR("a") }, { kap_sym_c("dc"), KAP_STR("x") } };
    const struct kap_field fields[] = {
        { kap_sym_c("v"), kap_value_f(11.5) },  { kap_sym_c("n"), kap_value_i(65) },
        { kap_sym_c("s"), kap_value_s(KAP_STR("<i>'x' \"y\" & z</i>")) }, { kap_sym_c("b"), kap_value_b(true) },
        { kap_sym_c("gone"), { .type = KAP_MISSING } }, { kap_sym_c("e"), kap_value_s(KAP_STR("")) },
    };
    return alert_data(d, tags, KAP_COUNT(tags), fields, KAP_COUNT(fields));
}

static void renders_with(unsigned flags, const char *text, const char *want)
{
    struct alert d;
    struct kap_error err;
    struct kap_template *t;
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    const struct kap_tvalue dot = usual(&d);
    if (kap_template_new("message", kap_str(text), flags, &t, &err) != KAP_OK)
        fail_msg("%s: %s", text, err.msg);
    if (kap_template_render(t, dot, d.a, &out, &err) != KAP_OK)
        fail_msg("%s: %s", text, err.msg);
    if (!kap_str_is(kap_buf_str(&out), want))
        print_error("template: %s\n", text);
    STR_EQ(kap_buf_str(&out), want);
    kap_template_free(t);
    alert_done(&d);
}

static void renders(const char *text, const char *want)
{
    renders_with(KAP_TEMPLATE_TEXT, text, want);
}

static void html(const char *text, const char *want)
{
    renders_with(KAP_TEMPLATE_HTML | KAP_TEMPLATE_JSON, text, want);
}

static void parse_fails(const char *text, const char *message)
{
    struct kap_error err;
    struct kap_template *t;
    FAILS(kap_template_new("id", kap_str(text), KAP_TEMPLATE_TEXT, &t, &err), &err, message);
}

static void render_fails(const char *text, const char *message)
{
    struct alert d;
    struct kap_error err;
    struct kap_template *t;
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    const struct kap_tvalue dot = usual(&d);
    OK(kap_template_new("id", kap_str(text), KAP_TEMPLATE_TEXT, &t, &err), &err);
    FAILS(kap_template_render(t, dot, d.a, &out, &err), &err, message);
    kap_template_free(t);
    alert_done(&d);
}

/* --- tests --- */

TEST(test_values)
{
    renders("{{ .Name }}|{{ .TaskName }}|{{ .Group }}|{{ index .Tags \"host\" }}", "cpu|task|host=a|a");
    renders("{{ .Time }} {{ .Duration }} {{ .ServerInfo.Hostname }}", "1970-01-01 01:02:03 +0000 UTC 1h2m2s localhost");
    renders("{{ .Tags }} {{ .Tags.dc }} {{ .Tags.nope }}|{{ index .Tags \"nope\" }}|", "map[dc:x host:a] x <no value>||");
    renders("{{ .Fields.v }} {{ index .Fields \"nope\" }} {{ .Fields.nope }} {{ .Fields.gone }}",
            "11.5 <no value> <no value> <no value>");
    renders("{{ .Time.Unix }} {{ .Time.Year }} {{ .Time.Month }} {{ .Time.Format \"15:04\" }} {{ .Duration.Minutes }}",
            "3723 1970 January 01:02 62.03333333333333");
    renders("{{ (.Time.Add 1000000000).Second }} {{ .Time.Weekday | printf \"%d\" }} {{ .Duration | printf \"%d\" }}",
            "4 4 3722000000000");
    renders("{{ .ServerInfo }}", "{localhost}");
}

TEST(test_logic)
{
    renders("{{ if eq .Level \"OK\" }}fine{{ else if eq .Level \"WARNING\" }}hmm{{ else }}bad{{ end }}", "hmm");
    renders("{{ if and (gt (index .Fields \"v\") 10.0) (lt (index .Fields \"v\") 12.0) }}mid{{ end }}", "mid");
    renders("{{ if or (eq (index .Tags \"host\") \"z\") (eq (index .Tags \"host\") \"a\") }}az{{ else }}no{{ end }}", "az");
    renders("{{ if not (index .Fields \"b\") }}notb{{ end }}|", "|");
    renders("{{ range $k, $v := .Tags }}{{ $k }}={{ $v }},{{ end }}", "dc=x,host=a,");
    renders("{{ range .Tags }}{{ . }};{{ else }}none{{ end }}", "x;a;");
    renders("{{ with .Fields.e }}s is {{ . }}{{ else }}no s{{ end }}", "no s");
    renders("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}{{ with $x := 5 }}{{ $x }}{{ end }}{{ $x }}", "252");
    renders("{{ eq 3 1 2 3 }} {{ ne \"a\" \"b\" }} {{ le 2 2 }} {{ ge 1.5 2.5 }} {{ lt \"a\" \"b\" }}",
            "true true true false true");
    renders("a {{- /* note */ -}} b{{/* c */}}c  {{- 1 -}}  d", "abc1d");
    renders("{{ define \"x\" }}[{{ . }}]{{ end }}{{ template \"x\" .Level }}{{ block \"y\" 7 }}<{{ . }}>{{ end }}",
            "[WARNING]<7>");
    renders("{{ \"a\\tb\\u00e9\" }}{{ `r\\aw` }}{{ 'x' }}{{ 0x10 }} {{ 1e3 }} {{ -5 }}", "a\tb\u00e9r\\aw12016 1000 -5");
    renders("{{ if .Fields }}{{ len .Tags }}{{ len \"abc\" }}{{ end }}", "23");
}

TEST(test_printf)
{
    renders("{{ index .Fields \"v\" | printf \"%0.3f\" }} {{ printf \"%5.1f|%-8s|%08.3f|%e|%g\" 1234.5678 \"ab\" 1234.5678 "
            "1234.5678 1234.5678 }}",
            "11.500 1234.6|ab      |1234.568|1.234568e+03|1234.5678");
    renders("{{ $n := index .Fields \"n\" }}{{ printf \"%d|%5d|%05d|%x|%X|%o|%b|%c|%q|%U\" $n $n $n $n $n $n $n $n $n $n }}",
            "65|   65|00065|41|41|101|1000001|A|'A'|U+0041");
    renders("{{ printf \"%05d|%x|%c|%U|%+d|% d|%#x\" -7 -7 -7 -7 7 7 255 }}",
            "-0007|-7|\xef\xbf\xbd|U+FFFFFFFFFFFFFFF9|+7| 7|0xff");
    renders("{{ printf \"%s %q %v %t %v%%\" \"x\" \"a\\\"\" 65 true 5 }}", "x \"a\\\"\" 65 true 5%");
    renders("{{ print 1 \"a\" 2 3 \"b\" }} {{ println \"x\" }}{{ \"lit\" | printf \"%s-%s\" \"a\" }}", "1a2 3b x\na-lit");
    renders("{{ printf \"%d\" (index .Fields \"v\") }} {{ printf \"%s\" (index .Fields \"n\") }} {{ printf \"%f\" \"s\" }} "
            "{{ printf \"%d %d\" 1 }} {{ printf \"%d\" 1 2 }} {{ printf \"%!\" }} {{ printf \"%.2f\" (index .Fields \"nope\") }} "
            "{{ printf \"%z\" 1 }} {{ printf \"%[2]d %[1]d\" 1 2 }} {{ printf \"%*d\" 5 3 }}",
            "%!d(float64=11.5) %!s(int64=65) %!f(string=s) 1 %!d(MISSING) 1%!(EXTRA int=2) %!!(MISSING) %!f(<nil>) "
            "%!z(int=1) 2 1     3");
    renders("{{ printf \"%v|%6.2v|%T|%x|% X|%-6s|%.2s|%6q\" .Tags 3.14159 .Time \"hi\" \"hi\" \"\u00e9\" \"\u00e9\u00e9\u00e9\" "
            "\"a\" }}",
            "map[dc:x host:a]|   3.1|time.Time|6869|68 69|\u00e9     |\u00e9\u00e9|   \"a\"");
    renders("{{ printf \"%\" }} {{ printf \"%[5]d\" 1 }} {{ printf \"%s\" nil }} {{ printf \"%v\" .Duration }}",
            "%!(NOVERB) %!d(BADINDEX) %!s(<nil>) 1h2m2s");
}

TEST(test_text_functions)
{
    renders("{{ html (index .Fields \"s\") }}", "&lt;i&gt;&#39;x&#39; &#34;y&#34; &amp; z&lt;/i&gt;");
    renders("{{ urlquery \"a<b>'c' &d\" }} {{ js \"a<b>'c' &d\" }}",
            "a%3Cb%3E%27c%27+%26d a\\u003Cb\\u003E\\'c\\' \\u0026d");
    renders_with(KAP_TEMPLATE_JSON, "{{ json .Tags }}{{ jsonCompact .Fields.v }}", "{\"dc\":\"x\",\"host\":\"a\"}\n11.5");
}

TEST(test_parse_errors)
{
    parse_fails("{{ json . }}", "template: id:1: function \"json\" not defined");
    parse_fails("{{ .ID ", "template: id:1: unclosed action");
    parse_fails("{{ if }}", "template: id:1: missing value for if");
    parse_fails("{{ end }}", "template: id:1: unexpected {{end}}");
    parse_fails("a\nb{{ else }}", "template: id:2: unexpected {{else}}");
    parse_fails("{{ if true }}", "template: id:1: unexpected EOF");
    parse_fails("{{ $x }}", "template: id:1: undefined variable \"$x\"");
    parse_fails("{{ \"a }}", "template: id:1: unterminated quoted string");
    parse_fails("{{ (1 }}", "template: id:1: unclosed left paren");
    parse_fails("{{ 1 | 2 }}", "template: id:1: non executable command in pipeline stage 2");
    parse_fails("{{/* a", "template: id:1: unclosed comment");
    parse_fails("{{ }}", "template: id:1: missing value for command");
    parse_fails("{{ range $a, $b, $c := .X }}{{ end }}", "template: id:1: too many declarations in range");
}

TEST(test_render_errors)
{
    render_fails("{{ .Nope }}", "template: id:1:3: executing \"id\" at <.Nope>: can't evaluate field Nope in type "
                                "kapacitor.messageInfo");
    render_fails("{{ if gt (index .Fields \"v\") 5 }}y{{ end }}",
                 "template: id:1:6: executing \"id\" at <gt (index .Fields \"v\") 5>: error calling gt: incompatible types "
                 "for comparison");
    render_fails("x\n {{ template \"no\" }}", "template: id:2:4: executing \"id\" at <{{template \"no\"}}>: template \"no\" "
                                              "not defined");
    render_fails("{{ len 3 }}", "template: id:1:3: executing \"id\" at <len 3>: error calling len: len of type int");
    render_fails("{{ range 5.5 }}{{ end }}", "template: id:1:9: executing \"id\" at <5.5>: range can't iterate over 5.5");
    render_fails("{{ .Level 1 }}", "template: id:1:3: executing \"id\" at <.Level>: Level has arguments but cannot be "
                                   "invoked as function");
}

/* As of Go 1.18: what decides ends the evaluation; a pipeline's value comes last. */
TEST(test_lazy_choices)
{
    renders("{{ and \"\" (index .Tags 1 2 3) }}|{{ or \"x\" (index .Tags 1 2 3) }}", "|x");
    renders("{{ if and (index .Fields \"s\") (gt (len (index .Fields \"s\")) 3) }}y{{ end }}", "y");
    renders("{{ 7 | and 1 2 }} {{ 7 | or 0 5 }} {{ 7 | or 0 }} {{ 0 | and 3 }} {{ 3 | and }}", "7 5 7 0 3");
}

TEST(test_place_of_mistakes)
{
    struct kap_error err;
    OK(kap_template_check("id", KAP_STR("{{ .ID }}"), KAP_TEMPLATE_TEXT, &err), &err);
    assert_int_equal(kap_template_check("message", KAP_STR("a\nb {{ nosuch 1 }}"), KAP_TEMPLATE_TEXT, &err), KAP_EINVAL);
    assert_string_equal(err.msg, "template: message:2: function \"nosuch\" not defined, at line 2 column 6");
    assert_int_equal(kap_template_check("details", KAP_STR("<a href='{{ .ID }}"), KAP_TEMPLATE_HTML, &err), KAP_EINVAL);
    assert_string_equal(err.msg, "html/template: \"details\" ends in a non-text context, at line 1 column 19");
}

/* Recursion and output have limits. */
TEST(test_limits)
{
    struct kap_error err;
    struct kap_template *t;
    KAP_AUTO_BUF struct kap_buf out = { 0 };
    struct kap_arena *a = kap_arena_new();
    static const char *const hogs[] = {
        "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}",
        "{{ define \"a\" }}{{ if . }}{{ template \"b\" . }}{{ template \"b\" . }}{{ end }}{{ end }}"
        "{{ define \"b\" }}{{ template \"a\" . }}{{ template \"a\" . }}{{ end }}{{ template \"a\" 1 }}",
        "{{ printf \"%999999d%999999d%999999d%999999d%999999d\" 1 1 1 1 1 }}",
    };
    for (size_t i = 0; i < KAP_COUNT(hogs); i++) {
        OK(kap_template_new("id", kap_str(hogs[i]), KAP_TEMPLATE_TEXT, &t, &err), &err);
        assert_int_not_equal(kap_template_render(t, kap_t_i64(1), a, &out, &err), KAP_OK);
        kap_template_free(t);
    }
    kap_arena_free(a);
}

TEST(test_html)
{
    html("<p title=\"{{ .ID }}\">{{ .ID }} &amp;</p>", "<p title=\"&lt;a&amp;b&gt;\">&lt;a&amp;b&gt; &amp;</p>");
    html("<a href=\"http://x/{{ .Fields.s }}?q={{ .Fields.s }}\">{{ .Fields.s }}</a>",
         "<a href=\"http://x/%3ci%3e%27x%27%20%22y%22%20&amp;%20z%3c/i%3e?q=%3ci%3e%27x%27%20%22y%22%20%26%20z%3c%2fi%3e\">"
         "&lt;i&gt;&#39;x&#39; &#34;y&#34; &amp; z&lt;/i&gt;</a>");
    html("<script>var a = {{ .Fields.s }}; var n = {{ .Fields.n }};</script><style>{{ .Fields.s }}</style>",
         "<script>var a = \"\\u003ci\\u003e'x' \\\"y\\\" \\u0026 z\\u003c/i\\u003e\"; var n =  65 ;</script><style>ZgotmplZ"
         "</style>");
    html("<b onclick=\"f({{ .Fields.s }})\">{{ .Fields.v }}</b>",
         "<b onclick=\"f(&#34;\\u003ci\\u003e&#39;x&#39; \\&#34;y\\&#34; \\u0026 z\\u003c/i\\u003e&#34;)\">11.5</b>");
    html("{{ json .Tags }}", "{&#34;dc&#34;:&#34;x&#34;,&#34;host&#34;:&#34;a&#34;}\n");
    html("{{ .Time }}", "1970-01-01 01:02:03 &#43;0000 UTC");
    html("<script>var t = {{ json .Tags }}</script>", "<script>var t = {\"dc\":\"x\",\"host\":\"a\"}\n</script>");
    html("<a href={{ .Fields.s }}>x</a>", "<a href=%3ci%3e%27x%27%20%22y%22%20&amp;%20z%3c/i%3e>x</a>");
    html("<a href=\"{{ \"javascript:alert(1)\" }}\">x</a>", "<a href=\"#ZgotmplZ\">x</a>");
    html("<i {{ \"onclick\" }}=\"x\">", "<i ZgotmplZ=\"x\">");
    html("<!-- {{ .ID }} -->a < b<textarea>{{ .ID }}</textarea>", "a &lt; b<textarea>&lt;a&amp;b&gt;</textarea>");
    html("<script>f('{{ .Fields.s }}')</script>",
         "<script>f('\\u003ci\\u003e\\u0027x\\u0027 \\u0022y\\u0022 \\u0026 z\\u003c\\/i\\u003e')</script>");
    html("<p style=\"color: {{ \"red\" }}\">{{ .Fields.nope }}|{{ if .Fields.b }}<b>{{ end }}", "<p style=\"color: red\">|<b>");
    struct kap_error err;
    struct kap_template *t;
    FAILS(kap_template_new("details", KAP_STR("{{ if true }}<a href=\"{{ end }}"), KAP_TEMPLATE_HTML, &t, &err), &err,
          "html/template:details:1: {{if}} branches end in different contexts");
    FAILS(kap_template_new("details", KAP_STR("<a href=\""), KAP_TEMPLATE_HTML, &t, &err), &err,
          "html/template: \"details\" ends in a non-text context");
}

TEST(test_constant)
{
    struct kap_error err;
    struct kap_template *t;
    struct kap_str text;
    OK(kap_template_new("id", KAP_STR("plain"), KAP_TEMPLATE_TEXT, &t, &err), &err);
    assert_true(kap_template_constant(t, &text));
    STR_EQ(text, "plain");
    assert_string_equal(kap_template_name(t), "id");
    kap_template_free(t);
    OK(kap_template_new("id", KAP_STR("a{{ .X }}"), KAP_TEMPLATE_TEXT, &t, &err), &err);
    assert_false(kap_template_constant(t, &text));
    kap_template_free(t);
    kap_template_free(NULL);
}

TEST(test_json)
{
    KAP_AUTO_BUF struct kap_buf b = { 0 };
    assert_false(kap_t_json((struct kap_tvalue){ .kind = KAP_T_FLOAT, .f = NAN }, &b));
    kap_buf_reset(&b);
    assert_true(kap_t_json(kap_t_time(1500000000), &b));
    STR_EQ(kap_buf_str(&b), "\"1970-01-01T00:00:01.5Z\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),       cmocka_unit_test(test_logic),         cmocka_unit_test(test_printf),
        cmocka_unit_test(test_text_functions), cmocka_unit_test(test_parse_errors), cmocka_unit_test(test_render_errors),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_html),          cmocka_unit_test(test_constant),
        cmocka_unit_test(test_json),         cmocka_unit_test(test_lazy_choices),
        cmocka_unit_test(test_place_of_mistakes),
    };
    return RUN_TESTS(tests);
}
