import { createSecretKey } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import { encodeDateTime } from '#gateway/codec/datetime.ts'
import type { DataNotification } from '#gateway/codec/notification.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import type { PeerFault } from '#gateway/errors.ts'
import { parseSystemTitle, quality, type Series } from '#gateway/model.ts'
import { interpret } from '#gateway/readings/interpret.ts'
import { gatewayPolicy, unprotect } from '#gateway/session/unprotect.ts'
import { protect } from '#simulator/protect.ts'
import { type ProfilePush, profilePush } from '#simulator/push.ts'

const meter = parseSystemTitle('414D490000000001')
const importObis = parseObis('1-0:1.29.0')
const exportObis = parseObis('1-0:2.29.0')
const wh = { scaler: 0, unit: 30 }
const day: ProfilePush = {
  invokeId: 7,
  at: 1_700_000_000,
  capturePeriod: 900,
  channels: [
    { obis: importObis, ...wh },
    { obis: exportObis, ...wh },
  ],
  rows: Array.from({ length: 96 }, (_, i) => ({ end: 1_699_999_200 + i * 900, status: 0, values: [i, 2 ** 40 + i] })),
}

function read(octets: Uint8Array): Series[] {
  return interpret(decodeApdu(octets) as DataNotification, meter)
}

/** What a push of ours must be read as. */
function meaning({ channels, rows }: ProfilePush): Series[] {
  return channels.map((channel, i) => ({
    meter,
    ...channel,
    ends: rows.map(({ end }) => end),
    values: rows.map(({ values }) => values[i]!),
    qualities: rows.map(({ status }) => (status === 0 ? 0 : quality.meterStatus)),
  }))
}

const integers = fc
  .oneof(fc.nat(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }))
  .map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value))

const pushes: fc.Arbitrary<ProfilePush> = fc.integer({ min: 1, max: 8 }).chain((width) =>
  fc.record({
    invokeId: fc.nat(),
    at: fc.nat(4_000_000_000),
    capturePeriod: fc.integer({ min: 1, max: 86_400 }),
    channels: fc.uniqueArray(fc.nat(255), { minLength: width, maxLength: width }).chain((groups) =>
      fc.tuple(
        ...groups.map((d) =>
          fc.record({
            obis: fc.constant(parseObis(`1-0:${d}.29.0`)),
            scaler: fc.integer({ min: -128, max: 127 }),
            unit: fc.nat(255),
          }),
        ),
      ),
    ),
    rows: fc
      .array(
        fc.record({
          end: fc.integer({ min: 1, max: 3_000 }),
          status: fc.nat(255),
          values: fc.array(integers, { minLength: width, maxLength: width }),
        }),
        { minLength: 1, maxLength: 20 },
      )
      .map((rows) => {
        let end = 1_600_000_000
        return rows.map((row) => {
          end += row.end
          return { ...row, end }
        })
      }),
  }),
)

describe('our profile push', () => {
  test('of a day is read as it was written', () => {
    expect(read(profilePush(day))).toEqual(meaning(day))
  })

  test('costs no clock for a row that follows by the capture period', () => {
    const [one, two] = [1, 2].map((length) => profilePush({ ...day, rows: day.rows.slice(0, length) }).length)
    expect(two! - one!).toBe(2 + 1 + 2 + 5 + 9)
  })

  test('sealed, opened and read is what was written', () => {
    const [ek, ak] = [new Uint8Array(16).fill(1), new Uint8Array(16).fill(2)]
    const security = { systemTitle: meter, ek: createSecretKey(ek), ak, lastCounter: 8 }
    fc.assert(
      fc.property(pushes, (push) => {
        const frame = protect(profilePush(push), { systemTitle: meter, ek, ak, invocationCounter: 9 })
        const apdu = decodeApdu(frame)
        if (apdu.apdu !== 'general-glo-ciphering') throw new Error(apdu.apdu)
        const { plain, invocationCounter } = unprotect(apdu, security, gatewayPolicy)
        expect(invocationCounter).toBe(9)
        expect(read(plain)).toEqual(meaning(push))
      }),
      { numRuns: 200 },
    )
  })

  test('repeats the value before for null-data, and says which clocks are doubtful', () => {
    const octets = profilePush({ ...day, channels: day.channels.slice(0, 1), rows: twoRows([0x11223344]) })
    const plain = Buffer.from(octets).toString('hex')
    const doubtful = plain.replace(hex(encodeDateTime(900)), hex(encodeDateTime(900, 0x02)))
    const compressed = doubtful.replace(/0203001100 ?0611223344$/, '0203001100' + '00')
    expect(compressed.length).toBe(plain.length - 8)
    const [series] = read(Buffer.from(compressed, 'hex'))
    expect(series!.values).toEqual([0x11223344, 0x11223344])
    expect(series!.qualities).toEqual([quality.clockDoubtful, quality.clockDoubtful])
  })

  test.each<[string, ProfilePush, PeerFault]>([
    ['rows that run backward', { ...day, rows: day.rows.toReversed() }, 'PUSH_TIME'],
    ['a row twice', { ...day, rows: [day.rows[0]!, day.rows[0]!] }, 'PUSH_TIME'],
    ['a row too short', { ...day, rows: [{ ...day.rows[0]!, values: [1] }] }, 'PUSH_FORM'],
    ['no channel', { ...day, channels: [], rows: [] }, 'PUSH_FORM'],
    ['one channel twice', { ...day, channels: [day.channels[0]!, day.channels[0]!] }, 'PUSH_FORM'],
    [
      'too many rows',
      { ...day, rows: Array.from({ length: 3073 }, (_, i) => ({ ...day.rows[0]!, end: i })) },
      'PUSH_FORM',
    ],
  ])('with %s is refused', (_, push, code) => {
    expect(() => read(profilePush(push))).toThrow(expect.objectContaining({ code }))
  })
})

function twoRows(values: number[]): ProfilePush['rows'] {
  return [
    { end: 900, status: 0, values },
    { end: 1800, status: 0, values },
  ]
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}
