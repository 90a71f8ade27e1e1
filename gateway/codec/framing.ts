import { PeerError } from '../errors.ts'
import { apduName } from './apdu.ts'
import { llcOctets, unframeHdlc } from './hdlc.ts'
import { unframeMbus } from './mbus.ts'
import type { FrameWatcher, Unframed } from './payload.ts'
import type { Framing } from './uplink.ts'
import { unframeWrapper } from './wrapper.ts'

/**
 * The APDUs in a stream of frames.
 * @param watch is told of each frame that held
 * @returns payloads, and the faults of the frames that did not hold beside them
 * @throws PeerError the first fault, `FRAME_*`, when no frame held; `FRAME_UNKNOWN` where nothing looked like one
 */
export function unframe(octets: Uint8Array, framing: Framing, watch?: FrameWatcher): Unframed {
  if (framing === 'apdu') {
    const offset = llcOctets(octets) // left over where only the frame was taken off
    return { payloads: [{ octets: octets.subarray(offset), offset }], frames: 1, faults: [] }
  }
  const unframed = unframers[framing](octets, watch)
  if (unframed.frames === 0) {
    throw unframed.faults[0] ?? new PeerError('FRAME_UNKNOWN', `no ${framing} frame`, { offset: 0 })
  }
  return unframed
}

const unframers = { hdlc: unframeHdlc, wrapper: unframeWrapper, mbus: unframeMbus } as const

/**
 * What a stream looks like: by its first octets, and where they say nothing, by whether frames are found in it,
 * as in a capture that begins in the middle of one.
 * @throws PeerError `FRAME_UNKNOWN`
 */
export function detectFraming(octets: Uint8Array): Framing {
  const [first, second, third, fourth] = octets
  if (first === 0x7e) return 'hdlc'
  if (first === 0x68 && second === third && fourth === 0x68) return 'mbus'
  if (first === 0x00 && second === 0x01 && octets.length >= 8) return 'wrapper'
  if (llcOctets(octets) > 0 || (first !== undefined && apduName(first) !== undefined)) return 'apdu'
  const found = (['hdlc', 'mbus'] as const).find((framing) => unframers[framing](octets).frames > 0)
  if (found === undefined)
    throw new PeerError('FRAME_UNKNOWN', 'neither an APDU nor a frame that is known', { offset: 0 })
  return found
}
