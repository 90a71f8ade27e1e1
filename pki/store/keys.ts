import { createCipheriv, createPrivateKey, type KeyObject, randomBytes, scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { integer, octetString, oid, sequence } from '../der.ts'
import { PkiError } from '../errors.ts'
import { toPem } from '../pem.ts'
import { readMode, readText } from './files.ts'

/** 16 MiB, 5 passes: what OWASP asks at the least, and within the 32 MiB at which OpenSSL stops reading. */
const cost = { N: 16_384, r: 8, p: 5, maxmem: 64 * 1_024 * 1_024 }

const run: (passphrase: string, salt: Uint8Array, length: number, options: typeof cost) => Promise<Buffer> =
  promisify(scrypt)

/** scrypt at this store's cost. @param length octets wanted @see RFC 7914 */
export function derive(passphrase: string, salt: Uint8Array, length: number): Promise<Buffer> {
  return run(passphrase, salt, length, cost)
}

/** Characters that a passphrase has, at the least. */
export const passphraseLengthMin = 12

/** The first line of a file that only its owner may read. @throws PkiError `STORE_PASSPHRASE`, `STORE_MISSING` */
export async function readSecretLine(path: string): Promise<string> {
  const mode = await readMode(path)
  if ((mode & 0o077) !== 0) {
    throw new PkiError('STORE_PASSPHRASE', `${path} is open to others (${mode.toString(8)}): chmod 600`)
  }
  const [line] = (await readText(path)).split(/\r?\n/)
  return line!
}

/** A secret line of `passphraseLengthMin` characters or more. @throws PkiError `STORE_PASSPHRASE`, `STORE_MISSING` */
export async function readPassphrase(path: string): Promise<string> {
  const line = await readSecretLine(path)
  if (line.length < passphraseLengthMin) {
    throw new PkiError('STORE_PASSPHRASE', `${path}: a passphrase has ${passphraseLengthMin} characters at the least`)
  }
  return line
}

/**
 * PKCS#8 encrypted with AES-256-CBC under scrypt; Node's own export would use PBKDF2. `openssl pkey` reads it.
 * @returns PEM
 * @see RFC 8018, 6.2 (PBES2); RFC 7914, 7 (scrypt in PKCS#8)
 */
export async function encryptKey(key: KeyObject, passphrase: string): Promise<string> {
  const salt = randomBytes(16)
  const iv = randomBytes(16)
  const cipher = createCipheriv('aes-256-cbc', await derive(passphrase, salt, 32), iv)
  const plain = key.export({ format: 'der', type: 'pkcs8' })
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()])
  plain.fill(0)
  const parameters = sequence(octetString(salt), integer(cost.N), integer(cost.r), integer(cost.p))
  const kdf = sequence(oid('1.3.6.1.4.1.11591.4.11'), parameters)
  const encryption = sequence(oid('2.16.840.1.101.3.4.1.42'), octetString(iv))
  const algorithm = sequence(oid('1.2.840.113549.1.5.13'), sequence(kdf, encryption))
  return toPem('ENCRYPTED PRIVATE KEY', sequence(algorithm, octetString(sealed)))
}

/** @throws PkiError `STORE_PASSPHRASE` */
export function decryptKey(pem: string, passphrase: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, passphrase })
  } catch (cause) {
    throw new PkiError('STORE_PASSPHRASE', 'the passphrase does not open the CA key', { cause })
  }
}
