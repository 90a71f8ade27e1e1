import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import type { GeneralCiphering, KeyInfo } from '#gateway/codec/general-ciphering.ts'
import type { Ciphered } from '#gateway/codec/protection.ts'
import { PeerError, type PeerFault } from '#gateway/errors.ts'
import { parseSystemTitle } from '#gateway/model.ts'
import {
  controlFor,
  gatewayPolicy,
  lenientPolicy,
  meterPolicy,
  type Policy,
  type Protection,
} from '#gateway/session/policy.ts'
import { protect } from '#gateway/session/protect.ts'
import { signOctets } from '#gateway/session/signing.ts'
import { suites } from '#gateway/session/suite.ts'
import { advance, decipherUnverified, type MeterSecurity, unprotect } from '#gateway/session/unprotect.ts'
import { agreedForms, everyKeySet, everySuite, type FormName, sealAs, symmetricForms, tagPolicy } from './parties.ts'

const plain = Buffer.from('c0010000080000010000ff0200', 'hex')
const sealing = { plain, counter: 7, protection: 'authenticated-encrypted' } as const
const anyPolicy: Policy = { ...tagPolicy, least: 'authenticated-or-encrypted' }
const protections: readonly Protection[] = ['authenticated-encrypted', 'authenticated', 'encrypted']

const table = everySuite.flatMap((parties) =>
  [...symmetricForms, ...(parties.meter === undefined ? [] : agreedForms)].flatMap((form) =>
    protections.map((protection) => ({ suite: parties.suite.id, form, protection, parties })),
  ),
)

/** Where an APDU of that form leaves its trace, and nothing else moves. */
const counterOf: Record<FormName, (known: MeterSecurity) => unknown> = {
  glo: ({ lastCounter }) => lastCounter,
  'glo broadcast': ({ broadcast }) => broadcast?.lastCounter,
  ded: ({ dedicated }) => dedicated?.lastCounter,
  'general-glo': ({ lastCounter }) => lastCounter,
  'general-glo broadcast': ({ broadcast }) => broadcast?.lastCounter,
  'general-ded': ({ dedicated }) => dedicated?.lastCounter,
  'identified unicast': ({ lastCounter }) => lastCounter,
  'identified broadcast': ({ broadcast }) => broadcast?.lastCounter,
  settled: ({ settled }) => settled?.lastCounter,
  wrapped: ({ lastTransaction }) => lastTransaction,
  'one-pass': ({ lastTransaction }) => lastTransaction,
  'static unified': ({ lastTransaction }) => lastTransaction,
}

const counters = ({ lastCounter, broadcast, dedicated, settled, lastTransaction }: MeterSecurity): number[] =>
  [lastCounter, broadcast!.lastCounter, dedicated!.lastCounter, settled!.lastCounter, lastTransaction!].map(Number)

describe('protect', () => {
  test.each(table)(
    'suite $suite, $form, $protection: opens, and moves its own counter',
    ({ form, protection, parties }) => {
      const sealed = sealAs(form, parties, { ...sealing, protection })
      const apdu = decodeApdu(encodeApdu(sealed)) as Ciphered
      const opened = unprotect(apdu, parties.security, anyPolicy)
      expect(Buffer.from(opened.plain)).toEqual(plain)
      const known = advance(parties.security, opened)
      expect(Number(counterOf[form](known))).toBe(7)
      expect(counters(known).filter((counter) => counter === 6)).toHaveLength(4)
      expect(counters(parties.security)).toEqual([6, 6, 6, 6, 6])
      expect(() => unprotect(apdu, known, anyPolicy)).toThrow(expect.objectContaining({ code: 'COUNTER_REPLAYED' }))
    },
  )

  test('a service without a ciphering of its own is ours to know', () => {
    const [parties] = everySuite
    expect(() => sealAs('glo', parties!, { ...sealing, plain: Uint8Array.of(0x0f) })).toThrow(RangeError)
  })

  test.each<[bits: number, fromMeter: Policy['least'], toMeter: Policy['least'], signed: [boolean, boolean]]>([
    [0x00, 'authenticated-or-encrypted', 'authenticated-or-encrypted', [false, false]],
    [0x04, 'authenticated-or-encrypted', 'authenticated', [false, false]],
    [0x08, 'authenticated-or-encrypted', 'encrypted', [false, false]],
    [0x20, 'authenticated', 'authenticated-or-encrypted', [false, false]],
    [0x40, 'encrypted', 'authenticated-or-encrypted', [false, false]],
    [0x6c, 'authenticated-encrypted', 'authenticated-encrypted', [false, false]],
    [0x90, 'authenticated-or-encrypted', 'authenticated-or-encrypted', [true, true]],
  ])('security policy %i asks for that', (bits, fromMeter, toMeter, [signedFrom, signedTo]) => {
    expect(meterPolicy(bits, 1)).toEqual({
      fromMeter: { least: fromMeter, suites: [1], signed: signedFrom },
      toMeter: { least: toMeter, suites: [1], signed: signedTo },
    })
  })

  test('the least control octet that a policy takes', () => {
    expect(controlFor(gatewayPolicy, 0)).toBe(0x30)
    expect(controlFor({ least: 'authenticated', suites: [1] }, 1)).toBe(0x11)
    expect(controlFor(lenientPolicy, 2)).toBe(0x32)
  })
})

