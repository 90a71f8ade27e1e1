import type { Logger } from 'pino'
import type { PeerError, PeerFault } from '../errors.ts'

/** Log lines a second of one code, the most: a storm of bad peers must not fill the disk. The counts stay exact. */
const linesPerSecondMax = 20

/** Counts every refused peer by code and logs which; beyond the limit a line says how many were left out. */
export class Refusals {
  readonly #log: Logger
  readonly #counts = new Map<PeerFault, number>()
  readonly #second = new Map<PeerFault, { second: number; lines: number; left: number }>()

  constructor(log: Logger) {
    this.#log = log
  }

  /** @param peer what is known of it: address, concentrator */
  note({ code, message }: Pick<PeerError, 'code' | 'message'>, peer: Record<string, unknown>): void {
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1)
    const second = Math.floor(performance.now() / 1000)
    let window = this.#second.get(code)
    if (window?.second !== second) {
      if (window !== undefined && window.left > 0)
        this.#log.warn({ event: 'peer.refused.more', code, left: window.left })
      window = { second, lines: 0, left: 0 }
      this.#second.set(code, window)
    }
    if (window.lines < linesPerSecondMax) this.#log.warn({ event: 'peer.refused', code, detail: message, ...peer })
    else window.left++
    window.lines++
  }

  counts(): Partial<Record<PeerFault, number>> {
    return Object.fromEntries(this.#counts)
  }
}
