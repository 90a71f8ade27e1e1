import { PeerError } from '../errors.ts'
import { decodeBoolean, decodeOctets, decodeOptional, writeBoolean, writeOctets, writeOptional } from './constructs.ts'
import { type OctetReader, OctetWriter } from './octets.ts'

/** What a client proposes for an association. @see IEC 62056-5-3, InitiateRequest */
export interface InitiateRequest {
  apdu: 'initiate-request'
  /** only ever under a global key */
  dedicatedKey: Uint8Array | undefined
  responseAllowed: boolean
  /** -128 to 127; not used in DLMS/COSEM */
  qualityOfService: number | undefined
  /** 6 */
  dlmsVersion: number
  /** bits of `conformance` */
  conformance: number
  /** octets of an APDU, 0 is any; 0 to 65,535 */
  receivePduOctetsMax: number
}

/** What the server makes of it. @see IEC 62056-5-3, InitiateResponse */
export interface InitiateResponse {
  apdu: 'initiate-response'
  /** -128 to 127; not used in DLMS/COSEM */
  qualityOfService: number | undefined
  dlmsVersion: number
  /** bits of `conformance` */
  conformance: number
  receivePduOctetsMax: number
  /** 0007 with logical names, FA00 with short names; 0 to 65,535 */
  vaaName: number
}

/** Services of an association, 24 bits as they travel: the first is the most significant. @see IEC 62056-5-3, Conformance */
export const conformance = {
  'reserved-zero': 0x800000,
  'general-protection': 0x400000,
  'general-block-transfer': 0x200000,
  read: 0x100000,
  write: 0x080000,
  'unconfirmed-write': 0x040000,
  'delta-value-encoding': 0x020000,
  'reserved-seven': 0x010000,
  'attribute0-supported-with-set': 0x008000,
  'priority-mgmt-supported': 0x004000,
  'attribute0-supported-with-get': 0x002000,
  'block-transfer-with-get-or-read': 0x001000,
  'block-transfer-with-set-or-write': 0x000800,
  'block-transfer-with-action': 0x000400,
  'multiple-references': 0x000200,
  'information-report': 0x000100,
  'data-notification': 0x000080,
  access: 0x000040,
  'parameterized-access': 0x000020,
  get: 0x000010,
  set: 0x000008,
  'selective-access': 0x000004,
  'event-notification': 0x000002,
  action: 0x000001,
} as const

export type ConformanceName = keyof typeof conformance

/** The names of the bits that are set, in the order in which they travel. */
export function conformanceNames(bits: number): ConformanceName[] {
  return (Object.keys(conformance) as ConformanceName[]).filter((name) => (bits & conformance[name]) !== 0)
}

export const initiateRequestTag = 0x01
export const initiateResponseTag = 0x08

/** [APPLICATION 31] in BER, its length, and that none of its bits is unused. */
const conformanceHead = 0x5f1f0400

/** The APDU behind its tag 01. @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH`, `APDU_CHOICE`, `DATA_VALUE` */
export function decodeInitiateRequest(reader: OctetReader): InitiateRequest {
  return {
    apdu: 'initiate-request',
    dedicatedKey: decodeOptional(reader, decodeOctets),
    responseAllowed: decodeOptional(reader, decodeBoolean) ?? true,
    qualityOfService: decodeOptional(reader, (reader) => reader.int(1)),
    dlmsVersion: reader.uint(1),
    conformance: decodeConformance(reader),
    receivePduOctetsMax: reader.uint(2),
  }
}

/** With its tag 01. */
export function encodeInitiateRequest(apdu: InitiateRequest): Uint8Array {
  const writer = new OctetWriter().uint(1, initiateRequestTag)
  writeOptional(writer, apdu.dedicatedKey, writeOctets)
  writeOptional(writer, apdu.responseAllowed ? undefined : false, writeBoolean)
  writeOptional(writer, apdu.qualityOfService, (writer, quality) => writer.int(1, quality))
  writer.uint(1, apdu.dlmsVersion).uint(4, conformanceHead).uint(3, apdu.conformance)
  return writer.uint(2, apdu.receivePduOctetsMax).finish()
}

/** The APDU behind its tag 08. @throws PeerError `APDU_TRUNCATED`, `APDU_CHOICE`, `DATA_VALUE` */
export function decodeInitiateResponse(reader: OctetReader): InitiateResponse {
  return {
    apdu: 'initiate-response',
    qualityOfService: decodeOptional(reader, (reader) => reader.int(1)),
    dlmsVersion: reader.uint(1),
    conformance: decodeConformance(reader),
    receivePduOctetsMax: reader.uint(2),
    vaaName: reader.uint(2),
  }
}

/** With its tag 08. */
export function encodeInitiateResponse(apdu: InitiateResponse): Uint8Array {
  const writer = new OctetWriter().uint(1, initiateResponseTag)
  writeOptional(writer, apdu.qualityOfService, (writer, quality) => writer.int(1, quality))
  writer.uint(1, apdu.dlmsVersion).uint(4, conformanceHead).uint(3, apdu.conformance)
  return writer.uint(2, apdu.receivePduOctetsMax).uint(2, apdu.vaaName).finish()
}

function decodeConformance(reader: OctetReader): number {
  const offset = reader.offset
  const head = reader.uint(4)
  if (head === conformanceHead) return reader.uint(3)
  const message = `conformance begins 5f1f0400, not ${head.toString(16).padStart(8, '0')}`
  throw new PeerError('APDU_CHOICE', message, { offset })
}
