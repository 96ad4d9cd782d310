/* Ingress queues: responses, the free lists behind them, and their interrupts. */

#include "vmcoredd/emu/engine/internal.h"

int engine_cpl(struct engine *engine, uint32_t ingress, const void *cpl, uint32_t length)
{
    (void)engine, (void)ingress, (void)cpl, (void)length;
    return ENGINE_DONE;
}

void ingress_gts(struct engine *engine, uint32_t id, uint32_t increment, uint32_t timer,
                 bool count_armed)
{
    (void)engine, (void)id, (void)increment, (void)timer, (void)count_armed;
}

uint64_t ingress_run(struct engine *engine)
{
    (void)engine;
    return UINT64_MAX;
}
