import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeApdu } from '#gateway/codec/apdu.ts'
import { detectFraming, unframeAuto } from '#gateway/codec/framing.ts'
import { unframeTelegrams } from '#gateway/codec/telegrams.ts'
import { PeerError } from '#gateway/errors.ts'
import { meterProfiles } from '#gateway/io/meter-profiles.ts'
import { parseSystemTitle } from '#gateway/model.ts'
import { explain } from '#gateway/readings/explain.ts'
import { explainTree } from '#gateway/readings/explain-tree.ts'
import { readTelegram } from '#gateway/readings/telegram.ts'
import { interpretTelegram } from '#gateway/readings/telegram-readings.ts'

const noon = '0-0:1.0.0(230801120000S)'

/** CRC-16/ARC by the bit, most significant bit first and turned around: another way than the decoder's. */
function checksum(text: string): string {
  const turned = (value: number, width: number): number =>
    Number.parseInt([...value.toString(2).padStart(width, '0')].reverse().join(''), 2)
  let crc = 0
  for (const octet of Buffer.from(text, 'latin1')) {
    crc ^= turned(octet, 8) << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ ((crc & 0x8000) === 0 ? 0 : 0x8005)) & 0xffff
  }
  return turned(crc, 16).toString(16).toUpperCase().padStart(4, '0')
}

/** As a port sends it: identification, an empty line, data lines, the end with its checksum. */
function telegram(...lines: string[]): Buffer {
  const text = ['/ABC5meter', '', ...lines, '!'].join('\r\n')
  return Buffer.from(`${text}${checksum(text)}\r\n`, 'latin1')
}

function read(...lines: string[]) {
  return readTelegram(telegram(...lines))
}

describe('the values of a telegram', () => {
  test('are integers, with the decimal places as the scaler; what has no unit and no point is text', () => {
    expect(read('1-3:0.2.8(50)', '1-0:1.8.1(001234.567*kWh)', '1-0:1.7.0(000000286*W)', '1-0:13.7.0(0.998)')).toEqual([
      { obis: '1-3:0.2.8', value: '50', scaler: null, unit: null },
      { obis: '1-0:1.8.1', value: 1234567, scaler: -3, unit: 'kWh' },
      { obis: '1-0:1.7.0', value: 286, scaler: null, unit: 'W' },
      { obis: '1-0:13.7.0', value: 998, scaler: -3, unit: null },
    ])
  })

  test.each([
    ['a gas meter (DSMR 4 and 5)', ['0-1:24.2.1(101209112500W)(12785.123*m3)'], ['0-1:24.2.1', 12785123, -3, 'm3']],
    [
      'a gas meter (DSMR 2 and 3)',
      ['0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)', '(00001.001)'],
      ['0-1:24.2.1', 1001, -3, 'm3'],
    ],
    ['a heat meter', ['0-2:24.2.1(200425131500S)(00025.100*GJ)'], ['0-2:24.2.1', 25100, -3, 'GJ']],
    ['a maximum demand (Belgium)', ['1-0:1.6.0(230801113000S)(02.589*kW)'], ['1-0:1.6.0', 2589, -3, 'kW']],
    ['a power factor with a sign', ['1-0:13.7.0(-0.998)'], ['1-0:13.7.0', -998, -3, null]],
    ['a billing period', ['1-0:1.8.0*255(0002635.001*kWh)'], ['1-0:1.8.0', 2635001, -3, 'kWh']],
    ['a past billing period', ['1-0:1.8.0*03(0002635.001*kWh)'], ['1-0:1.8.0*3', 2635001, -3, 'kWh']],
    ['a readout without media', ['1.8.0(0002635.001*kWh)'], ['1-0:1.8.0', 2635001, -3, 'kWh']],
    ['a readout without tariff', ['\x0232.7(241*V)'], ['1-0:32.7.0', 241, null, 'V']],
    ['an error register that is no OBIS code', ['F.F(00)', '1.7.0(7*W)'], ['1-0:1.7.0', 7, null, 'W']],
    ['a message that is empty', ['0-0:96.13.0()'], ['0-0:96.13.0', '', null, null]],
  ])('%s', (_, lines, [obis, value, scaler, unit]) => {
    expect(read(...lines)).toEqual([expect.objectContaining({ obis, value, scaler, unit })])
  })

  test('with their times of capture; rows of a list are the list’s own', () => {
    const rows = read(
      '1-0:99.97.0(2)(0-0:96.7.19)(101208152415W)(0000000240*s)(101208151004W)(0000000301*s)',
      '0-0:98.1.0(1)(1-0:1.6.0)(1-0:1.6.0)(230201000000W)(230117224500W)(04.329*kW)',
      '0-0:98.1.0(0)(1-0:1.6.0)(1-0:1.6.0)()',
      '1-0:99.97.0(0)(0-0:96.7.19)',
    )
    expect(rows.map(({ obis, value, captured }) => [obis, value, captured])).toEqual([
      ['1-0:99.97.0', 240, '101208152415W'],
      ['1-0:99.97.0', 301, '101208151004W'],
      ['0-0:98.1.0', 4329, '230201000000W'],
    ])
  })

  test('of a telegram with a damaged octet or no end are refused', () => {
    const octets = telegram('1-0:1.7.0(000000286*W)')
    const fault = expect.objectContaining({ code: 'PUSH_FORM' })
    expect(() => readTelegram(octets.map((octet, i) => (i === 20 ? octet ^ 1 : octet)))).toThrow(fault)
    expect(() => readTelegram(octets.subarray(0, -7))).toThrow(fault)
  })
})

