import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { copyFile, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { openSigner, type Signer } from '#gateway/io/signer.ts'
import { context, DerReader, encode, octetString, only, sequence, setOf, tag } from '#pki/der.ts'
import { newSerial } from '#pki/issue.ts'
import { authorityProfiles, profiles } from '#pki/profiles.ts'
import { policy } from '#pki/purpose.ts'
import { certificatesFromPem, type DetachedVerdict, encodeDetached, parseCrls, verifyDetached } from '#pki/verify.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { cast, forge, forgeCa, forgeCrl, forgeRoot, now } from './forge.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'

const content = Buffer.from('first line\r\nsecond line\n\u0000\u00ff', 'latin1')
const clock = (): number => Date.now() / 1_000

let pki: WithForeign
let sealer: FiledCertificate
let signer: Signer
let cms: Uint8Array

beforeAll(async () => {
  pki = await throwawayPki()
  sealer = await pki.issue('sealer', 'sealer-1')
  signer = await open(sealer)
  cms = await signer.sign(content)
})
afterAll(() => pki.close())

function open(certificate: FiledCertificate, crlFile: string = pki.crlFile): Promise<Signer> {
  return openSigner({ keyFile: certificate.keyFile!, certificateFile: certificate.certificateFile, crlFile })
}

function judge(change: Partial<Parameters<typeof verifyDetached>[0]> = {}): Promise<DetachedVerdict> {
  return verifyDetached({ cms, content, roots: certificatesFromPem(pki.rootPem), at: clock(), ...change })
}

function flipped(octets: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(octets)
  copy[at]! ^= 0x01
  return copy
}

async function opensslAccepts(signature: Uint8Array, signed: Uint8Array, ...more: string[]): Promise<boolean> {
  const [p7s, file] = [join(pki.dir, 'batch.p7s'), join(pki.dir, 'batch')]
  await writeFile(p7s, signature)
  await writeFile(file, signed)
  const how = ['-verify', '-binary', '-inform', 'DER', '-in', p7s, '-content', file, '-out', join(pki.dir, 'out')]
  return openssl('cms', ...how, '-CAfile', pki.rootFile, ...more).ok
}

describe('verifyDetached', () => {
  test('accepts what the signer signs, by the root alone, and says who signed and when', async () => {
    const verdict = await judge()
    expect(verdict).toMatchObject({ ok: true, signer: 'urn:ami:sealer:sealer-1' })
    expect(verdict.ok && Math.abs(verdict.signedAt - clock())).toBeLessThan(60)
    expect(signer.id).toBe('sealer-1')
  })

  test('refuses any one flipped octet of the content', async () => {
    for (let at = 0; at < content.length; at += 1) {
      expect(await judge({ content: flipped(content, at) })).toMatchObject({ ok: false, code: 'CONTENT_DIGEST' })
    }
  })

  test('refuses any one flipped octet of the signature file', async () => {
    for (let at = 0; at < cms.length; at += 1) {
      const verdict = await judge({ cms: flipped(cms, at) })
      expect(verdict.ok, `octet ${at} flipped`).toBe(false)
    }
  })

  test('refuses a foreign root', async () => {
    const foreign = await pki.foreign()
    const verdict = await judge({ roots: certificatesFromPem(foreign.rootPem) })
    expect(verdict).toMatchObject({ ok: false, code: 'KEY_ID' })
  })

  test('refuses a concentrator that seals', async () => {
    const concentrator = await pki.issue('concentrator', 'c1')
    const forged = await encodeDetached({
      content,
      at: clock(),
      certificates: certificatesFromPem(concentrator.chainPem),
      crls: parseCrls(await crlText()).map(({ der }) => der),
      sign: (octets) => sign('sha256', octets, createPrivateKey(concentrator.privateKeyPem!)),
    })
    expect(await judge({ cms: forged })).toMatchObject({ ok: false, code: 'EXTENDED_KEY_USAGE' })
  })

  test('refuses a signature from the future, and one made after its certificate or CRL ended', async () => {
    const at = (seconds: number): Promise<Uint8Array> => signedAt(seconds)
    expect(await judge({ cms: await at(clock() + 400) })).toMatchObject({ ok: false, code: 'SIGNING_TIME' })
    const late = clock() + 400 * 86_400
    expect(await judge({ cms: await at(late), at: late })).toMatchObject({ ok: false, code: 'EXPIRED' })
    const stale = clock() + 8 * 86_400
    expect(await judge({ cms: await at(stale), at: stale })).toMatchObject({ ok: false, code: 'CRL_STALE' })
  })

  test('accepts years later what was right when signed', async () => {
    expect(await judge({ at: clock() + 5 * 365 * 86_400 })).toMatchObject({ ok: true })
  })

  test('refuses a signature without CRLs, or without the issuing CA', async () => {
    const parts = await partsOf()
    const bare = await encodeDetached({ ...parts, crls: [] })
    expect(await judge({ cms: bare })).toMatchObject({ ok: false, code: 'CRL_MISSING' })
    const alone = await encodeDetached({ ...parts, certificates: parts.certificates.slice(0, 1) })
    expect(await judge({ cms: alone })).toMatchObject({ ok: false, code: 'ISSUER_UNKNOWN' })
  })

  test('refuses another certificate of the same name, serial and key in the signer’s place', async () => {
    const people = cast('Signing')
    const [root, ca] = [forgeRoot(people), forgeCa(people, { profile: authorityProfiles.signing })]
    const crls = [await forgeCrl(root, people.root.key), await forgeCrl(ca, people.ca.key)]
    const serial = newSerial()
    const forged = (): Uint8Array =>
      forge({ profile: profiles.sealer, subject: people.leaf, issuer: people.ca, serial })
    const [leaf, twin] = [forged(), forged()]
    const signed = await encodeDetached({
      ...(await partsOf()),
      at: now,
      certificates: [leaf, ca],
      crls,
      sign: (octets) => sign('sha256', octets, people.leaf.key),
    })
    const question = { cms: signed, roots: [root], at: now }
    expect(await judge(question)).toMatchObject({ ok: true })
    const swapped = rebuilt(signed, { certificates: [twin, ca] })
    expect(await judge({ ...question, cms: swapped })).toMatchObject({ ok: false, code: 'SIGNING_CERTIFICATE' })
  })

  test('refuses an attribute said twice, or left out, though signed', async () => {
    const key = createPrivateKey(sealer.privateKeyPem!)
    expect(await judge({ cms: rebuilt(cms, { key, attributes: (usual) => usual }) })).toMatchObject({ ok: true })
    const twice = rebuilt(cms, { key, attributes: (usual) => [...usual, usual[1]!] })
    expect(await judge({ cms: twice })).toMatchObject({ ok: false, code: 'CMS_MALFORMED' })
    for (let at = 0; at < 4; at += 1) {
      const fewer = rebuilt(cms, { key, attributes: (usual) => usual.toSpliced(at, 1) })
      expect(await judge({ cms: fewer })).toMatchObject({ ok: false, code: 'CMS_MALFORMED' })
    }
  })

  test('refuses a signer found out later, through CRLs of the verifier', async () => {
    const other = await pki.issue('sealer', 'sealer-2')
    const early = await (await open(other)).sign(content)
    expect(await judge({ cms: early })).toMatchObject({ ok: true })
    await pki.revoke(other.serial, 'keyCompromise')
    const crls = parseCrls(await crlText())
    expect(await judge({ cms: early, crls })).toMatchObject({ ok: false, code: 'REVOKED' })
    expect(await judge({ crls })).toMatchObject({ ok: true })
  })
})

interface Rebuilding {
  certificates?: Uint8Array[]
  /** changed attributes are signed anew */
  key?: KeyObject
  attributes?: (usual: Uint8Array[]) => Uint8Array[]
}

/** The same signature file with other certificates or attributes in it. */
function rebuilt(der: Uint8Array, { certificates, key, attributes }: Rebuilding): Uint8Array {
  const info = new DerReader(only(der, tag.sequence).content)
  const type = info.next().octets
  const data = membersOf(only(info.next().content, tag.sequence).content)
  if (certificates !== undefined) data[3] = setOf(certificates, context(0))
  if (key !== undefined && attributes !== undefined) {
    const signerInfo = membersOf(only(data[5]!, tag.set).content)
    const fields = membersOf(only(signerInfo[0]!, tag.sequence).content)
    const changed = attributes(membersOf(only(fields[3]!, context(0)).content))
    fields[3] = setOf(changed, context(0))
    fields[5] = octetString(sign('sha256', setOf(changed), key))
    data[5] = setOf([sequence(...fields)])
  }
  return sequence(type, encode(context(0), sequence(...data)))
}

function membersOf(content: Uint8Array): Uint8Array[] {
  const reader = new DerReader(content)
  const members: Uint8Array[] = []
  while (!reader.done) members.push(reader.next().octets)
  return members
}

async function crlText(): Promise<string> {
  return readFile(pki.crlFile, 'utf8')
}

async function partsOf(): Promise<Parameters<typeof encodeDetached>[0]> {
  return {
    content,
    at: clock(),
    certificates: certificatesFromPem(sealer.chainPem),
    crls: parseCrls(await crlText()).map(({ der }) => der),
    sign: (octets) => sign('sha256', octets, createPrivateKey(sealer.privateKeyPem!)),
  }
}

async function signedAt(seconds: number): Promise<Uint8Array> {
  return encodeDetached({ ...(await partsOf()), at: seconds })
}

describe('openSigner', () => {
  test('takes up the CRLs that replace those it opened with', async () => {
    const other = await pki.issue('sealer', 'sealer-3')
    const opened = await open(other)
    await pki.revoke(other.serial)
    expect(await judge({ cms: await opened.sign(content) })).toMatchObject({ ok: false, code: 'REVOKED' })
  })

  test('names every file that does not fit', async () => {
    const concentrator = await pki.issue('concentrator', 'c2')
    const refused = openSigner({
      keyFile: sealer.keyFile!,
      certificateFile: concentrator.certificateFile,
      crlFile: join(pki.dir, 'nowhere'),
    })
    const faults = await refused.catch((cause: unknown) => (cause instanceof ConfigError ? cause.faults : cause))
    expect(faults).toHaveLength(3)
    expect(String(faults)).toMatch(/nowhere.*not the key of.*not a sealer's/s)
  })

  test('does not sign under a CRL past its next update', async () => {
    const late = (): number => clock() + 8 * 86_400
    const files = { keyFile: sealer.keyFile!, certificateFile: sealer.certificateFile, crlFile: pki.crlFile }
    await expect(openSigner({ ...files, now: late })).rejects.toBeInstanceOf(ConfigError)
  })

  test('says so when its CRLs vanish while it runs', async () => {
    const copy = join(pki.dir, 'copy.crl.pem')
    await copyFile(pki.crlFile, copy)
    await utimes(copy, 1, 1)
    const opened = await open(sealer, copy)
    await rm(copy)
    await expect(opened.sign(content)).rejects.toBeInstanceOf(ConfigError)
  })
})

describe.runIf(hasOpenssl)(`openssl cms -verify${opensslNote}`, () => {
  test('accepts with nothing but the root, with every CRL checked, and as CAdES', async () => {
    expect(await opensslAccepts(cms, content)).toBe(true)
    expect(await opensslAccepts(cms, content, '-crl_check_all', '-x509_strict')).toBe(true)
    const all = ['-cades', '-crl_check_all', '-x509_strict', '-explicit_policy', '-policy', policy.sealer]
    expect(await opensslAccepts(cms, content, ...all)).toBe(true)
    expect(await opensslAccepts(cms, content, ...all.slice(0, -1), policy.mdm)).toBe(false)
  })

  test('refuses one flipped octet of the content', async () => {
    expect(await opensslAccepts(cms, flipped(content, 3))).toBe(false)
  })

  test('refuses one flipped octet of the signature, first, middle and last', async () => {
    for (const back of [1, 30, 60]) expect(await opensslAccepts(flipped(cms, cms.length - back), content)).toBe(false)
  })

  test('refuses a revoked signer by the CRL within', async () => {
    const other = await pki.issue('sealer', 'sealer-4')
    await pki.revoke(other.serial)
    const signature = await (await open(other)).sign(content)
    expect(await opensslAccepts(signature, content, '-crl_check_all')).toBe(false)
  })

  test('refuses a signer of a foreign PKI', async () => {
    const foreign = await pki.foreign()
    const signature = await (await open(await foreign.issue('sealer', 'sealer-1'), foreign.crlFile)).sign(content)
    expect(await opensslAccepts(signature, content)).toBe(false)
  })
})
