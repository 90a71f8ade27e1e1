import { describe, expect, test } from 'vitest'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import { parseEnlisted } from '#gateway/io/enlisted.ts'
import { makeFleet, type SimulatedMeter } from '#simulator/fleet.ts'
import { registryLine } from '#simulator/prepare.ts'
import { type ProtectionName, protectionNames, protectionsByName } from '#simulator/protections.ts'
import { sealOf } from '#simulator/seal.ts'
import { ledgerIn, take } from '#test/support/ledger.ts'
import { frame, monday, plainPush, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

function metersOf(protection: readonly ProtectionName[], meters = protection.length): readonly SimulatedMeter[] {
  const { substations } = makeFleet({ seed: 1, substations: 1, concentrators: 1, meters, protection })
  return substations[0]!.concentrators[0]!.meters
}

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex')
const enlisted = (meter: SimulatedMeter) => parseEnlisted(JSON.stringify(registryLine(meter, 'S-1')), [])

const outermost: Record<string, string> = {
  'general-glo': 'general-glo-ciphering',
  'general-ded': 'general-ded-ciphering',
}

describe("a meter's protection", () => {
  test.each(protectionNames)('%s is what the gateway takes from it, and nothing else is', (name) => {
    const [meter] = metersOf([name]) as [SimulatedMeter]
    const { form, signed, suite } = protectionsByName[name]
    const seal = sealOf(meter)
    const ledger = ledgerIn(tempFolder(), [enlisted(meter)])
    const push = (counter: number) => seal(plainPush({ counter, rows: [[monday + counter * 900, counter]] }), counter)
    const of = { meter: meter.systemTitle }
    const { applied } = take(ledger, [
      uplink(
        1,
        [push(1), push(2), push(2)].map((apdu) => frame(of, apdu)),
      ),
    ])
    expect(applied.fresh).toBe(2)
    const others = metersOf(protectionNames.filter((one) => one !== name)).map((other) => {
      return frame(
        of,
        sealOf({ ...other, systemTitle: meter.systemTitle })(plainPush({ counter: 3, rows: [[monday, 3]] }), 3),
      )
    })
    expect(take(ledger, [uplink(2, others)]).applied.fresh).toBe(0)
    expect(ledger.quarantined(99)).toHaveLength(1 + others.length)
    expect(decodeApdu(push(4)).apdu).toBe(signed ? 'general-signing' : (outermost[form] ?? 'general-ciphering'))
    expect(meter.ek).toHaveLength(suite === 2 ? 32 : 16)
    ledger.close()
  })

  test('is theirs in turn, and follows from the seed', () => {
    const meters = metersOf(['suite0-general-glo', 'suite1-agreed-signed', 'suite2-wrapped'], 7)
    expect(meters.map(({ protection }) => protection.slice(0, 6)).join(' ')).toBe(
      'suite0 suite1 suite2 suite0 suite1 suite2 suite0',
    )
    expect(metersOf(['suite0-general-glo', 'suite1-agreed-signed', 'suite2-wrapped'], 7)).toEqual(meters)
    const [one, two] = metersOf(['suite1-agreed-signed'], 2) as [SimulatedMeter, SimulatedMeter]
    expect(hex(one.secrets!.signing)).not.toBe(hex(two.secrets!.signing))
    expect(hex(one.secrets!.signing)).not.toBe(hex(one.secrets!.agreement))
    expect(hex(one.secrets!.headEndPrivate)).toBe(hex(two.secrets!.headEndPrivate))
  })
})
