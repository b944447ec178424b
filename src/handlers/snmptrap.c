/* Version 2c traps (RFC 3416 section 4.2.6) with net-snmp's single-session functions, which threads may share. */
#include <net-snmp/net-snmp-config.h>

#include <net-snmp/net-snmp-includes.h>

#include "alert/spec.h"
#include "handlers/handlers.h"
#include "handlers/util.h"

#include <pthread.h>

struct datum {
    struct kap_str oid, type, value; /* type: c i n s t; value: a template */
};

struct options {
    struct kap_str trap_oid;
    struct datum *data;
    size_t ndata;
};

struct config {
    bool enabled;
    struct kap_str addr, community;
    int64_t retries;
};

static void add_datum(struct options *o, struct kap_arena *arena, struct datum d)
{
    struct datum *v = KAP_ARENA_ARRAY(arena, struct datum, o->ndata + 1);
    if (o->ndata)
        memcpy(v, o->data, o->ndata * sizeof *v);
    v[o->ndata++] = d;
    o->data = v;
}

static enum kap_status args(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                            struct kap_error *err)
{
    return kap_arg_text(&((struct options *)options)->trap_oid, arena, args, nargs, 0, "snmpTrap", err);
}

static enum kap_status set_data(void *options, struct kap_arena *arena, const struct kap_arg *args, size_t nargs,
                                struct kap_error *err)
{
    struct datum d;
    KAP_TRY(kap_arg_text(&d.oid, arena, args, nargs, 0, "data", err));
    KAP_TRY(kap_arg_text(&d.type, arena, args, nargs, 1, "data", err));
    KAP_TRY(kap_arg_text(&d.value, arena, args, nargs, 2, "data", err));
    add_datum(options, arena, d);
    return KAP_OK;
}

static struct kap_str member(const json_t *object, const char *key, struct kap_arena *arena)
{
    const char *s = json_string_value(json_object_get(object, key));
    return kap_arena_str(arena, kap_str(s ? s : ""));
}

static enum kap_status option(void *options, struct kap_arena *arena, const char *key, const struct json_t *value,
                              struct kap_error *err)
{
    if (strcasecmp(key, "data-list") != 0)
        return KAP_ENOTFOUND;
    if (!json_is_array(value))
        return kap_option_type_error(err, key, "[]snmptrap.Data", value);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_object(item))
            return kap_option_type_error(err, key, "snmptrap.Data", item);
        add_datum(options, arena, (struct datum){ member(item, "oid", arena), member(item, "type", arena),
                                                  member(item, "value", arena) });
    }
    return KAP_OK;
}

static const struct kap_prop props[] = {
    KAP_OPTION(STRING, trap_oid, NULL, "trap-oid", "OID of the trap."),
    { .kind = KAP_PROP_CALL, .name = "data", .set = set_data,
      .signature = "(oid string, type string, value string)",
      .doc = "Adds a variable: type c (counter), i (integer), n (null), s (text) or t (time ticks); value is a template." },
    KAP_PROPS_END,
};

static const struct kap_prop config_props[] = {
    KAP_CONFIG(BOOL, enabled, "enabled", "Send SNMP traps."),
    KAP_CONFIG(STRING, addr, "addr", "Where to, as host:port."),
    KAP_SECRET(community, "community", "Community."),
    KAP_CONFIG(INT, retries, "retries", "Accepted; a trap is not confirmed."),
    KAP_PROPS_END,
};

static void init(void *options)
{
    kap_props_empty(options, props);
}

static void config_init(void *config)
{
    struct config *c = config;
    c->addr = KAP_STR("localhost:162");
    c->community = KAP_STR("kapacitor");
    c->retries = 1;
}

