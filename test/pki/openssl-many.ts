import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { hasOpenssl } from './openssl.ts'

/** Chains asked about in one call, the most: their text must fit into one string of the runtime. */
const chainsMax = 20_000

/** One chain as `openssl verify` would be given it, each certificate and CRL in DER. */
export interface AskedChain {
  leaf: Uint8Array
  intermediates: readonly Uint8Array[]
  roots: readonly Uint8Array[]
  crls: readonly Uint8Array[]
}

export interface AskedHow {
  /** seconds since 1970 */
  at: number
  /** object identifier of the policy that every certificate must grant */
  policy: string
  /** as `openssl verify -purpose` names it */
  purpose: string
}

/** What libcrypto says: 0 and `ok`, or its error's number and words; -1 where it cannot read what it is given. */
export interface OpensslVerdict {
  ok: boolean
  code: number
  words: string
}

const program = join(import.meta.dirname, 'verify-many.py')
const python = '/usr/bin/python3'

/** Is a Python that finds OpenSSL's libcrypto on this machine? */
export const hasManyJudge: boolean =
  hasOpenssl && spawnSync(python, [program], { input: '', encoding: 'utf8' }).status === 0

/** For the name of a test that cannot run. */
export const manyNote: string = hasManyJudge ? '' : ' (skipped: python3 or libcrypto.so.3 is not installed)'

if (!hasManyJudge && process.env.CI !== undefined)
  throw new Error(`no judge of many chains, and CI needs it${manyNote}`)

/**
 * Asks libcrypto about many chains in one process: what `openssl verify -x509_strict -crl_check_all -explicit_policy` does,
 * without a process and files for each.
 * @returns a verdict for each chain, in their order
 */
export function opensslVerdicts(chains: readonly AskedChain[], how: AskedHow): OpensslVerdict[] {
  if (chains.length > chainsMax) throw new Error(`${chains.length} chains, at most ${chainsMax} at once`)
  const input = chains.map((chain) => `${JSON.stringify({ ...encoded(chain), ...how })}\n`).join('')
  const options = { input, encoding: 'utf8', maxBuffer: 64 * 1_024 * 1_024 } as const
  const { status, stdout, stderr } = spawnSync(python, [program], options)
  const lines = stdout.split('\n').slice(0, -1)
  if (status !== 0 || lines.length !== chains.length) throw new Error(`the judge failed: ${stderr}`)
  return lines.map(verdictOf)
}

function encoded({ leaf, intermediates, roots, crls }: AskedChain): Record<string, string | string[]> {
  const base64 = (octets: Uint8Array): string => Buffer.from(octets).toString('base64')
  return {
    leaf: base64(leaf),
    untrusted: intermediates.map(base64),
    roots: roots.map(base64),
    crls: crls.map(base64),
  }
}

function verdictOf(line: string): OpensslVerdict {
  const [, code, words] = /^(-?\d+) (.*)$/.exec(line) ?? []
  if (code === undefined || words === undefined) throw new Error(`the judge says '${line}'`)
  return { ok: code === '0', code: Number(code), words }
}
