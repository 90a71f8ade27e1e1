import type { Checkpoint, Manifest } from '../codec/manifest.ts'
import { PeerError } from '../errors.ts'
import type { Received } from './gaps.ts'

/**
 * `suspected`: its first pass is over, and it is not here; `confirmed`: so is its last, and only a replay or the carousel brings
 * it; `erased`: the sender has it no more.
 */
export type GapState = 'suspected' | 'confirmed' | 'erased'

export interface Gap {
  /** sequences, both included */
  from: number
  to: number
  state: GapState
  /** its batches were sealed after and until: milliseconds since 1970, as far as the manifests tell */
  afterMs: number | undefined
  untilMs: number | undefined
  /** in it; at most so many where not `exact`; undefined where no manifest tells */
  readings: number | undefined
  exact: boolean
}

/** What outlives a restart of the receiver. */
export interface GapMemory {
  /** of the last manifest */
  number: number
  digest: Uint8Array
  oldest: number
  highest: number
  /** how far passes were over, and since when we know; the last one holds */
  passes: Passes[]
  checkpoints: Checkpoint[]
}

interface Passes {
  firstTo: number
  lastTo: number
  atMs: number
}

type Come = Pick<Received, 'gaps' | 'has' | 'highest'>

/** What was overtaken on the line, or is still being verified, gets so long before it is called missing. */
const graceMs = 2_000
const passesMax = 64
/** Gaps whose ends are remembered exactly, and batches of ours that go on where a manifest ends. */
const gapsRememberedMax = 100
const derivedMax = 256

/** What is missing of one stream, by the sender's manifests and by what came. Time comes as an argument. */
export class GapWatch {
  #memory: GapMemory
  /** by sequence: from manifests, and from batches that came behind one of these */
  readonly #known: Map<number, Checkpoint>
  readonly #derived = new Set<number>()

  constructor(
    memory: GapMemory = { number: 0, digest: new Uint8Array(0), oldest: 0, highest: 0, passes: [], checkpoints: [] },
  ) {
    this.#memory = memory
    this.#known = new Map(memory.checkpoints.map((one) => [one.sequence, one]))
  }

