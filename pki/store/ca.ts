import { generateKeyPairSync } from 'node:crypto'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { parseCertificate } from '../certificate.ts'
import { parseCrls } from '../crl.ts'
import { PkiError } from '../errors.ts'
import { type Authority, issueCertificate, publicKeyOctets } from '../issue.ts'
import { encodeName, type HostNames } from '../names.ts'
import { toPem } from '../pem.ts'
import { type AuthorityName, type ProfileName, profiles } from '../profiles.ts'
import { idPattern } from '../purpose.ts'
import { provenKey } from '../request.ts'
import { encodeRevocation, type RevocationReason } from '../revoke.ts'
import { equalOctets } from '../signature.ts'
import { bundleCrls, crlFileOf, crlSeconds, files, keyFile, openAuthority, writeCrl } from './authority.ts'
import { readText } from './files.ts'
import type { Issued, Journal } from './journal.ts'
import { type Listed, Register } from './register.ts'

/** Certificates that share one fsync, the most. */
const sharedFsyncMax = 1_000

export interface IssueRequest {
  profile: ProfileName
  /** 1 to 64 of `A-Z a-z 0-9 . _ -`: the subject's common name and the end of its URI */
  id: string
  /** for a gateway, and for nothing else */
  names?: HostNames
  /** DER of a PKCS#10 request, whose key is used and whose names are not; without: a key is made here */
  csr?: Uint8Array
  /** fewer than the profile's */
  days?: number
}

export interface IssuedCertificate {
  certificatePem: string
  /** the certificate, then the issuing CA's */
  chainPem: string
  /** PKCS#8, not encrypted; `undefined` for a request that brought its key */
  privateKeyPem: string | undefined
  /** upper-case hex */
  serial: string
}

/** The journal's line for a certificate. */
export function entryOf(
  der: Uint8Array,
  { at, name, id }: { at: number; name: ProfileName | AuthorityName; id: string },
): Issued {
  const { serial, notBefore, notAfter } = parseCertificate(der)
  const issuer = name === 'root' || name === 'issuing' ? 'root' : 'issuing'
  const certificate = Buffer.from(der).toString('base64')
  return { event: 'issued', at: Math.floor(at), serial, profile: name, id, issuer, notBefore, notAfter, certificate }
}

export interface Opened {
  dir: string
  passphrase: string
  rootPem: string
  issuing: Authority
  now: () => number
}

/** An open issuing CA. Every answer is journaled on disk before it is given. */
export class Pki {
  readonly rootPem: string
  readonly issuingPem: string
  /** PEM of the root's CRL and the issuing CA's, replaced as a whole */
  readonly crlFile: string
  readonly #opened: Opened
  readonly #journal: Journal
  readonly #register = new Register()
  #publishing: Promise<void> = Promise.resolve()
  #reading: Promise<void> = Promise.resolve()

  constructor(opened: Opened, journal: Journal) {
    this.#opened = opened
    this.#journal = journal
    this.rootPem = opened.rootPem
    this.issuingPem = toPem('CERTIFICATE', opened.issuing.certificate.der)
    this.crlFile = join(opened.dir, files.crls)
  }

  /** @throws PkiError `REQUEST_…`, `LINT` */
  async issue(request: IssueRequest): Promise<IssuedCertificate> {
    const [issued] = await this.issueMany([request])
    return issued!
  }

