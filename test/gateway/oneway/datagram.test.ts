import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PeerError } from '#gateway/errors.ts'
import { Assembler } from '#gateway/oneway/assemble.ts'
import {
  type Datagram,
  datagramHeaderOctets,
  decodeDatagram,
  encodeDatagram,
  symbolCount,
  symbolOctetsMax,
} from '#gateway/oneway/datagram.ts'

const objectOctetsMax = 8_388_608
const epoch = 0x01020304
const sequence = 0x05_0607_0809

function datagrams(object: Uint8Array, symbolOctets: number, stream = { epoch, sequence }): Buffer[] {
  return Array.from({ length: symbolCount(object.length, symbolOctets) }, (_, symbol) =>
    encodeDatagram(object, { ...stream, symbolOctets, symbol }),
  )
}

const decode = (octets: Buffer): Datagram => decodeDatagram(octets, objectOctetsMax)

/** @returns undefined where it is refused */
function taken(octets: Buffer): Datagram | undefined {
  try {
    return decode(octets)
  } catch (error) {
    if (error instanceof PeerError && error.code === 'DATAGRAM_MALFORMED') return undefined
    throw error
  }
}

describe('a datagram', () => {
  const object = Buffer.from(Array.from({ length: 2_500 }, (_, i) => i % 251))
  const [, second, third] = datagrams(object, 1_000) as [Buffer, Buffer, Buffer]

  test('has the fields of RFC 5651, RFC 5775 and RFC 5445 where they belong', () => {
    const bits = [...second.subarray(0, 2)].map((octet) => octet.toString(2).padStart(8, '0')).join('')
    expect({
      version: bits.slice(0, 4),
      congestion: bits.slice(4, 6), // C=0: 32 bits of it
      protocolSpecific: bits.slice(6, 8),
      tsi: bits.slice(8, 9), // S=1: 32 bits, and H=0 adds no half-word
      toi: bits.slice(9, 11), // O=2: 64 bits
      half: bits.slice(11, 12),
      reserved: bits.slice(12, 14),
      closing: bits.slice(14, 16), // A, B
    }).toEqual({
      version: '0001',
      congestion: '00',
      protocolSpecific: '00',
      tsi: '1',
      toi: '10',
      half: '0',
      reserved: '00',
      closing: '00',
    })
    const headerWords = second[2]!
    expect(headerWords * 4).toBe(4 + 4 + 4 + 8 + 16) // fixed, CCI, TSI, TOI, EXT_FTI: not the FEC payload id
    expect(second[3]).toBe(0) // codepoint: FEC encoding id 0
    expect(second.subarray(4, 8).toString('hex')).toBe('00000000')
    expect(second.subarray(8, 12).toString('hex')).toBe('01020304')
    expect(second.subarray(12, 20).toString('hex')).toBe('0000000506070809')
    expect([second[20], second[21]]).toEqual([64, 4]) // HET, HEL in words
    expect(second.readUIntBE(22, 6)).toBe(2_500)
    expect(second.subarray(28, 30).toString('hex')).toBe('0000')
    expect(second.readUInt16BE(30)).toBe(1_000)
    expect(second.readUInt32BE(32)).toBe(3)
    expect(second.subarray(headerWords * 4, headerWords * 4 + 4).toString('hex')).toBe('00000001') // SBN, ESI
    expect(second.subarray(40)).toEqual(object.subarray(1_000, 2_000))
    expect(third.subarray(40)).toEqual(object.subarray(2_000))
  })

  test('comes back from its own octets', () => {
    expect(decode(third)).toEqual({
      epoch,
      sequence,
      objectOctets: 2_500,
      symbolOctets: 1_000,
      symbol: 2,
      payload: object.subarray(2_000),
    })
  })

  test('with any header bit flipped is refused, or is another place', () => {
    const place = ({ epoch, sequence, objectOctets, symbolOctets, symbol }: Datagram): string =>
      [epoch, sequence, objectOctets, symbolOctets, symbol].join()
    for (let bit = 0; bit < datagramHeaderOctets * 8; bit++) {
      const changed = Buffer.from(second)
      changed[bit >> 3]! ^= 0x80 >> (bit & 7)
      const other = taken(changed)
      if (other !== undefined) expect(place(other)).not.toBe(place(decode(second)))
    }
  })

  test('one octet shorter or longer is refused', () => {
    expect(taken(second.subarray(0, -1))).toBeUndefined()
    expect(taken(Buffer.concat([second, Buffer.of(0)]))).toBeUndefined()
    expect(taken(second.subarray(0, 39))).toBeUndefined()
    expect(taken(Buffer.alloc(0))).toBeUndefined()
  })

  test('of an object beyond the limit is refused before anything is kept', () => {
    const [first] = datagrams(Buffer.alloc(101), 50) as [Buffer]
    expect(() => decodeDatagram(first, 100)).toThrow(expect.objectContaining({ code: 'DATAGRAM_MALFORMED' }))
    expect(decodeDatagram(first, 101).objectOctets).toBe(101)
  })

  test('the zones file may ask for no symbol that a receiver refuses', () => {
    const [first] = datagrams(Buffer.alloc(10_000), 8_900) as [Buffer]
    expect(symbolOctetsMax).toBe(8_900)
    expect(decode(first).symbolOctets).toBe(8_900)
  })

  test('of any octets gives a value or a fault', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), (octets) => void taken(Buffer.from(octets))))
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 30, maxLength: 30 }), (octets) => {
        const head = Buffer.from(second.subarray(0, 50))
        head.set(octets, 10)
        taken(head)
      }),
    )
  })
})

