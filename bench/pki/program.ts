import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuSeconds } from '../child.ts'
import { Unavailable } from '../mosquitto.ts'

/** How often a program that runs is looked at, milliseconds: what it uses in its last such time is not seen. */
const lookMs = 5

export interface ProgramRun {
  seconds: number
  /** of all its threads */
  cpuSeconds: number
  /** octets resident, the most */
  residentMost: number
  out: string
}

/** Runs a program to its end. @throws Error with what it complained of */
export async function runProgram(program: string, args: readonly string[], cwd: string): Promise<ProgramRun> {
  const began = performance.now()
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [out, complaint] = [text(child.stdout), text(child.stderr)]
  let used = { cpuSeconds: 0, residentMost: 0 }
  while (child.exitCode === null) {
    used = usedBy(child.pid!) ?? used
    await sleep(lookMs)
  }
  const seconds = (performance.now() - began) / 1000
  if ((await ended) !== 0) throw new Error(`${program} ${args[0]}: ${(await complaint).slice(-500)}`)
  return { seconds, ...used, out: await out }
}

/** @returns undefined when it is gone */
function usedBy(pid: number): { cpuSeconds: number; residentMost: number } | undefined {
  try {
    return { cpuSeconds: cpuSeconds(pid), residentMost: residentMost(pid) }
  } catch {
    return undefined // between its end and our hearing of it
  }
}

/** Octets resident so far, the most. @see proc(5), VmHWM */
export function residentMost(pid: number): number {
  const kilo = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (kilo === undefined) throw new Error(`process ${pid} has no memory any more`)
  return Number(kilo) * 1_024
}

/** A program that goes on until it is stopped. It does not outlive this process. */
export class Daemon {
  readonly #child: ChildProcess
  readonly #end = (): void => void this.#child.kill('SIGKILL')

  private constructor(program: string, args: readonly string[], cwd: string) {
    this.#child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    process.once('exit', this.#end)
  }

  /** @returns it, and what matched once it had said so @throws Error when it ends before */
  static async start(
    [program, ...args]: readonly [string, ...string[]],
    cwd: string,
    says: RegExp,
  ): Promise<{ daemon: Daemon; said: RegExpExecArray }> {
    const daemon = new Daemon(program, args, cwd)
    return { daemon, said: await daemon.#until(says) }
  }

  get pid(): number {
    return this.#child.pid!
  }

  #until(says: RegExp): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
    let heard = ''
    const hear = (chunk: Buffer): void => {
      if (heard.length < 65_536) heard += chunk.toString('latin1')
      const found = says.exec(heard)
      if (found !== null) resolve(found)
    }
    this.#child.stdout!.on('data', hear)
    this.#child.stderr!.on('data', hear)
    this.#child.once('exit', (code) => reject(new Error(`it ended with ${code}: ${heard}`)))
    return promise
  }

  async stop(): Promise<void> {
    process.off('exit', this.#end)
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    if (this.#child.exitCode === null && this.#child.kill('SIGTERM')) await ended
  }
}

/** @returns the version of the `openssl` in PATH @throws Unavailable */
export function opensslVersion(): string {
  const { stdout, error } = spawnSync('openssl', ['version'], { encoding: 'utf8' })
  if (error !== undefined) throw new Unavailable('openssl is not installed: apt-get install openssl')
  return stdout.split(' ')[1]!
}

export interface OpensslSpeed {
  signsPerSecond: number
  verifiesPerSecond: number
}

/** `openssl speed` of ECDSA on P-256, one second each. */
export async function opensslSpeed(folder: string): Promise<OpensslSpeed> {
  const { out } = await runProgram('openssl', ['speed', '-mr', '-seconds', '1', 'ecdsap256'], folder)
  const found = /^\+F4:\d+:256:([\d.]+):([\d.]+)$/m.exec(out)
  if (found === null) throw new Error(`openssl speed said something else: ${out}`)
  return { signsPerSecond: Number(found[1]), verifiesPerSecond: Number(found[2]) }
}
