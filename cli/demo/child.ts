import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { mainFile } from './layout.ts'

/** A line of a part's log. */
export type Line = { event: string } & Record<string, unknown>

export interface ChildOptions {
  flags?: readonly string[]
  env?: Readonly<Record<string, string>>
  launcher?: readonly string[]
}

/** One part as a process of its own, as an operator would run it; its log is kept and its last lines are at hand. */
export class Child {
  readonly name: string
  readonly ended: Promise<number>
  readonly #process: ChildProcess
  readonly #last = new Map<string, Line>()
  readonly #waiters: { event: string; resolve: (line: Line) => void }[] = []
  #stderr = ''

  /**
   * @param logFile appended to
   * @param how flags of Node's, more environment, and a program with its arguments that becomes the part, as `ip netns exec NAME` does
   */
  constructor(
    name: string,
    args: readonly string[],
    logFile: string,
    { flags = [], env = {}, launcher = [] }: ChildOptions = {},
  ) {
    this.name = name
    const [program, ...rest] = [...launcher, process.execPath, ...flags, mainFile, ...args] as [string, ...string[]]
    // A process group of its own: Ctrl-C is the demo's to hear, and the channel tells the child when the demo is gone.
    this.#process = spawn(program, rest, {
      detached: true,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    const log = createWriteStream(logFile, { flags: 'a' })
    this.#process.stderr!.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString('utf8')).slice(-4_000)
      log.write(chunk)
    })
    createInterface({ input: this.#process.stdout! }).on('line', (text) => {
      log.write(`${text}\n`)
      this.#hear(text)
    })
    this.ended = new Promise((resolve) => {
      this.#process.once('close', (code) => {
        log.end()
        resolve(code ?? 1)
      })
    })
  }

  get pid(): number {
    return this.#process.pid!
  }

  /** what it said last on stderr */
  get complaint(): string {
    return this.#stderr.trim()
  }

  last(event: string): Line | undefined {
    return this.#last.get(event)
  }

  /** The line, now or when it comes. @throws Error when the process ends without it */
  until(event: string): Promise<Line> {
    const line = this.#last.get(event)
    if (line !== undefined) return Promise.resolve(line)
    const coming = new Promise<Line>((resolve) => this.#waiters.push({ event, resolve }))
    const gone = this.ended.then((code): never => {
      throw new Error(`${this.name} ended with ${code} before ${event}: ${this.complaint}`)
    })
    return Promise.race([coming, gone])
  }

  async stop(): Promise<number> {
    this.#process.kill('SIGTERM')
    return await this.ended
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }

  #hear(text: string): void {
    let line: Line
    try {
      line = JSON.parse(text) as Line
    } catch {
      return // not a log line; it is in the file
    }
    this.#last.set(line.event, line)
    for (const [i, waiter] of [...this.#waiters.entries()].reverse()) {
      if (waiter.event === line.event) this.#waiters.splice(i, 1)[0]!.resolve(line)
    }
  }
}
