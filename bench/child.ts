import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * A part of the bench in a process of its own, so that its processor time can be told from the others'. One request is
 * under way at a time; each has one answer.
 */
export class BenchChild {
  readonly #process: ChildProcess
  readonly #name: string

  /**
   * @param name of a file in this folder, without its ending
   * @param launcher a program and its arguments that becomes the child, as `ip netns exec NAME` does
   */
  constructor(name: string, execArgv: readonly string[] = [], launcher: readonly string[] = []) {
    this.#name = name
    const [program, ...rest] = [...launcher, process.execPath]
    const file = fileURLToPath(new URL(`./${name}.ts`, import.meta.url))
    this.#process = fork(file, [], {
      execPath: program!,
      execArgv: [...rest, ...execArgv],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
  }

  get pid(): number {
    return this.#process.pid!
  }

  /** @throws Error when the child ends instead of answering */
  ask<Answer>(request: unknown): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const gone = (code: number | null): void => reject(new Error(`bench/${this.#name}.ts ended with ${code}`))
    this.#process.once('exit', gone)
    this.#process.once('message', (answer) => {
      this.#process.off('exit', gone)
      resolve(answer as Answer)
    })
    this.#process.send(request as object)
    return promise
  }

  /** The child ends by itself once its channel is closed. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = new Promise((resolve) => this.#process.once('exit', resolve))
    if (this.#process.connected) this.#process.disconnect()
    await ended
  }
}

/** The child's side: each request to its answer; ends when the parent is gone. */
export function serve<Request>(answer: (request: Request) => Promise<unknown>): void {
  process.on('message', (request) => {
    void answer(request as Request).then((reply) => process.send?.(reply as object))
  })
  process.once('disconnect', () => process.exit(0))
}

/** Linux counts processor time to its users in hundredths, whatever the kernel's own tick. @see proc(5), times(2) */
const ticksPerSecond = 100

/** Processor seconds of all threads of a process so far, to a hundredth. @see proc(5), /proc/pid/stat */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // from field 3; utime is 14, stime 15
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}
