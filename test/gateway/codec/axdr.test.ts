import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Data, decodeData, depthMax, encodeData, type TypeDescription } from '#gateway/codec/axdr.ts'
import { OctetReader } from '#gateway/codec/octets.ts'
import type { PeerFault } from '#gateway/errors.ts'

function read(octets: Uint8Array): Data {
  const reader = new OctetReader(octets)
  const data = decodeData(reader)
  reader.end()
  return data
}

const ranges = {
  'double-long': [-(2 ** 31), 2 ** 31 - 1],
  'double-long-unsigned': [0, 2 ** 32 - 1],
  bcd: [0, 255],
  integer: [-128, 127],
  long: [-32768, 32767],
  unsigned: [0, 255],
  'long-unsigned': [0, 65535],
  enum: [0, 255],
  'delta-integer': [-128, 127],
  'delta-long': [-32768, 32767],
  'delta-double-long': [-(2 ** 31), 2 ** 31 - 1],
  'delta-unsigned': [0, 255],
  'delta-long-unsigned': [0, 65535],
  'delta-double-long-unsigned': [0, 2 ** 32 - 1],
} as const

const octets = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength })

const simple: fc.Arbitrary<Data> = fc.oneof(
  fc.constantFrom<Data>({ type: 'null-data' }, { type: 'dont-care' }),
  ...Object.entries(ranges).map(([type, [min, max]]) =>
    fc.integer({ min, max }).map((value) => ({ type, value }) as Data),
  ),
  fc.boolean().map((value): Data => ({ type: 'boolean', value })),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value): Data => ({ type: 'long64', value })),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value): Data => ({ type: 'long64-unsigned', value })),
  fc.float().map((value): Data => ({ type: 'float32', value })),
  fc.double().map((value): Data => ({ type: 'float64', value })),
  octets(0, 300).map((octets): Data => ({ type: 'octet-string', octets })),
  octets(0, 9).map((octets): Data => ({ type: 'visible-string', octets })),
  octets(0, 9).map((octets): Data => ({ type: 'utf8-string', octets })),
  octets(12, 12).map((octets): Data => ({ type: 'date-time', octets })),
  octets(5, 5).map((octets): Data => ({ type: 'date', octets })),
  octets(4, 4).map((octets): Data => ({ type: 'time', octets })),
  fc
    .tuple(octets(0, 5), fc.nat(7))
    .map(([octets, spare]): Data => ({ type: 'bit-string', bits: Math.max(0, octets.length * 8 - spare), octets })),
)

/** An element of a compact-array with its description, of a type that always costs an octet. */
const described: fc.Arbitrary<[TypeDescription, fc.Arbitrary<Data>]> = fc.constantFrom(
  [{ type: 'unsigned' }, fc.nat(255).map((value): Data => ({ type: 'unsigned', value }))],
  [{ type: 'octet-string' }, octets(0, 9).map((octets): Data => ({ type: 'octet-string', octets }))],
  [
    {
      type: 'structure',
      elements: [
        { type: 'null-data' },
        { type: 'array', count: 2, element: { type: 'long' } },
        { type: 'structure', elements: [{ type: 'enum' }] },
      ],
    },
    fc.integer({ min: -9, max: 9 }).map(
      (value): Data => ({
        type: 'structure',
        elements: [
          { type: 'null-data' },
          {
            type: 'array',
            elements: [
              { type: 'long', value },
              { type: 'long', value: 1 },
            ],
          },
          { type: 'structure', elements: [{ type: 'enum', value: 3 }] },
        ],
      }),
    ),
  ],
)

const { data: anyData } = fc.letrec<{ data: Data }>((tie) => ({
  data: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'data' },
    simple,
    fc
      .tuple(
        fc.constantFrom('array' as const, 'structure' as const),
        fc.array(tie('data'), { maxLength: 4, depthIdentifier: 'data' }),
      )
      .map(([type, elements]): Data => ({ type, elements })),
    described.chain(([description, element]) =>
      fc.array(element, { maxLength: 4 }).map((elements): Data => ({ type: 'compact-array', description, elements })),
    ),
  ),
}))

describe('A-XDR data', () => {
  test('decoding what was encoded gives it back', () => {
    fc.assert(
      fc.property(anyData, (data) => {
        expect(read(encodeData(data))).toEqual(data)
      }),
      { numRuns: 500 },
    )
  })

  test('any octets give a value or a PeerError with an offset', () => {
    fc.assert(
      fc.property(octets(0, 200), (input) => {
        try {
          read(input)
        } catch (fault) {
          expect(fault).toMatchObject({ name: 'PeerError', offset: expect.any(Number) })
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test.each<[string, string, PeerFault, number]>([
    ['a tag that no type has', '07', 'DATA_TYPE', 0],
    ['a number cut short', '0600', 'APDU_TRUNCATED', 1],
    ['a string longer than what is left', '09050000', 'APDU_TRUNCATED', 2],
    ['a length of five octets', '09850000000001', 'APDU_LENGTH', 1],
    ['a length without end', '0980', 'APDU_LENGTH', 1],
    ['more elements than octets', '0284ffffffff00', 'DATA_COUNT', 1],
    ['octets after the end', '0000', 'APDU_TRAILING', 1],
    ['compact elements without octets', '13020100010900', 'DATA_COUNT', 5],
    ['a compact-array in a compact-array', '1313110101', 'DATA_TYPE', 1],
    ['a compact-array cut in an element', '1312030001ff', 'APDU_TRUNCATED', 5],
  ])('%s is refused where it stands', (_, hex, code, offset) => {
    expect(() => read(Buffer.from(hex, 'hex'))).toThrow(expect.objectContaining({ code, offset }))
  })

  test(`nesting ends at ${depthMax}`, () => {
    const nested = (depth: number) => Buffer.from(`${'0201'.repeat(depth)}00`, 'hex')
    expect(read(nested(depthMax)).type).toBe('structure')
    expect(() => read(nested(depthMax + 1))).toThrow(expect.objectContaining({ code: 'DATA_DEPTH' }))
  })

  test('a compact-array cannot make much of little', () => {
    const arrays = '01ffff'.repeat(3) // 65,535 times 65,535 times 65,535 elements of no octets
    const wide = `13${arrays}0001ff`
    expect(() => read(Buffer.from(wide, 'hex'))).toThrow(expect.objectContaining({ code: 'DATA_COUNT' }))
  })
})
