import { createHash } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Certificate, keyUsageBit, parseCertificate } from '../certificate.ts'
import { anchorFault } from '../chain-rules.ts'
import { PkiError } from '../errors.ts'
import { algorithmOfKey, keyAlgorithms } from '../key-algorithm.ts'
import { nameOf } from '../names.ts'
import { fromPem, toPem } from '../pem.ts'
import { equalOctets } from '../signature.ts'
import { files, generationsIn, readCertificate } from '../store/authority.ts'
import { makePrivate, readText, syncDirectory, writeDurably } from '../store/files.ts'

/** CAs of manufacturers, the most. */
export const manufacturersMax = 256

export interface Manufacturer {
  /** SHA-256 of the certificate, lower-case hex */
  fingerprint: string
  /** its subject's values, in their order */
  name: string
  notAfter: number
  certificate: Certificate
}

/**
 * The CAs that put certificates into devices at the factory. They are trusted by whoever enrols devices and by nobody else:
 * `trustFile` is that listener's, and no other file of the store holds one of them.
 */
export class ManufacturerStore {
  readonly #dir: string
  readonly #root: string
  /** PEM of all of them; for nobody but the enrolment listener */
  readonly trustFile: string

  /** @param root of the PKI's directory */
  constructor(root: string) {
    this.#root = root
    this.#dir = join(root, files.manufacturers)
    this.trustFile = join(root, 'trust', 'manufacturers.pem')
  }

  /**
   * Takes every certificate of a PEM file, or none. One that is there already stays.
   * @param at seconds since 1970
   * @throws PkiError `MANUFACTURER_UNFIT` for one that is no CA, out of date, of this PKI itself or too many; `PEM_MALFORMED`
   */
  async add(pem: string, at: number): Promise<Manufacturer[]> {
    const found = fromPem('CERTIFICATE', pem).map(parseCertificate)
    if (found.length === 0) throw new PkiError('MANUFACTURER_UNFIT', 'no certificate in the file')
    const own = await Promise.all((await generationsIn(this.#root)).map((name) => readCertificate(this.#root, name)))
    for (const one of found) {
      const fault = unfit(one, own, at)
      if (fault !== undefined) throw new PkiError('MANUFACTURER_UNFIT', `serial ${one.serial} ${fault}`)
    }
    const all = new Set([...(await this.list()), ...found.map(manufacturerOf)].map(({ fingerprint }) => fingerprint))
    if (all.size > manufacturersMax) throw new PkiError('MANUFACTURER_UNFIT', `over ${manufacturersMax} CAs`)
    await makePrivate(this.#dir)
    for (const { der } of found) await writeDurably(this.#path(fingerprintOf(der)), toPem('CERTIFICATE', der))
    await this.#bundle()
    return found.map(manufacturerOf)
  }

  /** @throws PkiError `MANUFACTURER_UNFIT` when there is none of this fingerprint */
  async remove(fingerprint: string): Promise<void> {
    const known = (await this.list()).some((one) => one.fingerprint === fingerprint.toLowerCase())
    if (!known) throw new PkiError('MANUFACTURER_UNFIT', `there is no CA ${fingerprint}`)
    await rm(this.#path(fingerprint.toLowerCase()))
    await syncDirectory(this.#dir)
    await this.#bundle()
  }

  /** By fingerprint. */
  async list(): Promise<Manufacturer[]> {
    const names = (await readdir(this.#dir).catch(() => [])).filter((name) => /^[0-9a-f]{64}\.pem$/.test(name))
    const pems = await Promise.all(names.toSorted().map((name) => readText(join(this.#dir, name))))
    return pems.flatMap((pem) => fromPem('CERTIFICATE', pem).map((der) => manufacturerOf(parseCertificate(der))))
  }

  #path(fingerprint: string): string {
    return join(this.#dir, `${fingerprint}.pem`)
  }

  async #bundle(): Promise<void> {
    const all = await this.list()
    await writeDurably(this.trustFile, all.map(({ certificate }) => toPem('CERTIFICATE', certificate.der)).join(''))
  }
}

/** SHA-256 of a certificate, lower-case hex. */
export function fingerprintOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex')
}

function manufacturerOf(certificate: Certificate): Manufacturer {
  const name = nameOf(certificate.subject)
    .flat()
    .map(({ value }) => value)
    .join(', ')
  return { fingerprint: fingerprintOf(certificate.der), name, notAfter: certificate.notAfter, certificate }
}

function unfit(one: Certificate, own: readonly Certificate[], at: number): string | undefined {
  const { basicConstraints, keyUsage, publicKey, subjectKeyId, subject } = one
  if (basicConstraints?.ca !== true || keyUsage?.has(keyUsageBit.keyCertSign) !== true) return 'is no CA'
  if (subjectKeyId === undefined) return 'names no key'
  if (anchorFault(one) !== undefined) return 'was issued by another, and nobody would trust it'
  if (!(at >= one.notBefore && at < one.notAfter)) return 'is out of date'
  if (algorithmOfKey(publicKey, [keyAlgorithms.p256]) === undefined) return 'has a key that is not P-256'
  if (own.some((mine) => equalOctets(mine.publicKey, publicKey) || equalOctets(mine.subject, subject))) {
    return 'is of this PKI itself, or has its name'
  }
  return undefined
}
