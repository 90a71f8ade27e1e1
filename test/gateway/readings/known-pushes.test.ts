import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import type { Data, TypeDescription } from '#gateway/codec/axdr.ts'
import { type DataNotification, encodeDataNotification } from '#gateway/codec/notification.ts'
import { PeerError } from '#gateway/errors.ts'
import { parseSystemTitle, quality, type Series, type SystemTitle } from '#gateway/model.ts'
import { interpret } from '#gateway/readings/interpret.ts'
import { KnownPushes } from '#gateway/readings/known-pushes.ts'
import type { MeterProfile } from '#gateway/readings/meter-profile.ts'
import { obisPattern } from '#gateway/readings/obis-pattern.ts'
import { simpleData } from '../codec/arbitrary-data.ts'
import { corpusCases, hasCorpus, mustHaveCorpus } from '../codec/corpus.ts'
import { a, attribute, clock, i8, newYear, nothing, notification, o, s, scale, u8, u16, u32, unit } from './build.ts'

const [meter, other] = ['414D490000000001', '414D490000000002'].map(parseSystemTitle) as [SystemTitle, SystemTitle]
const buffer = '1-0:99.1.0'

/** The plain way, without any memory; a fault as its code. */
function plainly(octets: Uint8Array, profile?: MeterProfile, title = meter): Series[] | string {
  try {
    return interpret(decodeApdu(octets) as DataNotification, title, profile)
  } catch (fault) {
    if (fault instanceof PeerError) return fault.code
    throw fault
  }
}

function taught(octets: Uint8Array, profile?: MeterProfile): KnownPushes {
  const pushes = new KnownPushes()
  pushes.learn(octets, decodeApdu(octets) as DataNotification, profile)
  return pushes
}

/** The same as the plain way, or left to it. @returns whether it was read */
function agrees(pushes: KnownPushes, octets: Uint8Array, profile?: MeterProfile): boolean {
  const read = pushes.read(octets, { meter, profile })
  if (read !== undefined) expect(read).toStrictEqual(plainly(octets, profile))
  return read !== undefined
}

const family: MeterProfile = {
  name: 'test',
  family: 'test',
  match: { manufacturers: undefined, device: undefined, pushes: undefined },
  clock: { zone: 'Europe/Brussels', daylightBit: 'ignored' },
  dialects: [],
  units: [],
  noReadings: [],
  lists: [],
  buffers: [],
  status: [{ codes: [obisPattern('0-0:96.10.x')], bits: [{ mask: 6, quality: quality.clockDoubtful }] }],
}

type Kind = 'clock' | 'status' | 'value'

/** A push object list, capture objects, scalers, and rows between the scalers of the first columns and of the others. */
function push(kinds: readonly Kind[], rows: Data, before = kinds.length, ...more: [Data, Data][]): Uint8Array {
  const codes = kinds.map((kind, i) => ({
    kind,
    code: { clock: '0-0:1.0.0', status: `0-0:96.10.${i}`, value: `1-0:${i}.29.0` }[kind],
  }))
  const captured = codes.map(({ kind, code }) => attribute({ clock: 8, status: 1, value: 3 }[kind], code, 2))
  const scalers = codes.map(({ kind, code }, i): [Data, Data][] =>
    kind === 'value' ? [[attribute(3, code, 3), scale(i, 30)]] : [],
  )
  const objects: [Data, Data][] = [
    [attribute(7, buffer, 4), u32(900)],
    [attribute(7, buffer, 3), a(...captured)],
    ...scalers.slice(0, before).flat(),
    [attribute(7, buffer, 2), rows],
    ...scalers.slice(before).flat(),
    ...more,
  ]
  const list = a(attribute(40, '0-0:25.9.0', 2), ...objects.map(([named]) => named))
  return encodeDataNotification(notification(s(list, ...objects.map(([, data]) => data))))
}

const usualValue = fc.oneof(
  fc.nat(255).map(u8),
  fc.nat(65_535).map(u16),
  fc.nat(0xffffffff).map(u32),
  fc.integer({ min: -128, max: 127 }).map(i8),
  fc.integer({ min: -32_768, max: 32_767 }).map((value): Data => ({ type: 'long', value })),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((value): Data => ({ type: 'double-long', value })),
  fc.bigInt({ min: -(2n ** 53n) + 1n, max: 2n ** 53n - 1n }).map((value): Data => ({ type: 'long64', value })),
  fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }).map((value): Data => ({ type: 'long64-unsigned', value })),
)
const usualStatus = fc.oneof(
  fc.nat(255).map(u8),
  fc.nat(65_535).map(u16),
  fc.nat(0xffffffff).map(u32),
  fc.nat(255).map(unit),
)

