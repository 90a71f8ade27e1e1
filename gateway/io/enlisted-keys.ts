import { createECDH, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { publicKeyFrom, publicOctets } from '../session/agreement.ts'
import { type Curve, type Suite, suites } from '../session/suite.ts'

/** Keys that a meter may have beside `ek` and `ak`, as a line of a registry file names them. */
export const keyNames = [
  'broadcastEk',
  'dedicatedEk',
  'settledEk',
  'kek',
  'signingKey',
  'agreementKey',
  'ourAgreementKey',
] as const
export type KeyName = (typeof keyNames)[number]

/** AES keys in clear; a public key as x and y behind each other, a private one as its number. */
export type EnlistedKeys = Partial<Record<KeyName, Uint8Array>>

/** @throws TypeError that shows nothing of what was written */
export function aesKey(name: string, hex: unknown, octets: number): Buffer {
  if (typeof hex !== 'string' || hex.length !== octets * 2 || !isHex(hex)) {
    throw new TypeError(`${name}: ${octets * 2} hex digits`)
  }
  return Buffer.from(hex, 'hex')
}

/**
 * Of these fields those that are there. Every AES key must be another: what one seals could else be put into the form of
 * the next, whose counter knows nothing of it.
 * @param fields of a line, by name
 * @param known `ek`
 * @throws TypeError that shows nothing of what was written
 */
export function parseKeys(fields: Readonly<Record<KeyName, unknown>>, suite: Suite, known: Uint8Array): EnlistedKeys {
  const keys: EnlistedKeys = {}
  const symmetric = [known]
  for (const name of keyNames) {
    const given = fields[name]
    if (given === undefined) continue
    keys[name] = parseKey(name, given, suite)
    if (isOfCurve(name)) continue
    const key = keys[name]
    if (symmetric.some((other) => Buffer.compare(other, key) === 0)) throw new TypeError(`${name}: a key of its own`)
    symmetric.push(key)
  }
  return keys
}

function parseKey(name: KeyName, given: unknown, { keyOctets, curve }: Suite): Uint8Array {
  if (!isOfCurve(name)) return aesKey(name, given, keyOctets)
  if (curve === undefined) throw new TypeError(`${name}: for suites 1 and 2`)
  const isPrivate = name === 'ourAgreementKey'
  const text = typeof given === 'string' ? given : ''
  const key = isPrivate ? privateNumber(text, curve) : point(text, curve)
  if (key === undefined) throw new TypeError(`${name}: ${isPrivate ? privateForm(curve) : publicForm(curve)}`)
  return key
}

function isOfCurve(name: KeyName): boolean {
  return name === 'signingKey' || name === 'agreementKey' || name === 'ourAgreementKey'
}

function publicForm({ jwk, octets }: Curve): string {
  return `a point of ${jwk}: x and y in ${octets * 4} hex digits, also behind 04, or PEM of a public key or certificate`
}

function privateForm({ jwk, octets }: Curve): string {
  return `a private key of ${jwk}: ${octets * 2} hex digits, or PEM (PKCS #8, not encrypted)`
}

/** @returns x and y, `undefined` where it is no point of the curve */
function point(text: string, curve: Curve): Uint8Array | undefined {
  return attempt(() => {
    if (/^-----BEGIN (PUBLIC KEY|CERTIFICATE)-----\n/.test(text)) return onCurve(createPublicKey(text), curve)
    const hex = text.length === 4 * curve.octets + 2 && text.startsWith('04') ? text.slice(2) : text
    if (!isHex(hex)) return undefined
    return publicOctets(publicKeyFrom(Buffer.from(hex, 'hex'), suiteOfCurve(curve)))
  })
}

function onCurve(key: KeyObject, { name }: Curve): Uint8Array | undefined {
  return key.asymmetricKeyDetails?.namedCurve === name ? publicOctets(key) : undefined
}

/** @returns the number, `undefined` where there is no such key */
function privateNumber(text: string, curve: Curve): Uint8Array | undefined {
  return attempt(() => {
    if (text.startsWith('-----BEGIN PRIVATE KEY-----\n')) {
      const key = createPrivateKey(text)
      if (key.asymmetricKeyDetails?.namedCurve !== curve.name) return undefined
      return Buffer.from(key.export({ format: 'jwk' }).d!, 'base64url')
    }
    if (!isHex(text) || text.length !== 2 * curve.octets) return undefined
    const number = Buffer.from(text, 'hex')
    privateKeyFrom(number, curve)
    return number
  })
}

/**
 * A private key from its number.
 * @throws Error where it is none of the curve
 */
export function privateKeyFrom(number: Uint8Array, curve: Curve): KeyObject {
  const ecdh = createECDH(curve.name)
  ecdh.setPrivateKey(number)
  const whole = ecdh.getPublicKey()
  const [x, y] = [whole.subarray(1, 1 + curve.octets), whole.subarray(1 + curve.octets)]
  const [d, ...xy] = [Buffer.from(number), x, y].map((octets) => octets.toString('base64url'))
  return createPrivateKey({ format: 'jwk', key: { kty: 'EC', crv: curve.jwk, d: d!, x: xy[0]!, y: xy[1]! } })
}

/** What node:crypto throws may quote its input: it is not passed on. */
function attempt<T>(parse: () => T | undefined): T | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}

function suiteOfCurve(curve: Curve): Suite {
  return suites.find((suite) => suite.curve === curve)!
}

function isHex(text: string): boolean {
  return text.length % 2 === 0 && /^[0-9a-fA-F]+$/.test(text)
}