  get memory(): GapMemory {
    return { ...this.#memory, checkpoints: [...this.#known.values()] }
  }

  /**
   * Takes a manifest whose signature holds.
   * @param digest of its octets @param held digest of the header of a batch that came, where it is at hand
   * @throws PeerError `MANIFEST_REPLAYED`, `MANIFEST_CONTRADICTS`; nothing has changed then
   */
  manifest(
    manifest: Manifest,
    {
      digest,
      held,
      come,
      nowMs,
    }: { digest: Uint8Array; held: (sequence: number) => Uint8Array | undefined; come: Come; nowMs: number },
  ): void {
    this.#check(manifest, held, come)
    const { number, oldest, highest, firstPassTo: firstTo, lastPassTo: lastTo, checkpoints } = manifest
    const passes = [...this.#memory.passes, { firstTo, lastTo, atMs: nowMs }].slice(-passesMax)
    this.#memory = { ...this.#memory, number, digest, oldest, highest, passes }
    for (const one of checkpoints) this.#known.set(one.sequence, one)
    this.#forget(new Set(checkpoints.map(({ sequence }) => sequence)), come)
  }

  /** A batch was stored: behind one whose total is known, its own is. */
  stored({ sequence, digest, createdAtMs, readings }: Omit<Checkpoint, 'readingsTotal'> & { readings: number }): void {
    const before = sequence === 1 ? 0 : this.#known.get(sequence - 1)?.readingsTotal
    if (before === undefined || this.#known.has(sequence)) return
    this.#known.set(sequence, { sequence, digest, createdAtMs, readingsTotal: before + readings })
    this.#derived.add(sequence)
    if (this.#derived.size <= derivedMax) return
    const [oldest] = this.#derived
    this.#derived.delete(oldest!)
    this.#known.delete(oldest!)
  }

  /** What is missing now, in order, the first `most`. */
  gaps(come: Come, nowMs: number, most: number): Gap[] {
    const { firstTo, lastTo } = this.#passes(nowMs)
    const { oldest } = this.#memory
    const gaps: Gap[] = []
    for (const [from, to] of this.#missing(come)) {
      for (const [begin, end, state] of [
        [1, oldest - 1, 'erased'],
        [oldest, lastTo, 'confirmed'],
        [Math.max(oldest, lastTo + 1), firstTo, 'suspected'],
      ] as const) {
        const [first, last] = [Math.max(from, begin), Math.min(to, end)]
        if (first <= last) gaps.push({ from: first, to: last, state, ...this.#tell(first, last) })
      }
      if (gaps.length >= most) break
    }
    return gaps.slice(0, most)
  }

  #check(
    { number, previous, highest, checkpoints }: Manifest,
    held: (sequence: number) => Uint8Array | undefined,
    come: Come,
  ): void {
    const last = this.#memory
    const contradicts = (why: string): PeerError => new PeerError('MANIFEST_CONTRADICTS', `manifest ${number}: ${why}`)
    if (number <= last.number) throw new PeerError('MANIFEST_REPLAYED', `manifest ${number}, after ${last.number}`)
    if (number === last.number + 1 && !Buffer.from(previous).equals(last.digest)) {
      throw contradicts(`does not follow ${last.number}`)
    }
    if (highest < last.highest) throw contradicts(`its stream ends at ${highest}, and did at ${last.highest}`)
    for (const { sequence, digest } of checkpoints) {
      const known = this.#known.get(sequence)
      if (known !== undefined && !Buffer.from(known.digest).equals(digest))
        throw contradicts(`another batch ${sequence}`)
    }
    const newest = checkpoints.findLast(({ sequence }) => come.has(sequence)) // through its header it stands for all before
    const header = newest && held(newest.sequence)
    if (header !== undefined && !Buffer.from(newest!.digest).equals(header)) {
      throw contradicts(`another batch ${newest!.sequence} than the one that came`)
    }
  }

  /** All sequences of the stream that are not here: between those that came, and behind the last. */
  #missing(come: Come): [number, number][] {
    const { highest } = this.#memory
    const gaps = come.gaps()
    return highest > come.highest ? [...gaps, [come.highest + 1, highest]] : gaps
  }

  /** The last word on passes that is old enough. */
  #passes(nowMs: number): Pick<Passes, 'firstTo' | 'lastTo'> {
    const { passes } = this.#memory
    return passes.findLast(({ atMs }) => nowMs - atMs >= graceMs || nowMs < atMs) ?? { firstTo: 0, lastTo: 0 }
  }

  #tell(from: number, to: number): Pick<Gap, 'afterMs' | 'untilMs' | 'readings' | 'exact'> {
    const [below, above] = [this.#nearest(from - 1, -1), this.#nearest(to, 1)]
    const lowest = below ?? { sequence: 0, readingsTotal: 0 }
    const exact = lowest.sequence === from - 1 && above?.sequence === to
    const readings = above && above.readingsTotal - lowest.readingsTotal
    return { afterMs: below?.createdAtMs, untilMs: above?.createdAtMs, readings, exact }
  }

  /** The checkpoint at `sequence`, or the nearest on that side. */
  #nearest(sequence: number, side: 1 | -1): Checkpoint | undefined {
    const exact = this.#known.get(sequence)
    if (exact !== undefined) return exact
    let best: Checkpoint | undefined
    for (const one of this.#known.values()) {
      const distance = (one.sequence - sequence) * side
      if (distance >= 0 && (best === undefined || distance < (best.sequence - sequence) * side)) best = one
    }
    return best
  }

  /** Keeps what the last manifest told, and what tells where a gap begins and ends. */
  #forget(told: ReadonlySet<number>, come: Come): void {
    const keep = new Set(told)
    for (const [from, to] of this.#missing(come).slice(-gapsRememberedMax)) {
      for (const one of [this.#nearest(from - 1, -1), this.#nearest(to, 1)])
        if (one !== undefined) keep.add(one.sequence)
    }
    for (const sequence of this.#known.keys()) {
      if (keep.has(sequence)) continue
      this.#known.delete(sequence)
      this.#derived.delete(sequence)
    }
  }
}

/** The gaps that are news: no gap of before, in the same state, held them. */
export function newGaps(before: readonly Gap[], after: readonly Gap[]): Gap[] {
  return after.filter(
    ({ from, to, state }) => !before.some((one) => one.state === state && one.from <= from && to <= one.to),
  )
}
