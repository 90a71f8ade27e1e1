import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import type { Certificate } from './certificate.ts'
import { cmsOctetsMax, issuerAndSerial } from './cms.ts'
import {
  bitString,
  context,
  contextPrimitive,
  DerReader,
  decodeBits,
  encode,
  integer,
  octetString,
  oid,
  only,
  sequence,
  setOf,
  tag,
} from './der.ts'
import { PkiError, reading } from './errors.ts'
import { keyAlgorithms, publicKeyBits } from './key-algorithm.ts'
import { equalOctets, isP256 } from './signature.ts'

const authEnvelopedDataOid = oid('1.2.840.113549.1.9.16.1.23')
const dataOid = oid('1.2.840.113549.1.7.1')
const aes256GcmOid = oid('2.16.840.1.101.3.4.1.46')
/** Without parameters. @see RFC 3565, 2.3.2 */
const aes256Wrap = sequence(oid('2.16.840.1.101.3.4.1.45'))
/** dhSinglePass-stdDH-sha256kdf-scheme. @see RFC 5753, 7.1.4 */
const agreement = sequence(oid('1.3.132.1.11.1'), aes256Wrap)
/** The curve is the recipient's. @see RFC 5753, 3.1.1 */
const ephemeralKey = sequence(oid('1.2.840.10045.2.1'))

const keyOctets = 32
const wrappedKeyOctets = keyOctets + 8
const nonceOctets = 12
const tagOctets = 16
/** @see RFC 3394, 2.2.3.1 */
const wrapInitial = Buffer.alloc(8, 0xa6)

/** A certificate for key agreement and the key that belongs to it. */
export interface EnvelopeKey {
  certificate: Certificate
  privateKey: KeyObject
}

/**
 * Octets that only the holder of one P-256 key can read, and nobody change unseen: AES-256-GCM under a key of its own, wrapped
 * under what an ephemeral key and the recipient's agree on. Who made it, it does not say: that is the content's to say.
 * @returns DER of the ContentInfo; stock `openssl cms -decrypt` opens it
 * @throws PkiError `ENVELOPE_RECIPIENT` for a certificate of another kind of key
 * @see RFC 5083, 2 (authenticated-enveloped data); RFC 5084, 3.2 (GCM); RFC 5753, 3.1 (ephemeral-static ECDH)
 */
export function encodeEnveloped(content: Uint8Array, recipient: Certificate): Uint8Array {
  if (!isP256(recipient.publicKey)) throw new PkiError('ENVELOPE_RECIPIENT', "the certificate's key is not on P-256")
  const [key, nonce] = [randomBytes(keyOctets), randomBytes(nonceOctets)]
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagOctets })
  const encrypted = Buffer.concat([cipher.update(content), cipher.final()])
  const info = sequence(
    dataOid,
    sequence(aes256GcmOid, sequence(octetString(nonce), integer(tagOctets))),
    encode(contextPrimitive(0), encrypted),
  )
  const enveloped = sequence(
    integer(0),
    setOf([keyAgreeRecipient(key, recipient)]),
    info,
    octetString(cipher.getAuthTag()),
  )
  key.fill(0)
  return sequence(authEnvelopedDataOid, encode(context(0), enveloped))
}

/** @see RFC 5652, 6.2.2 */
function keyAgreeRecipient(key: Uint8Array, recipient: Certificate): Uint8Array {
  const ephemeral = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const theirs = createPublicKey({ key: Buffer.from(recipient.publicKey), format: 'der', type: 'spki' })
  const kek = agree(ephemeral.privateKey, theirs)
  const cipher = createCipheriv('id-aes256-wrap', kek, wrapInitial)
  const wrapped = Buffer.concat([cipher.update(key), cipher.final()])
  kek.fill(0)
  const point = publicKeyBits(ephemeral.publicKey.export({ format: 'der', type: 'spki' }))
  return encode(
    context(1),
    integer(3),
    encode(context(0), encode(context(1), ephemeralKey, bitString(point))),
    agreement,
    sequence(sequence(issuerAndSerial(recipient), octetString(wrapped))),
  )
}

/** ECC-CMS-SharedInfo: the algorithm that the key is for, no user keying material, its bits. @see RFC 5753, 7.2 */
const sharedInfo = sequence(aes256Wrap, encode(context(2), octetString(Uint8Array.of(0, 0, 1, 0)))) // 256 bits

/** One block of the ANSI X9.63 key derivation with SHA-256 is the key. @see SEC 1, 3.6.1 */
function agree(privateKey: KeyObject, publicKey: KeyObject): Buffer {
  const secret = diffieHellman({ privateKey, publicKey })
  const kek = createHash('sha256')
    .update(secret)
    .update(Uint8Array.of(0, 0, 0, 1))
    .update(sharedInfo)
    .digest()
  secret.fill(0)
  return kek
}

