import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeObis, parseObis } from '#gateway/codec/obis.ts'
import { attributeName, className } from '#gateway/readings/class-names.ts'
import { obisName } from '#gateway/readings/obis-names.ts'
import { fitsPattern, obisPattern, obisPatternForm } from '#gateway/readings/obis-pattern.ts'
import { scaledText, unitCode, unitQuantity, unitSymbol } from '#gateway/readings/units.ts'
import { dateTimeWords, hdlcControlWords, longInvokeWords, securityWords } from '#gateway/readings/words.ts'

describe('an OBIS code has the name of its pattern', () => {
  test.each([
    ['1-0:1.8.0', 'active energy import, total'],
    ['1-0:2.8.3', 'active energy export, tariff 3'],
    ['1-1:5.8.0', 'reactive energy QI, total, channel 1'],
    ['1-0:1.7.0', 'active power import, instantaneous'],
    ['1-0:21.7.0', 'active power import, L1, instantaneous'],
    ['1-0:52.7.0', 'voltage, L2, instantaneous'],
    ['1-0:71.7.0', 'current, L3, instantaneous'],
    ['1-0:13.7.0', 'power factor import, instantaneous'],
    ['1-0:14.7.0', 'supply frequency, instantaneous'],
    ['1-0:81.7.40', 'angle, instantaneous, from U(L1) to I(L1)'],
    ['1-0:1.29.0', 'active energy import, over the recording interval 1, total'],
    ['1-0:1.6.1', 'active power import, maximum 1, tariff 1'],
    ['1-0:1.8.0*3', 'active energy import, total, billing period 3'],
    ['1-0:1.6.0*101', 'active power import, maximum 1, the last billing period'],
    ['1-0:99.1.0', 'load profile 1, object 0'],
    ['1-0:1.6.2', 'active power import, maximum 1, tariff 2'],
    ['1-0:1.2.0', 'active power import, cumulative maximum 1'],
    ['1-0:53.7.0', 'power factor import, L2, instantaneous'],
    ['1-0:32.32.0', 'voltage, L1, sag, occurrences'],
    ['1-0:72.36.0', 'voltage, L3, swell, occurrences'],
    ['1-0:12.41.0', 'voltage, cut, duration'],
    ['1-0:31.35.0', 'current, L1, over limit, threshold'],
    ['1-0:91.7.0', 'current, neutral, instantaneous'],
    ['1-0:0.2.0', 'firmware version'],
    ['1-0:0.2.8', 'firmware signature'],
    ['1-0:128.7.0', 'manufacturer-specific object 128.7.0'],
    ['0-1:0.2.0', 'active firmware identifier, channel 1'],
    ['0-0:17.0.0', 'limiter 0'],
    ['0-0:96.7.8', 'long power failures, L3'],
    ['0-0:96.7.13', 'time of the last power failure, L3'],
    ['0-0:96.7.19', 'duration of the last long power failure, any phase'],
    ['0-0:96.11.4', 'event code, power quality log'],
    ['0-0:96.14.0', 'active tariff 0'],
    ['0-0:96.20.15', 'strong magnetic field, counter'],
    ['0-0:97.98.10', 'alarm filter 1'],
    ['0-3:24.1.0', 'M-Bus client, channel 3'],
    ['0-3:24.4.0', 'M-Bus disconnect control, channel 3'],
    ['0-0:1.0.0', 'clock'],
    ['0-0:42.0.0', 'logical device name'],
    ['0-0:96.1.1', 'device id 2'],
    ['0-0:96.3.10', 'disconnect control'],
    ['0-2:24.2.1', 'M-Bus value 1, channel 2'],
    ['0-0:97.97.0', 'error object 0'],
    ['0-0:97.98.0', 'alarm register 1'],
    ['0-0:97.98.20', 'alarm descriptor 1'],
    ['0-0:99.98.2', 'disconnect control event log'],
    ['0-6:25.9.0', 'push setup, channel 6'],
    ['7-0:3.0.0', 'gas volume'],
    ['6-0:1.0.0', 'heat energy'],
    ['8-0:1.0.0', 'cold water volume'],
    ['15-0:1.0.0', 'other media object'],
    ['3-0:1.0.0', undefined],
  ])('%s is %s', (code, name) => {
    expect(obisName(parseObis(code))).toBe(name)
  })

  test('and no code is without an answer', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (octets) => {
        expect(['string', 'undefined']).toContain(typeof obisName(decodeObis(octets)))
        expect(obisName(decodeObis(octets)) ?? '').not.toMatch(/NaN|undefined|\{/)
      }),
    )
  })
})

