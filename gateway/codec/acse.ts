import { PeerError } from '../errors.ts'
import {
  alternatives,
  type Ber,
  type BitString,
  berBitString,
  berInteger,
  berOctets,
  decodeFields,
  explicit,
  type Fields,
  writeFields,
} from './ber.ts'
import {
  decodeInitiateRequest,
  decodeInitiateResponse,
  encodeInitiateRequest,
  encodeInitiateResponse,
  type InitiateRequest,
  type InitiateResponse,
  initiateRequestTag,
  initiateResponseTag,
} from './initiate.ts'
import { type ApplicationContext, berContext, berMechanism, type Mechanism } from './object-identifier.ts'
import { OctetReader, OctetWriter } from './octets.ts'
import {
  type ConfirmedServiceError,
  confirmedServiceErrorTag,
  decodeConfirmedServiceError,
  encodeConfirmedServiceError,
} from './service-error.ts'
import { lengthened } from './short-lengths.ts'

const authenticationForms = { charstring: 0x80, bitstring: 0x81, external: 0xa2, other: 0xa3 } as const

/** The octets of the form that the tag names; a password or a challenge comes as `charstring`. */
export type AuthenticationValue = [form: keyof typeof authenticationForms, octets: Uint8Array]

const diagnosticSources = { user: 0xa1, provider: 0xa2 } as const

/** A code of `userDiagnostic` or of `providerDiagnostic`, as `association-codes.ts` names them. */
export type Diagnostic = [source: keyof typeof diagnosticSources, code: number]

/** What an octet string of user information holds: in clear a value, ciphered the octets from their tag on. */
export type RequestInformation = InitiateRequest | Uint8Array
export type ResponseInformation = InitiateResponse | ConfirmedServiceError | Uint8Array

interface AarqFields {
  protocolVersion?: BitString
  /** the octets of the object identifier where it is none of DLMS/COSEM */
  applicationContext: ApplicationContext | Uint8Array
  calledApTitle?: Uint8Array
  calledAeQualifier?: Uint8Array
  calledApInvocationId?: number
  calledAeInvocationId?: number
  /** the client's system title; its length is the receiver's to check, with `systemTitle` */
  callingApTitle?: Uint8Array
  /** a client's certificate */
  callingAeQualifier?: Uint8Array
  callingApInvocationId?: number
  /** a client's user */
  callingAeInvocationId?: number
  /** bit 0 asks for authentication */
  acseRequirements?: BitString
  mechanism?: Mechanism | Uint8Array
  authenticationValue?: AuthenticationValue
  implementationInformation?: Uint8Array
  userInformation?: RequestInformation
}

interface AareFields {
  protocolVersion?: BitString
  applicationContext: ApplicationContext | Uint8Array
  /** a code of `associationResult` */
  result: number
  diagnostic: Diagnostic
  /** the server's system title; its length is the receiver's to check, with `systemTitle` */
  respondingApTitle?: Uint8Array
  /** a server's certificate */
  respondingAeQualifier?: Uint8Array
  respondingApInvocationId?: number
  respondingAeInvocationId?: number
  acseRequirements?: BitString
  mechanism?: Mechanism | Uint8Array
  authenticationValue?: AuthenticationValue
  implementationInformation?: Uint8Array
  userInformation?: ResponseInformation
}

interface ReleaseFields<T> {
  /** a code of `releaseReason` */
  reason?: number
  userInformation?: T
}

/** A client asks for an association. @see IEC 62056-5-3, AARQ */
export type Aarq = { apdu: 'aarq' } & AarqFields
/** The server's answer. @see IEC 62056-5-3, AARE */
export type Aare = {
  apdu: 'aare'
  /** the departure that was read through, see `short-lengths.ts`; the encoder writes none */
  dialect?: 'short-lengths'
} & AareFields
/** A client ends an association. @see IEC 62056-5-3, RLRQ */
export type Rlrq = { apdu: 'rlrq' } & ReleaseFields<RequestInformation>
/** The server's answer. @see IEC 62056-5-3, RLRE */
export type Rlre = { apdu: 'rlre' } & ReleaseFields<ResponseInformation>

