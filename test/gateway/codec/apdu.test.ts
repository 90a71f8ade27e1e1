import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Apdu, apduName, decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import { type GeneralBlockTransfer, reassemble } from '#gateway/codec/block.ts'
import { decodeDateTime, encodeDateTime, isDoubtful, utcSeconds } from '#gateway/codec/datetime.ts'
import { decodeObis, dottedObis, encodeObis, parseObis } from '#gateway/codec/obis.ts'
import type { PeerFault } from '#gateway/errors.ts'
import { anyDataNotification } from './arbitrary.ts'

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))
}

const octets = (length: number) => fc.uint8Array({ maxLength: length })
const word = fc.nat(0xffff)
const counter = fc.integer({ min: 0, max: 0xffffffff })

const apdus: fc.Arbitrary<Apdu> = fc.oneof(
  fc.record({
    apdu: fc.constant('data-notification' as const),
    longInvokeId: counter,
    dateTime: fc.option(fc.uint8Array({ minLength: 12, maxLength: 12 }), { nil: undefined }),
    body: octets(200).map((octets) => ({ type: 'octet-string' as const, octets })),
    dialects: fc.constant([]),
  }),
  fc.record({
    apdu: fc.constant('general-glo-ciphering' as const),
    systemTitle: fc.oneof(fc.constant(new Uint8Array()), fc.uint8Array({ minLength: 8, maxLength: 8 })),
    securityControl: fc.nat(255),
    invocationCounter: counter,
    content: octets(300),
  }),
  fc.record({
    apdu: fc.constant('general-block-transfer' as const),
    last: fc.boolean(),
    streaming: fc.boolean(),
    window: fc.nat(63),
    number: word,
    acknowledged: word,
    block: octets(300),
  }),
)

describe('APDUs', () => {
  test('decoding what was encoded gives it back', () => {
    fc.assert(
      fc.property(apdus, (apdu) => {
        expect(decodeApdu(encodeApdu(apdu))).toEqual(apdu)
      }),
    )
  })

  test('a data-notification with any body comes back', () => {
    fc.assert(
      fc.property(anyDataNotification, (apdu) => {
        expect(decodeApdu(encodeApdu(apdu))).toEqual(apdu)
      }),
    )
  })

  test('an APDU is whole: cut anywhere it is truncated, and nothing may follow it', () => {
    fc.assert(
      fc.property(apdus, (apdu) => {
        const whole = encodeApdu(apdu)
        for (const length of [0, 1, Math.floor(whole.length / 2), whole.length - 1]) {
          expect(() => decodeApdu(whole.subarray(0, length))).toThrow(
            expect.objectContaining({ code: 'APDU_TRUNCATED' }),
          )
        }
        const longer = Uint8Array.of(...whole, 0)
        expect(() => decodeApdu(longer)).toThrow(
          expect.objectContaining({ code: 'APDU_TRAILING', offset: whole.length }),
        )
      }),
      { numRuns: 50 },
    )
  })

  test.each<[string, string, PeerFault, number | undefined]>([
    ['nothing', '', 'APDU_TRUNCATED', 0],
    ['a tag of no APDU', '07', 'APDU_UNKNOWN', 0],
    ['an association of nothing', '6100', 'DATA_VALUE', 1],
    ['a date-time of five octets', '0f 00000001 05 0000000000 00', 'APDU_LENGTH', 5],
    ['a system title of three octets', 'db 03 000000 05 3000000000', 'SYSTEM_TITLE', 1],
    ['no room for a security header', 'db 00 04 30000000', 'APDU_LENGTH', 2],
  ])('%s is refused where it stands', (_, hex, code, offset) => {
    expect(() => decodeApdu(fromHex(hex))).toThrow(expect.objectContaining({ code, offset }))
  })

  test('every tag has the name of what it decodes to, and no other octet has one', () => {
    for (let tag = 0; tag < 256; tag++) {
      const code = apduName(tag) === undefined ? 'APDU_UNKNOWN' : 'APDU_TRUNCATED'
      expect(() => decodeApdu(Uint8Array.of(tag))).toThrow(expect.objectContaining({ code }))
    }
    expect(apduName(0xc4)).toBe('get-response')
  })

  test('a tagged date-time and descriptors without tags are read through, and said', () => {
    const tagged = decodeApdu(fromHex('0f 00000001 09 0c 07e80101 01 000000 00 0000 00 11 05'))
    expect(tagged).toMatchObject({ dialects: ['tagged-date-time'], body: { type: 'unsigned', value: 5 } })
    const untagged = decodeApdu(fromHex('0f 00000001 00 0202 1601 0101 0202 0003 0100010800ff 02 06 00000007'))
    expect(untagged).toMatchObject({
      dialects: ['untagged-descriptors'],
      body: {
        elements: [
          { value: 1 },
          {
            elements: [
              {
                elements: [
                  { elements: [{ value: 3 }, { octets: fromHex('0100010800ff') }, { value: 2 }] },
                  { value: 7 },
                ],
              },
            ],
          },
        ],
      },
    })
  })
})

