import type { Apdu } from '#gateway/codec/apdu.ts'
import type { Data, TypeDescription } from '#gateway/codec/axdr.ts'
import type { AttributeDescriptor, MethodDescriptor } from '#gateway/codec/descriptor.ts'
import { dottedObis } from '#gateway/codec/obis.ts'
import type { GetResult } from '#gateway/codec/results.ts'
import type { Tree } from './corpus.ts'

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}

/** Our data as the corpus writes it: `{ type: value }`, octets as hex, integers beyond 2^53 as text. */
export function treeOf(data: Data): Tree {
  switch (data.type) {
    case 'null-data':
    case 'dont-care':
      return { [data.type]: null }
    case 'array':
    case 'structure':
      return { [data.type]: data.elements.map(treeOf) }
    case 'compact-array':
      return {
        'compact-array': { 'type-description': typeTree(data.description), elements: data.elements.map(treeOf) },
      }
    case 'visible-string':
    case 'utf8-string':
      return { [data.type]: Buffer.from(data.octets).toString() }
    case 'octet-string':
    case 'bit-string':
    case 'date-time':
    case 'date':
    case 'time':
      return { [data.type]: hex(data.octets) }
    case 'long64':
    case 'long64-unsigned':
      return { [data.type]: Number.isSafeInteger(Number(data.value)) ? Number(data.value) : `${data.value}` }
    default:
      return { [data.type]: data.value }
  }
}

function typeTree(description: TypeDescription): unknown {
  return description.type === 'structure' ? { structure: description.elements.map(typeTree) } : description.type
}

function descriptorTree(descriptor: AttributeDescriptor | MethodDescriptor): object {
  const index = 'method' in descriptor ? descriptor.method : descriptor.attribute
  return { class: descriptor.classId, obis: dottedObis(descriptor.obis), index }
}

function resultTree(result: GetResult | undefined): object {
  if (result === undefined) return {}
  return result.kind === 'data' ? { data: treeOf(result.data) } : { access_result: result.result }
}

/** Where the corpus has the number of a choice and not its name, the only one that it has is `normal`. */
const normal = { normal: 1 } as Readonly<Record<string, number>>

/** Our APDU as the corpus writes it; those of ACSE it writes field by field. */
export function apduTree(apdu: Apdu): object {
  const head = 'invokeId' in apdu ? { apdu: apdu.apdu, invoke_id_and_priority: apdu.invokeId } : { apdu: apdu.apdu }
  switch (apdu.apdu) {
    case 'get-request':
      if (apdu.choice !== 'normal') break
      return { ...head, choice: apdu.choice, attribute: descriptorTree(apdu.attribute) }
    case 'get-response':
      if (apdu.choice === 'normal') return { ...head, choice: apdu.choice, ...resultTree(apdu.result) }
      if (apdu.choice === 'with-list' || 'result' in apdu.block) break
      return {
        ...head,
        choice: apdu.choice,
        last_block: apdu.block.last,
        block: apdu.block.number,
        raw_hex: hex(apdu.block.octets),
      }
    case 'set-request':
      if (apdu.choice !== 'normal') break
      return {
        ...head,
        choice: normal[apdu.choice],
        attribute: descriptorTree(apdu.attribute),
        data: treeOf(apdu.data),
      }
    case 'set-response':
      if (apdu.choice !== 'normal') break
      return { ...head, choice: normal[apdu.choice], access_result: apdu.result }
    case 'action-request':
      if (apdu.choice !== 'normal') break
      return {
        ...head,
        choice: normal[apdu.choice],
        method: descriptorTree(apdu.method),
        ...(apdu.parameters === undefined ? {} : { data: treeOf(apdu.parameters) }),
      }
    case 'action-response':
      if (apdu.choice !== 'normal') break
      return {
        ...head,
        choice: normal[apdu.choice],
        action_result: apdu.outcome.result,
        ...resultTree(apdu.outcome.returned),
      }
    case 'event-notification':
      return {
        ...head,
        time: apdu.time === undefined ? null : hex(apdu.time),
        attribute: descriptorTree(apdu.attribute),
        data: treeOf(apdu.data),
      }
    case 'access-response':
      return {
        ...head,
        long_invoke_id_and_priority: apdu.longInvokeId,
        date_time: apdu.dateTime === undefined ? null : hex(apdu.dateTime),
        data: apdu.data.map(treeOf),
        results: apdu.specifications.map(({ kind, result }) => ({
          choice: { get: 1, set: 2, action: 3 }[kind],
          result,
        })),
      }
    case 'initiate-request':
      return {
        ...head,
        dedicated_key: apdu.dedicatedKey === undefined ? null : hex(apdu.dedicatedKey),
        response_allowed: apdu.responseAllowed,
        qos: apdu.qualityOfService ?? null,
        version: apdu.dlmsVersion,
        conformance: apdu.conformance.toString(16).padStart(6, '0'),
        client_max_receive_pdu_size: apdu.receivePduOctetsMax,
      }
    case 'initiate-response':
      return {
        ...head,
        qos: apdu.qualityOfService ?? null,
        version: apdu.dlmsVersion,
        conformance: apdu.conformance.toString(16).padStart(6, '0'),
        server_max_receive_pdu_size: apdu.receivePduOctetsMax,
        vaa_name: apdu.vaaName,
      }
  }
  throw new Error(`the corpus has no such ${apdu.apdu}`)
}
