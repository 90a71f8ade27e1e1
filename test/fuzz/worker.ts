/** One target in a thread of its own: what hangs or takes all memory is ended from outside, and its input is known. */
import { parentPort, workerData } from 'node:worker_threads'
import { readCorpus } from './corpus.ts'
import { Coverage } from './coverage.ts'
import { fuzz } from './fuzz.ts'

export interface WorkerRequest {
  target: string
  seconds: number
  seed: number
  reduce: boolean
  /** the executions so far and the input under way, as `Beacon` lays them out */
  beacon: SharedArrayBuffer
}

/** Octets of an input that the beacon holds, the most. */
export const beaconOctetsMax = 65_536
const headWords = 2

export function newBeacon(): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * headWords + beaconOctetsMax)
}

/** What a thread is at: written by it, read from outside. */
export class Beacon {
  readonly #head: Int32Array
  readonly #octets: Uint8Array

  constructor(shared: SharedArrayBuffer) {
    this.#head = new Int32Array(shared, 0, headWords)
    this.#octets = new Uint8Array(shared, 4 * headWords)
  }

  show(octets: Uint8Array): void {
    this.#octets.set(octets.subarray(0, beaconOctetsMax))
    this.#head[1] = Math.min(octets.length, beaconOctetsMax)
    this.#head[0]!++
  }

  get count(): number {
    return this.#head[0]!
  }

  /** The input under way. */
  get octets(): Uint8Array {
    return this.#octets.slice(0, this.#head[1]!)
  }
}

if (parentPort !== null) {
  const { target: name, seconds, seed, reduce, beacon: shared }: WorkerRequest = workerData
  const root = new URL('../../', import.meta.url).href
  const coverage = new Coverage((url) => url.startsWith(`${root}gateway/`) || url.startsWith(`${root}pki/`))
  const { targets } = await import('./targets.ts') // after the counters are on
  const target = targets.find((one) => one.name === name)
  if (target === undefined) throw new Error(`no target ${name}`)
  const beacon = new Beacon(shared)
  const corpus = readCorpus(name).map(({ octets }) => octets)
  const before = (octets: Uint8Array): void => beacon.show(octets)
  parentPort.postMessage(await fuzz(target, { seconds, seed, reduce, corpus, coverage, before }))
  coverage.close()
}
