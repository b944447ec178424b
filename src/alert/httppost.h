/* [[httppost]]: endpoints that post handlers and httpPost nodes name.
 * Ownership: in the configuration. Threads: read-only. */
#ifndef KAP_ALERT_HTTPPOST_H
#define KAP_ALERT_HTTPPOST_H

#include "alert/handler.h"

struct kap_httppost_header { struct kap_str name, value; };

struct kap_httppost_endpoint {
    struct kap_str endpoint;             /* its name */
    struct kap_str url;                  /* a template */
    struct kap_httppost_header *headers;
    size_t nheaders;
    struct kap_str username, password;   /* basic-auth */
    struct kap_str alert_template, alert_template_file, row_template, row_template_file;
};

/* The section's table, used by the post handler's descriptor. */
extern const struct kap_prop kap_httppost_props[];
void kap_httppost_init(void *endpoint);

#endif
