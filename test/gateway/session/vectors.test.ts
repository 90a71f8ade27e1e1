import { createECDH, createPrivateKey, createSecretKey, type KeyObject } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import type { GeneralCiphering } from '#gateway/codec/general-ciphering.ts'
import type { GeneralSigning } from '#gateway/codec/general-signing.ts'
import type { Ciphered } from '#gateway/codec/protection.ts'
import { parseSystemTitle, systemTitle } from '#gateway/model.ts'
import {
  deriveKey,
  offerEphemeral,
  publicKeyFrom,
  publicOctets,
  staticUnified,
  takeEphemeral,
} from '#gateway/session/agreement.ts'
import { decipherAlone, type Gcm, noOctets, open, seal } from '#gateway/session/gcm.ts'
import { unwrapKey, wrapKey } from '#gateway/session/key-wrap.ts'
import { lenientPolicy, type Policy, type Protection } from '#gateway/session/policy.ts'
import { gmacAnswer, protect } from '#gateway/session/protect.ts'
import { checkSignature, signOctets, unsign } from '#gateway/session/signing.ts'
import { suites } from '#gateway/session/suite.ts'
import { checkGmacAnswer, decipherUnverified, type MeterSecurity, unprotect } from '#gateway/session/unprotect.ts'

/** A published vector; field meanings are in the corpus's own README. */
type Vector = Record<string, string> & {
  id: string
  keys: Record<string, string>
  expected_structure: Record<string, unknown>
}

const folder = join(import.meta.dirname, '../../../../shared/corpus/dlms')
const hasCorpus = existsSync(folder)
const suite1 = suites[1]!
const seen = new Set<string>()

function vectors(file: string): Vector[] {
  return hasCorpus ? (JSON.parse(readFileSync(join(folder, file), 'utf8')) as Vector[]) : []
}

const apdus = vectors('greenbook.json')
const crypto = vectors('greenbook-crypto-vectors.json')
const gbcs = vectors('gbcs-rtds.json')
const tirol = vectors('smart-meter-tirol.json')

function vector(id: string): Vector {
  seen.add(id)
  return crypto.find((one) => one.id === id)!
}

const octets = (hex: string): Buffer => Buffer.from(hex, 'hex')
const hex = (found: Uint8Array): string => Buffer.from(found).toString('hex')
const secret = (text: string): KeyObject => createSecretKey(octets(text))

/** The P-256 key of a private number. */
function privateKey(d: string): KeyObject {
  const ecdh = createECDH('prime256v1')
  ecdh.setPrivateKey(octets(d))
  const [x, y] = [ecdh.getPublicKey().subarray(1, 33), ecdh.getPublicKey().subarray(33)]
  const jwk = { kty: 'EC', crv: 'P-256', d: octets(d), x, y }
  return createPrivateKey({
    format: 'jwk',
    key: Object.fromEntries(
      Object.entries(jwk).map(([name, one]) => [name, typeof one === 'string' ? one : one.toString('base64url')]),
    ),
  })
}

function securityOf({ ek, ak, system_title }: Vector): MeterSecurity {
  return { systemTitle: parseSystemTitle(system_title!), ek: secret(ek!), ak: octets(ak ?? ''), lastCounter: -1 }
}

const protections = new Map<number, Protection>([
  [0x10, 'authenticated'],
  [0x20, 'encrypted'],
  [0x30, 'authenticated-encrypted'],
])

/** A service's own ciphering both ways: opened to `plain`, and sealed from it to the same octets. */
function bothWays(one: Vector, apduHex: string, plainHex: string): void {
  const apdu = decodeApdu(octets(apduHex)) as Ciphered
  expect(hex(encodeApdu(apdu))).toBe(apduHex)
  const security = securityOf(one)
  const opened = unprotect(apdu, security, lenientPolicy)
  expect(hex(opened.plain)).toBe(plainHex)
  const sealing = { ...security, suite: 0, protection: protections.get(apdu.securityControl)! }
  const again = protect(opened.plain, { apdu: 'glo', key: 'unicast' }, { ...sealing, ...opened })
  expect(hex(encodeApdu(again))).toBe(apduHex)
}

