import type { Apdu } from '../codec/apdu.ts'
import { encodeData } from '../codec/axdr.ts'
import { encodeBlockResults } from '../codec/block-contents.ts'
import type { GetRequest } from '../codec/get.ts'
import { invocation } from '../codec/invoke.ts'
import { dataAccessResult } from '../codec/results.ts'
import { serveAction } from './serving-action.ts'
import { serveSet } from './serving-set.ts'
import {
  answer,
  answerOrBlocks,
  type CosemObjects,
  continued,
  exception,
  has,
  type Served,
  type Serving,
  sendBlock,
  unsupported,
} from './serving-transfer.ts'

export { type CosemObjects, exception, type Served, type Serving }

/** One request of the three services; `undefined` for an APDU that is none. */
export function serve(serving: Serving, apdu: Apdu, objects: CosemObjects): Served | undefined {
  if (apdu.apdu !== 'get-request' && apdu.apdu !== 'set-request' && apdu.apdu !== 'action-request') return undefined
  if (invocation(apdu.invokeId).confirmed) return serveOne(serving, apdu, objects)
  if (apdu.apdu === 'get-request') return silent(serving) // nobody waits for what would be read
  const { serving: after } = serveOne(serving, apdu, objects)
  return after.transfer?.kind === 'sending' ? silent(after) : { serving: after, response: undefined }
}

/** An unconfirmed request is not answered, whatever it came to. */
function silent(serving: Serving): Served {
  return { serving: { ...serving, transfer: undefined }, response: undefined }
}

type Request = Extract<Apdu, { apdu: 'get-request' | 'set-request' | 'action-request' }>

function serveOne(serving: Serving, apdu: Request, objects: CosemObjects): Served {
  switch (apdu.apdu) {
    case 'get-request':
      return has(serving, 'get') ? serveGet(serving, apdu, objects) : unsupported(serving)
    case 'set-request':
      return has(serving, 'set') ? serveSet(serving, apdu, objects) : unsupported(serving)
    case 'action-request':
      return has(serving, 'action') ? serveAction(serving, apdu, objects) : unsupported(serving)
  }
}

function serveGet(serving: Serving, apdu: GetRequest, objects: CosemObjects): Served {
  const { invokeId } = apdu
  switch (apdu.choice) {
    case 'normal': {
      const result = objects.get(apdu.attribute)
      const response: Apdu = { apdu: 'get-response', invokeId, choice: 'normal', result }
      const contents = (): Uint8Array => (result.kind === 'data' ? encodeData(result.data) : new Uint8Array())
      return answerOrBlocks(serving, response, { service: 'get', invokeId, contents })
    }
    case 'with-list': {
      if (!has(serving, 'multiple-references')) return unsupported(serving)
      const results = apdu.attributes.map((attribute) => objects.get(attribute))
      const response: Apdu = { apdu: 'get-response', invokeId, choice: 'with-list', results }
      const contents = (): Uint8Array => encodeBlockResults(results)
      return answerOrBlocks(serving, response, { service: 'get', invokeId, contents })
    }
    case 'next': {
      const transfer = continued(serving, 'get', apdu)
      if (typeof transfer === 'object') return sendBlock(serving, transfer)
      const result = dataAccessResult[transfer === 'none' ? 'no-long-get-in-progress' : 'data-block-number-invalid']
      const block = { last: true, number: apdu.blockNumber, result }
      return answer(serving, { apdu: 'get-response', invokeId, choice: 'with-datablock', block })
    }
  }
}
