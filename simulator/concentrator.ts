import type { CommandResult } from '#gateway/codec/command-result.ts'
import { encodeUplink, type MeterFrame } from '#gateway/codec/uplink.ts'
import type { ConcentratorId, ExactInteger, Obis, SystemTitle } from '#gateway/model.ts'
import type { SimulatedMeter } from './fleet.ts'
import { type ProfileRow, profilePush } from './push.ts'
import { type Seal, sealOf } from './seal.ts'
import type { Source } from './source.ts'

/** A publish ready to go, and what stands in it: so that afterwards somebody can ask for every reading. */
export interface SimulatedUplink {
  sequence: number
  octets: Uint8Array
  readings: number
  series: SentSeries[]
}

export interface SentSeries {
  meter: SystemTitle
  obis: Obis
  scaler: number
  ends: number[]
  values: ExactInteger[]
}

export interface ConcentratorOptions {
  id: ConcentratorId
  /** with their place in the fleet */
  meters: readonly { meter: SimulatedMeter; ordinal: number }[]
  source: Source
  /** above any that this fleet has used before, or the gateway takes it for a replay */
  firstCounter: number
  firstSequence: number
}

/** Octets of frames in one uplink, about: well under the packet limit. */
const uplinkOctetsMax = 65_536
const uplinkFrames = 200

/** One concentrator and its meters. It knows no socket and no clock: intervals in, uplinks out. */
export class SimulatedConcentrator {
  readonly id: ConcentratorId
  readonly #options: ConcentratorOptions
  readonly #seals: ReadonlyMap<SimulatedMeter, Seal>
  #counter: number
  #sequence: number

  constructor(options: ConcentratorOptions) {
    this.id = options.id
    this.#options = options
    this.#seals = new Map(options.meters.map(({ meter }) => [meter, sealOf(meter)]))
    this.#counter = options.firstCounter
    this.#sequence = options.firstSequence
  }

  /** The invocation counter that its meters used last: each has its own keys, so one number serves them all. */
  get last(): number {
    return this.#counter - 1
  }

  set last(counter: number) {
    this.#counter = counter + 1
  }

  /** A command's answer, as an uplink of no readings. @param atMs when it is sent */
  result(result: CommandResult, atMs: number): SimulatedUplink {
    const [sequence, body] = [this.#sequence++, { kind: 'command-result', ...result } as const]
    const octets = encodeUplink({ concentrator: this.id, sequence, sentAtMs: atMs, body })
    return { sequence, octets, readings: 0, series: [] }
  }

  /**
   * Every meter pushes these intervals as one profile.
   * @param intervals their starts, seconds since 1970-01-01T00:00Z, in order
   * @param atMs when it is sent
   */
  push(intervals: readonly number[], atMs: number): SimulatedUplink[] {
    const uplinks: SimulatedUplink[] = []
    let [frames, series, octets]: [MeterFrame[], SentSeries[], number] = [[], [], 0]
    const flush = (): void => {
      if (frames.length > 0) uplinks.push(this.#uplink(frames, series, atMs))
      ;[frames, series, octets] = [[], [], 0]
    }
    for (const { meter, ordinal } of this.#options.meters) {
      const rows = this.#rows(meter, ordinal, intervals)
      if (rows.length === 0) continue
      const apdu = this.#frame(meter, rows, atMs)
      if (octets + apdu.length > uplinkOctetsMax || frames.length >= uplinkFrames) flush()
      frames.push({ systemTitle: meter.systemTitle, framing: 'apdu', apdu, receivedAtMs: atMs, link: linkOf(ordinal) })
      series.push(...this.#sent(meter, rows))
      octets += apdu.length
    }
    flush()
    this.#counter++ // each meter has its own keys, so one number a push serves them all
    return uplinks
  }

  #rows(meter: SimulatedMeter, ordinal: number, intervals: readonly number[]): ProfileRow[] {
    const { source } = this.#options
    return intervals.flatMap((from) => {
      const values = source.read(meter, ordinal, from)
      return values === undefined ? [] : [{ end: from + source.intervalSeconds, status: 0, values }]
    })
  }

  #frame(meter: SimulatedMeter, rows: readonly ProfileRow[], atMs: number): Uint8Array {
    const { channels, intervalSeconds } = this.#options.source
    const invocationCounter = this.#counter
    const at = Math.floor(atMs / 1000)
    const plain = profilePush({
      invokeId: invocationCounter & 0xffffff,
      at,
      capturePeriod: intervalSeconds,
      channels,
      rows,
    })
    return this.#seals.get(meter)!(plain, invocationCounter)
  }

  #sent(meter: SimulatedMeter, rows: readonly ProfileRow[]): SentSeries[] {
    return this.#options.source.channels.map(({ obis, scaler }, channel) => ({
      meter: meter.systemTitle,
      obis,
      scaler,
      ends: rows.map(({ end }) => end),
      values: rows.map(({ values }) => values[channel]!),
    }))
  }

  #uplink(frames: MeterFrame[], series: SentSeries[], sentAtMs: number): SimulatedUplink {
    const sequence = this.#sequence++
    const octets = encodeUplink({ concentrator: this.id, sequence, sentAtMs, body: { kind: 'reading-batch', frames } })
    return { sequence, octets, series, readings: series.reduce((sum, { ends }) => sum + ends.length, 0) }
  }
}

/** Plausible and steady: a meter's place on the line does not move. */
function linkOf(ordinal: number): MeterFrame['link'] {
  return { lqi: 40 + ((ordinal * 37) % 200), hops: 1 + (ordinal % 7) }
}