type Case = [what: string, form: FormName, suite: number, change: Change, code: PeerFault]
interface Change {
  apdu?: Record<string, unknown>
  security?: Partial<MeterSecurity>
  policy?: Partial<Policy>
}

const foreign = parseSystemTitle('4d4d4d0000bc614f')
const foreignOctets = Buffer.from(foreign, 'hex')
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const agreement = everySuite[1]!.security.agreement!
const point = (data: Uint8Array): KeyInfo => ({ kind: 'agreed', parameters: Uint8Array.of(1), data })
const unsealed = new Uint8Array(64)

const refused: Case[] = [
  ['compressed', 'general-glo', 0, { apdu: { securityControl: 0xb0 } }, 'SECURITY_COMPRESSED'],
  ['compressed and all else wrong', 'ded', 0, { apdu: { securityControl: 0xff } }, 'SECURITY_COMPRESSED'],
  ['in a form not taken', 'glo', 0, { policy: { forms: ['general-ciphering'] } }, 'SECURITY_SERVICE'],
  ['under the broadcast key, not taken', 'glo broadcast', 0, { policy: { keySets: ['unicast'] } }, 'SECURITY_CONTROL'],
  ['under the dedicated key, not taken', 'general-ded', 0, { policy: { keySets: ['unicast'] } }, 'SECURITY_CONTROL'],
  ['dedicated and broadcast at once', 'ded', 0, { apdu: { securityControl: 0x70 } }, 'SECURITY_CONTROL'],
  ['agreed and broadcast at once', 'one-pass', 1, { apdu: { securityControl: 0x71 } }, 'SECURITY_CONTROL'],
  ['of a suite not taken', 'glo', 2, { policy: { suites: [0, 1] } }, 'SECURITY_SUITE'],
  ['of no suite there is', 'glo', 0, { apdu: { securityControl: 0x33 } }, 'SECURITY_SUITE'],
  ['of a suite that does not agree', 'one-pass', 1, { apdu: { securityControl: 0x30 } }, 'SECURITY_SUITE'],
  ['encrypted only', 'glo', 0, { apdu: { securityControl: 0x20 } }, 'SECURITY_DOWNGRADE'],
  ['in clear', 'glo', 0, { apdu: { securityControl: 0x00 } }, 'SECURITY_DOWNGRADE'],
  [
    'authenticated only',
    'glo',
    0,
    { apdu: { securityControl: 0x10 }, policy: { least: 'authenticated-encrypted' } },
    'SECURITY_DOWNGRADE',
  ],
  [
    'not encrypted',
    'glo',
    0,
    { apdu: { securityControl: 0x10 }, policy: { least: 'encrypted' } },
    'SECURITY_DOWNGRADE',
  ],
  ['from another', 'general-glo', 0, { apdu: { systemTitle: foreignOctets } }, 'SYSTEM_TITLE_FOREIGN'],
  ['from nobody', 'general-ded', 0, { apdu: { systemTitle: new Uint8Array() } }, 'SYSTEM_TITLE_FOREIGN'],
  ['from no originator', 'settled', 0, { apdu: { originator: new Uint8Array() } }, 'SYSTEM_TITLE_FOREIGN'],
  ['with nothing signed in it', 'glo', 0, { policy: { signed: true } }, 'SECURITY_DOWNGRADE'],
  ['from another originator', 'settled', 0, { apdu: { originator: foreignOctets } }, 'SYSTEM_TITLE_FOREIGN'],
  ['to another', 'settled', 0, { apdu: { recipient: foreignOctets } }, 'SYSTEM_TITLE_FOREIGN'],
  ['to nobody', 'settled', 0, { apdu: { recipient: new Uint8Array() } }, 'SYSTEM_TITLE_FOREIGN'],
  ['under a key that we have not', 'glo broadcast', 0, { security: { broadcast: undefined as never } }, 'KEY_MISSING'],
  ['under a key too short', 'glo', 2, { security: { ek: createSecretKey(unsealed.subarray(0, 16)) } }, 'KEY_MISSING'],
  ['with nothing to unwrap its key', 'wrapped', 0, { security: { kek: undefined as never } }, 'KEY_MISSING'],
  ['with nothing to agree with', 'one-pass', 1, { security: { agreement: undefined as never } }, 'KEY_MISSING'],
  ['from nobody who signs', 'one-pass', 1, { security: { agreement: { privateKey } } }, 'KEY_MISSING'],
  ['from nobody who agrees', 'static unified', 1, { security: { agreement: { privateKey } } }, 'KEY_MISSING'],
  [
    'of a key wrapped by another',
    'wrapped',
    0,
    { apdu: { keyInfo: { kind: 'wrapped', wrapped: unsealed.subarray(0, 24) } } },
    'KEY_WRAP',
  ],
  [
    'of a wrapped key of another length',
    'wrapped',
    0,
    { apdu: { keyInfo: { kind: 'wrapped', wrapped: unsealed } } },
    'KEY_WRAP',
  ],
  ['of half an ephemeral key', 'one-pass', 1, { apdu: { keyInfo: point(unsealed) } }, 'KEY_AGREEMENT'],
  [
    'of an unknown scheme',
    'one-pass',
    1,
    { apdu: { keyInfo: { ...point(unsealed), parameters: Uint8Array.of(3) } } },
    'KEY_AGREEMENT',
  ],
  [
    'of an ephemeral key that nobody signed',
    'one-pass',
    1,
    { apdu: { keyInfo: point(new Uint8Array(128)) } },
    'SIGNATURE_INVALID',
  ],
  [
    'signed by another',
    'one-pass',
    1,
    { security: { agreement: { ...agreement, peerSigningKey: publicKey } } },
    'SIGNATURE_INVALID',
  ],
  ['without room for a tag', 'glo', 0, { apdu: { content: unsealed.subarray(0, 11) } }, 'APDU_LENGTH'],
  ['with a tag cut short', 'glo', 0, { apdu: { content: unsealed.subarray(0, 13) } }, 'TAG_UNAUTHENTIC'],
  [
    'agreed with another',
    'static unified',
    1,
    { security: { agreement: { ...agreement, privateKey } } },
    'TAG_UNAUTHENTIC',
  ],
  ['of another transaction', 'settled', 0, { apdu: { transactionId: Uint8Array.of(9) } }, 'TAG_UNAUTHENTIC'],
  ['of another date', 'settled', 0, { apdu: { dateTime: new Uint8Array(12) } }, 'TAG_UNAUTHENTIC'],
  ['with other information', 'settled', 0, { apdu: { otherInformation: new Uint8Array() } }, 'TAG_UNAUTHENTIC'],
  ['of another service', 'glo', 0, { apdu: { apdu: 'glo-set-request' } }, 'SECURITY_SERVICE'],
  ['sent again', 'glo', 0, { security: { lastCounter: 7 } }, 'COUNTER_REPLAYED'],
  ['agreed on again', 'one-pass', 1, { security: { lastTransaction: 7n } }, 'COUNTER_REPLAYED'],
]

