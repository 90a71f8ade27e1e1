import { spawnSync } from 'node:child_process'
import { sign } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { crlNumber, parseCrl } from '#pki/crl.ts'
import { placeFull, publishShards, type ShardPlace, shardAt, shardEntriesMax, shardUri } from '#pki/crl-shards.ts'
import { encodeCrl } from '#pki/crl-writer.ts'
import { octetString, oid, sequence } from '#pki/der.ts'
import {
  decodeDistributionPoints,
  decodeIssuingDistributionPoint,
  encodeDistributionPoints,
  encodeIssuingDistributionPoint,
} from '#pki/distribution-point.ts'
import { PkiError } from '#pki/errors.ts'
import { toPem } from '#pki/pem.ts'
import { policy } from '#pki/purpose.ts'
import { type Revocation, type RevocationReason, revocationReasons } from '#pki/revoke.ts'
import { signatureHolds } from '#pki/signature.ts'
import type { Entry } from '#pki/store/journal.ts'
import { Register } from '#pki/store/register.ts'
import { verifyChain } from '#pki/verify.ts'
import { cast } from './ocsp-cast.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'
import { encodeRevocation, issueCrl } from './plain-crl.ts'

const stage = cast()
const top = mkdtempSync(join(tmpdir(), 'ami-shards-'))
afterAll(() => {
  stage.close()
  rmSync(top, { recursive: true, force: true })
})
const { ca, root } = stage
const authority = { certificate: ca.certificate, sign: async (octets: Uint8Array) => sign('sha256', octets, ca.key) }
const base = 'http://pki.example/device'
const at = Math.floor(Date.now() / 1_000)
let count = 0
const place = (more: Partial<ShardPlace> = {}): ShardPlace => ({
  dir: join(top, `${++count}`),
  base,
  authority,
  at,
  lifeSeconds: 86_400,
  ...more,
})
const serialOf = (number: number): string => `4${number.toString(16).toUpperCase().padStart(31, '0')}`
const revoked = (number: number): Revocation => ({ serial: serialOf(number), at: at - 60, reason: 'keyCompromise' })
const read = (where: ShardPlace, name: string): ReturnType<typeof parseCrl> =>
  parseCrl(readFileSync(join(where.dir, name)))

/** The one CRL of everything that a place's authority issued. */
function everything({ authority, at: thisUpdate }: ShardPlace, all: readonly Revocation[]): Promise<Uint8Array> {
  const head = { issuer: authority.certificate, number: 1n, thisUpdate, nextUpdate: thisUpdate + 86_400 }
  return encodeCrl(head, all, authority.sign)
}

describe('the writer', () => {
  const reasons = Object.keys(revocationReasons) as RevocationReason[]
  const serials = fc.stringMatching(/^([1-9A-F][0-9A-F]|0[1-9A-F])([0-9A-F]{2}){0,19}$/)
  const times = fc.integer({ min: 0, max: 253_402_300_799 })
  const lists = fc.array(fc.record({ serial: serials, at: times, reason: fc.constantFrom(...reasons) }), {
    maxLength: 40,
  })

  test('writes what the one entry at a time writes, octet for octet', async () => {
    await fc.assert(
      fc.asyncProperty(lists, times, async (all, thisUpdate) => {
        const signature = async (): Promise<Uint8Array> => new Uint8Array(71)
        const head = { issuer: ca.certificate, number: 77n, thisUpdate, nextUpdate: 4_102_444_800 }
        const slow = await issueCrl({ ...head, entries: all.map(encodeRevocation) }, signature)
        expect(Buffer.from(await encodeCrl(head, all, signature))).toEqual(Buffer.from(slow))
      }),
      { numRuns: 200 },
    )
  })

  test.each(['', '0', '00', 'ab', 'XY', '00AB', `7F${'00'.repeat(20)}`])('takes no serial like %j', async (serial) => {
    const head = { issuer: ca.certificate, number: 1n, thisUpdate: at, nextUpdate: at + 60 }
    const writing = encodeCrl(head, [{ serial, at, reason: 'unspecified' }], authority.sign)
    await expect(writing).rejects.toMatchObject({ code: 'CRL_MALFORMED' })
  })

  test('writes a million entries in at most 200 MB of memory', () => {
    const child = spawnSync(
      process.execPath,
      [join(import.meta.dirname, 'crl-child.ts'), ca.certificateFile, '1000000'],
      { encoding: 'utf8', timeout: 60_000 },
    )
    const measured = JSON.parse(child.stdout) as {
      milliseconds: number
      octets: number
      before: number
      rss: number
      most: number
    }
    process.stdout.write(`CRL of 1,000,000: ${child.stdout}\n`)
    expect(measured.octets).toBeGreaterThan(35e6)
    expect(measured.milliseconds).toBeLessThan(10_000) // an idle core needs under 1 s: this catches a change of order
    expect(measured.most).toBeLessThan(200e6)
  })
})

