#include "base/duration.h"
#include "base/gotime.h"
#include "handlers/handlers.h"
#include "handlers/util.h"

#include <curl/curl.h>

/* Messages are built by RFC 5322, 2045 and 2047, and handed to libcurl's SMTP. */

struct options {
    struct kap_strings to, to_templates;
};

struct config {
    bool enabled, no_verify, global, state_changes_only;
    struct kap_str host, username, password, from;
    int64_t port, idle_timeout_ns;
    struct kap_strings to, to_templates;
};

static enum kap_status args(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                            struct kap_error *err)
{
    return kap_arg_texts(&((struct options *)options)->to, arena, args, nargs, 0, "email", err);
}

static const struct kap_prop props[] = {
    KAP_OPTION(STRINGS_ADD, to, "to", "to", "Recipients; the configuration's when none."),
    KAP_OPTION(STRINGS_ADD, to_templates, "toTemplates", "to-templates", "Templates of further recipients."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Send email."),
    KAP_CONFIG(STRING, host, "host", "Mail server."),
    KAP_CONFIG(INT, port, "port", "Its port; TLS from the start on 465, else when the server offers it."),
    KAP_CONFIG(STRING, username, "username", "User."),
    KAP_SECRET(password, "password", "Password."),
    KAP_CONFIG(BOOL, no_verify, "no-verify", "Do not check the server's certificate."),
    KAP_CONFIG(DURATION, idle_timeout_ns, "idle-timeout", "Accepted; each message has its own connection."),
    KAP_CONFIG(STRING, from, "from", "Sender."),
    KAP_CONFIG(STRINGS, to, "to", "Default recipients."),
    KAP_CONFIG(STRINGS, to_templates, "to-templates", "Templates of default recipients."),
    KAP_CONFIG(BOOL, global, "global", "All alerts use this handler."),
    KAP_CONFIG(BOOL, state_changes_only, "state-changes-only", "With global: alerts tell of changes only."),
    KAP_PROPS_END,
};

static void init(void *options)
{
    kap_props_empty(options, props);
}

static void config_init(void *config)
{
    struct config *c = config;
    kap_props_empty(c, config_props);
    c->host = KAP_STR("localhost");
    c->port = 25;
    c->idle_timeout_ns = 30 * KAP_S;
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    const struct options *o = options;
    for (size_t i = 0; i < o->to_templates.n; i++)
        KAP_TRY(kap_event_render_check("to", o->to_templates.v[i], err));
    return KAP_OK;
}

/* --- the message --- */

/* One line, whatever is in it: encoded words where it is not plain ASCII. */
static void header(struct kap_buf *b, const char *name, struct kap_str value)
{
    bool plain = value.n < 900;
    for (size_t i = 0; i < value.n; i++)
        plain &= value.p[i] >= ' ' && value.p[i] < 127;
    kap_buf_addf(b, "%s: ", name);
    if (plain) {
        kap_buf_add(b, value);
        kap_buf_adds(b, "\r\n");
        return;
    }
    size_t room = 0;
    for (size_t i = 0; i < value.n;) {
        uint32_t rune;
        size_t n = kap_utf8_decode(value.p + i, value.n - i, &rune);
        n = n ? n : 1;
        if (room < 3 * n) {
            kap_buf_adds(b, i ? "?=\r\n =?UTF-8?Q?" : "=?UTF-8?Q?");
            room = 48;
        }
        for (size_t k = 0; k < n; k++)
            kap_buf_addf(b, "=%02X", (unsigned char)value.p[i + k]);
        room -= 3 * n;
        i += n;
    }
    kap_buf_adds(b, "?=\r\n");
}

static void quoted_printable(struct kap_buf *b, struct kap_str s)
{
    size_t column = 0;
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (c == '\n') {
            kap_buf_adds(b, "\r\n");
            column = 0;
            continue;
        }
        const bool ends_line = i + 1 == s.n || s.p[i + 1] == '\n';
        const bool plain = c > ' ' && c < 127 && c != '=' && !(c == '.' && column == 0);
        const bool blank = (c == ' ' || c == '\t') && !ends_line;
        if (column >= 72) {
            kap_buf_adds(b, "=\r\n");
            column = 0;
        }
        if (plain || blank) {
            kap_buf_addc(b, (char)c);
            column++;
        } else {
            kap_buf_addf(b, "=%02X", c);
            column += 3;
        }
    }
    kap_buf_adds(b, "\r\n");
}