test('a pattern takes ranges, any group and one F', () => {
  const fits = (pattern: string, code: string): boolean => fitsPattern(obisPattern(pattern), parseObis(code))
  expect(fits('1-x:1-2.8.x', '1-1:2.8.3*7')).toBe(true)
  expect(fits('1-x:1-2.8.x', '1-1:3.8.0')).toBe(false)
  expect(fits('1-0:1.8.0*255', '1-0:1.8.0*1')).toBe(false)
  expect(['1-x:1-2.8.x', '1-0:1.8.0*9'].every((text) => obisPatternForm.test(text))).toBe(true)
  expect(['1.x.1.8.0', '1-x:8.x', ''].some((text) => obisPatternForm.test(text))).toBe(false)
})

test('classes and attributes have the names of the Blue Book, numbers where there is none', () => {
  expect([className(3), className(7), className(200)]).toEqual(['Register', 'Profile generic', 'class 200'])
  expect([attributeName(3, 3), attributeName(5, 3), attributeName(7, 4)]).toEqual([
    'scaler_unit',
    'last_average_value',
    'capture_period',
  ])
  expect([attributeName(3, 1), attributeName(3, 0), attributeName(3, 9)]).toEqual([
    'logical_name',
    'all attributes',
    'attribute 9',
  ])
})

describe('units', () => {
  test('are found by symbol and code', () => {
    expect([unitCode('Wh'), unitCode('m³'), unitCode('14'), unitCode('count')]).toEqual([30, 13, 14, 255])
    expect([unitCode('kWh'), unitCode('256')]).toEqual([undefined, undefined])
    expect([unitQuantity(30), unitQuantity(14), unitQuantity(58)]).toEqual([
      'active energy',
      'volume, corrected',
      undefined,
    ])
  })

  test('from 128 on are those outside the SI, and the last three stand for none', () => {
    expect([128, 131, 137, 140, 142, 146, 156, 169, 174].map(unitSymbol)).toEqual([
      'in',
      '°F',
      'ft³',
      'gal (US)',
      'psi',
      'Btu',
      'ft³/d',
      'gal (US)/h',
      'Btu/d',
    ])
    expect([175, 252].map(unitSymbol)).toEqual(['unit 175', 'unit 252'])
    expect([60, 67, 70, 72].map(unitSymbol)).toEqual(['Wh/m³', 'atm', 'dBm', 'dB'])
    expect([253, 254, 255].map(unitSymbol)).toEqual([null, null, null])
  })

  test('every code with a symbol of its own is found again', () => {
    for (let code = 1; code < 253; code++) {
      const symbol = unitSymbol(code)!
      if (unitQuantity(code) !== undefined) expect(unitSymbol(unitCode(symbol)!)).toBe(symbol)
      else expect(symbol).toBe(`unit ${code}`)
    }
  })

  test('scale integers without loss', () => {
    expect([scaledText(2347, -1), scaledText(-5, -3), scaledText(12, 2), scaledText(0, -1)]).toEqual([
      '234.7',
      '-0.005',
      '1200',
      '0.0',
    ])
    expect(scaledText(2n ** 64n - 1n, -3)).toBe('18446744073709551.615')
  })
})

test('bits are told in words', () => {
  expect(securityWords(0x30)).toBe('30: suite 0, authenticated, encrypted, unicast key')
  expect(securityWords(0xe1)).toBe('e1: suite 1, not authenticated, encrypted, broadcast key, compressed')
  expect(longInvokeWords(0xc0000007)).toBe('invoke id 7, high priority, confirmed')
  expect([0x93, 0x73, 0x10, 0x11, 0x13].map(hdlcControlWords)).toEqual([
    'SNRM, poll/final',
    'UA, poll/final',
    'I, N(S) 0, N(R) 0, poll/final',
    'RR, N(R) 0, poll/final',
    'UI, poll/final',
  ])
})

test('a date-time is told as sent, in UTC and with its flags', () => {
  const words = (hex: string): string | undefined => dateTimeWords(Buffer.from(hex, 'hex'))
  expect(words('07ea05040113131e00ff8881')).toBe(
    '2026-05-04 Mon 19:19:30, UTC+02:00 (deviation -120 min) = 2026-05-04T17:19:30Z, clock status 81: invalid, daylight saving',
  )
  expect(words('fffffffeffffffffff8000ff')).toBe(
    '*-*-(last day) *:*:*, deviation unspecified, clock status unspecified',
  )
  expect(words('07ea0d04')).toBeUndefined()
})
