import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ObjectShape } from '#gateway/oneway/fec/block.ts'
import { ObjectDecoder } from '#gateway/oneway/fec/decoder.ts'
import { MinimalStandard, type Staircase, staircase } from '#gateway/oneway/fec/staircase.ts'
import { determines, parityCheckMatrix, rand31 } from './matrices.ts'
import { seededOctets, shuffled, symbolsOf } from './samples.ts'

const shapeOf = (k: number, n: number, n1: number, symbolOctets = 8): ObjectShape => ({
  fecId: 3,
  objectOctets: k * symbolOctets - 3,
  symbolOctets,
  symbols: n,
  n1,
})

/** Left side, by rows and by columns, as text. */
function leftSide({ sources, rows, rowStart, columns, columnStart, entries }: Staircase): string[][] {
  const byRow = Array.from({ length: rows }, (_, row) => columns.slice(rowStart[row], rowStart[row + 1]))
  const byColumn: number[][] = Array.from({ length: rows }, () => [])
  for (let source = 0; source < sources; source++) {
    for (const row of entries.slice(columnStart[source], columnStart[source + 1])) byColumn[row]!.push(source)
  }
  return [byRow, byColumn].map((side) => side.map((row) => [...row].sort((a, b) => a - b).join()))
}

describe('the generator of RFC 5170, 5.7', () => {
  test('gives 1043618065 as its 10,000th value from seed 1', () => {
    const random = new MinimalStandard(1)
    for (let i = 1; i < 10_000; i++) random.next()
    expect(random.next()).toBe(1_043_618_065)
  })

  test("and the ranges of the RFC's own arithmetic", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 - 2 }), fc.integer({ min: 1, max: 500_000 }), (value, below) => {
        const [ours, theirs] = [new MinimalStandard(value), { value }]
        for (let i = 0; i < 50; i++) expect(ours.below(below)).toBe(rand31(theirs, below))
      }),
    )
  })
})

describe('the matrix', () => {
  test.for([
    { k: 20, n: 30, n1: 3, seed: 1 },
    { k: 100, n: 120, n1: 5, seed: 1 },
    { k: 300, n: 400, n1: 7, seed: 1 },
    { k: 40, n: 400, n1: 5, seed: 7 }, // rows of fewer than two ones get more
    { k: 30, n: 37, n1: 7, seed: 99 }, // every column is all ones: no choice is left
    { k: 754, n: 1_270, n1: 7, seed: 1 },
  ])('of $k source symbols among $n with N1 = $n1 is the one of the pseudo-code', ({ k, n, n1, seed }) => {
    const expected = parityCheckMatrix(k, n, n1, seed).map((row) =>
      Array.from({ length: k }, (_, j) => j)
        .filter((j) => row[j] === 1)
        .join(),
    )
    const [byRow, byColumn] = leftSide(staircase({ sources: k, rows: n - k, n1, seed }))
    expect(byRow).toEqual(expected)
    expect(byColumn).toEqual(expected)
  })
})

