import { createSecretKey } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import { decodeData } from '#gateway/codec/axdr.ts'
import { type GeneralBlockTransfer, reassemble } from '#gateway/codec/block.ts'
import { detectFraming, unframe } from '#gateway/codec/framing.ts'
import type { DataNotification } from '#gateway/codec/notification.ts'
import { dottedObis, parseObis } from '#gateway/codec/obis.ts'
import { OctetReader } from '#gateway/codec/octets.ts'
import { ConfigError, PeerError } from '#gateway/errors.ts'
import { parseMeterProfile } from '#gateway/meters/parse.ts'
import { quality, systemTitle } from '#gateway/model.ts'
import { interpret, interpretObjects } from '#gateway/readings/interpret.ts'
import { evidenceOf, type MeterProfile, profileFor } from '#gateway/readings/meter-profile.ts'
import { decipherUnverified } from '#gateway/session/unprotect.ts'
import { corpusCases, hasCorpus, mustHaveCorpus } from '../codec/corpus.ts'
import { a, attribute, clock, i8, name, newYear, notification, o, s, scale, text, u8, u16, u32 } from './build.ts'

const folder = join(import.meta.dirname, '../../../gateway/meters')
const files = readdirSync(folder).filter((file) => file.endsWith('.json'))
const profiles = files.map((file) => parseMeterProfile(readFileSync(join(folder, file), 'utf8')))
const meter = systemTitle(Buffer.from('414d490000000001', 'hex'))

function profile(wanted: string): MeterProfile {
  const found = profiles.find(({ name }) => name === wanted)
  if (found === undefined) throw new Error(`no profile ${wanted}`)
  return found
}

/** A profile of a test's own. */
function made(rest: object): MeterProfile {
  return parseMeterProfile(JSON.stringify({ name: 'test', family: 'a test', match: {}, ...rest }))
}

describe('profile files', () => {
  test.each(files)('%s is named for what it holds', (file) => {
    expect(parseMeterProfile(readFileSync(join(folder, file), 'utf8')).name).toBe(file.replace('.json', ''))
  })

  test.each<[string, object, string]>([
    ['a key nobody knows', { colour: 'red' }, 'colour: no such key'],
    ['a zone that is none', { timeZone: 'Europe/Nowhere' }, 'timeZone: an IANA time zone'],
    ['a unit that is none', { units: [{ codes: ['1-x:1.8.x'], scaler: 0, unit: 'kWh' }] }, 'units[0].unit: a symbol'],
    ['a code that is none', { noReadings: ['1.8.0'] }, 'noReadings: 1 to 32 of OBIS codes'],
    ['a group beyond 255', { lists: [{ names: ['1-0:300.8.0'] }] }, 'names: OBIS codes A-B:C.D.E'],
    ['a dialect that is none', { dialects: ['klingon'] }, 'dialects: 1 to 32 of'],
    ['an expression that is none', { match: { device: '(' } }, 'device: a regular expression'],
    [
      'a meaning that is none',
      { status: [{ codes: ['0-x:96.10.x'], bits: [{ mask: 1, means: 'x' }] }] },
      'means: nothing',
    ],
  ])('with %s are refused', (_, rest, fault) => {
    expect(() => made(rest)).toThrow(ConfigError)
    expect(() => made(rest)).toThrow(fault)
  })
})

