import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import type { KeyInfo, ProtectionHeader } from '#gateway/codec/general-ciphering.ts'
import { type Ciphered, isCiphered } from '#gateway/codec/protection.ts'
import { type ServiceCiphering, serviceCipheringNames } from '#gateway/codec/service-ciphering.ts'
import { PeerError } from '#gateway/errors.ts'
import { parseSystemTitle } from '#gateway/model.ts'
import type { FormKind, Policy, Protection } from '#gateway/session/policy.ts'
import { signApdu, unsign } from '#gateway/session/signing.ts'
import { advance, type MeterSecurity, unprotect } from '#gateway/session/unprotect.ts'
import {
  agreedForms,
  everySuite,
  type FormName,
  meterTitle,
  ownTitle,
  type Parties,
  sealAs,
  symmetricForms,
  tagPolicy,
} from './parties.ts'

const plain = Buffer.from('c0010000080000010000ff0200', 'hex')
const strong: readonly Protection[] = ['authenticated-encrypted', 'authenticated']
const other = parseSystemTitle('4d4d4d0000bc614f')

/** A sealed APDU and who it is for. */
interface Sealed {
  name: FormName
  parties: Parties
  apdu: Ciphered
  octets: Uint8Array
}

function sealedOf(parties: Parties, forms: readonly FormName[]): Sealed[] {
  return forms.flatMap((name) =>
    strong.flatMap((protection) =>
      [7, 8].map((counter) => {
        const apdu = sealAs(name, parties, { plain, counter, protection })
        return { name, parties, apdu, octets: encodeApdu(apdu) }
      }),
    ),
  )
}

/** Frozen, so that a counter that moves is an exception of another kind and fails. */
function frozen<T extends object>(value: T): T {
  for (const part of Object.values(value)) {
    if (typeof part === 'object' && Object.getPrototypeOf(part) === Object.prototype) frozen(part)
  }
  return Object.freeze(value)
}

const symmetric = everySuite.flatMap((parties) => sealedOf(parties, symmetricForms))
const agreed = [1, 2].map((id) => sealedOf(everySuite[id]!, agreedForms))
for (const { security } of everySuite) frozen(security)

/** How a forger may change what a meter sealed; `a` and `b` are any numbers. */
type Forger = (given: Sealed, a: number, b: number) => { octets: Uint8Array; security?: MeterSecurity }

const apduForger = (change: (apdu: Ciphered, a: number, b: number) => Partial<Ciphered>): Forger => {
  return ({ apdu }, a, b) => ({ octets: encodeApdu({ ...apdu, ...change(apdu, a, b) } as Ciphered) })
}

function flip(octets: Uint8Array, bit: number): Uint8Array {
  const at = Math.floor(bit / 8) % octets.length
  return octets.map((octet, i) => (i === at ? octet ^ (1 << (bit % 8)) : octet))
}

/** Another APDU of the same meter and suite. */
function neighbour({ parties, apdu }: Sealed, a: number): Sealed {
  const all = symmetric.filter((one) => one.parties === parties && one.apdu !== apdu)
  return all[a % all.length]!
}

const names = [...serviceCipheringNames.values()]
const headerFields = ['transactionId', 'originator', 'recipient', 'dateTime', 'otherInformation'] as const