describe('blocks', () => {
  const block = (number: number, last = false, fill = number): GeneralBlockTransfer => {
    return {
      apdu: 'general-block-transfer',
      last,
      streaming: true,
      window: 0,
      number,
      acknowledged: 0,
      block: Uint8Array.of(fill),
    }
  }

  test('in order are one APDU, twice sent counts once, and a new first block starts afresh', () => {
    expect(reassemble([block(1), block(2), block(3, true)])).toEqual([Uint8Array.of(1, 2, 3)])
    expect(reassemble([block(1), block(1), block(2), block(2), block(3, true)])).toEqual([Uint8Array.of(1, 2, 3)])
    expect(reassemble([block(1, false, 9), block(2), block(1), block(2, true)])).toEqual([Uint8Array.of(1, 2)])
    expect(reassemble([block(1, true), block(1, true, 7)])).toEqual([Uint8Array.of(1), Uint8Array.of(7)])
    expect(reassemble([])).toEqual([])
  })

  test.each<[string, GeneralBlockTransfer[], PeerFault]>([
    ['one is missing', [block(1), block(3, true)], 'FRAME_SEQUENCE'],
    ['the first is missing', [block(2, true)], 'FRAME_SEQUENCE'],
    ['the last is missing', [block(1), block(2)], 'FRAME_TRUNCATED'],
    ['one comes again and differs', [block(1), block(2), block(2, false, 9), block(3, true)], 'FRAME_SEQUENCE'],
  ])('are refused when %s', (_, blocks, code) => {
    expect(() => reassemble(blocks)).toThrow(expect.objectContaining({ code }))
  })
})

describe('date-time', () => {
  test('every second of the calendar comes back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_102_444_799 }), (seconds) => {
        expect(utcSeconds(decodeDateTime(encodeDateTime(seconds)))).toBe(seconds)
      }),
    )
  })

  test.each<[string, string, number | undefined]>([
    ['Central European Time is 60 minutes before UTC', '07e80101 01 0c0000 00 ffc4 00', Date.UTC(2024, 0, 1, 11)],
    ['Central European Summer Time is 120', '07e80701 01 0c0000 00 ff88 80', Date.UTC(2024, 6, 1, 10)],
    ['New York is 300 minutes behind UTC', '07e80101 01 0c0000 00 012c 00', Date.UTC(2024, 0, 1, 17)],
    ['without a deviation it is no point in time', '07e80101 01 0c0000 ff 8000 00', undefined],
    ['without a day neither', '07e801ff ff 0c0000 ff 0000 00', undefined],
    ['nor on the last day of a month', '07e801fe ff 0c0000 ff 0000 00', undefined],
    ['without a weekday and hundredths it is', '07e80101 ff 0c0000 ff 0000 ff', Date.UTC(2024, 0, 1, 12)],
  ])('%s', (_, hex, milliseconds) => {
    expect(utcSeconds(decodeDateTime(fromHex(hex)))).toBe(milliseconds && milliseconds / 1000)
  })

  test.each([
    '07e80d01 01 0c0000 00 0000 00',
    '07e80100 01 0c0000 00 0000 00',
    '07e80101 08 0c0000 00 0000 00',
    '07e80101 01 180000 00 0000 00',
    '07e80101 01 003c00 00 0000 00',
    '07e80101 01 00003c 00 0000 00',
    '07e80101 01 000000 64 0000 00',
    '07e80101 01 000000 00 0349 00',
    '07e80101',
  ])('%s is refused', (hex) => {
    expect(() => decodeDateTime(fromHex(hex))).toThrow(expect.objectContaining({ code: 'DATA_VALUE' }))
  })

  test('30 February is refused', () => {
    const time = decodeDateTime(fromHex('07e8021e 01 000000 00 0000 00'))
    expect(() => utcSeconds(time)).toThrow(expect.objectContaining({ code: 'DATA_VALUE' }))
  })

  test('the invalid and doubtful bits make a clock doubtful, daylight saving does not', () => {
    const doubtful = (status: number) => isDoubtful(decodeDateTime(encodeDateTime(0, status)))
    expect([0x00, 0x01, 0x02, 0x80].map(doubtful)).toEqual([false, true, true, false])
  })
})

describe('OBIS', () => {
  test('text and octets are one', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (octets) => {
        const code = decodeObis(octets)
        expect(encodeObis(code)).toEqual(octets)
        expect(parseObis(code)).toBe(code)
        expect(dottedObis(code)).toBe(octets.join('.'))
      }),
    )
  })

  test('the last group is told only where it is not 255', () => {
    expect(decodeObis(Uint8Array.of(1, 0, 1, 8, 0, 255))).toBe('1-0:1.8.0')
    expect(decodeObis(Uint8Array.of(1, 0, 1, 8, 0, 1))).toBe('1-0:1.8.0*1')
    expect(parseObis('1-0:1.8.0*255')).toBe('1-0:1.8.0')
  })

  test.each(['', '1.8.0', '1-0:1.8.256', '1-0:1.8', '1-0:1.8.0*', ' 1-0:1.8.0'])("'%s' is refused", (text) => {
    expect(() => parseObis(text)).toThrow(expect.objectContaining({ code: 'DATA_VALUE' }))
  })
})
