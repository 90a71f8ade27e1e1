import type { PeerFault } from '../errors.ts'
import { OctetWriter } from './octets.ts'
import { type Fragment, Fragments, type FrameFault, type FrameWatcher, type Payload, type Unframed } from './payload.ts'

/** One HDLC frame of format type 3. @see IEC 62056-46, 6.4 */
export interface HdlcFrame {
  /** 1, 2 or 4 octets as they travel */
  destination: Uint8Array
  source: Uint8Array
  control: number
  /** more frames of the same information follow */
  segmented: boolean
  information: Uint8Array
}

const flag = 0x7e
const formatType3 = 0xa0
const segmentBit = 0x08
/** Octets between the flags: eleven bits. */
const frameOctetsMax = 0x7ff
const llcRequest = Uint8Array.of(0xe6, 0xe6, 0x00)
const llcResponse = Uint8Array.of(0xe6, 0xe7, 0x00)

/**
 * The payloads of the frames in a stream: segments joined, LLC headers taken off. The length field rules, so that
 * flags and escapes inside a frame are data. Where a frame does not hold, the search goes on at the next flag, and
 * segments without their beginning are given up: an LLC header marks one, so that a segment which happens to go on
 * with the same three octets is refused, never joined wrongly. Octets between frames are passed over, as in a capture that
 * begins in the middle; the closing flag of the last may be missing. Only information and unnumbered-information frames
 * carry payloads. Linear in the octets: each flag costs at most one frame's length.
 * @returns what was found, and a fault for each stretch where no frame held: `FRAME_CHECKSUM`, `FRAME_LENGTH`,
 *   `FRAME_TRUNCATED`, `FRAME_FORMAT`
 * @see IEC 62056-46
 */
export function unframeHdlc(octets: Uint8Array, watch?: FrameWatcher): Unframed {
  const fragments = new Fragments()
  let at = octets.indexOf(flag)
  while (at >= 0) {
    // A flag may close one frame and open the next; more of them fill the time between.
    while (octets[at + 1] === flag) at++
    if (at + 1 >= octets.length) break
    const step = frameAt(octets, at)
    if ('code' in step) fragments.lose(step)
    else {
      fragments.held()
      watch?.({
        framing: 'hdlc',
        offset: at,
        octets: Math.min(step.end + 1, octets.length) - at,
        fields: { ...step.frame },
      })
      const fragment = fragmentOf(step.frame, step.informationOffset)
      if (fragment !== undefined) fragments.add(fragment)
    }
    at = octets.indexOf(flag, 'code' in step ? at + 1 : step.end)
  }
  return fragments.finish()
}

interface Step {
  frame: HdlcFrame
  informationOffset: number
  /** where the closing flag is */
  end: number
}

/** The frame behind the flag at `at`. */
function frameAt(octets: Uint8Array, at: number): Step | FrameFault {
  const fault = (code: PeerFault, message: string): FrameFault => ({ code, message, offset: at })
  const format = (octets[at + 1]! << 8) | (octets[at + 2] ?? 0)
  if (format >> 12 !== formatType3 >> 4) return fault('FRAME_FORMAT', 'no HDLC frame of format type 3')
  const end = at + 1 + (format & frameOctetsMax)
  const isUnclosed = end === octets.length && holds(octets.subarray(at + 1, end)) // the last flag was lost, and no octet
  if (end >= octets.length && !isUnclosed)
    return fault('FRAME_TRUNCATED', `a frame of ${format & frameOctetsMax} octets ends beyond the last`)
  if (octets[end] !== flag && !isUnclosed) return fault('FRAME_LENGTH', 'no flag where the length puts it')
  const destination = addressAt(octets, at + 3, end)
  const source = destination && addressAt(octets, at + 3 + destination.length, end)
  if (source === undefined) return fault('FRAME_FORMAT', 'an address of 1, 2 or 4 octets is missing')
  const control = at + 3 + destination!.length + source.length
  const frame = octets.subarray(at + 1, end)
  const hasInformation = end > control + 3
  if (end < control + 3 || (hasInformation && end < control + 5)) return fault('FRAME_LENGTH', 'no room for checksums')
  if (hasInformation && !holds(octets.subarray(at + 1, control + 3)))
    return fault('FRAME_CHECKSUM', 'the header check fails')
  if (!holds(frame)) return fault('FRAME_CHECKSUM', 'the frame check fails')
  return {
    frame: {
      destination: destination!,
      source,
      control: octets[control]!,
      segmented: ((format >> 8) & segmentBit) !== 0,
      information: hasInformation ? octets.subarray(control + 3, end - 2) : new Uint8Array(),
    },
    informationOffset: control + 3,
    end,
  }
}

