import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parseCrl } from '#pki/crl.ts'
import { PkiError } from '#pki/errors.ts'
import { toPem } from '#pki/pem.ts'
import { policy } from '#pki/purpose.ts'
import { verifyChain } from '#pki/verify.ts'
import { now } from './forge.ts'
import { negatives } from './negative/all.ts'
import { chainOf } from './negative/base.ts'
import { openssl, opensslVersion } from './openssl.ts'
import { type AskedChain, hasManyJudge, manyNote, opensslVerdicts } from './openssl-many.ts'

const dir = mkdtempSync(join(tmpdir(), 'ami-negative-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const how = { at: now, policy: policy.concentrator, purpose: 'sslclient' }

/** @returns `accepted`, or why not; a CRL that cannot be read is refused before there is a chain to judge */
function ourVerdict({ crls, ...certificates }: AskedChain): string {
  try {
    const verdict = verifyChain({ ...certificates, crls: crls.map(parseCrl), at: now, purpose: 'concentrator' })
    return verdict.ok ? 'accepted' : verdict.code
  } catch (cause) {
    if (cause instanceof PkiError) return cause.code
    throw cause
  }
}

/** `openssl verify`, in a process and with files of its own. */
function commandAccepts({ leaf, intermediates, roots, crls }: AskedChain): boolean {
  const file = (name: string, label: string, all: readonly Uint8Array[]): string => {
    writeFileSync(join(dir, name), all.map((one) => toPem(label, one)).join(''))
    return join(dir, name)
  }
  const given = (option: string, label: string, all: readonly Uint8Array[]): string[] =>
    all.length === 0 ? [] : [option, file(option.slice(1), label, all)]
  const strict = ['-x509_strict', '-crl_check_all', '-purpose', how.purpose, '-explicit_policy', '-policy', how.policy]
  const trust = ['-no-CApath', '-no-CAstore', ...given('-CAfile', 'CERTIFICATE', roots)]
  const more = [...given('-untrusted', 'CERTIFICATE', intermediates), ...given('-CRLfile', 'X509 CRL', crls)]
  return openssl('verify', ...strict, '-attime', `${now}`, ...trust, ...more, file('leaf', 'CERTIFICATE', [leaf])).ok
}

function octetsOf({ leaf, intermediates, roots, crls }: AskedChain): string {
  const hex = (all: readonly Uint8Array[]): string => all.map((one) => Buffer.from(one).toString('hex')).join(',')
  return [[leaf], intermediates, roots, crls].map(hex).join(';')
}

describe('a chain that is wrong in one way', () => {
  test('is one of at least 200, none of which is another in its octets or its name', () => {
    expect(negatives.length).toBeGreaterThanOrEqual(200)
    expect(new Set(negatives.map(({ chain }) => octetsOf(chain))).size).toBe(negatives.length)
    expect(new Set(negatives.map(({ name }) => name)).size).toBe(negatives.length)
  })

  test('is made from one that is accepted', () => {
    expect(ourVerdict(chainOf())).toBe('accepted')
  })

  test.for(negatives)('is refused: $name', ({ code, chain }) => {
    expect(ourVerdict(chain)).toBe(code)
  })
})

describe.runIf(hasManyJudge)(`beside OpenSSL${manyNote}`, () => {
  test('the chain that the others are made from is accepted', () => {
    expect(commandAccepts(chainOf())).toBe(true)
    expect(opensslVerdicts([chainOf()], how)).toEqual([{ ok: true, code: 0, words: 'ok' }])
  })

  // what a later OpenSSL refuses besides is no fault of ours
  test('each is refused too, but for those of which it is said why not', () => {
    const verdicts = opensslVerdicts(
      negatives.map(({ chain }) => chain),
      how,
    )
    const differing = negatives.filter(({ accepted }, index) => {
      const { ok } = verdicts[index]!
      return accepted === undefined ? ok : !ok && opensslVersion.startsWith('3.0.')
    })
    expect(differing.map(({ name }) => name)).toEqual([])
  })

  test('the judge of many says what the command says', { timeout: 120_000 }, () => {
    const some = negatives.filter((_, index) => index % 10 === 0)
    const many = opensslVerdicts(
      some.map(({ chain }) => chain),
      how,
    )
    const differing = some.filter(({ chain }, index) => commandAccepts(chain) !== many[index]!.ok)
    expect(differing.map(({ name }) => name)).toEqual([])
  })
})
