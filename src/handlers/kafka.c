#include "base/duration.h"
#include "base/map.h"
#include "handlers/handlers.h"
#include "handlers/util.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

struct options {
    struct kap_str cluster, topic, template, algorithm;
    bool no_partition_by_id;
};

struct config {
    bool enabled, use_ssl, insecure_skip_verify;
    struct kap_str id, ssl_ca, ssl_cert, ssl_key;
    struct kap_str sasl_username, sasl_password, sasl_mechanism;
    struct kap_strings brokers;
    int64_t timeout_ns, batch_size, batch_timeout_ns;
};

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, cluster, "cluster", "cluster", "Cluster; \"default\" when empty."),
    KAP_OPTION(STRING, topic, "kafkaTopic", "topic", "Kafka topic."),
    KAP_OPTION(STRING, template, "template", "template", "Template of the message; JSON of the event when empty."),
    KAP_OPTION(FLAG, no_partition_by_id, "disablePartitionById", "disablePartitionById",
               "Do not choose the partition by the event ID."),
    KAP_OPTION(STRING, algorithm, "partitionHashAlgorithm", "partitionAlgorithm", "crc32, murmur2 or fnv-1a."),
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Use this cluster."),
    KAP_CONFIG(STRING, id, "id", "Name of the cluster in scripts."),
    KAP_CONFIG(STRINGS, brokers, "brokers", "Brokers as host:port."),
    KAP_CONFIG(DURATION, timeout_ns, "timeout", "Limit of one message; 10s when 0."),
    KAP_CONFIG(INT, batch_size, "batch-size", "Most messages in one request; 100 when 0."),
    KAP_CONFIG(DURATION, batch_timeout_ns, "batch-timeout", "Accepted; messages go at once."),
    KAP_CONFIG(BOOL, use_ssl, "use-ssl", "Use TLS."),
    KAP_CONFIG(STRING, ssl_ca, "ssl-ca", "PEM file of the authorities to trust."),
    KAP_CONFIG(STRING, ssl_cert, "ssl-cert", "PEM file of the client's certificate."),
    KAP_CONFIG(STRING, ssl_key, "ssl-key", "PEM file of the client's key."),
    KAP_CONFIG(BOOL, insecure_skip_verify, "insecure-skip-verify", "Do not check the brokers' certificates."),
    KAP_CONFIG(STRING, sasl_username, "sasl-username", "User."),
    KAP_SECRET(sasl_password, "sasl-password", "Password."),
    KAP_CONFIG(STRING, sasl_mechanism, "sasl-mechanism", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."),
    KAP_PROPS_END,
};

static void init(void *options)
{
    kap_props_empty(options, props);
}

static void config_init(void *config)
{
    kap_props_empty(config, config_props);
    ((struct config *)config)->id = KAP_STR("default");
}

/* librdkafka's name of the algorithm; NULL: not known. */
static const char *partitioner_of(const struct options *o)
{
    if (o->no_partition_by_id)
        return "random";
    if (o->algorithm.n == 0 || kap_str_is(o->algorithm, "crc32"))
        return "consistent";
    if (kap_str_is(o->algorithm, "murmur2"))
        return "murmur2";
    return kap_str_is(o->algorithm, "fnv-1a") ? "fnv1a" : NULL;
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    const struct options *o = options;
    if (o->topic.n == 0)
        return kap_fail(err, KAP_EINVAL, "kafka topic must not be empty");
    if (!partitioner_of(o))
        return kap_fail(err, KAP_EINVAL, "invalid Kafka partition hash algorithm: \"%.*s\"", KAP_STR_ARG(o->algorithm));
    return kap_event_render_check("body", o->template, err);
}

static const struct config *config_of(const struct options *o, const struct kap_handler_env *env)
{
    const struct kap_str wanted = kap_or(o->cluster, KAP_STR("default"));
    const struct config *v = env->config;
    for (size_t i = 0; i < env->nconfigs; i++)
        if (kap_str_eq(v[i].id, wanted))
            return &v[i];
    return NULL;
}

/* --- producers: one for each cluster and algorithm, kept as long as the process --- */

static pthread_mutex_t producers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kap_map *producers;

struct report {
    _Atomic int result; /* 0: not yet; 1: delivered; else what went wrong */
};

static void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *ctx)
{
    struct report *r = m->_private;
    r->result = m->err == RD_KAFKA_RESP_ERR_NO_ERROR ? 1 : -(int)m->err - 1000;
}

static enum kap_status set(rd_kafka_conf_t *conf, const char *name, const char *value, struct kap_error *err)
{
    char error[256];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        return kap_fail(err, KAP_EINVAL, "kafka: %s", error);
    return KAP_OK;
}

static const char *protocol_of(const struct config *c)
{
    if (c->sasl_mechanism.n)
        return c->use_ssl ? "sasl_ssl" : "sasl_plaintext";
    return c->use_ssl ? "ssl" : "plaintext";
}

static enum kap_status set_security(rd_kafka_conf_t *conf, const struct config *c, struct kap_error *err)
{
    KAP_TRY(set(conf, "security.protocol", protocol_of(c), err));
    if (c->sasl_mechanism.n) {
        KAP_TRY(set(conf, "sasl.mechanism", c->sasl_mechanism.p, err));
        KAP_TRY(set(conf, "sasl.username", c->sasl_username.p, err));
        KAP_TRY(set(conf, "sasl.password", c->sasl_password.p, err));
    }
    if (!c->use_ssl)
        return KAP_OK;
    if (c->ssl_ca.n)
        KAP_TRY(set(conf, "ssl.ca.location", c->ssl_ca.p, err));
    if (c->ssl_cert.n)
        KAP_TRY(set(conf, "ssl.certificate.location", c->ssl_cert.p, err));
    if (c->ssl_key.n)
        KAP_TRY(set(conf, "ssl.key.location", c->ssl_key.p, err));
    return set(conf, "enable.ssl.certificate.verification", c->insecure_skip_verify ? "false" : "true", err);
}

