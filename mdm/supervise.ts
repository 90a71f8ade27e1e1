import type { ChildProcess } from 'node:child_process'
import { setTimeout as moment } from 'node:timers/promises'
import type { Logger } from 'pino'
import { exitConfig } from '#gateway/errors.ts'

export interface Supervised {
  /** settles when it is given up, with the exit code that is due and why */
  readonly failed: Promise<{ code: number; detail: string }>
  /** Ends it cleanly. @returns its exit code, 0 when it was not running */
  stop(): Promise<number>
}

export interface RestartPolicy {
  /** starts in a row of which none lived for `aliveMs`, the most */
  startsMax: number
  aliveMs: number
  /** before the first restart, doubled with each that follows */
  waitMs: { first: number; last: number }
}

export const restartPolicy: RestartPolicy = { startsMax: 20, aliveMs: 30_000, waitMs: { first: 100, last: 2_000 } }

/** `EX_SOFTWARE` of sysexits.h */
const exitSoftware = 70

/**
 * Keeps a child process running. One that ends with a configuration fault is not started again; neither is one that ended too
 * often in a row.
 */
export function supervise(start: () => ChildProcess, log: Logger, policy: RestartPolicy = restartPolicy): Supervised {
  const stopping = new AbortController()
  const failed = Promise.withResolvers<{ code: number; detail: string }>()
  let child: ChildProcess | undefined
  let code = 0
  const live = async (): Promise<void> => {
    for (let row = 1; !stopping.signal.aborted; row++) {
      const began = performance.now()
      child = start()
      code = await ended(child)
      child = undefined
      if (stopping.signal.aborted) return
      if (performance.now() - began >= policy.aliveMs) row = 1
      if (code === exitConfig) return failed.resolve({ code, detail: 'the assembler refuses its configuration' })
      if (row >= policy.startsMax) {
        const detail = `the assembler ended ${row} times in a row, the last time with ${code}`
        return failed.resolve({ code: exitSoftware, detail })
      }
      const restartInMs = Math.min(policy.waitMs.first * 2 ** (row - 1), policy.waitMs.last)
      log.error({ event: 'assembler.ended', code, row, restartInMs })
      await moment(restartInMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }
  const over = live()
  return {
    failed: failed.promise,
    stop: async () => {
      stopping.abort()
      const running = child?.kill('SIGTERM') ?? false
      await over
      return running ? code : 0
    },
  }
}

/** By a signal: as a shell would say it. */
function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 1)))
    child.once('error', () => resolve(exitSoftware)) // could not be started
  })
}
