#include "base/duration.h"
#include "handlers/handlers.h"
#include "handlers/util.h"

#include <mosquitto.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_NS (10 * KAP_S)

struct options {
    struct kap_str broker, topic;
    int64_t qos;
    bool retained;
};

struct config {
    bool enabled, is_default, insecure_skip_verify;
    struct kap_str name, url, client_id, username, password, ssl_ca, ssl_cert, ssl_key;
};

static enum kap_status args(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                            struct kap_error *err)
{
    return kap_arg_text(&((struct options *)options)->topic, arena, args, nargs, 0, "mqtt", err);
}

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, broker, "brokerName", "broker-name", "Broker; the default one when empty."),
    KAP_OPTION(STRING, topic, NULL, "topic", "MQTT topic; a template."),
    KAP_OPTION(INT, qos, "qos", "qos", "Quality of service: 0, 1 or 2."),
    KAP_OPTION(BOOL, retained, "retained", "retained", "The broker keeps the message."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use this broker."),
    KAP_CONFIG(STRING, name, "name", "Name of the broker in scripts."),
    KAP_CONFIG(BOOL, is_default, "default", "The one meant where none is named."),
    KAP_CONFIG(STRING, url, "url", "URL: tcp://host:1883, ssl://host:8883."),
    KAP_CONFIG(STRING, client_id, "client-id", "Client ID; a random one when empty."),
    KAP_CONFIG(STRING, username, "username", "User."),
    KAP_SECRET(password, "password", "Password."),
    KAP_CONFIG(STRING, ssl_ca, "ssl-ca", "PEM file of the authorities to trust."),
    KAP_CONFIG(STRING, ssl_cert, "ssl-cert", "PEM file of the client's certificate."),
    KAP_CONFIG(STRING, ssl_key, "ssl-key", "PEM file of the client's key."),
    KAP_CONFIG(BOOL, insecure_skip_verify, "insecure-skip-verify", "Do not check the server's certificate."),
    KAP_PROPS_END,
};

static void init(void *options)
{
    kap_props_empty(options, props);
}

static void config_init(void *config)
{
    kap_props_empty(config, config_props);
    ((struct config *)config)->name = KAP_STR("default");
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    const struct options *o = options;
    if (o->topic.n == 0)
        return kap_fail(err, KAP_EINVAL, "missing MQTT topic");
    if (o->qos < 0 || o->qos > 2)
        return kap_fail(err, KAP_EINVAL, "invalid MQTT QoS level %lld", (long long)o->qos);
    return kap_event_render_check("topic", o->topic, err);
}

static const struct config *config_of(const struct options *o, const struct kap_handler_env *env)
{
    const struct config *v = env->config;
    for (size_t i = 0; i < env->nconfigs; i++)
        if (o->broker.n ? kap_str_eq(v[i].name, o->broker) : v[i].is_default || env->nconfigs == 1)
            return &v[i];
    return NULL;
}

/* --- one message, one connection --- */

struct session {
    bool connected, published;
    int refused; /* the broker's reason */
    int mid;
};

static void on_connect(struct mosquitto *m, void *ctx, int rc)
{
    struct session *s = ctx;
    s->connected = rc == 0;
    s->refused = rc;
}

static void on_publish(struct mosquitto *m, void *ctx, int mid)
{
    struct session *s = ctx;
    s->published |= mid == s->mid;
}

static int64_t mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * KAP_S + t.tv_nsec;
}

static int loop_until(struct mosquitto *m, const struct session *s, const bool *flag)
{
    const int64_t until_ns = mono_ns() + TIMEOUT_NS;
    while (!*flag && !s->refused) {
        if (mono_ns() > until_ns)
            return MOSQ_ERR_CONN_LOST;
        const int rc = mosquitto_loop(m, 100, 1);
        if (rc != MOSQ_ERR_SUCCESS)
            return rc;
    }
    return MOSQ_ERR_SUCCESS;
}

/* "tcp://host:port"; false: not of that form. */
static bool split_url(struct kap_str url, struct kap_arena *arena, const char **host, int *port, bool *tls)
{
    const char *p = memmem(url.p, url.n, "://", 3);
    if (!p)
        return false;
    const struct kap_str scheme = kap_strn(url.p, (size_t)(p - url.p));
    *tls = kap_str_is(scheme, "ssl") || kap_str_is(scheme, "tls") || kap_str_is(scheme, "mqtts");
    if (!*tls && !kap_str_is(scheme, "tcp") && !kap_str_is(scheme, "mqtt"))
        return false;
    struct kap_str rest = kap_strn(p + 3, (size_t)(url.p + url.n - p - 3));
    const char *colon = memrchr(rest.p, ':', rest.n);
    int64_t number = *tls ? 8883 : 1883;
    if (colon) {
        if (!kap_str_to_i64(kap_strn(colon + 1, (size_t)(rest.p + rest.n - colon - 1)), &number))
            return false;
        rest.n = (size_t)(colon - rest.p);
    }
    *host = kap_cstr(arena, rest);
    *port = (int)number;
    return rest.n > 0 && number > 0 && number < 65536;
}