/** An octet-for-octet picture: what must not change. */
const picture = (security: MeterSecurity): string => inspect(security, { depth: 4 })

describe('unprotect', () => {
  test.each(refused)('an APDU %s (%s, suite %i) is refused', (_, form, suite, change, code) => {
    const parties = everySuite[suite]!
    const apdu = { ...sealAs(form, parties, sealing), ...change.apdu } as Ciphered
    const security = { ...parties.security, ...change.security }
    const before = picture(security)
    expect(() => unprotect(apdu, security, { ...tagPolicy, ...change.policy })).toThrow(
      expect.objectContaining({ name: 'PeerError', code }),
    )
    expect(picture(security)).toBe(before)
  })

  test('a forged APDU that is old too is called forged', () => {
    const parties = everySuite[0]!
    const apdu = { ...sealAs('glo', parties, sealing), invocationCounter: 1 }
    expect(() => unprotect(apdu, parties.security, tagPolicy)).toThrow(
      expect.objectContaining({ code: 'TAG_UNAUTHENTIC' }),
    )
  })

  test('a point that is not on the curve is refused though it is signed', () => {
    const { suite, security, meter } = everySuite[1]!
    const apdu = sealAs('one-pass', everySuite[1]!, sealing) as GeneralCiphering
    const [off, signature] = offCurve(meter!.signingKey)
    const forged = { ...apdu, keyInfo: point(Buffer.concat([off, signature])) }
    expect(suite.id).toBe(1)
    expect(() => unprotect(forged, security, tagPolicy)).toThrow(expect.objectContaining({ code: 'KEY_AGREEMENT' }))
  })

  test.each([
    ['ded', 'dedicated'],
    ['general-ded', 'dedicated'],
    ['glo broadcast', 'broadcast'],
    ['identified broadcast', 'broadcast'],
    ['settled', 'settled'],
  ] as const)('%s with a tag that does not hold is read only by who asks for it', (form, keySet) => {
    const { security } = everySuite[2]!
    const apdu = sealAs(form, everySuite[2]!, sealing)
    const forged = { ...apdu, content: apdu.content.with(-1, apdu.content.at(-1)! ^ 1) }
    expect(Buffer.from(decipherUnverified(forged, security.systemTitle, security[keySet]!.ek))).toEqual(plain)
    expect(() => unprotect(forged, security, tagPolicy)).toThrow(expect.objectContaining({ code: 'TAG_UNAUTHENTIC' }))
    expect(() => decipherUnverified({ ...forged, securityControl: 0xb2 }, security.systemTitle, security.ek)).toThrow(
      PeerError,
    )
  })

  test('a broadcast is to nobody by name', () => {
    const { security, suite } = everySuite[0]!
    const header = {
      transactionId: new Uint8Array(),
      recipient: new Uint8Array(),
      dateTime: new Uint8Array(),
      otherInformation: new Uint8Array(),
    }
    const { ek } = security.broadcast!
    const apdu = protect(
      plain,
      { apdu: 'general-ciphering', header, keyInfo: { kind: 'identified', key: 'broadcast' } },
      { ...security, ek, suite: suite.id, protection: 'authenticated', invocationCounter: 7 },
    )
    expect(unprotect(apdu, security, tagPolicy).keySet).toBe('broadcast')
  })

  test('what is not said is not taken: the unicast key in general-glo-ciphering, and nothing else', () => {
    const parties = everySuite[0]!
    const plainly: Policy = { least: 'authenticated', suites: [0] }
    for (const form of symmetricForms) {
      const attempt = () => unprotect(sealAs(form, parties, sealing), parties.security, plainly).keySet
      if (form === 'general-glo') expect(attempt()).toBe('unicast')
      else expect(attempt).toThrow(PeerError)
    }
    expect(everyKeySet).toHaveLength(6)
  })

  test.each(refused)('no key is told in why an APDU %s is refused', (_, form, suite, change) => {
    const parties = everySuite[suite]!
    const apdu = { ...sealAs(form, parties, sealing), ...change.apdu } as Ciphered
    try {
      unprotect(apdu, { ...parties.security, ...change.security }, { ...tagPolicy, ...change.policy })
    } catch (fault) {
      const told = inspect(fault, { depth: 8 })
      for (const octet of ['01', '02', '03', '04', '05', 'd0']) expect(told).not.toContain(octet.repeat(8))
      expect(told).not.toMatch(/<Buffer|Uint8Array/)
    }
  })
})

function offCurve(signingKey: KeyObject): [Uint8Array, Uint8Array] {
  const off = new Uint8Array(64).fill(1)
  return [off, signOctets(off, signingKey, suites[1]!)]
}