export const aarqTag = 0x60
export const aareTag = 0x61
export const rlrqTag = 0x62
export const rlreTag = 0x63

const oidTag = 0x06
const octetsField = explicit({ tag: 0x04, ...berOctets })
const integerField = explicit({ tag: 0x02, ...berInteger })
const requestInformation = explicit({
  tag: 0x04,
  ...information<InitiateRequest>([[initiateRequestTag, decodeInitiateRequest]], encodeInitiateRequest),
})
const responseInformation = explicit({
  tag: 0x04,
  ...information<InitiateResponse | ConfirmedServiceError>(
    [
      [initiateResponseTag, decodeInitiateResponse],
      [confirmedServiceErrorTag, decodeConfirmedServiceError],
    ],
    (value) =>
      value.apdu === 'initiate-response' ? encodeInitiateResponse(value) : encodeConfirmedServiceError(value),
  ),
})

const aarqFields: Fields<AarqFields> = {
  protocolVersion: { tag: 0x80, ...berBitString },
  applicationContext: { tag: 0xa1, ...explicit({ tag: oidTag, ...berContext }) },
  calledApTitle: { tag: 0xa2, ...octetsField },
  calledAeQualifier: { tag: 0xa3, ...octetsField },
  calledApInvocationId: { tag: 0xa4, ...integerField },
  calledAeInvocationId: { tag: 0xa5, ...integerField },
  callingApTitle: { tag: 0xa6, ...octetsField },
  callingAeQualifier: { tag: 0xa7, ...octetsField },
  callingApInvocationId: { tag: 0xa8, ...integerField },
  callingAeInvocationId: { tag: 0xa9, ...integerField },
  acseRequirements: { tag: 0x8a, ...berBitString },
  mechanism: { tag: 0x8b, ...berMechanism },
  authenticationValue: { tag: 0xac, ...alternatives(authenticationForms, berOctets) },
  implementationInformation: { tag: 0x9d, ...berOctets },
  userInformation: { tag: 0xbe, ...requestInformation },
}

const aareFields: Fields<AareFields> = {
  protocolVersion: { tag: 0x80, ...berBitString },
  applicationContext: { tag: 0xa1, ...explicit({ tag: oidTag, ...berContext }) },
  result: { tag: 0xa2, ...integerField },
  diagnostic: { tag: 0xa3, ...alternatives(diagnosticSources, integerField) },
  respondingApTitle: { tag: 0xa4, ...octetsField },
  respondingAeQualifier: { tag: 0xa5, ...octetsField },
  respondingApInvocationId: { tag: 0xa6, ...integerField },
  respondingAeInvocationId: { tag: 0xa7, ...integerField },
  acseRequirements: { tag: 0x88, ...berBitString },
  mechanism: { tag: 0x89, ...berMechanism },
  authenticationValue: { tag: 0xaa, ...alternatives(authenticationForms, berOctets) },
  implementationInformation: { tag: 0x9d, ...berOctets },
  userInformation: { tag: 0xbe, ...responseInformation },
}

const rlrqFields: Fields<ReleaseFields<RequestInformation>> = {
  reason: { tag: 0x80, ...berInteger },
  userInformation: { tag: 0xbe, ...requestInformation },
}

const rlreFields: Fields<ReleaseFields<ResponseInformation>> = {
  reason: { tag: 0x80, ...berInteger },
  userInformation: { tag: 0xbe, ...responseInformation },
}

/** The APDU behind its tag 60. @throws PeerError `APDU_*`, `DATA_VALUE` */
export function decodeAarq(reader: OctetReader): Aarq {
  const offset = reader.offset
  const fields = decodeFields(reader, 'an aarq', aarqFields)
  const applicationContext = needed(fields.applicationContext, 'an application context', offset)
  return { apdu: 'aarq', ...fields, applicationContext }
}

