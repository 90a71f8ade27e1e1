import { spawnSync } from 'node:child_process'

const found = new Map<string, boolean>()

/** Is this independent judge on the machine? CI fails without it. */
export function hasTool(program: string): boolean {
  const known = found.get(program) ?? spawnSync(program, ['--version']).error === undefined
  found.set(program, known)
  if (!known && process.env.CI !== undefined) throw new Error(`${program} is not installed, and CI needs it`)
  return known
}

/** For the name of a test that cannot run. */
export function toolNote(program: string): string {
  return hasTool(program) ? '' : ` (skipped: ${program} is not installed)`
}