static int set_up(struct mosquitto *m, const struct config *c, bool tls)
{
    mosquitto_connect_callback_set(m, on_connect);
    mosquitto_publish_callback_set(m, on_publish);
    if (c->username.n && mosquitto_username_pw_set(m, c->username.p, c->password.p) != MOSQ_ERR_SUCCESS)
        return MOSQ_ERR_INVAL;
    if (!tls)
        return MOSQ_ERR_SUCCESS;
    const int rc = mosquitto_tls_set(m, c->ssl_ca.n ? c->ssl_ca.p : NULL, c->ssl_ca.n ? NULL : "/etc/ssl/certs",
                                     c->ssl_cert.n ? c->ssl_cert.p : NULL, c->ssl_key.n ? c->ssl_key.p : NULL, NULL);
    if (rc != MOSQ_ERR_SUCCESS)
        return rc;
    if (c->insecure_skip_verify)
        mosquitto_tls_opts_set(m, 0, NULL, NULL);
    return mosquitto_tls_insecure_set(m, c->insecure_skip_verify);
}

static enum kap_verdict publish(struct mosquitto *m, struct session *s, const struct options *o, struct kap_str topic,
                                struct kap_str text, struct kap_error *err)
{
    int rc = loop_until(m, s, &s->connected);
    if (rc == MOSQ_ERR_SUCCESS && s->refused) {
        kap_fail(err, KAP_EIO, "mqtt: the broker refused: %s", mosquitto_connack_string(s->refused));
        return KAP_RETRY;
    }
    if (rc == MOSQ_ERR_SUCCESS)
        rc = mosquitto_publish(m, &s->mid, topic.p, (int)text.n, text.p, (int)o->qos, o->retained);
    if (rc == MOSQ_ERR_SUCCESS)
        rc = loop_until(m, s, &s->published);
    if (rc == MOSQ_ERR_SUCCESS)
        return KAP_SENT;
    kap_fail(err, KAP_EIO, "mqtt: %s", mosquitto_strerror(rc));
    return rc == MOSQ_ERR_INVAL || rc == MOSQ_ERR_PAYLOAD_SIZE || rc == MOSQ_ERR_MALFORMED_UTF8 ? KAP_GIVE_UP : KAP_RETRY;
}

static void start_library(void)
{
    mosquitto_lib_init();
}

static enum kap_verdict send(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const struct options *o = options;
    const struct config *c = config_of(o, env);
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct kap_str topic;
    const char *host;
    int port;
    bool tls;
    if (!c || !c->enabled) {
        kap_service_off(err);
        return KAP_GIVE_UP;
    }
    if (!split_url(c->url, arena, &host, &port, &tls)) {
        kap_fail(err, KAP_EINVAL, "mqtt: the URL must be tcp://host:port or ssl://host:port");
        return KAP_GIVE_UP;
    }
    if (kap_event_render("topic", o->topic, ev, env, arena, &topic, err) != KAP_OK)
        return KAP_GIVE_UP;
    pthread_once(&once, start_library);
    struct session s = { 0 };
    struct mosquitto *m = mosquitto_new(c->client_id.n ? c->client_id.p : NULL, true, &s);
    enum kap_verdict verdict = KAP_RETRY;
    int rc = m ? set_up(m, c, tls) : MOSQ_ERR_NOMEM;
    if (rc == MOSQ_ERR_SUCCESS)
        rc = mosquitto_connect(m, host, port, 30);
    if (rc == MOSQ_ERR_SUCCESS)
        verdict = publish(m, &s, o, kap_arena_str(arena, topic), ev->message, err);
    else
        kap_fail(err, KAP_EIO, "mqtt: %s: %s", host, mosquitto_strerror(rc));
    if (m) {
        mosquitto_disconnect(m);
        mosquitto_destroy(m);
    }
    return verdict;
}

const struct kap_handler_type kap_handler_mqtt = {
    .kind = "mqtt",
    .method = "mqtt",
    .shown = "MQTTHandler",
    .doc = "Publishes the message of each event to an MQTT broker.",
    .signature = "(topic string)",
    .options_size = sizeof(struct options),
    .init = init,
    .args = args,
    .props = props,
    .check = check,
    .section = "mqtt",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .config_many = true,
    .send = send,
};
