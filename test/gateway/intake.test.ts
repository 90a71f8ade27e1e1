import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeGeneralGloCiphering } from '#gateway/codec/ciphering.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { encodeUplink, type MeterFrame } from '#gateway/codec/uplink.ts'
import { intake } from '#gateway/intake.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import { concentratorId, quality, type SystemTitle } from '#gateway/model.ts'
import { protect } from '#simulator/protect.ts'
import { ledgerIn, take, waitingSeries } from '#test/support/ledger.ts'
import {
  concentrator,
  frame,
  journaled,
  later,
  meter,
  monday,
  plainPush,
  sealedPush,
  uplink,
} from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

const [one, two, three] = [meter(1), meter(2), meter(3)]
const rows = [[monday + 900, 100]] as const
const sealed = (of = one, counter = 1, values: readonly (readonly [number, number | bigint])[] = rows): Uint8Array =>
  sealedPush(of, { counter, rows: values })

const open = (): SqliteLedger => ledgerIn(tempFolder(), [one, two, three])

/** Puts a frame between two good ones, and says what became of all three. */
function between(ledger: SqliteLedger, bad: MeterFrame) {
  const good = [frame(two, sealed(two, 50)), frame(three, sealed(three, 50))] as const
  const taken = take(ledger, [uplink(77, [good[0], bad, good[1]])])
  return {
    quarantined: ledger.quarantined(10).map(({ code, meter, octets }) => ({ code, meter, octets: hex(octets) })),
    effective: waitingSeries(ledger).map(({ meter }) => meter),
    ...taken,
  }
}

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex')
function flipped(octets: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(octets)
  changed.set([changed.at(at)! ^ 1], at < 0 ? changed.length + at : at)
  return changed
}

describe('a frame that fails is quarantined with its code and octets, and its neighbours take effect', () => {
  const good = sealed()
  const cases: Record<string, { apdu: Uint8Array; as?: { meter: SystemTitle }; code: string }> = {
    'whose tag is forged': { apdu: flipped(good, -1), code: 'TAG_UNAUTHENTIC' },
    'whose content is forged': { apdu: flipped(good, -30), code: 'TAG_UNAUTHENTIC' },
    'whose counter is forged': { apdu: flipped(good, 13), code: 'TAG_UNAUTHENTIC' },
    "that another meter's keys sealed": {
      apdu: sealedPush({ ...two, meter: one.meter }, { counter: 1, rows }),
      code: 'TAG_UNAUTHENTIC',
    },
    'that is cut short': { apdu: good.subarray(0, -5), code: 'APDU_TRUNCATED' },
    'that is longer than it says': { apdu: Uint8Array.from([...good, 0]), code: 'APDU_TRAILING' },
    'that is empty': { apdu: new Uint8Array(0), code: 'APDU_TRUNCATED' },
    'in the clear': { apdu: plainPush({ counter: 1, rows }), code: 'SECURITY_DOWNGRADE' },
    'that is only authenticated': { apdu: controlled(0x10), code: 'SECURITY_DOWNGRADE' },
    'that is only encrypted': { apdu: controlled(0x20), code: 'SECURITY_DOWNGRADE' },
    'that is neither': { apdu: controlled(0x00), code: 'SECURITY_DOWNGRADE' },
    'under the broadcast key': { apdu: controlled(0x70), code: 'SECURITY_CONTROL' },
    'of another suite': { apdu: controlled(0x31), code: 'SECURITY_SUITE' },
    "with another meter's system title inside": { apdu: sealed(two), as: one, code: 'SYSTEM_TITLE_FOREIGN' },
    'of a meter that nobody registered': { apdu: sealed(meter(9)), as: meter(9), code: 'METER_UNKNOWN' },
    'whose value is beyond 64 bits, signed': { apdu: sealed(one, 1, [[monday + 900, 2n ** 63n]]), code: 'PUSH_VALUE' },
    'whose value is the widest there is': {
      apdu: sealed(one, 1, [[monday + 900, 2n ** 64n - 1n]]),
      code: 'PUSH_VALUE',
    },
    'whose capture period leads beyond the year 9999': {
      apdu: sealedPush(one, {
        counter: 1,
        capturePeriod: 0xffffffff,
        rows: Array.from({ length: 3_000 }, (_, i): [number, number] => [monday + i * 0xffffffff, 1]),
      }),
      code: 'PUSH_VALUE',
    },
  }

  test.for(Object.entries(cases))('one %s', ([, { apdu, as = one, code }]) => {
    const ledger = open()
    const { quarantined, effective, applied, unhandled } = between(ledger, frame(as, apdu))
    expect(quarantined).toEqual([{ code, meter: as.meter, octets: hex(apdu) }])
    expect(effective).toEqual([two.meter, three.meter])
    expect(applied).toEqual({ fresh: 2, revised: 0, repeated: 0 })
    expect(unhandled).toEqual([])
    ledger.close()
  })

  test('one that was taken before: a replay', () => {
    const ledger = open()
    take(ledger, [uplink(1, [frame(one, sealed(one, 5))])])
    const { quarantined, applied } = between(ledger, frame(one, sealed(one, 5)))
    expect(quarantined).toEqual([{ code: 'COUNTER_REPLAYED', meter: one.meter, octets: hex(sealed(one, 5)) }])
    expect(applied.fresh).toBe(2)
    ledger.close()
  })

  test('one of the same stretch: a replay too', () => {
    const ledger = open()
    take(ledger, [uplink(1, [frame(one, sealed(one, 5))]), uplink(2, [frame(one, sealed(one, 5))])])
    expect(ledger.quarantined(9).map(({ code }) => code)).toEqual(['COUNTER_REPLAYED'])
    ledger.close()
  })

  function controlled(control: number): Uint8Array {
    const title = Buffer.from(one.meter, 'hex')
    const content = Buffer.alloc(40, 7)
    const apdu = { apdu: 'general-glo-ciphering' as const, systemTitle: title, invocationCounter: 1, content }
    return encodeGeneralGloCiphering({ ...apdu, securityControl: control })
  }
})

