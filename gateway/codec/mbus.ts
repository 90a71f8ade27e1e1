import type { PeerFault } from '../errors.ts'
import { OctetWriter } from './octets.ts'
import { Fragments, type FrameFault, type FrameWatcher, type SeenFrame, type Unframed } from './payload.ts'

/** The link and transport fields of a long frame that carries COSEM. @see EN 13757-2, EN 13757-3 */
export interface MbusFields {
  control: number
  address: number
  source: number
  destination: number
}

const start = 0x68
const stop = 0x16
/** start, length, length, start */
const headOctets = 4
/** control, address, control information, source, destination */
const fieldOctets = 5
/** checksum, stop */
const tailOctets = 2
/** The length counts fields and data in one octet. */
const dataOctetsMax = 0xff - fieldOctets

/** Control information 00 to 1F: the segment's number modulo 16, and whether it is the last. */
const numberBits = 0x0f
const lastBit = 0x10

/**
 * The APDUs of M-Bus long frames with a COSEM transport layer, segments joined. Where a frame does not hold, the
 * search goes on behind its first octet; octets between frames are passed over.
 * @returns what was found, and a fault for each frame that did not hold: `FRAME_CHECKSUM`, `FRAME_LENGTH`,
 *   `FRAME_TRUNCATED`, `FRAME_FORMAT`, `FRAME_SEQUENCE`
 * @see EN 13757-2, 5.3 (frame format FT 1.2); EN 13757-3, transport layer for COSEM
 */
export function unframeMbus(octets: Uint8Array, watch?: FrameWatcher): Unframed {
  const fragments = new Fragments()
  let expected: number | undefined // the next segment's number while a payload is unfinished
  let at = octets.indexOf(start)
  while (at >= 0) {
    const step = frameAt(octets, at)
    if ('code' in step) {
      fragments.lose(step)
      expected = undefined
      at = octets.indexOf(start, at + 1)
      continue
    }
    fragments.held()
    const { number, last, offset } = step
    watch?.({ framing: 'mbus', offset: at, octets: step.end - at, fields: fieldsAt(octets, at, step) })
    if (number === expected || number === 0) fragments.add({ ...step, begins: number !== expected })
    else fragments.lose({ code: 'FRAME_SEQUENCE', message: `segment ${number}, expected ${expected ?? 0}`, offset })
    const follows = number === expected || number === 0
    expected = follows && !last ? (number + 1) & numberBits : undefined
    at = octets.indexOf(start, step.end)
  }
  return fragments.finish()
}

interface Step {
  octets: Uint8Array
  /** of the data */
  offset: number
  number: number
  last: boolean
  /** behind the stop octet */
  end: number
}

function frameAt(octets: Uint8Array, at: number): Step | FrameFault {
  const fault = (code: PeerFault, message: string): FrameFault => ({ code, message, offset: at })
  const length = octets[at + 1] ?? 0
  if (octets[at + 2] !== length || octets[at + 3] !== start) return fault('FRAME_FORMAT', 'no M-Bus long frame')
  if (length < fieldOctets) return fault('FRAME_LENGTH', 'no room for link and transport fields')
  const data = at + headOctets + fieldOctets
  const check = at + headOctets + length
  if (check + tailOctets > octets.length)
    return fault('FRAME_TRUNCATED', `a frame of ${length} octets ends beyond the last`)
  if (octets[check + 1] !== stop) return fault('FRAME_LENGTH', 'no stop octet where the length puts it')
  if (octets[check] !== sum(octets.subarray(at + headOctets, check)))
    return fault('FRAME_CHECKSUM', 'the checksum fails')
  const information = octets[at + headOctets + 2]!
  if (information > (numberBits | lastBit))
    return fault('FRAME_FORMAT', `control information ${information} is not COSEM`)
  return {
    octets: octets.subarray(data, check),
    offset: data,
    number: information & numberBits,
    last: (information & lastBit) !== 0,
    end: check + tailOctets,
  }
}

function fieldsAt(octets: Uint8Array, at: number, { octets: data, number, last }: Step): SeenFrame['fields'] {
  const [control, address, , source, destination] = octets.subarray(at + headOctets)
  return {
    control: control!,
    address: address!,
    segment: number,
    last,
    source: source!,
    destination: destination!,
    data,
  }
}

/** A long frame for each `dataOctets` of a payload. @param dataOctets at most 250 */
export function frameMbus(payload: Uint8Array, fields: MbusFields, dataOctets: number = dataOctetsMax): Uint8Array {
  const writer = new OctetWriter()
  for (let at = 0, number = 0; at < payload.length; at += dataOctets, number++) {
    const last = at + dataOctets >= payload.length
    const data = payload.subarray(at, at + dataOctets)
    const checked = new OctetWriter()
      .uint(1, fields.control)
      .uint(1, fields.address)
      .uint(1, (number & numberBits) | (last ? lastBit : 0))
      .uint(1, fields.source)
      .uint(1, fields.destination)
      .octets(data)
      .finish()
    writer.uint(1, start).uint(1, checked.length).uint(1, checked.length).uint(1, start)
    writer.octets(checked).uint(1, sum(checked)).uint(1, stop)
  }
  return writer.finish()
}

function sum(octets: Uint8Array): number {
  let total = 0
  for (const octet of octets) total = (total + octet) & 0xff
  return total
}
