import { generateKeyPairSync } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseEnlisted } from '#gateway/io/enlisted.ts'
import { meterProfiles } from '#gateway/io/meter-profiles.ts'
import { ledgerIn, take } from '#test/support/ledger.ts'
import { frame, meter, monday, sealedPush, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

const [one, two] = [meter(1), meter(2)]
const line = { meter: one.meter, substation: 'S-1', ek: 'e'.repeat(32), ak: 'a'.repeat(32) }
const parsed = (rest: object) => parseEnlisted(JSON.stringify({ ...line, ...rest }), meterProfiles().keys())
const p256 = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey.export({ type: 'pkcs8', format: 'pem' })
const columns = ['profile', 'suite', 'policy', 'forms', 'our_title', 'algorithm_id']

/** A ledger as versions before these columns and tables made it: with two meters, one of which has spoken. */
function formerLedger(): string {
  const folder = tempFolder()
  const ledger = ledgerIn(folder, [one, two])
  take(ledger, [uplink(1, [frame(one, sealedPush(one, { counter: 5, rows: [[monday, 1]] }))])])
  for (const column of columns) ledger.database.exec(`ALTER TABLE meter DROP COLUMN ${column}`)
  for (const table of ['meter_key', 'meter_counter']) ledger.database.exec(`DROP TABLE ${table}`)
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

  test('of the last version keeps what its lines say, and its meters can be given forms', () => {
    const folder = tempFolder()
    const ledger = ledgerIn(folder, [parsed({ suite: 1, policy: 'authenticated', profile: 'kaifa-no' })])
    ledger.database.exec('UPDATE meter SET counter = 5')
    for (const column of columns.slice(3)) ledger.database.exec(`ALTER TABLE meter DROP COLUMN ${column}`)
    for (const table of ['meter_key', 'meter_counter']) ledger.database.exec(`DROP TABLE ${table}`)
    ledger.close()
    const again = ledgerIn(folder)
    const kept = { counter: 5, profile: { name: 'kaifa-no' }, policy: { least: 'authenticated', suites: [1] } }
    expect(again.registry.meter(one.meter)).toMatchObject({ ...kept, layered: undefined })
    again.registry.enlist([parsed({ dedicatedEk: 'd'.repeat(32), forms: ['general-ded'] })])
    expect(again.registry.meter(one.meter)).toMatchObject({ counter: 5, layered: { counters: { dedicated: -1n } } })
    again.close()
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

  const point = p256.publicKey.export({ format: 'jwk' })
  const xy = Buffer.concat([point.x!, point.y!].map((one) => Buffer.from(one, 'base64url'))).toString('hex')
  const number = Buffer.from(p256.privateKey.export({ format: 'jwk' }).d!, 'base64url').toString('hex')
  const spki = p256.publicKey.export({ type: 'spki', format: 'pem' })
  const pkcs8 = p256.privateKey.export({ type: 'pkcs8', format: 'pem' })
  const ours = { suite: 1, ourTitle: two.meter }
  const signs = { ...ours, signingKey: xy, forms: ['general-glo', 'general-signing'] }

  test('may be forms with what they need, a public key as a point or as PEM, ours as a number or as PEM', () => {
    const agreed = { ...ours, forms: ['general-ciphering-agreed'], agreementKey: spki, ourAgreementKey: pkcs8 }
    const asPem = parsed(agreed).keys!
    const asHex = parsed({ ...agreed, agreementKey: `04${xy}`, ourAgreementKey: number }).keys!
    expect(asHex).toEqual(asPem)
    expect(Buffer.from(asHex.agreementKey!).toString('hex')).toBe(xy)
    expect(Buffer.from(asHex.ourAgreementKey!).toString('hex')).toBe(number)
    expect(parsed({ ...agreed, algorithmId: '60857406080300' }).algorithmId).toHaveLength(7)
    expect(parsed({ ...signs, policy: 'authenticated-encrypted-signed' }).policy).toBe(0xe0)
    expect(parsed({ kek: 'c'.repeat(32) }).keys!.kek).toHaveLength(16) // kept for whoever needs it: no form takes it
  })

  test('may be keys, which lie wrapped and are what they were after a restart', () => {
    const folder = tempFolder()
    const all = {
      ...signs,
      kek: 'c'.repeat(32),
      dedicatedEk: 'd'.repeat(32),
      agreementKey: xy,
      ourAgreementKey: number,
    }
    ledgerIn(folder, [parsed(all)]).close()
    const bytes = readdirSync(folder).map((name) => readFileSync(join(folder, name)).toString('latin1'))
    for (const key of [number, xy, 'c'.repeat(32), 'd'.repeat(32)]) {
      const octets = Buffer.from(key, 'hex').toString('latin1')
      expect(bytes.some((file) => file.includes(octets) || file.includes(key))).toBe(false)
    }
    const again = ledgerIn(folder)
    const { agreement, kek, eks, signingKey } = again.registry.meter(one.meter)!.layered!
    expect(agreement!.privateKey.equals(p256.privateKey)).toBe(true)
    expect(
      [agreement!.peerKey, agreement!.peerSigningKey, signingKey].map((key) => key!.equals(p256.publicKey)),
    ).toEqual([true, true, true])
    expect([kek, eks.dedicated].map((key) => key!.export().toString('hex'))).toEqual(['c'.repeat(32), 'd'.repeat(32)])
    again.registry.enlist([parsed({ ...signs, forms: ['general-glo', 'general-signing'] })])
    expect(again.registry.meter(one.meter)!.layered!.kek).toBeUndefined()
    again.close()
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
    ['no list of forms', { forms: 'glo' }, 'forms: each once, of general-glo, '],
    ['an empty list of forms', { forms: [] }, 'forms: each once, of'],
    ['a form twice', { forms: ['glo', 'glo'] }, 'forms: each once, of'],
    ['a form that there is not', { forms: ['glo', 'e'.repeat(32)] }, 'forms: each once, of'],
    ['a name that every object has for a form', { forms: ['constructor'] }, 'forms: each once, of'],
    ['forms that need another one', { ...signs, forms: ['general-signing', 'untitled'] }, 'forms: each once, of'],
    ['a form without its key', { forms: ['ded'] }, 'forms: ded needs dedicatedEk'],
    ['the broadcast form without its key', { forms: ['glo', 'broadcast'] }, 'forms: broadcast needs broadcastEk'],
    [
      'a form without our title',
      { kek: 'c'.repeat(32), forms: ['general-ciphering-wrapped'] },
      'wrapped needs ourTitle',
    ],
    ['signatures in suite 0', { forms: ['glo', 'general-signing'] }, 'needs signingKey and suite 1 or 2'],
    [
      'an agreement without the other side',
      { ...ours, ourAgreementKey: number, forms: ['general-ciphering-agreed'] },
      'needs agreementKey, or signingKey',
    ],
    [
      'a policy that asks for what no form gives',
      { suite: 1, policy: 'authenticated-signed' },
      'policy: signed pushes need',
    ],
    ['a key of the length of another suite', { dedicatedEk: 'd'.repeat(64) }, 'dedicatedEk: 32 hex digits'],
    ['a key that is another one too', { dedicatedEk: 'e'.repeat(32) }, 'dedicatedEk: a key of its own'],
    ['two keys that are one', { kek: 'c'.repeat(32), settledEk: 'c'.repeat(32) }, 'kek: a key of its own'],
    ['a key of a curve in suite 0', { signingKey: xy }, 'signingKey: for suites 1 and 2'],
    [
      'a point of another curve',
      { ...signs, suite: 2, ek: 'e'.repeat(64), ak: 'a'.repeat(64) },
      'signingKey: a point of P-384',
    ],
    [
      'no point of the curve',
      { ...signs, signingKey: `${xy.slice(0, -1)}${xy.endsWith('0') ? 1 : 0}` },
      'signingKey: a point of P-256',
    ],
    ['a private key for a public one', { ...signs, signingKey: pkcs8 }, 'signingKey: a point of P-256'],
    [
      'a number beyond the curve',
      { ...signs, ourAgreementKey: 'f'.repeat(64) },
      'ourAgreementKey: a private key of P-256',
    ],
    ['a private key of another curve', { ...signs, ourAgreementKey: p384 }, 'ourAgreementKey: a private key of P-256'],
    ['a public key for ours', { ...signs, ourAgreementKey: spki }, 'ourAgreementKey: a private key of P-256'],
    ['a number for our title', { ourTitle: 7 }, 'ourTitle: 16 hex digits'],
    ['a short algorithm identifier', { algorithmId: '6085' }, 'algorithmId: 14 hex digits'],
  ]
  test.each(wrong)('is refused where it is %s, and the message shows no key', (_, rest, says) => {
    expect(() => parsed(rest)).toThrow(says)
    expect(() => parsed(rest)).not.toThrow(/e{8}|a{8}|c{8}|d{8}|f{8}/)
    for (const key of [number, xy, pkcs8.slice(40, 60)]) expect(() => parsed(rest)).not.toThrow(key)
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

test('a meter that is forgotten and read again has the counters that it had', () => {
  const ledger = ledgerIn(tempFolder(), [one, two])
  const push = (of: typeof one, counter: number) => frame(of, sealedPush(of, { counter, rows: [[monday, 1]] }))
  take(ledger, [uplink(1, [push(one, 5), push(two, 3)])])
  ledger.registry.trim(1)
  take(ledger, [uplink(2, [push(one, 5), push(two, 3), push(one, 6), push(one, 6)])])
  expect(ledger.quarantined(9).map(({ code }) => code)).toEqual(Array(3).fill('COUNTER_REPLAYED'))
  expect(ledger.registry.meter(one.meter)!.counter).toBe(6)
  ledger.close()
})
