import { describe, expect, test } from 'vitest'
import type { Data } from '#gateway/codec/axdr.ts'
import { clockStatus, decodeDateTime, encodeDateTime, utcSeconds } from '#gateway/codec/datetime.ts'
import { decodeObis, parseObis } from '#gateway/codec/obis.ts'
import type { AssociationFacts } from '#simulator/association-object.ts'
import { localDateTime, timeOf } from '#simulator/clock-object.ts'
import { type CosemMeter, meterObjects } from '#simulator/cosem-meter.ts'
import { titleOf } from '../../cli/simulate-meter.ts'

const seed = 7
const installed = Date.UTC(2026, 1, 1) / 1000
const summer = Date.UTC(2026, 6, 1, 12) / 1000
const security = { suite: 1, systemTitle: titleOf(seed), policy: 0x6c, received: () => 41 }
const facts: Record<string, AssociationFacts> = {
  management: { client: 1, mechanism: 5, ciphered: true, security },
  public: { client: 16, mechanism: 0, ciphered: false, security },
}

function meterAt(time: { now: number }): ReturnType<typeof meterObjects> {
  return meterObjects({ seed, systemTitle: titleOf(seed), installed, now: () => time.now })
}

function at(now: number, client = 'management'): CosemMeter {
  return meterAt({ now }).view(facts[client]!)
}

function read(meter: CosemMeter, classId: number, obis: string, attribute: number): Data | number {
  const got = meter.get({ classId, obis: parseObis(obis), attribute, selection: undefined })
  return got.kind === 'data' ? got.data : got.result
}

function write(meter: CosemMeter, classId: number, obis: string, attribute: number, data: Data): number {
  return meter.set({ classId, obis: parseObis(obis), attribute, selection: undefined }, data)
}

function elements(data: Data | number | undefined): Data[] {
  return typeof data === 'object' && 'elements' in data ? data.elements : []
}

function time(data: Data | number): ReturnType<typeof decodeDateTime> {
  if (typeof data === 'number' || data.type !== 'octet-string') throw new Error('no time')
  return decodeDateTime(data.octets)
}

const clockTime = (meter: CosemMeter): ReturnType<typeof decodeDateTime> => time(read(meter, 8, '0-0:1.0.0', 2))
const shiftBy = (meter: CosemMeter, parameters: Data | undefined, method = 6): number =>
  meter.act({ classId: 8, obis: parseObis('0-0:1.0.0'), method }, parameters).result
const octets = (octets: Uint8Array): Data => ({ type: 'octet-string', octets })

describe.each(Object.keys(facts))('the object list of the %s client', (client) => {
  const meter = at(summer, client)
  const list = elements(read(meter, 15, '0-0:40.0.0', 2)).map((element) => {
    const [classId, , name, rights] = elements(element)
    if (classId?.type !== 'long-unsigned' || name?.type !== 'octet-string') throw new Error('no element')
    const [attributes, methods] = elements(rights).map((list) => {
      return elements(list).map((item) => elements(item).map((one) => ('value' in one ? Number(one.value) : -1)))
    })
    return { classId: classId.value, obis: decodeObis(name.octets), attributes: attributes!, methods: methods! }
  })

  test.each(list)('says of $classId $obis what is answered', ({ classId, obis, attributes, methods }) => {
    const wrong: Data = { type: 'null-data' }
    for (const [attribute, mode] of attributes) {
      const got = meter.get({ classId, obis, attribute: attribute!, selection: undefined })
      const set = meter.set({ classId, obis, attribute: attribute!, selection: undefined }, wrong)
      expect([attribute, got.kind === 'data', set !== 3]).toEqual([attribute, (mode! & 1) !== 0, (mode! & 2) !== 0])
    }
    for (const [method, mode] of methods) {
      if (classId === 15) continue // passes 3 and 4 are the association's, and not the object's
      const { result } = meter.act({ classId, obis, method: method! }, undefined)
      expect([method, result !== 3]).toEqual([method, mode === 1])
    }
    const beyond = Math.max(...attributes.map(([number]) => number!)) + 1
    expect(meter.get({ classId, obis, attribute: beyond, selection: undefined })).toEqual({ kind: 'error', result: 11 })
    expect(meter.set({ classId, obis, attribute: beyond, selection: undefined }, wrong)).toBe(11)
    expect(meter.act({ classId, obis, method: methods.length + 1 }, undefined).result).toBe(11)
  })

  test('has every object once', () => {
    expect(new Set(list.map(({ obis }) => obis)).size).toBe(list.length)
    expect(list).toHaveLength(client === 'public' ? 4 : 12)
  })
})

