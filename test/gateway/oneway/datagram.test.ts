import { createHmac, createSecretKey } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { datagramHeaderOctets } from '#dmz-config/zones.ts'
import { PeerError, type PeerFault } from '#gateway/errors.ts'
import { DatagramReader, DatagramWriter, datagramOctetsMax, headerOctetsMax, macAt } from '#gateway/oneway/datagram.ts'
import type { ObjectShape } from '#gateway/oneway/fec/block.ts'
import { symbolOctetsMax } from '#gateway/oneway/fti.ts'
import { type LinkKey, sealMac } from '#gateway/oneway/mac.ts'
import { datagramsOf, linkKey, readDatagram } from '#test/support/datagrams.ts'

const epoch = 0x01020304
const sequence = 0x05_0607_0809
const noCode: ObjectShape = { fecId: 0, objectOctets: 2_500, symbolOctets: 1_000, symbols: 3, n1: 0 }
const reedSolomon: ObjectShape = { fecId: 5, objectOctets: 2_500, symbolOctets: 1_000, symbols: 9, n1: 0 }
const ldpc: ObjectShape = { fecId: 3, objectOctets: 0x3456 * 100 - 1, symbolOctets: 100, symbols: 0x789a, n1: 7 }

function datagram(shape: ObjectShape, symbol: number, payload: Uint8Array, key: LinkKey = linkKey): Buffer {
  const writer = new DatagramWriter({ key, epoch, slots: 1, symbolOctets: shape.symbolOctets })
  return writer.write({ sequence, shape, symbol, payload })
}

function faultOf(octets: Buffer, reader = { read: readDatagram }): PeerFault | undefined {
  try {
    reader.read(octets)
    return undefined
  } catch (error) {
    if (error instanceof PeerError) return error.code
    throw error
  }
}

/** With these octets changed, and the MAC made right again. */
function changed(octets: Buffer, at: number, ...values: number[]): Buffer {
  const other = Buffer.from(octets)
  other.set(values, at)
  sealMac(other, macAt, linkKey.key)
  return other
}

