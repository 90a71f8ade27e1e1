import { PeerError, type PeerFault } from '../errors.ts'
import { OctetWriter, octetsMax } from './octets.ts'

/** An APDU out of its frames. */
export interface Payload {
  octets: Uint8Array
  /** where its first octet lies in the stream; the rest may be spread over several frames */
  offset: number
}

/** What a stream held. */
export interface Unframed {
  payloads: Payload[]
  /** frames that held, also those without a payload */
  frames: number
  /** one for each frame that did not hold, in the order of the stream */
  faults: PeerError[]
}

/** A frame that held, for whoever explains a stream; numbers and octets by the name of their field, in wire order. */
export interface SeenFrame {
  framing: 'hdlc' | 'wrapper' | 'mbus'
  /** of its first octet in the stream */
  offset: number
  octets: number
  fields: Readonly<Record<string, number | boolean | Uint8Array>>
}

/** Told of each frame that held, in the order of the stream. */
export type FrameWatcher = (frame: SeenFrame) => void

/** Why a frame does not hold; a `PeerError` only where it is kept, for a search meets many. */
export interface FrameFault {
  code: PeerFault
  message: string
  offset: number
}

/** What one frame adds to a payload. */
export interface Fragment {
  octets: Uint8Array
  offset: number
  /** it is known to be the first of its payload */
  begins: boolean
  last: boolean
}

/**
 * Joins fragments; after a lost one nothing is joined until a payload is known to begin.
 * A stretch in which no frame holds counts as one loss, named by its first fault.
 */
export class Fragments {
  #frames = 0
  readonly #payloads: Payload[] = []
  readonly #faults: PeerError[] = []
  #pending: Fragment[] = []
  #pendingOctets = 0
  #lost = false
  #searching = false

  /** A frame held, whatever it carries. */
  held(): void {
    this.#frames++
    this.#searching = false
  }

  add(fragment: Fragment): void {
    if (fragment.begins) this.#begin()
    if (this.#lost) {
      this.#lost = !fragment.last // what follows the last of a lost payload is another's
      return
    }
    this.#pending.push(fragment)
    this.#pendingOctets += fragment.octets.length
    if (this.#pendingOctets > octetsMax) {
      this.lose({ code: 'FRAME_LENGTH', message: `beyond ${octetsMax} octets in segments`, offset: fragment.offset })
    } else if (fragment.last) this.#join()
  }

  lose({ code, message, offset }: FrameFault): void {
    if (!this.#searching) this.#faults.push(new PeerError(code, message, { offset }))
    this.#pending = []
    this.#pendingOctets = 0
    this.#lost = true
    this.#searching = true
  }

  finish(): Unframed {
    this.#unfinished()
    return { payloads: this.#payloads, frames: this.#frames, faults: this.#faults }
  }

  #begin(): void {
    this.#unfinished()
    this.#lost = false
  }

  #unfinished(): void {
    const first = this.#pending[0]
    if (first === undefined) return
    this.lose({ code: 'FRAME_TRUNCATED', message: 'its last segment is missing', offset: first.offset })
  }

  #join(): void {
    const writer = new OctetWriter()
    for (const { octets } of this.#pending) writer.octets(octets)
    this.#payloads.push({ octets: writer.finish(), offset: this.#pending[0]!.offset })
    this.#pending = []
    this.#pendingOctets = 0
  }
}