/** With its tag 60. */
export function encodeAarq({ apdu: _, ...fields }: Aarq): Uint8Array {
  return encode(aarqTag, fields, aarqFields)
}

/** The APDU behind its tag 61. @throws PeerError `APDU_*`, `DATA_VALUE` */
export function decodeAare(reader: OctetReader): Aare {
  const isOneLeft = reader.remaining > 1 && reader.peek() === reader.remaining - 2
  return isOneLeft ? decodeShortAare(reader) : decodeStrictAare(reader)
}

/** With one octet behind it: that of lengths one short, or a fault. */
function decodeShortAare(reader: OctetReader): Aare {
  const offset = reader.offset
  const octets = reader.rest()
  const mended = lengthened(octets)
  try {
    if (mended !== undefined) return { ...decodeWhole(mended, offset), dialect: 'short-lengths' }
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault // else what was sent is told of, not what was made of it
  }
  return decodeWhole(octets, offset)
}

function decodeWhole(octets: Uint8Array, offset: number): Aare {
  const reader = new OctetReader(octets, offset)
  const apdu = decodeStrictAare(reader)
  reader.end()
  return apdu
}

function decodeStrictAare(reader: OctetReader): Aare {
  const offset = reader.offset
  const fields = decodeFields(reader, 'an aare', aareFields)
  const applicationContext = needed(fields.applicationContext, 'an application context', offset)
  const result = needed(fields.result, 'a result', offset)
  return {
    apdu: 'aare',
    ...fields,
    applicationContext,
    result,
    diagnostic: needed(fields.diagnostic, 'a diagnostic', offset),
  }
}

/** With its tag 61, in the standard's form whatever dialect it came in. */
export function encodeAare({ apdu: _, dialect: _dialect, ...fields }: Aare): Uint8Array {
  return encode(aareTag, fields, aareFields)
}

/** The APDU behind its tag 62. @throws PeerError `APDU_*`, `DATA_VALUE` */
export function decodeRlrq(reader: OctetReader): Rlrq {
  return { apdu: 'rlrq', ...decodeFields(reader, 'an rlrq', rlrqFields) }
}

/** With its tag 62. */
export function encodeRlrq({ apdu: _, ...fields }: Rlrq): Uint8Array {
  return encode(rlrqTag, fields, rlrqFields)
}

/** The APDU behind its tag 63. @throws PeerError `APDU_*`, `DATA_VALUE` */
export function decodeRlre(reader: OctetReader): Rlre {
  return { apdu: 'rlre', ...decodeFields(reader, 'an rlre', rlreFields) }
}

/** With its tag 63. */
export function encodeRlre({ apdu: _, ...fields }: Rlre): Uint8Array {
  return encode(rlreTag, fields, rlreFields)
}

function encode<T extends object>(tag: number, values: T, fields: Fields<T>): Uint8Array {
  const writer = new OctetWriter().uint(1, tag)
  writeFields(writer, values, fields)
  return writer.finish()
}

function needed<T>(value: T | undefined, what: string, offset: number): T {
  if (value === undefined) throw new PeerError('DATA_VALUE', `an association without ${what}`, { offset })
  return value
}

/** An APDU in clear by its tag; any other octets, as of a ciphered one, as they are. */
function information<T extends { apdu: string }>(
  decoders: readonly (readonly [tag: number, decode: (reader: OctetReader) => T])[],
  encodeClear: (value: T) => Uint8Array,
): Ber<T | Uint8Array> {
  return {
    decode(reader) {
      const decode = reader.remaining === 0 ? undefined : decoders.find(([tag]) => tag === reader.peek())?.[1]
      if (decode === undefined) return reader.rest()
      reader.uint(1)
      return decode(reader)
    },
    write(writer, value) {
      writer.octets(value instanceof Uint8Array ? value : encodeClear(value))
    },
  }
}