function gcmOf(one: Vector, control: number): Gcm {
  const title = octets(one.iv!).subarray(0, 8)
  return { control, title, counter: 0, ek: secret(one.key!), ak: octets(one.ak!), header: noOctets }
}

describe.skipIf(!hasCorpus && process.env.CI === undefined)(
  `vectors${hasCorpus ? '' : ' (skipped: the corpus does not lie beside the project)'}`,
  () => {
    test.each(apdus.map((one) => [one.id, one] as const))('%s, both ways', (_, one) => {
      bothWays(one, one.hex!, one.expected_structure.plain_hex as string)
    })

    test('greenbook-glo-get-request-auth-only, both ways', () => {
      const one = vector('greenbook-glo-get-request-auth-only')
      bothWays(one, one.apdu!, one.plain!)
    })

    test.each([
      ['greenbook-hls-gmac-pass3', 'challenge_stoc', 'f_stoc'],
      ['greenbook-hls-gmac-pass4', 'challenge_ctos', 'f_ctos'],
    ])('%s, both ways', (id, challengeName, answerName) => {
      const one = vector(id)
      const [challenge, answer] = [octets(one[challengeName]!), octets(one[answerName]!)]
      const security = securityOf(one)
      const invocationCounter = Number(one.invocation_counter)
      expect(hex(gmacAnswer(challenge, { ...security, suite: 0, invocationCounter }))).toBe(hex(answer))
      const checking = { security, policy: { ...lenientPolicy, signed: true } }
      expect(checkGmacAnswer(answer, challenge, checking).invocationCounter).toBe(invocationCounter)
      const replayed = { security: { ...security, lastCounter: invocationCounter }, policy: lenientPolicy }
      for (const [attempt, code] of [
        [() => checkGmacAnswer(answer, challenge, replayed), 'COUNTER_REPLAYED'],
        [() => checkGmacAnswer(answer, Buffer.alloc(8), checking), 'TAG_UNAUTHENTIC'],
        [() => checkGmacAnswer(answer.subarray(1), challenge, checking), 'APDU_TRUNCATED'],
      ] as const) {
        expect(attempt).toThrow(expect.objectContaining({ code }))
      }
    })

    test('rfc3394-key-wrap-128, both ways', () => {
      const one = vector('rfc3394-key-wrap-128')
      expect(hex(wrapKey(secret(one.key!), secret(one.kek!), suite1))).toBe(one.wrapped)
      expect(hex(unwrapKey(octets(one.wrapped!), secret(one.kek!), suite1).export())).toBe(one.key)
    })

    test.each(['client', 'server'])('greenbook-c2-kdf-one-pass-dh-%s', (side) => {
      const one = vector(`greenbook-c2-kdf-one-pass-dh-${side}`)
      expect(hex(suite1.curve!.algorithmId)).toBe(one.algorithm_id)
      const parties = { partyU: octets(one.party_u!), partyV: octets(one.party_v!) }
      expect(hex(deriveKey(octets(one.z!), suite1, parties))).toBe(one.derived_key)
    })

    test.each(['one-pass-dh', 'static-unified'])('greenbook-c-general-ciphering-%s: the cipher text', (scheme) => {
      const one = vector(`greenbook-c-general-ciphering-${scheme}`)
      const gcm = gcmOf(one, 0x31)
      const content = octets(one.ciphertext! + one.tag!)
      expect(hex(decipherAlone(content, gcm))).toBe(one.plain)
      expect(hex(seal(octets(one.plain!), gcm).subarray(0, -12))).toBe(one.ciphertext)
    })

    test('greenbook-ecdsa-ephemeral-key-signature, both ways', () => {
      const one = vector('greenbook-ecdsa-ephemeral-key-signature')
      const publicKey = publicKeyFrom(octets(one.signing_public_key_xy!), suite1)
      const signing = privateKey(one.signing_private_key!)
      expect(hex(publicOctets(signing))).toBe(one.signing_public_key_xy)
      checkSignature(octets(one.message!), octets(one.signature!), { publicKey, suite: suite1 })
      const ours = signOctets(octets(one.message!), signing, suite1)
      checkSignature(octets(one.message!), ours, { publicKey, suite: suite1 })
      const offer = octets(one.message!.slice(2) + one.signature!)
      const ephemeral = takeEphemeral(offer, publicKey, { suite: suite1, keyId: 0 })
      expect(hex(publicOctets(ephemeral))).toBe(one.message!.slice(2))
      expect(() => takeEphemeral(offer, publicKey, { suite: suite1, keyId: 1 })).toThrow(
        expect.objectContaining({ code: 'SIGNATURE_INVALID' }),
      )
      const offered = offerEphemeral(signing, signing, { suite: suite1, keyId: 0 })
      expect(hex(publicOctets(takeEphemeral(offered, publicKey, { suite: suite1, keyId: 0 })))).toBe(
        one.signing_public_key_xy,
      )
    })

    test('no crypto vector goes missing', () => {
      expect([...seen].sort()).toEqual(crypto.map(({ id }) => id).sort())
      expect([apdus.length, crypto.length, gbcs.length]).toEqual([4, 9, 9])
    })

    const maced = gbcs.filter(({ keys }) => keys.derived_aes_key !== undefined)
    const signed = gbcs.filter(({ keys }) => keys.originator_signing_public_key_xy !== undefined)

    test('every GB message is tagged or signed', () => {
      expect([maced.length, signed.length]).toEqual([5, 4])
    })

    test.each(maced.map((one) => [one.id, one] as const))('%s: agreed key, tag, and both ways', (_, one) => {
      const apdu = decodeApdu(octets(one.hex!)) as GeneralCiphering
      expect(hex(encodeApdu(apdu))).toBe(one.hex)
      const inside = decodeApdu(apdu.content.subarray(0, -12)) as GeneralSigning
      const agreement = {
        privateKey: privateKey(one.keys.ka_private_key!),
        peerKey: publicKeyFrom(octets(one.keys.ka_public_key_xy!), suite1),
        algorithmId: octets(one.keys.kdf_other_info!).subarray(0, 7),
      }
      const { key } = staticUnified(agreement, suite1, inside)
      expect(hex(key.export())).toBe(one.keys.derived_aes_key)
      const policy: Policy = {
        least: 'authenticated',
        suites: [1],
        keySets: ['settled'],
        forms: ['general-ciphering'],
        untitled: true,
      }
      const title = parseSystemTitle(one.system_title!)
      const settled = { ek: key, lastCounter: -1 }
      const security: MeterSecurity = { systemTitle: title, ek: secret('00'), ak: noOctets, lastCounter: -1, settled }
      const opened = unprotect(apdu, security, policy)
      expect(hex(opened.plain)).toBe(hex(encodeApdu(inside)))
      expect(() => unprotect(apdu, { ...security, settled: { ek: key, lastCounter: 0 } }, policy)).toThrow(
        expect.objectContaining({ code: 'COUNTER_REPLAYED' }),
      )
      const gcm: Gcm = {
        control: 0x11,
        title: octets(title),
        counter: 0,
        ek: key,
        ak: noOctets,
        header: Buffer.alloc(5),
      }
      expect(hex(seal(opened.plain, gcm))).toBe(hex(apdu.content))
      expect(hex(open(apdu.content, gcm))).toBe(hex(opened.plain))
    })

    test.each(signed.map((one) => [one.id, one] as const))('%s: signature', (_, one) => {
      const apdu = decodeApdu(octets(one.hex!)) as GeneralSigning
      expect(hex(encodeApdu(apdu))).toBe(one.hex)
      const signer = {
        systemTitle: parseSystemTitle(one.system_title!),
        publicKey: publicKeyFrom(octets(one.keys.originator_signing_public_key_xy!), suite1),
        suite: suite1,
        own: systemTitle(apdu.recipient),
        lastTransaction: -1n,
      }
      const { content, transaction } = unsign(apdu, signer)
      expect(content).toEqual(apdu.content)
      const refused: [GeneralSigning, Partial<typeof signer>, string][] = [
        [apdu, { lastTransaction: transaction }, 'COUNTER_REPLAYED'],
        [apdu, { own: signer.systemTitle }, 'SYSTEM_TITLE_FOREIGN'],
        [apdu, { systemTitle: signer.own }, 'SYSTEM_TITLE_FOREIGN'],
        [apdu, { suite: suites[2]! }, 'KEY_MISSING'],
        [apdu, { suite: suites[0]! }, 'SECURITY_SUITE'],
        [{ ...apdu, signature: noOctets }, {}, 'SIGNATURE_INVALID'],
        [{ ...apdu, otherInformation: Buffer.alloc(2) }, {}, 'SIGNATURE_INVALID'],
        [{ ...apdu, content: apdu.content.subarray(1) }, {}, 'SIGNATURE_INVALID'],
      ]
      for (const [forged, other, code] of refused) {
        expect(() => unsign(forged, { ...signer, ...other })).toThrow(expect.objectContaining({ code }))
      }
    })

    test.each(tirol.map((one) => [one.id, one] as const))('%s: suite 1, encryption only', (_, one) => {
      const { plain_hex } = one.expected_structure as { plain_hex: string }
      const security = securityOf(one)
      const sealing = {
        ...security,
        suite: 1,
        protection: 'encrypted',
        invocationCounter: Number(one.invocation_counter),
      }
      const apdu = protect(octets(plain_hex), { apdu: 'general-glo-ciphering', key: 'unicast' }, sealing as never)
      expect(one.hex).toContain(hex(encodeApdu(apdu)).slice(0, 2 * 230))
      expect(hex(unprotect(apdu, security, lenientPolicy).plain)).toBe(plain_hex)
      if (apdu.apdu !== 'general-glo-ciphering') throw new Error('another form')
      expect(hex(decipherUnverified(apdu, security.systemTitle, security.ek))).toBe(plain_hex)
    })
  },
)