describe('distribution points', () => {
  test('are read as they were written', () => {
    for (const onlyUser of [true, false]) {
      const point = { uris: [`${base}/7.crl`, `${base}/8.crl`], onlyUser }
      expect(decodeIssuingDistributionPoint(encodeIssuingDistributionPoint(point))).toEqual(point)
    }
    expect(decodeDistributionPoints(encodeDistributionPoints(`${base}/7.crl`))).toEqual([`${base}/7.crl`])
  })

  test.each([
    ['onlyContainsCACerts', '30038201ff'],
    ['indirectCRL', '30038401ff'],
    ['no name', '3000'],
    ['a relative name', '300ea00ca10a30080603550403130178'],
  ])('of a list with %s make it no shard', (_, hexText) => {
    expect(decodeIssuingDistributionPoint(Buffer.from(hexText, 'hex'))).toBeUndefined()
  })

  test('of any octets are read or a typed fault', () => {
    const whole = encodeIssuingDistributionPoint({ uris: ['http://a/1.crl'], onlyUser: true })
    const bent = fc
      .tuple(fc.nat(whole.length - 1), fc.nat(255))
      .map(([where, octet]) => Uint8Array.from(whole).fill(octet, where, where + 1))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), bent), (octets) => {
        for (const decode of [decodeDistributionPoints, decodeIssuingDistributionPoint]) {
          try {
            decode(octets)
          } catch (cause) {
            expect(cause).toBeInstanceOf(PkiError)
          }
        }
      }),
    )
  })
})

