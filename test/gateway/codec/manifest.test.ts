import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Checkpoint,
  checkpointsMax,
  decodeManifest,
  decodeSealedManifest,
  encodeManifest,
  encodeSealedManifest,
  type Manifest,
  manifestOctetsMax,
} from '#gateway/codec/manifest.ts'
import { PeerError } from '#gateway/errors.ts'
import { checkpointSequences } from '#gateway/oneway/manifest.ts'

const digest = (n: number): Uint8Array => new Uint8Array(32).fill(n % 251)

/** As a sender would write it, `highest` batches of `each` readings behind it. */
function manifestOf(highest: number, changes: Partial<Manifest> = {}): Manifest {
  const checkpoints = checkpointSequences(1, highest).map(
    (sequence): Checkpoint => ({
      sequence,
      digest: digest(sequence),
      createdAtMs: 1e12 + sequence,
      readingsTotal: Math.min(sequence * 7, Number.MAX_SAFE_INTEGER),
    }),
  )
  return {
    ...{ epoch: 7, number: 2, createdAtMs: 1e12, previous: digest(9), oldest: highest === 0 ? 0 : 1, highest },
    ...{ firstPassTo: highest, lastPassTo: Math.max(0, highest - 1), checkpoints, ...changes },
  }
}

function codeOf(act: () => unknown): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    if (error instanceof PeerError) return error.code
    throw error
  }
}

describe('a manifest', () => {
  test('is read as it was written, of any length of history', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 51 }), fc.integer({ min: 1, max: 2 ** 40 }), (highest, number) => {
        const one = manifestOf(highest, { number, previous: number === 1 ? new Uint8Array(0) : digest(9) })
        const read = decodeManifest(encodeManifest(one))
        expect({ ...read, checkpoints: read.checkpoints.length }).toMatchObject({ number, highest })
        expect(Buffer.from(encodeManifest(read))).toEqual(Buffer.from(encodeManifest(one)))
      }),
    )
  })

  test('does not grow with the history: under 4 KB at a million batches, under 9 KB at as many as there can be', () => {
    const octets = (highest: number): number => encodeManifest(manifestOf(highest)).length
    expect(octets(1_000_000)).toBeLessThan(4_000)
    expect([1e6, 2 ** 51].map((history) => checkpointSequences(1, history).length)).toEqual([40, 87])
    expect(octets(2 ** 50)).toBeLessThan(9_000)
    for (const history of [1, 1e3, 1e6, 1e9, 2 ** 50 - 1, 2 ** 50]) {
      expect(checkpointSequences(1, history).length).toBeLessThanOrEqual(checkpointsMax)
    }
  })

  const good = encodeManifest(manifestOf(20))
  test.for<[string, Partial<Manifest>]>([
    ['number 0', { number: 0 }],
    ['a first one that names one before', { number: 1 }],
    ['a later one that names none', { previous: new Uint8Array(0) }],
    ['a short digest', { previous: new Uint8Array(31) }],
    ['last passes ahead of first ones', { firstPassTo: 3, lastPassTo: 4 }],
    ['passes of what is not sealed', { firstPassTo: 21 }],
    ['an oldest behind the highest', { oldest: 21 }],
    ['a checkpoint behind the highest', { highest: 19, firstPassTo: 19 }],
    ['checkpoints out of order', { checkpoints: manifestOf(20).checkpoints.toReversed() }],
    [
      'totals that fall',
      { checkpoints: manifestOf(20).checkpoints.map((one, i) => ({ ...one, readingsTotal: 99 - i })) },
    ],
    [
      'a checkpoint without a digest',
      { checkpoints: [{ ...manifestOf(20).checkpoints[0]!, digest: new Uint8Array(0) }] },
    ],
    [
      'more checkpoints than there may be',
      {
        ...manifestOf(1_000),
        checkpoints: Array.from({ length: checkpointsMax + 1 }, (_, i) => ({
          ...manifestOf(1).checkpoints[0]!,
          sequence: i + 1,
        })),
      },
    ],
  ])('with %s is MANIFEST_MALFORMED', ([, changes]) => {
    expect(codeOf(() => decodeManifest(good))).toBeUndefined()
    expect(codeOf(() => decodeManifest(encodeManifest(manifestOf(20, changes))))).toBe('MANIFEST_MALFORMED')
  })

  test('of octets that are another encoding of the same, or of anything else, is MANIFEST_MALFORMED', () => {
    const others = [
      Buffer.alloc(0),
      Buffer.concat([good, Buffer.of(0x58, 1)]), // a field that nobody knows
      Buffer.from(good).subarray(17), // without its name
      Buffer.from(good).subarray(0, -1),
    ]
    expect(others.map((octets) => codeOf(() => decodeManifest(octets)))).toEqual(Array(4).fill('MANIFEST_MALFORMED'))
    fc.assert(
      fc.property(fc.nat({ max: good.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const other = Buffer.from(good)
        other[at]! ^= mask
        const code = codeOf(() => expect(Buffer.from(encodeManifest(decodeManifest(other)))).toEqual(other))
        expect([undefined, 'MANIFEST_MALFORMED']).toContain(code)
      }),
    )
  })

  test('with its signature is read as it was written, and no longer than its limit', () => {
    const sealed = { manifest: good, signature: digest(3) }
    const octets = encodeSealedManifest(sealed)
    expect(decodeSealedManifest(octets)).toEqual({ manifest: Buffer.from(good), signature: Buffer.from(digest(3)) })
    expect(codeOf(() => decodeSealedManifest(Buffer.alloc(manifestOctetsMax + 1)))).toBe('MANIFEST_MALFORMED')
    expect(codeOf(() => decodeSealedManifest(Buffer.of(8, 1)))).toBe('MANIFEST_MALFORMED')
  })
})

describe('what a manifest tells of', () => {
  test('is the last 16 and the oldest, every time, in order and within the history', () => {
    const history = fc
      .integer({ min: 1, max: 2 ** 51 })
      .chain((highest) => fc.tuple(fc.integer({ min: 1, max: highest }), fc.constant(highest)))
    fc.assert(
      fc.property(history, ([oldest, highest]) => {
        const chosen = checkpointSequences(oldest, highest)
        expect(chosen).toEqual([...new Set(chosen)].sort((a, b) => a - b))
        expect([chosen[0], chosen.at(-1)]).toEqual([oldest, highest])
        for (let i = 0; i < Math.min(16, highest - oldest + 1); i++) expect(chosen).toContain(highest - i)
      }),
    )
  })

  test('leaves no gap in the history that is longer than what has come since', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), (highest) => {
        const chosen = checkpointSequences(1, highest)
        for (let i = 1; i < chosen.length; i++) {
          expect(chosen[i]! - chosen[i - 1]!).toBeLessThanOrEqual(Math.max(1, highest - chosen[i - 1]!))
        }
      }),
    )
  })

  test('comes again in later manifests: a multiple of 64 for as long as 192 batches', () => {
    for (let highest = 64_000; highest < 64_192; highest++) expect(checkpointSequences(1, highest)).toContain(64_000)
  })
})
