import { PeerError } from '../errors.ts'
import { OctetReader, OctetWriter } from './octets.ts'
import type { FrameWatcher, Payload, Unframed } from './payload.ts'

/** The two ends of a wrapped APDU. */
export interface WrapperPorts {
  /** 0 to 65,535 */
  source: number
  destination: number
}

const version = 1
const headerOctets = 8

/**
 * The APDUs of wrapper frames, one behind the other. Nothing marks the beginning of one, so nothing behind a
 * broken one is read.
 * @returns what was found before the first fault: `FRAME_FORMAT`, `FRAME_TRUNCATED`
 * @see IEC 62056-47, 7.3.3.2
 */
export function unframeWrapper(octets: Uint8Array, watch?: FrameWatcher): Unframed {
  const reader = new OctetReader(octets)
  const payloads: Payload[] = []
  let frames = 0
  while (reader.remaining > 0) {
    const offset = reader.offset
    const fault = (code: 'FRAME_FORMAT' | 'FRAME_TRUNCATED', message: string): Unframed => {
      return { payloads, frames, faults: [new PeerError(code, message, { offset })] }
    }
    if (reader.remaining < headerOctets) return fault('FRAME_TRUNCATED', `a header has ${headerOctets} octets`)
    if (reader.uint(2) !== version) return fault('FRAME_FORMAT', `no wrapper of version ${version}`)
    const [source, destination] = [reader.uint(2), reader.uint(2)]
    const length = reader.uint(2)
    if (length > reader.remaining) return fault('FRAME_TRUNCATED', `${length} octets told, ${reader.remaining} sent`)
    frames++
    watch?.({ framing: 'wrapper', offset, octets: headerOctets + length, fields: { source, destination, length } })
    if (length > 0) payloads.push({ offset: reader.offset, octets: reader.octets(length) })
  }
  return { payloads, frames, faults: [] }
}

/** @param apdu at most 65,535 octets */
export function frameWrapper(apdu: Uint8Array, { source, destination }: WrapperPorts): Uint8Array {
  const writer = new OctetWriter().uint(2, version).uint(2, source).uint(2, destination)
  return writer.uint(2, apdu.length).octets(apdu).finish()
}
