import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { apduName, decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import type { KeyInfo } from '#gateway/codec/general-ciphering.ts'
import { OctetReader } from '#gateway/codec/octets.ts'
import {
  decodeProtected,
  encodeProtected,
  isCiphered,
  type Protected,
  protectedNames,
} from '#gateway/codec/protection.ts'
import { plainTagOf, serviceCipheringNames, serviceCipheringOf } from '#gateway/codec/service-ciphering.ts'
import { PeerError, type PeerFault } from '#gateway/errors.ts'

const octets = (min: number, max: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: min, maxLength: max })
const none = fc.constant(new Uint8Array())
const orNone = (length: number): fc.Arbitrary<Uint8Array> => fc.oneof(none, octets(length, length))

const service = {
  securityControl: fc.nat(255),
  invocationCounter: fc.nat(0xffffffff),
  content: octets(0, 300),
}
const header = {
  transactionId: octets(0, 32),
  originator: orNone(8),
  recipient: orNone(8),
  dateTime: orNone(12),
  otherInformation: octets(0, 200),
}
const keyInfo: fc.Arbitrary<KeyInfo | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.record({
    kind: fc.constant('identified' as const),
    key: fc.constantFrom('unicast' as const, 'broadcast' as const),
  }),
  fc.record({ kind: fc.constant('wrapped' as const), wrapped: octets(0, 40) }),
  fc.record({ kind: fc.constant('agreed' as const), parameters: octets(0, 2), data: octets(0, 192) }),
)
const anyProtected: fc.Arbitrary<Protected> = fc.oneof(
  fc.record({ apdu: fc.constantFrom(...serviceCipheringNames.values()), ...service }),
  fc.record({ apdu: fc.constant('general-glo-ciphering' as const), systemTitle: orNone(8), ...service }),
  fc.record({ apdu: fc.constant('general-ded-ciphering' as const), systemTitle: orNone(8), ...service }),
  fc.record({ apdu: fc.constant('general-ciphering' as const), ...header, keyInfo, ...service }),
  fc.record({
    apdu: fc.constant('general-signing' as const),
    ...header,
    content: octets(0, 300),
    signature: fc.oneof(none, octets(64, 64), octets(96, 96)),
  }),
)

function tolerated(entry: () => unknown): void {
  try {
    entry()
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
  }
}

