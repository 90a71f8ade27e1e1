import type { ReplayAnswer } from '#gateway/replay.ts'
import { askReplay, controlSocket, type Down, exitOf } from './gateway-control.ts'

export const replayHelp = `replay      sends once more what the MDM lacks, by the CODE that its receiver's log shows (mdm.status, streams[].replay): nothing
            but a person carries it. Case, hyphens and spaces do not matter; what is mistyped is refused.
              --json              {"ok", "epoch", "from", "to", "batches", "erased"}, or {"ok": false, "fault": {"code", "detail"}}
            Only the data folder's owner may. Exit 0: all of it goes; 1: some is no longer here, its replay window is over;
            2: no such code, or of another stream; 69: no gateway runs.
`

/** @returns the exit code @throws ConfigError */
export async function replayBatches(configFile: string, code: string, json: boolean): Promise<number> {
  const answer = await askReplay(controlSocket(configFile), code)
  if (json) process.stdout.write(`${JSON.stringify(answer)}\n`)
  else if (answer.ok) process.stdout.write(`${textOf(answer)}\n`)
  else process.stderr.write(`ami: ${answer.fault.code}: ${answer.fault.detail}\n`)
  return exitCode(answer)
}

function exitCode(answer: ReplayAnswer | Down): number {
  if (!answer.ok) return exitOf(answer.fault.code)
  return answer.erased > 0 ? 1 : 0
}

function textOf({ from, to, batches, erased }: Extract<ReplayAnswer, { ok: true }>): string {
  const which = from === to ? `batch ${from}` : `batches ${from} to ${to}`
  return `${which}: ${batches} to be sent once more${erased > 0 ? `, ${erased} no longer here` : ''}`
}
