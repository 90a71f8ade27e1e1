import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import {
  type BatchHeader,
  batchOctetsMax,
  decodeHeader,
  decodeSealedBatch,
  decodeSeries,
  encodeHeader,
  encodeSealedBatch,
  encodeSeries,
  endSecondsMax,
  type SealedSeries,
} from '#gateway/codec/batch.ts'
import { type Downlink, decodeDownlink, encodeDownlink } from '#gateway/codec/downlink.ts'
import { encodeObis, parseObis } from '#gateway/codec/obis.ts'
import { decodeUplink, encodeUplink, framings, type Uplink } from '#gateway/codec/uplink.ts'
import { PeerError } from '#gateway/errors.ts'
import { concentratorId, type ExactInteger, systemTitle } from '#gateway/model.ts'

const proto = protobuf.loadSync(fileURLToPath(new URL('../../../gateway/codec/ami.proto', import.meta.url)))
const judge = (name: string): protobuf.Type => proto.lookupType(`ami.v1.${name}`)
/** 64-bit numbers as text: nothing is lost in either direction. */
const asText = { longs: String, bytes: String, enums: Number, defaults: true, arrays: true } as const

const octets = (options: { min?: number; max?: number } = {}) =>
  fc.uint8Array({ minLength: options.min ?? 0, maxLength: options.max ?? 40 })
const title = octets({ min: 8, max: 8 }).map(systemTitle)
const u32 = fc.nat({ max: 0xffffffff })
const safe = fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constantFrom(0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER))
const int64: fc.Arbitrary<ExactInteger> = fc
  .oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n, -(2n ** 53n), 2n ** 53n - 1n, 1n - 2n ** 53n),
    fc.constantFrom(0n, 1n, -1n, 2n ** 32n, -(2n ** 32n), 2n ** 31n, -(2n ** 31n)),
  )
  .map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value))

const frame = fc.record({
  systemTitle: title,
  framing: fc.constantFrom(...framings),
  apdu: octets(),
  receivedAtMs: safe,
  link: fc.record({ lqi: u32, hops: u32 }),
})
const body: fc.Arbitrary<Uplink['body']> = fc.oneof(
  fc.array(frame, { maxLength: 4 }).map((frames) => ({ kind: 'reading-batch' as const, frames })),
  fc
    .record({ uptimeSeconds: safe, metersRegistered: u32, framesWaiting: u32 })
    .map((heartbeat) => ({ kind: 'heartbeat' as const, ...heartbeat })),
  fc
    .record({ kind: fc.constantFrom('event' as const, 'topology' as const), seed: u32 })
    .map(({ kind, seed }) => ({ kind, octets: otherOctets(kind, seed) })),
  fc
    .record({ commandId: octets({ min: 16, max: 16 }), status: u32, apdu: octets() })
    .map((result) => ({ kind: 'command-result' as const, ...result })),
)
const uplink: fc.Arbitrary<Uplink> = fc.record({
  concentrator: fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/).map(concentratorId),
  sequence: safe,
  sentAtMs: safe,
  body,
})