/* "1.3.6.1.4.1": false when it is not such a list of numbers. */
static bool parse_oid(struct kap_str s, oid *ret, size_t *n)
{
    *n = 0;
    if (s.n && s.p[0] == '.')
        s = kap_strn(s.p + 1, s.n - 1);
    while (s.n) {
        const char *dot = memchr(s.p, '.', s.n);
        const size_t digits = dot ? (size_t)(dot - s.p) : s.n;
        int64_t part;
        if (*n == MAX_OID_LEN || !kap_str_to_i64(kap_strn(s.p, digits), &part) || part < 0 || part > UINT32_MAX)
            return false;
        ret[(*n)++] = (oid)part;
        s = dot ? kap_strn(dot + 1, s.n - digits - 1) : kap_strn(s.p + digits, 0);
        if (dot && s.n == 0)
            return false;
    }
    return *n >= 2;
}

static enum kap_status check(const void *options, const struct kap_handler_env *env, struct kap_error *err)
{
    const struct options *o = options;
    oid parsed[MAX_OID_LEN];
    size_t n;
    if (o->trap_oid.n == 0)
        return kap_fail(err, KAP_EINVAL, "you must supply a trap Oid");
    if (!parse_oid(o->trap_oid, parsed, &n))
        return kap_fail(err, KAP_EINVAL, "invalid trap Oid \"%.*s\"", KAP_STR_ARG(o->trap_oid));
    for (size_t i = 0; i < o->ndata; i++) {
        const struct datum *d = &o->data[i];
        if (d->type.n != 1 || !strchr("cinst", d->type.p[0]))
            return kap_fail(err, KAP_EINVAL, "unsupported data type \"%.*s\" for data entry \"%.*s\"",
                            KAP_STR_ARG(d->type), KAP_STR_ARG(d->oid));
        if (!parse_oid(d->oid, parsed, &n))
            return kap_fail(err, KAP_EINVAL, "invalid data Oid \"%.*s\"", KAP_STR_ARG(d->oid));
        KAP_TRY(kap_event_render_check("data", d->value, err));
    }
    return KAP_OK;
}

static void start_library(void)
{
    /* Without init_snmp(), which would read the MIBs and the files of the machine's SNMP tools: OIDs are numbers here. */
    netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_DONT_READ_CONFIGS, 1);
    netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_DONT_PERSIST_STATE, 1);
    snmp_disable_log();
}

static enum kap_status add_variable(netsnmp_pdu *pdu, const struct datum *d, struct kap_str value,
                                    struct kap_error *err)
{
    oid name[MAX_OID_LEN];
    size_t n;
    int64_t number = 0;
    if (!parse_oid(d->oid, name, &n))
        return kap_fail(err, KAP_EINVAL, "invalid data Oid \"%.*s\"", KAP_STR_ARG(d->oid));
    const char type = d->type.p[0];
    if (type != 's' && type != 'n' && !kap_str_to_i64(value, &number))
        return kap_fail(err, KAP_EINVAL, "data entry \"%.*s\" must be a whole number, not \"%.*s\"", KAP_STR_ARG(d->oid),
                        KAP_STR_ARG(value));
    const int32_t integer = (int32_t)number;
    const u_int ticks = (u_int)number;
    long wide = integer;
    u_long unsigned_wide = ticks;
    struct counter64 counter = { .high = (u_long)((uint64_t)number >> 32), .low = (u_long)((uint64_t)number & UINT32_MAX) };
    switch (type) {
    case 'c':
        snmp_pdu_add_variable(pdu, name, n, ASN_COUNTER64, &counter, sizeof counter);
        break;
    case 'i':
        snmp_pdu_add_variable(pdu, name, n, ASN_INTEGER, &wide, sizeof wide);
        break;
    case 't':
        snmp_pdu_add_variable(pdu, name, n, ASN_TIMETICKS, &unsigned_wide, sizeof unsigned_wide);
        break;
    case 'n':
        snmp_pdu_add_variable(pdu, name, n, ASN_NULL, NULL, 0);
        break;
    default:
        snmp_pdu_add_variable(pdu, name, n, ASN_OCTET_STR, value.p, value.n);
        break;
    }
    return KAP_OK;
}

