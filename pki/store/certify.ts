import { createHash, type KeyObject } from 'node:crypto'
import type { Certificate } from '../certificate.ts'
import { shardAt, shardUri } from '../crl-shards.ts'
import { PkiError } from '../errors.ts'
import type { Publication } from '../extensions.ts'
import { issueCertificate, publicKeyOctets } from '../issue.ts'
import { algorithmsOf, type KeyAlgorithm, keyAlgorithms, profileSets } from '../key-algorithm.ts'
import { constraintFault, looksLikeHost } from '../name-constraints.ts'
import { addressOctets, encodeHostNames, encodeName, type HostNames } from '../names.ts'
import { toPem } from '../pem.ts'
import {
  authorityProfiles,
  type Generation,
  generationOf,
  type IssuingName,
  type LeafProfile,
  type ProfileName,
  profiles,
} from '../profiles.ts'
import { idPattern } from '../purpose.ts'
import { provenKey } from '../request.ts'
import { type Prepare, templateWriter } from '../template.ts'
import type { Template } from '../unsigned.ts'
import type { Authorities } from './authorities.ts'
import type { StoreConfig } from './config.ts'
import type { Issued } from './journal.ts'
import type { Register } from './register.ts'

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
  /** where several CAs issue the profile, another than the first */
  issuer?: IssuingName
  /** for an OCSP responder: which of the CA's keys it answers for, from 1 on; without: the one that the CA issues with */
  keyNumber?: number
}

export interface IssuedCertificate {
  certificatePem: string
  /** the certificate, then its CA's */
  chainPem: string
  /** PKCS#8, not encrypted; `undefined` for a request that brought its key */
  privateKeyPem: string | undefined
  /** upper-case hex */
  serial: string
  /** the CA's key: `device`, or `device-2` after a rotation */
  issuer: Generation
}

/** What names a public key in the journal: SHA-256 of its SubjectPublicKeyInfo, hex. */
export function keyDigest(publicKey: Uint8Array): string {
  return createHash('sha256').update(publicKey).digest('hex')
}

/** The journal's line for a certificate. @param certificate as read @param der the same, rightly signed */
export function entryOf(
  { serial, notBefore, notAfter, publicKey }: Certificate,
  der: Uint8Array,
  named: Pick<Issued, 'at' | 'profile' | 'id' | 'issuer' | 'shard'>,
): Issued {
  const { at, ...who } = named
  const certificate = Buffer.from(der).toString('base64')
  const key = keyDigest(publicKey)
  return { event: 'issued', at: Math.floor(at), serial, ...who, key, notBefore, notAfter, certificate }
}

export interface Certified {
  entry: Issued
  issued: IssuedCertificate
}

/** The CAs, each key of theirs to be opened as its use is to be told. */
export type CertifyingAuthorities = Pick<Authorities, 'certificate' | 'current' | 'all' | 'open'>

/** Requests in, signed certificates and their journal entries out: nothing is on disk yet. */
export class Certifier {
  readonly #authorities: CertifyingAuthorities
  readonly #config: StoreConfig
  readonly #register: Register
  readonly #prepare: Prepare = templateWriter()

  constructor(parts: {
    authorities: CertifyingAuthorities
    config: StoreConfig
    register: Register
  }) {
    this.#authorities = parts.authorities
    this.#config = parts.config
    this.#register = parts.register
  }

  /**
   * @param batch what was certified before and is to be journaled together with this
   * @throws PkiError `REQUEST_…`, `KEY_REUSED`, `KEY_REVOKED`, `LINT`
   */
  async certify(request: IssueRequest, at: number, batch: readonly Certified[]): Promise<Certified> {
    const { id } = request
    const profile = profiles[request.profile]
    const name = issuerFor(request, profile)
    const issuer = this.#keyFor(name, request)
    const certificate = this.#authorities.certificate(issuer)
    checkNames(request, profile, certificate)
    const { publicKey, privateKeyPem } = this.#keyOf(request, profile)
    this.#checkKey(publicKey, { profile: request.profile, id }, batch)
    const shard = this.#shardOf(issuer, profile, batch)
    const template: Template = {
      profile,
      subject: encodeName({
        organisation: this.#config.organisation,
        unit: authorityProfiles[name].scope!.unit,
        common: id,
      }),
      id,
      hosts: request.names ?? { dns: [], ip: [] },
      publicKey,
      at,
      ...(request.days === undefined ? {} : { days: request.days }),
      publication: this.#publicationOf(issuer, profile, shard),
    }
    const { sign } = await this.#authorities.open(issuer)
    const profileSet = profileSets[this.#config.profileSet]
    const { der, draft } = await issueCertificate(template, {
      issuer: certificate,
      sign,
      profileSet,
      prepare: this.#prepare,
    })
    const certificatePem = toPem('CERTIFICATE', der)
    const chainPem = certificatePem + toPem('CERTIFICATE', certificate.der)
    return {
      entry: entryOf(draft, der, {
        at,
        profile: request.profile,
        id,
        issuer,
        ...(shard === undefined ? {} : { shard }),
      }),
      issued: { certificatePem, chainPem, privateKeyPem, serial: draft.serial, issuer },
    }
  }

  /** Only a responder is for an older key: what else is issued comes from the newest. */
  #keyFor(name: IssuingName, { profile, keyNumber }: IssueRequest): Generation {
    if (keyNumber === undefined) return this.#authorities.current(name)
    const found = this.#authorities.all(name).find((one) => one === generationOf(name, keyNumber))
    if (profile !== 'ocsp' || found === undefined) {
      throw new PkiError('REQUEST_PROFILE', `the ${name} CA issues no ${profile} with a key ${keyNumber}`)
    }
    return found
  }