/** RFC 3394, 4.6: 256 bits of key data with a 256-bit KEK. */
test('a key of suite 2 is wrapped as RFC 3394 says', () => {
  const kek = secret('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f')
  const key = secret('00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f')
  const wrapped = '28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21'
  expect(hex(wrapKey(key, kek, suites[2]!))).toBe(wrapped)
  expect(unwrapKey(octets(wrapped), kek, suites[2]!).equals(key)).toBe(true)
})

/** Green Book, table 41: the ephemeral key in general-ciphering is signed alone, without a key identifier. */
test('the ephemeral key of the Green Book example of C(1e, 1s) is vouched for', () => {
  const signer = publicKeyFrom(
    octets(
      'baaffde06a8cb1c9dae8d94023c601dbbb249254ba22edd827e820bca2bcc643' +
        '62fbb83d86a82b87bb8b7161d2aab5521911a946b97a284a90f7785cd9047d25',
    ),
    suite1,
  )
  const data = octets(
    'c323c2bd45711de4688637d919f92e9db8fb2dfc213a88d21c9dc8dcba917d81' +
      '70511de1badb360d50058f794b0960ae11fa28d392cff907a62d13e3357b1dc0' +
      'b51be089d0b682863b2217201e73a1a9031968a9b4121dcbc3281a69739af874' +
      '29f5b3ac5471e7b6a04a2c0f2f8a25fd772a317df97fc5463feac248eb8ab8be',
  )
  expect(publicOctets(takeEphemeral(data, signer, { suite: suite1 }))).toEqual(data.subarray(0, 64))
})
