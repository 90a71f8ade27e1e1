import { describe, expect, test } from 'vitest'
import { parseEnlisted } from '#gateway/io/enlisted.ts'
import { meterProfiles } from '#gateway/io/meter-profiles.ts'
import { ledgerIn, take } from '#test/support/ledger.ts'
import { frame, meter, monday, sealedPush, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

const [one, two] = [meter(1), meter(2)]
const line = { meter: one.meter, substation: 'S-1', ek: 'e'.repeat(32), ak: 'a'.repeat(32) }
const parsed = (rest: object) => parseEnlisted(JSON.stringify({ ...line, ...rest }), meterProfiles().keys())
const columns = ['profile', 'suite', 'policy']

/** A ledger as versions before these columns made it: with two meters that have spoken. */
function formerLedger(): string {
  const folder = tempFolder()
  const ledger = ledgerIn(folder, [one, two])
  take(ledger, [uplink(1, [frame(one, sealedPush(one, { counter: 5, rows: [[monday, 1]] }))])])
  for (const column of columns) ledger.database.exec(`ALTER TABLE meter DROP COLUMN ${column}`)
  ledger.close()
  return folder
}

describe('a ledger of a former version', () => {
  test('is given the columns that it lacks, and its meters go on as they were', () => {
    const ledger = ledgerIn(formerLedger())
    expect(ledger.registry.meter(one.meter)).toMatchObject({
      counter: 5,
      profile: undefined,
      policy: { least: 'authenticated-encrypted', suites: [0] },
    })
    const push = (counter: number) => frame(one, sealedPush(one, { counter, rows: [[monday + counter, 1]] }))
    expect(take(ledger, [uplink(2, [push(6), push(5)])]).applied.fresh).toBe(1)
    expect(ledger.quarantined(9).map(({ code }) => code)).toEqual(['COUNTER_REPLAYED'])
    ledger.close()
  })

  test('is opened by two at a time, and again', () => {
    const folder = formerLedger()
    const ledgers = [ledgerIn(folder), ledgerIn(folder)]
    for (const { registry } of ledgers) expect(registry.count()).toBe(2)
    for (const ledger of ledgers) ledger.close()
    ledgerIn(folder).close()
  })
})

describe('what a line says beyond keys', () => {
  test('is kept across a restart, and a line without it takes it back', () => {
    const folder = tempFolder()
    const ledger = ledgerIn(folder, [parsed({ profile: 'landis-gyr-e450', suite: 1, policy: 'authenticated' })])
    ledger.close()
    const again = ledgerIn(folder)
    expect(again.registry.meter(one.meter)).toMatchObject({
      profile: { name: 'landis-gyr-e450' },
      policy: { least: 'authenticated', suites: [1] },
    })
    again.registry.enlist([parsed({})])
    expect(again.registry.meter(one.meter)).toMatchObject({
      profile: undefined,
      policy: { least: 'authenticated-encrypted', suites: [0] },
    })
    again.close()
  })

  test('may be a suite with its keys, and a policy by name or by bits', () => {
    const long = { ek: 'e'.repeat(64), ak: 'a'.repeat(64) }
    expect(parsed({ suite: 2, ...long }).ek).toHaveLength(32)
    expect(parsed({ suite: 1 }).ek).toHaveLength(16)
    expect(parsed({ policy: 'authenticated-encrypted' }).policy).toBe(0x60)
    expect(parsed({ policy: 0x6c }).policy).toBe(0x6c)
    expect(parsed({})).not.toHaveProperty('policy')
  })

  const wrong: readonly [string, object, string][] = [
    ['a profile that there is not', { profile: 'e'.repeat(32) }, 'profile: one of aidon-no, '],
    ['no name of a profile', { profile: null }, 'profile: one of'],
    ['a suite that there is not', { suite: 3 }, 'suite: 0, 1 or 2'],
    ['a suite as a text', { suite: '1' }, 'suite: 0, 1 or 2'],
    ['short keys in suite 2', { suite: 2 }, 'ek: 64 hex digits'],
    ['a long key in suite 1', { suite: 1, ak: 'a'.repeat(64) }, 'ak: 32 hex digits'],
    ['a policy nobody knows', { policy: 'none' }, 'policy: authenticated-encrypted,'],
    ['a name that every object has', { policy: 'constructor' }, 'policy: '],
    ['bits that ask for nothing from the meter', { policy: 0x0c }, 'policy: '],
    ['a policy of version 0', { policy: 3 }, 'policy: '],
    ['a bit of version 0 beside them', { policy: 0x63 }, 'policy: '],
    ['signed pushes', { policy: 0xe0 }, 'policy: '],
    ['bits beyond an octet', { policy: 2 ** 32 + 0x60 }, 'policy: '],
    ['a key nobody knows', { security: 1 }, "unknown key 'security'"],
  ]
  test.each(wrong)('is refused where it is %s, and the message shows no key', (_, rest, says) => {
    expect(() => parsed(rest)).toThrow(says)
    expect(() => parsed(rest)).not.toThrow(/e{8}|a{8}/)
  })
})

test('a profile that a meter has and that there is no more is told, until the meter is given another', () => {
  const folder = tempFolder()
  const ledger = ledgerIn(folder, [parsed({ profile: 'kaifa-no' }), two])
  expect(ledger.registry.lostProfiles()).toEqual([])
  ledger.database.exec("UPDATE meter SET profile = 'gone' WHERE profile IS NOT NULL")
  expect(ledger.registry.lostProfiles()).toEqual(['gone'])
  ledger.registry.enlist([parsed({ profile: 'kaifa-no' })])
  expect(ledger.registry.lostProfiles()).toEqual([])
  ledger.close()
})
