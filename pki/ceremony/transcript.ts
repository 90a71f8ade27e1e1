import { parseCertificate } from '../certificate.ts'
import { encodeDetached, verifyDetached } from '../cms.ts'
import { PkiError } from '../errors.ts'
import { issueCertificate } from '../issue.ts'
import { keyAlgorithms, profileSets } from '../key-algorithm.ts'
import type { KeyPlace, SigningKey } from '../keystore/keystore.ts'
import { processKey } from '../keystore/memory.ts'
import { lint, lintRules } from '../lint.ts'
import { encodeName } from '../names.ts'
import { type AuthorityName, authorityProfiles, profiles } from '../profiles.ts'
import { entryOf } from '../store/certify.ts'
import type { StoreConfig } from '../store/config.ts'
import type { NewAuthority } from '../store/hierarchy.ts'
import type { Issued } from '../store/journal.ts'
import type { Proposal } from './approval.ts'
import { sha256 } from './config.ts'

/** What was made, and what else a transcript tells of. */
export interface Events {
  proposal: Proposal
  /** in the order of the approvers; `undefined` in a dry run where it is not there */
  approvals: readonly (Uint8Array | undefined)[]
  store: StoreConfig
  authorities: readonly NewAuthority[]
  auditKey: SigningKey
  /** DER, of each CA */
  crls: ReadonlyMap<AuthorityName, Uint8Array>
  dryRun: boolean
  /** of this program */
  version: string
  /** seconds since 1970 */
  begunAt: number
  now: () => number
}

export interface Transcript {
  /** one JSON object a line */
  text: string
  /** DER, detached, over the text's octets */
  cms: Uint8Array
  /** of the certificate that signed, for the journal */
  entry: Issued
}

/**
 * Tells what happened and signs it, by a certificate that is issued under the new hierarchy for this one signature. Neither an
 * approver's key, who would vouch for himself, nor the root's, whose key usage OpenSSL does not accept for it, signs; the
 * key lives in this process and is never written down, so that nobody can sign another transcript with it.
 * @throws PkiError `CMS_MALFORMED` when what was signed does not hold, which is found out before it counts
 */
export async function transcribe(events: Events): Promise<Transcript> {
  const { store, authorities, crls, now } = events
  const of = (name: AuthorityName): NewAuthority => authorities.find((one) => one.name === name)!
  const { key, entry, der } = await signer(events, of('signing'))
  const text = [...told(events), certificateEvent('ceremony', der, of('signing'), store), endOf(now())]
    .map((event) => `${JSON.stringify(event)}\n`)
    .join('')
  const content = Buffer.from(text)
  const cms = await encodeDetached({
    content,
    at: Math.floor(now()),
    certificates: [der, of('signing').certificate.der],
    crls: [crls.get('signing')!, crls.get('root')!],
    sign: (octets) => key.sign(octets),
  })
  if (store.profileSet === 'p256') {
    const roots = [of('root').certificate.der]
    const verdict = await verifyDetached({ cms, content, roots, at: now(), purpose: 'ceremony' })
    if (!verdict.ok) throw new PkiError('CMS_MALFORMED', `${verdict.code}: ${verdict.detail}`)
  }
  return { text, cms, entry }
}

async function signer(
  { proposal, store, now }: Events,
  issuer: NewAuthority,
): Promise<{ key: SigningKey; entry: Issued; der: Uint8Array }> {
  const profileSet = profileSets[store.profileSet]
  const algorithm = keyAlgorithms[profileSet.signing]
  const key = processKey(algorithm.make().privateKey, algorithm)
  const { ceremony: id } = proposal.config
  const at = now()
  const unit = authorityProfiles.signing.scope!.unit
  const template = {
    profile: profiles.ceremony,
    subject: encodeName({ organisation: store.organisation, unit, common: id }),
    id,
    hosts: { dns: [], ip: [] },
    publicKey: key.publicKey,
    at,
  }
  const { der, draft } = await issueCertificate(template, {
    issuer: issuer.certificate,
    sign: issuer.sign,
    profileSet,
  })
  return { key, der, entry: entryOf(draft, der, { at, profile: 'ceremony', id, issuer: 'signing' }) }
}

function iso(seconds: number): string {
  return new Date(Math.floor(seconds) * 1_000).toISOString()
}

function told(events: Events): object[] {
  const { proposal, approvals, store, authorities, auditKey, crls, dryRun, version, begunAt, now } = events
  const { config, people, digest } = proposal
  const root = authorities[0]!
  const algorithm = profileSets[store.profileSet].authority
  return [
    {
      event: 'begun',
      ceremony: config.ceremony,
      at: iso(begunAt),
      config: digest,
      window: { from: iso(config.window.from), to: iso(config.window.to) },
      store: store.id,
      tool: `ami ${version}`,
      ...(dryRun ? { dryRun } : {}),
    },
    ...people.map(({ name, digest: key }, at) => {
      const approval = approvals[at]
      return { event: 'approved', name, key, approval: approval === undefined ? null : sha256(approval) }
    }),
    ...authorities.map(({ name, certificate }) => keyEvent(name, certificate.publicKey, store.keys[name], algorithm)),
    keyEvent('audit', auditKey.publicKey, store.keys.device, 'p256'),
    ...authorities.map((one) => certificateEvent(one.name, one.certificate.der, one === root ? one : root, store, one)),
    ...[...crls].map(([name, der]) => ({ event: 'crl', name, digest: sha256(der), at: iso(now()) })),
  ]
}

/** The PIN's file is nobody's business. */
function keyEvent(name: string, publicKey: Uint8Array, place: KeyPlace, algorithm: string): object {
  const where = place.kind === 'pkcs11' ? { kind: place.kind, module: place.module, token: place.token } : place
  return { event: 'key', name, algorithm, fingerprint: sha256(publicKey), place: where }
}

function certificateEvent(
  name: AuthorityName | 'ceremony',
  der: Uint8Array,
  issuer: NewAuthority,
  { profileSet }: StoreConfig,
  { certificate }: Pick<NewAuthority, 'certificate'> = { certificate: parseCertificate(der) },
): object {
  const profile = name === 'ceremony' ? profiles.ceremony : authorityProfiles[name]
  const broken = lint({ certificate, profile, issuer: issuer.certificate, profileSet: profileSets[profileSet] })
  return {
    event: 'certificate',
    name,
    serial: certificate.serial,
    issuer: issuer.name,
    digest: sha256(der),
    notBefore: iso(certificate.notBefore),
    notAfter: iso(certificate.notAfter),
    lint: { rules: lintRules.length, broken: broken.map((rule) => rule.name) },
  }
}

function endOf(at: number): object {
  return { event: 'ended', at: iso(at) }
}
