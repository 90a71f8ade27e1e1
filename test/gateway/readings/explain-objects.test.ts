import { describe, expect, test } from 'vitest'
import type { Data } from '#gateway/codec/axdr.ts'
import { encodeDateTime } from '#gateway/codec/datetime.ts'
import { encodeObis, parseObis } from '#gateway/codec/obis.ts'
import { explainObjects } from '#gateway/readings/explain-objects.ts'
import type { PushObject } from '#gateway/readings/push.ts'
import { monday } from '#test/support/meters.ts'

const object = (classId: number, obis: string, attribute: number, data: Data): PushObject => ({
  classId,
  obis: parseObis(obis),
  attribute,
  data,
})
const structure = (...elements: Data[]): Data => ({ type: 'structure', elements })
const array = (...elements: Data[]): Data => ({ type: 'array', elements })
const number = (value: number): Data => ({ type: 'double-long-unsigned', value })
const clock = (seconds: number): Data => ({ type: 'octet-string', octets: encodeDateTime(seconds) })
const kilo = structure({ type: 'integer', value: 3 }, { type: 'enum', value: 30 })
const column = (classId: number, obis: string): Data =>
  structure(
    { type: 'long-unsigned', value: classId },
    { type: 'octet-string', octets: encodeObis(parseObis(obis)) },
    { type: 'integer', value: 2 },
    { type: 'long-unsigned', value: 0 },
  )

describe('an object that was read', () => {
  test('has its scaler and unit, which are not shown beside it', () => {
    const read = [object(3, '1-0:1.8.0', 2, number(42)), object(3, '1-0:1.8.0', 3, kilo)]
    expect(explainObjects(read, 1)).toEqual([
      { obis: '1.0.1.8.0.255', name: 'active energy import, total', value: 42, scaler: 3, unit: 'Wh', time: null },
    ])
    expect(explainObjects(read, 2)[1]).toMatchObject({ value: expect.stringMatching(/^[0-9a-f]+$/), scaler: null })
  })

  test('that is a clock tells its time', () => {
    expect(explainObjects([object(8, '0-0:1.0.0', 2, clock(monday))], 1)).toMatchObject([
      { name: 'clock', time: '2026-01-12T00:00:00Z', unit: null },
    ])
  })

  test('that is a buffer is its rows, with what null-data stands for', () => {
    const rows = array(
      structure(clock(monday), number(7)),
      structure({ type: 'null-data' }, number(8)),
      structure({ type: 'null-data' }, { type: 'null-data' }),
    )
    const read = [
      object(7, '1-0:99.1.0', 2, rows),
      object(7, '1-0:99.1.0', 3, array(column(8, '0-0:1.0.0'), column(3, '1-0:1.8.0'))),
      object(7, '1-0:99.1.0', 4, number(900)),
      object(3, '1-0:1.8.0', 3, kilo),
    ]
    expect(explainObjects(read, 1).map(({ time, value, scaler, unit }) => [time, value, scaler, unit])).toEqual([
      ['2026-01-12T00:00:00Z', 7, 3, 'Wh'],
      ['2026-01-12T00:15:00Z', 8, 3, 'Wh'],
      ['2026-01-12T00:30:00Z', 8, 3, 'Wh'],
    ])
  })

  test('that is a buffer whose columns nobody knows is its octets', () => {
    expect(explainObjects([object(7, '1-0:99.1.0', 2, array(structure(number(1))))], 1)).toMatchObject([
      { value: '01010201' + '0600000001', time: null },
    ])
  })

  test('that is a buffer whose rows do not fit its columns is a fault', () => {
    const columns = object(7, '1-0:99.1.0', 3, array(column(8, '0-0:1.0.0'), column(3, '1-0:1.8.0')))
    const buffer = object(7, '1-0:99.1.0', 2, array(structure(clock(monday))))
    expect(() => explainObjects([buffer, columns], 1)).toThrow(/a row is not 2 columns/)
  })
})
