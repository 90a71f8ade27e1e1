import { join } from 'node:path'
import type { AuditAct, AuditLog } from '../audit/store.ts'
import { parseCrls } from '../crl.ts'
import { PkiError } from '../errors.ts'
import type { Authority } from '../issue.ts'
import { toPem } from '../pem.ts'
import type { AuthorityName, Generation, IssuingName, ProfileName } from '../profiles.ts'
import { idPattern } from '../purpose.ts'
import { encodeRevocation, type RevocationReason } from '../revoke.ts'
import { equalOctets } from '../signature.ts'
import { issuedAct } from './audited.ts'
import type { Authorities } from './authorities.ts'
import { bundleCrls, crlFileOf, crlSeconds, files, trustFileOf, writeCrl } from './authority.ts'
import { type Certified, Certifier, type IssuedCertificate, type IssueRequest } from './certify.ts'
import type { StoreConfig } from './config.ts'
import { readText } from './files.ts'
import type { Journal } from './journal.ts'
import { changingKeys } from './lock.ts'
import { type Listed, Register } from './register.ts'
import { certifyNext, settleRotations } from './rotate.ts'

export type { IssuedCertificate, IssueRequest } from './certify.ts'

/** Certificates that share one fsync, the most. */
const sharedFsyncMax = 1_000

export interface Opened {
  dir: string
  config: StoreConfig
  authorities: Authorities
  journal: Journal
  audit: AuditLog
  /** who has acts done, as the audit log names it */
  actor: string
  /** seconds since 1970 */
  now: () => number
}

/** An open PKI. Every answer is journaled on disk before it is given. */
export class Pki {
  readonly rootPem: string
  /** PEM of every CA's CRL, replaced as a whole */
  readonly crlFile: string
  readonly #opened: Opened
  readonly #register = new Register()
  readonly #certifier: Certifier
  #publishing: Promise<void> = Promise.resolve()
  #reading: Promise<void> = Promise.resolve()

  constructor(opened: Opened) {
    this.#opened = opened
    this.rootPem = this.certificatePem('root')
    this.crlFile = join(opened.dir, files.crls)
    this.#certifier = new Certifier({ ...opened, register: this.#register })
  }

  /** PEM of the certificate that a CA issues under. */
  certificatePem(name: AuthorityName): string {
    const { authorities } = this.#opened
    return toPem('CERTIFICATE', authorities.certificate(authorities.current(name)).der)
  }

  /** DER of every certificate that a CA has or had, oldest first. */
  certificates(name: AuthorityName): Uint8Array[] {
    const { authorities } = this.#opened
    return authorities.all(name).map((generation) => authorities.certificate(generation).der)
  }

  /** Every key of every CA whose certificate has not ended: each has a CRL of its own. */
  generations(): Generation[] {
    return this.#opened.authorities.live(this.#opened.now())
  }

  /** File of what a listener for one class trusts: that class's CA, its older keys, then the root. */
  trustFile(name: IssuingName): string {
    return join(this.#opened.dir, trustFileOf(name))
  }

  /** A CA with its key in use. @throws PkiError `ROOT_OFFLINE`, `STORE_KEY`, and what its keystore throws */
  authority(name: Generation): Promise<Authority> {
    return this.#opened.authorities.open(name)
  }

  /** @throws PkiError `REQUEST_…`, `KEY_REUSED`, `KEY_REVOKED`, `LINT` */
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
      await this.#catchUp()
      const batch: Certified[] = []
      for (const request of requests.slice(start, start + sharedFsyncMax)) {
        batch.push(await this.#certify(request, batch))
      }
      const { journal, audit, actor } = this.#opened
      await journal.append(batch.map(({ entry }) => entry))
      await audit.append(batch.map(({ entry }) => issuedAct(actor, entry)))
      all.push(...batch.map(({ issued }) => issued))
    }
    return all
  }