describe('shards', () => {
  test('fill up to 1,000 certificates, one after the other, so that no CRL can have more entries', () => {
    expect([0, 999, 1_000, 123_456].map(shardAt)).toEqual([0, 0, 1, 123])
    expect(shardUri(base, 123)).toBe(`${base}/123.crl`)
  })

  test('are found again in the certificate', () => {
    const more = [sequence(oid('2.5.29.31'), octetString(encodeDistributionPoints(shardUri(base, 42))))]
    const { certificate } = stage.make('in-42', { issuer: ca, more })
    expect(certificate.distributionPoints).toEqual([`${base}/42.crl`])
    expect(ca.certificate.distributionPoints ?? []).toEqual([])
  })

  test('are what the register says: all that certificates name, the empty ones too, or those that are asked for', () => {
    const register = new Register()
    const issued = (number: number, issuer: 'device' | 'people', shard?: number): Entry => ({
      event: 'issued',
      at,
      serial: serialOf(number),
      profile: 'concentrator',
      id: `c${number}`,
      issuer,
      key: `${number}`,
      notBefore: at,
      notAfter: at + 60,
      certificate: '',
      ...(shard === undefined ? {} : { shard }),
    })
    const bad: Entry[] = [1, 3, 4].map((number) => ({ event: 'revoked', ...revoked(number) }))
    const entries = [issued(1, 'device', 0), issued(2, 'device', 1), issued(3, 'device', 0), issued(4, 'people', 0)]
    register.add([...entries, issued(5, 'device'), ...bad])
    register.add(entries) // read once more, they count once
    const serials = (only?: Set<number>): [number, string[]][] =>
      [...register.shardsOf('device', only)].map(([shard, all]) => [shard, all.map(({ serial }) => serial)])
    expect(serials()).toEqual([
      [0, [serialOf(1), serialOf(3)]],
      [1, []],
    ])
    expect(serials(new Set([1, 7]))).toEqual([[1, []]])
    expect(register.issuedBy('device')).toBe(4)
  })

  test('are each a signed CRL with its own entries and its critical distribution point, the empty ones too', async () => {
    const where = place()
    const all = Array.from({ length: 30 }, (_, number) => revoked(number))
    const shards = [all.filter((_, number) => number % 3 !== 1), [], all.filter((_, number) => number % 3 === 1)]
    expect(await publishShards(where, new Map(shards.entries()))).toEqual([0, 1, 2])
    expect(readdirSync(where.dir).toSorted()).toEqual(['0.crl', '1.crl', '2.crl'])
    for (const shard of [0, 1, 2]) {
      const crl = read(where, `${shard}.crl`)
      expect([...crl.serials].toSorted()).toEqual(shards[shard]!.map(({ serial }) => serial).toSorted())
      expect(signatureHolds(ca.certificate.publicKey, crl.tbs, crl.signature)).toBe(true)
      const point = crl.extensions.find(({ oid: name }) => name === '2.5.29.28')
      expect(point?.critical).toBe(true)
      expect(decodeIssuingDistributionPoint(point!.value)).toEqual({ uris: [`${base}/${shard}.crl`], onlyUser: true })
      expect([crl.thisUpdate, crl.nextUpdate]).toEqual([at, at + 86_400])
    }
  })

  test('stay as they are until one is revoked in them or half their life is over, and count up', async () => {
    const where = place()
    const three = (): Map<number, Revocation[]> =>
      new Map([
        [0, [revoked(1)]],
        [1, []],
        [2, [revoked(2)]],
      ])
    await publishShards(where, three())
    const inode = statSync(join(where.dir, '0.crl')).ino
    expect(await publishShards({ ...where, at: at + 43_200 }, three())).toEqual([])
    expect(await publishShards(where, three().set(1, [revoked(9)]))).toEqual([1])
    expect(statSync(join(where.dir, '0.crl')).ino).toBe(inode)
    expect(await publishShards(where, three().set(1, [revoked(8)]))).toEqual([1])
    const before = crlNumber(read(where, '1.crl'))
    expect(await publishShards({ ...where, at: at + 43_201 }, three().set(1, [revoked(8)]))).toEqual([0, 1, 2])
    expect(crlNumber(read(where, '1.crl'))).toBeGreaterThan(before)
    const other = { ...authority, certificate: stage.root.certificate }
    expect(await publishShards({ ...where, authority: other, at: at + 43_201 }, three())).toEqual([0, 1, 2])
  })

  test('count on past a file that was lost or spoilt', async () => {
    const where = place()
    await publishShards(where, new Map([[0, []]]))
    const first = crlNumber(read(where, '0.crl'))
    writeFileSync(join(where.dir, '0.crl'), 'spoilt')
    await publishShards({ ...where, at: at + 1 }, new Map([[0, []]]))
    expect(crlNumber(read(where, '0.crl'))).toBeGreaterThan(first)
  })

  test('of over 1,000 entries are refused before anything is written', async () => {
    const where = place()
    const many = Array.from({ length: shardEntriesMax + 1 }, (_, number) => revoked(number))
    await expect(
      publishShards(
        where,
        new Map([
          [0, []],
          [1, many],
        ]),
      ),
    ).rejects.toMatchObject({ code: 'CRL_SHARD' })
    expect(() => readdirSync(where.dir)).toThrow(/ENOENT/)
    expect(await publishShards(where, new Map([[1, many.slice(1)]]))).toEqual([1])
    expect(statSync(join(where.dir, '1.crl')).size).toBeLessThan(50_000)
  })

  test('stand beside one CRL of everything, which is no shard and is replaced whole', async () => {
    const where = place()
    await placeFull(where.dir, await everything(where, [revoked(1), revoked(2)]))
    const first = read(where, 'full.crl')
    expect([first.serials.size, first.unsupported, first.distributionPoint]).toEqual([2, false, undefined])
    await placeFull(where.dir, await everything(where, [revoked(3)]))
    expect(read(where, 'full.crl').serials.size).toBe(1)
    expect(readdirSync(where.dir)).toEqual(['full.crl'])
  })

  test('a revocation is published within 50 ms, beside 1,000 others in its shard', async () => {
    const where = place()
    const all = Array.from({ length: shardEntriesMax }, (_, number) => revoked(number))
    await publishShards(where, new Map([[0, all.slice(1)]]))
    const begin = performance.now()
    expect(await publishShards(where, new Map([[0, all]]))).toEqual([0])
    const milliseconds = performance.now() - begin
    process.stdout.write(`shard of 1,000 entries published in ${milliseconds.toFixed(1)} ms\n`)
    expect(milliseconds).toBeLessThan(500) // 50 ms and less on an idle disk
  })
})