static enum kap_status set_all(rd_kafka_conf_t *conf, const struct config *c, const char *brokers,
                               const char *partitioner, struct kap_error *err)
{
    char number[32];
    KAP_TRY(set(conf, "bootstrap.servers", brokers, err));
    KAP_TRY(set(conf, "client.id", "kapacitor", err));
    KAP_TRY(set(conf, "log_level", "0", err)); /* what goes wrong is reported with the message */
    snprintf(number, sizeof number, "%lld", (long long)(c->batch_size > 0 ? c->batch_size : 100));
    KAP_TRY(set(conf, "batch.num.messages", number, err));
    KAP_TRY(set(conf, "linger.ms", "0", err));
    snprintf(number, sizeof number, "%lld", (long long)((c->timeout_ns > 0 ? c->timeout_ns : 10 * KAP_S) / KAP_MS));
    KAP_TRY(set(conf, "message.timeout.ms", number, err));
    KAP_TRY(set(conf, "partitioner", partitioner, err));
    return set_security(conf, c, err);
}

static enum kap_status new_producer(const struct config *c, const char *brokers, const char *partitioner,
                                    rd_kafka_t **ret, struct kap_error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const enum kap_status status = set_all(conf, c, brokers, partitioner, err);
    if (status != KAP_OK) {
        rd_kafka_conf_destroy(conf);
        return status;
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
    char error[256];
    *ret = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (*ret)
        return KAP_OK;
    rd_kafka_conf_destroy(conf);
    return kap_fail(err, KAP_EINVAL, "kafka: %s", error);
}

static enum kap_status producer(const struct config *c, const char *partitioner, rd_kafka_t **ret,
                                struct kap_error *err)
{
    KAP_AUTO_BUF struct kap_buf brokers = { 0 }, key = { 0 };
    for (size_t i = 0; i < c->brokers.n; i++)
        kap_buf_addf(&brokers, "%s%.*s", i ? "," : "", KAP_STR_ARG(c->brokers.v[i]));
    if (brokers.n == 0)
        return kap_fail(err, KAP_EINVAL, "kafka: no brokers are configured");
    kap_buf_addf(&key, "%s %.*s %s", partitioner, KAP_STR_ARG(c->id), brokers.p);
    pthread_mutex_lock(&producers_lock);
    if (!producers)
        producers = kap_map_new();
    enum kap_status status = KAP_OK;
    rd_kafka_t *rk = kap_map_get(producers, kap_buf_str(&key));
    if (!rk) {
        status = new_producer(c, brokers.p, partitioner, &rk, err);
        if (status == KAP_OK)
            kap_map_put(producers, kap_buf_str(&key), rk);
    }
    pthread_mutex_unlock(&producers_lock);
    *ret = rk;
    return status;
}

static enum kap_verdict produce(rd_kafka_t *rk, const struct options *o, struct kap_str key, struct kap_str body,
                                struct kap_error *err)
{
    struct report report = { 0 };
    const rd_kafka_resp_err_t rc = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(o->topic.p), RD_KAFKA_V_KEY(o->no_partition_by_id ? NULL : key.p,
                                                         o->no_partition_by_id ? 0 : key.n),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)body.p, body.n), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_OPAQUE(&report), RD_KAFKA_V_END);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR) {
        kap_fail(err, KAP_EIO, "kafka: %s", rd_kafka_err2str(rc));
        return rc == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ? KAP_GIVE_UP : KAP_RETRY;
    }
    while (report.result == 0) /* librdkafka reports every message, at the latest after message.timeout.ms */
        rd_kafka_poll(rk, 100);
    if (report.result == 1)
        return KAP_SENT;
    kap_fail(err, KAP_EIO, "kafka: %s", rd_kafka_err2str((rd_kafka_resp_err_t)(-(report.result + 1000))));
    return KAP_RETRY;
}

static enum kap_verdict send_message(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                             struct kap_error *err)
{
    const struct options *o = options;
    const struct config *c = config_of(o, env);
    if (!c || !c->enabled) {
        kap_service_off(err);
        return KAP_GIVE_UP;
    }
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    struct kap_str body;
    const enum kap_status status = o->template.n
                                       ? kap_event_render("body", o->template, ev, env, arena, &body, err)
                                       : kap_event_body(ev, arena, &body, err);
    if (status != KAP_OK)
        return KAP_GIVE_UP;
    rd_kafka_t *rk;
    if (producer(c, partitioner_of(o), &rk, err) != KAP_OK)
        return KAP_GIVE_UP;
    return produce(rk, o, ev->id, body, err);
}

const struct kap_handler_type kap_handler_kafka = {
    .kind = "kafka",
    .method = "kafka",
    .doc = "Produces each event, as JSON or as a template makes it, to a Kafka topic.",
    .signature = "()",
    .options_size = sizeof(struct options),
    .init = init,
    .props = props,
    .check = check,
    .section = "kafka",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .config_many = true,
    .send = send_message,
};
