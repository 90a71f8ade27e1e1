import { spawnSync } from 'node:child_process'

const version = spawnSync('openssl', ['version'], { encoding: 'utf8' })

/** Is the independent judge on this machine? The tests that need it say so in their names. */
export const hasOpenssl: boolean = version.status === 0

/** Such as `3.0.19`; nothing where there is none. */
export const opensslVersion: string = /^OpenSSL (\S+)/.exec(version.stdout ?? '')?.[1] ?? ''

/** For the name of a test that cannot run. */
export const opensslNote: string = hasOpenssl ? '' : ' (skipped: openssl is not installed)'

if (!hasOpenssl && process.env.CI !== undefined) throw new Error('openssl is not installed, and CI needs it')

/** One command of openssl, to its end. */
export function openssl(...args: readonly string[]): { ok: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8', timeout: 20_000 })
  return { ok: status === 0, output: `${stdout}${stderr}` }
}
