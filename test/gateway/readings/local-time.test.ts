import { describe, expect, test } from 'vitest'
import { quality } from '#gateway/model.ts'
import { isTimeZone, type MeterClock, pointInTime } from '#gateway/readings/local-time.ts'

const ignored: MeterClock = { zone: 'Europe/Zurich', daylightBit: 'ignored' }
const kept: MeterClock = { ...ignored, daylightBit: 'kept' }

/** A date-time without deviation. @param hour local @param status octet in hex */
function local(date: string, hour: string, status: string): Uint8Array {
  const [year, month, day] = date.split('-').map(Number) as [number, number, number]
  const [h, m] = hour.split(':').map(Number) as [number, number]
  const octets = [year >> 8, year & 0xff, month, day, 0xff, h, m, 0, 0xff, 0x80, 0x00, Number.parseInt(status, 16)]
  return Uint8Array.from(octets)
}

function utc(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}

describe('a local time', () => {
  test.each<[string, Uint8Array, MeterClock, string]>([
    ['in winter is an hour ahead of UTC', local('2024-01-15', '12:00', '00'), ignored, '2024-01-15T11:00:00.000Z'],
    ['in summer is two', local('2024-07-15', '12:00', '00'), ignored, '2024-07-15T10:00:00.000Z'],
    [
      'with the daylight bit is two, even in winter',
      local('2024-01-15', '12:00', '80'),
      ignored,
      '2024-01-15T10:00:00.000Z',
    ],
    [
      'with a bit that is kept and clear is one, even in summer',
      local('2024-07-15', '12:00', '00'),
      kept,
      '2024-07-15T11:00:00.000Z',
    ],
    [
      'with an unspecified status is what the zone says',
      local('2024-07-15', '12:00', 'ff'),
      kept,
      '2024-07-15T10:00:00.000Z',
    ],
    [
      'in the hour that comes twice, with the bit, is the first',
      local('2024-10-27', '02:30', '80'),
      ignored,
      '2024-10-27T00:30:00.000Z',
    ],
    [
      'in the hour that comes twice, with a bit kept and clear, is the second',
      local('2024-10-27', '02:30', '00'),
      kept,
      '2024-10-27T01:30:00.000Z',
    ],
  ])('%s', (_, octets, clock, expected) => {
    const { end, doubtful } = pointInTime(octets, clock)
    expect([utc(end), doubtful]).toEqual([expected, 0])
  })

  test('with a deviation needs no zone and asks none', () => {
    const octets = local('2024-07-15', '12:00', '80')
    octets.set([0xff, 0x88], 9) // -120
    expect(utc(pointInTime(octets, { ...kept, zone: 'America/New_York' }).end)).toBe('2024-07-15T10:00:00.000Z')
    expect(utc(pointInTime(octets).end)).toBe('2024-07-15T10:00:00.000Z')
  })

  test('in the hour that comes twice is told by the one before, and a guess without one is doubtful', () => {
    const octets = local('2024-10-27', '02:30', '00')
    const first = Date.UTC(2024, 9, 27, 0, 30) / 1000
    expect(pointInTime(octets, ignored)).toEqual({ end: first, doubtful: quality.clockDoubtful })
    expect(pointInTime(octets, ignored, first - 900)).toEqual({ end: first, doubtful: 0 })
    expect(pointInTime(octets, ignored, first + 900)).toEqual({ end: first + 3600, doubtful: 0 })
  })

  test('that the zone leaves out is refused, and so is one without a zone', () => {
    for (const attempt of [
      () => pointInTime(local('2024-03-31', '02:30', '00'), ignored),
      () => pointInTime(local('2024-07-15', '12:00', '00')),
    ]) {
      expect(attempt).toThrow(expect.objectContaining({ code: 'PUSH_TIME' }))
    }
  })
})

test('time zones are known by their IANA names', () => {
  expect(['Europe/Oslo', 'UTC', 'Europe/Nowhere', '+01:00', ''].map(isTimeZone)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ])
})
