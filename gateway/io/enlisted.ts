import { parseSystemTitle, type SubstationId, type SystemTitle, substationId } from '../model.ts'

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
}

/** What a push must be protected with, by name: the bits of `security_policy` that say so. */
const policies: Readonly<Record<string, number>> = {
  'authenticated-encrypted': 0x60,
  authenticated: 0x20,
  encrypted: 0x40,
}

/**
 * Bits that a meter may have: 0x04 to 0x40. Bits 0 and 1 are of version 0 of the security setup, where 3 means what 0x6c means
 * here: taken for bits they would ask for nothing. Signed pushes (0x80) are not taken yet.
 */
const policyBits = 0x7c
/** Of those, what a push must be protected with: at least one, or whatever is ciphered would be taken. */
const fromMeterBits = 0x60

/**
 * One line of a registry file: `{"meter":"…16 hex…","substation":"…","ek":"…32 hex…","ak":"…32 hex…"}`, and optionally
 * `"profile"`, `"suite"` (then keys of 64 hex digits in suite 2) and `"policy"` (a name or bits).
 * @param profiles names of those that there are
 * @throws PeerError, TypeError when it is not of that form; the message holds no key
 */
export function parseEnlisted(line: string, profiles: Iterable<string>): Enlisted {
  const { meter, substation, ek, ak, profile, suite, policy, ...rest } = parseObject(line)
  const extra = Object.keys(rest)
  if (extra.length > 0) throw new TypeError(`unknown key '${extra[0]}'`)
  if (typeof meter !== 'string' || typeof substation !== 'string') throw new TypeError('meter and substation are texts')
  if (suite !== undefined && suite !== 0 && suite !== 1 && suite !== 2) throw new TypeError('suite: 0, 1 or 2')
  const keyOctets = suite === 2 ? 32 : 16
  return {
    meter: parseSystemTitle(meter),
    substation: substationId(substation),
    ek: aesKey('ek', ek, keyOctets),
    ak: aesKey('ak', ak, keyOctets),
    ...(profile === undefined ? {} : { profile: profileName(profile, [...profiles]) }),
    ...(suite === undefined ? {} : { suite }),
    ...(policy === undefined ? {} : { policy: parsePolicy(policy) }),
  }
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

function aesKey(name: string, hex: unknown, octets: number): Buffer {
  if (typeof hex !== 'string' || hex.length !== octets * 2 || !/^[0-9a-fA-F]+$/.test(hex)) {
    throw new TypeError(`${name}: ${octets * 2} hex digits`)
  }
  return Buffer.from(hex, 'hex')
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