describe('with a profile', () => {
  const local = Uint8Array.from(Buffer.from('07e8070f010c0000ff8000ff', 'hex')) // 2024-07-15 12:00, no deviation
  const noon = Date.UTC(2024, 6, 15, 10) / 1000
  const swiss = { timeZone: 'Europe/Zurich', units: [{ codes: ['1-x:1.8.x'], scaler: 1, unit: 'Wh' }] }
  const one = { meter, obis: '1-0:1.8.0', ends: [noon], values: [7], qualities: [0] }

  test('zone and unit that the push does not tell are taken from it, those that it tells are not', () => {
    const bare = { ...notification(s(name('1-0:1.8.0'), u32(7))), dateTime: local }
    const told = { ...notification(s(name('1-0:1.8.0'), u32(7), scale(-3, 32))), dateTime: local }
    expect(interpret(bare, meter, made(swiss))).toEqual([{ ...one, scaler: 1, unit: 30 }])
    expect(interpret(told, meter, made(swiss))).toEqual([{ ...one, scaler: -3, unit: 32 }])
  })

  test('a list is read by the places of as many elements, null-data included', () => {
    const lists = [{ names: ['1-0:1.8.1'] }, { names: ['-', '1-0:1.8.0', '1-0:1.8.2'] }]
    const push = { ...notification(s(text('V1'), u32(7), { type: 'null-data' })), dateTime: local }
    expect(interpret(push, meter, made({ ...swiss, lists }))).toEqual([{ ...one, scaler: 1, unit: 30 }])
    expect(() => interpret(push, meter, made(swiss))).toThrow(expect.objectContaining({ code: 'PUSH_VALUE' }))
  })

  test('numbers that it says are no quantities are passed over', () => {
    const push = { ...notification(s(name('1-0:0.0.1'), u32(9), name('1-0:1.8.0'), u32(7))), dateTime: local }
    expect(() => interpret(push, meter, made(swiss))).toThrow(expect.objectContaining({ code: 'PUSH_VALUE' }))
    expect(interpret(push, meter, made({ ...swiss, noReadings: ['1-x:0.0.x'] }))).toHaveLength(1)
  })

  test('a dialect that it does not list is refused by name', () => {
    const push = { ...notification(s(name('1-0:1.8.0'), u32(7))), dialects: ['tagged-date-time'] as const }
    expect(() => interpret(push, meter, made(swiss))).toThrow(/tagged-date-time/)
    expect(interpret(push, meter, made({ ...swiss, dialects: ['tagged-date-time'] }))).toHaveLength(1)
  })

  const buffers = [
    { code: '1-0:99.1.0', capturePeriodSeconds: 3600, columns: ['8 0-0:1.0.0 2', '1 0-0:96.10.1 2', '3 1-0:1.8.0 2'] },
  ]
  const status = [
    {
      codes: ['0-x:96.10.x'],
      bits: [
        { mask: 2, means: 'clockDoubtful' },
        { mask: 8, means: 'nothing' },
      ],
    },
  ]

  test('a buffer without its capture objects is read with those that it knows, statuses kept raw', () => {
    const rows = a(
      s(clock(newYear), u8(0), u32(5)),
      s({ type: 'null-data' }, u8(10), u32(6)),
      s(clock(newYear + 7200), u8(4), u32(6)),
    )
    const push = notification(s(a(attribute(7, '1-0:99.1.0', 2)), rows))
    expect(() => interpret(push, meter)).toThrow(expect.objectContaining({ code: 'PUSH_FORM' }))
    expect(interpret(push, meter, made({ ...swiss, buffers, status }))).toEqual([
      {
        ...one,
        scaler: 1,
        unit: 30,
        ends: [newYear, newYear + 3600, newYear + 7200],
        values: [5, 6, 6],
        qualities: [0, quality.clockDoubtful, quality.meterStatus],
        statuses: [0, 10, 4],
      },
    ])
  })

  test('rows of the hour that comes twice are told apart by their order', () => {
    const at = (hex: string) => o(`07e80a1b07${hex}00ff8000ff`) // 2024-10-27
    const rows = a(...['0100', '0200', '0200', '0300'].map((hour, i) => s(at(hour), u8(0), u32(i))))
    const [series] = interpret(
      notification(s(a(attribute(7, '1-0:99.1.0', 2)), rows)),
      meter,
      made({ ...swiss, buffers }),
    )
    const first = Date.UTC(2024, 9, 26, 23) / 1000
    expect(series!.ends).toEqual([0, 1, 2, 3].map((hour) => first + hour * 3600))
    expect(series!.qualities).toEqual([0, 0, 0, 0])
  })
})

describe('extended and demand registers', () => {
  const captured = newYear - 900

  test('end when they were captured, whether pushed attribute by attribute or whole', () => {
    const single = s(
      a(...[2, 3, 4, 5].map((at) => attribute(4, '1-0:1.6.0', at))),
      u32(7),
      scale(0, 27),
      u8(3),
      clock(captured),
    )
    const whole = s(a(attribute(4, '1-0:1.6.0', 0)), s(name('1-0:1.6.0'), u32(7), scale(0, 27), u8(3), clock(captured)))
    const expected = { meter, obis: '1-0:1.6.0', scaler: 0, unit: 27, ends: [captured], values: [7], qualities: [0] }
    for (const body of [single, whole]) {
      expect(interpret(notification(body), meter)).toEqual([expected])
      expect(interpret(notification(body), meter, made({}))).toEqual([
        { ...expected, qualities: [quality.meterStatus], statuses: [3] },
      ])
    }
  })

  test('of both averages the finished one counts', () => {
    const whole = s(
      name('1-0:1.4.0'),
      u32(1),
      u32(7),
      scale(0, 27),
      u8(0),
      clock(captured),
      clock(newYear),
      u32(900),
      u16(1),
    )
    const body = s(a(attribute(5, '1-0:1.4.0', 0)), whole)
    expect(interpret(notification(body), meter)).toMatchObject([{ ends: [captured], values: [7] }])
  })

  test('a whole register of another form is read as it lies', () => {
    const body = s(
      a(attribute(3, '1-0:1.8.0', 0)),
      s(name('1-0:1.8.0'), s(u32(7), s(i8(1), { type: 'enum', value: 30 }))),
    )
    expect(interpret(notification(body), meter)).toMatchObject([{ scaler: 1, values: [7] }])
  })
})