describe('invocation counters', () => {
  const counterOf = (ledger: SqliteLedger): number => ledger.registry.meter(one.meter)!.counter

  test('stay where they are for whatever fails before the tag has held', () => {
    const ledger = open()
    take(ledger, [uplink(1, [frame(one, sealed(one, 5))])])
    const forged = [flipped(sealed(one, 1_000_000), -1), sealed(one, 9).subarray(0, -3), sealed(two, 900)]
    take(ledger, [
      uplink(
        2,
        forged.map((apdu) => frame(one, apdu)),
      ),
    ])
    expect(counterOf(ledger)).toBe(5)
    expect(take(ledger, [uplink(3, [frame(one, sealed(one, 6, [[monday + 1_800, 1]]))])]).applied.fresh).toBe(1)
    ledger.close()
  })

  test('move once it has held, whatever the content turns out to be, also across a restart', () => {
    const folder = tempFolder()
    const ledger = ledgerIn(folder, [one])
    take(ledger, [uplink(1, [frame(one, sealed(one, 7, [[monday, 2n ** 63n]]))])])
    expect(counterOf(ledger)).toBe(7)
    ledger.close()
    const again = ledgerIn(folder)
    expect(counterOf(again)).toBe(7)
    take(again, [uplink(2, [frame(one, sealed(one, 7))])])
    expect(again.quarantined(9).map(({ code }) => code)).toEqual(['COUNTER_REPLAYED', 'PUSH_VALUE'])
    again.close()
  })

  test('go to their end: 2^32 - 1 is taken once', () => {
    const ledger = open()
    const last = sealed(one, 0xffffffff)
    expect(take(ledger, [uplink(1, [frame(one, last)])]).applied.fresh).toBe(1)
    take(ledger, [uplink(2, [frame(one, last)])])
    expect(ledger.quarantined(9).map(({ code }) => code)).toEqual(['COUNTER_REPLAYED'])
    ledger.close()
  })
})

