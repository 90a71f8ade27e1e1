import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PacketLimit } from '#gateway/codec/packet-limit.ts'
import { PeerError } from '#gateway/errors.ts'

/** An MQTT packet with a body of this many octets. @see MQTT 3.1.1, 2.2.3 */
function packet(bodyOctets: number, type = 0x30): Buffer {
  const length: number[] = []
  for (let rest = bodyOctets, more = true; more; ) {
    const low = rest % 128
    rest = Math.floor(rest / 128)
    more = rest > 0
    length.push(more ? low | 0x80 : low)
  }
  return Buffer.concat([Buffer.of(type, ...length), Buffer.alloc(bodyOctets, 0xff)])
}

/** @returns the fault's code, and how many octets had been let through before it */
function walk(limit: PacketLimit, chunks: readonly Uint8Array[]): { code: string | undefined; before: number } {
  let before = 0
  for (const chunk of chunks) {
    try {
      limit.pass(chunk)
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      return { code: error.code, before }
    }
    before += chunk.length
  }
  return { code: undefined, before }
}

const octetwise = (octets: Uint8Array): Uint8Array[] => [...octets].map((octet) => Uint8Array.of(octet))

describe('the limit of a packet', () => {
  test('lets pass every stream of packets within it, however it is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 300 })), fc.array(fc.integer({ min: 1, max: 50 })), (bodies, cuts) => {
        const stream = Buffer.concat(bodies.map((octets) => packet(octets)))
        const chunks: Buffer[] = []
        for (let at = 0, i = 0; at < stream.length; i++) {
          const step = cuts[i % Math.max(1, cuts.length)] ?? stream.length
          chunks.push(stream.subarray(at, at + step))
          at += step
        }
        expect(walk(new PacketLimit(300), chunks).code).toBeUndefined()
      }),
    )
  })

  test.for([127, 128, 16_383, 16_384, 2_097_151, 2_097_152])(
    'at %i octets lets pass that and nothing longer',
    (limit) => {
      expect(walk(new PacketLimit(limit), [packet(limit)]).code).toBeUndefined()
      expect(walk(new PacketLimit(limit), [packet(limit + 1)]).code).toBe('PACKET_LENGTH')
    },
  )

  test('refuses by the header alone, before one octet of the body', () => {
    const header = packet((200_000_000 % 1_000_000) + 262_145).subarray(0, 4)
    const { code, before } = walk(new PacketLimit(262_144), octetwise(header))
    expect(code).toBe('PACKET_LENGTH')
    expect(before).toBeLessThan(4)
  })

  test('behind packets that are good too', () => {
    const stream = Buffer.concat([packet(10), packet(0), packet(300), packet(301)])
    expect(walk(new PacketLimit(300), octetwise(stream)).code).toBe('PACKET_LENGTH')
  })

  test('refuses a length of more than four octets, also one of zeros', () => {
    expect(walk(new PacketLimit(300), [Buffer.of(0x10, 0x80, 0x80, 0x80, 0x80, 0x00)]).code).toBe('PACKET_MALFORMED')
    expect(walk(new PacketLimit(2 ** 28), [Buffer.of(0x10, 0xff, 0xff, 0xff, 0xff)]).code).toBe('PACKET_MALFORMED')
    expect(walk(new PacketLimit(2 ** 28), [Buffer.of(0x10, 0xff, 0xff, 0xff, 0x7f)]).code).toBeUndefined()
  })

  test('any octets pass or are a fault', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => void walk(new PacketLimit(1_000), chunks)),
    )
  })
})
