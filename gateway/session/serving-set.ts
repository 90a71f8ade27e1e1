import { dataAccessResult } from '../codec/results.ts'
import type { SetRequest, SetResponse } from '../codec/set.ts'
import {
  answer,
  begin,
  type CosemObjects,
  has,
  mismatched,
  type Receiving,
  receivingOf,
  type Served,
  type Serving,
  take,
  tooLong,
  unsupported,
} from './serving-transfer.ts'

/** Octets of a response with a list besides its results: tag, choice, invoke-id, length, block number. */
const listHeadOctets = 3 + 3 + 4

/** A list's results must fit one APDU: they have no blocks, and it is too late to say so once everything is set. */
function isTooLong({ pduOctets }: Serving, { length }: readonly unknown[]): boolean {
  return length + listHeadOctets > pduOctets
}

/** @see IEC 62056-5-3, SET service */
export function serveSet(serving: Serving, apdu: SetRequest, objects: CosemObjects): Served {
  const { invokeId } = apdu
  if (apdu.choice === 'normal') {
    const result = objects.set(apdu.attribute, apdu.data)
    return answer(serving, { apdu: 'set-response', invokeId, choice: 'normal', result })
  }
  if ('attributes' in apdu) {
    if (!has(serving, 'multiple-references')) return unsupported(serving)
    if (isTooLong(serving, apdu.attributes)) return tooLong(serving)
  }
  if (apdu.choice !== 'with-list') return serveSetBlock(serving, apdu, objects)
  if (apdu.attributes.length !== apdu.data.length) return mismatched(serving)
  const results = apdu.attributes.map((attribute, i) => objects.set(attribute, apdu.data[i]!))
  return answer(serving, { apdu: 'set-response', invokeId, choice: 'with-list', results })
}

type SetBlockRequest = Extract<SetRequest, { block: unknown }>

function serveSetBlock(serving: Serving, apdu: SetBlockRequest, objects: CosemObjects): Served {
  if (!has(serving, 'block-transfer-with-set-or-write')) return unsupported(serving)
  const { invokeId, block } = apdu
  const transfer = transferOf(serving, apdu)
  if (transfer?.target.service !== 'set') {
    const result = dataAccessResult['no-long-set-in-progress']
    return answer(serving, last(apdu, [result], false))
  }
  const { attributes, list } = transfer.target
  const received = take(transfer, block)
  if (received.kind === 'more') {
    const response = { apdu: 'set-response', invokeId, choice: 'datablock', blockNumber: received.number } as const
    return { serving: { ...serving, transfer }, response }
  }
  const results =
    received.kind === 'whole'
      ? attributes.map((attribute, i) => objects.set(attribute, received.data[i]!))
      : attributes.map(() => dataAccessResult[received.sequence ? 'data-block-number-invalid' : 'long-set-aborted'])
  return answer(serving, last(apdu, results, list))
}

function transferOf(serving: Serving, apdu: SetBlockRequest): Receiving | undefined {
  const { invokeId } = apdu
  switch (apdu.choice) {
    case 'with-datablock':
      return receivingOf(serving, 'set', invokeId)
    case 'with-first-datablock':
      return begin({ service: 'set', attributes: [apdu.attribute], list: false }, invokeId)
    case 'with-list-and-first-datablock':
      return begin({ service: 'set', attributes: apdu.attributes, list: true }, invokeId)
  }
}

function last({ invokeId, block }: SetBlockRequest, results: number[], list: boolean): SetResponse {
  const head = { apdu: 'set-response', invokeId, blockNumber: block.number } as const
  return list
    ? { ...head, choice: 'last-datablock-with-list', results }
    : { ...head, choice: 'last-datablock', result: results[0]! }
}
