/* What handler files include: the descriptor that they export and the events that they are given. */
#ifndef KAP_ALERT_HANDLER_H
#define KAP_ALERT_HANDLER_H

#include "alert/event.h"
#include "pipeline/handler.h"

#endif