  /**
   * As `issue`, in the order given; up to `sharedFsyncMax` share one fsync. A refused request stops the batch it is in
   * before anything of that batch is journaled or given.
   */
  async issueMany(requests: readonly IssueRequest[]): Promise<IssuedCertificate[]> {
    const all: IssuedCertificate[] = []
    for (let start = 0; start < requests.length; start += sharedFsyncMax) {
      const signed: { entry: Issued; issued: IssuedCertificate }[] = []
      for (const request of requests.slice(start, start + sharedFsyncMax)) signed.push(await this.#sign(request))
      await this.#journal.append(signed.map(({ entry }) => entry))
      all.push(...signed.map(({ issued }) => issued))
    }
    return all
  }

  async #sign({
    profile: name,
    id,
    names,
    csr,
    days,
  }: IssueRequest): Promise<{ entry: Issued; issued: IssuedCertificate }> {
    const profile = profiles[name]
    if (!idPattern.test(id)) throw new PkiError('REQUEST_ID', 'an id is 1 to 64 of A-Z a-z 0-9 . _ -')
    if (names !== undefined && profile.names !== 'hosts') {
      throw new PkiError('REQUEST_NAMES', `a ${name} certificate has no host names`)
    }
    const at = this.#opened.now()
    const { publicKey, privateKeyPem } = csr === undefined ? newKey() : { publicKey: provenKey(csr) }
    const template = {
      profile,
      subject: encodeName({ common: id }),
      id,
      hosts: names ?? { dns: [], ip: [] },
      publicKey,
      at,
      days: days ?? profile.days,
    }
    const { certificate, sign } = this.#opened.issuing
    const der = await issueCertificate(template, certificate, sign)
    const certificatePem = toPem('CERTIFICATE', der)
    const entry = entryOf(der, { at, name, id })
    const chainPem = certificatePem + this.issuingPem
    return { entry, issued: { certificatePem, chainPem, privateKeyPem, serial: entry.serial } }
  }

  /**
   * Journals the revocation and writes the new CRL; again for the same serial it does no harm. Revoking the issuing CA
   * needs the root's key.
   * @param serial hex in either case, colons allowed
   * @throws PkiError `SERIAL_UNKNOWN`, `ROOT_OFFLINE`
   */
  async revoke(serial: string, reason: RevocationReason): Promise<void> {
    const found = await this.find(serial)
    const authority = await this.#authority(found.issuer)
    if (found.revoked === undefined) {
      const at = Math.floor(this.#opened.now())
      await this.#journal.append([{ event: 'revoked', serial: found.serial, at, reason }])
    }
    await this.#publish(found.issuer, authority)
  }

  /** Writes a fresh CRL of the issuing CA, or of the root while its key is here. @throws PkiError `ROOT_OFFLINE` */
  async refreshCrl(name: AuthorityName = 'issuing'): Promise<void> {
    await this.#publish(name, await this.#authority(name))
  }

  /** All that was ever issued, oldest first, the two CAs included. */
  async list(): Promise<Listed[]> {
    await this.#catchUp()
    return this.#register.list()
  }

  /** @param serial hex in either case, colons allowed @throws PkiError `SERIAL_UNKNOWN` */
  async find(serial: string): Promise<Listed> {
    await this.#catchUp()
    return this.#register.find(serial)
  }

  /** Writes CRLs that lag behind the journal; the issuing CA's also when half its time is over. */
  async mendCrl(): Promise<void> {
    await this.#catchUp()
    for (const name of ['root', 'issuing'] as const) {
      const [crl] = parseCrls(await readText(join(this.#opened.dir, crlFileOf(name))).catch(() => ''))
      const lags = this.#register.revokedBy(name).some(({ serial }) => crl?.serials.has(serial) !== true)
      const due = (crl?.nextUpdate ?? 0) - crlSeconds[name] / 2 < this.#opened.now()
      if (lags || (due && name === 'issuing')) await this.refreshCrl(name)
    }
    const bundled = parseCrls(await readText(this.crlFile).catch(() => ''))
    const single = await readText(join(this.#opened.dir, crlFileOf('issuing')))
    if (!parseCrls(single).every(({ der }) => bundled.some((one) => equalOctets(one.der, der)))) {
      await bundleCrls(this.#opened.dir)
    }
  }

  async close(): Promise<void> {
    await this.#journal.close()
  }

  async #authority(name: AuthorityName): Promise<Authority> {
    const { dir, passphrase, issuing } = this.#opened
    if (name === 'issuing') return issuing
    await access(join(dir, keyFile('root'))).catch((cause) => {
      throw new PkiError('ROOT_OFFLINE', 'the root key is away: this needs the directory root/', { cause })
    })
    return openAuthority(dir, 'root', passphrase)
  }

  /** One at a time, so that no older list replaces a newer one. */
  #publish(name: AuthorityName, authority: Authority): Promise<void> {
    const turn = this.#publishing.then(() => this.#publishNow(name, authority))
    this.#publishing = turn.catch(() => undefined) // its caller is told
    return turn
  }

  /** Repeats while another process revokes meanwhile, so that the last CRL written knows of every revocation. */
  async #publishNow(name: AuthorityName, authority: Authority): Promise<void> {
    const { dir, now } = this.#opened
    do {
      await this.#catchUp()
      const entries = this.#register.revokedBy(name).map(encodeRevocation)
      await writeCrl(dir, name, { authority, at: now(), entries })
      await bundleCrls(dir)
    } while ((await this.#journal.unread()) > 0)
  }

  #catchUp(): Promise<void> {
    this.#reading = this.#reading.then(() => this.#readOn())
    return this.#reading
  }

  async #readOn(): Promise<void> {
    this.#register.add(await this.#journal.read())
  }
}

function newKey(): { publicKey: Uint8Array; privateKeyPem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    publicKey: publicKeyOctets(publicKey),
    privateKeyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  }
}
