import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import { listMax } from '#gateway/codec/constructs.ts'
import { conformance, conformanceNames } from '#gateway/codec/initiate.ts'
import { invocation, invokeId, longInvocation, longInvokeId } from '#gateway/codec/invoke.ts'
import { actionResult, codeName, dataAccessResult } from '#gateway/codec/results.ts'
import { serviceNames } from '#gateway/codec/services.ts'
import { PeerError, type PeerFault } from '#gateway/errors.ts'
import { anyServiceApdu, serviceApdus } from './arbitrary.ts'
import { clockOctets, fromHex, known } from './service-octets.ts'

describe('APDUs of services', () => {
  test.each(Object.entries(serviceApdus))('%s: decoding what was encoded gives it back', (_, apdus) => {
    fc.assert(
      fc.property(apdus, (apdu) => {
        expect(decodeApdu(encodeApdu(apdu))).toEqual(apdu)
      }),
      { numRuns: 300 },
    )
  })

  test.each(known)('%s is read and written as the standard says', (hex, apdu) => {
    const octets = fromHex(hex)
    expect(decodeApdu(octets)).toEqual(apdu)
    expect(encodeApdu(apdu)).toEqual(octets)
  })

  test('an APDU is whole: cut anywhere it is refused, and nothing may follow it', () => {
    const bounded = anyServiceApdu.filter(({ apdu }) => !apdu.startsWith('gateway-')) // those hold all that follows
    fc.assert(
      fc.property(bounded, fc.nat(), (apdu, at) => {
        const octets = encodeApdu(apdu)
        const cut = expect.stringMatching(/^(APDU_TRUNCATED|DATA_COUNT)$/)
        expect(() => decodeApdu(octets.subarray(0, at % octets.length))).toThrow(expect.objectContaining({ code: cut }))
        expect(() => decodeApdu(Uint8Array.of(...octets, 0))).toThrow(
          expect.objectContaining({ code: 'APDU_TRAILING', offset: octets.length }),
        )
      }),
      { numRuns: 300 },
    )
  })

  test('any octets behind a tag give a value, the same when written and read again, or a PeerError with an offset', () => {
    const damaged = fc
      .tuple(anyServiceApdu, fc.nat(), fc.nat(255))
      .map(([apdu, at, octet]) => encodeApdu(apdu).map((one, i, all) => (i === at % all.length ? octet : one)))
    const random = fc
      .tuple(fc.constantFrom(...serviceNames.keys()), fc.nat(7), fc.uint8Array({ maxLength: 60 }))
      .map(([tag, choice, rest]) => Uint8Array.of(tag, choice, ...rest))
    fc.assert(
      fc.property(fc.oneof(damaged, random), (octets) => {
        const apdu = decoded(octets)
        if (apdu !== undefined) expect(decodeApdu(encodeApdu(apdu))).toEqual(apdu)
      }),
      { numRuns: 5_000 },
    )
  })

  const wide = `13 02 02 11 01 000a 00 8217 70 ${'01'.repeat(6_000)}` // 78,000 elements in 6,000 octets
  test.each([
    ['results of a get', `c4 03 c1 03 ${`00 ${wide}`.repeat(3)}`],
    ['values of a set', `c1 04 c1 00 03 ${wide.repeat(3)}`],
    ['values of an action', `c3 03 c1 00 03 ${wide.repeat(3)}`],
    ['returned by an action', `c7 03 c1 03 ${`00 01 00 ${wide}`.repeat(3)}`],
    ['selections', `c0 03 c1 03 ${`${clockOctets} 01 03 ${wide}`.repeat(3)}`],
    ['selections of an access', `d9 00000001 00 03 ${`04 ${clockOctets} 03 ${wide}`.repeat(3)} 00`],
    ['parameters of variables', `05 03 ${`04 0000 01 ${wide}`.repeat(3)}`],
    ['results of a read', `0c 03 ${`00 ${wide}`.repeat(3)}`],
  ])('%s share one budget of elements: a list cannot make much of little', (_, hex) => {
    expect(() => decodeApdu(fromHex(hex))).toThrow(expect.objectContaining({ code: 'DATA_COUNT' }))
  })

  test.each([
    ['an entry of five', 2, '0205 06 00000001 06 00000004 12 0001 12 0000 00'],
    ['an entry with a number of another width', 2, '0204 12 0001 06 00000004 12 0001 12 0000'],
    ['a range whose column has five parts', 1, '0204 0205 12 0008 09 06 0000010000ff 0f 02 12 0000 00 1101 1102 0100'],
    ['a range whose column has a short name', 1, '0204 0204 12 0008 09 05 0000010000 0f 02 12 0000 1101 1102 0100'],
    ['a range of five', 1, '0205 0204 12 0008 09 06 0000010000ff 0f 02 12 0000 1101 1102 0100 00'],
    ['a range of no list', 1, '0204 0204 12 0008 09 06 0000010000ff 0f 02 12 0000 1101 1102 0200'],
    ['a range of a list of something else', 1, '0204 0204 12 0008 09 06 0000010000ff 0f 02 12 0000 1101 1102 0101 00'],
  ])('%s is kept as it is', (_, selector, parameters) => {
    const octets = fromHex(`c0 01 c1 ${clockOctets} 01 0${selector} ${parameters}`)
    const apdu = decodeApdu(octets)
    expect(apdu).toMatchObject({ attribute: { selection: { kind: 'other', selector } } })
    expect(encodeApdu(apdu)).toEqual(octets)
  })

  test.each<[string, string, PeerFault, number]>([
    ['a get-request of no kind', 'c0 04 c1', 'APDU_CHOICE', 1],
    ['a get-response of no kind', 'c4 00 c1', 'APDU_CHOICE', 1],
    ['a result that is neither data nor error', 'c4 01 c1 02 00', 'APDU_CHOICE', 3],
    ['a data block that is neither', 'c4 02 c1 00 00000001 02 00', 'APDU_CHOICE', 8],
    ['an optional value with a flag of 2', 'c0 01 c1 0008 0000010000ff 02 02', 'DATA_VALUE', 12],
    ['more items than octets', 'c0 03 c1 05 0008', 'DATA_COUNT', 3],
    [`more than ${listMax} items`, `c5 05 c1 821001 ${'00'.repeat(listMax + 1)}`, 'DATA_COUNT', 3],
    ['an event whose time has five octets', 'c2 01 05 0000000000 0008 0000010000ff 02 00', 'APDU_LENGTH', 2],
    ['octets behind a set-response', 'c5 01 c1 00 00', 'APDU_TRAILING', 4],
    ['an exception without its counter', 'd8 01 06 0001', 'APDU_TRUNCATED', 3],
    ['a service error of no service', '0e 14 06 00', 'APDU_CHOICE', 1],
    ['a service error of no kind', '0e 05 0b 00', 'APDU_CHOICE', 2],
    ['a conformance that is none', '01 00 00 00 06 5f1f0500 007e1f 04b0', 'APDU_CHOICE', 5],
    ['an access to nothing known', 'd9 00000001 00 01 06 00', 'APDU_CHOICE', 7],
    ['a variable of the detailed kind', '05 01 03 0000', 'APDU_CHOICE', 2],
    ['a prefix without an APDU', 'e6 00 01 01', 'APDU_TRUNCATED', 4],
  ])('%s is refused where it stands', (_, hex, code, offset) => {
    expect(() => decodeApdu(fromHex(hex))).toThrow(expect.objectContaining({ code, offset }))
  })

  test('an exception has a counter if and only if it is about one', () => {
    const exception = { apdu: 'exception-response', stateError: 1 } as const
    expect(() => encodeApdu({ ...exception, serviceError: 6, invocationCounter: undefined })).toThrow(RangeError)
    expect(() => encodeApdu({ ...exception, serviceError: 5, invocationCounter: 1 })).toThrow(RangeError)
  })
})

