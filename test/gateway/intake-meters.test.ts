import { createSecretKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import { type GeneralBlockTransfer, reassemble } from '#gateway/codec/block.ts'
import { detectFraming, unframe } from '#gateway/codec/framing.ts'
import type { Framing } from '#gateway/codec/uplink.ts'
import { type Enlisted, parseEnlisted } from '#gateway/io/enlisted.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import { meterProfiles } from '#gateway/io/meter-profiles.ts'
import { systemTitle } from '#gateway/model.ts'
import { type Form, protect, type Sealing } from '#gateway/session/protect.ts'
import { decipherUnverified } from '#gateway/session/unprotect.ts'
import { ledgerIn, take, waitingSeries } from '#test/support/ledger.ts'
import { frame, meter, monday, plainPush, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'
import { type CorpusCase, corpusCases, hasCorpus, mustHaveCorpus } from './codec/corpus.ts'

const general: Form = { apdu: 'general-glo-ciphering', key: 'unicast' }
const push = plainPush({ counter: 1, rows: [[monday + 900, 100]] })

/** The first meter of the fleet, with what else its line says; keys as long as its suite asks for. */
function enlisted(rest: { suite?: number; policy?: number | string; profile?: string; meter?: string }): Enlisted {
  const key = (digit: string): string => digit.repeat(rest.suite === 2 ? 64 : 32)
  const line = { meter: meter(1).meter, substation: 'S-1', ek: key('e'), ak: key('a'), ...rest }
  return parseEnlisted(JSON.stringify(line), meterProfiles().keys())
}

function sealed(by: Enlisted, plain: Uint8Array, rest: Partial<Sealing> = {}, form = general): Uint8Array {
  const sealing: Sealing = {
    suite: by.suite ?? 0,
    protection: 'authenticated-encrypted',
    systemTitle: by.meter,
    ek: createSecretKey(by.ek),
    ak: by.ak,
    invocationCounter: 1,
    ...rest,
  }
  return encodeApdu(protect(plain, form, sealing))
}

const codes = (ledger: SqliteLedger): string[] => ledger.quarantined(9).map(({ code }) => code)

/** What became of one frame: fault codes, or nothing where it gave readings. */
function fate(by: Enlisted, apdu: Uint8Array): string[] {
  const ledger = ledgerIn(tempFolder(), [by])
  const { applied, unhandled } = take(ledger, [uplink(1, [frame(by, apdu)])])
  const found = codes(ledger)
  expect(unhandled).toEqual([])
  expect(applied.fresh > 0).toBe(found.length === 0)
  expect(ledger.registry.meter(by.meter)!.counter).toBe(found.length === 0 ? 1 : -1)
  ledger.close()
  return found
}

describe("a meter's suite and policy", () => {
  test.each([0, 1, 2])('suite %i alone is taken from a meter that has it', (suite) => {
    const by = enlisted({ suite })
    expect(fate(by, sealed(by, push))).toEqual([])
    const other = (suite + 1) % 3
    const key = Buffer.alloc(other === 2 ? 32 : 16)
    expect(fate(by, sealed(by, push, { suite: other, ek: createSecretKey(key), ak: key }))).toEqual(['SECURITY_SUITE'])
  })

  test.each<[string | number, readonly string[]]>([
    ['authenticated-encrypted', ['authenticated', 'encrypted']],
    [0x60, ['authenticated', 'encrypted']],
    ['authenticated', ['encrypted']],
    [0x2c, ['encrypted']],
    ['encrypted', ['authenticated']],
    [0x40, ['authenticated']],
  ])('policy %s takes what it names and more, and refuses %j', (policy, refused) => {
    const by = enlisted({ policy })
    for (const protection of ['authenticated-encrypted', 'authenticated', 'encrypted'] as const) {
      const expected = refused.includes(protection) ? ['SECURITY_DOWNGRADE'] : []
      expect([protection, fate(by, sealed(by, push, { protection }))]).toEqual([protection, expected])
    }
  })

  test('no policy takes an APDU in the clear', () => {
    for (const policy of ['authenticated', 'encrypted']) {
      expect(fate(enlisted({ policy }), push)).toEqual(['SECURITY_DOWNGRADE'])
    }
  })

  const header = {
    transactionId: Buffer.of(1),
    recipient: Buffer.alloc(0),
    dateTime: Buffer.alloc(0),
    otherInformation: Buffer.alloc(0),
  }
  const getRequest = Buffer.from('c0010000080000010000ff0200', 'hex')
  test.each<[string, Form, Uint8Array, string]>([
    ['of a service', { apdu: 'glo', key: 'unicast' }, getRequest, 'SECURITY_SERVICE'],
    ['of a service, dedicated', { apdu: 'ded' }, getRequest, 'SECURITY_SERVICE'],
    ['under the dedicated key', { apdu: 'general-ded-ciphering' }, push, 'SECURITY_SERVICE'],
    ['under the broadcast key', { apdu: 'general-glo-ciphering', key: 'broadcast' }, push, 'SECURITY_CONTROL'],
    ['under a settled key', { apdu: 'general-ciphering', header, keyInfo: undefined }, push, 'SECURITY_SERVICE'],
    [
      'of general-ciphering under the unicast key',
      { apdu: 'general-ciphering', header, keyInfo: { kind: 'identified', key: 'unicast' } },
      push,
      'SECURITY_SERVICE',
    ],
  ])('an APDU %s is refused, and the counter stays', (_, form, plain, code) => {
    const by = enlisted({})
    expect(fate(by, sealed(by, plain, {}, form))).toEqual([code])
  })
})

describe.skipIf(!hasCorpus && !mustHaveCorpus)(
  `published pushes of real meters${hasCorpus ? '' : ' (skipped: the corpus does not lie beside the project)'}`,
  () => {
    const cases = hasCorpus ? corpusCases() : []
    const entryOf = (id: string): CorpusCase & { system_title?: string } => cases.find((one) => one.id === id)!

    /** A published notification in the clear. */
    function plainOf({ hex, ek }: CorpusCase): Uint8Array {
      const octets = Buffer.from(hex, 'hex')
      const payloads = unframe(octets, detectFraming(octets)).payloads.map((payload) => payload.octets)
      const apdus = payloads.map((payload) => decodeApdu(payload))
      const blocks = apdus.filter((apdu): apdu is GeneralBlockTransfer => apdu.apdu === 'general-block-transfer')
      const inner = blocks.length > 0 ? reassemble(blocks)[0]! : payloads[0]!
      const apdu = decodeApdu(inner)
      if (apdu.apdu !== 'general-glo-ciphering') return inner
      return decipherUnverified(apdu, systemTitle(apdu.systemTitle), createSecretKey(Buffer.from(ek!, 'hex')))
    }

    /** The readings of a push that a meter sealed: how many, of which time; or the code of its fault. */
    function readings(by: Enlisted, apdu: Uint8Array, framing: Framing = 'apdu'): [number, string] | string[] {
      const ledger = ledgerIn(tempFolder(), [by])
      take(ledger, [uplink(1, [{ ...frame(by, apdu), framing }])])
      const series = waitingSeries(ledger)
      const faults = codes(ledger)
      ledger.close()
      if (faults.length > 0) return faults
      const [end, ...others] = new Set(series.flatMap(({ ends }) => ends))
      expect(others).toEqual([])
      return [series.length, new Date(end! * 1000).toISOString().replace('.000', '')]
    }

    const named: readonly [id: string, profile: string, count: number, end: string][] = [
      ['scs-e450-encrypted', 'landis-gyr-e450', 16, '2022-02-23T20:36:00Z'],
      ['scs-e450-push-2026', 'landis-gyr-e450', 12, '2026-05-04T09:39:21Z'],
      ['scs-am550-push', 'iskra-am550', 23, '2020-08-15T04:19:45Z'],
      ['amshan-kaifa-no-list-1', 'kaifa-no', 1, '2019-02-04T22:52:22Z'],
      ['amshan-kamstrup-no-list-1-single-phase-real-sample', 'kamstrup-no', 6, '2022-01-17T11:44:40Z'],
      ['amshan-aidon-se-list', 'aidon-se', 26, '2019-12-16T06:59:40Z'],
    ]
    test.each(named)('%s is read with the profile %s that the registry names', (id, profile, count, end) => {
      const by = enlisted({ profile })
      expect(readings(by, sealed(by, plainOf(entryOf(id))))).toEqual([count, end])
    })

    const told: readonly [id: string, count: number, end: string][] = [
      ['scs-e450-push-two', 11, '2021-07-06T12:58:18Z'],
      ['scs-am550-push-2026', 12, '2026-05-04T17:19:30Z'],
      ['amshan-kaifa-no-list-3', 14, '2020-01-25T13:00:10Z'],
      ['amshan-kamstrup-no-list-2-three-phase', 14, '2017-08-16T14:00:05Z'],
    ]
    test.each(told)('%s is read by what it tells of its meter, and alike each time', (id, count, end) => {
      const by = enlisted({ meter: '5858580000000001' })
      const apdu = sealed(by, plainOf(entryOf(id)))
      expect(readings(by, apdu)).toEqual([count, end])
      expect(readings(by, apdu)).toEqual([count, end])
    })

    test('what is read by evidence does not depend on what came before', () => {
      const by = enlisted({ meter: '5858580000000001' })
      const ledger = ledgerIn(tempFolder(), [by])
      const frames = [...named, ...told].map(([id], i) =>
        frame(by, sealed(by, plainOf(entryOf(id)), { invocationCounter: i + 1 })),
      )
      take(ledger, [uplink(1, frames)])
      const alone = [...named, ...told].filter(
        ([id]) => typeof readings(by, sealed(by, plainOf(entryOf(id))))[0] === 'string',
      )
      expect(codes(ledger)).toHaveLength(alone.length)
      expect(alone.length).toBeGreaterThan(0)
      ledger.close()
    })

    test('a push that tells neither enough nor its meter is kept, and so is one that a named profile does not fit', () => {
      const plain = plainOf(entryOf('amshan-kaifa-no-list-1'))
      const nobody = enlisted({ meter: '5858580000000001' })
      expect(readings(nobody, sealed(nobody, plain))).toEqual(['PUSH_VALUE'])
      const wrong = enlisted({ profile: 'aidon-no' })
      expect(readings(wrong, sealed(wrong, plain))).toEqual(['PUSH_FORM'])
    })

    test.each<[id: string, rest: Parameters<typeof enlisted>[0], framing: Framing, count: number, end: string]>([
      ['dlmsparser-hdlc-landis-gyr-e450', { profile: 'landis-gyr-e450' }, 'hdlc', 16, '2022-02-21T16:37:30Z'],
      ['dlmsparser-hdlc-lgz-e450-2', { profile: 'landis-gyr-e450' }, 'hdlc', 16, '2023-11-10T09:58:50Z'],
      ['dlmsparser-hdlc-kamstrup-omnipower', { profile: 'kamstrup-dk' }, 'hdlc', 30, '2026-03-12T14:24:30Z'],
      ['dlmsparser-mbus-netz-noe-p1', { policy: 'encrypted' }, 'mbus', 11, '2021-09-27T07:47:15Z'],
      ['tirol-kaifa-suite1', { suite: 1, policy: 'encrypted' }, 'mbus', 8, '2021-07-19T13:46:35Z'],
    ])('%s is taken as it came, under its published keys', (id, rest, framing, count, end) => {
      const { hex, ek, ak, system_title: title } = entryOf(id)
      const by = { ...enlisted({ ...rest, meter: title! }), ek: Buffer.from(ek!, 'hex') }
      const keyed = ak == null ? by : { ...by, ak: Buffer.from(ak, 'hex') }
      expect(readings(keyed, Buffer.from(hex, 'hex'), framing)).toEqual([count, end])
    })
  },
)
