import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Assembler } from '#gateway/oneway/assemble.ts'
import type { Datagram } from '#gateway/oneway/datagram.ts'
import { datagramsOf, readDatagram } from '#test/support/datagrams.ts'
import { shuffled } from './fec/samples.ts'

const epoch = 9
const generous = { openMax: 10, octetsMax: 1_000_000 }
const sent = (object: Uint8Array, sequence: number, symbolOctets: number, lossShare = 0, pass = 0): Datagram[] =>
  datagramsOf(object, { epoch, sequence, symbolOctets, lossShare, pass }).map(readDatagram)

describe('the assembler', () => {
  test('gives each object once while it is not settled, whatever the order, the repeats and the losses', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 400 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 90 }),
        fc.nat(),
        (objects, symbolOctets, seed) => {
          const all = objects.flatMap((object, i) => {
            const pass = sent(object, i + 1, symbolOctets, 0.1)
            const { shape } = pass[0]!
            return shuffled(pass, seed).slice(0, Math.ceil(shape.objectOctets / shape.symbolOctets)) // as few as it takes
          })
          const assembler = new Assembler(generous)
          const whole = shuffled([...all, ...all], seed).flatMap((one) => assembler.take(one) ?? [])
          expect(whole.map(({ sequence, octets }) => [sequence, octets.toString('hex')]).sort()).toEqual(
            objects.map((object, i) => [i + 1, Buffer.from(object).toString('hex')]),
          )
        },
      ),
    )
  })

  test('waits for what was lost, and the other repair symbols of a later pass make it good', () => {
    const object = Buffer.from(Array.from({ length: 1_000 }, (_, i) => i % 251))
    const [first, second] = [0, 1].map((pass) => sent(object, 1, 100, 0.1, pass))
    const assembler = new Assembler(generous)
    const repair = (pass: Datagram[]): Datagram[] => pass.filter(({ symbol }) => symbol >= 10)
    for (const one of repair(first!).slice(0, 5)) expect(assembler.take(one)).toBeUndefined()
    const whole = repair(second!)
      .slice(0, 5)
      .map((one) => assembler.take(one))
    expect(whole.slice(0, 4)).toEqual(Array(4).fill(undefined))
    expect(whole[4]?.octets).toEqual(object)
    expect(assembler.openCount).toBe(0)
  })

  test('takes no more of an object that is whole until it is settled, then begins it again', () => {
    const all = sent(Buffer.alloc(300, 1), 1, 100, 0.1)
    const assembler = new Assembler(generous)
    const whole = all.flatMap((one) => assembler.take(one) ?? [])
    expect(whole).toHaveLength(1)
    expect(assembler.openCount).toBe(0)
    assembler.settled(whole[0]!)
    assembler.take(all[0]!)
    expect(assembler.openCount).toBe(1)
  })

  test('an object that was sent in another shape before is not spoiled by it', () => {
    const [before, now] = [sent(Buffer.alloc(301, 2), 1, 100), sent(Buffer.alloc(300, 1), 1, 100)]
    const assembler = new Assembler(generous)
    assembler.take(before[0]!)
    assembler.take(now[0]!)
    assembler.take(now[1]!)
    expect(assembler.take(now[2]!)?.octets).toEqual(Buffer.alloc(300, 1))
  })

  test('tells of a symbol that contradicts one that it holds', () => {
    const [one, other] = [1, 2].map((n) => sent(Buffer.alloc(300, n), 1, 100)[0]!)
    const assembler = new Assembler(generous)
    assembler.take(one!)
    expect(() => assembler.take(other!)).toThrow(expect.objectContaining({ code: 'SYMBOL_CONTRADICTS' }))
    expect(assembler.openCount).toBe(1)
  })

  test('the number of objects is bounded: the one begun first makes room, and can be begun again', () => {
    const assembler = new Assembler({ openMax: 3, octetsMax: 1_000_000 })
    const of = (n: number): Datagram[] => sent(Buffer.alloc(200, n), n, 100)
    for (let n = 1; n <= 50; n++) {
      assembler.take(of(n)[0]!)
      expect(assembler.openCount).toBeLessThanOrEqual(3)
    }
    expect(assembler.evicted).toBe(47)
    expect(assembler.take(of(50)[1]!)).toBeDefined()
    expect(assembler.take(of(1)[1]!)).toBeUndefined()
    expect(assembler.take(of(1)[0]!)).toBeDefined()
  })

  test('the octets held are bounded, those of repair symbols among them', () => {
    const assembler = new Assembler({ openMax: 1_000, octetsMax: 10_000 })
    for (let n = 1; n <= 20; n++) {
      const [first] = sent(Buffer.alloc(400), n, 100, 0.1)
      assembler.take(first!)
      expect(assembler.openCount * first!.shape.symbols * 100).toBeLessThanOrEqual(10_000)
    }
    expect(assembler.evicted).toBeGreaterThan(15)
  })

  test('refuses an object that takes more than there is for all, and evicts nobody for it', () => {
    const assembler = new Assembler({ openMax: 10, octetsMax: 1_000 })
    assembler.take(sent(Buffer.alloc(300, 1), 1, 100)[0]!)
    expect(() => assembler.take(sent(Buffer.alloc(1_000, 1), 2, 100)[0]!)).toThrow(
      expect.objectContaining({ code: 'DATAGRAM_LIMIT' }),
    )
    expect([assembler.openCount, assembler.evicted]).toEqual([1, 0])
    expect(assembler.octets).toBeLessThanOrEqual(1_000)
  })

  test('knows where what is not settled can be had again; what was begun too long ago is given up, unless it is whole', () => {
    const assembler = new Assembler(generous)
    const [one, two] = [sent(Buffer.alloc(300, 1), 1, 100), sent(Buffer.alloc(300, 2), 2, 100)]
    expect(assembler.oldestMark(0)).toBeUndefined()
    assembler.take(one[0]!, 10)
    assembler.take(two[0]!, 20)
    assembler.take(one[1]!, 30)
    expect([assembler.oldestMark(0), assembler.oldestMark(11), assembler.oldestMark(21)]).toEqual([10, 20, undefined])
    const whole = assembler.take(one[2]!, 40)!
    expect(assembler.oldestMark(21)).toBe(10)
    assembler.settled(whole)
    expect(assembler.oldestMark(0)).toBe(20)
  })

  test('an object that has come through memory that another left is whole, padding and all', () => {
    const assembler = new Assembler({ openMax: 1, octetsMax: 10_000 })
    const object = Buffer.from(Array.from({ length: 950 }, (_, i) => i % 251))
    for (let round = 0; round < 3; round++) {
      for (const symbol of sent(Buffer.alloc(1_000, 0xff), 1, 100, 0.1).slice(1, 10)) assembler.take(symbol)
      const pass = sent(object, 2 + round, 100, 0.1)
      const whole = [...pass.slice(9), ...pass.slice(2, 9)].flatMap((symbol) => assembler.take(symbol) ?? [])
      expect(whole[0]?.octets).toEqual(object)
      assembler.settled(whole[0]!)
    }
  })
})
