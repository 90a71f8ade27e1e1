import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Data, decodeData, depthMax, encodeData } from '#gateway/codec/axdr.ts'
import { OctetReader } from '#gateway/codec/octets.ts'
import type { PeerFault } from '#gateway/errors.ts'
import { anyData } from './arbitrary-data.ts'

function read(octets: Uint8Array): Data {
  const reader = new OctetReader(octets)
  const data = decodeData(reader)
  reader.end()
  return data
}

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
      fc.property(fc.uint8Array({ maxLength: 200 }), (input) => {
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