/** The notification of a case, and who sent it. */
function opened(hex: string, ek: string | undefined): { push: DataNotification; title: Uint8Array | undefined } {
  const octets = Buffer.from(hex, 'hex')
  const blocks: GeneralBlockTransfer[] = []
  let inner: Uint8Array | undefined
  for (const payload of unframe(octets, detectFraming(octets)).payloads) {
    const apdu = decodeApdu(payload.octets)
    if (apdu.apdu === 'general-block-transfer') blocks.push(apdu)
    else inner ??= payload.octets
  }
  const apdu = decodeApdu(inner ?? reassemble(blocks)[0]!)
  if (apdu.apdu === 'data-notification') return { push: apdu, title: undefined }
  if (apdu.apdu !== 'general-glo-ciphering') throw new PeerError('APDU_UNSUPPORTED', apdu.apdu)
  const plain = decipherUnverified(apdu, systemTitle(apdu.systemTitle), createSecretKey(Buffer.from(ek!, 'hex')))
  return { push: decodeApdu(plain) as DataNotification, title: apdu.systemTitle }
}

type Expected = readonly [id: string, profile: string, end: string, readings: readonly string[] | number]

/** Cases that tell too little alone: `code value scaler unit` of each reading, or how many there are. */
const told: readonly Expected[] = [
  ['amshan-aidon-se-list', 'aidon-se', '2019-12-16T06:59:40Z', 26],
  ['dlmsparser-hdlc-norway-han-3phase', 'aidon-se', '2019-12-16T06:59:40Z', 26],
  ['amshan-kaifa-no-list-1', 'kaifa-no', '2019-02-04T22:52:22Z', ['1.0.1.7.0.255 5852 0 27']],
  ['amshan-hdlc-7e-in-info', 'kaifa-no', '2020-02-15T00:25:34Z', ['1.0.1.7.0.255 5502 0 27']],
  [
    'amshan-kaifa-no-list-2',
    'kaifa-no',
    '2020-01-25T12:09:30Z',
    [
      '1.0.1.7.0.255 9745 0 27',
      '1.0.2.7.0.255 0 0 27',
      '1.0.3.7.0.255 0 0 29',
      '1.0.4.7.0.255 435 0 29',
      '1.0.31.7.0.255 33813 -3 33',
      '1.0.51.7.0.255 28103 -3 33',
      '1.0.71.7.0.255 18178 -3 33',
      '1.0.32.7.0.255 2168 -1 35',
      '1.0.52.7.0.255 0 -1 35',
      '1.0.72.7.0.255 2188 -1 35',
    ],
  ],
  ['dlmsparser-hdlc-kaifa-ma304h3e', 'kaifa-no', '2017-09-15T03:33:40Z', 10],
  ['amshan-kaifa-no-list-3', 'kaifa-no', '2020-01-25T13:00:10Z', 14],
  ['amshan-kaifa-se-list', 'kaifa-se', '2021-09-22T16:35:30Z', 14],
  ['amshan-kamstrup-no-list-1-three-phase', 'kamstrup-no', '2000-01-01T21:33:00Z', 10],
  ['amshan-kamstrup-no-list-2-single-phase', 'kamstrup-no', '2017-08-16T14:00:05Z', 4],
  ['amshan-kamstrup-no-list-2-three-phase', 'kamstrup-no', '2017-08-16T14:00:05Z', 14],
  [
    'amshan-kamstrup-no-list-1-single-phase-real-sample',
    'kamstrup-no',
    '2022-01-17T11:44:40Z',
    [
      '1.1.1.7.0.255 1896 0 27',
      '1.1.2.7.0.255 0 0 27',
      '1.1.3.7.0.255 0 0 29',
      '1.1.4.7.0.255 493 0 29',
      '1.1.31.7.0.255 896 -2 33',
      '1.1.32.7.0.255 225 0 35',
    ],
  ],
  ['amshan-kamstrup-no-list-2-single-phase-real-sample', 'kamstrup-no', '2021-11-23T23:00:25Z', 10],
  ['amshan-kamstrup-se-list-real-sample', 'kamstrup-no', '2022-01-24T17:58:50Z', 10],
  ['dlmsparser-hdlc-kamstrup-omnipower', 'kamstrup-dk', '2026-03-12T14:24:30Z', 30],
  ['dlmsparser-hdlc-landis-gyr-e450', 'landis-gyr-e450', '2022-02-21T16:37:30Z', 16],
  ['dlmsparser-hdlc-lgz-e450-2', 'landis-gyr-e450', '2023-11-10T09:58:50Z', 16],
  ['scs-e450-encrypted', 'landis-gyr-e450', '2022-02-23T20:36:00Z', 16],
  ['scs-e450-push-two', 'landis-gyr-e450', '2021-07-06T12:58:18Z', 11],
  ['scs-e450-push-alt', 'landis-gyr-e450', '2022-11-22T15:37:30Z', 8],
  [
    'scs-e450-push-2026',
    'landis-gyr-e450',
    '2026-05-04T09:39:21Z',
    [
      '1.1.1.8.0.255 482939 0 30',
      '1.1.2.8.0.255 0 0 30',
      '1.1.3.8.0.255 37 0 32',
      '1.1.4.8.0.255 344697 0 32',
      '1.0.1.7.0.255 28 0 27',
      '1.0.2.7.0.255 0 0 27',
      '1.0.32.7.0.255 236 0 35',
      '1.0.52.7.0.255 236 0 35',
      '1.0.72.7.0.255 0 0 35',
      '1.0.31.7.0.255 9 -2 33',
      '1.0.51.7.0.255 8 -2 33',
      '1.0.71.7.0.255 0 -2 33',
    ],
  ],
  ['scs-e360-push-2026', 'landis-gyr-e360', '2023-06-06T15:31:20Z', 12],
  ['scs-am550-push', 'iskra-am550', '2020-08-15T04:19:45Z', 23],
  ['scs-am550-push-2026', 'iskra-am550', '2026-05-04T17:19:30Z', 12],
  ['scs-e570-encrypted', 'landis-gyr-e570', '2024-03-13T08:02:45Z', 14],
  ['scs-e570-push-2026', 'landis-gyr-e570', '2026-06-04T15:06:40Z', 12],
  ['scs-e570-push-2026-load', 'landis-gyr-e570', '2026-06-09T14:04:40Z', 12],
]

