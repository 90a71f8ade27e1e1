import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'

/** A program of somebody else's that judges ours: the tests that need it say in their names when it is missing. */
export interface Judge {
  here: boolean
  note: string
}

function seek(program: string, ...asking: string[]): Judge {
  return judged(program, spawnSync(program, asking).error === undefined)
}

/** Debian's own Python has Debian's packages, whatever else is first in the path. */
function seekModule(module: string): Judge {
  return judged(module, spawnSync('/usr/bin/python3', ['-c', `import ${module}`]).status === 0)
}

function judged(program: string, here: boolean): Judge {
  if (!here && process.env.CI !== undefined) throw new Error(`${program} is not installed, and CI needs it`)
  return { here, note: here ? '' : ` (skipped: ${program} is not installed)` }
}

/** Where Debian keeps the server's programs: the newest version's. */
export const postgresPrograms: string | undefined = globSync('/usr/lib/postgresql/*/bin').sort().at(-1)

export const judge: { openssl: Judge; mosquitto: Judge; tshark: Judge; zfec: Judge; postgres: Judge } = {
  openssl: seek('openssl', 'version'),
  mosquitto: seek('mosquitto_pub', '--help'),
  tshark: seek('tshark', '--version'),
  zfec: seekModule('zfec'),
  postgres: judged('postgresql', postgresPrograms !== undefined),
}