describe('an uplink', () => {
  test('that comes again is no replay: it has no effect and leaves no trace', () => {
    const folder = tempFolder()
    const ledger = ledgerIn(folder, [one])
    const arrival = uplink(1, [frame(one, sealed())])
    expect(take(ledger, [arrival, arrival])).toMatchObject({ repeatedUplinks: 1, applied: { fresh: 1, repeated: 0 } })
    expect(take(ledger, [arrival])).toMatchObject({
      repeatedUplinks: 1,
      readings: 0,
      applied: { fresh: 0, repeated: 0 },
    })
    ledger.close()
    const again = ledgerIn(folder)
    expect(take(again, [arrival])).toMatchObject({ repeatedUplinks: 1, applied: { fresh: 0, repeated: 0 } })
    expect(again.quarantined(9)).toEqual([])
    again.close()
  })

  test('is remembered for 1,023 others, and after them its frames are replays that take no effect', () => {
    const ledger = open()
    const arrival = uplink(1, [frame(one, sealed())])
    take(ledger, [arrival])
    const beats = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => uplink(from + i, []))
    take(ledger, beats(2, 1_024))
    expect(take(ledger, [arrival])).toMatchObject({ repeatedUplinks: 1 })
    take(ledger, beats(1_025, 1_025))
    expect(take(ledger, [arrival])).toMatchObject({
      repeatedUplinks: 0,
      applied: { fresh: 0, revised: 0, repeated: 0 },
    })
    expect(ledger.quarantined(9).map(({ code }) => code)).toEqual(['COUNTER_REPLAYED'])
    ledger.close()
  })

  test.for([
    ['falls', (i: number) => 1_000_000 - i * 100],
    ['jumps', (i: number) => (i * 7_919) % 100_003],
  ] as const)('whose sequence %s costs no more memory than 2,049 rows', ([, sequence]) => {
    const ledger = open()
    take(
      ledger,
      Array.from({ length: 6_000 }, (_, i) => uplink(sequence(i), [])),
    )
    const { n } = ledger.database.prepare('SELECT count(*) AS n FROM uplink').get() as { n: number }
    expect(n).toBeLessThanOrEqual(2_049)
    ledger.close()
  })

  test('of one sequence and other octets is another uplink, in one stretch and in the next', () => {
    const ledger = open()
    const push = (counter: number) => frame(one, sealed(one, counter, [[monday + counter * 900, 5]]))
    expect(take(ledger, [uplink(1, [push(1)]), uplink(1, [push(2)])]).applied.fresh).toBe(2)
    expect(take(ledger, [uplink(1, [push(3)])])).toMatchObject({ repeatedUplinks: 0, applied: { fresh: 1 } })
    ledger.close()
  })

  test('of one sequence and octets from another concentrator is another uplink', () => {
    const ledger = open()
    const other = concentratorId('dc-2')
    take(ledger, [uplink(1, [frame(one, sealed())]), uplink(1, [frame(one, sealed(one, 2))], other)])
    expect(ledger.database.prepare('SELECT concentrator, sequence FROM uplink ORDER BY 1').all()).toEqual([
      expect.objectContaining({ concentrator: 'dc-1', sequence: 1 }),
      expect.objectContaining({ concentrator: 'dc-2', sequence: 1 }),
    ])
    ledger.close()
  })

  test.for([
    ['that names another concentrator', { ...uplink(1, [], concentratorId('dc-2')), concentrator }, 'UPLINK_IDENTITY'],
    ['that is no protobuf', { ...uplink(1, []), payload: Buffer.of(0xff, 0xff, 0xff) }, 'UPLINK_MALFORMED'],
    ['that is empty', { ...uplink(1, []), payload: Buffer.alloc(0) }, 'UPLINK_MALFORMED'],
    [
      'of a kind that is kept and not forwarded',
      {
        ...uplink(1, []),
        payload: encodeUplink({
          concentrator,
          sequence: 1,
          sentAtMs: 0,
          body: { kind: 'event', octets: Buffer.of(8, 1) },
        }),
      },
      'UPLINK_UNSUPPORTED',
    ],
  ] as const)('%s is kept whole, and its neighbours take effect', ([, bad, code]) => {
    const ledger = open()
    const { applied } = take(ledger, [
      uplink(5, [frame(two, sealed(two))]),
      bad,
      uplink(6, [frame(three, sealed(three))]),
    ])
    expect(applied.fresh).toBe(2)
    const [kept] = ledger.quarantined(9)
    expect(kept).toMatchObject({ code, concentrator: bad.concentrator, atMs: bad.receivedAtMs, meter: undefined })
    expect(hex(kept!.octets)).toBe(hex(bad.payload))
    ledger.close()
  })
})

