import type { ActionOutcome, ActionRequest } from '../codec/action.ts'
import { type Apdu, encodeApdu } from '../codec/apdu.ts'
import { type Data, encodeData } from '../codec/axdr.ts'
import type { MethodDescriptor } from '../codec/descriptor.ts'
import { actionResult } from '../codec/results.ts'
import { listHeadOctets } from './exchange-response.ts'
import {
  answerOrBlocks,
  begin,
  type CosemObjects,
  continued,
  has,
  mismatched,
  type Receiving,
  receivingOf,
  type Served,
  type Serving,
  sendBlock,
  take,
  unsupported,
} from './serving-transfer.ts'

/** @see IEC 62056-5-3, ACTION service */
export function serveAction(serving: Serving, apdu: ActionRequest, objects: CosemObjects): Served {
  const { invokeId } = apdu
  if ('methods' in apdu && !has(serving, 'multiple-references')) return unsupported(serving)
  switch (apdu.choice) {
    case 'normal':
      return acted(serving, invokeId, objects.act(apdu.method, apdu.parameters))
    case 'with-list':
      if (apdu.methods.length !== apdu.parameters.length) return mismatched(serving)
      return actList(serving, { invokeId, methods: apdu.methods, parameters: apdu.parameters }, objects)
    case 'next-pblock': {
      const transfer = continued(serving, 'action', apdu)
      if (typeof transfer === 'object') return sendBlock(serving, transfer)
      return refuse(serving, invokeId, transfer === 'none' ? 'no-long-action-in-progress' : 'long-action-aborted')
    }
    default:
      return serveActionBlock(serving, apdu, objects)
  }
}

function refuse(serving: Serving, invokeId: number, why: keyof typeof actionResult): Served {
  return acted(serving, invokeId, { result: actionResult[why], returned: undefined })
}

type ActionBlockRequest = Extract<ActionRequest, { block: unknown }>

function serveActionBlock(serving: Serving, apdu: ActionBlockRequest, objects: CosemObjects): Served {
  if (!has(serving, 'block-transfer-with-action')) return unsupported(serving)
  const { invokeId } = apdu
  const transfer = transferOf(serving, apdu)
  if (transfer?.target.service !== 'action') return refuse(serving, invokeId, 'no-long-action-in-progress')
  const { methods, list } = transfer.target
  const received = take(transfer, apdu.block)
  if (received.kind === 'fault') return refuse(serving, invokeId, 'long-action-aborted')
  if (received.kind === 'whole') {
    if (list) return actList(serving, { invokeId, methods, parameters: received.data }, objects)
    return acted(serving, invokeId, objects.act(methods[0]!, received.data[0]))
  }
  const response = { apdu: 'action-response', invokeId, choice: 'next-pblock', blockNumber: received.number } as const
  return { serving: { ...serving, transfer }, response }
}

function transferOf(serving: Serving, apdu: ActionBlockRequest): Receiving | undefined {
  const { invokeId } = apdu
  switch (apdu.choice) {
    case 'with-pblock':
      return receivingOf(serving, 'action', invokeId)
    case 'with-first-pblock':
      return begin({ service: 'action', methods: [apdu.method], list: false }, invokeId)
    case 'with-list-and-first-pblock':
      return begin({ service: 'action', methods: apdu.methods, list: true }, invokeId)
  }
}

function acted(serving: Serving, invokeId: number, outcome: ActionOutcome): Served {
  const { returned } = outcome
  const contents = (): Uint8Array => (returned?.kind === 'data' ? encodeData(returned.data) : new Uint8Array())
  const response: Apdu = { apdu: 'action-response', invokeId, choice: 'normal', outcome }
  return answerOrBlocks(serving, response, { service: 'action', invokeId, contents })
}

interface ActionList {
  invokeId: number
  methods: readonly MethodDescriptor[]
  parameters: readonly Data[]
}

/** In a list, null-data stands for no parameters. */
function actList(serving: Serving, { invokeId, methods, parameters }: ActionList, objects: CosemObjects): Served {
  const outcomes = methods.map((method, i) => {
    const data = parameters[i]!
    return objects.act(method, data.type === 'null-data' ? undefined : data)
  })
  const response: Apdu = { apdu: 'action-response', invokeId, choice: 'with-list', outcomes }
  const contents = (): Uint8Array => encodeApdu(response).subarray(listHeadOctets)
  return answerOrBlocks(serving, response, { service: 'action', invokeId, contents })
}