  #keyOf({ csr }: IssueRequest, profile: LeafProfile): { publicKey: Uint8Array; privateKeyPem: string | undefined } {
    const { signing, agreement, ...rest } = profileSets[this.#config.profileSet]
    const name = profile.keyUsage.includes('keyAgreement') ? agreement : signing
    const wanted = algorithmsOf({ ...rest, authority: name, signing: name, agreement: name })
    if (csr !== undefined) return { publicKey: provenKey(csr, wanted), privateKeyPem: undefined }
    return newKey(keyAlgorithms[name])
  }

  /** Also beside what is certified in the same go and not yet in the register. */
  #checkKey(publicKey: Uint8Array, who: { profile: ProfileName; id: string }, batch: readonly Certified[]): void {
    const key = keyDigest(publicKey)
    const fault = this.#register.keyFault(key, who)
    if (fault !== undefined) throw fault
    const other = batch.find(({ entry }) => entry.key === key && (entry.profile !== who.profile || entry.id !== who.id))
    if (other !== undefined) throw new PkiError('KEY_REUSED', `the key is certified for ${other.entry.id} just now`)
  }

  /**
   * Asked again when all that other processes did is known, and nobody can come in between.
   * @throws PkiError `KEY_REUSED`, `KEY_REVOKED`, `SHARD_FULL`: certified anew, it names the next one
   */
  recheck(batch: readonly Certified[]): void {
    const before = new Map<Generation, number>()
    for (const { entry } of batch) {
      const fault = this.#register.keyFault(entry.key, entry)
      if (fault !== undefined) throw fault
      const ordinal = before.get(entry.issuer) ?? this.#register.issuedBy(entry.issuer)
      before.set(entry.issuer, ordinal + 1)
      if (entry.shard !== undefined && entry.shard !== shardAt(ordinal)) {
        throw new PkiError('SHARD_FULL', `CRL shard ${entry.shard} has been filled meanwhile`)
      }
    }
  }

  /** Fixed when it is issued: it follows from how many its CA issued before. */
  #shardOf(issuer: Generation, { revocation }: LeafProfile, batch: readonly Certified[]): number | undefined {
    if (revocation === 'nocheck' || this.#config.publication.crl === undefined) return undefined
    return shardAt(this.#register.issuedBy(issuer) + batch.filter(({ entry }) => entry.issuer === issuer).length)
  }

  #publicationOf(issuer: Generation, { revocation }: LeafProfile, shard: number | undefined): Publication {
    const { crl, ocsp } = this.#config.publication
    if (revocation === 'nocheck') return {}
    return {
      ...(shard === undefined ? {} : { crl: shardUri(`${crl}/${issuer}`, shard) }),
      ...(ocsp === undefined ? {} : { ocsp }),
    }
  }
}

function newKey(algorithm: KeyAlgorithm): { publicKey: Uint8Array; privateKeyPem: string } {
  const { privateKey, publicKey } = algorithm.make()
  const pem = (key: KeyObject): string => key.export({ format: 'pem', type: 'pkcs8' }).toString()
  return { publicKey: publicKeyOctets(publicKey), privateKeyPem: pem(privateKey) }
}

function issuerFor({ profile, issuer }: IssueRequest, { issuers }: LeafProfile): IssuingName {
  const [usual] = issuers
  // a ceremony's certificate signs one transcript, and is made where that is
  if (usual === undefined || profile === 'ceremony')
    throw new PkiError('REQUEST_PROFILE', `a ${profile} certificate is not this PKI's to issue`)
  if (issuer === undefined) return usual
  if (!issuers.includes(issuer)) throw new PkiError('REQUEST_PROFILE', `the ${issuer} CA issues no ${profile}`)
  return issuer
}

/** What the lint rules would find too, told in the requester's words. */
function checkNames({ profile: name, id, names }: IssueRequest, profile: LeafProfile, issuer: Certificate): void {
  if (!idPattern.test(id)) throw new PkiError('REQUEST_ID', 'an id is 1 to 64 of A-Z a-z 0-9 . _ -')
  if (profile.names !== 'hosts') {
    if (names !== undefined) throw new PkiError('REQUEST_NAMES', `a ${name} certificate has no host names`)
    if (looksLikeHost(id)) throw new PkiError('REQUEST_ID', `'${id}' could be taken for a host's name`)
    return
  }
  const { dns, ip } = names ?? { dns: [], ip: [] }
  encodeHostNames({ dns, ip }) // seen to be names and addresses
  if (issuer.nameConstraints === undefined) return
  const none = { uri: [], email: [], directory: [], leaf: false, subject: Uint8Array.of(0x30, 0) }
  const fault = constraintFault(issuer.nameConstraints, { ...none, dns, ip: ip.map(addressOctets) })
  if (fault !== undefined) throw new PkiError('REQUEST_NAMES', `${fault} in the zones that this PKI was made for`)
}
