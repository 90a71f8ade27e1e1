import { describe, expect, test } from 'vitest'
import type { Data } from '#gateway/codec/axdr.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import type { PeerFault } from '#gateway/errors.ts'
import { parseSystemTitle, quality, type Series } from '#gateway/model.ts'
import { interpret } from '#gateway/readings/interpret.ts'
import {
  a,
  attribute,
  clock,
  i8,
  name,
  newYear,
  nothing,
  notification,
  s,
  scale,
  text,
  u8,
  u16,
  u32,
  unit,
} from './build.ts'

const meter = parseSystemTitle('414d490000000001')
const wh = scale(0, 30)

function one(obis: string, value: number | bigint, more: Partial<Series> = {}): Series {
  return {
    meter,
    obis: parseObis(obis),
    scaler: 0,
    unit: 30,
    ends: [newYear],
    values: [value],
    qualities: [0],
    ...more,
  }
}

const forms: Record<string, Data> = {
  'an array of { name, value, { scaler, unit } }': a(
    s(name('0-0:96.1.0'), text('7359992890941742')),
    s(name('1-0:1.8.0'), u32(7), scale(1, 30)),
    s(name('1-0:32.7.0'), u16(2300), scale(-1, 35)),
  ),
  'the scaler before the value': a(
    s(name('1-0:1.8.0'), scale(1, 30), u32(7)),
    s(name('1-0:32.7.0'), scale(-1, 35), u16(2300)),
  ),
  'scaler and unit without a structure': a(
    s(name('1-0:1.8.0'), u32(7), i8(1), unit(30)),
    s(name('1-0:32.7.0'), u16(2300), i8(-1), unit(35)),
  ),
  'value, scaler and unit in one structure': s(
    name('1-0:1.8.0'),
    s(u32(7), scale(1, 30)),
    name('1-0:32.7.0'),
    s(u16(2300), scale(-1, 35)),
  ),
  'a flat list with a version and absent phases': s(
    text('LIST_V0001'),
    name('1-0:1.8.0'),
    u32(7),
    scale(1, 30),
    nothing,
    nothing,
    name('1-0:32.7.0'),
    u16(2300),
    scale(-1, 35),
  ),
  'a clock and a title in front': s(
    name('0-8:25.9.0'),
    name('1-0:1.8.0'),
    u32(7),
    scale(1, 30),
    name('1-0:32.7.0'),
    u16(2300),
    scale(-1, 35),
  ),
  'a push object list with scaler units beside': s(
    a(
      attribute(40, '0-0:25.9.0', 2),
      attribute(1, '0-0:42.0.0', 2),
      attribute(3, '1-0:1.8.0', 3),
      attribute(3, '1-0:1.8.0', 2),
      attribute(4, '1-0:32.7.0', 2),
      attribute(4, '1-0:32.7.0', 3),
    ),
    text('meter'),
    scale(1, 30),
    u32(7),
    u16(2300),
    scale(-1, 35),
  ),
  'a push object list that does not name itself': s(
    a(
      attribute(3, '1-0:1.8.0', 3),
      attribute(3, '1-0:1.8.0', 2),
      attribute(4, '1-0:32.7.0', 3),
      attribute(4, '1-0:32.7.0', 2),
    ),
    scale(1, 30),
    u32(7),
    scale(-1, 35),
    u16(2300),
  ),
  'whole objects, attribute 0': s(
    a(attribute(3, '1-0:1.8.0', 0), attribute(3, '1-0:32.7.0', 0)),
    s(name('1-0:1.8.0'), u32(7), scale(1, 30)),
    s(name('1-0:32.7.0'), u16(2300), scale(-1, 35)),
  ),
  'attributes in line': a(
    s(u16(3), name('1-0:1.8.0'), i8(2), u32(7), scale(1, 30)),
    s(u16(3), name('1-0:32.7.0'), i8(2), u16(0), u16(2300), scale(-1, 35)),
  ),
}