function otherOctets(kind: 'event' | 'topology', seed: number): Uint8Array {
  const values = {
    event: ['Event', { code: seed, atMs: seed }],
    topology: ['Topology', { nodes: [{ systemTitle: Buffer.alloc(8, seed), shortAddress: seed & 0xffff }] }],
  } as const
  const [name, value] = values[kind]
  return Uint8Array.from(judge(name).encode(judge(name).fromObject(value)).finish())
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const hexBase64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64')

/** An uplink as the judge writes it. */
function judged({ concentrator, sequence, sentAtMs, body }: Uplink): Record<string, unknown> {
  const head = { concentratorId: concentrator, sequence: String(sequence), sentAtMs: String(sentAtMs) }
  if (body.kind === 'reading-batch') {
    const frames = body.frames.map(({ systemTitle: title, framing, apdu, receivedAtMs, link }) => ({
      systemTitle: hexBase64(title),
      framing: framings.indexOf(framing),
      apdu: base64(apdu),
      receivedAtMs: String(receivedAtMs),
      link,
    }))
    return { ...head, readingBatch: { frames } }
  }
  if (body.kind === 'heartbeat') {
    const { uptimeSeconds, metersRegistered, framesWaiting } = body
    return { ...head, heartbeat: { uptimeS: String(uptimeSeconds), metersRegistered, framesWaiting } }
  }
  if (body.kind === 'command-result') {
    const { commandId, status, apdu } = body
    return { ...head, commandResult: { commandId: base64(commandId), status, apdu: base64(apdu) } }
  }
  const [field, name] = {
    event: ['event', 'Event'],
    topology: ['topology', 'Topology'],
  }[body.kind] as [string, string]
  return { ...head, [field]: judge(name).toObject(judge(name).decode(body.octets), asText) }
}

const series: fc.Arbitrary<SealedSeries> = fc
  .record({
    meter: title,
    obis: fc.constantFrom(parseObis('1-0:1.29.0'), parseObis('1-0:2.8.0'), parseObis('7-1:3.0.0*255')),
    scaler: fc.integer({ min: -128, max: 127 }),
    unit: fc.nat({ max: 255 }),
    rows: fc.array(fc.record({ step: fc.nat({ max: 1e6 }), value: int64, quality: u32, revision: fc.nat(255) }), {
      minLength: 1,
      maxLength: 30,
    }),
    first: fc.oneof(fc.nat(), fc.constantFrom(0, endSecondsMax - 3e7)),
    plain: fc.boolean(),
  })
  .map(({ rows, first, plain, ...rest }) => {
    let end = first
    return {
      ...rest,
      ends: rows.map(({ step }) => (end += step)),
      values: rows.map(({ value }) => value),
      qualities: rows.map(({ quality }) => (plain ? 0 : quality)),
      revisions: rows.map(({ revision }) => (plain ? 0 : revision)),
    }
  })

const header: fc.Arbitrary<BatchHeader> = fc
  .record({
    epoch: u32,
    sequence: safe.map((n) => Math.max(n, 1)),
    createdAtMs: safe,
    previous: octets({ min: 32, max: 32 }),
    seriesCount: u32,
    readingCount: u32,
    root: octets({ min: 32, max: 32 }),
  })
  .map((all) => ({ ...all, previous: all.sequence === 1 ? new Uint8Array(0) : all.previous }))

/** Octets as hex throughout: a `Buffer` and a `Uint8Array` of the same octets are the same here. */
function bare(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(bare)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, bare(one)]))
}

/** Any octets give a value or a `PeerError`. @returns whether they gave a value */
function tame(decode: (octets: Uint8Array) => unknown, input: Uint8Array): boolean {
  try {
    decode(input)
    return true
  } catch (error) {
    if (!(error instanceof PeerError)) throw error
    return false
  }
}

const downlink: fc.Arbitrary<Downlink> = fc.record({
  commandId: octets({ min: 16, max: 16 }),
  expiresAtMs: safe,
  meter: title,
  framing: fc.constantFrom(...framings),
  apdu: octets({ min: 1 }),
})

function judgedDownlink({ commandId, expiresAtMs, meter, framing, apdu }: Downlink): Record<string, unknown> {
  return {
    commandId: base64(commandId),
    expiresAtMs: String(expiresAtMs),
    systemTitle: hexBase64(meter),
    framing: framings.indexOf(framing),
    apdu: base64(apdu),
  }
}

describe('a downlink', () => {
  test('comes back from its own octets', () => {
    fc.assert(fc.property(downlink, (one) => void expect(bare(decodeDownlink(encodeDownlink(one)))).toEqual(bare(one))))
  })

  test('is what ami.proto says, both ways', () => {
    fc.assert(
      fc.property(downlink, (one) => {
        const type = judge('Downlink')
        expect(type.toObject(type.decode(encodeDownlink(one)), asText)).toEqual(judgedDownlink(one))
        expect(bare(decodeDownlink(type.encode(type.fromObject(judgedDownlink(one))).finish()))).toEqual(bare(one))
      }),
    )
  })

  test('of any octets, and with any octet changed or cut, gives a value or a fault', () => {
    fc.assert(fc.property(octets({ max: 200 }), (input) => void tame(decodeDownlink, input)))
    fc.assert(
      fc.property(downlink, fc.nat(), fc.integer({ min: 1, max: 255 }), (one, at, what) => {
        const good = encodeDownlink(one)
        const flipped = Uint8Array.from(good)
        flipped[at % good.length]! ^= what
        tame(decodeDownlink, flipped)
        tame(decodeDownlink, good.subarray(0, at % good.length))
      }),
    )
  })

  test('without its id, its meter or an APDU is a fault', () => {
    const whole: Downlink = {
      commandId: new Uint8Array(16),
      expiresAtMs: 1,
      meter: 'aa'.repeat(8) as Downlink['meter'],
      framing: 'wrapper',
      apdu: Uint8Array.of(1),
    }
    expect(tame(decodeDownlink, encodeDownlink(whole))).toBe(true)
    const broken = [{ commandId: new Uint8Array(15) }, { meter: 'aa' as Downlink['meter'] }, { apdu: new Uint8Array() }]
    for (const part of broken) expect(tame(decodeDownlink, encodeDownlink({ ...whole, ...part }))).toBe(false)
  })
})