/** Of a row: what is usual, seldom anything else. */
function cell(kind: Kind, row: number): fc.Arbitrary<Data> {
  const usual = {
    clock: fc
      .constantFrom(0, 0, 0, -row * 900)
      .chain((off) => fc.constantFrom(clock(newYear + row * 900 + off), inZone(row))),
    status: usualStatus,
    value: usualValue,
  }[kind]
  const [absent, strange] = row === 0 ? [0, 1] : [8, 1]
  return fc.oneof(
    { weight: 60, arbitrary: usual },
    { weight: absent, arbitrary: fc.constant(nothing) },
    { weight: strange, arbitrary: simpleData },
  )
}

/** A date-time that leaves its deviation to the zone, tagged as one. */
function inZone(row: number): Data {
  const told = clock(newYear + row * 900) as Extract<Data, { octets: Uint8Array }>
  return { type: 'date-time', octets: told.octets.with(9, 0x80).with(10, 0) }
}

interface Generated {
  kinds: readonly Kind[]
  /** two buffers of the same columns */
  rows: readonly [Data, Data]
  before: number
}

const kindLists: fc.Arbitrary<Kind[]> = fc
  .tuple(fc.array(fc.constantFrom<Kind>('value', 'value', 'status'), { maxLength: 4 }), fc.nat(5))
  .map(([kinds, at]): Kind[] => ['value', ...kinds].toSpliced(at, 0, 'clock') as Kind[])

const tagged = (kinds: readonly Kind[]): fc.Arbitrary<Data> =>
  fc
    .nat(6)
    .chain((count) =>
      fc.tuple(
        ...Array.from({ length: count }, (_, row) =>
          fc.tuple(...kinds.map((kind) => cell(kind, row))).map((cells) => s(...cells)),
        ),
      ),
    )
    .map((rows) => a(...rows))

/** The type of each column is that of its first cell; rows with other types are left out. */
const described = (kinds: readonly Kind[]): fc.Arbitrary<Data> =>
  tagged(kinds).map((data): Data => {
    const rows = data.type === 'array' ? data.elements.map((row) => (row.type === 'structure' ? row.elements : [])) : []
    const types = (rows[0] ?? kinds.map(() => u8(0))).map(({ type }) => type)
    const fitting = rows.filter((cells) => cells.every(({ type }, i) => type === types[i]))
    const description: TypeDescription = {
      type: 'structure',
      elements: types.map((type) => ({ type }) as TypeDescription),
    }
    return { type: 'compact-array', description, elements: fitting.map((cells) => s(...cells)) }
  })

const generated: fc.Arbitrary<Generated> = kindLists.chain((kinds) =>
  fc.record({
    kinds: fc.constant(kinds),
    rows: fc.tuple(tagged(kinds), fc.oneof(tagged(kinds), described(kinds))),
    before: fc.nat(kinds.length),
  }),
)

const profiles = fc.constantFrom(undefined, family)

/** One change: an octet other, one more, one less, or the end cut off. */
const damage: fc.Arbitrary<(octets: Uint8Array) => Uint8Array> = fc
  .tuple(fc.nat(), fc.nat(255), fc.constantFrom('other', 'more', 'less', 'cut'))
  .map(([place, octet, how]) => (octets) => {
    const at = place % (octets.length + 1)
    if (at === octets.length) return octets
    if (how === 'other') return octets.with(at, octet)
    if (how === 'cut') return octets.slice(0, at)
    return Uint8Array.from([
      ...octets.slice(0, at),
      ...(how === 'more' ? [octet] : []),
      ...octets.slice(how === 'more' ? at : at + 1),
    ])
  })

