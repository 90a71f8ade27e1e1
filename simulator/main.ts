import { createWriteStream, readFileSync, type WriteStream } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { ConfigError, PeerError } from '#gateway/errors.ts'
import { CommandDesk, type OpenMeter } from './commands.ts'
import { SimulatedConcentrator, type SimulatedUplink } from './concentrator.ts'
import { parseSimulatorConfig, type SimulatorConfig } from './config.ts'
import { parseCurves } from './curves.ts'
import { makeFleet } from './fleet.ts'
import { Session } from './load.ts'
import { type FleetFile, parseFleetFile } from './prepare.ts'
import { curveSource, modelSource, type Source } from './source.ts'

export interface Simulator {
  /** settles when the source is at its end or `stop` was called, and everything is acknowledged or given up */
  readonly ended: Promise<SimulatorStatus>
  /** finishes the interval that it is in, so that every meter has sent the same span */
  stop(): void
}

export interface SimulatorStatus {
  concentrators: number
  connected: number
  /** readings that were given to a session to be sent, and that were acknowledged */
  sent: number
  acked: number
  /** commands answered */
  commands: number
  /** uplinks not yet acknowledged */
  waiting: number
  /** the span sent: seconds since 1970-01-01T00:00Z, start of the first interval and end of the last */
  span: [number, number]
}

const statusIntervalMs = 1_000
/** How long the end waits for the last acknowledgements. */
const drainMsMax = 60_000
/** A pause before asking a full concentrator again. */
const fullPauseMs = 50
const quarter = 900

/** @param openMeter how its meters answer commands @throws ConfigError with everything wrong in the configuration */
export function startSimulator(configFile: string, log: Logger, openMeter: OpenMeter): Simulator {
  const config = parseSimulatorConfig(read('configuration', configFile).toString('utf8'), dirname(resolve(configFile)))
  const run = new Run(config, log, openMeter)
  return { ended: run.run(), stop: () => run.stop() }
}

interface Member {
  concentrator: SimulatedConcentrator
  session: Session
  desk: CommandDesk
}

class Run {
  readonly #config: SimulatorConfig
  readonly #log: Logger
  readonly #source: Source
  readonly #members: Member[]
  readonly #record: WriteStream | undefined
  readonly #counts = { sent: 0, acked: 0, commands: 0 }
  readonly #stopped = new AbortController()
  #span: [number, number]
  /** by the wall, milliseconds since 1970-01-01T00:00Z */
  #liveSince: number | undefined
  /** a push of its meters waits for room */
  #full: Session | undefined

  constructor(config: SimulatorConfig, log: Logger, openMeter: OpenMeter) {
    this.#config = config
    this.#log = log
    this.#source = openSource(config)
    this.#span = [config.historyStart, config.historyStart]
    this.#record =
      config.recordFile === undefined ? undefined : createWriteStream(config.recordFile, { flags: 'a', mode: 0o600 })
    const fleet = parseFleetFile(read('fleet', join(config.fleet, 'fleet.json')).toString('utf8'))
    this.#members = this.#openMembers(fleet, openMeter)
  }

  stop(): void {
    this.#stopped.abort()
  }

