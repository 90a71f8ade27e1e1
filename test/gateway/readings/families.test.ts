import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Data, decodeData, encodeData } from '#gateway/codec/axdr.ts'
import { encodeDataNotification } from '#gateway/codec/notification.ts'
import { decodeObis, dottedObis } from '#gateway/codec/obis.ts'
import { OctetReader } from '#gateway/codec/octets.ts'
import { PeerError } from '#gateway/errors.ts'
import type { Obis } from '#gateway/model.ts'
import { type ExplainedValue, type Explanation, explain } from '#gateway/readings/explain.ts'
import { unitSymbol } from '#gateway/readings/units.ts'
import { a, attribute, clock, i8, name, newYear, notification, o, s, scale, text, u16, u32, unit } from './build.ts'

function explained(body: Data): Explanation {
  return read(encodeDataNotification(notification(body)))
}

function read(octets: Uint8Array): Explanation {
  return explain([{ octets, offset: 0 }], () => {
    throw new PeerError('KEY_MISSING', 'nothing here is ciphered')
  })
}

/** A register as a meter may push it. */
interface Register {
  obis: Obis
  data: Data & { value: number }
  scaler: number
  unit: number
}

const registers: fc.Arbitrary<Register[]> = fc.array(
  fc.record({
    obis: fc
      .tuple(fc.nat(15), fc.nat(99), fc.nat(255), fc.nat(255), fc.nat(255), fc.constantFrom(255, 1))
      .map((groups) => decodeObis(Uint8Array.from(groups))),
    data: fc.oneof(
      fc.nat(65_535).map(u16),
      fc.nat(0xffffffff).map(u32),
      fc.integer({ min: -32_768, max: 32_767 }).map((value): Data => ({ type: 'long', value })),
      fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((value): Data => ({ type: 'double-long', value })),
    ) as fc.Arbitrary<Register['data']>,
    scaler: fc.integer({ min: -4, max: 4 }),
    unit: fc.constantFrom(27, 29, 30, 32, 33, 35, 13),
  }),
  { minLength: 1, maxLength: 8 },
)

const su = ({ scaler, unit: code }: Register): Data => scale(scaler, code)
const dotted = (obis: Obis): string => dottedObis(obis)
const inHex = (value: string): Data => o(Buffer.from(value).toString('hex'))
const described = ({ obis }: Register): Data[] => [u16(3), name(obis), i8(2)]
const listed = (all: readonly Register[]): Data => a(...all.map(({ obis }) => attribute(3, obis, 2)))

/** Lists of names, values, scalers and units: those of HAN and customer ports. */
const scaledForms: Record<string, (all: readonly Register[]) => Data> = {
  'a structure each (Aidon)': (all) => a(...all.map((one) => s(name(one.obis), one.data, su(one)))),
  'a structure each, in a structure': (all) => s(...all.map((one) => s(name(one.obis), one.data, su(one)))),
  'side by side (Kaifa in Austria)': (all) => s(...all.flatMap((one) => [name(one.obis), one.data, su(one)])),
  'value and unit in a structure of their own': (all) =>
    s(...all.map((one) => s(name(one.obis), s(one.data, su(one))))),
  'value, scaler and unit in one': (all) =>
    s(...all.map((one) => s(name(one.obis), s(one.data, i8(one.scaler), unit(one.unit))))),
  'unit before the value': (all) => s(...all.map((one) => s(name(one.obis), su(one), one.data))),
  'unit before the scaler': (all) =>
    s(...all.map((one) => s(name(one.obis), one.data, s(unit(one.unit), i8(one.scaler))))),
  'scaler and unit plain': (all) => s(...all.map((one) => s(name(one.obis), one.data, i8(one.scaler), unit(one.unit)))),
  'scaler and unit plain, side by side': (all) =>
    s(...all.flatMap((one) => [name(one.obis), one.data, i8(one.scaler), unit(one.unit)])),
  'a list in a list in a list': (all) => s(a(a(...all.map((one) => s(name(one.obis), one.data, su(one)))))),
  'names in text': (all) => s(...all.flatMap((one) => [text(one.obis), one.data, su(one)])),
  'names in text, all six groups with dots': (all) =>
    s(...all.flatMap((one) => [text(dotted(one.obis)), one.data, su(one)])),
  'names in text that came as octets': (all) => s(...all.flatMap((one) => [inHex(one.obis), one.data, su(one)])),
  'attributes with their scaler': (all) => a(...all.map((one) => s(...described(one), one.data, su(one)))),
  'attributes with their scaler, side by side': (all) =>
    s(...all.flatMap((one) => [...described(one), one.data, su(one)])),
}