describe('a known push', () => {
  test('says what it says when it is read plainly, whatever its rows are', () => {
    let read = 0
    const runs = 3_000
    fc.assert(
      fc.property(generated, profiles, ({ kinds, rows, before }, profile) => {
        const pushes = taught(push(kinds, rows[0], before), profile)
        if (agrees(pushes, push(kinds, rows[1], before), profile)) read++
      }),
      { numRuns: runs },
    )
    expect(read).toBeGreaterThan(runs / 3)
  })

  test('that is damaged says no more than the plain way, which names the fault', () => {
    fc.assert(
      fc.property(
        generated,
        profiles,
        fc.array(damage, { minLength: 1, maxLength: 3 }),
        ({ kinds, rows, before }, profile, all) => {
          const pushes = taught(push(kinds, rows[0], before), profile)
          agrees(
            pushes,
            all.reduce((octets, one) => one(octets), push(kinds, rows[1], before)),
            profile,
          )
        },
      ),
      { numRuns: 3_000 },
    )
  })

  test('whose rows are damaged octet by octet says no more than the plain way', () => {
    const rows = a(s(clock(newYear), u8(0), u32(7), u16(1)), s(nothing, nothing, u32(8), u16(2)))
    const whole = push(['clock', 'status', 'value', 'value'], rows, 3)
    const pushes = taught(whole)
    expect(agrees(pushes, whole)).toBe(true)
    let read = 0
    for (let at = 0; at < whole.length; at++) {
      for (const octet of [0, 1, 2, 5, 6, 9, 10, 15, 16, 17, 18, 19, 20, 22, 25, 0x7f, 0x80, 0x81, 0x82, 0x83, 0xff]) {
        if (agrees(pushes, whole.with(at, octet))) read++
      }
      agrees(pushes, whole.slice(0, at))
    }
    expect(read).toBeGreaterThan(200)
  })

  test('of another meter is that meter’s', () => {
    const [first, second] = [1, 2].map((value) => push(['clock', 'value'], a(s(clock(newYear), u8(value)))))
    const [series] = taught(first!).read(second!, { meter: other, profile: undefined })!
    expect(series).toMatchObject({ meter: other, values: [2] })
  })

  test('is unknown under another meter profile', () => {
    const octets = push(['clock', 'value'], a(s(clock(newYear), u8(1))))
    expect(taught(octets).read(octets, { meter, profile: family })).toBeUndefined()
    expect(taught(octets, family).read(octets, { meter, profile: undefined })).toBeUndefined()
    expect(taught(octets, family).read(octets, { meter, profile: family })).toHaveLength(1)
  })

  test('is shared with nobody: who changes what was read changes no other reading', () => {
    const octets = push(['clock', 'value'], a(s(clock(newYear), u8(1))))
    const pushes = taught(octets)
    pushes.read(octets, { meter, profile: undefined })![0]!.values.push(9)
    octets.fill(0, 100)
    expect(agrees(pushes, push(['clock', 'value'], a(s(clock(newYear), u8(1)))))).toBe(true)
  })

  test.each<[string, Data]>([
    ['of a day', a(...Array.from({ length: 96 }, (_, i) => s(i === 0 ? clock(newYear) : nothing, u8(0), u32(i))))],
    ['that is empty', a()],
    ['with values that are told once', a(s(clock(newYear), u8(1), u32(7)), s(nothing, nothing, nothing))],
  ])('with a buffer %s is read', (_, rows) => {
    const kinds = ['clock', 'status', 'value'] as const
    expect(agrees(taught(push(kinds, a())), push(kinds, rows))).toBe(true)
  })

  test.each<[string, Data]>([
    ['rows that run backward', a(s(clock(newYear), u8(1)), s(clock(newYear), u8(1)))],
    ['a row too short', a(s(clock(newYear)))],
    ['no clock in its first row', a(s(nothing, u8(1)))],
    ['no value in its first row', a(s(clock(newYear), nothing))],
    ['a text', a(s(clock(newYear), o('00')))],
    ['too many rows', a(...Array.from({ length: 3_073 }, (_, i) => s(i === 0 ? clock(newYear) : nothing, u8(1))))],
    [
      'a compact-array of null-data',
      {
        type: 'compact-array',
        description: { type: 'structure', elements: [{ type: 'null-data' }, { type: 'unsigned' }] },
        elements: [s(nothing, u8(1))],
      },
    ],
    ['no buffer', u8(1)],
  ])('with %s is left to the plain way', (_, rows) => {
    expect(agrees(taught(push(['clock', 'value'], a())), push(['clock', 'value'], rows))).toBe(false)
  })

  test('whose rows could be taken for an object list is never known', () => {
    const octets = push(['value', 'status', 'value', 'value', 'clock'], a())
    expect(agrees(taught(octets), octets)).toBe(false)
  })

  test.each<[string, Data, Data]>([
    ['a register', attribute(3, '1-0:1.8.0', 2), u32(5)],
    ['a clock', attribute(8, '0-0:1.0.0', 2), clock(newYear)],
    ['another buffer', attribute(7, buffer, 2), a(s(clock(newYear), u8(1)))],
  ])('with %s beside its buffer is never known', (_, named, data) => {
    const octets = push(['clock', 'value'], a(s(clock(newYear), u8(1))), 2, [named, data])
    expect(agrees(taught(octets), octets)).toBe(false)
  })

  test('as long as a list of the meter profile’s is never known: its places might tell more', () => {
    const octets = push(['clock', 'value'], a(s(clock(newYear), u8(1))))
    const listed = { ...family, lists: [{ names: Array.from({ length: 5 }, () => undefined) }] }
    expect(agrees(taught(octets, listed), octets, listed)).toBe(false)
  })

  test('is one of 256 at most', () => {
    const pushes = new KnownPushes()
    const all = Array.from({ length: 600 }, (_, n) =>
      push(['clock', 'value'], a(s(clock(newYear), u8(1))), n % 3)
        .with(30, n % 256)
        .with(31, n >> 8),
    )
    for (const octets of all) pushes.learn(octets, decodeApdu(octets) as DataNotification, undefined)
    const kept = all.filter((octets) => pushes.read(octets, { meter, profile: undefined }) !== undefined)
    expect(kept.length).toBeGreaterThan(0)
    expect(kept.length).toBeLessThanOrEqual(256)
  })

  test('whose cells are always left to the plain way pushes no other out', () => {
    const kinds = ['clock', 'status', 'value', 'value'] as const
    const usual = push(kinds, a(s(clock(newYear), u8(0), u8(1), u8(2))), 3)
    const strange = push(kinds, a(s(clock(newYear), o('00'), u8(1), u8(2))), 4)
    const pushes = taught(usual)
    for (let n = 0; n < 9; n++) pushes.learn(strange, decodeApdu(strange) as DataNotification, undefined)
    expect([usual, strange].map((octets) => agrees(pushes, octets))).toEqual([true, false])
  })

  test('is forgotten when its constants are longer than 1 KiB', () => {
    const wide = push(['clock', ...Array.from({ length: 30 }, (): Kind => 'value')], a())
    expect(agrees(taught(wide), wide)).toBe(false)
  })

  test.each(['tagged-date-time', 'untagged-descriptors'] as const)('is never one in the dialect %s', (dialect) => {
    const octets = push(['clock', 'value'], a())
    const pushes = new KnownPushes()
    pushes.learn(octets, { ...(decodeApdu(octets) as DataNotification), dialects: [dialect] }, undefined)
    expect(pushes.read(octets, { meter, profile: undefined })).toBeUndefined()
  })
})

