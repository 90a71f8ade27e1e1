import { join } from 'node:path'
import type { AuditAct, AuditLog } from '../audit/store.ts'
import { parseCrls } from '../crl.ts'
import { placeFull, publishShards } from '../crl-shards.ts'
import { PkiError } from '../errors.ts'
import type { Authority } from '../issue.ts'
import { toPem } from '../pem.ts'
import type { AuthorityName, Generation, IssuingName, ProfileName } from '../profiles.ts'
import { idPattern } from '../purpose.ts'
import type { RevocationReason } from '../revoke.ts'
import { equalOctets } from '../signature.ts'
import type { Acts } from './acts.ts'
import { crlAct, issuedAct } from './audited.ts'
import type { Authorities } from './authorities.ts'
import {
  bundleCrls,
  crlFileOf,
  crlSeconds,
  files,
  placeCrl,
  shardFolderOf,
  signNextCrl,
  trustFileOf,
} from './authority.ts'
import { type Certified, Certifier, type IssuedCertificate, type IssueRequest } from './certify.ts'
import type { StoreConfig } from './config.ts'
import { readText } from './files.ts'
import type { Journal } from './journal.ts'
import { changingKeys } from './lock.ts'
import type { Listed, Register } from './register.ts'
import { certifyNext } from './rotate.ts'

export type { IssuedCertificate, IssueRequest } from './certify.ts'

/** Certificates that share one fsync, the most. */
const sharedFsyncMax = 1_000
/** Other processes may fill a CRL shard while a batch is certified: how often it is certified anew, the most. */
const certifyTriesMax = 5

export interface Opened {
  dir: string
  config: StoreConfig
  authorities: Authorities
  journal: Journal
  audit: AuditLog
  acts: Acts
  register: Register
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
  readonly #register: Register
  readonly #certifier: Certifier
  /** CAs whose key this process has used, as the audit log was told */
  readonly #using = new Map<Generation, Promise<void>>()
  /** shards that this process knows to be in their place */
  readonly #shards = new Set<string>()
  #publishing: Promise<void> = Promise.resolve()