static enum kap_status fill(netsnmp_pdu *pdu, const struct options *o, const struct kap_handler_env *env,
                            const struct kap_event *ev, struct kap_arena *arena, struct kap_error *err)
{
    static const oid up_time[] = { 1, 3, 6, 1, 2, 1, 1, 3, 0 }, trap[] = { 1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0 };
    u_long ticks = 1000;
    oid value[MAX_OID_LEN];
    size_t n;
    if (!parse_oid(o->trap_oid, value, &n))
        return kap_fail(err, KAP_EINVAL, "invalid trap Oid \"%.*s\"", KAP_STR_ARG(o->trap_oid));
    snmp_pdu_add_variable(pdu, up_time, KAP_COUNT(up_time), ASN_TIMETICKS, &ticks, sizeof ticks);
    snmp_pdu_add_variable(pdu, trap, KAP_COUNT(trap), ASN_OBJECT_ID, value, n * sizeof *value);
    for (size_t i = 0; i < o->ndata; i++) {
        struct kap_str text;
        KAP_TRY(kap_event_render("data", o->data[i].value, ev, env, arena, &text, err));
        KAP_TRY(add_variable(pdu, &o->data[i], text, err));
    }
    return KAP_OK;
}

static enum kap_verdict transmit(const struct config *c, netsnmp_pdu *pdu, struct kap_arena *arena,
                                 struct kap_error *err)
{
    netsnmp_session session;
    snmp_sess_init(&session);
    session.version = SNMP_VERSION_2c;
    session.peername = kap_arena_printf(arena, "udp:%.*s", KAP_STR_ARG(c->addr));
    session.community = (u_char *)kap_arena_strdup(arena, c->community.p);
    session.community_len = c->community.n;
    void *handle = snmp_sess_open(&session);
    if (!handle) {
        snmp_free_pdu(pdu);
        kap_fail(err, KAP_EIO, "snmptrap: %.*s: %s", KAP_STR_ARG(c->addr), snmp_api_errstring(session.s_snmp_errno));
        return KAP_RETRY;
    }
    const bool sent = snmp_sess_send(handle, pdu) != 0;
    if (!sent) {
        snmp_free_pdu(pdu);
        kap_fail(err, KAP_EIO, "snmptrap: %.*s: the trap could not be sent", KAP_STR_ARG(c->addr));
    }
    snmp_sess_close(handle);
    return sent ? KAP_SENT : KAP_RETRY;
}

static enum kap_verdict send_trap(const void *options, const struct kap_handler_env *env, const struct kap_event *ev,
                                  struct kap_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const struct config *c = env->config;
    if (!c || env->nconfigs == 0 || !c->enabled) {
        kap_service_off(err);
        return KAP_GIVE_UP;
    }
    pthread_once(&once, start_library);
    KAP_AUTO_ARENA struct kap_arena *arena = kap_arena_new();
    pthread_mutex_lock(&lock); /* request IDs and the like are the library's globals */
    netsnmp_pdu *pdu = snmp_pdu_create(SNMP_MSG_TRAP2);
    enum kap_verdict verdict = KAP_GIVE_UP;
    if (fill(pdu, options, env, ev, arena, err) == KAP_OK)
        verdict = transmit(c, pdu, arena, err);
    else
        snmp_free_pdu(pdu);
    pthread_mutex_unlock(&lock);
    return verdict;
}

const struct kap_handler_type kap_handler_snmptrap = {
    .kind = "snmptrap",
    .method = "snmpTrap",
    .shown = "SNMPTrapHandler",
    .doc = "Sends an SNMP trap for each event.",
    .signature = "(trapOid string)",
    .options_size = sizeof(struct options),
    .init = init,
    .args = args,
    .props = props,
    .option = option,
    .check = check,
    .section = "snmptrap",
    .config_size = sizeof(struct config),
    .config_init = config_init,
    .config_props = config_props,
    .send = send_trap,
};