describe('an uplink', () => {
  test('comes back from its own octets', () => {
    fc.assert(fc.property(uplink, (one) => void expect(bare(decodeUplink(encodeUplink(one)))).toEqual(bare(one))))
  })

  test('is what ami.proto says, written by us and read by protobufjs', () => {
    fc.assert(
      fc.property(uplink, (one) => {
        const read = judge('Uplink').toObject(judge('Uplink').decode(encodeUplink(one)), asText)
        expect(read).toEqual(judged(one))
      }),
    )
  })

  test('is what ami.proto says, written by protobufjs and read by us', () => {
    fc.assert(
      fc.property(uplink, (one) => {
        const written = judge('Uplink')
          .encode(judge('Uplink').fromObject(judged(one)))
          .finish()
        expect(bare(decodeUplink(written))).toEqual(bare(one))
      }),
    )
  })

  test('of any octets gives a value or a fault', () => {
    fc.assert(fc.property(octets({ max: 200 }), (input) => void tame(decodeUplink, input)))
  })

  test('with any octet changed, cut or added gives a value or a fault', () => {
    fc.assert(
      fc.property(uplink, fc.nat(), u32, (one, at, what) => {
        const good = encodeUplink(one)
        const flipped = Uint8Array.from(good)
        flipped[at % good.length]! ^= what & 0xff || 1
        tame(decodeUplink, flipped)
        tame(decodeUplink, good.subarray(0, at % good.length))
        tame(decodeUplink, Uint8Array.from([...good, what & 0xff, what >>> 24]))
      }),
    )
  })

  test('a field of a later version is skipped', () => {
    const one = { concentrator: concentratorId('dc-1'), sequence: 1, sentAtMs: 2, body: { kind: 'heartbeat' } } as const
    const good = encodeUplink({
      ...one,
      body: { ...one.body, uptimeSeconds: 3, metersRegistered: 4, framesWaiting: 5 },
    })
    expect(decodeUplink(Uint8Array.from([...good, 0xa0, 0x06, 7]))).toEqual(decodeUplink(good)) // field 100, varint
  })

  test.for([
    ['a sequence of 2^53', { sequence: String(2n ** 53n) }, 'UPLINK_MALFORMED'],
    ['a sequence of 2^64 - 1', { sequence: String(2n ** 64n - 1n) }, 'UPLINK_MALFORMED'],
    ['no body', {}, 'UPLINK_MALFORMED'],
    ['a name that climbs', { concentratorId: '../dc', heartbeat: {} }, 'UPLINK_IDENTITY'],
    ['an empty name', { concentratorId: '', heartbeat: {} }, 'UPLINK_IDENTITY'],
    ['1,001 frames', { readingBatch: { frames: Array.from({ length: 1_001 }, () => ({})) } }, 'UPLINK_LIMIT'],
  ] as const)('with %s is refused with its code', ([, fields, code]) => {
    const written = judge('Uplink')
      .encode(judge('Uplink').fromObject({ concentratorId: 'dc-1', ...fields }))
      .finish()
    expect(() => decodeUplink(written)).toThrow(expect.objectContaining({ code }))
  })

  test.for([
    ['a system title of seven octets', { systemTitle: Buffer.alloc(7) }, 'SYSTEM_TITLE'],
    ['a framing that is not named', { systemTitle: Buffer.alloc(8), framing: 9 }, 'UPLINK_MALFORMED'],
    ['65,537 octets', { systemTitle: Buffer.alloc(8), apdu: Buffer.alloc(65_537) }, 'UPLINK_LIMIT'],
  ] as const)('a frame with %s is refused alone', ([, fields, code]) => {
    const good = { systemTitle: Buffer.alloc(8, 1), apdu: Buffer.of(1) }
    const written = judge('Uplink')
      .encode(judge('Uplink').create({ concentratorId: 'dc-1', readingBatch: { frames: [good, fields, good] } }))
      .finish()
    const { body } = decodeUplink(written)
    if (body.kind !== 'reading-batch') throw new Error(body.kind)
    expect(body.frames.map(({ systemTitle: one }) => one)).toEqual(['0101010101010101', '0101010101010101'])
    expect(body.refused?.map(({ fault }) => fault.code)).toEqual([code])
  })
})

