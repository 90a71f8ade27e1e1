import { limits } from './limits.ts'

interface Bucket {
  tokens: number
  /** seconds, of the caller's clock */
  at: number
}

/** A token bucket per address. Time comes from the caller; memory is bounded by `addressesMax`. */
export class Rate {
  readonly #buckets = new Map<string, Bucket>()

  /** @param now seconds, never going back @returns 0 when the request may pass, else whole seconds to wait */
  take(address: string, now: number): number {
    const tokens = this.#refilled(address, now)
    const passes = tokens >= 1
    this.#buckets.delete(address) // and back at the end: the first in the map is the one unseen for longest
    this.#buckets.set(address, { tokens: passes ? tokens - 1 : tokens, at: now })
    if (this.#buckets.size > limits.addressesMax) this.#buckets.delete(this.#buckets.keys().next().value!)
    return passes ? 0 : Math.ceil((1 - tokens) / limits.ratePerSecond)
  }

  #refilled(address: string, now: number): number {
    const bucket = this.#buckets.get(address)
    if (bucket === undefined) return limits.burst
    return Math.min(limits.burst, bucket.tokens + (now - bucket.at) * limits.ratePerSecond)
  }
}