  async run(): Promise<SimulatorStatus> {
    const report = (): void => this.#log.info({ event: 'simulator.status', ...this.#status() })
    const timer = setInterval(report, statusIntervalMs)
    await this.#history()
    await this.#live()
    const drained = Promise.all(this.#members.map(({ session }) => session.drained()))
    await Promise.race([drained, sleep(drainMsMax, undefined, { ref: false })])
    clearInterval(timer)
    report()
    const status = this.#status()
    await Promise.all(this.#members.map(({ session }) => session.close()))
    await new Promise<void>((done) => (this.#record === undefined ? done() : this.#record.end(done)))
    this.#log.info({ event: 'simulator.ended', ...status })
    return status
  }

  /** The load profile since `historyStart`, in one push a meter: what a concentrator brings after an outage. */
  async #history(): Promise<void> {
    const { historyStart, liveStart } = this.#config
    const intervals = this.#intervals(historyStart, Math.min(liveStart, this.#source.end))
    if (intervals.length > 0) await this.#pushAll(intervals)
  }

  /** An interval a tick, by the wall's clock: a slow moment is caught up with. */
  async #live(): Promise<void> {
    const { liveStart, tickMs } = this.#config
    const began = Date.now()
    this.#liveSince = began
    for (let tick = 0; !this.#stopped.signal.aborted; tick++) {
      const from = liveStart + tick * this.#source.intervalSeconds
      if (from >= this.#source.end) return
      await sleep(Math.max(0, began + (tick + 1) * tickMs - Date.now()), undefined, {
        signal: this.#stopped.signal,
      }).catch(() => {})
      if (this.#stopped.signal.aborted) return
      await this.#pushAll([from])
    }
  }

  async #pushAll(intervals: readonly number[]): Promise<void> {
    for (const { concentrator, session } of this.#members) {
      const uplinks = concentrator.push(intervals, Date.now())
      if (!(await this.#offer(session, uplinks))) return
      this.#counts.sent += uplinks.reduce((sum, { readings }) => sum + readings, 0)
      await new Promise((turn) => setImmediate(turn)) // a large fleet's sockets have their turn
    }
    this.#span = [this.#span[0], intervals.at(-1)! + this.#source.intervalSeconds]
  }

  /** @returns false when it was told to stop and a full concentrator found no room in the time that the end may take */
  async #offer(session: Session, uplinks: readonly SimulatedUplink[]): Promise<boolean> {
    let waitedMs = 0
    this.#full = session
    while (!session.offer(uplinks)) {
      if (waitedMs >= drainMsMax) return false
      await sleep(fullPauseMs)
      waitedMs = this.#stopped.signal.aborted ? waitedMs + fullPauseMs : 0
    }
    this.#full = undefined
    return true
  }

  #intervals(from: number, to: number): number[] {
    const { intervalSeconds } = this.#source
    return Array.from(
      { length: Math.max(0, Math.ceil((to - from) / intervalSeconds)) },
      (_, i) => from + i * intervalSeconds,
    )
  }

  #openMembers(fleet: FleetFile, open: OpenMeter): Member[] {
    const now = Date.now()
    let ordinal = 0
    return makeFleet(fleet).substations.flatMap(({ concentrators }) =>
      concentrators.map(({ id, meters }) => {
        const placed = meters.map((meter) => ({ meter, ordinal: ordinal++ }))
        const concentrator = new SimulatedConcentrator({
          id,
          meters: placed,
          source: this.#source,
          firstCounter: counterNow(now),
          firstSequence: now,
        })
        const session = this.#openSession(id, (octets) => this.#command(member, octets))
        const clock = { installed: Math.floor(this.#config.historyStart / quarter) * quarter, now: () => this.#now() }
        const desk = new CommandDesk({ meters, open, ...clock, counter: concentrator })
        const member: Member = { concentrator, session, desk }
        return member
      }),
    )
  }

  #openSession(id: string, onCommand: (octets: Uint8Array) => void): Session {
    const { gateway, trustFile, fleet } = this.#config
    return new Session({
      id,
      ...gateway,
      trust: read('trustFile', trustFile),
      key: read('fleet', join(fleet, 'concentrators', `${id}.key.pem`)),
      certificate: read('fleet', join(fleet, 'concentrators', `${id}.chain.pem`)),
      onAcknowledged: (uplink) => this.#acknowledged(id, uplink),
      onCommand,
    })
  }

  /**
   * A concentrator that holds all it can has no room for the answer, and while a push waits for room an answer would overtake
   * it with a higher invocation counter: whoever asked hears nothing in time.
   */
  #command({ concentrator, session, desk }: Member, octets: Uint8Array): void {
    if (this.#full === session) return
    try {
      const result = desk.take(octets, Date.now())
      if (result === undefined || !session.offer([concentrator.result(result, Date.now())])) return
      this.#counts.commands++
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      this.#log.warn({ event: 'command.malformed', concentrator: concentrator.id, code: error.code })
    }
  }

  /** By the meters' clocks: as fast as the intervals go by. */
  #now(): number {
    const { liveStart, tickMs } = this.#config
    if (this.#liveSince === undefined) return liveStart
    return Math.floor(liveStart + ((Date.now() - this.#liveSince) / tickMs) * this.#source.intervalSeconds)
  }

  #acknowledged(concentrator: string, { sequence, series, readings }: SimulatedUplink): void {
    this.#counts.acked += readings
    this.#record?.write(`${JSON.stringify({ concentrator, sequence, series }, exact)}\n`)
  }

  #status(): SimulatorStatus {
    return {
      ...this.#counts,
      concentrators: this.#members.length,
      connected: this.#members.filter(({ session }) => session.connected).length,
      waiting: this.#members.reduce((sum, { session }) => sum + session.waiting, 0),
      span: this.#span,
    }
  }
}

/** Tenths of a second since late 2023: grows from run to run, and a meter pushes less often than that. */
function counterNow(nowMs: number): number {
  return Math.floor((nowMs - 1_700_000_000_000) / 100)
}

function exact(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}

function openSource({ curvesFile, historyStart, intervalSeconds }: SimulatorConfig): Source {
  if (curvesFile === undefined) return modelSource({ start: historyStart, intervalSeconds })
  const source = curveSource(parseCurves(read('curvesFile', curvesFile).toString('utf8')))
  if (source.intervalSeconds !== intervalSeconds) {
    throw new ConfigError([`intervalSeconds: the curves' interval is ${source.intervalSeconds} s`])
  }
  return source
}

function read(key: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new ConfigError([`${key}: cannot read ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}
