/* Doorbells: the indices that the driver moves, in BAR2 and in SGE_PF_*. */

#include "vmcoredd/emu/engine/internal.h"

void engine_bar2_written(struct engine *engine, uint32_t offset, uint32_t length)
{
    (void)engine, (void)offset, (void)length;
}

void engine_kdoorbell(struct engine *engine, uint32_t value)
{
    (void)engine, (void)value;
}

void engine_gts(struct engine *engine, uint32_t value)
{
    ingress_gts(engine, field(value, MYPF_SGE_PF_GTS_INGRESSQID),
                field(value, MYPF_SGE_PF_GTS_CIDXINC), field(value, MYPF_SGE_PF_GTS_TIMERREG),
                value & MYPF_SGE_PF_GTS_SEINTARM);
}
