import fc from 'fast-check'
import type { Data, TypeDescription } from '#gateway/codec/axdr.ts'

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

/** Octets of a length between the two. */
export const octets = (minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength })

/** Any `Data` without elements. */
export const simpleData: fc.Arbitrary<Data> = fc.oneof(
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

const tied = fc.letrec<{ data: Data }>((tie) => ({
  data: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'data' },
    simpleData,
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

/** Any `Data`, nested four deep at most. */
export const anyData: fc.Arbitrary<Data> = tied.data
