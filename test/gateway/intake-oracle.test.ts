import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import { type Ciphered, isCiphered } from '#gateway/codec/protection.ts'
import { intake } from '#gateway/intake.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import { formNames } from '#gateway/io/meter-forms.ts'
import {
  agreedForms,
  everySuite,
  type FormName,
  meterTitle,
  type Parties,
  symmetricForms,
} from '#test/gateway/session/parties.ts'
import { enlistedAs, plainFor, sealedAs, signedAs, storedCounters } from '#test/support/layered.ts'
import { ledgerIn, take } from '#test/support/ledger.ts'
import { frame, journaled, later, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

/** Frames of each way that there is to protect one, the most that a forger could have heard. */
interface Heard {
  way: string
  frames: readonly Uint8Array[]
  /** sealed by the meter long ago, and taken since */
  old: Uint8Array
}

const ways = (parties: Parties): Heard[] => {
  const heard = (way: string, seal: (counter: number) => Uint8Array): Heard => {
    return { way, frames: [8, 9, 10].map(seal), old: seal(7) }
  }
  const ciphered = (names: readonly FormName[]): Heard[] =>
    names.map((name) => heard(name, (counter) => sealedAs(name, parties, { counter })))
  if (parties.suite.id === 0) return ciphered(symmetricForms)
  return [
    ...ciphered([...symmetricForms, ...agreedForms]),
    heard('signed around general-glo', (counter) =>
      signedAs(parties, sealedAs('general-glo', parties, { counter }), counter),
    ),
    heard('signed around static unified', (counter) =>
      signedAs(parties, sealedAs('static unified', parties, { counter }), counter),
    ),
    heard('settled around signed', (counter) =>
      sealedAs('settled', parties, { counter, plain: signedAs(parties, plainFor('settled', counter), counter) }),
    ),
  ]
}

const everything = formNames.filter((form) => form !== 'untitled')
const takenIn = ({ suite }: Parties) =>
  everything.filter((form) => suite.id > 0 || !['general-ciphering-agreed', 'general-signing'].includes(form))

/** A registry in which the meter takes every form, and has heard each way's old frame: every counter there is stands at 7 (what is
 * signed comes first, for its layers count too). */
function ledgerOf(parties: Parties, heard: readonly Heard[]): SqliteLedger {
  const ledger = ledgerIn(tempFolder(), [enlistedAs(parties, { forms: takenIn(parties) })])
  heard.toReversed().forEach(({ old }, i) => void take(ledger, [uplink(i + 1, [frame({ meter: meterTitle }, old)])]))
  return ledger
}

const number = fc.nat()
const changes = fc.record({ how: fc.nat(), a: number, b: number, c: number })

/** How a forger may change one frame, with all others at hand. */
type Forger = (given: Heard, a: number, b: number, heard: readonly Heard[]) => Uint8Array

const pick = <T>(from: readonly T[], at: number): T => from[at % from.length]!
const anyOf = (heard: readonly Heard[], at: number): Uint8Array => pick(pick(heard, at).frames, at >> 8)

function withFields(octets: Uint8Array, change: (apdu: Ciphered) => object): Uint8Array {
  const apdu = decodeApdu(octets)
  if (apdu.apdu === 'general-signing') return encodeApdu({ ...apdu, content: withFields(apdu.content, change) })
  return isCiphered(apdu) ? encodeApdu({ ...apdu, ...change(apdu) } as Ciphered) : octets
}

const forgers: readonly Forger[] = [
  ({ frames }, a, b) => flip(pick(frames, a), b),
  ({ frames }, a, b) => flip(flip(pick(frames, a), b), b >> 5),
  ({ frames }, a, b) => pick(frames, a).subarray(0, b % pick(frames, a).length),
  ({ frames }, a, b) =>
    withFields(pick(frames, a), ({ content }) => ({ content: content.subarray(0, b % content.length) })),
  (given, a, b, heard) => {
    const [one, other] = [pick(given.frames, a), anyOf(heard, b)]
    return Buffer.concat([one.subarray(0, b % one.length), other.subarray(a % other.length)])
  },
  ({ frames }, a, b) =>
    withFields(pick(frames, a), ({ securityControl }) => ({
      securityControl: (securityControl + 1 + (b % 255)) & 0xff,
    })),
  ({ frames }, a, b) =>
    withFields(pick(frames, a), ({ securityControl, content }) => ({
      securityControl: (securityControl & 0x4f) | ((b & 3) << 4),
      content: (b & 4) === 0 ? content : content.subarray(0, -12),
    })),
  ({ frames }, a, b) => withFields(pick(frames, a), () => ({ invocationCounter: b >>> 0 })),
  ({ frames }, a, b, heard) =>
    withFields(pick(frames, a), ({ content }) => {
      const other = decodeApdu(anyOf(heard, b))
      return { content: isCiphered(other) ? other.content : content.subarray(1) }
    }),
  ({ frames }, a, b) =>
    withFields(pick(frames, a), () => ({ transactionId: Buffer.from(b.toString(16).padStart(16, '0'), 'hex') })),
  (_given, a, _b, heard) => anyOf(heard, a).with(0, 0x0f),
  (given) => plainFor('general-glo', given.frames.length),
  (given) => given.old,
]

function flip(octets: Uint8Array, bit: number): Uint8Array {
  const at = Math.floor(bit / 8) % octets.length
  return octets.with(at, octets[at]! ^ (1 << (bit % 8)))
}

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex')

/** What the meter sealed after all: lengths may be longer than need be, and the form of an APDU is not authenticated. */
function essence(octets: Uint8Array): string {
  try {
    const apdu = decodeApdu(octets)
    if (apdu.apdu === 'general-signing') return essence(apdu.content)
    return isCiphered(apdu) ? `${apdu.securityControl} ${apdu.invocationCounter} ${hex(apdu.content)}` : hex(octets)
  } catch {
    return hex(octets)
  }
}

describe('on the way that a frame takes', () => {
  test.each([
    [0, 3_000],
    [1, 1_500],
    [2, 500],
  ])(
    'suite %i: of %i frames mutated, replayed, spliced and downgraded none is let in and no counter moves',
    (id, runs) => {
      const parties = everySuite[id]!
      const heard = ways(parties)
      const ledger = ledgerOf(parties, heard)
      const before = storedCounters(ledger)
      expect(new Set(Object.values(before))).toEqual(new Set([7]))
      expect(Object.keys(before)).toHaveLength(id === 0 ? 5 : 6)
      const genuine = new Set(heard.flatMap(({ frames }) => frames.map(essence)))
      const refusals = new Map<string, number>()
      let refused = 0
      fc.assert(
        fc.property(fc.constantFrom(...heard), changes, (given, { how, a, b, c }) => {
          const octets = pick(forgers, how)(given, a, b ^ c, heard)
          if (genuine.has(essence(octets))) return
          const { effects, unhandled } = intake(
            journaled([uplink(99, [frame({ meter: meterTitle }, octets)])]),
            ledger,
            later,
          )
          expect(unhandled).toEqual([])
          expect(effects.counters).toEqual([])
          expect(effects.series).toEqual([])
          expect(effects.quarantine).toHaveLength(1)
          const [{ code } = { code: '' }] = effects.quarantine
          refusals.set(code, (refusals.get(code) ?? 0) + 1)
          refused++
        }),
        { numRuns: Math.ceil(runs * 1.25) },
      )
      expect(refused).toBeGreaterThanOrEqual(runs)
      for (const code of [
        'TAG_UNAUTHENTIC',
        'SECURITY_SUITE',
        'SECURITY_DOWNGRADE',
        'COUNTER_REPLAYED',
        'APDU_TRUNCATED',
      ]) {
        expect(refusals.get(code), code).toBeGreaterThan(5)
      }
      expect(storedCounters(ledger)).toEqual(before)
      ledger.close()
    },
  )

  test.each([0, 1, 2])('suite %i: what they were made of is let in, each frame once', (id) => {
    const parties = everySuite[id]!
    const heard = ways(parties)
    for (const { way, frames } of heard) {
      const ledger = ledgerOf(parties, heard)
      const twice = frames.flatMap((octets) => [octets, octets])
      const { effects } = take(ledger, [
        uplink(
          99,
          twice.map((octets) => frame({ meter: meterTitle }, octets)),
        ),
      ])
      expect([way, effects.quarantine.map(({ code }) => code)]).toEqual([way, frames.map(() => 'COUNTER_REPLAYED')])
      expect(effects.series).toHaveLength(frames.length)
      ledger.close()
    }
  })
})
