/* Ports: links and statistics. */

#include "vmcoredd/emu/engine/internal.h"

int engine_send(struct engine *engine, uint32_t port, const struct frame *frame)
{
    struct port *sender = &engine->ports[port];

    if (sender->wire == WIRE_PORT)
        return engine_receive(engine, sender->peer, frame);
    return ENGINE_DONE;
}

void engine_update_links(struct engine *engine)
{
    (void)engine;
}

uint32_t ports_run(struct engine *engine, uint32_t budget)
{
    (void)engine, (void)budget;
    return 0;
}
