import { PeerError } from '../errors.ts'
import { holdsMac, keyIdMax, type LinkKey, sealMac } from './mac.ts'

/**
 * Datagrams that measure the one-way link: the sender goes through steps of rising rate, and each datagram tells of every step
 * that is over how much was sent in it, so that the receiver needs no answer and no particular datagram.
 *
 * ```
 *  0  'AMI', version 1 (first nibble 4: no LCT version, so never taken for data)
 *  4  key id, 4 bits | reserved, 12 bits | steps planned, 16 bits
 *  8  run: drawn at random by the sender, 64 bits
 * 16  step, from 0; as many as planned: the run is over | reserved, 16 bits
 * 20  number within the step, from 0
 * 24  MAC, 16 octets, over the whole datagram with these octets zero: RFC 6584's, under the link's key
 * 40  this step's rate, kbit/s
 * 44  of each step before: rate, kbit/s | datagrams sent | how long it took, ms (32 bits each)
 *     zeros up to the length that is tried
 * ```
 */
export interface ProbeMark {
  run: bigint
  /** planned */
  steps: number
  /** from 0; `steps`: nothing more comes */
  step: number
  /** within the step, from 0 */
  number: number
  kbitPerSecond: number
  /** of each step before, `step` of them */
  sent: readonly StepSent[]
}

export interface StepSent {
  /** that was aimed at, of the datagrams' own octets */
  kbitPerSecond: number
  datagrams: number
  ms: number
}

export const probeStepsMax = 100
/** Datagrams of one step, the most: a minute at 1 Gbit/s in the shortest. */
export const probeNumbersMax = 8_388_608
export const probeOctetsMax = 8_960

const magic = 0x41_4d_49_01
const [macAt, headOctets, stepOctets] = [24, 44, 12]

/** Octets of a probe's datagrams, the least for this many steps. */
export function probeOctetsMin(steps: number): number {
  return headOctets + steps * stepOctets
}

/** Rates from `from` to `to`, both tried, kbit/s. @returns undefined where they are not 1 to `probeStepsMax` rising steps */
export function probeRates({ from, to, step }: { from: number; to: number; step: number }): number[] | undefined {
  if (from <= 0 || to < from || step <= 0) return undefined
  const count = Math.ceil((to - from) / step - 1e-9) + 1
  if (count > probeStepsMax) return undefined
  return Array.from({ length: count }, (_, i) => Math.min(to, from + i * step))
}

/** Writes `mark` over `octets`, which are as long as is to be tried. @param octets zeros, or a mark of this run before */
export function writeProbe(octets: Buffer, mark: ProbeMark, { id, key }: LinkKey): void {
  octets.writeUInt32BE(magic, 0)
  octets.writeUInt16BE(id << 12, 4)
  octets.writeUInt16BE(mark.steps, 6)
  octets.writeBigUInt64BE(mark.run, 8)
  octets.writeUInt16BE(mark.step, 16)
  octets.writeUInt16BE(0, 18)
  octets.writeUInt32BE(mark.number, 20)
  octets.writeUInt32BE(mark.kbitPerSecond, 40)
  for (const [i, { kbitPerSecond, datagrams, ms }] of mark.sent.entries()) {
    const at = headOctets + i * stepOctets
    octets.writeUInt32BE(kbitPerSecond, at)
    octets.writeUInt32BE(datagrams, at + 4)
    octets.writeUInt32BE(ms, at + 8)
  }
  sealMac(octets, macAt, key)
}

/**
 * The MAC first, as for data.
 * @throws PeerError `DATAGRAM_LENGTH`, `DATAGRAM_KEY`, `DATAGRAM_UNAUTHENTIC`, `DATAGRAM_MALFORMED`
 */
export function readProbe(octets: Buffer, keys: readonly LinkKey[]): ProbeMark {
  if (octets.length < headOctets || octets.length > probeOctetsMax) {
    throw new PeerError('DATAGRAM_LENGTH', `${octets.length} octets`)
  }
  const id = (octets.readUInt16BE(4) >> 12) & keyIdMax
  const key = keys.find((one) => one.id === id)
  if (key === undefined) throw new PeerError('DATAGRAM_KEY', `no key ${id}`)
  if (!holdsMac(octets, macAt, key.key)) throw new PeerError('DATAGRAM_UNAUTHENTIC', 'the MAC does not hold')
  if (octets.readUInt32BE(0) !== magic) throw new PeerError('DATAGRAM_MALFORMED', 'no probe of the link')
  return markOf(octets)
}

