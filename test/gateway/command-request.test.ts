import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { attributesMax, parseReadRequest } from '#gateway/command-request.ts'

const good = {
  verb: 'read',
  meter: '414d490000000001',
  attributes: [{ classId: 3, obis: '1-0:1.8.0', attribute: 2 }],
  range: { from: 1, to: 2 },
  timeoutMs: 30_000,
  association: 'gmac',
}
const parse = (request: unknown) => parseReadRequest(JSON.stringify(request))

describe('a request', () => {
  test('is what it says', () => {
    const { verb: _, ...request } = good
    expect(parse(good)).toEqual(request)
    expect(parse({ ...good, range: undefined, association: 'lowest' })).toMatchObject({ range: undefined })
  })

  test.for([
    ['another verb', { verb: 'write' }],
    ['an unknown key', { more: 1 }],
    ['a meter that is none', { meter: '414d49' }],
    ['a meter that is no text', { meter: 7 }],
    ['no attributes', { attributes: [] }],
    ['attributes that are no list', { attributes: {} }],
    [
      'too many attributes',
      {
        attributes: Array.from({ length: attributesMax + 1 }, (_, i) => ({
          classId: 3,
          obis: `1-0:1.8.${i}`,
          attribute: 2,
        })),
      },
    ],
    ['an attribute twice', { attributes: [good.attributes[0], good.attributes[0]] }],
    ['an attribute 0, which is all of them', { attributes: [{ classId: 3, obis: '1-0:1.8.0', attribute: 0 }] }],
    ['a code that is none', { attributes: [{ classId: 3, obis: '1.8.0', attribute: 2 }] }],
    ['a class beyond 16 bits', { attributes: [{ classId: 65_536, obis: '1-0:1.8.0', attribute: 2 }] }],
    ['a range that runs backward', { range: { from: 2, to: 1 } }],
    ['a range beyond the year 9999', { range: { from: 1, to: 3e11 } }],
    ['a time that nobody waits', { timeoutMs: 300_001 }],
    ['no time', { timeoutMs: 999 }],
    ['another association', { association: 'lls' }],
  ])('with %s is refused', ([, part]) => {
    expect(() => parse({ ...good, ...(part as object) })).toThrow(TypeError)
  })

  test('of any text is a request or a TypeError', () => {
    const tame = (text: string): void => {
      try {
        parseReadRequest(text)
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError)
      }
    }
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), tame))
    const field = fc.constantFrom(...Object.keys(good))
    fc.assert(fc.property(field, fc.jsonValue(), (key, value) => tame(JSON.stringify({ ...good, [key]: value }))))
  })
})