describe('an association', () => {
  test('tells who is associated, in which context and with which mechanism', () => {
    const meter = at(summer)
    expect(elements(read(meter, 15, '0-0:40.0.0', 3))).toEqual([
      { type: 'integer', value: 1 },
      { type: 'long-unsigned', value: 1 },
    ])
    expect(read(meter, 15, '0-0:40.0.0', 4)).toEqual(octets(Uint8Array.of(0x60, 0x85, 0x74, 5, 8, 1, 3)))
    expect(read(meter, 15, '0-0:40.0.0', 6)).toEqual(octets(Uint8Array.of(0x60, 0x85, 0x74, 5, 8, 2, 5)))
    expect(read(meter, 15, '0-0:40.0.0', 7)).toBe(3)
  })

  test('of the public client shows clock, name and counter, no measured value, and changes nothing', () => {
    const meter = at(summer, 'public')
    expect(read(meter, 1, '0-0:43.1.0', 2)).toEqual({ type: 'double-long-unsigned', value: 41 })
    expect(read(meter, 3, '1-0:1.8.0', 2)).toBe(4)
    expect(read(meter, 7, '1-0:99.1.0', 2)).toBe(4)
    expect(write(meter, 8, '0-0:1.0.0', 2, octets(encodeDateTime(summer)))).toBe(3)
    expect(shiftBy(meter, { type: 'long', value: 5 })).toBe(3)
  })

  test('sees what another client has changed', () => {
    const meter = meterAt({ now: summer })
    expect(shiftBy(meter.view(facts.management!), { type: 'long', value: 60 })).toBe(0)
    expect(utcSeconds(clockTime(meter.view(facts.public!)))).toBe(summer + 60)
  })
})