const inList = 'object list, and the values in a list'

/** Pushes whose values have a name and nothing else. */
const plainForms: Record<string, (all: readonly Register[]) => Data> = {
  'side by side (Kamstrup)': (all) => s(...all.flatMap(({ obis, data }) => [name(obis), data])),
  'a pair each': (all) => a(...all.map(({ obis, data }) => s(name(obis), data))),
  'attributes (Iskraemeco)': (all) => a(...all.map((one) => s(...described(one), one.data))),
  'attributes, side by side': (all) => s(...all.flatMap((one) => [...described(one), one.data])),
  'attributes with a data index': (all) => a(...all.map((one) => s(...described(one), u16(0), one.data))),
  'descriptor and value': (all) => a(...all.map((one) => s(s(...described(one)), one.data))),
  'object list and values (Landis+Gyr)': (all) => s(listed(all), ...all.map(({ data }) => data)),
  'object list in a structure': (all) =>
    s(s(...all.map(({ obis }) => attribute(3, obis, 2))), ...all.map(({ data }) => data)),
  'object list behind the values': (all) => s(...all.map(({ data }) => data), listed(all)),
  'object list that names itself': (all) =>
    s(
      a(attribute(40, '0-8:25.9.0', 2), ...all.map(({ obis }) => attribute(3, obis, 2))),
      ...all.map(({ data }) => data),
    ),
  [inList]: (all) => s(listed(all), a(...all.map(({ data }) => data))),
}

/** One code twice; one value in a list beside a list of one, which may as well be a buffer of one row. */
function isAmbiguous(all: readonly Register[], form: unknown): boolean {
  return new Set(all.map(({ obis }) => obis)).size < all.length || (form === plainForms[inList] && all.length === 1)
}

describe('however a meter lays out its list, names, values, scalers and units are those sent', () => {
  test.each(Object.entries(scaledForms))('%s', (_, form) => {
    fc.assert(
      fc.property(registers, (all) => {
        expect(explained(form(all)).values).toEqual(
          all.map((one): ExplainedValue => {
            const { obis, data, scaler } = one
            return { obis: dotted(obis), value: data.value, scaler, unit: unitSymbol(one.unit) }
          }),
        )
      }),
    )
  })

  test.each(Object.entries(plainForms))('%s, without units', (_, form) => {
    fc.assert(
      fc.property(
        registers.filter((all) => !isAmbiguous(all, form)),
        (all) => {
          expect(explained(form(all)).values).toEqual(
            all.map(({ obis, data }) => ({ obis: dotted(obis), value: data.value, scaler: null, unit: null })),
          )
        },
      ),
    )
  })

  test('a name of the list in front, a clock and a meter number behind stay apart', () => {
    fc.assert(
      fc.property(registers, (all) => {
        const rows = all.flatMap((one) => [name(one.obis), one.data, su(one)])
        const { values, unnamed, dialects } = explained(s(clock(newYear), ...rows, o('313831323230303030303039')))
        expect(values.map(({ obis }) => obis)).toEqual(all.map(({ obis }) => dotted(obis)))
        expect(unnamed.map(({ value }) => value)).toEqual(['07e801010100000000000000', '313831323230303030303039'])
        expect(dialects).toEqual([])
      }),
    )
  })
})

