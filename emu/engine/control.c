/* Requests of control queues: L2T, SMT, TCB, filters. */

#include "vmcoredd/emu/engine/internal.h"

int control_request(struct engine *engine, struct egress *queue, const uint8_t *request,
                    uint32_t length)
{
    (void)engine, (void)queue, (void)request, (void)length;
    return ENGINE_DONE;
}