  constructor(opened: Opened) {
    this.#opened = opened
    this.rootPem = this.certificatePem('root')
    this.crlFile = join(opened.dir, files.crls)
    this.#register = opened.register
    const { authorities, config, register } = opened
    this.#certifier = new Certifier({
      authorities: {
        certificate: (name) => authorities.certificate(name),
        current: (name) => authorities.current(name),
        all: (name) => authorities.all(name),
        open: (name) => this.authority(name),
      },
      config,
      register,
    })
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

  /** A CA with its key in use, of which the audit log knows. @throws PkiError `ROOT_OFFLINE`, `STORE_KEY`, and what its keystore throws */
  async authority(name: Generation): Promise<Authority> {
    const authority = await this.#opened.authorities.open(name)
    const told = this.#using.get(name) ?? this.record({ kind: 'key-used', subject: name })
    this.#using.set(name, told)
    await told
    return authority
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
      const batch = await this.#issueBatch(requests.slice(start, start + sharedFsyncMax))
      all.push(...batch.map(({ issued }) => issued))
    }
    return all
  }

  async #issueBatch(requests: readonly IssueRequest[]): Promise<Certified[]> {
    for (let tries = 1; ; tries++) {
      await this.#opened.acts.catchUp()
      const batch: Certified[] = []
      for (const request of requests) batch.push(await this.#certify(request, batch))
      const entries = batch.map(({ entry }) => entry)
      try {
        await this.#opened.acts.perform({ entries, check: () => this.#certifier.recheck(batch) })
        await this.#openShards(batch)
        return batch
      } catch (fault) {
        if (!(fault instanceof PkiError && fault.code === 'SHARD_FULL' && tries < certifyTriesMax)) throw fault
      }
    }
  }

  /** A refusal is told of as well. */
  async #certify(request: IssueRequest, batch: readonly Certified[]): Promise<Certified> {
    try {
      return await this.#certifier.certify(request, this.#opened.now(), batch)
    } catch (fault) {
      if (fault instanceof PkiError) await this.record({ kind: 'refused', reason: fault.code, ...subjectOf(request) })
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
    const found = await this.find(serial).catch((fault) => this.#refuse(fault, {}))
    const authority = await this.authority(found.issuer).catch((fault) => this.#refuse(fault, { serial: found.serial }))
    if (found.revoked === undefined) {
      const at = Math.floor(this.#opened.now())
      await this.#opened.acts.perform({ entries: [{ event: 'revoked', serial: found.serial, at, reason }] })
    }
    await this.#publish(found.issuer, authority, shardsIn([found]))
  }

  /**
   * Revokes all that an identity has, what it was renewed to as well: one act in the journal, then the new CRLs.
   * @returns the serials that it still had; none when all had ended or were revoked before
   * @throws PkiError `SERIAL_UNKNOWN` when nothing was ever issued to it
   */
  async revokeIdentity(profile: ProfileName, id: string, reason: RevocationReason): Promise<string[]> {
    const at = Math.floor(this.#opened.now())
    const own = (await this.list()).filter((one) => one.profile === profile && one.id === id)
    if (own.length === 0) {
      await this.#refuse(new PkiError('SERIAL_UNKNOWN', `nothing was issued here to ${profile} ${id}`), {})
    }
    const serials = own
      .filter(({ revoked, notAfter }) => revoked === undefined && notAfter >= at)
      .map(({ serial }) => serial)
    await this.#opened.acts.perform({ entries: serials.map((serial) => ({ event: 'revoked', serial, at, reason })) })
    for (const issuer of new Set(own.map((one) => one.issuer))) {
      const shards = shardsIn(own.filter((one) => one.issuer === issuer))
      await this.#publish(issuer, await this.authority(issuer), shards)
    }
    return serials
  }

  /** The log is told of what was refused. */
  async #refuse(fault: unknown, about: Pick<AuditAct, 'serial'>): Promise<never> {
    if (fault instanceof PkiError) await this.record({ kind: 'refused', reason: fault.code, ...about })
    throw fault
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
    const { dir, acts, actor, authorities } = this.#opened
    return changingKeys(dir, async () => {
      await acts.catchUp()
      const entry = await certifyNext(this.#opened, name)
      const tells: AuditAct[] = [
        { kind: 'key-used', actor, subject: 'root' },
        { kind: 'key-made', actor, subject: entry.id },
        issuedAct(actor, entry),
        { kind: 'rotate', actor, subject: entry.id },
      ]
      await acts.perform({ entries: [entry], tells })
      await acts.catchUp() // which makes its files
      const made = authorities.current(name)
      const [crl] = parseCrls(await readText(join(dir, crlFileOf(made))))
      if (crl !== undefined) await this.record(crlAct(made, crl.der))
      return made
    })
  }

  /** All that was ever issued, oldest first, the CAs included. */
  async list(): Promise<Listed[]> {
    await this.#opened.acts.catchUp()
    return this.#register.list()
  }

  /** @param serial hex in either case, colons allowed @throws PkiError `SERIAL_UNKNOWN` */
  async find(serial: string): Promise<Listed> {
    await this.#opened.acts.catchUp()
    return this.#register.find(serial)
  }

  /** Reads what was journaled since, by this process or another. */
  refresh(): Promise<void> {
    return this.#opened.acts.catchUp()
  }

  /** The certificates of one public key as of the last look at the journal, oldest first. @param key as `keyDigest` gives it */
  withKey(key: string): Listed[] {
    return this.#register.withKey(key)
  }

  /** Tells the audit log of an act that is not one of the CA's own; durable when it resolves. */
  record(act: Omit<AuditAct, 'actor'>): Promise<void> {
    const { acts, actor } = this.#opened
    return acts.perform({ entries: [], tells: [{ ...act, actor }] })
  }

  /** A signed note over all that the audit log tells of by now. @throws PkiError `AUDIT_BUSY` */
  checkpoint(): Promise<string> {
    return this.#opened.audit.checkpoint()
  }

  /** Writes CRLs that lag behind the journal; an issuing CA's also when half its time is over. */
  async mendCrl(): Promise<void> {
    await this.#opened.acts.catchUp()
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
  #publish(name: Generation, authority: Authority, shards?: ReadonlySet<number>): Promise<void> {
    const turn = this.#publishing.then(() => this.#publishNow(name, authority, shards))
    this.#publishing = turn.catch(() => undefined) // its caller is told
    return turn
  }

  /** Repeats while another process revokes meanwhile, so that the last CRL written knows of every revocation. */
  async #publishNow(name: Generation, authority: Authority, shards?: ReadonlySet<number>): Promise<void> {
    const { dir, now, journal, acts, config } = this.#opened
    do {
      await acts.catchUp()
      const revoked = this.#register.revokedBy(name)
      const der = await signNextCrl(dir, name, { authority, at: now(), revoked })
      await this.record(crlAct(name, der))
      await placeCrl(dir, name, der)
      await bundleCrls(dir, this.generations())
      if (name !== 'root' && config.publication.crl !== undefined) await placeFull(join(dir, shardFolderOf(name)), der)
      await this.#publishShards(name, authority, shards)
    } while ((await journal.unread()) > 0)
  }

  /** Those that say something new, or are half-way to their end. @param only these are looked at; without: all */
  async #publishShards(name: Generation, authority: Authority, only?: ReadonlySet<number>): Promise<void> {
    const { dir, now, config } = this.#opened
    if (name === 'root' || config.publication.crl === undefined) return
    const place = {
      dir: join(dir, shardFolderOf(name)),
      base: `${config.publication.crl}/${name}`,
      authority,
      at: now(),
      lifeSeconds: crlSeconds(name),
      signed: (shard: number, der: Uint8Array) => this.record(crlAct(`${name}/${shard}`, der)),
    }
    const shards = this.#register.shardsOf(name, only)
    await publishShards(place, shards)
    for (const shard of shards.keys()) this.#shards.add(`${name}/${shard}`)
  }

  /** A certificate finds its shard from the first moment on. */
  async #openShards(batch: readonly Certified[]): Promise<void> {
    const isNew = ({ entry: { issuer, shard } }: Certified): boolean =>
      shard !== undefined && !this.#shards.has(`${issuer}/${shard}`)
    const opened = batch.filter(isNew).map(({ entry }) => entry)
    for (const issuer of new Set(opened.map((entry) => entry.issuer))) {
      const shards = shardsIn(opened.filter((entry) => entry.issuer === issuer))
      const authority = await this.authority(issuer)
      const turn = this.#publishing.then(() => this.#publishShards(issuer, authority, shards))
      this.#publishing = turn.catch(() => undefined) // its caller is told
      await turn
    }
  }
}

/** The CRL shards that certificates name. */
function shardsIn(certificates: readonly { shard?: number }[]): Set<number> {
  return new Set(certificates.flatMap(({ shard }) => (shard === undefined ? [] : [shard])))
}

/** An id that is none has no place in the log. */
function subjectOf({ profile, id }: IssueRequest): { subject?: string } {
  return idPattern.test(id) ? { subject: `${profile}:${id}` } : {}
}
