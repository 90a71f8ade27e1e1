import { existsSync, readdirSync, readFileSync, statSync, watch, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished, vi } from 'vitest'
import { Child } from '#cli/demo/child.ts'
import { type DemoOptions, type Layout, layOut } from '#cli/demo/layout.ts'
import { type Tally, tally } from '#cli/demo/tally.ts'
import { decodeUplink } from '#gateway/codec/uplink.ts'
import { readJournal } from './held-journal.ts'

export interface HeadEndOptions {
  concentrators: number
  meters: number
  /** wall-clock seconds of one interval */
  intervalSeconds: number
  passesAfterMs: readonly number[]
  protection?: DemoOptions['protection']
}

type Part = 'gateway' | 'mdm' | 'simulator'

/** Gateway, MDM receiver and fleet as the demo lays them out, each a process of its own that a test may kill. */
export class HeadEnd {
  readonly layout: Layout
  readonly #parts = new Map<Part, Child>()
  /** what is revoked reaches every gateway that is started from here */
  #feed: Child | undefined

  constructor(layout: Layout) {
    this.layout = layout
    onTestFinished(async () => {
      for (const part of this.#parts.keys()) await this.kill(part)
      this.#feed?.kill()
      await this.#feed?.ended
    })
  }

  static async layOut(folder: string, { passesAfterMs, ...asked }: HeadEndOptions): Promise<HeadEnd> {
    const layout = await layOut(folder, { ...asked, curvesFile: undefined })
    const config = JSON.parse(readFileSync(layout.gatewayConfig, 'utf8')) as object
    const quick = { ...config, seal: { intervalMs: 100 }, forward: { passesAfterMs } }
    writeFileSync(layout.gatewayConfig, JSON.stringify(quick))
    return new HeadEnd(layout)
  }

  part(name: Part): Child {
    return this.#parts.get(name)!
  }

  /** The process is there; it need not have done anything yet. */
  spawn(name: Part): Child {
    const { folder, gatewayConfig, mdmConfig, simulatorConfig } = this.layout
    const args = {
      gateway: ['gateway', '--config', gatewayConfig],
      mdm: ['mdm', 'receive', '--config', mdmConfig],
      simulator: ['simulate', 'run', '--config', simulatorConfig],
    }[name]
    const child = new Child(name, args, join(folder, `${name}.log`))
    this.#parts.set(name, child)
    if (name === 'gateway') this.#feed ??= this.#spawnFeed()
    return child
  }

  #spawnFeed(): Child {
    const { folder, pkiFolder, feedSocket } = this.layout
    return new Child('feed', ['pki', 'feed', '--dir', pkiFolder, '--listener', feedSocket], join(folder, 'feed.log'))
  }

  /** Resolves when it does its work. */
  async start(name: Part): Promise<void> {
    const sign = { gateway: 'gateway.listening', mdm: 'mdm.listening', simulator: 'simulator.status' }[name]
    await this.spawn(name).until(sign)
    if (name === 'gateway') await this.#feed!.until('feed.connected')
  }

  async kill(name: Part): Promise<void> {
    this.part(name).kill()
    await this.part(name).ended
  }

  get journalFolder(): string {
    return join(this.layout.folder, 'gateway', 'journal')
  }

  /** The segment that is being written. */
  get journalFile(): string {
    return join(this.journalFolder, readdirSync(this.journalFolder).sort().at(-1)!)
  }

  /** SIGKILL as soon as the journal has grown: the record is written, its PUBACK most likely has not left. */
  async killBeforePuback(): Promise<void> {
    const gateway = this.part('gateway')
    const grown = Promise.withResolvers<void>()
    const watcher = watch(this.journalFile, () => {
      gateway.kill()
      grown.resolve()
    })
    await grown.promise
    watcher.close()
    await gateway.ended
  }

  /** No more is sent, what was acknowledged is sealed and sent, what was sent arrives; then the reckoning. */
  async drain(): Promise<Tally & { sealed: number; quarantined: number }> {
    const [simulator, gateway, mdm] = [this.part('simulator'), this.part('gateway'), this.part('mdm')]
    const codes = [await simulator.stop(), await gateway.stop()]
    const status = gateway.last('gateway.status')!
    await vi.waitFor(
      () => {
        const streams = (mdm.last('mdm.status')?.streams ?? []) as { highest: number; gaps: unknown[] }[]
        const { highest, gaps } = streams[0] ?? { highest: 0, gaps: [] }
        if (highest !== status.batchesSealed || gaps.length > 0) throw new Error(`${highest} and gaps ${gaps.length}`)
      },
      { timeout: 15_000, interval: 100 },
    )
    codes.push(await mdm.stop())
    if (codes.some((code) => code !== 0)) throw new Error(`simulator, gateway and MDM ended with ${codes.join(', ')}`)
    const { record, mdmData, rootFile } = this.layout
    const counted = await tally(record, mdmData, rootFile)
    return { ...counted, sealed: Number(status.sealed), quarantined: Number(status.quarantined) }
  }

  /** Uplinks that stand in the journal more than once: sent again because nobody had acknowledged them. */
  repeated(): number {
    const [start, file] = [Number(this.journalFile.slice(-20, -4)), this.journalFile]
    const names = readJournal(this.journalFolder, start + statSync(file).size).map(({ concentrator, payload }) => {
      const { sequence } = decodeUplink(payload)
      return `${concentrator}/${sequence}`
    })
    return names.length - new Set(names).size
  }

  /** What a part has logged, of all its lives. */
  log(name: Part): string {
    const file = join(this.layout.folder, `${name}.log`)
    return existsSync(file) ? readFileSync(file, 'utf8') : ''
  }
}

/** What every reckoning must say, whatever was killed. */
export const nothingLost = { lost: 0, duplicated: 0, unrecorded: 0, gaps: 0, quarantined: 0 } as const
