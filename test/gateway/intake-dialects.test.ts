import { createSecretKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { encodeApdu } from '#gateway/codec/apdu.ts'
import { encodeDateTime } from '#gateway/codec/datetime.ts'
import { Dialects } from '#gateway/dialects.ts'
import { type Enlisted, parseEnlisted } from '#gateway/io/enlisted.ts'
import { meterProfiles } from '#gateway/io/meter-profiles.ts'
import type { RegisteredMeter } from '#gateway/io/registry.ts'
import { systemTitle } from '#gateway/model.ts'
import { protect } from '#gateway/session/protect.ts'
import { ledgerIn, take } from '#test/support/ledger.ts'
import { frame, meter, monday, plainPush, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

const standard = plainPush({ counter: 1, rows: [[monday + 900, 100]] })
/** Its date-time with the tag of an octet-string in front. */
const tagged = Buffer.concat([standard.subarray(0, 5), Uint8Array.of(0x09), standard.subarray(5)])
/** One power, and nothing that says so. */
const positional = encodeApdu({
  apdu: 'data-notification',
  longInvokeId: 1,
  dateTime: encodeDateTime(monday + 900),
  body: { type: 'structure', elements: [{ type: 'double-long-unsigned', value: 1_234 }] },
  dialects: [],
})

function enlisted(profile?: string): Enlisted {
  const line = { meter: meter(1).meter, substation: 'S-1', ek: 'e'.repeat(32), ak: 'a'.repeat(32), profile }
  return parseEnlisted(JSON.stringify(line), meterProfiles().keys())
}

/** The dialects that one push is reported in, or the code of its refusal. */
function reported(by: Enlisted, plain: Uint8Array): string[] {
  const ledger = ledgerIn(tempFolder(), [by])
  const form = { apdu: 'general-glo-ciphering', key: 'unicast' } as const
  const sealing = { suite: 0, systemTitle: by.meter, ek: createSecretKey(by.ek), ak: by.ak, invocationCounter: 1 }
  const apdu = encodeApdu(protect(plain, form, { ...sealing, protection: 'authenticated-encrypted' }))
  const { dialects, effects } = take(ledger, [uplink(1, [frame(by, apdu)])])
  ledger.close()
  expect(dialects.map((one) => one.meter.title)).toEqual(dialects.map(() => by.meter))
  return [...dialects.map(({ dialect }) => dialect), ...effects.quarantine.map(({ code }) => code)]
}

describe('a departure from the standard', () => {
  test.each<[string, string | undefined, Uint8Array, string[]]>([
    ['none', undefined, standard, []],
    ['none, of a meter that is known for one', 'kaifa-no', standard, []],
    ['a tagged time, of a meter of whom nothing is said: it is detected', undefined, tagged, ['tagged-date-time']],
    ['a tagged time, of a meter that is known for it', 'kaifa-no', tagged, ['tagged-date-time']],
    ['a tagged time, of a meter that is known for none', 'landis-gyr-e450', tagged, ['PUSH_FORM']],
    ['a list of places, of a meter that is known for it', 'kaifa-no', positional, ['positional']],
    ['a list of places, of a meter of whom nothing is said', undefined, positional, ['PUSH_VALUE']],
    ['a list of places, of a meter that is known for none', 'landis-gyr-e450', positional, ['PUSH_VALUE']],
  ])('%s', (_, profile, plain, expected) => {
    expect(reported(enlisted(profile), plain)).toEqual(expected)
  })
})

describe('the operator', () => {
  const spoken = (id: number, dialect: 'positional' | 'tagged-date-time' = 'positional') => {
    const title = systemTitle(Buffer.from(id.toString(16).padStart(16, '0'), 'hex'))
    return { meter: { id, title } as RegisteredMeter, dialect }
  }

  test('is told of a meter and its dialect once, and of every push in the counts', () => {
    const dialects = new Dialects()
    expect(dialects.note([spoken(1), spoken(1), spoken(2)]).map(({ meter: title }) => title.slice(-1))).toEqual([
      '1',
      '2',
    ])
    expect(dialects.note([spoken(2), spoken(1, 'tagged-date-time')])).toMatchObject([{ dialect: 'tagged-date-time' }])
    expect(dialects.counts()).toEqual({ positional: 4, 'tagged-date-time': 1 })
  })

  test('is told of at most twenty at a time, and of the others when they speak again', () => {
    const dialects = new Dialects()
    const all = Array.from({ length: 50 }, (_, i) => spoken(i))
    const told = [1, 2, 3, 4].flatMap(() => dialects.note(all).length)
    expect(told).toEqual([20, 20, 10, 0])
  })
})
