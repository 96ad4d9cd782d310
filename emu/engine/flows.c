/* Flows of Ethernet offload, which drivers use to give each of many queues of theirs a traffic
 * class.
 *
 * A driver opens a flow with FW_FLOWC_WR and sends its frames with FW_ETH_TX_EO_WR, through an
 * egress queue for offload that other flows use as well. It may have only so many units of work
 * requests of a flow on their way. Once a request that asks for it (COMPL) is done, CPL_FW4_ACK
 * gives back the units of all requests since the last one; the queue waits if it has no room. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    MOST_CREDITS = 255,    /* in a message; the next one gives back the rest */
    NO_CLASS = UINT32_MAX, /* FW_FLOWC_MNEM_SCHEDCLASS of a flow without a class */
};

bool flows_find(struct engine *engine, uint32_t id, const uint8_t *request)
{
    struct egress *queue = &engine->egress[id];
    uint64_t opcode = get(request, WR_OP), number = get(request, WR_FLOWID);
    const struct flow *flow = &engine->flows[number % ENGINE_FLOWS];

    queue->flow = 0;
    if (opcode != FW_FLOWC_WR && opcode != FW_ETH_TX_EO_WR)
        return true;
    if (number >= ENGINE_FLOWS || (flow->open ? flow->pf != queue->pf : opcode != FW_FLOWC_WR))
        return false;
    queue->flow = (uint16_t)(number + 1);
    return true;
}

/* Sets a parameter of a flow; those of connections mean nothing here. False: it makes no sense. */
static bool set(const struct engine *engine, struct flow *flow, uint32_t which, uint32_t value)
{
    switch (which) {
    case FW_FLOWC_MNEM_CH:
        flow->port = (uint8_t)value;
        return value < ENGINE_PORTS;
    case FW_FLOWC_MNEM_IQID:
        flow->ingress = (uint16_t)value;
        return value < ENGINE_QUEUES && engine->ingress[value].entries &&
               engine->ingress[value].pf == flow->pf;
    case FW_FLOWC_MNEM_SCHEDCLASS:
        flow->traffic_class = value < ENGINE_CLASSES ? (uint8_t)value : ENGINE_NO_CLASS;
        return value < ENGINE_CLASSES || value == NO_CLASS;
    case FW_FLOWC_MNEM_EOSTATE:
        flow->open = value == FW_FLOWC_MNEM_EOSTATE_ESTABLISHED;
        return flow->open || value == FW_FLOWC_MNEM_EOSTATE_CLOSING;
    default:
        return which < FW_FLOWC_MNEM_MAX;
    }
}

enum outcome flows_request(struct engine *engine, uint32_t id, const uint8_t *request,
                           uint32_t length)
{
    const struct egress *queue = &engine->egress[id];
    const uint8_t *parameter = request + FLOWC_WR_BYTES;
    uint64_t count = get(request, FLOWC_WR_NPARAMS);
    struct flow wanted = {.open = 1,
                          .pf = queue->pf,
                          .port = queue->port,
                          .ingress = queue->ingress,
                          .traffic_class = ENGINE_NO_CLASS};

    if (!queue->flow || FLOWC_WR_BYTES + count * FLOWC_PARAM_BYTES > length)
        return OUTCOME_NONSENSE;
    if (engine->flows[queue->flow - 1].open)
        wanted = engine->flows[queue->flow - 1];
    for (; count; count--, parameter += FLOWC_PARAM_BYTES)
        if (!set(engine, &wanted, (uint32_t)get(parameter, FLOWC_PARAM_MNEMONIC),
                 (uint32_t)get(parameter, FLOWC_PARAM_VAL)))
            return OUTCOME_NONSENSE;
    engine->flows[queue->flow - 1] = wanted;
    return OUTCOME_DONE;
}

bool flows_done(struct engine *engine, uint32_t id, const uint8_t *request)
{
    engine->flows[engine->egress[id].flow - 1].units += (uint32_t)get(request, WR_LEN16);
    return get(request, WR_COMPL);
}

int flows_acknowledge(struct engine *engine, uint32_t id)
{
    const struct egress *queue = &engine->egress[id];
    struct flow *flow = &engine->flows[queue->flow - 1];
    uint32_t credits = flow->units < MOST_CREDITS ? flow->units : MOST_CREDITS;
    uint8_t message[RSS_BYTES + FW4_ACK_BYTES] = {0}, *ack = message + RSS_BYTES;

    if (flow->pf != queue->pf)
        return ENGINE_DONE; /* it was closed, and is another function's now */
    put(message, RSS_OPCODE, CPL_FW4_ACK);
    put(message, RSS_QID, flow->ingress);
    put(ack, FW4_ACK_OPCODE, CPL_FW4_ACK);
    put(ack, FW4_ACK_FLOWID, queue->flow - 1u);
    put(ack, FW4_ACK_CREDITS, credits);
    if (engine_cpl(engine, flow->ingress, message, sizeof(message)) == ENGINE_HELD)
        return ENGINE_HELD;
    flow->units -= credits;
    return ENGINE_DONE;
}

void flows_close(struct engine *engine, int pf)
{
    for (uint32_t i = 0; i < ENGINE_FLOWS; i++)
        if (pf < 0 || engine->flows[i].pf == pf)
            memset(&engine->flows[i], 0, sizeof(engine->flows[i]));
}