/** Could these octets be an envelope? A sealed batch begins with another one. */
export function isEnveloped(octets: Uint8Array): boolean {
  return octets[0] === tag.sequence
}

/**
 * Opens what `encodeEnveloped` made, or anybody who makes the same choices.
 * @param keys one of which it must be for
 * @throws PkiError `ENVELOPE_MALFORMED`, `ENVELOPE_RECIPIENT` (it is for none of these keys), `ENVELOPE_UNAUTHENTIC`
 */
export function openEnveloped(der: Uint8Array, keys: readonly EnvelopeKey[]): Buffer {
  const { recipient, point, wrapped, nonce, encrypted, mac } = parseEnveloped(der)
  const own = keys.find(({ certificate }) => equalOctets(issuerAndSerial(certificate), recipient))
  if (own === undefined) throw new PkiError('ENVELOPE_RECIPIENT', 'it is for another certificate')
  const spki = sequence(keyAlgorithms.p256.key, bitString(point))
  if (!isP256(spki)) throw malformed('the ephemeral key is no uncompressed point on P-256')
  const kek = agree(own.privateKey, createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }))
  try {
    const unwrap = createDecipheriv('id-aes256-wrap', kek, wrapInitial)
    const key = Buffer.concat([unwrap.update(wrapped), unwrap.final()])
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagOctets }).setAuthTag(mac)
    key.fill(0)
    return Buffer.concat([decipher.update(encrypted), decipher.final()])
  } catch (cause) {
    throw new PkiError('ENVELOPE_UNAUTHENTIC', 'the key or the content is not what was enveloped', { cause })
  } finally {
    kek.fill(0)
  }
}

interface Enveloped {
  /** DER of IssuerAndSerialNumber */
  recipient: Uint8Array
  /** the ephemeral key, uncompressed */
  point: Uint8Array
  wrapped: Uint8Array
  nonce: Uint8Array
  encrypted: Uint8Array
  mac: Uint8Array
}

function malformed(why: string): PkiError {
  return new PkiError('ENVELOPE_MALFORMED', why)
}

/** The one shape that `encodeEnveloped` gives, and no other: nothing in it goes unread. */
function parseEnveloped(der: Uint8Array): Enveloped {
  return reading('ENVELOPE_MALFORMED', () => {
    if (der.length > cmsOctetsMax) throw malformed(`over ${cmsOctetsMax} octets`)
    const info = new DerReader(only(der, tag.sequence).content)
    expect(info, authEnvelopedDataOid, 'authenticated-enveloped data')
    const fields = new DerReader(only(info.take(context(0)).content, tag.sequence).content)
    info.end()
    expect(fields, integer(0), 'version 0')
    const recipients = fields.enter(tag.set)
    const recipient = parseRecipient(recipients.enter(context(1)))
    recipients.end()
    const content = parseContent(fields.enter(tag.sequence))
    const mac = octets(fields, tagOctets, 'tag')
    fields.end()
    return { ...recipient, ...content, mac }
  })
}

function parseRecipient(fields: DerReader): Pick<Enveloped, 'recipient' | 'point' | 'wrapped'> {
  expect(fields, integer(3), 'recipient version 3')
  const originator = new DerReader(only(fields.take(context(0)).content, context(1)).content)
  expect(originator, ephemeralKey, 'an ephemeral key')
  const point = decodeBits(originator.take(tag.bitString))
  originator.end()
  expect(fields, agreement, 'ECDH with SHA-256 and AES-256 key wrap')
  const keys = fields.enter(tag.sequence)
  fields.end()
  const key = keys.enter(tag.sequence)
  keys.end()
  const recipient = key.take(tag.sequence).octets
  const wrapped = octets(key, wrappedKeyOctets, 'wrapped key')
  key.end()
  return { recipient, point, wrapped }
}

function parseContent(fields: DerReader): Pick<Enveloped, 'nonce' | 'encrypted'> {
  expect(fields, dataOid, 'data')
  const algorithm = fields.enter(tag.sequence)
  expect(algorithm, aes256GcmOid, 'AES-256-GCM')
  const parameters = algorithm.enter(tag.sequence)
  algorithm.end()
  const nonce = octets(parameters, nonceOctets, 'nonce')
  expect(parameters, integer(tagOctets), 'a tag of 16 octets')
  parameters.end()
  const encrypted = fields.take(contextPrimitive(0)).content
  fields.end()
  return { nonce, encrypted }
}

function octets(reader: DerReader, length: number, what: string): Uint8Array {
  const { content } = reader.take(tag.octetString)
  if (content.length !== length) throw malformed(`a ${what} of ${content.length} octets`)
  return content
}

function expect(reader: DerReader, wanted: Uint8Array, what: string): void {
  if (!equalOctets(reader.next().octets, wanted)) throw malformed(`not ${what}`)
}
