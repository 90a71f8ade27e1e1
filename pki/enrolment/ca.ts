import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Certificate, parseCertificate } from '../certificate.ts'
import { intermediatesMax, verifyChain } from '../chain.ts'
import { type Crl, parseCrls } from '../crl.ts'
import { PkiError, reading } from '../errors.ts'
import { type KeyAlgorithm, keyAlgorithms, type ProfileSetName, profileSetOf, profileSets } from '../key-algorithm.ts'
import { fingerprintOf, ManufacturerStore } from '../manufacturers/store.ts'
import { attributeOf, attributeType } from '../names.ts'
import { fromPem } from '../pem.ts'
import { equalOctets } from '../signature.ts'
import { readText } from '../store/files.ts'
import type { IssuedCertificate, IssueRequest, Pki } from '../store.ts'
import type { EnrolmentCa, Identified } from './clerk.ts'
import type { Certified } from './register.ts'

const concentratorUri = 'urn:ami:concentrator:'

/** The CA of devices as the clerk needs it: chains judged by our own checker, certificates by the store. */
export class StoreCa implements EnrolmentCa {
  readonly keys: KeyAlgorithm
  readonly #pki: Pki
  readonly #now: () => number
  readonly #root: Uint8Array
  readonly #profileSet: ProfileSetName
  readonly #crls: Watched<Crl[]>
  readonly #manufacturers: Watched<Uint8Array[]>

  /** @param dir of the store that `pki` is open on @param now seconds since 1970 */
  constructor(pki: Pki, { dir, now }: { dir: string; now: () => number }) {
    this.#pki = pki
    this.#now = now
    this.#root = certificateIn(pki.rootPem).der
    this.#profileSet = profileSetOf(certificateIn(pki.certificatePem('device')).publicKey) ?? 'p256'
    this.keys = keyAlgorithms[profileSets[this.#profileSet].signing]
    this.#crls = new Watched(pki.crlFile, [], parseCrls)
    const { trustFile } = new ManufacturerStore(dir)
    this.#manufacturers = new Watched(trustFile, [], (pem) => fromPem('CERTIFICATE', pem))
  }

  /** @throws PkiError `JOURNAL_CORRUPT`, `STORE_MISSING`, `CRL_MALFORMED`, `PEM_MALFORMED` */
  async refresh(): Promise<void> {
    await Promise.all([this.#pki.refresh(), this.#crls.refresh(), this.#manufacturers.refresh()])
  }

  /** The Device CA under the key that issued it, alone: the root is `cacerts`' to give. */
  behind(certificate: Uint8Array): readonly Uint8Array[] {
    const { issuer } = parseCertificate(certificate)
    return this.#pki.certificates('device').filter((der) => equalOctets(parseCertificate(der).subject, issuer))
  }

  /** One that the Device CA is said to have issued is judged as ours, any other as a manufacturer's. */
  identify([leaf, ...others]: readonly Uint8Array[]): Identified {
    if (leaf === undefined || others.length >= intermediatesMax) {
      return refused(`a chain of 1 to ${intermediatesMax} certificates`)
    }
    try {
      const behind = this.behind(leaf)
      return behind.length > 0 ? this.#operational(leaf, behind) : this.#factory(leaf, others)
    } catch (fault) {
      if (fault instanceof PkiError) return refused(fault.message)
      throw fault
    }
  }

  #operational(leaf: Uint8Array, intermediates: readonly Uint8Array[]): Identified {
    const verdict = verifyChain({
      leaf,
      intermediates,
      roots: [this.#root],
      crls: this.#crls.value,
      at: this.#now(),
      purpose: 'concentrator',
      profileSet: this.#profileSet,
    })
    if (!verdict.ok) return refused(`${verdict.code}: ${verdict.detail}`)
    const concentrator = verdict.uri?.startsWith(concentratorUri) ? verdict.uri.slice(concentratorUri.length) : ''
    return { kind: 'operational', concentrator, serial: verdict.chain[0]!.serial }
  }

  #factory(leaf: Uint8Array, intermediates: readonly Uint8Array[]): Identified {
    const verdict = verifyChain({
      leaf,
      intermediates,
      roots: this.#manufacturers.value,
      crls: [],
      at: this.#now(),
      purpose: 'manufacturer',
    })
    if (!verdict.ok) return refused(`${verdict.code}: ${verdict.detail}`)
    const { subject } = verdict.chain[0]!
    const serial = reading('CERTIFICATE_MALFORMED', () => attributeOf(subject, attributeType.serialNumber))
    const manufacturer = fingerprintOf(verdict.chain.at(-1)!.der)
    return serial === undefined
      ? refused('the subject has no serial number')
      : { kind: 'manufacturer', device: { manufacturer, serial } }
  }

  certified(key: string): (Certified & { certificate: Uint8Array }) | undefined {
    const last = this.#pki.withKey(key).at(-1)
    if (last === undefined) return undefined
    const { serial, notAfter, revoked, certificate } = last
    return { serial, notAfter, revoked: revoked !== undefined, certificate: Buffer.from(certificate, 'base64') }
  }

  /** Together, with one fsync; where one of them is refused, by halves, so that it is refused alone. */
  async issue(requests: readonly { id: string; csr: Uint8Array }[]): Promise<(Uint8Array | PkiError)[]> {
    return issueEach(
      this.#pki,
      requests.map(({ id, csr }) => ({ profile: 'concentrator', id, csr })),
    )
  }

  revoke(serial: string, reason: 'superseded' | 'keyCompromise'): Promise<void> {
    return this.#pki.revoke(serial, reason)
  }
}

async function issueEach(pki: Pki, requests: readonly IssueRequest[]): Promise<(Uint8Array | PkiError)[]> {
  try {
    return (await pki.issueMany(requests)).map(derOf)
  } catch (fault) {
    if (!(fault instanceof PkiError && /^(REQUEST|KEY|LINT)(_|$)/.test(fault.code))) throw fault
    if (requests.length === 1) return [fault]
  }
  const half = Math.ceil(requests.length / 2)
  return [...(await issueEach(pki, requests.slice(0, half))), ...(await issueEach(pki, requests.slice(half)))]
}

function derOf({ certificatePem }: IssuedCertificate): Uint8Array {
  return fromPem('CERTIFICATE', certificatePem)[0]!
}

function certificateIn(pem: string): Certificate {
  return parseCertificate(fromPem('CERTIFICATE', pem)[0]!)
}

function refused(detail: string): Identified {
  return { kind: 'refused', detail }
}

/** What a file says, read again only when it was replaced. */
class Watched<T> {
  value: T
  readonly #path: string
  readonly #none: T
  readonly #read: (text: string) => T
  #seen = ''

  constructor(path: string, none: T, read: (text: string) => T) {
    this.#path = path
    this.#none = none
    this.#read = read
    this.value = none
  }

  async refresh(): Promise<void> {
    const now = await stat(this.#path, { bigint: true }).then(
      ({ ino, size, mtimeNs }) => `${ino} ${size} ${mtimeNs}`,
      (cause: NodeJS.ErrnoException) => {
        if (cause.code === 'ENOENT') return '' // no manufacturer was ever imported
        throw cause
      },
    )
    if (now === this.#seen) return
    this.value = now === '' ? this.#none : this.#read(await readText(this.#path))
    this.#seen = now
  }
}

/** Where a store keeps which devices may enrol. */
export function registerFile(dir: string): string {
  return join(dir, 'enrolment.sqlite')
}
