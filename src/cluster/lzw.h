/* LZW as the gossip wire compresses: the GIF variant without sub-blocks (LSB first, 8-bit literals, code widths
 * 9 to 12 counted in codes, no early change). Source: GIF89a, appendix F, and section 5 of the wire notes.
 * Ownership: appends to the caller's buffer. Memory: 50 KiB of stack. */
#ifndef KAP_CLUSTER_LZW_H
#define KAP_CLUSTER_LZW_H

#include "base/buf.h"

/* KAP_EINVAL: damaged. KAP_ELIMIT: longer than limit_bytes. On failure `out` is as long as before. */
enum kap_status kap_lzw_decode(struct kap_str in, size_t limit_bytes, struct kap_buf *out, struct kap_error *err);
void kap_lzw_encode(struct kap_str in, struct kap_buf *out);

#endif
