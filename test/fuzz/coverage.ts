import { type Profiler, Session } from 'node:inspector'

/**
 * Which stretches of our sources ran, by V8's block counters. Start it before the code under test is loaded: what was
 * compiled earlier has no counters. A stretch is what lies between two neighbouring places where V8 ever put the edge
 * of a block.
 * @see Chrome DevTools Protocol, Profiler.takePreciseCoverage
 */
export class Coverage {
  readonly #session = new Session()
  readonly #counts: (url: string) => boolean
  readonly #scripts = new Map<string, Script>()

  /** @param counts whether a module is ours */
  constructor(counts: (url: string) => boolean) {
    this.#counts = counts
    this.#session.connect()
    this.#post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  /** What ran since the last time. */
  take(): Ran {
    let result: Profiler.ScriptCoverage[] = []
    this.#session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error !== null) throw error
      result = taken.result
    })
    return new Map(result.filter(({ url }) => this.#counts(url)).map((script) => [script.url, this.#paint(script)]))
  }

  /** What of it never ran before, as places in the sources. */
  fresh(ran: Ran): string[] {
    const places: string[] = []
    for (const [url, painted] of ran) {
      const { covered } = this.#scripts.get(url)!
      for (let at = 0; at < painted.length; at++) {
        const isEdge = at === 0 || painted[at - 1] !== 1 || covered[at - 1] === 1
        if (painted[at] === 1 && covered[at] !== 1 && isEdge) places.push(`${url}:${at}`)
      }
    }
    return places
  }

  /** Whether every place ran. */
  static has(ran: Ran, places: readonly string[]): boolean {
    return places.every((place) => {
      const colon = place.lastIndexOf(':')
      return ran.get(place.slice(0, colon))?.[Number(place.slice(colon + 1))] === 1
    })
  }

  /** Counts it as covered. */
  add(ran: Ran): void {
    for (const [url, painted] of ran) {
      const { covered } = this.#scripts.get(url)!
      for (let at = 0; at < painted.length; at++) if (painted[at] === 1) covered[at] = 1
    }
  }

  /** Nothing is covered; the edges of blocks stay known. */
  forget(): void {
    for (const { covered } of this.#scripts.values()) covered.fill(0)
  }

  /** Blocks of the functions that ran at least once: covered, and all. */
  get blocks(): { covered: number; known: number } {
    let [covered, known] = [0, 0]
    for (const script of this.#scripts.values()) {
      for (const edge of script.edges) {
        known++
        if (script.covered[edge] === 1) covered++
      }
    }
    return { covered, known }
  }

  close(): void {
    this.#session.disconnect()
  }

  #post(method: 'Profiler.enable'): void {
    this.#session.post(method)
  }

  /** Inner ranges come behind those around them. */
  #paint({ url, functions }: Profiler.ScriptCoverage): Uint8Array {
    const length = functions.reduce((end, { ranges }) => Math.max(end, ranges[0]!.endOffset), 0)
    const script = this.#script(url, length)
    const painted = new Uint8Array(length)
    for (const { ranges } of functions) {
      const end = ranges[0]!.endOffset // behind it lies what is not this function's
      for (const { startOffset, endOffset, count } of ranges) {
        script.edges.add(startOffset)
        if (endOffset < end) script.edges.add(endOffset)
        painted.fill(count > 0 ? 1 : 0, startOffset, endOffset)
      }
    }
    return painted
  }

  #script(url: string, length: number): Script {
    const known = this.#scripts.get(url) ?? { covered: new Uint8Array(0), edges: new Set<number>() }
    if (known.covered.length < length) {
      const covered = new Uint8Array(length)
      covered.set(known.covered)
      known.covered = covered
    }
    this.#scripts.set(url, known)
    return known
  }
}

/** By module, one octet for each character of its source: 1 where it ran. */
export type Ran = ReadonlyMap<string, Uint8Array>

interface Script {
  covered: Uint8Array
  edges: Set<number>
}
