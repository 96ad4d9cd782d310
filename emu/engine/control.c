/* Requests of control queues: L2T, SMT, TCB, filters. */

#include "vmcoredd/emu/engine/internal.h"

enum outcome control_request(struct engine *engine, uint32_t id, const uint8_t *request,
                             uint32_t length)
{
    (void)engine, (void)id, (void)request, (void)length;
    return OUTCOME_DONE;
}
