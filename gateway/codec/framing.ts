import { PeerError } from '../errors.ts'
import { apduName, decodeApdu } from './apdu.ts'
import { decodeBareData } from './bare-data.ts'
import { llcOctets, unframeHdlc } from './hdlc.ts'
import { unframeMbus } from './mbus.ts'
import type { FrameWatcher, Unframed } from './payload.ts'
import { isTelegram, unframeTelegrams } from './telegrams.ts'
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
 * What a stream looks like: by its first octets where what follows bears them out, else by what is found in it, as in a
 * capture that begins in the middle of a frame. Where nothing holds, the first octets tell, so that the fault is of that
 * framing.
 * @throws PeerError `FRAME_UNKNOWN`
 */
export function detectFraming(octets: Uint8Array): Framing {
  const found = heldFraming(octets) ?? guessed(octets)
  if (found === undefined)
    throw new PeerError('FRAME_UNKNOWN', 'neither an APDU nor a frame that is known', { offset: 0 })
  return found
}

function heldFraming(octets: Uint8Array): Framing | undefined {
  const guess = guessed(octets)
  const likely: readonly (Framing | undefined)[] = [guess, 'hdlc', 'mbus']
  return likely.find((framing) => framing !== undefined && holds(octets, framing))
}

function guessed(octets: Uint8Array): Framing | undefined {
  const [first, second, third, fourth] = octets
  if (first === 0x7e) return 'hdlc'
  if (first === 0x68 && second === third && fourth === 0x68) return 'mbus'
  if (first === 0x00 && second === 0x01 && octets.length >= 8) return 'wrapper'
  return isPayload(octets) ? 'apdu' : undefined
}

/** An APDU begins, perhaps behind its LLC header, or a telegram. */
function isPayload(octets: Uint8Array): boolean {
  return llcOctets(octets) > 0 || isTelegram(octets) || (octets.length > 0 && apduName(octets[0]!) !== undefined)
}

function holds(octets: Uint8Array, framing: Framing): boolean {
  return framing === 'apdu' ? isWhole(octets.subarray(llcOctets(octets))) : unframers[framing](octets).frames > 0
}

function isWhole(octets: Uint8Array): boolean {
  if (isTelegram(octets)) return unframeTelegrams(octets).frames > 0
  try {
    const apdu = decodeApdu(octets)
    // a prefix takes any octets: what is behind it tells
    if (apdu.apdu === 'gateway-request' || apdu.apdu === 'gateway-response') decodeApdu(apdu.content)
    return true
  } catch (fault) {
    if (fault instanceof PeerError) return false
    throw fault
  }
}

/**
 * The APDUs and telegrams in a stream of whatever kind. A ciphered telegram behind noise is only found where P1 is asked
 * for, for one in a frame whose check fails looks the same. Telegrams in a row are told apart, and frames
 * inside a wrapper are taken out of it. A list of `Data` without an APDU is a payload too.
 * @param watch is told of each frame that held
 * @throws PeerError as `unframe`
 */
export function unframeAuto(octets: Uint8Array, watch?: FrameWatcher): Unframed {
  const framing = heldFraming(octets)
  if (framing === undefined || isTelegram(octets)) {
    const telegrams = unframeTelegrams(octets)
    if (telegrams.payloads.some(({ octets, offset }) => offset === 0 || isTelegram(octets))) return telegrams
    if (decodeBareData(octets) !== undefined) return unframe(octets, 'apdu')
  }
  return within(unframe(octets, framing ?? detectFraming(octets), watch), watch)
}

/** Payloads that are frames themselves, as a modem's wrapper around a meter's own: taken out, once. */
function within({ payloads, frames, faults }: Unframed, watch?: FrameWatcher): Unframed {
  const taken = payloads.map((payload): Pick<Unframed, 'payloads' | 'faults'> => {
    const framing = isPayload(payload.octets) ? undefined : guessed(payload.octets)
    if (framing === undefined || !holds(payload.octets, framing)) return { payloads: [payload], faults: [] }
    return shifted(unframe(payload.octets, framing, watch && shiftedWatcher(watch, payload.offset)), payload.offset)
  })
  return {
    payloads: taken.flatMap((one) => one.payloads),
    frames,
    faults: [...faults, ...taken.flatMap((one) => one.faults)],
  }
}

function shifted({ payloads, faults }: Unframed, by: number): Pick<Unframed, 'payloads' | 'faults'> {
  return {
    payloads: payloads.map(({ octets, offset }) => ({ octets, offset: offset + by })),
    faults: faults.map(
      ({ code, message, offset = 0, cause }) => new PeerError(code, message, { offset: offset + by, cause }),
    ),
  }
}

function shiftedWatcher(watch: FrameWatcher, by: number): FrameWatcher {
  return (frame) => watch({ ...frame, offset: frame.offset + by })
}