describe('a series', () => {
  test('comes back from its own octets, at 64-bit extremes too', () => {
    fc.assert(
      fc.property(series, (one) => void expect(decodeSeries(encodeSeries(one))).toEqual(one)),
      { numRuns: 300 },
    )
  })

  test('is what ami.proto says, octet for octet in both directions', () => {
    fc.assert(
      fc.property(series, (one) => {
        let before = 0
        const message = {
          meter: hexBase64(one.meter),
          obis: base64(encodeObis(one.obis)),
          scaler: one.scaler,
          unit: one.unit,
          ends: one.ends.map((end) => {
            const step = end - before
            before = end
            return String(step)
          }),
          values: one.values.map(String),
          qualities: one.qualities.some((word) => word !== 0) ? one.qualities : [],
          revisions: one.revisions.some((word) => word !== 0) ? one.revisions : [],
        }
        expect(judge('Series').toObject(judge('Series').decode(encodeSeries(one)), asText)).toEqual(message)
        const { scaler, unit, ...rest } = message
        const sparse = { ...rest, ...(scaler === 0 ? {} : { scaler }), ...(unit === 0 ? {} : { unit }) }
        const written = judge('Series').encode(judge('Series').fromObject(sparse)).finish()
        expect([...written]).toEqual([...encodeSeries(one)])
      }),
      { numRuns: 300 },
    )
  })

  const one: SealedSeries = {
    meter: systemTitle(Buffer.from('414d490000000001', 'hex')),
    obis: parseObis('1-0:1.29.0'),
    scaler: 0,
    unit: 30,
    ends: [900, 1_800],
    values: [1, 2],
    qualities: [0, 0],
    revisions: [0, 0],
  }
  const good = Buffer.from(encodeSeries(one))
  const at = (tag: number): number => good.indexOf(tag, 18) // behind meter and obis

  test.for([
    ['an unknown field', Buffer.concat([good, Buffer.of(0x48, 1)])],
    ['a default written out', Buffer.concat([good.subarray(0, at(0x20)), Buffer.of(0x18, 0), good.subarray(at(0x20))])],
    ['a field twice', Buffer.concat([good.subarray(0, 10), good])],
    ['fields in another order', Buffer.concat([good.subarray(10), good.subarray(0, 10)])],
    [
      'a long varint',
      Buffer.concat([good.subarray(0, at(0x20)), Buffer.of(0x20, 0x9e, 0), good.subarray(at(0x20) + 2)]),
    ],
    ['qualities that are all zero', Buffer.concat([good, Buffer.of(0x3a, 2, 0, 0)])],
    ['a list too short', Buffer.concat([good, Buffer.of(0x3a, 1, 1)])],
    ['a list that ends beyond the octets', Buffer.concat([good, Buffer.of(0x3a, 9, 1)])],
    ['an octet missing', good.subarray(0, -1)],
    ['no meter', good.subarray(10)],
    ['no OBIS code', Buffer.concat([good.subarray(0, 10), good.subarray(18)])],
    ['a meter of seven octets', Buffer.concat([Buffer.of(10, 7), good.subarray(2, 9), good.subarray(10)])],
    ['nothing at all', Buffer.alloc(0)],
  ] as const)('with %s is refused', ([, input]) => {
    expect(decodeSeries(good)).toEqual(one)
    expect(() => decodeSeries(input)).toThrow(expect.objectContaining({ code: 'BATCH_MALFORMED' }))
  })

  test.for([
    ['no readings', { ends: [], values: [], qualities: [], revisions: [] }],
    ['ends beyond the year 9999', { ends: [endSecondsMax, endSecondsMax + 1] }],
    ['ends that run backward', { ends: [1_800, 900] }],
    ['a scaler no octet holds', { scaler: 128 }],
    ['a unit no octet holds', { unit: 256 }],
    ['a revision beyond 255', { revisions: [0, 256] }],
    ['lists that differ in length', { values: [1] }],
  ] as const)('with %s is refused', ([, fields]) => {
    expect(tame(decodeSeries, encodeSeries({ ...one, ...fields } as SealedSeries))).toBe(false)
  })

  test('there is one form: whatever is taken is what would be written', () => {
    fc.assert(
      fc.property(series, fc.nat(), fc.nat({ max: 254 }), (some, where, by) => {
        const changed = Uint8Array.from(encodeSeries(some))
        changed[where % changed.length]! ^= by + 1
        if (tame(decodeSeries, changed)) expect([...encodeSeries(decodeSeries(changed))]).toEqual([...changed])
      }),
      { numRuns: 300 },
    )
    fc.assert(fc.property(octets({ max: 60 }), (input) => void tame(decodeSeries, input)))
    for (let at = 0; at < good.length; at++) {
      for (let octet = 0; octet < 256; octet++) {
        const changed = Uint8Array.from(good)
        changed[at] = octet
        if (tame(decodeSeries, changed)) expect([...encodeSeries(decodeSeries(changed))]).toEqual([...changed])
      }
    }
  })
})

