import { describe, expect, test } from 'vitest'
import { encodeApdu } from '#gateway/codec/apdu.ts'
import type { Data } from '#gateway/codec/axdr.ts'
import { encodeDataNotification } from '#gateway/codec/notification.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { PeerError } from '#gateway/errors.ts'
import { meterProfiles } from '#gateway/io/meter-profiles.ts'
import { type Explanation, explain } from '#gateway/readings/explain.ts'
import { unitSymbol } from '#gateway/readings/units.ts'
import { profilePush } from '#simulator/push.ts'
import { a, attribute, clock, name, newYear, notification, o, s, scale, text, u8, u16, u32 } from './build.ts'

function noKey(): never {
  throw new PeerError('KEY_MISSING', 'no key')
}

function explained(body: Data): Explanation {
  return explain([{ octets: encodeDataNotification(notification(body)), offset: 0 }], noKey)
}

describe('explain', () => {
  test('lists names, values as sent, scalers and units in wire order', () => {
    const { apdus, time, values, unnamed } = explained(
      s(
        text('LIST_V1'),
        s(name('0-0:96.1.0'), text('meter')),
        s(name('1-0:1.8.0*1'), u32(7), scale(-3, 30)),
        s(name('0-0:42.0.0'), o('4d31')),
        s(name('1-0:2.8.0'), { type: 'long64-unsigned', value: 2n ** 64n - 1n }),
        s(name('0-0:96.3.10'), { type: 'boolean', value: true }),
      ),
    )
    expect([apdus, time]).toEqual([['data-notification'], '2024-01-01T00:00:00Z'])
    expect(values).toEqual([
      { obis: '0.0.96.1.0.255', value: 'meter', scaler: null, unit: null },
      { obis: '1.0.1.8.0.1', value: 7, scaler: -3, unit: 'Wh' },
      { obis: '0.0.42.0.0.255', value: '4d31', scaler: null, unit: null },
      { obis: '1.0.2.8.0.255', value: '18446744073709551615', scaler: null, unit: null },
      { obis: '0.0.96.3.10.255', value: true, scaler: null, unit: null },
    ])
    expect(unnamed.map(({ value }) => value)).toEqual(['LIST_V1'])
  })

  test('a list without any names is listed by place, and said to be', () => {
    const { values, dialects } = explained(s(text('V1'), u32(7)))
    expect(values.map(({ obis, value }) => [obis, value])).toEqual([
      [null, 'V1'],
      [null, 7],
    ])
    expect(dialects).toEqual(['positional'])
  })

  test('text of six octets is no name, and phases that a meter lacks are not listed', () => {
    const { values, unnamed } = explained(
      s(
        o('313630343536'),
        name('1-0:1.8.0'),
        u32(7),
        { type: 'null-data' },
        { type: 'null-data' },
        name('1-0:2.8.0'),
        u32(8),
      ),
    )
    expect(values.map(({ obis, value }) => [obis, value])).toEqual([
      ['1.0.1.8.0.255', 7],
      ['1.0.2.8.0.255', 8],
    ])
    expect(unnamed.map(({ value }) => value)).toEqual(['313630343536'])
  })

  test('a profile is listed row by row', () => {
    const octets = profilePush({
      invokeId: 1,
      at: newYear,
      capturePeriod: 900,
      channels: [{ obis: parseObis('1-0:1.29.0'), scaler: 0, unit: 30 }],
      rows: [0, 900].map((after) => ({ end: newYear + after, status: 0, values: [after] })),
    })
    expect(explain([{ octets, offset: 0 }], noKey).values.map(({ obis, value, unit }) => [obis, value, unit])).toEqual([
      ['0.0.1.0.0.255', '07e8010101000000000000' + '00', null],
      ['0.0.96.10.1.255', 0, null],
      ['1.0.1.29.0.255', 0, 'Wh'],
      ['0.0.1.0.0.255', null, null],
      ['0.0.96.10.1.255', 0, null],
      ['1.0.1.29.0.255', 900, 'Wh'],
    ])
  })

  test('a profile whose columns were not pushed is listed as it is', () => {
    const rows = a(s(clock(newYear), u16(1)))
    const { values } = explained(s(a(attribute(7, '1-0:99.1.0', 2)), rows))
    expect(values).toHaveLength(1)
    expect(values[0]).toMatchObject({ obis: '1.0.99.1.0.255', value: expect.stringMatching(/^01010202090c/) })
  })

  test('and stays as it is with the profile of a meter that does not know it either', () => {
    const body = s(a(attribute(7, '1-0:99.1.0', 2)), a(s(clock(newYear), u16(1))))
    const payload = [{ octets: encodeDataNotification(notification(body)), offset: 0 }]
    expect(explain(payload, noKey, meterProfiles().get('iskra-am550')).values).toMatchObject([
      { obis: '1.0.99.1.0.255' },
    ])
    const known = s(a(attribute(7, '1-0:99.1.0', 2)), a(s(clock(newYear), u8(0), u32(1), u32(2))))
    const octets = encodeDataNotification(notification(known))
    expect(explain([{ octets, offset: 0 }], noKey, meterProfiles().get('ami-sim')).values).toHaveLength(4)
  })

  test('a ciphered APDU is opened, and layers without end are not', () => {
    const plain = encodeDataNotification(notification(s(name('1-0:1.8.0'), u32(7))))
    const sealed = encodeApdu({
      apdu: 'general-glo-ciphering',
      systemTitle: new Uint8Array(8),
      securityControl: 0x30,
      invocationCounter: 1,
      content: new Uint8Array(12),
    })
    const payload = [{ octets: sealed, offset: 3 }]
    expect(explain(payload, () => plain).apdus).toEqual(['general-glo-ciphering', 'data-notification'])
    expect(() => explain(payload, () => sealed)).toThrow(
      expect.objectContaining({ code: 'APDU_UNSUPPORTED', offset: 3 }),
    )
    expect(() => explain(payload, noKey)).toThrow(expect.objectContaining({ code: 'KEY_MISSING', offset: 3 }))
  })
})

test('units have the symbols of the Blue Book, none where there is none', () => {
  expect([7, 9, 27, 29, 30, 32, 33, 35, 44, 56, 57].map(unitSymbol)).toEqual([
    's',
    '°C',
    'W',
    'var',
    'Wh',
    'varh',
    'A',
    'V',
    'Hz',
    '%',
    'Ah',
  ])
  expect([0, 254, 255].map(unitSymbol)).toEqual([null, null, null])
  expect(unitSymbol(200)).toBe('unit 200')
})