describe('protected APDUs', () => {
  test('decode(encode(x)) is x', () => {
    fc.assert(
      fc.property(anyProtected, (apdu) => {
        expect(decodeApdu(encodeApdu(apdu))).toEqual(apdu)
        expect(isCiphered(apdu)).toBe(apdu.apdu !== 'general-signing')
      }),
      { numRuns: 2_000 },
    )
  })

  test('any octets, and any that were sound, give a value or a PeerError', () => {
    const tags = [...protectedNames.keys()]
    const damaged = fc.tuple(anyProtected, fc.nat(), fc.nat(255), fc.nat()).map(([apdu, at, octet, end]) => {
      const sound = encodeProtected(apdu)
      const changed = sound.map((one, i) => (i === at % sound.length ? octet : one))
      return changed.subarray(0, Math.max(1, end % (2 * sound.length)))
    })
    const any = fc.tuple(fc.constantFrom(...tags), octets(0, 60)).map(([tag, rest]) => Uint8Array.of(tag, ...rest))
    fc.assert(
      fc.property(fc.oneof(damaged, any), (input) => tolerated(() => decodeApdu(input))),
      { numRuns: 5_000 },
    )
  })

  /** The Green Book's list, tag by tag. */
  test.each([
    [0x21, 'glo-initiate-request', 0x01],
    [0x25, 'glo-read-request', 0x05],
    [0x26, 'glo-write-request', 0x06],
    [0x28, 'glo-initiate-response', 0x08],
    [0x2c, 'glo-read-response', 0x0c],
    [0x2d, 'glo-write-response', 0x0d],
    [0x2e, 'glo-confirmed-service-error', 0x0e],
    [0x36, 'glo-unconfirmed-write-request', 0x16],
    [0x38, 'glo-information-report-request', 0x18],
    [0x41, 'ded-initiate-request', 0x01],
    [0x45, 'ded-read-request', 0x05],
    [0x46, 'ded-write-request', 0x06],
    [0x48, 'ded-initiate-response', 0x08],
    [0x4c, 'ded-read-response', 0x0c],
    [0x4d, 'ded-write-response', 0x0d],
    [0x4e, 'ded-confirmed-service-error', 0x0e],
    [0x56, 'ded-unconfirmed-write-request', 0x16],
    [0x58, 'ded-information-report-request', 0x18],
    [0xc8, 'glo-get-request', 0xc0],
    [0xc9, 'glo-set-request', 0xc1],
    [0xca, 'glo-event-notification', 0xc2],
    [0xcb, 'glo-action-request', 0xc3],
    [0xcc, 'glo-get-response', 0xc4],
    [0xcd, 'glo-set-response', 0xc5],
    [0xcf, 'glo-action-response', 0xc7],
    [0xd0, 'ded-get-request', 0xc0],
    [0xd1, 'ded-set-request', 0xc1],
    [0xd2, 'ded-event-notification', 0xc2],
    [0xd3, 'ded-action-request', 0xc3],
    [0xd4, 'ded-get-response', 0xc4],
    [0xd5, 'ded-set-response', 0xc5],
    [0xd7, 'ded-action-response', 0xc7],
  ] as const)('tag %i is %s, and holds %i', (tag, name, plainTag) => {
    expect(apduName(tag)).toBe(name)
    expect(plainTagOf(name)).toBe(plainTag)
    expect(serviceCipheringOf(name.startsWith('glo') ? 'glo' : 'ded', plainTag)).toBe(name)
    const apdu = { apdu: name, securityControl: 0x30, invocationCounter: 1, content: new Uint8Array(12) }
    expect(encodeProtected(apdu)[0]).toBe(tag)
  })

  test('the list is all of it', () => {
    expect(serviceCipheringNames.size).toBe(32)
    expect(decodeProtected(0xce, new OctetReader(new Uint8Array(9)))).toBeUndefined()
  })

  test.each<[what: string, hex: string, code: PeerFault, offset: number]>([
    ['no room for a security header', 'c80430000000', 'APDU_LENGTH', 1],
    ['a length beyond the end', 'c806300000', 'APDU_TRUNCATED', 2],
    ['something behind', 'c8053000000001ff', 'APDU_TRAILING', 7],
    ['a title of seven octets', 'dc0701020304050607053000000001', 'SYSTEM_TITLE', 1],
    ['a transaction identifier of 33', `dd21${'00'.repeat(33)}`, 'APDU_LENGTH', 1],
    ['an originator of one', 'dd000101', 'SYSTEM_TITLE', 2],
    ['a recipient of nine', `dd000009${'00'.repeat(9)}`, 'SYSTEM_TITLE', 3],
    ['a date-time of five', 'dd00000005aabbccddee', 'APDU_LENGTH', 4],
    ['an option that is neither there nor not', 'dd000000000002', 'APDU_CHOICE', 6],
    ['an unknown key information', 'dd00000000000103', 'APDU_CHOICE', 7],
    ['an unknown key', 'dd0000000000010002', 'APDU_CHOICE', 8],
    ['an unknown key-encrypting key', 'dd0000000000010101', 'APDU_CHOICE', 8],
    ['key data beyond the end', 'dd000000000001010018aa', 'APDU_TRUNCATED', 10],
    ['a signature of one octet', 'df0000000000000100', 'APDU_LENGTH', 7],
    ['no signature at all', 'df000000000000', 'APDU_TRUNCATED', 7],
  ])('%s is refused', (_, hex, code, offset) => {
    expect(() => decodeApdu(Buffer.from(hex, 'hex'))).toThrow(
      expect.objectContaining({ name: 'PeerError', code, offset }),
    )
  })
})
