import { limits } from './limits.ts'

interface Bucket {
  tokens: number
  /** seconds, of the caller's clock */
  at: number
}

/** Both rates: one address's, then that of all clients together. */
export class Admission {
  readonly #addresses = new Rate()
  readonly #total: TotalRate

  constructor(requestsPerSecondMax: number) {
    this.#total = new TotalRate(requestsPerSecondMax)
  }

  /** What its address's rate refuses takes nothing from the others. @returns as `Rate.take` does */
  take(address: string, now: number): number {
    return this.#addresses.take(address, now) || this.#total.take(now)
  }
}

/** At most so many in any one second, wherever that second begins; eight octets for each. */
export class TotalRate {
  /** when the latest ones passed, in a ring */
  readonly #passed: Float64Array
  #oldest = 0

  constructor(requestsPerSecondMax: number) {
    this.#passed = new Float64Array(requestsPerSecondMax).fill(Number.NEGATIVE_INFINITY)
  }

  /** @param now seconds, never going back @returns 0 when the request may pass, else whole seconds to wait */
  take(now: number): number {
    const free = this.#passed[this.#oldest]! + 1
    if (now < free) return Math.ceil(free - now)
    this.#passed[this.#oldest] = now
    this.#oldest = (this.#oldest + 1) % this.#passed.length
    return 0
  }
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