/** @throws PeerError `DATAGRAM_MALFORMED` */
function markOf(octets: Buffer): ProbeMark {
  const [steps, step, number] = [octets.readUInt16BE(6), octets.readUInt16BE(16), octets.readUInt32BE(20)]
  const fits = steps >= 1 && steps <= probeStepsMax && step <= steps && number < probeNumbersMax
  if (!fits || octets.length < probeOctetsMin(step)) throw new PeerError('DATAGRAM_MALFORMED', 'a step outside its run')
  const sent = Array.from({ length: step }, (_, i) => {
    const at = headOctets + i * stepOctets
    return {
      kbitPerSecond: octets.readUInt32BE(at),
      datagrams: octets.readUInt32BE(at + 4),
      ms: octets.readUInt32BE(at + 8),
    }
  })
  return { run: octets.readBigUInt64BE(8), steps, step, number, kbitPerSecond: octets.readUInt32BE(40), sent }
}

export interface StepResult {
  /** Mbit/s that were aimed at */
  mbit: number
  /** that left, over the step's time; undefined where no later datagram told */
  sentMbit: number | undefined
  /** datagrams; where no later one told, as many as the highest number says: there were at least these */
  sent: number
  /** different ones */
  received: number
  /** 0 to 1 */
  loss: number
  /** by the receiving socket, its buffer being full; seen while this step was the last that had come */
  kernelDrops: number
}

export interface ProbeResult {
  run: string
  datagramOctets: number
  /** the sender said that it was over */
  complete: boolean
  steps: StepResult[]
  /** Mbit/s that left in the last step before any lost more than the limit; undefined where the first did */
  kneeMbit: number | undefined
}

interface Step {
  kbitPerSecond: number
  seen: Uint8Array
  received: number
  highest: number
  kernelDrops: number
}

/** The receiving end's account of one run: the first that it hears. */
export class ProbeTally {
  readonly #steps = new Map<number, Step>()
  #run: bigint | undefined
  #octets = 0
  #last = 0
  #sent: readonly StepSent[] = []
  complete = false
  /** datagrams of other runs, which are not counted */
  foreign = 0

  get begun(): boolean {
    return this.#run !== undefined
  }

  take(mark: ProbeMark, octets: number): void {
    this.#run ??= mark.run
    if (mark.run !== this.#run) {
      this.foreign++
      return
    }
    if (mark.sent.length > this.#sent.length) this.#sent = mark.sent
    this.complete ||= mark.step === mark.steps
    this.#last = Math.max(this.#last, Math.min(mark.step, mark.steps - 1))
    if (mark.step === mark.steps) return
    this.#octets = octets
    count(this.#step(mark.step, mark.kbitPerSecond), mark.number)
  }

  /** What the kernel has dropped since it was asked last. */
  dropped(datagrams: number): void {
    if (datagrams > 0) this.#step(this.#last, 0).kernelDrops += datagrams
  }

  /** @param lossLimit 0 to 1 */
  result(lossLimit: number): ProbeResult {
    const count = Math.max(this.#sent.length, ...[...this.#steps.keys()].map((step) => step + 1), 0)
    const steps = Array.from({ length: count }, (_, i) => this.#result(i))
    const run = (this.#run ?? 0n).toString(16).padStart(16, '0')
    return { run, datagramOctets: this.#octets, complete: this.complete, steps, kneeMbit: kneeOf(steps, lossLimit) }
  }

  #result(step: number): StepResult {
    const { kbitPerSecond, received, highest, kernelDrops } = this.#step(step, 0)
    const told = this.#sent[step]
    const sent = told?.datagrams ?? highest + 1
    const sentMbit =
      told === undefined || told.ms === 0 ? undefined : (told.datagrams * this.#octets * 8) / told.ms / 1e3
    const mbit = (told?.kbitPerSecond ?? kbitPerSecond) / 1e3
    return { mbit, sentMbit, sent, received, loss: sent === 0 ? 0 : (sent - received) / sent, kernelDrops }
  }

  #step(number: number, kbitPerSecond: number): Step {
    const known = this.#steps.get(number)
    if (known !== undefined) {
      known.kbitPerSecond ||= kbitPerSecond
      return known
    }
    const step = { kbitPerSecond, seen: new Uint8Array(1_024), received: 0, highest: -1, kernelDrops: 0 }
    this.#steps.set(number, step)
    return step
  }
}

/** Each number once: a link may double. */
function count(step: Step, number: number): void {
  const [at, bit] = [number >> 3, 1 << (number & 7)]
  if (at >= step.seen.length) {
    const grown = new Uint8Array(2 ** Math.ceil(Math.log2(at + 1)))
    grown.set(step.seen)
    step.seen = grown
  }
  if ((step.seen[at]! & bit) !== 0) return
  step.seen[at]! |= bit
  step.received++
  step.highest = Math.max(step.highest, number)
}

/** One that held after one that did not is luck; a sender that did not reach its rate has shown no more than what left. */
function kneeOf(steps: readonly StepResult[], lossLimit: number): number | undefined {
  const first = steps.findIndex(({ loss }) => loss > lossLimit)
  const fastest = (first < 0 ? steps : steps.slice(0, first)).at(-1)
  return fastest?.sentMbit ?? fastest?.mbit
}
