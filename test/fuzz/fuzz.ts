import { Coverage, type Ran } from './coverage.ts'
import { execute, type Finding } from './execute.ts'
import { Mutator } from './mutate.ts'
import { shrink } from './shrink.ts'
import type { Target } from './target.ts'

/** Inputs between two looks at the counters, the most. */
const batchMax = 2_048
/** Of the time, the share that looking may take before batches grow. */
const lookingShareMax = 0.2
/** Findings of one run, the most: what is broken in as many ways needs mending first. */
const findingsMax = 20
/** Different outcomes that are remembered. */
const outcomesMax = 300
/** Of the inputs, one in so many is changed as octets although its form is known. */
const plainEvery = 3
/** Attempts on each input that is kept, and inputs kept, the most. */
const keptAttemptsMax = 120

export interface FuzzOptions {
  seconds: number
  seed: number
  /** inputs kept by earlier runs */
  corpus: readonly Uint8Array[]
  coverage: Coverage
  /** told of every input before it runs: what is told last, hangs */
  before?: (octets: Uint8Array) => void
  /** return the inputs that cover most of what is covered; costs some seconds */
  reduce?: boolean
}

export interface FuzzResult {
  executions: number
  seconds: number
  blocks: { covered: number; known: number }
  /** in the order they were found, minimised; `atSecond` counts from the start */
  findings: (Finding & { atSecond: number })[]
  /** inputs that covered something, minimised where `reduce` was asked for */
  kept: Uint8Array[]
}

/**
 * Runs a target on changed inputs; what reaches blocks or outcomes that none before reached is changed further.
 * The counters are read once for many inputs and, where something new ran, again for halves of them.
 */
export async function fuzz(target: Target, options: FuzzOptions): Promise<FuzzResult> {
  return new Run(target, options).run()
}

class Run {
  readonly #target: Target
  readonly #options: FuzzOptions
  readonly #coverage: Coverage
  readonly #mutator: Mutator
  readonly #outcomes = new Set<string>()
  readonly #findings: FuzzResult['findings'] = []
  readonly #began = performance.now()
  #executions = 0
  #batch = 16

  constructor(target: Target, options: FuzzOptions) {
    this.#target = target
    this.#options = options
    this.#coverage = options.coverage
    this.#mutator = new Mutator(options.seed, target.octetsMax)
  }

  async run(): Promise<FuzzResult> {
    const { seconds, corpus } = this.#options
    for (const octets of [...this.#target.seeds(), ...corpus]) await this.#learn([octets])
    if (this.#pool.length === 0) this.#pool.push(new Uint8Array())
    while (this.#seconds() < seconds && this.#findings.length < findingsMax) await this.#round()
    const [executions, spent, { blocks }] = [this.#executions, this.#seconds(), this.#coverage]
    const kept = this.#options.reduce === true ? await this.#reduced() : this.#pool
    return { executions, seconds: spent, blocks, findings: this.#findings, kept }
  }

  get #pool(): Uint8Array[] {
    return this.#mutator.pool
  }

  #seconds(): number {
    return (performance.now() - this.#began) / 1000
  }

  async #round(): Promise<void> {
    const began = performance.now()
    const inputs = Array.from({ length: this.#batch }, () => this.#input())
    for (const octets of inputs) await this.#execute(octets)
    const ran = performance.now()
    const isNew = this.#coverage.fresh(this.#coverage.take()).length > 0
    const looked = performance.now()
    if (isNew) await this.#learn(inputs)
    const share = (looked - ran) / (looked - began)
    this.#batch = Math.max(
      1,
      Math.min(batchMax, share > lookingShareMax ? this.#batch * 2 : this.#batch - (this.#batch >> 3)),
    )
  }

  /** Lately kept inputs are drawn more often: they stand at the edge of what is known. */
  #input(): Uint8Array {
    const { pick, one } = this.#draw
    const recent = this.#pool.slice(-8)
    const parent = pick(3) === 0 ? one(recent) : one(this.#pool)
    const { structured } = this.#target
    if (structured === undefined || pick(plainEvery) === 0) return this.#mutator.octets(parent)
    try {
      const octets = structured(parent, this.#mutator)
      return octets.length > this.#target.octetsMax ? octets.slice(0, this.#target.octetsMax) : octets
    } catch {
      return this.#mutator.octets(parent) // not of the form, or what came cannot be encoded
    }
  }

  readonly #draw = {
    pick: (count: number): number => this.#mutator.pick(count),
    one: <T>(list: readonly T[]): T => this.#mutator.one(list),
  }

  async #execute(octets: Uint8Array): Promise<string | Finding> {
    this.#executions++
    this.#options.before?.(octets)
    const outcome = await execute(this.#target, octets)
    if (typeof outcome !== 'string') await this.#report(outcome)
    else if (!this.#outcomes.has(outcome) && this.#outcomes.size < outcomesMax) {
      this.#outcomes.add(outcome)
      this.#keep(octets)
    }
    return outcome
  }

  #keep(octets: Uint8Array): void {
    if (!this.#pool.includes(octets)) this.#pool.push(octets)
  }

  /** Runs inputs again, halved until the one is found that brought something new; that one is kept. */
  async #learn(inputs: readonly Uint8Array[]): Promise<void> {
    const { ran, outcomes } = await this.#ran(inputs)
    if (this.#coverage.fresh(ran).length === 0) return
    if (inputs.length === 1) {
      this.#coverage.add(ran)
      if (typeof outcomes[0] === 'string') this.#keep(inputs[0]!) // what grows from a finding is mostly the same finding
      return
    }
    const half = inputs.length >> 1
    await this.#learn(inputs.slice(0, half))
    await this.#learn(inputs.slice(half))
    this.#coverage.add(ran) // what only both halves together run is not looked for again
  }

  async #ran(inputs: readonly Uint8Array[]): Promise<{ ran: Ran; outcomes: (string | Finding)[] }> {
    this.#coverage.take()
    const outcomes: (string | Finding)[] = []
    for (const octets of inputs) outcomes.push(await this.#execute(octets))
    return { ran: this.#coverage.take(), outcomes }
  }

  async #report(finding: Finding): Promise<void> {
    const isSame = (other: string | Finding): boolean =>
      typeof other !== 'string' && other.kind === finding.kind && other.signature === finding.signature
    if (this.#findings.some(isSame)) return
    const atSecond = this.#seconds()
    this.#findings.push({ ...finding, atSecond })
    const attempt = async (candidate: Uint8Array): Promise<boolean> => {
      this.#options.before?.(candidate)
      return isSame(await execute(this.#target, candidate))
    }
    const octets = await shrink(finding.octets, attempt)
    this.#findings[this.#findings.findIndex(isSame)] = { ...finding, octets, atSecond }
  }

  /**
   * Short ones first, each cut down to what it alone covers; those that then cover nothing more are left out.
   * @returns first what covered most that those before it had not
   */
  async #reduced(): Promise<Uint8Array[]> {
    this.#coverage.forget()
    const kept: { short: Uint8Array; places: number }[] = []
    for (const octets of this.#pool.toSorted((a, b) => a.length - b.length)) {
      const places = this.#coverage.fresh((await this.#ran([octets])).ran)
      if (places.length === 0) continue
      const covers = async (candidate: Uint8Array): Promise<boolean> =>
        Coverage.has((await this.#ran([candidate])).ran, places)
      const short = await shrink(octets, covers, keptAttemptsMax)
      this.#coverage.add((await this.#ran([short])).ran)
      kept.push({ short, places: places.length })
    }
    return kept.sort((a, b) => b.places - a.places).map(({ short }) => short)
  }
}