static void message(struct kap_buf *b, const struct config *c, struct kap_strings to, const struct kap_event *ev)
{
    KAP_AUTO_BUF struct kap_buf all = { 0 }, identity = { 0 }, date = { 0 };
    for (size_t i = 0; i < to.n; i++)
        kap_buf_addf(&all, "%s%.*s", i ? ", " : "", KAP_STR_ARG(to.v[i]));
    /* The same for every attempt and on every member, so that a mailbox shows one. */
    const struct kap_str parts[] = { ev->topic, ev->task, ev->node, ev->run, ev->id };
    for (size_t i = 0; i < KAP_COUNT(parts); i++) {
        kap_buf_add(&identity, parts[i]);
        kap_buf_addc(&identity, '\0');
    }
    kap_buf_addf(&identity, "%lld %d %u", (long long)ev->time_ns, (int)ev->level, ev->nth);
    kap_time_format(&date, ev->time_ns, KAP_STR("Mon, 02 Jan 2006 15:04:05 +0000"));
    header(b, "From", c->from);
    header(b, "To", kap_buf_str(&all));
    header(b, "Subject", ev->message);
    header(b, "Date", kap_buf_str(&date));
    kap_buf_addf(b, "Message-ID: <%016llx.%016llx@kapacitor>\r\n",
                 (unsigned long long)kap_str_hash(kap_buf_str(&identity)),
                 (unsigned long long)kap_str_hash(kap_buf_str(&all)));
    kap_buf_adds(b, "MIME-Version: 1.0\r\nContent-Type: text/html; charset=UTF-8\r\n"
                    "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    quoted_printable(b, ev->details);
}

/* --- sending --- */

static enum kap_status add_rendered(struct kap_strings *to, size_t cap, struct kap_strings templates,
                                    const struct kap_event *ev, const struct kap_handler_env *env,
                                    struct kap_arena *arena, struct kap_error *err)
{
    for (size_t i = 0; i < templates.n && to->n < cap; i++) {
        struct kap_str s;
        KAP_TRY(kap_event_render("to", templates.v[i], ev, env, arena, &s, err));
        if (s.n)
            to->v[to->n++] = s;
    }
    return KAP_OK;
}

static enum kap_status recipients(const struct options *o, const struct config *c, const struct kap_event *ev,
                                  const struct kap_handler_env *env, struct kap_arena *arena, struct kap_strings *ret,
                                  struct kap_error *err)
{
    const size_t cap = o->to.n + o->to_templates.n + c->to.n + c->to_templates.n;
    struct kap_strings to = { KAP_ARENA_ARRAY(arena, struct kap_str, cap + 1), 0 };
    for (size_t i = 0; i < o->to.n; i++)
        to.v[to.n++] = o->to.v[i];
    KAP_TRY(add_rendered(&to, cap, o->to_templates, ev, env, arena, err));
    if (to.n == 0) {
        for (size_t i = 0; i < c->to.n; i++)
            to.v[to.n++] = c->to.v[i];
        KAP_TRY(add_rendered(&to, cap, c->to_templates, ev, env, arena, err));
    }
    for (size_t i = 0; i < to.n; i++)
        if (memchr(to.v[i].p, '\n', to.v[i].n) || memchr(to.v[i].p, '\r', to.v[i].n))
            return kap_fail(err, KAP_EINVAL, "recipient %zu holds a line break", i + 1);
    if (to.n == 0)
        return kap_fail(err, KAP_EINVAL, "not sending email, no recipients defined");
    *ret = to;
    return KAP_OK;
}

/* The address in "Name <address>", or all of it. */
static const char *address_of(struct kap_str s, struct kap_arena *arena)
{
    const char *open = memrchr(s.p, '<', s.n);
    const char *close = open ? memchr(open, '>', (size_t)(s.p + s.n - open)) : NULL;
    if (close)
        s = kap_strn(open + 1, (size_t)(close - open - 1));
    return kap_arena_printf(arena, "<%.*s>", KAP_STR_ARG(s));
}

static size_t give(char *to, size_t size, size_t n, void *ctx)
{
    struct kap_str *left = ctx;
    const size_t take = KAP_MIN(size * n, left->n);
    memcpy(to, left->p, take);
    *left = kap_strn(left->p + take, left->n - take);
    return take;
}

static enum kap_verdict judge(CURL *e, CURLcode code, const char *error, struct kap_error *err)
{
    if (code == CURLE_OK)
        return KAP_SENT;
    long reply = 0;
    curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &reply);
    kap_fail(err, KAP_EIO, "smtp: %s", *error ? error : curl_easy_strerror(code));
    return reply / 100 == 5 ? KAP_GIVE_UP : KAP_RETRY; /* 4yz is for now, 5yz for good */
}