/** `0F`, long-invoke-id 1, and what is behind them. */
const pushed = (rest: string): Explanation => read(Buffer.from(`0f00000001${rest}`, 'hex'))
const time = '07e801010100000000ffc400'
const value = '020209060100010700ff0600000007'

describe('the time of a notification', () => {
  test.each([
    ['in its octets', `0c${time}`, '2023-12-31T23:00:00Z', []],
    ['behind an octet-string tag', `090c${time}`, '2023-12-31T23:00:00Z', ['tagged-date-time']],
    ['behind a date-time tag', `19${time}`, '2023-12-31T23:00:00Z', ['tagged-date-time']],
    ['absent', '00', null, []],
    ['an octet-string of no octets', '0900', null, ['tagged-date-time']],
    ['all wildcards', '0cffffffffffffffffff8000ff', null, []],
    ['without a deviation', '0c07e80101010000000080 00ff'.replace(' ', ''), '2024-01-01T00:00:00', []],
    ['without hundredths and clock status', '0c07e801010100000 0ffffc4ff'.replace(' ', ''), '2023-12-31T23:00:00Z', []],
    ['with hundredths', '0c07e80101010000001effc400', '2023-12-31T23:00:00.300Z', []],
    ['without seconds', '0c07e8010101000 0ff00ffc400'.replace(' ', ''), null, []],
    ['never set', '0c000000000000000000800000', null, ['invalid-date-time']],
    ['on a day that there is not', '0c07e8021f01000000008000ff', null, ['invalid-date-time']],
  ])('%s', (_, octets, expected, dialects) => {
    expect(pushed(octets + value)).toMatchObject({ time: expected, dialects, values: [{ value: 7 }] })
  })
})

describe('names whose tag and length are swapped', () => {
  const swap = (octets: Uint8Array, which: readonly boolean[]): Uint8Array => {
    const copy = octets.slice()
    const at = [...octets.keys()].filter((i) => octets[i] === 0x02 && octets[i + 2] === 0x09 && octets[i + 3] === 0x06)
    for (const i of at.filter((_, i) => which[i % which.length])) copy.set([0x06, 0x09], i + 2)
    return copy
  }
  const plainCode = fc
    .tuple(fc.nat(200), fc.nat(200), fc.nat(200))
    .map(([c, d, e]) => decodeObis(Uint8Array.of(1, 0, c, d, e, 255)))

  const isData = (octets: Uint8Array): boolean => {
    const reader = new OctetReader(octets)
    try {
      decodeData(reader)
    } catch {
      return false
    }
    return reader.remaining === 0
  }

  test('are read, and said to be', () => {
    fc.assert(
      fc.property(
        fc.array(plainCode, { minLength: 1, maxLength: 6 }),
        fc.array(fc.boolean(), { minLength: 1 }),
        (codes, which) => {
          const rows = codes.map((obis) => s(name(obis), { type: 'long', value: 7 } as Data, scale(-2, 33)))
          const body = a(...rows)
          const straight = encodeDataNotification(notification(body))
          const crooked = swap(straight, which)
          const isChanged = Buffer.compare(straight, crooked) !== 0
          fc.pre(!isChanged || !isData(crooked.subarray(-encodeData(body).length))) // by chance it is other data
          const found = read(crooked)
          expect(found.values).toEqual(read(straight).values)
          expect(found.dialects).toEqual(isChanged ? ['swapped-name-tags'] : [])
        },
      ),
    )
  })

  test('do not make data of what is wrong in another way', () => {
    const crooked = swap(encodeDataNotification(notification(a(s(name('1-0:31.7.0'), u32(7), scale(-2, 33))))), [true])
    expect(() => read(crooked.subarray(0, -1))).toThrow(PeerError)
  })
})

test('data without an APDU is listed, and said to be', () => {
  const octets = encodeData(a(s(clock(newYear), u32(7)), s(clock(newYear + 900), u32(8))))
  expect(read(octets)).toMatchObject({ apdus: [], dialects: ['bare-data'] })
  expect(read(octets).values.map((one) => one.value)).toContain(8)
})