describe('verifyChain', () => {
  /** verifyChain asks every certificate below the root for the policy of its class. */
  const inClass = sequence(oid('2.5.29.32'), octetString(sequence(sequence(oid(policy.concentrator)))))
  const device = stage.make('Device', { issuer: root, ca: true, more: [inClass] })
  const byDevice = (): ShardPlace =>
    place({
      authority: { certificate: device.certificate, sign: async (octets) => sign('sha256', octets, device.key) },
    })
  const points = (uri: string): Uint8Array[] => [
    inClass,
    sequence(oid('2.5.29.31'), octetString(encodeDistributionPoints(uri))),
  ]
  const common = { issuer: device, purposes: ['1.3.6.1.5.5.7.3.2'], uri: 'urn:ami:concentrator:c1' }
  const leaf = stage.make('c1', { ...common, more: points(shardUri(base, 1)) })
  const plain = stage.make('c2', { ...common, more: [inClass] })

  async function verdict(actor: typeof leaf, where: ShardPlace, ...names: string[]): Promise<string> {
    const head = { issuer: root.certificate, number: 1n, thisUpdate: at - 60, nextUpdate: at + 3_600 }
    const rootCrl = await encodeCrl(head, [], (octets) => sign('sha256', octets, root.key))
    const found = verifyChain({
      leaf: actor.certificate.der,
      intermediates: [device.certificate.der],
      roots: [root.certificate.der],
      crls: [parseCrl(rootCrl), ...names.map((name) => read(where, name))],
      at: at + 1,
      purpose: 'concentrator',
    })
    return found.ok ? 'accepted' : found.code
  }

  test('takes a shard for the certificates that name it, and for no others', async () => {
    const where = byDevice()
    await publishShards(
      where,
      new Map([
        [0, []],
        [1, [revoked(5)]],
      ]),
    )
    await placeFull(where.dir, await everything(where, []))
    expect(await verdict(leaf, where, '1.crl')).toBe('accepted')
    expect(await verdict(leaf, where, '0.crl', '1.crl')).toBe('accepted')
    expect(await verdict(leaf, where, 'full.crl')).toBe('accepted')
    expect(await verdict(leaf, where, '0.crl')).toBe('CRL_SCOPE')
    expect(await verdict(plain, where, '0.crl', '1.crl')).toBe('CRL_SCOPE')
    expect(await verdict(plain, where, 'full.crl')).toBe('accepted')
  })

  test('refuses a certificate by any list that names it, its own shard or another', async () => {
    const where = byDevice()
    const own = { serial: leaf.certificate.serial, at, reason: 'superseded' } as const
    await publishShards(
      where,
      new Map([
        [0, [own]],
        [1, []],
        [2, [own]],
      ]),
    )
    expect(await verdict(leaf, where, '1.crl')).toBe('accepted')
    expect(await verdict(leaf, where, '1.crl', '0.crl')).toBe('REVOKED')
    expect(await verdict(leaf, where, '2.crl')).toBe('REVOKED')
  })

  test('takes no shard for users alone as covering a CA', async () => {
    const where = place({
      authority: { certificate: root.certificate, sign: async (octets) => sign('sha256', octets, root.key) },
    })
    const sub = stage.make('Sub', { issuer: root, ca: true, more: points(shardUri(base, 0)) })
    const below = stage.make('c3', { ...common, issuer: sub, more: [inClass] })
    await publishShards(where, new Map([[0, []]]))
    const head = { issuer: sub.certificate, number: 1n, thisUpdate: at - 60, nextUpdate: at + 3_600 }
    const list = parseCrl(await encodeCrl(head, [], (octets) => sign('sha256', octets, sub.key)))
    const roots = [root.certificate.der]
    const asked = {
      leaf: below.certificate.der,
      intermediates: [sub.certificate.der],
      roots,
      at: at + 1,
      purpose: 'concentrator' as const,
    }
    expect(verifyChain({ ...asked, crls: [read(where, '0.crl'), list] })).toMatchObject({
      ok: false,
      code: 'CRL_SCOPE',
    })
  })
})

