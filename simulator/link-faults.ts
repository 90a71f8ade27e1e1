import { random } from './random.ts'

/** What a one-way link does to datagrams. Shares are 0 to 1. */
export interface LinkFaults {
  /** the same seed and the same datagrams at the same times: the same faults */
  seed: number
  /** each lost by itself */
  lossShare: number
  /** one in `every`, on average, begins a run of `datagrams` that are all lost; a receiver that stalls does this */
  bursts?: { every: number; datagrams: number }
  /** come twice, the second time as late as one that is held back */
  duplicateShare: number
  /** held back until 1 to `reorderedByMax` others have passed */
  reorderShare: number
  /** nothing passes for `forMs` from `afterMs` after the first datagram on */
  outage?: { afterMs: number; forMs: number }
}

/** Datagrams, by what became of them. */
export interface LinkCounts {
  taken: number
  passed: number
  lost: number
  lostInBursts: number
  lostInOutage: number
  duplicated: number
  reordered: number
}

/** How many others one that is held back may have to let pass. */
export const reorderedByMax = 256
/** Held back at a time, the most; beyond, they pass in order. */
const heldMax = 1_024

interface Held {
  octets: Uint8Array
  /** when this many have been taken */
  until: number
}

/** A faulty link without its sockets: a datagram in, what arrives now out. Keeps what it is given and copies nothing. */
export class FaultyLink {
  readonly #faults: LinkFaults
  readonly #random: () => number
  #burstLeft = 0
  #firstMs: number | undefined
  #held: Held[] = []
  readonly counts: LinkCounts = {
    taken: 0,
    passed: 0,
    lost: 0,
    lostInBursts: 0,
    lostInOutage: 0,
    duplicated: 0,
    reordered: 0,
  }

  constructor(faults: LinkFaults) {
    this.#faults = faults
    this.#random = random(faults.seed)
  }

  /** @returns what arrives now, in order */
  take(octets: Uint8Array, nowMs: number): Uint8Array[] {
    this.#firstMs ??= nowMs
    this.counts.taken++
    const arriving: Uint8Array[] = []
    if (!this.#isLost(nowMs)) this.#pass(octets, arriving)
    if (this.#held.length > 0) this.#release(arriving)
    this.counts.passed += arriving.length
    return arriving
  }

  /** All that is held back: when the line has been still for a while, nothing more will pass it. */
  flush(): Uint8Array[] {
    const held = this.#held.map(({ octets }) => octets)
    this.#held = []
    this.counts.passed += held.length
    return held
  }

  /** Draws for each datagram alike, lost or not, so that one fault does not shift the others. */
  #isLost(nowMs: number): boolean {
    const { lossShare, bursts, outage } = this.#faults
    const [alone, burst] = [this.#random() < lossShare, this.#random()]
    const sinceMs = nowMs - this.#firstMs!
    if (outage !== undefined && sinceMs >= outage.afterMs && sinceMs < outage.afterMs + outage.forMs) {
      this.counts.lostInOutage++
      return true
    }
    if (bursts !== undefined && this.#burstLeft === 0 && burst < 1 / bursts.every) this.#burstLeft = bursts.datagrams
    if (this.#burstLeft > 0) {
      this.#burstLeft--
      this.counts.lostInBursts++
      return true
    }
    if (alone) this.counts.lost++
    return alone
  }

  #pass(octets: Uint8Array, arriving: Uint8Array[]): void {
    const { duplicateShare, reorderShare } = this.#faults
    if (this.#random() < reorderShare && this.#hold(octets)) this.counts.reordered++
    else arriving.push(octets)
    if (this.#random() < duplicateShare && this.#hold(octets)) this.counts.duplicated++
  }

  #hold(octets: Uint8Array): boolean {
    if (this.#held.length >= heldMax) return false
    this.#held.push({ octets, until: this.counts.taken + 1 + Math.floor(this.#random() * reorderedByMax) })
    return true
  }

  #release(arriving: Uint8Array[]): void {
    const { taken } = this.counts
    if (!this.#held.some(({ until }) => until <= taken)) return
    for (const { octets, until } of this.#held) if (until <= taken) arriving.push(octets)
    this.#held = this.#held.filter(({ until }) => until > taken)
  }
}
