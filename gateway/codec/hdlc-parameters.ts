import { PeerError } from '../errors.ts'
import { OctetReader, OctetWriter } from './octets.ts'

/** What SNRM asks for and UA grants; a sender that is content with the default leaves it out. @see IEC 62056-46, 6.4.4.4.3.2 */
export interface LinkParameters {
  /** octets of information in one frame that its sender will send, 128 where it is left out */
  transmitOctetsMax?: number
  /** and take */
  receiveOctetsMax?: number
  /** frames before an answer, 1 where it is left out */
  transmitWindow?: number
  receiveWindow?: number
}

const formatId = 0x81
const groupId = 0x80
const names: ReadonlyMap<number, keyof LinkParameters> = new Map([
  [0x05, 'transmitOctetsMax'],
  [0x06, 'receiveOctetsMax'],
  [0x07, 'transmitWindow'],
  [0x08, 'receiveWindow'],
])
const windowOctets = 4
const sizeOctets = 2

/**
 * The information field of SNRM or UA; sizes come in one octet or two, windows in four. A parameter that is not known is
 * passed over, as the standard asks.
 * @throws PeerError `FRAME_FORMAT`, `APDU_TRUNCATED`, `APDU_TRAILING`
 */
export function decodeLinkParameters(information: Uint8Array): LinkParameters {
  const reader = new OctetReader(information)
  if (reader.uint(1) !== formatId || reader.uint(1) !== groupId) {
    throw new PeerError('FRAME_FORMAT', 'no parameters of a data link', { offset: 0 })
  }
  const group = reader.inner(reader.uint(1))
  reader.end()
  const parameters: LinkParameters = {}
  while (group.remaining > 0) {
    const [id, offset, length] = [group.uint(1), group.offset, group.uint(1)]
    const value = group.octets(length)
    const name = names.get(id)
    if (name === undefined) continue
    if (length === 0 || length > windowOctets) throw new PeerError('FRAME_FORMAT', `${length} octets`, { offset })
    parameters[name] = value.reduce((number, octet) => number * 256 + octet, 0)
  }
  return parameters
}

/** As the standard's own example has it: sizes in two octets, windows in four. */
export function encodeLinkParameters(parameters: LinkParameters): Uint8Array {
  const group = new OctetWriter()
  for (const [id, name] of names) {
    const value = parameters[name]
    if (value === undefined) continue
    const width = name.endsWith('Window') ? windowOctets : sizeOctets
    group.uint(1, id).uint(1, width).uint(width, value)
  }
  const octets = group.finish()
  return new OctetWriter().uint(1, formatId).uint(1, groupId).uint(1, octets.length).octets(octets).finish()
}
