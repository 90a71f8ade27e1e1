import type { Manifest } from '../codec/manifest.ts'
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
  checkpoints: Known[]
}

/** What is known of one batch and all before it. */
interface Known {
  sequence: number
  /** when it was sealed, or soon after */
  createdAtMs: number
  readingsTotal: number
  /** of its header, where a manifest told of it */
  digest?: Uint8Array
}

/** A batch that came. */
export interface CameBatch {
  sequence: number
  createdAtMs: number
  readings: number
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
/** Gaps whose ends are remembered exactly, and batches that came: from one that a manifest told of they lead to a gap's end. */
const gapsRememberedMax = 100
const cameMax = 4_096

/** What is missing of one stream, by the sender's manifests and by what came. Time comes as an argument. */
export class GapWatch {
  #memory: GapMemory
  /** by sequence: from manifests, and where gaps end */
  readonly #known: Map<number, Known>
  /** by sequence, in the order in which they came */
  readonly #came = new Map<number, CameBatch>()

  constructor(
    memory: GapMemory = { number: 0, digest: new Uint8Array(0), oldest: 0, highest: 0, passes: [], checkpoints: [] },
  ) {
    this.#memory = memory
    this.#known = new Map(memory.checkpoints.map((one) => [one.sequence, one]))
  }

  /** of the last manifest taken, 0 before the first */
  get number(): number {
    return this.#memory.number
  }

  /** the stream's end by the last manifest */
  get highest(): number {
    return this.#memory.highest
  }

  get memory(): GapMemory {
    const last = Math.max(0, ...this.#came.keys()) // the next gap may begin behind it
    const known = this.#known.has(last) ? undefined : this.#at(last)
    return { ...this.#memory, checkpoints: [...this.#known.values(), ...(known === undefined ? [] : [known])] }
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

  /** A batch was stored. */
  stored(batch: CameBatch): void {
    this.#came.set(batch.sequence, batch)
    if (this.#came.size > cameMax) this.#came.delete(this.#came.keys().next().value!)
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
      if (known?.digest !== undefined && !Buffer.from(known.digest).equals(digest))
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
    const [before, last] = [this.#at(from - 1), this.#at(to)]
    const [below, above] = [before ?? this.#nearest(from - 1, -1), last ?? this.#nearest(to, 1)]
    const readings = above && above.readingsTotal - (below?.readingsTotal ?? 0)
    const exact = last !== undefined && (before !== undefined || from === 1)
    return { afterMs: below?.createdAtMs, untilMs: above?.createdAtMs, readings, exact }
  }

  /** What is known of exactly this batch: told, or by those that came between it and one that was. */
  #at(sequence: number): Known | undefined {
    return this.#known.get(sequence) ?? this.#fromBelow(sequence) ?? this.#fromAbove(sequence)
  }

  #fromBelow(sequence: number): Known | undefined {
    let readings = 0
    for (let at = sequence; ; at--) {
      const came = this.#came.get(at)
      if (came === undefined) return undefined
      readings += came.readings
      const total = at === 1 ? 0 : this.#known.get(at - 1)?.readingsTotal
      if (total === undefined) continue
      return { sequence, createdAtMs: this.#came.get(sequence)!.createdAtMs, readingsTotal: total + readings }
    }
  }

  #fromAbove(sequence: number): Known | undefined {
    let readings = 0
    for (let at = sequence + 1; ; at++) {
      const came = this.#came.get(at)
      if (came === undefined) return undefined
      readings += came.readings
      const total = this.#known.get(at)?.readingsTotal
      if (total === undefined) continue
      return { sequence, createdAtMs: this.#came.get(sequence + 1)!.createdAtMs, readingsTotal: total - readings }
    }
  }

  /** The nearest batch on that side that is told of. */
  #nearest(sequence: number, side: 1 | -1): Known | undefined {
    let best: Known | undefined
    for (const one of this.#known.values()) {
      const distance = (one.sequence - sequence) * side
      if (distance >= 0 && (best === undefined || distance < (best.sequence - sequence) * side)) best = one
    }
    return best
  }

  /** Keeps what the last manifest told, where each gap ends, and where the next one may begin. */
  #forget(told: ReadonlySet<number>, come: Come): void {
    const ends = this.#missing(come)
      .slice(-gapsRememberedMax)
      .flatMap(([from, to]) => [from - 1, to])
    const kept = [...ends, come.highest].flatMap((sequence) => this.#at(sequence) ?? [])
    const nearest = ends.flatMap((sequence, i) => this.#nearest(sequence, i % 2 === 0 ? -1 : 1) ?? [])
    for (const sequence of this.#known.keys()) if (!told.has(sequence)) this.#known.delete(sequence)
    for (const one of [...nearest, ...kept]) if (!this.#known.has(one.sequence)) this.#known.set(one.sequence, one)
  }
}

/** The gaps that are news: no gap of before, in the same state, held them. */
export function newGaps(before: readonly Gap[], after: readonly Gap[]): Gap[] {
  return after.filter(
    ({ from, to, state }) => !before.some((one) => one.state === state && one.from <= from && to <= one.to),
  )
}