describe('LDPC-Staircase', () => {
  test('each row of the matrix adds up to nothing over the encoding symbols', () => {
    const [k, n, n1] = [60, 95, 5]
    const shape = shapeOf(k, n, n1)
    const padded = symbolsOf(seededOctets(shape.objectOctets, 5), shape).map((symbol) => {
      const whole = new Uint8Array(8)
      whole.set(symbol)
      return whole
    })
    for (const row of parityCheckMatrix(k, n, n1)) {
      const sum = new Uint8Array(8)
      row.forEach((one, symbol) => {
        for (let i = 0; i < 8; i++) sum[i]! ^= one * padded[symbol]![i]!
      })
      expect(sum).toEqual(new Uint8Array(8))
    }
  })

  test('an object is whole at the very symbol at which the matrix determines it, and is the object', () => {
    fc.assert(
      fc.property(fc.integer({ min: 8, max: 45 }), fc.integer({ min: 7, max: 40 }), fc.nat(), (k, m, seed) => {
        const shape = shapeOf(k, k + m, 3 + (seed % 5))
        const object = seededOctets(shape.objectOctets, seed)
        const symbols = symbolsOf(object, shape)
        const [matrix, decoder] = [parityCheckMatrix(k, k + m, shape.n1), new ObjectDecoder(shape)]
        const have = new Uint8Array(k + m)
        for (const symbol of shuffled([...symbols.keys()], seed)) {
          have[symbol] = 1
          const taken = decoder.take(symbol, symbols[symbol]!)
          expect(taken).toBe(determines(matrix, have, k) ? 'whole' : 'kept')
          if (taken === 'whole') break
        }
        expect(decoder.object()).toEqual(object)
      }),
      { numRuns: 60 },
    )
  })

  test('k and a few symbols suffice, whichever sets of repair symbols they are from', () => {
    const [k, repair, sets] = [300, 90, 3]
    const shape = shapeOf(k, k + repair * sets, 7)
    const object = seededOctets(shape.objectOctets, 1)
    const symbols = symbolsOf(object, shape)
    for (let seed = 0; seed < 60; seed++) {
      const pass = [...symbols.keys()].filter((symbol) => symbol < k || (symbol - k) % sets === seed % sets)
      const decoder = new ObjectDecoder(shape)
      const order = shuffled(pass, seed).values()
      let taken = 0
      for (const symbol of order) {
        taken++
        if (decoder.take(symbol, symbols[symbol]!) === 'whole') break
      }
      expect(taken).toBeLessThanOrEqual(k + 15)
      expect(decoder.object()).toEqual(object)
    }
  })

  test('of any pattern of symbols gives an answer, and only the object for an answer', () => {
    const shape = shapeOf(40, 70, 7)
    const object = seededOctets(shape.objectOctets, 9)
    const symbols = symbolsOf(object, shape)
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 69 }), { maxLength: 120 }), (order) => {
        const decoder = new ObjectDecoder(shape)
        const whole = order.some((symbol) => decoder.take(symbol, symbols[symbol]!) === 'whole')
        if (whole) expect(decoder.object()).toEqual(object)
      }),
    )
  })

  test('symbols of something else give octets of the right length, for a digest to refuse', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const shape = shapeOf(20, 45, 5)
        const decoder = new ObjectDecoder(shape)
        for (const symbol of shuffled([...Array(45).keys()], seed)) {
          if (decoder.take(symbol, seededOctets(symbol === 19 ? 5 : 8, seed + symbol)) === 'whole') break
        }
        expect(decoder.object()).toHaveLength(shape.objectOctets)
      }),
    )
  })
})

describe('a decoder', () => {
  test('ignores a symbol that it holds, and tells of another one of the same number', () => {
    const shape = shapeOf(20, 30, 5)
    const decoder = new ObjectDecoder(shape)
    expect(decoder.take(3, Buffer.alloc(8, 1))).toBe('kept')
    expect(decoder.take(3, Buffer.alloc(8, 1))).toBe('repeated')
    expect(decoder.take(3, Buffer.alloc(8, 2))).toBe('contradicts')
    expect(decoder.take(3, Buffer.alloc(8, 1))).toBe('repeated')
  })

  test('needs no arithmetic where nothing is lost: source symbols in any order are the object', () => {
    const shape = { ...shapeOf(50, 50, 0), fecId: 0 as const }
    const object = seededOctets(shape.objectOctets, 2)
    const decoder = new ObjectDecoder(shape)
    const order = shuffled([...Array(50).keys()], 3)
    const taken = order.map((symbol) => decoder.take(symbol, object.subarray(symbol * 8, symbol * 8 + 8)))
    expect(taken.indexOf('whole')).toBe(49)
    expect(decoder.object()).toEqual(object)
  })
})