describe('the assembler', () => {
  const generous = { openMax: 10, octetsMax: 1_000_000 }

  test('gives each object once, whatever the order and the repeats', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 400 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 90 }),
        fc.integer(),
        (objects, symbolOctets, seed) => {
          const all = objects.flatMap((object, i) => datagrams(object, symbolOctets, { epoch, sequence: i + 1 }))
          const order = shuffled([...all, ...all.slice(0, all.length >> 1)], seed)
          const assembler = new Assembler(generous)
          const whole = new Map<number, string>()
          for (const octets of order) {
            const done = assembler.take(decode(octets))
            if (done !== undefined) whole.set(done.sequence, done.octets.toString('hex'))
          }
          expect([...whole].sort(([a], [b]) => a - b)).toEqual(
            objects.map((object, i) => [i + 1, Buffer.from(object).toString('hex')]),
          )
        },
      ),
    )
  })

  test('waits for what was lost, and a later pass fills the hole', () => {
    const all = datagrams(Buffer.alloc(1_000, 7), 100).map(decode)
    const assembler = new Assembler(generous)
    expect(all.filter((_, i) => i !== 4).map((one) => assembler.take(one))).toEqual(Array(9).fill(undefined))
    expect(assembler.take(all[4]!)?.octets).toEqual(Buffer.alloc(1_000, 7))
    expect(assembler.openCount).toBe(0)
  })

  test('a datagram that lies about the length does not spoil the object of those that do not', () => {
    const honest = datagrams(Buffer.alloc(300, 1), 100).map(decode)
    const lying = datagrams(Buffer.alloc(301, 2), 100).map(decode)
    const assembler = new Assembler(generous)
    assembler.take(lying[0]!)
    assembler.take(honest[0]!)
    assembler.take(honest[1]!)
    expect(assembler.take(honest[2]!)?.octets).toEqual(Buffer.alloc(300, 1))
  })

  test('the number of objects is bounded: the one begun first makes room, and can be begun again', () => {
    const assembler = new Assembler({ openMax: 3, octetsMax: 1_000_000 })
    const of = (n: number): Datagram[] => datagrams(Buffer.alloc(200, n), 100, { epoch, sequence: n }).map(decode)
    for (let n = 1; n <= 50; n++) {
      assembler.take(of(n)[0]!)
      expect(assembler.openCount).toBeLessThanOrEqual(3)
    }
    expect(assembler.evicted).toBe(47)
    expect(assembler.take(of(50)[1]!)).toBeDefined()
    expect(assembler.take(of(1)[1]!)).toBeUndefined()
    expect(assembler.take(of(1)[0]!)).toBeDefined()
  })

  test('the octets held are bounded', () => {
    const assembler = new Assembler({ openMax: 1_000, octetsMax: 1_000 })
    for (let n = 1; n <= 20; n++) {
      assembler.take(decode(datagrams(Buffer.alloc(400), 100, { epoch, sequence: n })[0]!))
      expect(assembler.openCount * 400).toBeLessThanOrEqual(1_000)
    }
    expect(assembler.evicted).toBe(18)
  })
})

function shuffled<T>(items: readonly T[], seed: number): T[] {
  let state = seed >>> 0
  return items
    .map((item) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return { item, state }
    })
    .sort((a, b) => a.state - b.state)
    .map(({ item }) => item)
}
