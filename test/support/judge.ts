import { spawnSync } from 'node:child_process'

/** A program of somebody else's that judges ours: the tests that need it say in their names when it is missing. */
export interface Judge {
  here: boolean
  note: string
}

function seek(program: string, ...asking: string[]): Judge {
  const here = spawnSync(program, asking).error === undefined
  if (!here && process.env.CI !== undefined) throw new Error(`${program} is not installed, and CI needs it`)
  return { here, note: here ? '' : ` (skipped: ${program} is not installed)` }
}

export const judge: { openssl: Judge; mosquitto: Judge } = {
  openssl: seek('openssl', 'version'),
  mosquitto: seek('mosquitto_pub', '--help'),
}
