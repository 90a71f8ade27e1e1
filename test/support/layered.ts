import type { KeyObject } from 'node:crypto'
import { encodeApdu } from '#gateway/codec/apdu.ts'
import { encodeDateTime } from '#gateway/codec/datetime.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { type Enlisted, parseEnlisted } from '#gateway/io/enlisted.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import type { FormName as RegistryForm } from '#gateway/io/meter-forms.ts'
import { publicOctets } from '#gateway/session/agreement.ts'
import type { Protection } from '#gateway/session/policy.ts'
import { signApdu } from '#gateway/session/signing.ts'
import { type FormName, meterTitle, ownTitle, type Parties, sealAs } from '#test/gateway/session/parties.ts'
import { monday, plainPush } from '#test/support/meters.ts'

/** What a registry calls the form that a test seals in, and whether it is under the broadcast key. */
export const registryForms: Readonly<Record<FormName, readonly RegistryForm[]>> = {
  glo: ['glo'],
  'glo broadcast': ['glo', 'broadcast'],
  ded: ['ded'],
  'general-glo': ['general-glo'],
  'general-glo broadcast': ['general-glo', 'broadcast'],
  'general-ded': ['general-ded'],
  'identified unicast': ['general-ciphering-identified'],
  'identified broadcast': ['general-ciphering-identified', 'broadcast'],
  settled: ['general-ciphering-settled'],
  wrapped: ['general-ciphering-wrapped'],
  'one-pass': ['general-ciphering-agreed'],
  'static unified': ['general-ciphering-agreed'],
}

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex')
const secret = (key: KeyObject | undefined): string => hex(key!.export())

/** A line of the registry with every key that the meter has; what it takes is said by `rest`. */
export function lineOf({ suite, security }: Parties, rest: object): Record<string, unknown> {
  const { agreement } = security
  const ofCurve = agreement && {
    signingKey: hex(publicOctets(agreement.peerSigningKey!)),
    agreementKey: hex(publicOctets(agreement.peerKey!)),
    ourAgreementKey: Buffer.from(agreement.privateKey.export({ format: 'jwk' }).d!, 'base64url').toString('hex'),
  }
  return {
    meter: meterTitle,
    substation: 'S-1',
    ek: secret(security.ek),
    ak: hex(security.ak),
    suite: suite.id,
    profile: 'kaifa-no', // knows the unit of what an event-notification brings
    ourTitle: ownTitle,
    broadcastEk: secret(security.broadcast?.ek),
    dedicatedEk: secret(security.dedicated?.ek),
    settledEk: secret(security.settled?.ek),
    kek: secret(security.kek),
    ...ofCurve,
    ...rest,
  }
}

export function enlistedAs(parties: Parties, rest: { forms?: readonly RegistryForm[]; policy?: unknown }): Enlisted {
  return parseEnlisted(JSON.stringify(lineOf(parties, rest)), ['kaifa-no'])
}

/** One reading in clear, another for each counter: as a data-notification, or as the event that glo-* and ded-* can hold. */
export function plainFor(name: FormName, counter: number): Uint8Array {
  const end = monday + (counter % 90) * 900
  if (!/^(glo|ded)/.test(name)) return plainPush({ counter, rows: [[end, counter]] })
  return encodeApdu({
    apdu: 'event-notification',
    time: encodeDateTime(end),
    attribute: { classId: 3, obis: parseObis('1-0:1.8.0'), attribute: 2 },
    data: { type: 'double-long-unsigned', value: counter },
  })
}

export function sealedAs(
  name: FormName,
  parties: Parties,
  given: { counter: number; plain?: Uint8Array; protection?: Protection },
): Uint8Array {
  const { counter, plain = plainFor(name, counter), protection = 'authenticated-encrypted' } = given
  return encodeApdu(sealAs(name, parties, { plain, counter, protection }))
}

/** The meter signs an APDU for us. */
export function signedAs({ suite, meter }: Parties, content: Uint8Array, transaction: number): Uint8Array {
  const header = {
    transactionId: Uint8Array.of(transaction),
    originator: Buffer.from(meterTitle, 'hex'),
    recipient: Buffer.from(ownTitle, 'hex'),
    dateTime: new Uint8Array(),
    otherInformation: new Uint8Array(),
  }
  return encodeApdu(signApdu({ ...header, content }, meter!.signingKey, suite))
}

/** All that is stored of what was heard: the unicast counter, and the others by name. */
export function storedCounters({ database }: SqliteLedger): Record<string, number> {
  const { counter } = database.prepare('SELECT counter FROM meter').get() as { counter: number }
  const rows = database.prepare('SELECT name, value FROM meter_counter').all() as { name: string; value: Uint8Array }[]
  const others = rows.map(({ name, value }) => [name, Number(BigInt(`0x${Buffer.from(value).toString('hex')}`))])
  return { ...(counter === -1 ? {} : { unicast: counter }), ...Object.fromEntries(others) }
}