describe('our own faults', () => {
  test('an exception where a fault was due quarantines that frame as UNHANDLED and is told; the others go on', () => {
    const ledger = open()
    const { registry } = ledger
    const broken = {
      seen: () => false,
      takesChannel: () => true,
      registry: {
        meter: (title: SystemTitle) => {
          if (title === two.meter) throw new RangeError('offset is out of bounds')
          return registry.meter(title)
        },
      } as unknown as typeof registry,
    }
    const frames = [frame(one, sealed()), frame(two, sealed(two)), frame(three, sealed(three))]
    const { effects, unhandled } = intake(journaled([uplink(1, frames)]), broken, later)
    expect(unhandled.map(({ message }) => message)).toEqual(['offset is out of bounds'])
    expect(effects.quarantine).toMatchObject([{ code: 'UNHANDLED', meter: two.meter }])
    expect(effects.series.map(({ series }) => series.meter)).toEqual([one.meter, three.meter])
    ledger.close()
  })

  test('no octets of a concentrator raise one', () => {
    const ledger = open()
    const good = uplink(3, [frame(one, sealed()), frame(two, sealed(two))]).payload
    const mutant = fc
      .array(fc.record({ at: fc.nat({ max: good.length - 1 }), octet: fc.nat({ max: 255 }) }), {
        minLength: 1,
        maxLength: 6,
      })
      .map((changes) => {
        const octets = Uint8Array.from(good)
        for (const { at, octet } of changes) octets[at] = octet
        return octets
      })
    fc.assert(
      fc.property(fc.oneof(mutant, fc.uint8Array({ maxLength: 300 })), (payload) => {
        const { unhandled } = intake(journaled([{ ...uplink(1, []), payload }]), ledger, later)
        expect(unhandled).toEqual([])
      }),
      { numRuns: 500 },
    )
    ledger.close()
  })

  test('no content that a meter seals raises one, or cannot be committed', () => {
    const ledger = open()
    const plain = plainPush({
      counter: 1,
      rows: [
        [monday + 900, 5],
        [monday + 1_800, 7],
      ],
    })
    let counter = 1
    const mutant = fc.array(fc.record({ at: fc.nat({ max: plain.length - 1 }), octet: fc.nat({ max: 255 }) }), {
      minLength: 1,
      maxLength: 4,
    })
    fc.assert(
      fc.property(mutant, (changes) => {
        const octets = Uint8Array.from(plain)
        for (const { at, octet } of changes) octets[at] = octet
        counter++
        const { unhandled } = take(ledger, [
          uplink(counter, [
            frame(one, protect(octets, { systemTitle: one.meter, ek: one.ek, ak: one.ak, invocationCounter: counter })),
          ]),
        ])
        expect(unhandled).toEqual([])
        waitingSeries(ledger) // whatever waits can be read by the MDM
      }),
      { numRuns: 300 },
    )
    ledger.close()
  })
})

test('what is odd is flagged and neither dropped nor altered', () => {
  const ledger = open()
  take(ledger, [
    uplink(1, [
      frame(
        one,
        sealed(one, 1, [
          [monday + 900, -5],
          [later + 86_400, 10n ** 16n],
        ]),
      ),
    ]),
  ])
  expect(waitingSeries(ledger)).toMatchObject([
    {
      ends: [monday + 900, later + 86_400],
      values: [-5, 10n ** 16n],
      qualities: [quality.implausible, quality.implausible | quality.future],
    },
  ])
  ledger.close()
})

test('a stretch may bring no more channels than the ledger takes', () => {
  const ledger = open()
  let counter = 0
  const frames = Array.from({ length: 4_200 }, (_, i) => {
    const obis = parseObis(`1-${i >> 8}:${i & 0xff}.29.0`)
    return frame(one, sealedPush(one, { counter: ++counter, rows, obis }))
  })
  const uplinks = Array.from({ length: 5 }, (_, i) => uplink(i + 1, frames.slice(i * 1_000, (i + 1) * 1_000)))
  take(ledger, uplinks)
  const { n } = ledger.database.prepare('SELECT count(*) AS n FROM channel').get() as { n: number }
  expect(n).toBeLessThanOrEqual(4_096)
  expect(n).toBeGreaterThan(4_000)
  expect(new Set(ledger.quarantined(200).map(({ code }) => code))).toEqual(new Set(['PUSH_VALUE']))
  ledger.close()
})
