import { createSecretKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import { type Ciphered, isCiphered } from '#gateway/codec/protection.ts'
import type { PeerFault } from '#gateway/errors.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import { formNames, type FormName as RegistryForm } from '#gateway/io/meter-forms.ts'
import { wrapKey } from '#gateway/session/key-wrap.ts'
import type { Protection } from '#gateway/session/policy.ts'
import { protect } from '#gateway/session/protect.ts'
import {
  agreedForms,
  everySuite,
  type FormName,
  meterTitle,
  ownTitle,
  type Parties,
  symmetricForms,
} from '#test/gateway/session/parties.ts'
import { enlistedAs, plainFor, registryForms, sealedAs, signedAs, storedCounters } from '#test/support/layered.ts'
import { ledgerIn, take } from '#test/support/ledger.ts'
import { frame, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

const by = { meter: meterTitle }
const [suite0, suite1, suite2] = everySuite as [Parties, Parties, Parties]
const formsOf = ({ suite }: Parties): readonly FormName[] =>
  suite.id === 0 ? symmetricForms : [...symmetricForms, ...agreedForms]
const all = everySuite.flatMap((parties) => formsOf(parties).map((name) => [parties.suite.id, name] as const))

/** Whose counter a form's frames count. */
function counterOf(name: FormName): string {
  if (name.endsWith('broadcast')) return 'broadcast'
  if (name === 'ded' || name === 'general-ded') return 'dedicated'
  if (name === 'settled') return 'settled'
  return ['wrapped', 'one-pass', 'static unified'].includes(name) ? 'message' : 'unicast'
}

function open(parties: Parties, rest: Parameters<typeof enlistedAs>[1], folder = tempFolder()): SqliteLedger {
  return ledgerIn(folder, [enlistedAs(parties, rest)])
}

let sequence = 0
/** What becomes of frames, one after another: `taken`, or the code of the refusal. */
function fates(ledger: SqliteLedger, apdus: readonly Uint8Array[]): string[] {
  return apdus.map((apdu) => {
    const { effects, readings, unhandled } = take(ledger, [uplink(++sequence, [frame(by, apdu)])])
    expect(unhandled).toEqual([])
    expect(readings).toBe(effects.quarantine.length === 0 ? 1 : 0)
    return effects.quarantine[0]?.code ?? 'taken'
  })
}

/** One frame to a meter that has not spoken: its fate, and that nothing moved where it was refused. */
function fate(parties: Parties, rest: Parameters<typeof enlistedAs>[1], apdu: Uint8Array): string {
  const ledger = open(parties, rest)
  const [found] = fates(ledger, [apdu])
  if (found !== 'taken') expect(storedCounters(ledger)).toEqual({})
  ledger.close()
  return found!
}

/** A ciphered APDU with some of its fields changed. */
function changed(apdu: Uint8Array, change: (given: Ciphered) => Partial<Ciphered> | object): Uint8Array {
  const given = decodeApdu(apdu)
  if (!isCiphered(given)) throw new TypeError(given.apdu)
  return encodeApdu({ ...given, ...change(given) } as Ciphered)
}

describe('a form that the registry names', () => {
  test.each(all)('is taken in suite %i: %s, once, and counts its own counter alone', (id, name) => {
    const parties = everySuite[id]!
    const folder = tempFolder()
    const forms = registryForms[name]
    const ledger = open(parties, { forms }, folder)
    const first = sealedAs(name, parties, { counter: 5 })
    expect(fates(ledger, [first, first, sealedAs(name, parties, { counter: 4 })])).toEqual([
      'taken',
      'COUNTER_REPLAYED',
      'COUNTER_REPLAYED',
    ])
    expect(storedCounters(ledger)).toEqual({ [counterOf(name)]: 5 })
    ledger.close()
    const again = ledgerIn(folder)
    expect(fates(again, [first, sealedAs(name, parties, { counter: 6 })])).toEqual(['COUNTER_REPLAYED', 'taken'])
    again.registry.enlist([enlistedAs(parties, { forms })]) // a line for a known meter takes no counter back
    expect(fates(again, [sealedAs(name, parties, { counter: 6 })])).toEqual(['COUNTER_REPLAYED'])
    expect(storedCounters(again)).toEqual({ [counterOf(name)]: 6 })
    again.close()
  })

  test.each(all)('is refused in suite %i where the line names every other one: %s', (id, name) => {
    const parties = everySuite[id]!
    const [own] = registryForms[name]
    const others = formNames.filter(
      (form) => form !== own && (id > 0 || !['general-ciphering-agreed', 'general-signing'].includes(form)),
    )
    const ofKey = ['settled', 'wrapped', 'one-pass', 'static unified'].includes(name)
    const code = ofKey ? 'SECURITY_CONTROL' : 'SECURITY_SERVICE'
    expect(fate(parties, { forms: others }, sealedAs(name, parties, { counter: 5 }))).toBe(code)
  })

  test('is all that is taken: general-glo-ciphering too is refused where it is not named', () => {
    const apdu = sealedAs('general-glo', suite0, { counter: 1 })
    expect(fate(suite0, { forms: ['general-ded'] }, apdu)).toBe('SECURITY_SERVICE')
    expect(fate(suite0, {}, apdu)).toBe('taken')
  })

  test('does not take the broadcast key unless it is named too', () => {
    for (const name of ['glo broadcast', 'general-glo broadcast', 'identified broadcast'] as const) {
      const [form] = registryForms[name]
      expect(fate(suite0, { forms: [form!] }, sealedAs(name, suite0, { counter: 1 }))).toBe('SECURITY_CONTROL')
    }
  })

  test('counts in one stretch and across stretches alike', () => {
    const forms: RegistryForm[] = ['general-ded', 'general-ciphering-wrapped']
    const ledger = open(suite0, { forms })
    const frames = [3, 3, 4, 2].flatMap((counter) =>
      (['general-ded', 'wrapped'] as const).map((name) => frame(by, sealedAs(name, suite0, { counter }))),
    )
    const { effects } = take(ledger, [uplink(++sequence, frames)])
    expect(effects.quarantine.map(({ code }) => code)).toEqual(Array.from({ length: 4 }, () => 'COUNTER_REPLAYED'))
    expect(storedCounters(ledger)).toEqual({ dedicated: 4, message: 4 })
    ledger.close()
  })

  test('numbers transactions up to 32 octets', () => {
    const folder = tempFolder()
    const ledger = open(suite0, { forms: ['general-ciphering-wrapped'] }, folder)
    const last = 2n ** 256n - 1n
    expect(fates(ledger, [numbered(last - 1n), numbered(last), numbered(last - 1n)])).toEqual([
      'taken',
      'taken',
      'COUNTER_REPLAYED',
    ])
    ledger.close()
    const again = ledgerIn(folder)
    expect(again.registry.meter(meterTitle)!.layered!.counters.message).toBe(last)
    expect(fates(again, [numbered(last)])).toEqual(['COUNTER_REPLAYED'])
    again.close()
  })

  /** Under a key of the message, with a transaction identifier of 32 octets. */
  function numbered(transaction: bigint): Uint8Array {
    const { suite, security } = suite0
    const ek = createSecretKey(Buffer.alloc(16, 9))
    const header = {
      transactionId: Buffer.from(transaction.toString(16).padStart(64, '0'), 'hex'),
      recipient: Buffer.from(ownTitle, 'hex'),
      dateTime: Buffer.alloc(0),
      otherInformation: Buffer.alloc(0),
    }
    const form = {
      apdu: 'general-ciphering',
      header,
      keyInfo: { kind: 'wrapped', wrapped: wrapKey(ek, security.kek!, suite) },
    } as const
    const sealing = { suite: 0, systemTitle: meterTitle, ek, ak: security.ak, invocationCounter: 1 }
    const plain = plainFor('wrapped', Number(transaction % 90n))
    return encodeApdu(protect(plain, form, { ...sealing, protection: 'authenticated-encrypted' }))
  }
})

describe('what is weaker or other than the line says is refused, and nothing moves', () => {
  const cases = all.map(([id, name]) => [id, name, everySuite[id]!] as const)

  test.each(cases)('suite %i, %s', (_, name, parties) => {
    const forms = registryForms[name]
    const of = (protection: Protection): Uint8Array => sealedAs(name, parties, { counter: 5, protection })
    const good = of('authenticated-encrypted')
    const control = (octet: (given: number) => number): Uint8Array =>
      changed(good, ({ securityControl }) => ({ securityControl: octet(securityControl) }))
    const content = (cut: (given: Uint8Array) => Uint8Array): Uint8Array =>
      changed(good, (given) => ({ content: cut(given.content) }))
    const expected: [string, Uint8Array, PeerFault][] = [
      ['in clear', plainFor(name, 5), 'SECURITY_DOWNGRADE'],
      ['authenticated alone', of('authenticated'), 'SECURITY_DOWNGRADE'],
      ['encrypted alone', of('encrypted'), 'SECURITY_DOWNGRADE'],
      ['neither', control((octet) => octet & 0x4f), 'SECURITY_DOWNGRADE'],
      ['compressed', control((octet) => octet | 0x80), 'SECURITY_COMPRESSED'],
      ['another suite', control((octet) => octet ^ 0x01), 'SECURITY_SUITE'],
      ['no suite', control((octet) => octet | 0x0f), 'SECURITY_SUITE'],
      ['a short tag', content((given) => given.subarray(0, -4)), 'TAG_UNAUTHENTIC'],
      ['a long tag', content((given) => Buffer.concat([given, Buffer.alloc(4)])), 'TAG_UNAUTHENTIC'],
      ['no room for a tag', content((given) => given.subarray(0, 11)), 'APDU_LENGTH'],
    ]
    const ledger = open(parties, { forms })
    expect(expected.map(([what], i) => [what, fates(ledger, [expected[i]![1]])[0]])).toEqual(
      expected.map(([what, , code]) => [what, code]),
    )
    expect(storedCounters(ledger)).toEqual({})
    expect(fates(ledger, [good])).toEqual(['taken'])
    ledger.close()
  })

  test('a lower suite than the line says', () => {
    for (const [higher, lower] of [
      [suite1, suite0],
      [suite2, suite1],
      [suite2, suite0],
    ] as const) {
      expect(fate(higher, { forms: ['general-ded'] }, sealedAs('general-ded', lower, { counter: 1 }))).toBe(
        'SECURITY_SUITE',
      )
    }
  })

  const foreign = Buffer.from('4d4d4d0000bc614f', 'hex')
  const titled: [FormName, object, PeerFault | 'TAG_UNAUTHENTIC' | 'taken'][] = [
    ['general-ded', { systemTitle: foreign }, 'SYSTEM_TITLE_FOREIGN'],
    ['general-ded', { systemTitle: Buffer.alloc(0) }, 'SYSTEM_TITLE_FOREIGN'],
    ['wrapped', { originator: foreign }, 'SYSTEM_TITLE_FOREIGN'],
    ['wrapped', { recipient: foreign }, 'SYSTEM_TITLE_FOREIGN'],
    ['wrapped', { recipient: Buffer.alloc(0) }, 'SYSTEM_TITLE_FOREIGN'],
  ]
  test.each(titled)('%s with %j', (name, change, code) => {
    const apdu = changed(sealedAs(name, suite0, { counter: 5 }), () => change)
    expect(fate(suite0, { forms: registryForms[name] }, apdu)).toBe(code)
  })

  test('an empty title, unless the line says untitled; a foreign one then too', () => {
    const empty = changed(sealedAs('general-ded', suite0, { counter: 5 }), () => ({ systemTitle: Buffer.alloc(0) }))
    const other = changed(sealedAs('general-ded', suite0, { counter: 5 }), () => ({ systemTitle: foreign }))
    expect(fate(suite0, { forms: ['general-ded'] }, empty)).toBe('SYSTEM_TITLE_FOREIGN')
    expect(fate(suite0, { forms: ['general-ded', 'untitled'] }, empty)).toBe('taken')
    expect(fate(suite0, { forms: ['general-ded', 'untitled'] }, other)).toBe('SYSTEM_TITLE_FOREIGN')
  })

  test('a key of a message that is not wrapped under ours', () => {
    const apdu = changed(sealedAs('wrapped', suite0, { counter: 5 }), () => ({
      keyInfo: { kind: 'wrapped', wrapped: Buffer.alloc(24, 1) },
    }))
    expect(fate(suite0, { forms: ['general-ciphering-wrapped'] }, apdu)).toBe('KEY_WRAP')
  })

  test('an ephemeral key that nobody vouches for', () => {
    const apdu = changed(sealedAs('one-pass', suite1, { counter: 5 }), (given) => {
      if (given.apdu !== 'general-ciphering' || given.keyInfo?.kind !== 'agreed') throw new TypeError()
      const data = Uint8Array.from(given.keyInfo.data)
      data[127]! ^= 1
      return { keyInfo: { ...given.keyInfo, data } }
    })
    expect(fate(suite1, { forms: ['general-ciphering-agreed'] }, apdu)).toBe('SIGNATURE_INVALID')
  })
})

describe('layers', () => {
  const everything = formNames.filter((form) => form !== 'untitled')
  const sealed = (name: FormName, parties: Parties, counter: number, plain?: Uint8Array): Uint8Array =>
    sealedAs(name, parties, plain === undefined ? { counter } : { counter, plain })
  const push = plainFor('general-glo', 7)

  const nested: [string, (parties: Parties) => Uint8Array, Record<string, number>][] = [
    ['signed around agreed', (of) => signedAs(of, sealed('static unified', of, 7), 7), { signature: 7, message: 7 }],
    ['signed around wrapped', (of) => signedAs(of, sealed('wrapped', of, 7), 8), { signature: 8, message: 7 }],
    ['signed around glo', (of) => signedAs(of, sealed('glo', of, 7), 7), { signature: 7, unicast: 7 }],
    ['agreed around signed', (of) => sealed('one-pass', of, 7, signedAs(of, push, 9)), { signature: 9, message: 7 }],
    ['agreed around glo', (of) => sealed('one-pass', of, 7, sealed('glo', of, 3)), { message: 7, unicast: 3 }],
    [
      'signed around agreed around glo',
      (of) => signedAs(of, sealed('static unified', of, 7, sealed('glo', of, 3)), 1),
      { signature: 1, message: 7, unicast: 3 },
    ],
    [
      'four of them',
      (of) => signedAs(of, sealed('wrapped', of, 7, sealed('settled', of, 4, sealed('ded', of, 3))), 1),
      { signature: 1, message: 7, settled: 4, dedicated: 3 },
    ],
  ]

  test.each(nested.flatMap(([what, make, counters]) => [1, 2].map((id) => [what, id, make, counters] as const)))(
    '%s are opened in suite %i, once',
    (_, id, make, counters) => {
      const parties = everySuite[id]!
      const ledger = open(parties, { forms: everything })
      const apdu = make(parties)
      expect(fates(ledger, [apdu, apdu])).toEqual(['taken', 'COUNTER_REPLAYED'])
      expect(storedCounters(ledger)).toEqual(counters)
      ledger.close()
    },
  )

  test('are at most four', () => {
    const four = sealed('wrapped', suite1, 7, sealed('settled', suite1, 4, sealed('ded', suite1, 3)))
    const five = signedAs(suite1, sealed('general-glo broadcast', suite1, 5, four), 1)
    expect(fate(suite1, { forms: everything }, five)).toBe('APDU_UNSUPPORTED')
  })

  test('of one counter are one too many', () => {
    const twice = sealed('wrapped', suite1, 7, sealed('one-pass', suite1, 8))
    expect(fate(suite1, { forms: everything }, twice)).toBe('SECURITY_SERVICE')
  })

  test('that hold around one that does not have not counted', () => {
    const broken = Uint8Array.from(sealed('general-ded', suite1, 7))
    broken[broken.length - 1]! ^= 1
    for (const outer of [signedAs(suite1, broken, 7), sealed('wrapped', suite1, 7, broken)]) {
      expect(fate(suite1, { forms: everything }, outer)).toBe('TAG_UNAUTHENTIC')
    }
  })

  test('taken off by somebody on the way are a replay afterwards', () => {
    const inner = sealed('general-ded', suite1, 7)
    const ledger = open(suite1, { forms: everything })
    expect(fates(ledger, [signedAs(suite1, inner, 7), inner])).toEqual(['taken', 'COUNTER_REPLAYED'])
    ledger.close()
  })

  const signed = 'authenticated-encrypted-signed'
  const asked: [string, Uint8Array, { forms?: RegistryForm[]; policy?: unknown }, string][] = [
    [
      'not signed, where the policy asks for it',
      sealed('general-glo', suite1, 7),
      { forms: ['general-glo', 'general-signing'], policy: signed },
      'SECURITY_DOWNGRADE',
    ],
    [
      'signed around',
      signedAs(suite1, sealed('general-glo', suite1, 7), 7),
      { forms: ['general-glo', 'general-signing'], policy: 0xe0 },
      'taken',
    ],
    [
      'signed inside',
      sealed('general-glo', suite1, 7, signedAs(suite1, push, 7)),
      { forms: ['general-glo', 'general-signing'], policy: signed },
      'taken',
    ],
    [
      'signed and in clear',
      signedAs(suite1, push, 7),
      { forms: ['general-glo', 'general-signing'], policy: signed },
      'SECURITY_DOWNGRADE',
    ],
    [
      'signed twice',
      signedAs(suite1, signedAs(suite1, sealed('general-glo', suite1, 7), 8), 7),
      { forms: ['general-glo', 'general-signing'] },
      'SECURITY_SERVICE',
    ],
    [
      'signed, where the line does not name it',
      signedAs(suite1, sealed('general-glo', suite1, 7), 7),
      { forms: ['general-glo'] },
      'SECURITY_SERVICE',
    ],
    [
      'signed, where the line names no forms',
      signedAs(suite1, sealed('general-glo', suite1, 7), 7),
      {},
      'SECURITY_SERVICE',
    ],
    [
      'signed inside, where the line names no forms',
      sealed('general-glo', suite1, 7, signedAs(suite1, push, 7)),
      {},
      'APDU_UNSUPPORTED',
    ],
    [
      'weaker inside than the policy asks',
      signedAs(suite1, sealedAs('general-glo', suite1, { counter: 7, protection: 'authenticated' }), 7),
      { forms: ['general-glo', 'general-signing'] },
      'SECURITY_DOWNGRADE',
    ],
    [
      "signed with another meter's key",
      signedAs(
        { ...suite1, meter: { ...suite1.meter!, signingKey: suite1.meter!.privateKey } },
        sealed('general-glo', suite1, 7),
        7,
      ),
      { forms: ['general-glo', 'general-signing'] },
      'SIGNATURE_INVALID',
    ],
  ]
  test.each(asked)('%s: %#', (_, apdu, rest, expected) => {
    const ledger = open(suite1, rest)
    const [found] = fates(ledger, [apdu])
    expect(found).toBe(expected)
    // Under the plain form the tag held: what lies inside is content then, and its counter has moved.
    if (found !== 'taken') expect(storedCounters(ledger)).toEqual(expected === 'APDU_UNSUPPORTED' ? { unicast: 7 } : {})
    ledger.close()
  })

  test('addressed to somebody else are refused', () => {
    const apdu = decodeApdu(signedAs(suite1, sealed('general-glo', suite1, 7), 7))
    const other = encodeApdu({ ...apdu, recipient: Buffer.from(meterTitle, 'hex') } as typeof apdu)
    expect(fate(suite1, { forms: ['general-glo', 'general-signing'] }, other)).toBe('SYSTEM_TITLE_FOREIGN')
    expect(ownTitle).not.toBe(meterTitle)
  })
})

test('a stretch that is not committed moves no counter: neither in memory nor in the file', () => {
  const ledger = open(suite0, { forms: ['general-ded', 'general-ciphering-wrapped'] })
  const apdus = [sealedAs('general-ded', suite0, { counter: 5 }), sealedAs('wrapped', suite0, { counter: 5 })]
  ledger.database.exec("CREATE TRIGGER full BEFORE INSERT ON meter_counter BEGIN SELECT RAISE(ABORT, 'full'); END")
  expect(() => fates(ledger, apdus)).toThrow('full')
  expect(storedCounters(ledger)).toEqual({})
  ledger.database.exec('DROP TRIGGER full')
  expect(fates(ledger, apdus)).toEqual(['taken', 'taken'])
  ledger.close()
})