describe('a stream of telegrams', () => {
  const [one, two] = [telegram(noon, '1-0:1.7.0(000000286*W)'), telegram('1-0:1.7.0(000000287*W)')]
  const sealed = encodeApdu({
    apdu: 'general-glo-ciphering',
    systemTitle: Buffer.from('53414d3000000001', 'hex'),
    securityControl: 0x30,
    invocationCounter: 7,
    content: Buffer.alloc(300, 0x2f),
  })

  test('gives each, in clear or ciphered, whatever noise is between them', () => {
    const noise = fc.uint8Array({ maxLength: 20 }).map((octets) => octets.filter((octet) => octet < 0x20))
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(one, two, sealed), { minLength: 1, maxLength: 5 }),
        noise,
        (sent, between) => {
          const stream = Buffer.concat(sent.flatMap((octets) => [between, octets]))
          const { payloads, faults } = unframeTelegrams(stream)
          expect(payloads.map(({ octets }) => Buffer.from(octets).toString('hex'))).toEqual(
            sent.map((octets) => Buffer.from(octets).toString('hex')),
          )
          expect(faults).toEqual([])
          expect(
            payloads.every(
              ({ octets, offset }) => Buffer.compare(octets, stream.subarray(offset, offset + octets.length)) === 0,
            ),
          ).toBe(true)
        },
      ),
    )
  })

  test('that begins in the middle of one gives those behind it, and says what was cut off', () => {
    const stream = Buffer.concat([one.subarray(0, 30), two])
    const { payloads, faults } = unframeTelegrams(stream)
    expect(payloads.map(({ offset }) => offset)).toEqual([30])
    expect(faults).toMatchObject([{ code: 'FRAME_TRUNCATED', offset: 0 }])
    expect(unframeTelegrams(Buffer.concat([one.subarray(5), two]))).toMatchObject({ frames: 1, faults: [] })
    const lost = Buffer.concat([one.subarray(0, 14), Buffer.from('\r\n'), two])
    expect(unframeTelegrams(lost)).toMatchObject({ frames: 1, faults: [{ code: 'FRAME_TRUNCATED', offset: 0 }] })
  })

  test('is told apart from everything else', () => {
    expect(unframeAuto(Buffer.concat([one, two])).payloads).toHaveLength(2)
    expect(unframeAuto(Buffer.concat([sealed, sealed])).payloads).toHaveLength(2)
    expect(unframeAuto(Buffer.concat([one.subarray(5), two])).payloads).toHaveLength(1)
    expect(detectFraming(sealed)).toBe('apdu')
  })

  test('any octets give payloads and PeerErrors', () => {
    const octets = fc.array(fc.constantFrom(...Buffer.from('/AB!\n\r()0.-:*\xdb\x08\x82', 'latin1')), {
      maxLength: 200,
    })
    fc.assert(
      fc.property(octets, (some) => {
        const stream = Uint8Array.from(some)
        for (const payload of unframeTelegrams(stream).payloads) {
          try {
            readTelegram(payload.octets)
          } catch (fault) {
            expect(fault).toBeInstanceOf(PeerError)
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('readings of a telegram', () => {
  const meter = parseSystemTitle('53414d3000000001')
  const profile = meterProfiles().get('netz-noe')
  const series = (...lines: string[]) => interpretTelegram(telegram(...lines), meter, profile)

  test('have the unit of the Blue Book, its prefix in the scaler, and the time that their line tells', () => {
    const found = series(
      noon,
      '0-0:96.1.1(3153)',
      '1-0:1.8.1(000123.456*kWh)',
      '1-0:32.7.0(234.7*V)',
      '0-0:17.0.0(999.9*kW)',
      '0-1:24.2.1(230801115500S)(00112.384*m3)',
      '0-2:24.2.1(230801110000S)(1.5*GJ)',
      '0-0:98.1.0(1)(1-0:1.6.0)(1-0:1.6.0)(230201000000W)(230117224500W)(04.329*kW)',
    )
    const at = (time: string) => Date.parse(`2023-08-01T${time}Z`) / 1000
    expect(found.map(({ obis, scaler, unit, ends, values }) => [obis, scaler, unit, ends[0], values[0]])).toEqual([
      ['1-0:1.8.1', 0, 30, at('10:00:00'), 123456],
      ['1-0:32.7.0', -1, 35, at('10:00:00'), 2347],
      ['0-1:24.2.1', -3, 13, at('09:55:00'), 112384],
      ['0-2:24.2.1', 8, 25, at('09:00:00'), 15],
    ])
  })

  test.each(['p1-nl', 'p1-be', 'p1-lu', 'p1-se'])(
    'of the family %s have the zone of its country, and no limits',
    (name) => {
      const octets = telegram(noon, '1-0:1.7.0(1*W)', '0-0:17.0.0(999.9*kW)')
      const found = interpretTelegram(octets, meter, meterProfiles().get(name))
      expect(found.map(({ obis, ends }) => [obis, ends[0]])).toEqual([
        ['1-0:1.7.0', Date.parse('2023-08-01T10:00:00Z') / 1000],
      ])
    },
  )

  test('of a Belgian port have no fuse among them', () => {
    const octets = telegram(noon, '1-0:1.7.0(1*W)', '1-0:31.4.0(999*A)')
    expect(interpretTelegram(octets, meter, meterProfiles().get('p1-be'))).toHaveLength(1)
  })

  test('in the hour that comes twice are told apart by S and W', () => {
    const end = (time: string) => series(`0-0:1.0.0(${time})`, '1-0:1.7.0(1*W)')[0]!.ends[0]!
    expect(end('231029023000W') - end('231029023000S')).toBe(3600)
  })

  test.each([
    ['no clock', ['1-0:1.7.0(1*W)'], 'PUSH_TIME'],
    ['a unit that is none', [noon, '1-0:1.7.0(1*parsec)'], 'PUSH_VALUE'],
    ['one channel twice', [noon, '1-0:1.7.0(1*W)', '1-0:1.7.0(1*W)'], 'PUSH_FORM'],
    ['nothing measured', [noon], 'PUSH_FORM'],
  ])('with %s are refused', (_, lines, code) => {
    expect(() => series(...lines)).toThrow(expect.objectContaining({ code }))
  })

  test('without a zone are refused: nothing says what S and W mean', () => {
    const octets = telegram(noon, '1-0:1.7.0(1*W)')
    expect(() => interpretTelegram(octets, meter)).toThrow(expect.objectContaining({ code: 'PUSH_TIME' }))
  })
})

describe('explained', () => {
  const octets = telegram(noon, '0-1:24.2.1(230801115500S)(00112.384*m3)')
  const stream = unframeAuto(octets)
  const open = (): never => {
    throw new PeerError('KEY_MISSING', 'nothing here is ciphered')
  }

  test('it has the time of its clock, local, and in UTC with the zone of its meter', () => {
    expect(explain(stream.payloads, open).time).toBe('2023-08-01T12:00:00')
    expect(explain(stream.payloads, open, meterProfiles().get('netz-noe')).time).toBe('2023-08-01T10:00:00Z')
    expect(explain(stream.payloads, open)).toMatchObject({ apdus: ['p1-ascii'], dialects: [] })
  })

  test('as a tree it says when a value was captured', () => {
    const [layer] = explainTree(octets, stream, { frames: [], open, profile: meterProfiles().get('netz-noe') })
    expect(layer!.nodes[1]!.meaning).toMatch(/M-Bus value 1, channel 1.*, m3, captured 2023-08-01T09:55:00Z$/)
  })
})
