import { type ActionOutcome, type ActionResponse, actionResponseTag } from '../codec/action.ts'
import { type Apdu, decodeApdu, encodeApdu } from '../codec/apdu.ts'
import { decodeBlockData, decodeBlockResults } from '../codec/block-contents.ts'
import type { DataBlock } from '../codec/data-block.ts'
import type { GetResponse } from '../codec/get.ts'
import type { GetResult } from '../codec/results.ts'
import type { SetResponse } from '../codec/set.ts'
import { PeerError } from '../errors.ts'
import type { Answer, Exchange, Request } from './exchange.ts'

/** What a response leads to: the next APDU, or the answer. */
export type Progress = { exchange: Exchange; octets: Uint8Array } | { answer: Answer }

/**
 * @throws PeerError `ASSOCIATION_SEQUENCE` for the response to another request or in another form, `DATA_COUNT` for a list
 *   of another length than was asked for, and as `BlockAssembler.add` and `decodeApdu`
 */
export function takeResponse(exchange: Exchange, apdu: Apdu): Progress {
  const { request } = exchange
  if (!('invokeId' in apdu) || apdu.invokeId !== exchange.invokeId) throw unasked(exchange, apdu)
  const [service] = request.kind.split('-')
  if (service === 'get' && apdu.apdu === 'get-response') return takeGet(exchange, apdu)
  if (service === 'set' && apdu.apdu === 'set-response') return takeSet(exchange, apdu)
  if (service === 'action' && apdu.apdu === 'action-response') return takeAction(exchange, apdu)
  throw unasked(exchange, apdu)
}

function unasked({ request, invokeId }: Exchange, apdu: Apdu): PeerError {
  const form = 'choice' in apdu ? `${apdu.apdu} ${apdu.choice}` : apdu.apdu
  return new PeerError('ASSOCIATION_SEQUENCE', `${form} does not answer ${request.kind} ${invokeId & 0x0f}`)
}

/** How many were asked for; `undefined` where it was no list. */
function listed(request: Request): number | undefined {
  if ('attributes' in request) return request.attributes.length
  return 'methods' in request ? request.methods.length : undefined
}

/** One of each that was asked for. @throws PeerError `DATA_COUNT` */
function counted<T>({ request }: Exchange, list: T[]): T[] {
  if (list.length === listed(request)) return list
  throw new PeerError('DATA_COUNT', `${list.length} results for a list of ${listed(request)}`)
}

function gotten(exchange: Exchange, results: GetResult[]): Progress {
  return { answer: { kind: 'get-list', results: counted(exchange, results) } }
}

function takeGet(exchange: Exchange, apdu: GetResponse): Progress {
  const count = listed(exchange.request)
  if (apdu.choice === 'with-datablock') return takeGetBlock(exchange, apdu.block, count)
  if (apdu.choice === 'normal' && count === undefined) return { answer: { kind: 'get', result: apdu.result } }
  if (apdu.choice === 'with-list' && count !== undefined) return gotten(exchange, apdu.results)
  throw unasked(exchange, apdu)
}

function takeGetBlock(
  exchange: Exchange,
  block: Extract<GetResponse, { choice: 'with-datablock' }>['block'],
  count: number | undefined,
): Progress {
  if ('result' in block) {
    const result: GetResult = { kind: 'error', result: block.result } // it ends the transfer as a whole
    return count === undefined
      ? { answer: { kind: 'get', result } }
      : { answer: { kind: 'get-list', results: Array<GetResult>(count).fill(result) } }
  }
  const added = exchange.received.add(block)
  if (added.kind === 'whole') {
    if (count !== undefined) return gotten(exchange, decodeBlockResults(added.octets))
    return { answer: { kind: 'get', result: { kind: 'data', data: decodeBlockData(added.octets) } } }
  }
  const { invokeId } = exchange
  const octets = encodeApdu({ apdu: 'get-request', invokeId, choice: 'next', blockNumber: added.number })
  return { exchange, octets }
}

function takeSet(exchange: Exchange, apdu: SetResponse): Progress {
  const { sent } = exchange
  const count = listed(exchange.request)
  switch (apdu.choice) {
    case 'normal':
    case 'last-datablock':
      if ((apdu.choice === 'normal') !== (sent === 0)) throw unasked(exchange, apdu)
      if (count === undefined) return { answer: { kind: 'set', result: apdu.result } }
      if (sent === 0) throw unasked(exchange, apdu)
      return { answer: { kind: 'set-list', results: Array<number>(count).fill(apdu.result) } } // of the transfer
    case 'with-list':
    case 'last-datablock-with-list':
      if ((apdu.choice === 'with-list') !== (sent === 0) || count === undefined) throw unasked(exchange, apdu)
      return { answer: { kind: 'set-list', results: counted(exchange, apdu.results) } }
    case 'datablock':
      return nextBlock(exchange, apdu, (block, invokeId) => {
        return { apdu: 'set-request', invokeId, choice: 'with-datablock', block }
      })
  }
}

/** The block behind the one that was acknowledged. */
function nextBlock(
  exchange: Exchange,
  apdu: Extract<Apdu, { blockNumber: number }>,
  request: (block: DataBlock, invokeId: number) => Apdu,
): Progress {
  const { blocks, sent, invokeId } = exchange
  const [block, ...rest] = blocks
  if (apdu.blockNumber !== sent || block === undefined) throw unasked(exchange, apdu)
  return { exchange: { ...exchange, blocks: rest, sent: block.number }, octets: encodeApdu(request(block, invokeId)) }
}

function takeAction(exchange: Exchange, apdu: ActionResponse): Progress {
  const count = listed(exchange.request)
  switch (apdu.choice) {
    case 'normal':
      if (count === undefined) return { answer: { kind: 'action', outcome: apdu.outcome } }
      if (exchange.sent === 0) throw unasked(exchange, apdu)
      return { answer: { kind: 'action-list', outcomes: Array<ActionOutcome>(count).fill(apdu.outcome) } } // of the transfer
    case 'with-list':
      if (count === undefined) throw unasked(exchange, apdu)
      return { answer: { kind: 'action-list', outcomes: counted(exchange, apdu.outcomes) } }
    case 'with-pblock':
      return takeActionBlock(exchange, apdu.block)
    case 'next-pblock':
      return nextBlock(exchange, apdu, (block, invokeId) => {
        return { apdu: 'action-request', invokeId, choice: 'with-pblock', block }
      })
  }
}

/** In blocks travels what a method returned, which it does where it succeeded; of a list, the outcomes. */
function takeActionBlock(exchange: Exchange, block: DataBlock): Progress {
  const added = exchange.received.add(block)
  const { invokeId, request } = exchange
  if (added.kind === 'whole') {
    if (request.kind === 'action-list') {
      return { answer: { kind: 'action-list', outcomes: counted(exchange, outcomesIn(added.octets)) } }
    }
    const data = decodeBlockData(added.octets)
    return { answer: { kind: 'action', outcome: { result: 0, returned: { kind: 'data', data } } } }
  }
  const octets = encodeApdu({ apdu: 'action-request', invokeId, choice: 'next-pblock', blockNumber: added.number })
  return { exchange, octets }
}

/** Octets of an action-response with a list before the list: tag, choice, invoke-id. */
export const listHeadOctets = 3
const listChoice = 3

/** What an action-response with a list says behind its head. */
function outcomesIn(octets: Uint8Array): ActionOutcome[] {
  const apdu = decodeApdu(Buffer.concat([Uint8Array.of(actionResponseTag, listChoice, 0), octets]))
  return apdu.apdu === 'action-response' && apdu.choice === 'with-list' ? apdu.outcomes : []
}
