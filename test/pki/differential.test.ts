import { sign } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseCertificate } from '#pki/certificate.ts'
import { parseCrl } from '#pki/crl.ts'
import { bitString, sequence } from '#pki/der.ts'
import { PkiError } from '#pki/errors.ts'
import { toPem } from '#pki/pem.ts'
import { policy } from '#pki/purpose.ts'
import { ecdsaSha256 } from '#pki/signature.ts'
import { verifyChain } from '#pki/verify.ts'
import { cast, forgeCa, forgeCrl, forgeLeaf, forgeRoot, now } from './forge.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'

const mutants = 1_500
const dir = mkdtempSync(join(tmpdir(), 'ami-differential-'))
const people = cast()
const good = { root: forgeRoot(people), ca: forgeCa(people), leaf: forgeLeaf(people) } as Chain &
  Record<'root' | 'rootCrl', Uint8Array>
afterAll(() => rmSync(dir, { recursive: true, force: true }))
beforeAll(async () => {
  good.rootCrl = await forgeCrl(good.root, people.root.key)
  good.caCrl = await forgeCrl(good.ca, people.ca.key, { revoked: [good.ca] }) // a serial that is not the leaf's
  write('root', 'CERTIFICATE', good.root)
})

function write(name: string, label: string, ...octets: Uint8Array[]): void {
  writeFileSync(join(dir, name), octets.map((one) => toPem(label, one)).join(''))
}

/** Small and seeded, so that a failure can be had again. @see Knuth, TAOCP 3.3.4 */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >> 8) % below
  }
}

interface Chain {
  leaf: Uint8Array
  ca: Uint8Array
  caCrl: Uint8Array
}

/** One or two octets of what is signed in one of the three are changed, and the result is signed as it should be. */
function mutant(seed: number): Chain {
  const next = numbers(seed)
  const part = (['leaf', 'leaf', 'ca', 'caCrl'] as const)[next(4)]!
  const tbs = Uint8Array.from(part === 'caCrl' ? parseCrl(good.caCrl).tbs : parseCertificate(good[part]).tbs)
  for (let left = 1 + next(2); left > 0; left -= 1) {
    const at = next(tbs.length)
    tbs[at] = next(2) === 0 ? tbs[at]! ^ (1 << next(8)) : next(256)
  }
  const key = part === 'ca' ? people.root.key : people.ca.key
  return { ...good, [part]: sequence(tbs, ecdsaSha256, bitString(sign('sha256', tbs, key))) }
}

function weAccept({ leaf, ca, caCrl }: Chain): boolean {
  try {
    const crls = [good.rootCrl, caCrl].map(parseCrl)
    const certificates = { leaf, intermediates: [ca], roots: [good.root] }
    return verifyChain({ ...certificates, crls, at: now, purpose: 'concentrator' }).ok
  } catch (cause) {
    if (cause instanceof PkiError) return false
    throw cause
  }
}

function opensslAccepts({ leaf, ca, caCrl }: Chain): boolean {
  write('leaf', 'CERTIFICATE', leaf)
  write('ca', 'CERTIFICATE', ca)
  write('crls', 'X509 CRL', good.rootCrl, caCrl)
  const file = (name: string): string => join(dir, name)
  const trust = ['-no-CApath', '-no-CAstore', '-CAfile', file('root'), '-untrusted', file('ca')]
  const policies = ['-explicit_policy', '-policy', policy.concentrator]
  const lists = ['-crl_check_all', '-CRLfile', file('crls')]
  const how = ['-x509_strict', ...lists, '-purpose', 'sslclient', ...policies, '-attime', `${now}`]
  return openssl('verify', ...how, ...trust, file('leaf')).ok
}

describe.runIf(hasOpenssl)(`beside OpenSSL${opensslNote}`, () => {
  test(`of ${mutants} mutated and rightly signed chains none is accepted here that it refuses`, () => {
    const seeds = Array.from({ length: mutants }, (_, index) => index * 7_919 + 1)
    const accepted = seeds.filter((seed) => weAccept(mutant(seed)))
    expect(accepted.length).toBeGreaterThan(20)
    expect(accepted.filter((seed) => !opensslAccepts(mutant(seed)))).toEqual([])
  })
})
