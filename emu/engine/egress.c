/* Egress queues: work requests, their scatter-gather lists, and what tells the driver that they are
 * done. */

#include "vmcoredd/emu/engine/internal.h"

uint32_t egress_run(struct engine *engine, uint32_t id, uint32_t budget)
{
    (void)engine, (void)id, (void)budget;
    return 0;
}
