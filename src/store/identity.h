/* The identity of this member: UUIDs in the files server.id and cluster.id of the data directory, where
 * users' installations have them; existing ones are adopted. Files are replaced whole (temporary file, fsync,
 * rename). The directory is made when it is missing, and locked (file kapacitord.lock) so that two daemons
 * never share one. Failure: KAP_EIO or KAP_EINVAL with the file's name. Threads: one at a time. */
#ifndef KAP_STORE_IDENTITY_H
#define KAP_STORE_IDENTITY_H

#include "base/error.h"
#include "base/uuid.h"

struct kap_identity {
    kap_uuid server_id, cluster_id;
    int lock_fd;
};

/* KAP_ESTATE: another process holds the directory. */
enum kap_status kap_identity_open(const char *data_dir, struct kap_identity *ret, struct kap_error *err);
void kap_identity_close(struct kap_identity *id);
enum kap_status kap_identity_set_cluster_id(const char *data_dir, struct kap_identity *id,
                                            const char *cluster_id, struct kap_error *err);

#endif
