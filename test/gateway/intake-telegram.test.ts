import { expect, test } from 'vitest'
import { type Enlisted, parseEnlisted } from '#gateway/io/enlisted.ts'
import { meterProfiles } from '#gateway/io/meter-profiles.ts'
import { protect } from '#simulator/protect.ts'
import { ledgerIn, take, waitingSeries } from '#test/support/ledger.ts'
import { frame, meter, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

const telegram = Buffer.from(
  ['/ABC5x', '', '0-0:1.0.0(230801120000S)', '1-0:1.8.0(000123.456*kWh)', '!', ''].join('\r\n'),
)

function enlisted(rest: { profile?: string }): Enlisted {
  const line = { meter: meter(1).meter, substation: 'S-1', ek: 'e'.repeat(32), ak: 'a'.repeat(32), ...rest }
  return parseEnlisted(JSON.stringify(line), meterProfiles().keys())
}

/** What the gateway makes of the telegram from a meter: its readings, or the code of its fault. */
function taken(by: Enlisted): unknown[] {
  const ledger = ledgerIn(tempFolder(), [by])
  const sealed = protect(telegram, { systemTitle: by.meter, ek: by.ek, ak: by.ak, invocationCounter: 1 })
  const { unhandled } = take(ledger, [uplink(1, [frame(by, sealed)])])
  expect(unhandled).toEqual([])
  const faults = ledger.quarantined(9).map(({ code }) => code)
  const found = waitingSeries(ledger).map(({ obis, scaler, unit, ends, values }) => [obis, scaler, unit, ends, values])
  ledger.close()
  return faults.length > 0 ? faults : found
}

test('a ciphered P1 telegram of a meter whose profile is named gives readings', () => {
  const end = Date.parse('2023-08-01T10:00:00Z') / 1000
  expect(taken(enlisted({ profile: 'p1-lu' }))).toEqual([['1-0:1.8.0', 0, 30, [end], [123456]]])
})

test('one of a meter whose zone nobody tells is quarantined', () => {
  expect(taken(enlisted({}))).toEqual(['PUSH_TIME'])
})