describe('a batch header', () => {
  test('is what ami.proto says, in both directions', () => {
    fc.assert(
      fc.property(header, (one) => {
        const message = {
          ...one,
          sequence: String(one.sequence),
          createdAtMs: String(one.createdAtMs),
          previous: base64(one.previous),
          root: base64(one.root),
        }
        const written = encodeHeader(one)
        expect(judge('BatchHeader').toObject(judge('BatchHeader').decode(written), asText)).toEqual(message)
        expect(bare(decodeHeader(written))).toEqual(bare(one))
      }),
    )
  })

  test('there is one form, and any octets give a value or a fault', () => {
    fc.assert(
      fc.property(header, fc.nat(), fc.nat({ max: 254 }), (one, where, by) => {
        const changed = Uint8Array.from(encodeHeader(one))
        changed[where % changed.length]! ^= by + 1
        if (tame(decodeHeader, changed)) expect([...encodeHeader(decodeHeader(changed))]).toEqual([...changed])
        expect(tame(decodeHeader, Buffer.concat([encodeHeader(one), Buffer.of(0x40, 1)]))).toBe(false)
      }),
      { numRuns: 300 },
    )
    fc.assert(fc.property(octets({ max: 60 }), (input) => void tame(decodeHeader, input)))
  })

  const whole = {
    epoch: 1,
    sequence: 2,
    createdAtMs: 3,
    previous: Buffer.alloc(32, 1),
    seriesCount: 1,
    readingCount: 1,
    root: Buffer.alloc(32, 2),
  }
  test.for([
    ['sequence 0', { sequence: 0 }],
    ['no root', { root: Buffer.alloc(0) }],
    ['a root of 31 octets', { root: Buffer.alloc(31, 1) }],
    ['a predecessor of 33 octets', { previous: Buffer.alloc(33, 1) }],
    ['no predecessor and not the first', { previous: Buffer.alloc(0) }],
    ['a predecessor and the first', { sequence: 1 }],
  ] as const)('with %s is refused', ([, fields]) => {
    expect(tame(decodeHeader, encodeHeader(whole))).toBe(true)
    expect(tame(decodeHeader, encodeHeader({ ...whole, ...fields }))).toBe(false)
  })
})

describe('a sealed batch', () => {
  test('is what ami.proto says, in both directions', () => {
    fc.assert(
      fc.property(
        octets({ min: 1 }),
        octets({ min: 1 }),
        fc.array(octets(), { maxLength: 5 }),
        (head, signature, all) => {
          const batch = { header: head, signature, series: all }
          const written = encodeSealedBatch(batch)
          const message = { header: base64(head), signature: base64(signature), series: all.map(base64) }
          expect(judge('SealedBatch').toObject(judge('SealedBatch').decode(written), asText)).toEqual(message)
          expect([...judge('SealedBatch').encode(judge('SealedBatch').fromObject(message)).finish()]).toEqual([
            ...written,
          ])
          expect(bare(decodeSealedBatch(written))).toEqual(bare(batch))
        },
      ),
    )
    fc.assert(fc.property(octets({ max: 100 }), (input) => void tame(decodeSealedBatch, input)))
  })

  test('of more series than a gateway ever seals, or more octets, is refused before it is taken apart', () => {
    const many = (count: number): Uint8Array =>
      encodeSealedBatch({ header: Buffer.of(1), signature: Buffer.of(1), series: Array(count).fill(Buffer.alloc(0)) })
    expect(tame(decodeSealedBatch, many(65_536))).toBe(true)
    expect(tame(decodeSealedBatch, many(65_537))).toBe(false)
    expect(tame(decodeSealedBatch, Buffer.alloc(batchOctetsMax + 1))).toBe(false)
  })
})
