import { createHmac } from 'node:crypto'
import { type SystemTitle, systemTitle } from '#gateway/model.ts'
import { elliptics } from './elliptic.ts'
import { type ProtectionName, protectionsByName } from './protections.ts'

/** What a meter has beyond `ek` and `ak`, and what the head-end has for it: all of it follows from the fleet's seed. */
export interface Secrets {
  /** what meters call the head-end: `AMI`, two octets of the fleet, three of zero, which no meter has */
  readonly headEnd: SystemTitle
  readonly dedicatedEk: Uint8Array
  /** master key */
  readonly kek: Uint8Array
  /** private keys of the meter, for signatures and for agreement; none in suite 0 */
  readonly signing: Uint8Array
  readonly agreement: Uint8Array
  /** the head-end's for agreement, one for all meters of a suite */
  readonly headEndPrivate: Uint8Array
  readonly headEndPublic: Uint8Array
}

/** Octets of the keys of a suite. */
export function keyOctetsOf(name: ProtectionName): 16 | 32 {
  return protectionsByName[name].suite === 2 ? 32 : 16
}

/**
 * @param seed of the fleet
 * @returns `undefined` where a meter needs no more than `ek` and `ak`
 */
export function secretsOf(seed: string, title: Uint8Array, name: ProtectionName): Secrets | undefined {
  const { suite, form, signed } = protectionsByName[name]
  if (form === 'general-glo' && !signed) return undefined
  const octets = keyOctetsOf(name)
  const headEnd = Buffer.concat([title.subarray(0, 5), Buffer.alloc(3)])
  const [dedicatedEk, kek] = [derived(seed, 'ded', title, octets), derived(seed, 'kek', title, octets)]
  const none = Uint8Array.of()
  const ofCurve =
    suite === 0
      ? { signing: none, agreement: none, headEndPrivate: none, headEndPublic: none }
      : curveSecrets(seed, { suite, title, headEnd })
  return { headEnd: systemTitle(headEnd), dedicatedEk, kek, ...ofCurve }
}

function curveSecrets(
  seed: string,
  { suite, title, headEnd }: { suite: 1 | 2; title: Uint8Array; headEnd: Uint8Array },
): Pick<Secrets, 'signing' | 'agreement' | 'headEndPrivate' | 'headEndPublic'> {
  const { octets, publicOf } = elliptics[suite]
  const headEndPrivate = number(seed, `head-end ${suite}`, headEnd, octets)
  return {
    signing: number(seed, 'signing', title, octets),
    agreement: number(seed, 'agreement', title, octets),
    headEndPrivate,
    headEndPublic: publicOf(headEndPrivate),
  }
}

function derived(seed: string, what: string, title: Uint8Array, octets: number): Uint8Array {
  return new Uint8Array(createHmac('sha512', seed).update(what).update(title).digest().subarray(0, octets))
}

/** Below 2^255 or 2^383, so below the order of either curve. */
function number(seed: string, what: string, title: Uint8Array, octets: number): Uint8Array {
  const found = derived(seed, what, title, octets)
  found[0]! &= 0x7f
  return found
}

/** What a line of a registry says of a meter's protection, beyond its keys `ek` and `ak`. */
export function registryFields(name: ProtectionName, secrets: Secrets | undefined): Record<string, unknown> {
  const { suite, form, signed } = protectionsByName[name]
  const forms = [formOf[form], ...(signed ? ['general-signing'] : [])]
  const said = suite === 0 ? {} : { suite }
  if (secrets === undefined) return said
  const { headEnd: ourTitle, dedicatedEk, kek, signing, agreement, headEndPrivate } = secrets
  const publicOf = (key: Uint8Array): string => hex(elliptics[suite as 1 | 2].publicOf(key))
  return {
    ...said,
    forms,
    ourTitle,
    ...(signed ? { policy: 'authenticated-encrypted-signed', signingKey: publicOf(signing) } : {}),
    ...(form === 'general-ded' ? { dedicatedEk: hex(dedicatedEk) } : {}),
    ...(form === 'wrapped' ? { kek: hex(kek) } : {}),
    ...(form === 'agreed' ? { agreementKey: publicOf(agreement), ourAgreementKey: hex(headEndPrivate) } : {}),
  }
}

const formOf = {
  'general-glo': 'general-glo',
  'general-ded': 'general-ded',
  identified: 'general-ciphering-identified',
  wrapped: 'general-ciphering-wrapped',
  agreed: 'general-ciphering-agreed',
} as const

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}
