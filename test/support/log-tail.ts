import type { Logger } from 'pino'
import { openLog } from '#cli/log.ts'

export type LogLine = { event: string } & Record<string, unknown>

/** How long a line may be in coming before the test fails, with what came in its place. */
const patienceMs = 10_000

/** The log of a part that runs within the test, its lines at hand; a test waits for a line and never for a time. */
export class LogTail {
  readonly log: Logger
  readonly lines: LogLine[] = []
  readonly #waiters = new Set<() => void>()

  /** @param part whose log it is; with its lines for debugging */
  constructor(part = 'gateway') {
    this.log = openLog(part, {
      write: (text) => {
        this.lines.push(JSON.parse(text) as LogLine)
        for (const look of [...this.#waiters]) look()
      },
    })
    this.log.level = 'debug'
  }

  find(wanted: Record<string, unknown>): LogLine | undefined {
    return this.lines.find((line) => Object.entries(wanted).every(([key, value]) => line[key] === value))
  }

  /** The first line with these fields, now or when it comes. */
  until(wanted: Record<string, unknown>): Promise<LogLine> {
    const { promise, resolve, reject } = Promise.withResolvers<LogLine>()
    const late = setTimeout(() => {
      this.#waiters.delete(look)
      reject(
        new Error(
          `no line ${JSON.stringify(wanted)} among\n${this.lines.map((one) => JSON.stringify(one)).join('\n')}`,
        ),
      )
    }, patienceMs)
    const look = (): void => {
      const line = this.find(wanted)
      if (line === undefined) return
      clearTimeout(late)
      this.#waiters.delete(look)
      resolve(line)
    }
    this.#waiters.add(look)
    look()
    return promise
  }

  /** Codes of the refused peers, in order. */
  refusals(): string[] {
    return this.lines.filter(({ event }) => event === 'peer.refused').map(({ code }) => String(code))
  }
}
