import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PeerError } from '#gateway/errors.ts'
import { bundleName, isBundleName, isPartialName, partialName } from '#gateway/oneway/carrier-name.ts'
import { type Bundle, encodeFrame, FrameReader, frameHeaderOctets } from '#gateway/oneway/frame.ts'
import { linkKey } from '#test/support/datagrams.ts'

const octetsMax = 1_000
const reader = new FrameReader([linkKey], octetsMax)
const bundles = fc.record({
  epoch: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  octets: fc.uint8Array({ minLength: 1, maxLength: octetsMax }).map((octets) => Buffer.from(octets)),
})

function read(frame: Buffer): Bundle {
  return reader.bundle(reader.header(frame), frame.subarray(frameHeaderOctets))
}

function faultOf(frame: Buffer): string {
  try {
    read(frame)
    return 'none'
  } catch (error) {
    if (error instanceof PeerError) return error.code
    throw error
  }
}

const good: Bundle = { epoch: 7, sequence: 2 ** 40 + 5, octets: Buffer.from('a sealed batch') }
const frameOf = (bundle: Bundle = good): Buffer => encodeFrame(bundle, linkKey).frame

describe('a frame', () => {
  test('brings a bundle across as it was', () => {
    fc.assert(fc.property(bundles, (bundle) => void expect(read(frameOf(bundle))).toEqual(bundle)))
  })

  test('is refused whichever of its bits is flipped', () => {
    const frame = frameOf()
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const changed = Buffer.from(frame)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      expect(faultOf(changed), `bit ${bit}`).toMatch(/^BUNDLE_(MALFORMED|KEY|UNAUTHENTIC|DIGEST)$/)
    }
  })

  test.for([
    ['cut within its header', 'BUNDLE_TRUNCATED', () => frameOf().subarray(0, frameHeaderOctets - 1)],
    ['cut within its batch', 'BUNDLE_TRUNCATED', () => frameOf().subarray(0, -1)],
    ['followed by an octet', 'BUNDLE_TRAILING', () => Buffer.concat([frameOf(), Buffer.of(0)])],
    ['of an empty batch', 'BUNDLE_LIMIT', () => frameOf({ ...good, octets: Buffer.alloc(0) })],
    ['of a batch beyond the limit', 'BUNDLE_LIMIT', () => frameOf({ ...good, octets: Buffer.alloc(octetsMax + 1) })],
    ['of sequence 0', 'BUNDLE_MALFORMED', () => frameOf({ ...good, sequence: 0 })],
    ['of a sequence beyond what a number holds', 'BUNDLE_MALFORMED', () => frameOf({ ...good, sequence: 2 ** 53 })],
    ['under a key that is not here', 'BUNDLE_KEY', () => encodeFrame(good, { ...linkKey, id: 14 }).frame],
    ['that is empty', 'BUNDLE_TRUNCATED', () => Buffer.alloc(0)],
    ['that is none', 'BUNDLE_MALFORMED', () => Buffer.alloc(200)],
  ] as const)('%s is refused by %s', ([, code, make]) => {
    expect(faultOf(make())).toBe(code)
  })
})

describe('the name of a bundle', () => {
  test('tells any two contents apart, and is known as a name, and the partial one as partial', () => {
    const other = { ...good, octets: Buffer.from('another batch') }
    const names = [good, other].map((bundle) => bundleName({ ...bundle, digest: encodeFrame(bundle, linkKey).digest }))
    expect(names[0]).toMatch(/^ami-0000000007-0001099511627781-[0-9a-f]{16}\.bundle$/)
    expect(names[0]).not.toBe(names[1])
    expect(names.map(isBundleName)).toEqual([true, true])
    expect(names.map(partialName).map(isBundleName)).toEqual([false, false])
    expect(names.map(partialName).map(isPartialName)).toEqual([true, true])
  })

  test.for(['', 'x', '../ami-0000000007-0000000000000001-0011223344556677.bundle', '.partial', '..partial'])(
    'is not %j',
    (name) => expect([isBundleName(name), isPartialName(name)]).toEqual([false, false]),
  )
})