/** The least significant bit marks an address's last octet. */
function addressAt(octets: Uint8Array, at: number, end: number): Uint8Array | undefined {
  const length = [1, 2, 4].find((width) => at + width <= end && (octets[at + width - 1]! & 1) === 1)
  if (length === undefined || octets.subarray(at, at + length - 1).some((octet) => (octet & 1) === 1)) return undefined
  return octets.subarray(at, at + length)
}

function fragmentOf({ control, information, segmented }: HdlcFrame, offset: number): Fragment | undefined {
  const isInformation = (control & 0x01) === 0 || (control & 0xef) === 0x03
  if (!isInformation || information.length === 0) return undefined
  const llc = llcOctets(information)
  return { octets: information.subarray(llc), offset: offset + llc, begins: llc > 0, last: !segmented }
}

/** Octets of the LLC header in front of an APDU, 0 where there is none. @see IEC 62056-46, 5.3.2 */
export function llcOctets(information: Uint8Array): number {
  const hasOne = startsWith(information, llcRequest) || startsWith(information, llcResponse)
  return hasOne ? llcRequest.length : 0
}

function startsWith(octets: Uint8Array, start: Uint8Array): boolean {
  return start.every((octet, i) => octets[i] === octet)
}

/** A frame for each `informationOctetsMax` of a payload, the first with the LLC header of a response. */
export function frameHdlc(
  payload: Payload['octets'],
  address: Pick<HdlcFrame, 'destination' | 'source' | 'control'>,
  informationOctetsMax = 128,
): Uint8Array {
  const whole = new OctetWriter().octets(llcResponse).octets(payload).finish()
  const stream = new OctetWriter()
  for (let at = 0; at < whole.length; at += informationOctetsMax) {
    const information = whole.subarray(at, at + informationOctetsMax)
    const segmented = at + informationOctetsMax < whole.length
    stream.octets(encodeHdlcFrame({ ...address, segmented, information }))
  }
  return stream.finish()
}

/** From flag to flag. @param frame at most 2,047 octets between the flags */
export function encodeHdlcFrame({ destination, source, control, segmented, information }: HdlcFrame): Uint8Array {
  const checked = information.length > 0 ? information.length + 2 : 0
  const length = 2 + destination.length + source.length + 1 + checked + 2
  if (length > frameOctetsMax) throw new RangeError(`a frame of ${length} octets, at most ${frameOctetsMax}`)
  const writer = new OctetWriter()
    .uint(1, formatType3 | (segmented ? segmentBit : 0) | (length >> 8))
    .uint(1, length & 0xff)
  writer.octets(destination).octets(source).uint(1, control)
  if (information.length > 0) writer.octets(checksum(writer.finish())).octets(information)
  writer.octets(checksum(writer.finish()))
  return new OctetWriter().uint(1, flag).octets(writer.finish()).uint(1, flag).finish()
}

const table: Uint16Array = Uint16Array.from({ length: 256 }, (_, octet) => {
  let crc = octet
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x8408 : crc >>> 1
  return crc
})

/** CRC-16/X.25, least significant octet first. @see IEC 62056-46, frame check sequence */
function checksum(octets: Uint8Array): Uint8Array {
  const crc = crcOf(octets) ^ 0xffff
  return Uint8Array.of(crc & 0xff, crc >>> 8)
}

/** Over octets and their checksum the register ends at a known value. */
function holds(octets: Uint8Array): boolean {
  return crcOf(octets) === 0xf0b8
}

function crcOf(octets: Uint8Array): number {
  let crc = 0xffff
  for (const octet of octets) crc = (crc >>> 8) ^ table[(crc ^ octet) & 0xff]!
  return crc
}