describe('the clock', () => {
  test.each([
    ['in winter', Date.UTC(2026, 0, 15, 12), 13, -60, 0],
    ['in summer', Date.UTC(2026, 6, 15, 12), 14, -120, clockStatus.daylight],
    ['a second before summer time', Date.UTC(2026, 2, 29, 0, 59, 59), 1, -60, 0],
    ['as summer time begins', Date.UTC(2026, 2, 29, 1), 3, -120, clockStatus.daylight],
    ['in the hour that comes twice, first', Date.UTC(2026, 9, 25, 0, 30), 2, -120, clockStatus.daylight],
    ['in the hour that comes twice, again', Date.UTC(2026, 9, 25, 1, 30), 2, -60, 0],
  ])('%s tells Brussels time, its deviation and the daylight bit', (_, utc, hour, deviationMinutes, status) => {
    const told = decodeDateTime(localDateTime(utc / 1000))
    expect(told).toMatchObject({ hour, deviationMinutes, status })
    expect(utcSeconds(told)).toBe(utc / 1000)
  })

  test('without a deviation a time is local, and of an hour that comes twice the first', () => {
    const local = (utc: number): Data => {
      const time = Buffer.from(localDateTime(utc / 1000))
      time.writeInt16BE(-0x8000, 9)
      return octets(time)
    }
    for (const utc of [Date.UTC(2026, 0, 15, 12), Date.UTC(2026, 6, 15, 12), Date.UTC(2026, 9, 25, 0, 30)]) {
      expect(timeOf(local(utc))).toBe(utc / 1000)
    }
    expect(timeOf(local(Date.UTC(2026, 9, 25, 1, 30)))).toBe(Date.UTC(2026, 9, 25, 0, 30) / 1000)
    expect(timeOf(octets(new Uint8Array(12).fill(0xff)))).toBeUndefined()
  })

  test('is set, and tells the event log the time before and behind', () => {
    const meter = at(summer)
    expect(write(meter, 8, '0-0:1.0.0', 2, octets(encodeDateTime(summer + 3_600)))).toBe(0)
    expect(utcSeconds(clockTime(meter))).toBe(summer + 3_600)
    const rows = elements(read(meter, 7, '0-0:99.98.0', 2))
      .slice(-2)
      .map(elements)
    expect(rows).toEqual([
      [octets(localDateTime(summer)), { type: 'unsigned', value: 4 }],
      [octets(localDateTime(summer + 3_600)), { type: 'unsigned', value: 5 }],
    ])
  })

  test('that is set moves no register and no row', () => {
    const meter = at(summer)
    const before = [read(meter, 3, '1-0:1.8.0', 2), read(meter, 7, '1-0:99.1.0', 2)]
    write(meter, 8, '0-0:1.0.0', 2, octets(encodeDateTime(summer + 86_400)))
    expect([read(meter, 3, '1-0:1.8.0', 2), read(meter, 7, '1-0:99.1.0', 2)]).toEqual(before)
  })

  test('is adjusted to the nearest quarter-hour and the nearest minute, and shifted by at most a quarter of an hour', () => {
    const none: Data = { type: 'integer', value: 0 }
    const meter = at(summer + 451)
    expect([shiftBy(meter, none, 3), utcSeconds(clockTime(meter))]).toEqual([0, summer + 480])
    expect([shiftBy(meter, none, 1), utcSeconds(clockTime(meter))]).toEqual([0, summer + 900])
    expect([shiftBy(meter, { type: 'long', value: -900 }), utcSeconds(clockTime(meter))]).toEqual([0, summer])
    expect(shiftBy(meter, { type: 'long', value: 901 })).toBe(13)
    expect(shiftBy(meter, undefined)).toBe(12)
    expect(shiftBy(meter, none, 4)).toBe(3)
    expect(utcSeconds(clockTime(meter))).toBe(summer)
  })

  test.each<[string, Data, number]>([
    ['nothing', { type: 'null-data' }, 12],
    ['a time with a wildcard', octets(new Uint8Array(12).fill(0xff)), 12],
    ['a day that its month does not have', octets(Buffer.from('07ea021e0700000000000000', 'hex')), 12],
    ['a year beyond a meter’s life', octets(encodeDateTime(Date.UTC(2500, 1, 1) / 1000)), 250],
  ])('is not set to %s', (_, data, result) => {
    const meter = at(summer)
    expect(write(meter, 8, '0-0:1.0.0', 2, data)).toBe(result)
    expect(utcSeconds(clockTime(meter))).toBe(summer)
  })

  test('keeps to winter time where summer time is switched off', () => {
    const meter = at(summer)
    expect(write(meter, 8, '0-0:1.0.0', 8, { type: 'boolean', value: false })).toBe(0)
    expect(clockTime(meter)).toMatchObject({ hour: 13, deviationMinutes: -60, status: 0 })
    expect(read(meter, 8, '0-0:1.0.0', 4)).toEqual({ type: 'unsigned', value: 0 })
    expect(write(meter, 8, '0-0:1.0.0', 8, { type: 'unsigned', value: 1 })).toBe(12)
  })
})

describe('other objects', () => {
  test('a message to the customer is kept as it was written, within its length', () => {
    const meter = at(summer)
    const message = octets(Buffer.from('maintenance on Monday'))
    expect(read(meter, 1, '0-0:96.13.0', 2)).toEqual(octets(new Uint8Array()))
    expect(write(meter, 1, '0-0:96.13.0', 2, message)).toBe(0)
    expect(write(meter, 1, '0-0:96.13.0', 2, octets(new Uint8Array(1_025)))).toBe(250)
    expect(read(meter, 1, '0-0:96.13.0', 2)).toEqual(octets(Uint8Array.from(Buffer.from('maintenance on Monday'))))
  })

  test('a profile is not reset, and a register neither', () => {
    const meter = at(summer)
    const reset = (classId: number, obis: string): number =>
      meter.act({ classId, obis: parseObis(obis), method: 1 }, { type: 'integer', value: 0 }).result
    expect([reset(7, '1-0:99.1.0'), reset(7, '0-0:99.98.0'), reset(3, '1-0:1.8.0')]).toEqual([3, 3, 3])
  })

  test('the event log stays within its length however often the clock is moved', () => {
    const meter = at(summer)
    for (let i = 0; i < 200; i++) shiftBy(meter, { type: 'long', value: i % 2 === 0 ? 1 : -1 })
    expect(elements(read(meter, 7, '0-0:99.98.0', 2))).toHaveLength(100)
  })
})
