import { openBatch } from '#gateway/oneway/seal.ts'
import { Position } from '#mdm/sinks/position.ts'
import { type KeptBatch, keptBatch, type Range, type Sink } from '#mdm/sinks/sink.ts'
import { Chain, type Sealed, sealerOf, seriesOf } from '#test/support/batches.ts'
import type { ThrowawayPki } from '#test/support/pki.ts'

/** A sink in memory that a test can hold up and make fail. */
export class MemorySink implements Sink {
  readonly name: string
  readonly everyMs: number
  readonly taken: string[] = []
  readonly groups: number[] = []
  opened = 0
  /** thrown by the next calls, first to last; undefined lets one through */
  readonly faults: (Error | undefined)[] = []
  /** a take waits for this */
  gate: Promise<unknown> = Promise.resolve()
  #position = new Position()

  constructor(name = 'memory', everyMs = 0) {
    this.name = name
    this.everyMs = everyMs
  }

  async open(): Promise<void> {
    this.#fail()
    this.opened++
  }

  held(epoch: number): readonly Range[] {
    return this.#position.held(epoch)
  }

  async take(batches: readonly KeptBatch[]): Promise<void> {
    await this.gate
    this.#fail()
    this.groups.push(batches.length)
    for (const { epoch, sequence } of batches) {
      this.taken.push(`${epoch}/${sequence}`)
      this.#position.add(epoch, sequence)
    }
  }

  async close(): Promise<void> {}

  #fail(): void {
    const fault = this.faults.shift()
    if (fault !== undefined) throw fault
  }
}

/** `count` sealed batches of a stream, two series each. */
export async function sealedBatches(pki: ThrowawayPki, epoch: number, count: number): Promise<Sealed[]> {
  const chain = new Chain(await sealerOf(pki), epoch)
  const all: Sealed[] = []
  for (let n = 1; n <= count; n++) all.push(await chain.next([seriesOf(2 * n, 4), seriesOf(2 * n + 1, 2)]))
  return all
}

export function keptOf({ octets }: Pick<Sealed, 'octets'>): KeptBatch {
  return keptBatch(openBatch(octets), octets)
}