const forgers: Record<string, Forger> = {
  'a bit': ({ octets }, a) => ({ octets: flip(octets, a) }),
  'two bits': ({ octets }, a, b) => ({ octets: flip(flip(octets, a), b) }),
  'an octet': ({ octets }, a, b) => ({
    octets: octets.map((octet, i) => (i === a % octets.length ? b & 0xff : octet)),
  }),
  'its end cut off': ({ octets }, a) => ({ octets: octets.subarray(0, a % octets.length) }),
  'cut out of it': ({ octets }, a, b) => {
    const at = a % octets.length
    return { octets: Buffer.concat([octets.subarray(0, at), octets.subarray(at + 1 + (b % 8))]) }
  },
  'put into it': ({ octets }, a, b) => {
    const at = a % octets.length
    return { octets: Buffer.concat([octets.subarray(0, at), Uint8Array.of(b & 0xff), octets.subarray(at)]) }
  },
  'the content cut': apduForger(({ content }, a) => ({ content: content.subarray(0, a % content.length) })),
  'spliced to the end of another': (given, a, b) => {
    const { octets } = neighbour(given, a)
    return {
      octets: Buffer.concat([given.octets.subarray(0, b % given.octets.length), octets.subarray(b % octets.length)]),
    }
  },
  'the content of another': (given, a) => {
    const { content } = neighbour(given, a).apdu
    return { octets: encodeApdu({ ...given.apdu, content }) }
  },
  'the header of another': (given, a) => ({
    octets: encodeApdu({ ...neighbour(given, a).apdu, content: given.apdu.content }),
  }),
  'the tag of another': (given, a) => {
    const tag = neighbour(given, a).apdu.content.subarray(-12)
    return { octets: encodeApdu({ ...given.apdu, content: Buffer.concat([given.apdu.content.subarray(0, -12), tag]) }) }
  },
  'another control octet': apduForger(({ securityControl }, a) => ({
    securityControl: (securityControl + 1 + (a % 255)) & 0xff,
  })),
  downgraded: apduForger(({ securityControl, content }, a) => ({
    securityControl: (securityControl & 0x0f) | ((a & 1) << 5),
    content: (a & 2) === 0 ? content.subarray(0, -12) : content,
  })),
  'of another suite': apduForger(({ securityControl }, a) => ({
    securityControl: (securityControl & 0xf0) | (((securityControl & 0x0f) + 1 + (a % 15)) & 0x0f),
  })),
  'of another counter': apduForger(({ invocationCounter }, a) => ({
    invocationCounter: (invocationCounter + 1 + a) >>> 0,
  })),
  'of another service': apduForger((apdu, a) =>
    apdu.apdu.startsWith('general-')
      ? { content: plain }
      : ({ apdu: names[a % names.length] } as Partial<ServiceCiphering>),
  ),
  'of another header field': apduForger((apdu, a, b) => {
    if (apdu.apdu !== 'general-ciphering') return { invocationCounter: a }
    const field = headerFields[a % headerFields.length]!
    const width = field === 'dateTime' ? 12 : field === 'originator' || field === 'recipient' ? 8 : b % 10
    return { [field]: new Uint8Array(width).fill(b) } as Partial<ProtectionHeader & { apdu: 'general-ciphering' }>
  }),
  'of another key': apduForger((apdu, a, b) => {
    if (apdu.apdu !== 'general-ciphering') return { securityControl: apdu.securityControl ^ 0x40 }
    const octets = new Uint8Array((a % 5) * 8 + 8).fill(b)
    const infos: (KeyInfo | undefined)[] = [
      undefined,
      { kind: 'identified', key: 'unicast' },
      { kind: 'identified', key: 'broadcast' },
      { kind: 'wrapped', wrapped: octets },
      { kind: 'agreed', parameters: Uint8Array.of(2), data: new Uint8Array() },
      { kind: 'agreed', parameters: Uint8Array.of(1), data: octets },
    ]
    return { keyInfo: infos[b % infos.length] }
  }),
  'to another meter': ({ octets, parties }) => ({ octets, security: { ...parties.security, systemTitle: other } }),
  replayed: ({ octets, apdu, parties }, a) => {
    const security = advance(parties.security, unprotect(apdu, parties.security, tagPolicy))
    const counter = (known: number): number => known + (a % 1_000)
    if (security.lastTransaction !== parties.security.lastTransaction) return { octets, security }
    return { octets, security: raised(security, counter) }
  },
}

function raised(security: MeterSecurity, counter: (known: number) => number): MeterSecurity {
  const { lastCounter, broadcast, dedicated, settled } = security
  const state = (one: typeof broadcast) => ({ ek: one!.ek, lastCounter: counter(one!.lastCounter) })
  const keys = { broadcast: state(broadcast), dedicated: state(dedicated), settled: state(settled) }
  return { ...security, ...keys, lastCounter: counter(lastCounter) }
}

const forgeries = fc.record({
  given: fc.oneof(
    { weight: 960, arbitrary: fc.constantFrom(...symmetric) },
    { weight: 30, arbitrary: fc.constantFrom(...agreed[0]!) },
    { weight: 10, arbitrary: fc.constantFrom(...agreed[1]!) },
  ),
  how: fc.constantFrom(...Object.keys(forgers)),
  a: fc.nat(),
  b: fc.nat(),
})

const hexOf = (octets: Uint8Array): string => Buffer.from(octets).toString('hex')
const genuine = new Set([...symmetric, ...agreed.flat()].map(({ octets }) => hexOf(octets)))

/** What a meter sealed after all, perhaps with a length written longer than it need be: no forgery. */
function isGenuine(octets: Uint8Array): boolean {
  try {
    return genuine.has(hexOf(encodeApdu(decodeApdu(octets))))
  } catch {
    return false
  }
}

/** Every key and suite in the one form that is due. */
function policyFor({ apdu }: Ciphered): Policy {
  return { ...tagPolicy, forms: [apdu.startsWith('general-') ? (apdu as FormKind) : 'service'] }
}

