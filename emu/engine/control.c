/* Requests to TP and to firmware: entries of the tables of neighbours (L2T) and source MACs (SMT),
 * which filters use (rewrite.c), filters and fields of their control blocks (filters.c). There are
 * no connections: requests about their fields have only replies. */

#include "vmcoredd/emu/engine/internal.h"

enum { REPLY = RSS_BYTES + SET_TCB_RPL_BYTES, UNIT = 16 };

/* Sends a reply, which begins with room for its RSS header. */
static enum outcome send_reply(struct engine *engine, uint64_t queue, uint8_t *reply)
{
    put(reply, RSS_OPCODE, reply[RSS_BYTES]);
    put(reply, RSS_QID, queue);
    return engine_cpl(engine, (uint32_t)queue, reply, REPLY) == ENGINE_HELD ? OUTCOME_HELD
                                                                            : OUTCOME_DONE;
}

/* Replies to CPL_L2T_WRITE_REQ or CPL_SMT_WRITE_REQ, which name an entry and a queue alike. */
static enum outcome entry_written(struct engine *engine, const uint8_t *cpl, uint32_t opcode)
{
    uint8_t reply[REPLY] = {0}, *answer = reply + RSS_BYTES;

    put(answer, WRITE_RPL_OPCODE, opcode);
    put(answer, WRITE_RPL_TID, get32(cpl));
    return send_reply(engine, get(cpl, L2T_WRITE_REQ_QID), reply);
}

static enum outcome field_set(struct engine *engine, const uint8_t *cpl)
{
    uint8_t reply[REPLY] = {0}, *answer = reply + RSS_BYTES;

    put(answer, SET_TCB_RPL_OPCODE, CPL_SET_TCB_RPL);
    put(answer, SET_TCB_RPL_TID, get(cpl, SET_TCB_FIELD_TID));
    put(answer, SET_TCB_RPL_COOKIE, get(cpl, SET_TCB_FIELD_COOKIE));
    put(answer, SET_TCB_RPL_WORD, get(cpl, SET_TCB_FIELD_WORD));
    return send_reply(engine, get(cpl, SET_TCB_FIELD_QUEUENO), reply);
}

/* Adds or deletes a filter, once; the reply may have to wait. `progress` is 1 + what it says. */
static enum outcome filter(struct engine *engine, uint32_t id, const uint8_t *request,
                           uint32_t length)
{
    uint8_t reply[REPLY] = {0}, *answer = reply + RSS_BYTES;
    bool nat = get(request, WR_OP) == FW_FILTER2_WR;
    struct egress *queue = &engine->egress[id];

    if (length < FILTER_WR_BYTES + (nat ? FILTER_NAT_BYTES : 0))
        return OUTCOME_NONSENSE;
    if (!queue->progress)
        queue->progress = 1 + filters_request(engine, queue->pf, request);
    if (get(request, FILTER_WR_NOREPLY))
        return OUTCOME_DONE;
    put(answer, SET_TCB_RPL_OPCODE, CPL_SET_TCB_RPL);
    put(answer, SET_TCB_RPL_TID, get(request, FILTER_WR_TID));
    put(answer, SET_TCB_RPL_COOKIE, queue->progress - 1);
    return send_reply(engine, get(request, FILTER_WR_RX_RPL_IQ), reply);
}

/* Handles a CPL to TP. */
static enum outcome to_tp(struct engine *engine, uint32_t id, const uint8_t *cpl, uint32_t length)
{
    uint32_t opcode = length ? *cpl : 0;

    if (opcode == CPL_L2T_WRITE_REQ && length >= L2T_WRITE_REQ_BYTES) {
        rewrite_set_neighbour(engine, cpl);
        return get(cpl, L2T_WRITE_REQ_NOREPLY) ? OUTCOME_DONE
                                               : entry_written(engine, cpl, CPL_L2T_WRITE_RPL);
    }
    if (opcode == CPL_SMT_WRITE_REQ && length >= SMT_WRITE_REQ_BYTES) {
        rewrite_set_sources(engine, cpl);
        return get(cpl, SMT_WRITE_REQ_NORPL) ? OUTCOME_DONE
                                             : entry_written(engine, cpl, CPL_SMT_WRITE_RPL);
    }
    if (opcode == CPL_SET_TCB_FIELD && length >= SET_TCB_FIELD_BYTES) {
        filters_set_field(engine, cpl);
        return get(cpl, SET_TCB_FIELD_NO_REPLY) ? OUTCOME_DONE : field_set(engine, cpl);
    }
    if (opcode != CPL_TID_RELEASE)
        engine_report(engine, TROUBLE_WORK_REQUEST, id, length >= 4 ? get32(cpl) : 0, 0);
    return OUTCOME_DONE;
}

/* Handles the messages of FW_ULPTX_WR, each with a CPL. `progress` counts those that are done. */
static enum outcome ulp_messages(struct engine *engine, uint32_t id, const uint8_t *request,
                                 uint32_t length)
{
    const uint32_t head = ULP_TXPKT_BYTES + IDATA_BYTES;
    uint32_t at = ETH_WR_BYTES, bytes;

    for (uint32_t i = 0; at + head <= length; at += bytes, i++) {
        const uint8_t *message = request + at;
        uint64_t units = get(message, ULP_TXPKT_LEN);
        enum outcome outcome = OUTCOME_DONE;

        if (!units || units > (length - at) / UNIT)
            return OUTCOME_NONSENSE;
        bytes = (uint32_t)units * UNIT;
        if (get(message, ULP_TXPKT_CMD) != ULP_TX_PKT)
            return OUTCOME_NONSENSE;
        if (i >= engine->egress[id].progress)
            outcome = to_tp(engine, id, message + head, bytes - head);
        if (outcome != OUTCOME_DONE)
            return outcome;
        engine->egress[id].progress = i + 1;
    }
    return OUTCOME_DONE;
}

enum outcome control_request(struct engine *engine, uint32_t id, const uint8_t *request,
                             uint32_t length)
{
    switch (get(request, WR_OP)) {
    case FW_TP_WR:
        return length < ETH_WR_BYTES
                   ? OUTCOME_NONSENSE
                   : to_tp(engine, id, request + ETH_WR_BYTES, length - ETH_WR_BYTES);
    case FW_ULPTX_WR:
        return ulp_messages(engine, id, request, length);
    case FW_FILTER_WR:
    case FW_FILTER2_WR:
        return filter(engine, id, request, length);
    default:
        return OUTCOME_NONSENSE;
    }
}