function decoded(octets: Uint8Array): ReturnType<typeof decodeApdu> | undefined {
  try {
    return decodeApdu(octets)
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    expect(fault.offset).toEqual(expect.any(Number))
    return undefined
  }
}

describe('names of numbers', () => {
  test('an invoke-id-and-priority is an id, a service class and a priority', () => {
    expect(invocation(0xc1)).toEqual({ id: 1, confirmed: true, highPriority: true })
    expect(invocation(0x4f)).toEqual({ id: 15, confirmed: true, highPriority: false })
    expect(invokeId({ id: 1, confirmed: true, highPriority: true })).toBe(0xc1)
    expect(() => invokeId({ id: 16, confirmed: true, highPriority: true })).toThrow(RangeError)
  })

  test('a long one adds two bits, and comes back from its parts', () => {
    expect(longInvocation(0x20_00_03_eb)).toEqual({
      id: 0x3eb,
      confirmed: false,
      highPriority: false,
      selfDescriptive: false,
      breakOnError: true,
    })
    fc.assert(
      fc.property(fc.nat(0xffffff), fc.nat(15), (id, bits) => {
        const long = bits * 2 ** 28 + id
        expect(longInvokeId(longInvocation(long))).toBe(long)
      }),
    )
    expect(() => longInvokeId({ ...longInvocation(0), id: 2 ** 24 })).toThrow(RangeError)
  })

  test('conformance bits have their names, each its own bit of 24', () => {
    expect(conformanceNames(0x007e1f)).toEqual([
      'priority-mgmt-supported',
      'attribute0-supported-with-get',
      'block-transfer-with-get-or-read',
      'block-transfer-with-set-or-write',
      'block-transfer-with-action',
      'multiple-references',
      'get',
      'set',
      'selective-access',
      'event-notification',
      'action',
    ])
    expect(Object.values(conformance)).toEqual(Array.from({ length: 24 }, (_, i) => 2 ** (23 - i)))
  })

  test('results have their names, and an unknown one none', () => {
    expect(codeName(dataAccessResult, 3)).toBe('read-write-denied')
    expect(codeName(dataAccessResult, 250)).toBe('other-reason')
    expect(codeName(actionResult, 15)).toBe('long-action-aborted')
    expect(codeName(dataAccessResult, 99)).toBeUndefined()
  })
})
