import { parseSystemTitle, type SubstationId, type SystemTitle, substationId } from '../model.ts'
import { suiteOf } from '../session/suite.ts'
import { aesKey, type EnlistedKeys, type KeyName, parseKeys } from './enlisted-keys.ts'
import { defaultForms, type FormName, formNames, isWhole, needsOf } from './meter-forms.ts'

/** A meter as the field knows it; the keys in the clear, on their way in. */
export interface Enlisted {
  meter: SystemTitle
  substation: SubstationId
  /** encryption key, 16 octets in suites 0 and 1, 32 in suite 2 */
  ek: Uint8Array
  /** authentication key, as long as `ek` */
  ak: Uint8Array
  /** of its family; without one a push must tell everything itself, or give evidence of its family */
  profile?: string
  /** 0 to 2; 0 where it is not said */
  suite?: number
  /** bits of its attribute `security_policy`, version 1; authenticated and encrypted where it is not said */
  policy?: number
  /** how its pushes may be protected; general-glo-ciphering alone where it is not said */
  forms?: readonly FormName[]
  /** beside `ek` and `ak` */
  keys?: EnlistedKeys
  /** what this meter calls us */
  ourTitle?: SystemTitle
  /** `AlgorithmID` of keys that are agreed, 7 octets, where it is not the suite's */
  algorithmId?: Uint8Array
}

/** What a push must be protected with, by name: the bits of `security_policy` that say so. */
const policies: Readonly<Record<string, number>> = {
  'authenticated-encrypted': 0x60,
  authenticated: 0x20,
  encrypted: 0x40,
  'authenticated-encrypted-signed': 0xe0,
  'authenticated-signed': 0xa0,
  'encrypted-signed': 0xc0,
}

/**
 * Bits that a meter may have: 0x04 to 0x80. Bits 0 and 1 are of version 0 of the security setup, where 3 means what 0x6c means
 * here: taken for bits they would ask for nothing.
 */
const policyBits = 0xfc
const signedBit = 0x80
/** Of those, what a push must be protected with: at least one, or whatever is ciphered would be taken. */
const fromMeterBits = 0x60

/**
 * One line of a registry file: `{"meter":"…16 hex…","substation":"…","ek":"…32 hex…","ak":"…32 hex…"}`, and optionally
 * `"profile"`, `"suite"` (then keys of 64 hex digits in suite 2), `"policy"` (a name or bits), `"forms"` (names) and what
 * they need: `"ourTitle"`, keys by their names, `"algorithmId"`.
 * @param profiles names of those that there are
 * @throws PeerError, TypeError when it is not of that form; the message holds no key
 */
export function parseEnlisted(line: string, profiles: Iterable<string>): Enlisted {
  const { meter, substation, ek, ak, profile, suite, policy, ...others } = parseObject(line)
  if (typeof meter !== 'string' || typeof substation !== 'string') throw new TypeError('meter and substation are texts')
  if (suite !== undefined && suite !== 0 && suite !== 1 && suite !== 2) throw new TypeError('suite: 0, 1 or 2')
  const { keyOctets } = suiteOf(suite ?? 0)
  const one: Enlisted = {
    meter: parseSystemTitle(meter),
    substation: substationId(substation),
    ek: aesKey('ek', ek, keyOctets),
    ak: aesKey('ak', ak, keyOctets),
    ...(profile === undefined ? {} : { profile: profileName(profile, [...profiles]) }),
    ...(suite === undefined ? {} : { suite }),
    ...(policy === undefined ? {} : { policy: parsePolicy(policy) }),
  }
  const whole = Object.keys(others).length === 0 ? one : { ...one, ...parseOthers(others, one) }
  checkNeeds(whole)
  return whole
}

type Others = Pick<Enlisted, 'forms' | 'keys' | 'ourTitle' | 'algorithmId'>

/** Everything that a line says beyond suite and policy. */
function parseOthers(fields: Record<string, unknown>, { suite = 0, ek }: Enlisted): Others {
  const { forms, ourTitle, algorithmId, ...more } = fields
  const { broadcastEk, dedicatedEk, settledEk, kek, signingKey, agreementKey, ourAgreementKey, ...rest } = more
  const [extra] = Object.keys(rest)
  if (extra !== undefined) throw new TypeError(`unknown key '${extra}'`)
  const given = { broadcastEk, dedicatedEk, settledEk, kek, signingKey, agreementKey, ourAgreementKey }
  if (ourTitle !== undefined && typeof ourTitle !== 'string') throw new TypeError('ourTitle: 16 hex digits')
  return {
    keys: parseKeys(given, suiteOf(suite), ek),
    ...(forms === undefined ? {} : { forms: parseForms(forms) }),
    ...(ourTitle === undefined ? {} : { ourTitle: parseSystemTitle(ourTitle) }),
    ...(algorithmId === undefined ? {} : { algorithmId: aesKey('algorithmId', algorithmId, algorithmIdOctets) }),
  }
}

/** @see Green Book, key derivation function */
const algorithmIdOctets = 7

function parseForms(forms: unknown): FormName[] {
  const isList = Array.isArray(forms) && forms.length > 0 && forms.length === new Set(forms).size
  if (!isList || !forms.every((form) => formNames.includes(form)) || !forms.some(isWhole)) {
    throw new TypeError(`forms: each once, of ${formNames.join(', ')}; the last three go with one of the others`)
  }
  return forms
}

/** @throws TypeError where a form or the policy asks for what the line does not have */
function checkNeeds({ forms = defaultForms, keys = {}, ourTitle, policy = 0, suite = 0 }: Enlisted): void {
  const has = (need: KeyName | 'ourTitle'): boolean => (need === 'ourTitle' ? ourTitle : keys[need]) !== undefined
  for (const form of forms) {
    const missing = needsOf(form).find((need) => !has(need))
    if (missing !== undefined)
      throw new TypeError(`forms: ${form} needs ${missing}${suite === 0 ? curveNote(missing) : ''}`)
  }
  if (forms.includes('general-ciphering-agreed') && !has('agreementKey') && !has('signingKey')) {
    throw new TypeError('forms: general-ciphering-agreed needs agreementKey, or signingKey for one-pass keys')
  }
  if ((policy & signedBit) !== 0 && !forms.includes('general-signing')) {
    throw new TypeError('policy: signed pushes need general-signing among the forms')
  }
}

function curveNote(need: KeyName | 'ourTitle'): string {
  return need === 'signingKey' || need === 'ourAgreementKey' ? ' and suite 1 or 2' : ''
}

/** JSON.parse quotes its input in what it throws, and here that holds keys. */
function parseObject(line: string): Record<string, unknown> {
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    throw new TypeError('not JSON')
  }
  if (typeof parsed !== 'object' || parsed === null) throw new TypeError('not a JSON object')
  return parsed as Record<string, unknown>
}

/** The message does not repeat what was written there: it may be a key in the wrong place. */
function profileName(name: unknown, profiles: readonly string[]): string {
  if (typeof name === 'string' && profiles.includes(name)) return name
  throw new TypeError(`profile: one of ${profiles.join(', ')}`)
}

function parsePolicy(policy: unknown): number {
  if (typeof policy === 'string' && Object.hasOwn(policies, policy)) return policies[policy]!
  const isPolicy = typeof policy === 'number' && Number.isInteger(policy) && policy > 0 && policy <= policyBits
  if (isPolicy && (policy & ~policyBits) === 0 && (policy & fromMeterBits) !== 0) return policy
  throw new TypeError(
    `policy: ${Object.keys(policies).join(', ')}, or bits of security_policy (version 1) up to ${policyBits} with 32 or 64`,
  )
}
