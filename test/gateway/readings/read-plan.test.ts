import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Data } from '#gateway/codec/axdr.ts'
import { encodeObis, parseObis } from '#gateway/codec/obis.ts'
import { type Got, getsMax, nextToRead, type Wanted } from '#gateway/readings/read-plan.ts'
import { usualClass } from '#gateway/readings/usual-class.ts'

const nothing: Got['result'] = { kind: 'data', data: { type: 'null-data' } }
const refused: Got['result'] = { kind: 'error', result: 4 }

/** Reads to the end. @param answer what the meter says */
function readAll(wanted: Wanted, answer: (name: string) => Got['result']): string[] {
  const got: Got[] = []
  for (let next = nextToRead(wanted, got); next !== undefined; next = nextToRead(wanted, got)) {
    const { classId, obis, attribute } = next
    got.push({ classId, obis, attribute, result: answer(`${classId} ${obis} ${attribute}`) })
  }
  return got.map(({ classId, obis, attribute }) => `${classId} ${obis} ${attribute}`)
}

const wants = (classId: number, obis: string, attribute = 2): Wanted => ({
  attributes: [{ classId, obis: parseObis(obis), attribute }],
  range: undefined,
})

function column(classId: number, obis: string): Data {
  return {
    type: 'structure',
    elements: [
      { type: 'long-unsigned', value: classId },
      { type: 'octet-string', octets: encodeObis(parseObis(obis)) },
      { type: 'integer', value: 2 },
      { type: 'long-unsigned', value: 0 },
    ],
  }
}

describe('what is read', () => {
  test.for([
    [3, '1-0:1.8.0', 2, ['3 1-0:1.8.0 2', '3 1-0:1.8.0 3']],
    [4, '1-0:1.6.0', 2, ['4 1-0:1.6.0 2', '4 1-0:1.6.0 3']],
    [5, '1-0:1.4.0', 3, ['5 1-0:1.4.0 3', '5 1-0:1.4.0 4']],
    [3, '1-0:1.8.0', 3, ['3 1-0:1.8.0 3']],
    [8, '0-0:1.0.0', 2, ['8 0-0:1.0.0 2']],
    [1, '0-0:42.0.0', 2, ['1 0-0:42.0.0 2']],
  ] as const)('for class %i, %s, attribute %i', ([classId, obis, attribute, all]) => {
    expect(readAll(wants(classId, obis, attribute), () => nothing)).toEqual(all)
  })

  test('of a profile is its columns, its period, and the scaler of each register in it, once', () => {
    const columns = [column(8, '0-0:1.0.0'), column(3, '1-0:1.8.0'), column(3, '1-0:2.8.0'), column(3, '1-0:1.8.0')]
    const objects: Got['result'] = { kind: 'data', data: { type: 'array', elements: columns } }
    const all = readAll(wants(7, '1-0:99.1.0'), (name) => (name === '7 1-0:99.1.0 3' ? objects : nothing))
    expect(all).toEqual(['7 1-0:99.1.0 2', '7 1-0:99.1.0 3', '7 1-0:99.1.0 4', '3 1-0:1.8.0 3', '3 1-0:2.8.0 3'])
  })

  test('beside what the meter refuses is nothing', () => {
    expect(readAll(wants(3, '1-0:1.8.0'), () => refused)).toEqual(['3 1-0:1.8.0 2'])
    expect(readAll(wants(7, '1-0:99.1.0'), () => refused)).toEqual(['7 1-0:99.1.0 2'])
  })

  test('is first what was asked for, each once, and never more than the limit', () => {
    const attribute = fc.record({
      classId: fc.constantFrom(1, 3, 4, 5, 7, 8),
      obis: fc.constantFrom('1-0:1.8.0', '1-0:2.8.0', '1-0:99.1.0', '0-0:1.0.0').map(parseObis),
      attribute: fc.integer({ min: 1, max: 5 }),
    })
    const captured = fc
      .array(fc.tuple(fc.constantFrom(3, 4, 5, 8), fc.nat({ max: 255 })), { maxLength: 120 })
      .map((columns): Got['result'] => ({
        kind: 'data',
        data: { type: 'array', elements: columns.map(([classId, e]) => column(classId, `1-0:1.8.${e}`)) },
      }))
    const lists = fc.uniqueArray(attribute, { minLength: 1, maxLength: 16, selector: (one) => JSON.stringify(one) })
    fc.assert(
      fc.property(lists, captured, fc.func(fc.boolean()), (attributes, objects, refuses) => {
        const all = readAll({ attributes, range: undefined }, (name) => (refuses(name) ? refused : objects))
        const asked = attributes.map(({ classId, obis, attribute }) => `${classId} ${obis} ${attribute}`)
        expect(all.slice(0, asked.length)).toEqual(asked)
        expect(new Set(all).size).toBe(all.length)
        expect(all.length).toBeLessThanOrEqual(getsMax)
      }),
    )
  })

  test('within a range is asked for so, of a buffer alone', () => {
    const range = { from: 1_768_176_000, to: 1_768_179_600 }
    const buffer = nextToRead({ ...wants(7, '1-0:99.1.0'), range }, [])
    expect(buffer?.selection).toMatchObject({
      kind: 'range',
      restricting: { classId: 8, obis: '0-0:1.0.0', attribute: 2 },
    })
    expect(nextToRead({ ...wants(3, '1-0:1.8.0'), range }, [])?.selection).toBeUndefined()
  })
})

test.for([
  ['1-0:1.8.0', 3],
  ['1-0:1.8.1', 3],
  ['1-0:1.7.0', 3],
  ['1-0:32.7.0', 3],
  ['1-0:1.6.0', 4],
  ['1-0:1.4.0', 5],
  ['1-0:99.1.0', 7],
  ['0-0:99.98.0', 7],
  ['0-0:98.1.0', 7],
  ['0-0:1.0.0', 8],
  ['0-0:42.0.0', 1],
  ['0-0:96.1.0', 1],
  ['1-0:0.0.0', 1],
  ['0-0:96.3.10', 70],
  ['0-1:24.2.1', 4],
  ['0-0:40.0.0', 15],
  ['0-0:43.1.0', 1],
  ['7-0:3.0.0', 3],
] as const)('%s is usually of class %i', ([obis, classId]) => {
  expect(usualClass(parseObis(obis))).toBe(classId)
})
