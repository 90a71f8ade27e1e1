import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ObjectShape, payloadOctets } from '#gateway/oneway/fec/block.ts'
import { ObjectDecoder } from '#gateway/oneway/fec/decoder.ts'
import { encodeRepair } from '#gateway/oneway/fec/encoder.ts'
import { judge } from '#test/support/judge.ts'
import { generator, slowProduct } from './matrices.ts'
import { seededOctets, shuffled, symbolsOf } from './samples.ts'

const shapeOf = (k: number, n: number, symbolOctets: number, short = 0): ObjectShape => ({
  fecId: 5,
  objectOctets: k * symbolOctets - short,
  symbolOctets,
  symbols: n,
  n1: 0,
})

describe('Reed-Solomon', () => {
  test.for([
    [1, 2],
    [2, 6],
    [5, 12],
    [10, 52],
    [60, 87],
    [120, 255],
  ] as const)('of %i source symbols among %i has the generator matrix of RFC 5510, 8.2', ([k, n]) => {
    const shape = shapeOf(k, n, 3)
    const object = seededOctets(shape.objectOctets, k)
    const symbols = symbolsOf(object, shape)
    const matrix = generator(k, n)
    for (let j = 0; j < n; j++) {
      const expected = [0, 1, 2].map((octet) =>
        matrix.reduce((sum, row, i) => sum ^ slowProduct(row[j]!, object[3 * i + octet]!), 0),
      )
      expect([...symbols[j]!], `symbol ${j}`).toEqual(expected)
    }
  })

  test.skipIf(!judge.zfec.here)(`zfec makes the same repair symbols${judge.zfec.note}`, () => {
    for (const [k, n] of [
      [3, 7],
      [10, 52],
      [100, 217],
      [200, 255],
    ] as const) {
      const shape = shapeOf(k, n, 32)
      const symbols = symbolsOf(seededOctets(shape.objectOctets, n), shape)
      expect(byZfec(symbols.slice(0, k), n)).toEqual(symbols.map((symbol) => Buffer.from(symbol).toString('hex')))
    }
  })

  test('every choice of 4 symbols among 9 gives the object back', () => {
    const shape = shapeOf(4, 9, 5, 3)
    const object = seededOctets(shape.objectOctets, 4)
    const symbols = symbolsOf(object, shape)
    let choices = 0
    for (let mask = 0; mask < 1 << 9; mask++) {
      const chosen = symbols.flatMap((payload, symbol) => ((mask >> symbol) & 1 ? [{ symbol, payload }] : []))
      if (chosen.length !== 4) continue
      const decoder = new ObjectDecoder(shape)
      expect(chosen.map(({ symbol, payload }) => decoder.take(symbol, payload))).toEqual([
        'kept',
        'kept',
        'kept',
        'whole',
      ])
      expect(decoder.object()).toEqual(object)
      choices++
    }
    expect(choices).toBe(126)
  })

  test('any k symbols in any order, and repeats between, give an object of any size back', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 120 }),
        fc.integer({ min: 1, max: 135 }),
        fc.integer({ min: 1, max: 40 }),
        fc.nat(),
        (k, m, symbolOctets, seed) => {
          const shape = shapeOf(k, k + m, symbolOctets, seed % symbolOctets)
          const object = seededOctets(shape.objectOctets, seed)
          const symbols = symbolsOf(object, shape)
          const decoder = new ObjectDecoder(shape)
          const chosen = shuffled([...symbols.keys()], seed).slice(0, k)
          const last = chosen.pop()!
          for (const symbol of [...chosen, ...chosen]) {
            expect(decoder.take(symbol, symbols[symbol]!)).not.toBe('whole')
          }
          expect(decoder.take(last, symbols[last]!)).toBe('whole')
          expect(decoder.object()).toEqual(object)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('the last source symbol travels without its padding', () => {
    const shape = shapeOf(3, 5, 10, 7)
    expect([0, 1, 2, 3, 4].map((symbol) => payloadOctets(shape, symbol))).toEqual([10, 10, 3, 10, 10])
    expect(encodeRepair(Buffer.alloc(23, 1), shape, [4])).toHaveLength(10)
  })
})

/**
 * zfec's points are 0, α^0, α^1 … where the RFC's are α^0, α^1 …: its block j + 1 is the RFC's symbol j, for a polynomial of degree
 * below k. So ours go in as its blocks 1 to k, it finds its own source blocks, and encodes them again.
 */
function byZfec(source: readonly Uint8Array[], n: number): string[] {
  const program = `
import sys, json, zfec
k, n, given = json.load(sys.stdin)
blocks = [bytes.fromhex(one) for one in given]
primary = zfec.Decoder(k, n + 1).decode(blocks, list(range(1, k + 1)))
made = zfec.Encoder(k, n + 1).encode(primary)
print(json.dumps([one.hex() for one in made[1:]]))
`
  const input = JSON.stringify([source.length, n, source.map((one) => Buffer.from(one).toString('hex'))])
  const { stdout, stderr } = spawnSync('/usr/bin/python3', ['-c', program], {
    input,
    encoding: 'utf8',
    timeout: 20_000,
  })
  expect(stderr).toBe('')
  return JSON.parse(stdout) as string[]
}
