import { sign } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseCertificate } from '#pki/certificate.ts'
import { type Crl, parseCrl } from '#pki/crl.ts'
import { bitString, sequence } from '#pki/der.ts'
import { toPem } from '#pki/pem.ts'
import { ecdsaSha256 } from '#pki/signature.ts'
import { verifyChain } from '#pki/verify.ts'
import { cast, forgeCa, forgeCrl, forgeLeaf, forgeRoot, now } from './forge.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'

const mutants = 1_500
const dir = mkdtempSync(join(tmpdir(), 'ami-differential-'))
const people = cast()
const good = { root: forgeRoot(people), ca: forgeCa(people), leaf: forgeLeaf(people) }
let crls: Crl[]
afterAll(() => rmSync(dir, { recursive: true, force: true }))
beforeAll(async () => {
  const lists = [await forgeCrl(good.root, people.root.key), await forgeCrl(good.ca, people.ca.key)]
  crls = lists.map(parseCrl)
  write('crls', 'X509 CRL', ...lists)
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

/** One or two octets of what is signed are changed, and the result is signed as it should be. */
function mutant(seed: number): { leaf: Uint8Array; ca: Uint8Array } {
  const next = numbers(seed)
  const changesCa = next(3) === 0
  const tbs = Uint8Array.from(parseCertificate(changesCa ? good.ca : good.leaf).tbs)
  for (let left = 1 + next(2); left > 0; left -= 1) {
    const at = next(tbs.length)
    tbs[at] = next(2) === 0 ? tbs[at]! ^ (1 << next(8)) : next(256)
  }
  const key = changesCa ? people.root.key : people.ca.key
  const der = sequence(tbs, ecdsaSha256, bitString(sign('sha256', tbs, key)))
  return changesCa ? { leaf: good.leaf, ca: der } : { leaf: der, ca: good.ca }
}

function opensslAccepts({ leaf, ca }: { leaf: Uint8Array; ca: Uint8Array }): boolean {
  write('leaf', 'CERTIFICATE', leaf)
  write('ca', 'CERTIFICATE', ca)
  const file = (name: string): string => join(dir, name)
  const trust = ['-no-CApath', '-no-CAstore', '-CAfile', file('root'), '-untrusted', file('ca')]
  const how = ['-x509_strict', '-crl_check_all', '-CRLfile', file('crls'), '-purpose', 'sslclient', '-attime', `${now}`]
  return openssl('verify', ...how, ...trust, file('leaf')).ok
}

describe.runIf(hasOpenssl)(`beside OpenSSL${opensslNote}`, () => {
  test(`of ${mutants} mutated and rightly signed chains none is accepted here that it refuses`, () => {
    const accepted = Array.from({ length: mutants }, (_, seed) => ({
      seed: seed * 7_919 + 1,
      ...mutant(seed * 7_919 + 1),
    }))
      .map((one) => ({ ...one, certificates: { leaf: one.leaf, intermediates: [one.ca], roots: [good.root] } }))
      .filter(({ certificates }) => verifyChain({ ...certificates, crls, at: now, purpose: 'concentrator' }).ok)
    expect(accepted.length).toBeGreaterThan(20)
    expect(accepted.filter((one) => !opensslAccepts(one)).map(({ seed }) => seed)).toEqual([])
  })
})
