import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { onTestFinished, vi } from 'vitest'

const ami = join(import.meta.dirname, '../../cli/ami.mjs')

export interface DemoVerdict {
  readings: Record<string, number>
  batches: Record<string, number>
  cells: Record<string, number>
  link?: { datagrams: number; lost: number }
  seconds: number
  ok: boolean
}

/** `ami demo --json` as a user runs it. */
export class Demo {
  readonly folder: string
  readonly #process: ChildProcess
  readonly #stdout: Promise<string>
  readonly #stderr: Promise<string>
  readonly #code: Promise<number | null>

  constructor(folder: string, ...options: string[]) {
    this.folder = folder
    this.#process = spawn(process.execPath, [ami, 'demo', '--json', '--dir', folder, ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#stdout = text(this.#process.stdout!)
    this.#stderr = text(this.#process.stderr!)
    this.#code = new Promise((resolve) => this.#process.once('close', resolve))
    onTestFinished(() => void this.#process.kill('SIGKILL'))
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  /** Its end: all that it wrote. */
  async end(): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const code = await this.#code
    return { code, stdout: await this.#stdout, stderr: await this.#stderr }
  }

  /** Its one JSON line. @throws Error when there is another, or none, or the exit code is not 0 */
  async verdict(): Promise<DemoVerdict> {
    const { code, stdout, stderr } = await this.end()
    if (code !== 0 || stdout.split('\n').length !== 2) throw new Error(`exit ${code}: ${stdout}${stderr}`)
    return JSON.parse(stdout) as DemoVerdict
  }

  /** A line of a part's log, when it has come. */
  async logged(part: string, event: string): Promise<Record<string, unknown>> {
    const file = join(this.folder, `${part}.log`)
    return vi.waitFor(
      () => {
        const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
        const line = lines.find((one) => one.includes(`"event":"${event}"`))
        if (line === undefined) throw new Error(`${part} has not logged ${event}`)
        return JSON.parse(line) as Record<string, unknown>
      },
      { timeout: 20_000, interval: 50 },
    )
  }

  /** The last line of an event in a part's log, when it has ended. */
  lastLogged(part: string, event: string): Record<string, unknown> {
    const lines = readFileSync(join(this.folder, `${part}.log`), 'utf8').split('\n')
    return JSON.parse(lines.findLast((one) => one.includes(`"event":"${event}"`))!) as Record<string, unknown>
  }

  /** Process ids of its parts; whatever the test finds, none of them outlives it. */
  children(): number[] {
    const { pid } = this.#process
    const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
    onTestFinished(() => {
      for (const one of pids) if (!isGone(one)) process.kill(one, 'SIGKILL')
    })
    return pids
  }
}

/** Not there, or there only until its parent has asked for its exit code. */
export function isGone(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return true
  }
}