  /** A refusal is told of as well. */
  async #certify(request: IssueRequest, batch: readonly Certified[]): Promise<Certified> {
    const { audit, actor, now } = this.#opened
    try {
      return await this.#certifier.certify(request, now(), batch)
    } catch (fault) {
      if (!(fault instanceof PkiError)) throw fault
      await audit.append([{ kind: 'refused', actor, reason: fault.code, ...subjectOf(request) }])
      throw fault
    }
  }

  /**
   * Journals the revocation and writes the new CRL; again for the same serial it does no harm. Revoking a CA needs the
   * root's key.
   * @param serial hex in either case, colons allowed
   * @throws PkiError `SERIAL_UNKNOWN`, `ROOT_OFFLINE`
   */
  async revoke(serial: string, reason: RevocationReason): Promise<void> {
    const found = await this.find(serial)
    const authority = await this.authority(found.issuer)
    if (found.revoked === undefined) {
      const at = Math.floor(this.#opened.now())
      const { journal, audit, actor } = this.#opened
      const { serial: revoked, profile, id } = found
      await journal.append([{ event: 'revoked', serial: revoked, at, reason }])
      await audit.append([{ kind: 'revoked', actor, subject: `${profile}:${id}`, serial: revoked, reason }])
    }
    await this.#publish(found.issuer, authority)
  }

  /**
   * Revokes all that an identity has, what it was renewed to as well: one act in the journal, then the new CRLs.
   * @returns the serials that it still had; none when all had ended or were revoked before
   * @throws PkiError `SERIAL_UNKNOWN` when nothing was ever issued to it
   */
  async revokeIdentity(profile: ProfileName, id: string, reason: RevocationReason): Promise<string[]> {
    const at = Math.floor(this.#opened.now())
    const own = (await this.list()).filter((one) => one.profile === profile && one.id === id)
    if (own.length === 0) throw new PkiError('SERIAL_UNKNOWN', `nothing was issued here to ${profile} ${id}`)
    const serials = own
      .filter(({ revoked, notAfter }) => revoked === undefined && notAfter >= at)
      .map(({ serial }) => serial)
    const { journal, audit, actor } = this.#opened
    const subject = `${profile}:${id}`
    await journal.append(serials.map((serial) => ({ event: 'revoked', serial, at, reason })))
    await audit.append(serials.map((serial) => ({ kind: 'revoked', actor, subject, serial, reason })))
    for (const issuer of new Set(own.map((one) => one.issuer)))
      await this.#publish(issuer, await this.authority(issuer))
    return serials
  }

  /** Writes a fresh CRL of a CA; of the root while its key is here. @throws PkiError `ROOT_OFFLINE` */
  async refreshCrl(name: Generation): Promise<void> {
    await this.#publish(name, await this.authority(name))
  }

  /**
   * Gives a CA a new key under the root, with which it issues from now on; the old one stays trusted to its end, and keeps
   * its CRL. Killed in between, it either did not happen or is completed by whoever opens the store next.
   * @returns the new key's name, `device-2` for instance
   * @throws PkiError `ROOT_OFFLINE`, `ROTATION_LIMIT`, `STORE_BUSY`, `LINT`, and what a keystore throws
   */
  rotate(name: IssuingName): Promise<Generation> {
    const { dir, journal, audit, actor, authorities } = this.#opened
    return changingKeys(dir, async () => {
      await this.#catchUp()
      const entry = await certifyNext(this.#opened, name)
      await journal.append([entry])
      await audit.append([
        { kind: 'key-made', actor, subject: entry.id },
        issuedAct(actor, entry),
        { kind: 'rotate', actor, subject: entry.id },
      ])
      await this.#catchUp()
      await audit.append([{ kind: 'crl-signed', actor, subject: entry.id }])
      return authorities.current(name)
    })
  }

  /** All that was ever issued, oldest first, the CAs included. */
  async list(): Promise<Listed[]> {
    await this.#catchUp()
    return this.#register.list()
  }

  /** @param serial hex in either case, colons allowed @throws PkiError `SERIAL_UNKNOWN` */
  async find(serial: string): Promise<Listed> {
    await this.#catchUp()
    return this.#register.find(serial)
  }

  /** Reads what was journaled since, by this process or another. */
  refresh(): Promise<void> {
    return this.#catchUp()
  }

  /** The certificates of one public key as of the last look at the journal, oldest first. @param key as `keyDigest` gives it */
  withKey(key: string): Listed[] {
    return this.#register.withKey(key)
  }

  /** Tells the audit log of an act that is not one of the CA's own; durable when it resolves. */
  async record(act: Omit<AuditAct, 'actor'>): Promise<void> {
    const { audit, actor } = this.#opened
    await audit.append([{ ...act, actor }])
  }

  /** A signed note over all that the audit log tells of by now. @throws PkiError `AUDIT_BUSY` */
  checkpoint(): Promise<string> {
    return this.#opened.audit.checkpoint()
  }

  /** Writes CRLs that lag behind the journal; an issuing CA's also when half its time is over. */
  async mendCrl(): Promise<void> {
    await this.#catchUp()
    for (const name of this.generations()) {
      const [crl] = parseCrls(await readText(join(this.#opened.dir, crlFileOf(name))).catch(() => ''))
      const lags = this.#register.revokedBy(name).some(({ serial }) => crl?.serials.has(serial) !== true)
      const due = (crl?.nextUpdate ?? 0) - crlSeconds(name) / 2 < this.#opened.now()
      if (lags || (due && name !== 'root')) await this.refreshCrl(name)
    }
    await this.#mendBundle()
  }

  async #mendBundle(): Promise<void> {
    const bundled = parseCrls(await readText(this.crlFile).catch(() => ''))
    const held = (der: Uint8Array): boolean => bundled.some((one) => equalOctets(one.der, der))
    for (const name of this.generations()) {
      if (name === 'root') continue
      const single = parseCrls(await readText(join(this.#opened.dir, crlFileOf(name))))
      if (!single.every(({ der }) => held(der))) return bundleCrls(this.#opened.dir, this.generations())
    }
  }

  async close(): Promise<void> {
    await this.#opened.journal.close()
    await this.#opened.audit.close()
    await this.#opened.authorities.close()
  }

  /** One at a time, so that no older list replaces a newer one. */
  #publish(name: Generation, authority: Authority): Promise<void> {
    const turn = this.#publishing.then(() => this.#publishNow(name, authority))
    this.#publishing = turn.catch(() => undefined) // its caller is told
    return turn
  }

  /** Repeats while another process revokes meanwhile, so that the last CRL written knows of every revocation. */
  async #publishNow(name: Generation, authority: Authority): Promise<void> {
    const { dir, now, journal, audit, actor } = this.#opened
    do {
      await this.#catchUp()
      const entries = this.#register.revokedBy(name).map(encodeRevocation)
      await writeCrl(dir, name, { authority, at: now(), entries })
      await audit.append([{ kind: 'crl-signed', actor, subject: name }])
      await bundleCrls(dir, this.generations())
    } while ((await journal.unread()) > 0)
  }

  #catchUp(): Promise<void> {
    const turn = this.#reading.then(async () => {
      const entries = await this.#opened.journal.read()
      this.#register.add(entries)
      await settleRotations({ ...this.#opened, register: this.#register }, entries)
    })
    this.#reading = turn
    return turn
  }
}

/** An id that is none has no place in the log. */
function subjectOf({ profile, id }: IssueRequest): { subject?: string } {
  return idPattern.test(id) ? { subject: `${profile}:${id}` } : {}
}