describe('a datagram', () => {
  test('has the LCT header of RFC 5651 and the EXT_AUTH of RFC 6584 where they belong', () => {
    const octets = datagram(noCode, 1, Buffer.alloc(1_000, 7))
    const bits = [...octets.subarray(0, 2)].map((octet) => octet.toString(2).padStart(8, '0')).join('')
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
    expect(octets[2]! * 4).toBe(4 + 4 + 4 + 8 + 20 + 16) // fixed, CCI, TSI, TOI, EXT_AUTH, EXT_FTI: not the FEC payload id
    expect(octets.subarray(4, 8).toString('hex')).toBe('00000000')
    expect(octets.subarray(8, 20).toString('hex')).toBe('010203040000000506070809')
    expect(octets.subarray(20, 24).toString('hex')).toBe('01055000') // HET, HEL, ASID 5
    const zeroed = Buffer.from(octets).fill(0, 24, 40)
    expect(octets.subarray(24, 40)).toEqual(createHmac('sha256', linkKey.key).update(zeroed).digest().subarray(0, 16))
  })

  const long = Buffer.alloc(1_000, 7)
  test.for([
    [noCode, 1, long, '40040000000009c4000003e800000003', '00000001'],
    [reedSolomon, 8, long, '40030000000009c403e80309', '00000008'],
    [ldpc, 0x7899, Buffer.alloc(100), '4004000000147197006481034560789a', '00007899'],
  ] as const)('of FEC encoding id $0.fecId has its EXT_FTI and payload id', ([shape, symbol, payload, fti, id]) => {
    const octets = datagram(shape, symbol, payload)
    const end = 40 + fti.length / 2
    expect(octets[3]).toBe(shape.fecId)
    expect(octets[2]! * 4).toBe(end)
    expect(octets.subarray(40, end).toString('hex')).toBe(fti)
    expect(octets.subarray(end, end + 4).toString('hex')).toBe(id)
    expect(octets.subarray(end + 4)).toEqual(Buffer.from(payload))
    expect(readDatagram(octets)).toEqual({ epoch, sequence, shape, symbol, payload: Buffer.from(payload) })
  })

  test('any single bit flipped is refused for its MAC or its key, and nothing else of it is looked at', () => {
    const octets = datagram(reedSolomon, 2, Buffer.alloc(500, 9))
    const codes = new Set<PeerFault | undefined>()
    for (let bit = 0; bit < octets.length * 8; bit++) {
      const other = Buffer.from(octets)
      other[bit >> 3]! ^= 0x80 >> (bit & 7)
      codes.add(faultOf(other))
    }
    expect(codes).toEqual(new Set(['DATAGRAM_UNAUTHENTIC', 'DATAGRAM_KEY']))
  })

  test('is read where one of several keys holds, and not with the right key under another id', () => {
    const [old, young]: LinkKey[] = [linkKey, { id: 6, key: createSecretKey(Buffer.alloc(32, 1)) }]
    const both = new DatagramReader([old!, young!], 1e6)
    const sent = [old!, young!].map((key) => datagram(reedSolomon, 0, long, key))
    expect(sent.map((octets) => faultOf(octets, both))).toEqual([undefined, undefined])
    const later = new DatagramReader([young!], 1e6)
    expect(sent.map((octets) => faultOf(octets, later))).toEqual(['DATAGRAM_KEY', undefined])
    const mistaken = new DatagramReader([{ ...old!, id: 6 }], 1e6)
    expect(sent.map((octets) => faultOf(octets, mistaken))).toEqual(['DATAGRAM_KEY', 'DATAGRAM_UNAUTHENTIC'])
  })

  const rs = datagram(reedSolomon, 3, long)
  const large = Buffer.from(datagram(ldpc, 3, Buffer.alloc(100)))
  test.for<[string, Buffer, PeerFault]>([
    ['another version', changed(rs, 0, 0x20), 'DATAGRAM_MALFORMED'],
    ['another header length', changed(rs, 2, 14), 'DATAGRAM_MALFORMED'],
    ['an unknown codepoint', changed(rs, 3, 6), 'DATAGRAM_MALFORMED'],
    ['congestion control information', changed(rs, 7, 1), 'DATAGRAM_MALFORMED'],
    ['sequence 0', changed(rs, 12, 0, 0, 0, 0, 0, 0, 0, 0), 'DATAGRAM_MALFORMED'],
    ['a sequence beyond 2^53', changed(rs, 12, 0, 32, 0, 0), 'DATAGRAM_MALFORMED'],
    ['another extension for EXT_AUTH', changed(rs, 20, 2), 'DATAGRAM_MALFORMED'],
    ['reserved bits of EXT_AUTH', changed(rs, 23, 1), 'DATAGRAM_MALFORMED'],
    ['another extension for EXT_FTI', changed(rs, 40, 65), 'DATAGRAM_MALFORMED'],
    ['another length of EXT_FTI', changed(rs, 41, 4), 'DATAGRAM_MALFORMED'],
    ['an empty object', changed(rs, 42, 0, 0, 0, 0, 0, 0), 'DATAGRAM_LIMIT'],
    ['an object beyond the limit', changed(rs, 42, 0, 0, 0, 128, 0, 1), 'DATAGRAM_LIMIT'],
    ['a symbol length of 0', changed(rs, 48, 0, 0), 'DATAGRAM_LIMIT'],
    ['a symbol length beyond any link', changed(rs, 48, 0xff, 0xff), 'DATAGRAM_LIMIT'],
    ['a block length that the object has not', changed(rs, 50, 4), 'DATAGRAM_LIMIT'],
    ['fewer symbols than source symbols', changed(rs, 51, 2), 'DATAGRAM_LIMIT'],
    ['another block', changed(rs, 54, 1), 'DATAGRAM_MALFORMED'],
    ['a symbol that there is not', changed(rs, 55, 9), 'DATAGRAM_MALFORMED'],
    ['a shorter symbol', changed(Buffer.from(rs.subarray(0, -1)), 0, 0x10), 'DATAGRAM_MALFORMED'],
    ['symbols in groups', changed(large, 50, 0x82), 'DATAGRAM_MALFORMED'],
    ['fewer rows than ones in a column', changed(large, 53, 0x60, 0x34, 0x5c), 'DATAGRAM_LIMIT'],
  ])('authentic, with %s, is refused', ([, octets, code]) => {
    expect(faultOf(octets)).toBe(code)
  })

  test('too short or too long is refused by its length', () => {
    for (const octets of [0, 20, 55, datagramOctetsMax + 1]) {
      expect(faultOf(Buffer.alloc(octets))).toBe('DATAGRAM_LENGTH')
    }
    expect(faultOf(Buffer.alloc(56))).toBe('DATAGRAM_KEY')
  })

  test('the zones file may ask for no symbol that a receiver refuses, and leaves room for the headers', () => {
    const [first] = datagramsOf(Buffer.alloc(10_000), { epoch, sequence, symbolOctets: 8_900 })
    expect(symbolOctetsMax).toBe(8_900)
    expect(readDatagram(first!).shape.symbolOctets).toBe(8_900)
    expect(datagramHeaderOctets).toBe(headerOctetsMax)
  })

  test('of any octets gives a value or a fault, and is left as it was', () => {
    const authentic = fc.tuple(fc.uint8Array({ minLength: 56, maxLength: 90 }), fc.boolean()).map(([octets, lct]) => {
      const other = Buffer.from(octets)
      if (lct) other.set(rs.subarray(0, 52))
      other[22] = linkKey.id << 4
      sealMac(other, macAt, linkKey.key)
      return other
    })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), authentic), (octets) => {
        const given = Buffer.from(octets)
        faultOf(given)
        expect(given).toEqual(Buffer.from(octets))
      }),
    )
  })

  test('is written into memory that is used again after as many as asked for', () => {
    const writer = new DatagramWriter({ key: linkKey, epoch, slots: 3, symbolOctets: 1_000 })
    const sent = [0, 1, 2].map((symbol) =>
      writer.write({ sequence, shape: noCode, symbol, payload: long.subarray(symbol === 2 ? 500 : 0) }),
    )
    expect(sent.map((octets) => readDatagram(octets).symbol)).toEqual([0, 1, 2])
    writer.write({ sequence, shape: noCode, symbol: 1, payload: long })
    expect(sent.map((octets) => readDatagram(octets).symbol)).toEqual([1, 1, 2])
  })
})
