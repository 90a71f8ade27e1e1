import { createHmac, createSecretKey } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { holdsMac, macOctets, sealMac } from '#gateway/oneway/mac.ts'

const octets = (minLength: number, maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength, maxLength }).map((some) => Buffer.from(some))

test("the MAC is OpenSSL's HMAC-SHA-256 over the datagram with the field zero, of any key and length", () => {
  fc.assert(
    fc.property(octets(1, 64), octets(macOctets, 9_000), fc.nat(), (secret, datagram, place) => {
      const at = place % (datagram.length - macOctets + 1)
      const before = Buffer.from(datagram)
      const key = createSecretKey(secret)
      const zeroed = Buffer.from(datagram).fill(0, at, at + macOctets)
      const expected = createHmac('sha256', secret).update(zeroed).digest().subarray(0, macOctets)
      sealMac(datagram, at, key)
      expect(datagram.subarray(at, at + macOctets)).toEqual(expected)
      zeroed.set(before.subarray(at, at + macOctets), at)
      expect(zeroed).toEqual(before) // nothing else is touched
      expect(holdsMac(datagram, at, key)).toBe(true)
      datagram[place % datagram.length]! ^= 0x80
      const spoilt = Buffer.from(datagram)
      expect(holdsMac(datagram, at, key)).toBe(false)
      expect(datagram).toEqual(spoilt)
    }),
  )
})

test('two keys in turn do not take each other for their own', () => {
  const [one, other] = [1, 2].map((octet) => createSecretKey(Buffer.alloc(32, octet))) as [never, never]
  const datagram = Buffer.alloc(100, 7)
  for (const key of [one, other, one]) {
    sealMac(datagram, 24, key)
    expect(holdsMac(datagram, 24, key)).toBe(true)
    expect(holdsMac(datagram, 24, key === one ? other : one)).toBe(false)
  }
})