describe('register pushes', () => {
  test.each(Object.entries(forms))('%s', (_, body) => {
    const energy = one('1-0:1.8.0', 7, { scaler: 1 })
    const voltage = one('1-0:32.7.0', 2300, { scaler: -1, unit: 35 })
    expect(interpret(notification(body), meter)).toEqual([energy, voltage])
  })

  test('take the pushed clock before the notification, with its doubts', () => {
    const body = a(s(name('0-0:1.0.0'), clock(newYear + 60, 2)), s(name('1-0:1.8.0'), u32(1), wh))
    const late = { ends: [newYear + 60], qualities: [quality.clockDoubtful] }
    expect(interpret(notification(body, newYear), meter)).toEqual([one('1-0:1.8.0', 1, late)])
    const doubtful = { qualities: [quality.clockDoubtful] }
    expect(interpret(notification(a(s(name('1-0:1.8.0'), u32(1), wh)), newYear, 1), meter)).toEqual([
      one('1-0:1.8.0', 1, doubtful),
    ])
  })

  test('keep 64 bits exact, and pass over abstract numbers and absent values', () => {
    const large: Data = { type: 'long64-unsigned', value: 2n ** 64n - 1n }
    const body = a(s(name('1-0:1.8.0'), large, wh), s(name('0-0:96.7.21'), u16(3)), s(name('1-0:2.8.0'), nothing, wh))
    expect(interpret(notification(body), meter)).toEqual([one('1-0:1.8.0', 2n ** 64n - 1n)])
  })

  test("pass over a register's status and what is no register", () => {
    const list = [
      attribute(4, '1-0:1.8.0', 2),
      attribute(4, '1-0:1.8.0', 3),
      attribute(4, '1-0:1.8.0', 4),
      attribute(1, '1-0:0.2.2', 2),
    ]
    const body = s(a(...list), u32(7), wh, u8(3), u8(1))
    expect(interpret(notification(body), meter)).toEqual([one('1-0:1.8.0', 7)])
  })

  test.each<[string, Data, PeerFault]>([
    ['nothing to read', text('hello'), 'PUSH_FORM'],
    ['a number without a name', s(u32(1), u32(2)), 'PUSH_VALUE'],
    ['a quantity without a unit', s(name('1-0:1.8.0'), u32(1)), 'PUSH_VALUE'],
    ['a text for a quantity', s(name('1-0:1.8.0'), text('1'), wh), 'PUSH_VALUE'],
    ['a float for a quantity', s(name('1-0:1.8.0'), { type: 'float32', value: 1 }, wh), 'PUSH_VALUE'],
    ['one channel twice', a(s(name('1-0:1.8.0'), u32(1), wh), s(name('1-0:1.8.0'), u32(2), wh)), 'PUSH_FORM'],
    ['too many channels', a(...Array.from({ length: 65 }, (_, i) => s(name(`1-0:${i}.8.0`), u32(1), wh))), 'PUSH_FORM'],
    ['a list longer than its data', s(a(attribute(3, '1-0:1.8.0', 2), attribute(3, '1-0:2.8.0', 2))), 'PUSH_FORM'],
    ['a scaler_unit that is none', s(a(attribute(3, '1-0:1.8.0', 3)), u8(1)), 'PUSH_FORM'],
  ])('with %s are refused', (_, body, code) => {
    expect(() => interpret(notification(body), meter)).toThrow(expect.objectContaining({ code }))
  })

  test('without a time are refused', () => {
    const body = a(s(name('1-0:1.8.0'), u32(1), wh))
    const untimed = { ...notification(body), dateTime: undefined }
    const local = { ...notification(body), dateTime: Uint8Array.from(Buffer.from('07e8010101000000ff800000', 'hex')) }
    for (const push of [untimed, local]) {
      expect(() => interpret(push, meter)).toThrow(expect.objectContaining({ code: 'PUSH_TIME' }))
    }
  })
})

describe('profile pushes', () => {
  const columns = a(attribute(8, '0-0:1.0.0', 2), attribute(1, '0-0:96.10.1', 2), attribute(3, '1-0:1.29.0', 2))
  const profile = (rows: Data, captured: Data = columns): Data =>
    s(
      a(
        attribute(7, '1-0:99.1.0', 2),
        attribute(3, '1-0:1.29.0', 3),
        attribute(7, '1-0:99.1.0', 3),
        attribute(40, '0-0:25.9.0', 2),
        attribute(7, '1-0:99.1.0', 4),
      ),
      rows,
      wh,
      captured,
      a(),
      u32(900),
    )

  /** The list stands fourth here, as its own entry says. */
  function inPlace(body: Data): Data {
    const [list, ...rest] = (body as { elements: Data[] }).elements
    return s(rest[0]!, rest[1]!, rest[2]!, list!, rest[4]!)
  }

  test('are read by what they name, not by place', () => {
    const rows = a(s(clock(newYear), u8(0), u32(5)), s(nothing, u8(9), nothing), s(nothing, nothing, u32(6)))
    const ends = [newYear, newYear + 900, newYear + 1800]
    const qualities = [0, quality.meterStatus, quality.meterStatus]
    expect(interpret(notification(inPlace(profile(rows))), meter)).toEqual([
      one('1-0:1.29.0', 5, { ends, values: [5, 5, 6], qualities }),
    ])
  })

  test('without rows have no series', () => {
    expect(interpret(notification(inPlace(profile(a()))), meter)).toEqual([])
  })

  test('with registers beside give both', () => {
    const body = s(
      a(
        attribute(3, '1-0:1.8.0', 2),
        attribute(3, '1-0:1.8.0', 3),
        attribute(3, '1-0:1.29.0', 3),
        attribute(7, '1-0:99.1.0', 3),
        attribute(7, '1-0:99.1.0', 2),
      ),
      u32(7),
      wh,
      wh,
      columns,
      a(s(clock(newYear), u8(0), u32(5))),
    )
    expect(interpret(notification(body), meter)).toEqual([one('1-0:1.8.0', 7), one('1-0:1.29.0', 5)])
  })

  test.each<[string, Data, PeerFault]>([
    ['a first row without a clock', a(s(nothing, u8(0), u32(5))), 'PUSH_TIME'],
    ['a first row without a value', a(s(clock(newYear), u8(0), nothing)), 'PUSH_VALUE'],
    ['a clock that is none', a(s(u8(1), u8(0), u32(5))), 'PUSH_TIME'],
    ['a clock cut short', a(s({ type: 'octet-string', octets: new Uint8Array(11) }, u8(0), u32(5))), 'PUSH_TIME'],
    ['a status that is none', a(s(clock(newYear), text('?'), u32(5))), 'PUSH_FORM'],
    ['a row that is none', a(u8(1)), 'PUSH_FORM'],
    ['a buffer that is none', u8(1), 'PUSH_FORM'],
  ])('with %s are refused', (_, rows, code) => {
    expect(() => interpret(notification(inPlace(profile(rows))), meter)).toThrow(expect.objectContaining({ code }))
  })

  test('with a column of another kind are refused', () => {
    const captured = a(attribute(8, '0-0:1.0.0', 2), attribute(1, '0-0:42.0.0', 2), attribute(3, '1-0:1.29.0', 2))
    const body = inPlace(profile(a(s(clock(newYear), u8(0), u32(5))), captured))
    expect(() => interpret(notification(body), meter)).toThrow(expect.objectContaining({ code: 'PUSH_FORM' }))
  })
})