describe.runIf(hasOpenssl)(`OpenSSL${opensslNote}`, () => {
  const more = (shard: number): Uint8Array[] => [
    sequence(oid('2.5.29.31'), octetString(encodeDistributionPoints(shardUri(base, shard)))),
  ]
  const client = '1.3.6.1.5.5.7.3.2'

  async function verified(certificateFile: string, files: readonly string[]): Promise<{ ok: boolean; output: string }> {
    const rootCrl = join(top, 'root-crl.pem')
    const head = { issuer: root.certificate, number: 1n, thisUpdate: at - 60, nextUpdate: at + 3_600 }
    writeFileSync(rootCrl, toPem('X509 CRL', await encodeCrl(head, [], (octets) => sign('sha256', octets, root.key))))
    const lists = [rootCrl, ...files].flatMap((file) => ['-CRLfile', file])
    return openssl(
      'verify',
      '-x509_strict',
      '-crl_check_all',
      ...lists,
      '-no-CApath',
      '-CAfile',
      root.certificateFile,
      '-untrusted',
      ca.certificateFile,
      certificateFile,
    )
  }
  function pem(where: ShardPlace, name: string): string {
    const file = join(where.dir, `${name}.pem`)
    writeFileSync(file, toPem('X509 CRL', readFileSync(join(where.dir, name))))
    return file
  }

  test('accepts a certificate by its own shard, refuses it by another, and once it is revoked', async () => {
    const where = place({ at: at - 60 })
    const leaf = stage.make('sharded', { issuer: ca, purposes: [client], more: more(1) })
    await publishShards(
      where,
      new Map([
        [0, []],
        [1, [revoked(5)]],
      ]),
    )
    await placeFull(where.dir, await everything(where, []))
    expect(await verified(leaf.certificateFile, [pem(where, '1.crl')])).toMatchObject({ ok: true })
    expect(await verified(leaf.certificateFile, [pem(where, 'full.crl')])).toMatchObject({ ok: true })
    const other = await verified(leaf.certificateFile, [pem(where, '0.crl')])
    expect([other.ok, other.output]).toEqual([false, expect.stringMatching(/[Dd]ifferent CRL scope/)])
    const own = { serial: leaf.certificate.serial, at: at - 1, reason: 'superseded' } as const
    await publishShards(where, new Map([[1, [revoked(5), own]]]))
    const gone = await verified(leaf.certificateFile, [pem(where, '1.crl')])
    expect([gone.ok, gone.output]).toEqual([false, expect.stringMatching(/certificate revoked/)])
  })

  test('shows a shard’s distribution point and verifies its signature', async () => {
    const where = place()
    await publishShards(where, new Map([[3, [revoked(5)]]]))
    const { output } = openssl(
      'crl',
      '-inform',
      'DER',
      '-in',
      join(where.dir, '3.crl'),
      '-noout',
      '-text',
      '-CAfile',
      ca.certificateFile,
    )
    for (const pattern of [
      /verify OK/,
      /Issuing Distribution Point: critical\n\s+Full Name:\n\s+URI:http:\/\/pki\.example\/device\/3\.crl\s+Only User Certificates/,
      /Key Compromise/,
    ]) {
      expect(output).toMatch(pattern)
    }
  })
})
