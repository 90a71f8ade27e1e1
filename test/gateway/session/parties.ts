import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { ProtectionHeader } from '#gateway/codec/general-ciphering.ts'
import type { Ciphered } from '#gateway/codec/protection.ts'
import { parseSystemTitle, type SystemTitle } from '#gateway/model.ts'
import { onePass, staticUnified } from '#gateway/session/agreement.ts'
import { wrapKey } from '#gateway/session/key-wrap.ts'
import { everyForm, type KeySet, type Policy, type Protection } from '#gateway/session/policy.ts'
import { type Form, protect } from '#gateway/session/protect.ts'
import { type Suite, suites } from '#gateway/session/suite.ts'
import type { MeterSecurity } from '#gateway/session/unprotect.ts'

/** A meter and us, with every key that a suite has, all of them different. */
export interface Parties {
  suite: Suite
  /** what we know of the meter */
  security: MeterSecurity & { own: SystemTitle }
  /** the meter's side of what it needs to agree on keys */
  meter: { privateKey: KeyObject; signingKey: KeyObject; peerKey: KeyObject } | undefined
}

export const meterTitle: SystemTitle = parseSystemTitle('4d4d4d0000bc614e')
export const ownTitle: SystemTitle = parseSystemTitle('4d4d4d0000000001')
export const everyKeySet: readonly KeySet[] = ['unicast', 'broadcast', 'dedicated', 'settled', 'wrapped', 'agreed']

/** Takes every key, suite and form, and asks for a tag and no more: what a forger would wish for. */
export const tagPolicy: Policy = {
  least: 'authenticated',
  suites: [0, 1, 2],
  keySets: everyKeySet,
  forms: everyForm,
}

export function partiesOf(suite: Suite): Parties {
  const key = (fill: number): KeyObject => createSecretKey(new Uint8Array(suite.keyOctets).fill(fill))
  const state = (fill: number) => ({ ek: key(fill), lastCounter: 6 })
  const security: Parties['security'] = {
    systemTitle: meterTitle,
    own: ownTitle,
    ak: new Uint8Array(suite.keyOctets).fill(0xd0),
    ...state(1),
    broadcast: state(2),
    dedicated: state(3),
    settled: state(4),
    kek: key(5),
    lastTransaction: 6n,
  }
  const namedCurve = suite.curve?.name
  if (namedCurve === undefined) return { suite, security, meter: undefined }
  const [ours, theirs, signing] = [0, 1, 2].map(() => generateKeyPairSync('ec', { namedCurve }))
  const agreement = { privateKey: ours!.privateKey, peerKey: theirs!.publicKey, peerSigningKey: signing!.publicKey }
  const meter = { privateKey: theirs!.privateKey, signingKey: signing!.privateKey, peerKey: ours!.publicKey }
  return { suite, security: { ...security, agreement }, meter }
}

export const everySuite: readonly Parties[] = suites.map(partiesOf)

export type FormName =
  | 'glo'
  | 'glo broadcast'
  | 'ded'
  | 'general-glo'
  | 'general-glo broadcast'
  | 'general-ded'
  | 'identified unicast'
  | 'identified broadcast'
  | 'settled'
  | 'wrapped'
  | 'one-pass'
  | 'static unified'

export const symmetricForms: readonly FormName[] = [
  'glo',
  'glo broadcast',
  'ded',
  'general-glo',
  'general-glo broadcast',
  'general-ded',
  'identified unicast',
  'identified broadcast',
  'settled',
  'wrapped',
]
export const agreedForms: readonly FormName[] = ['one-pass', 'static unified']

/** The meter seals an APDU for us. */
export function sealAs(
  name: FormName,
  parties: Parties,
  given: { plain: Uint8Array; counter: number; protection: Protection },
): Ciphered {
  const { suite, security } = parties
  const header = {
    transactionId: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, given.counter),
    recipient: Buffer.from(ownTitle, 'hex'),
    dateTime: new Uint8Array(),
    otherInformation: Uint8Array.of(0xbe, 0xef),
  }
  const { form, ek } = keyed(name, parties, header)
  const { protection, counter: invocationCounter } = given
  return protect(given.plain, form, {
    suite: suite.id,
    protection,
    systemTitle: meterTitle,
    ek,
    ak: security.ak,
    invocationCounter,
  })
}

function keyed(
  name: FormName,
  parties: Parties,
  header: Omit<ProtectionHeader, 'originator'>,
): { form: Form; ek: KeyObject } {
  const { suite, security, meter } = parties
  const general = (keyInfo: (Form & { apdu: 'general-ciphering' })['keyInfo']): Form => ({
    apdu: 'general-ciphering',
    header,
    keyInfo,
  })
  const names = { ...header, originator: Buffer.from(meterTitle, 'hex') }
  switch (name) {
    case 'glo':
      return { form: { apdu: 'glo', key: 'unicast' }, ek: security.ek }
    case 'glo broadcast':
      return { form: { apdu: 'glo', key: 'broadcast' }, ek: security.broadcast!.ek }
    case 'ded':
      return { form: { apdu: 'ded' }, ek: security.dedicated!.ek }
    case 'general-glo':
      return { form: { apdu: 'general-glo-ciphering', key: 'unicast' }, ek: security.ek }
    case 'general-glo broadcast':
      return { form: { apdu: 'general-glo-ciphering', key: 'broadcast' }, ek: security.broadcast!.ek }
    case 'general-ded':
      return { form: { apdu: 'general-ded-ciphering' }, ek: security.dedicated!.ek }
    case 'identified unicast':
      return { form: general({ kind: 'identified', key: 'unicast' }), ek: security.ek }
    case 'identified broadcast':
      return { form: general({ kind: 'identified', key: 'broadcast' }), ek: security.broadcast!.ek }
    case 'settled':
      return { form: general(undefined), ek: security.settled!.ek }
    case 'wrapped': {
      const ek = createSecretKey(new Uint8Array(suite.keyOctets).fill(9))
      return { form: general({ kind: 'wrapped', wrapped: wrapKey(ek, security.kek!, suite) }), ek }
    }
    case 'one-pass': {
      const { privateKey: ephemeralKey } = generateKeyPairSync('ec', { namedCurve: suite.curve!.name })
      const { key, keyInfo } = onePass({ ...meter!, ephemeralKey }, suite, names)
      return { form: general(keyInfo), ek: key }
    }
    case 'static unified': {
      const { key, keyInfo } = staticUnified(meter!, suite, names)
      return { form: general(keyInfo), ek: key }
    }
  }
}