/** Data-notifications in clear wherever a case tells them. */
function notifications(): Uint8Array[] {
  const hex = corpusCases().flatMap(({ hex, apdus = [], expected_structure: told }) => [
    hex,
    ...apdus,
    ...[told].flat().flatMap((one) => one?.plain_hex ?? []),
  ])
  return [...new Set(hex)]
    .map((one) => Uint8Array.from(Buffer.from(one, 'hex')))
    .filter((octets) => octets[0] === 0x0f && isNotification(octets))
}

function isNotification(octets: Uint8Array): boolean {
  try {
    return decodeApdu(octets).apdu === 'data-notification'
  } catch (fault) {
    if (fault instanceof PeerError) return false
    throw fault
  }
}

const withCorpus = test.skipIf(!hasCorpus && !mustHaveCorpus)
const missing = hasCorpus ? '' : ' (no corpus beside the project)'

withCorpus(`published pushes are read as they are plainly, and damaged too${missing}`, () => {
  const all = notifications()
  expect(all.length).toBeGreaterThan(20)
  for (const octets of all) {
    for (const profile of [undefined, family]) {
      const pushes = taught(octets, profile)
      agrees(pushes, octets, profile)
      for (let at = 0; at < octets.length; at++) agrees(pushes, octets.with(at, octets[at]! ^ (1 << (at % 8))), profile)
    }
  }
})