static enum kap_verdict deliver(const struct config *c, struct kap_strings to, struct kap_str text,
                                struct kap_arena *arena, struct kap_error *err)
{
    CURL *e = curl_easy_init();
    if (!e) {
        kap_fail(err, KAP_EINTERNAL, "cannot start an SMTP session");
        return KAP_RETRY;
    }
    char error[CURL_ERROR_SIZE] = "";
    struct curl_slist *list = NULL;
    for (size_t i = 0; i < to.n; i++)
        list = curl_slist_append(list, address_of(to.v[i], arena));
    curl_easy_setopt(e, CURLOPT_URL, kap_arena_printf(arena, "%s://%.*s:%d/kapacitor", c->port == 465 ? "smtps" : "smtp",
                                                      KAP_STR_ARG(c->host), (int)c->port));
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(e, CURLOPT_TIMEOUT, 30L);
    curl_easy_setopt(e, CURLOPT_USE_SSL, (long)CURLUSESSL_TRY);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, c->no_verify ? 0L : 1L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, c->no_verify ? 0L : 2L);
    if (c->username.n) {
        curl_easy_setopt(e, CURLOPT_USERNAME, c->username.p);
        curl_easy_setopt(e, CURLOPT_PASSWORD, c->password.p);
    }
    curl_easy_setopt(e, CURLOPT_MAIL_FROM, address_of(c->from, arena));
    curl_easy_setopt(e, CURLOPT_MAIL_RCPT, list);
    curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, give);
    curl_easy_setopt(e, CURLOPT_READDATA, &text);
    const enum kap_verdict verdict = judge(e, curl_easy_perform(e), error, err);
    curl_slist_free_all(list);
    curl_easy_cleanup(e);
    return verdict;
}

static enum kap_verdict send_mail(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_error *err)
{
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled) {
        kap_service_off(err);
        return KAP_GIVE_UP;
    }
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct kap_strings to;
    if (recipients(options, c, ev, env, arena, &to, err) != KAP_OK)
        return KAP_GIVE_UP;
    KAP_AUTO_BUF struct kap_buf text = { 0 };
    message(&text, c, to, ev);
    return deliver(c, to, kap_buf_str(&text), arena, err);
}

const struct kap_handler_type kap_handler_smtp = {
    .kind = "smtp",
    .method = "email",
    .shown = "EmailHandler",
    .doc = "Sends each event as an email: the message is its subject, the details are its text in HTML.",
    .signature = "(to ...string)",
    .options_size = sizeof(struct options),
    .init = init,
    .args = args,
    .props = props,
    .check = check,
    .section = "smtp",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .send = send_mail,
};