/** The code that a forgery is refused with; any exception but a `PeerError` goes through and fails the test. */
function refusal(octets: Uint8Array, security: MeterSecurity, policy: Policy): string | undefined {
  try {
    const apdu = decodeApdu(octets)
    if (!isCiphered(apdu)) return 'not ciphered'
    unprotect(apdu, security, policy)
    return undefined
  } catch (fault) {
    if (fault instanceof PeerError) return fault.code
    throw fault
  }
}

function countersOf({ lastCounter, broadcast, dedicated, settled, lastTransaction }: MeterSecurity): unknown[] {
  return [lastCounter, broadcast?.lastCounter, dedicated?.lastCounter, settled?.lastCounter, lastTransaction]
}

describe('oracle', () => {
  test('what was sealed opens', () => {
    for (const { apdu, octets, parties } of [...symmetric, ...agreed.flat()]) {
      const opened = unprotect(decodeApdu(octets) as Ciphered, parties.security, tagPolicy)
      expect(Buffer.from(opened.plain)).toEqual(plain)
      expect(opened.invocationCounter).toBe(apdu.invocationCounter)
    }
  })

  test('of 100,000 forged, spliced, downgraded and replayed APDUs none is accepted and no counter moves', {
    timeout: 60_000,
  }, () => {
    let [refused, same] = [0, 0]
    const codes = new Map<string, number>()
    const property = fc.property(forgeries, ({ given, how, a, b }) => {
      const { octets, security = given.parties.security } = forgers[how]!(given, a, b)
      if (security === given.parties.security && isGenuine(octets)) {
        same++
        return true
      }
      const code = refusal(octets, security, policyFor(given.apdu))
      refused++
      if (code !== undefined) codes.set(code, (codes.get(code) ?? 0) + 1)
      return code !== undefined && (how !== 'replayed' || code === 'COUNTER_REPLAYED')
    })
    fc.assert(property, { numRuns: 103_000 })
    expect(refused).toBeGreaterThanOrEqual(100_000)
    expect(same).toBeLessThan(3_000)
    for (const { security } of everySuite) expect(countersOf(security)).toEqual([6, 6, 6, 6, 6n])
    for (const code of [
      'SECURITY_COMPRESSED',
      'SECURITY_CONTROL',
      'SECURITY_SUITE',
      'SECURITY_DOWNGRADE',
      'TAG_UNAUTHENTIC',
    ]) {
      expect(codes.get(code), code).toBeGreaterThan(100)
    }
  })

  test('an APDU that was put into another form is refused where one form is due, and else taken once', () => {
    const { security } = everySuite[0]!
    const { apdu } = symmetric.find(({ name }) => name === 'glo')!
    const { securityControl, invocationCounter, content } = apdu
    const titled = { apdu: 'general-glo-ciphering', systemTitle: Buffer.from(meterTitle, 'hex') } as const
    const again = { ...titled, securityControl, invocationCounter, content }
    expect(refusal(encodeApdu(again), security, policyFor(apdu))).toBe('SECURITY_SERVICE')
    const known = advance(security, unprotect(again, security, tagPolicy))
    expect(refusal(encodeApdu(apdu), known, tagPolicy)).toBe('COUNTER_REPLAYED')
  })

  test.each([1, 2])('of 1,000 forged signed APDUs of suite %i none is accepted', (id) => {
    const { suite, meter, security } = everySuite[id]!
    const header = {
      transactionId: Uint8Array.of(7),
      originator: Buffer.from(meterTitle, 'hex'),
      recipient: Buffer.from(ownTitle, 'hex'),
      dateTime: new Uint8Array(),
      otherInformation: new Uint8Array(),
    }
    const octets = encodeApdu(signApdu({ ...header, content: plain }, meter!.signingKey, suite))
    const publicKey = security.agreement!.peerSigningKey!
    const signer = frozen({ systemTitle: meterTitle, own: ownTitle, publicKey, suite, lastTransaction: 6n })
    const unsigned = (from: Uint8Array) => {
      const apdu = decodeApdu(from)
      return apdu.apdu === 'general-signing' ? unsign(apdu, signer) : undefined
    }
    expect(Buffer.from(unsigned(octets)!.content)).toEqual(plain)
    fc.assert(
      fc.property(fc.nat(), (bit) => {
        try {
          return unsigned(flip(octets, bit)) === undefined
        } catch (fault) {
          if (fault instanceof PeerError) return true
          throw fault
        }
      }),
      { numRuns: 1_000 },
    )
  })
})