/** Names of the source's own test by code. @see the corpus's `source_asserts` */
const asserted: Readonly<Record<string, string>> = {
  ACTIVE_POWER_P: '1.7.0',
  ACTIVE_POWER_N: '2.7.0',
  ACTIVE_ENERGY_P: '1.8.0',
  ACTIVE_ENERGY_N: '2.8.0',
  REACTIVE_ENERGY_P: '3.8.0',
  REACTIVE_ENERGY_N: '4.8.0',
  VOLTAGE_L1: '32.7.0',
  VOLTAGE_L2: '52.7.0',
  VOLTAGE_L3: '72.7.0',
  CURRENT_L1: '31.7.0',
  CURRENT_L2: '51.7.0',
  CURRENT_L3: '71.7.0',
}

describe.skipIf(!hasCorpus && !mustHaveCorpus)(
  `published pushes that tell too little alone${hasCorpus ? '' : ' (skipped: the corpus does not lie beside the project)'}`,
  () => {
    const cases = hasCorpus ? corpusCases() : []

    test.each(told)('%s is read with %s', (id, wanted, end, expected) => {
      const entry = cases.find((one) => one.id === id)!
      const { push } = opened(entry.hex, entry.ek)
      expect(() => interpret(push, meter)).toThrow(PeerError)
      const series = interpret(push, meter, profile(wanted))
      expect(new Set(series.flatMap(({ ends }) => ends))).toEqual(new Set([Date.parse(end) / 1000]))
      if (typeof expected === 'number') expect(series).toHaveLength(expected)
      else {
        const lines = series.map(({ obis, values, scaler, unit }) => `${dottedObis(obis)} ${values} ${scaler} ${unit}`)
        expect(lines).toEqual(expected)
      }
    })

    test.each(told)('%s has the values that were sent', (id, wanted) => {
      const entry = cases.find((one) => one.id === id)!
      const sent = new Map(entry.expected?.map(({ obis, raw, value }) => [obis, raw ?? value]))
      for (const { obis, values } of interpret(opened(entry.hex, entry.ek).push, meter, profile(wanted))) {
        if (sent.size > 0) expect([obis, values[0]]).toEqual([obis, sent.get(dottedObis(obis))])
      }
    })

    test.each(told)('%s has the quantities that its source states, where it states them', (id, wanted) => {
      const entry = cases.find((one) => one.id === id)!
      const states = (entry as { source_asserts?: Record<string, unknown> }).source_asserts ?? {}
      const series = interpret(opened(entry.hex, entry.ek).push, meter, profile(wanted))
      for (const [key, value] of Object.entries(states)) {
        const code = asserted[key]
        if (code === undefined) continue
        const { values, scaler } = series.find(({ obis }) => obis.endsWith(`:${code}`))!
        expect([key, Number(values[0]) * 10 ** scaler]).toEqual([key, expect.closeTo(value as number, 9)])
      }
    })

    test.each<[string, string | undefined]>([
      ['amshan-aidon-no-list-3', 'aidon-no'],
      ['amshan-kaifa-no-list-3', 'kaifa-no'],
      ['amshan-kamstrup-no-list-2-three-phase', 'kamstrup-no'],
      ['dlmsparser-hdlc-kamstrup-omnipower', 'kamstrup-dk'],
      ['dlmsparser-mbus-netz-noe-p1', 'netz-noe'],
      ['dlmsparser-raw-salzburg-netz', 'salzburg'],
      ['dlmsparser-raw-egd-example', 'egd'],
      ['scs-am550-push-2026', 'iskra-am550'],
      ['scs-e450-push-two', 'landis-gyr-e450'],
      ['scs-e570-encrypted', 'landis-gyr-e570'],
      ['amshan-kaifa-no-list-1', undefined],
      ['scs-e450-push-alt', undefined],
    ])('%s is told to be of %s', (id, expected) => {
      const entry = cases.find((one) => one.id === id)!
      const { push, title } = opened(entry.hex, entry.ek)
      expect(profileFor(evidenceOf(push, title), profiles)?.name).toBe(expected)
    })

    test('pwitab-profile-null-data: a buffer that was read has the rows that its source states', () => {
      const entry = cases.find(({ id }) => id === 'pwitab-profile-null-data')!
      const rows = (entry as { expected_rows?: Record<string, string | number>[] }).expected_rows!
      const registers = ['1-0:1.8.0', '1-0:2.8.0']
      const columns = ['8 0-0:1.0.0 2', '1 0-0:96.10.1 2', ...registers.map((code) => `3 ${code} 2`)]
      const known = made({
        buffers: [{ code: '1-0:99.1.0', capturePeriodSeconds: 3600, columns }],
        units: [{ codes: ['1-0:1-2.8.0'], scaler: 0, unit: 'Wh' }],
      })
      const data = decodeData(new OctetReader(Buffer.from(entry.hex, 'hex')))
      const buffer = { classId: 7, obis: parseObis('1-0:99.1.0'), attribute: 2, data }
      const series = interpretObjects([buffer], undefined, { meter, profile: known })
      expect(series.map(({ obis }) => obis)).toEqual(registers)
      for (const { obis, ends, values, statuses } of series) {
        expect(ends).toEqual(rows.map((row) => Date.parse(row.timestamp_utc as string) / 1000))
        expect(values).toEqual(rows.map((row) => row[dottedObis(obis)]))
        expect(statuses).toEqual(rows.map((row) => row['0.0.96.10.1.255']))
      }
    })

    test('a push that tells no time at all is refused with any profile', () => {
      for (const id of ['amshan-aidon-no-list-2', 'dlmsparser-raw-egd-example', 'dlmsparser-raw-sagecom-xt211']) {
        const { push } = opened(cases.find((one) => one.id === id)!.hex, undefined)
        const fitting = profiles.filter(({ dialects }) => push.dialects.every((one) => dialects.includes(one)))
        for (const one of fitting) {
          expect(() => interpret(push, meter, one)).toThrow(
            expect.objectContaining({ code: expect.stringMatching(/^PUSH_/) }),
          )
        }
      }
    })
  },
)
