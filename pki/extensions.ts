import { extensionOid, keyUsageBit } from './certificate.ts'
import { bitList, boolean, contextPrimitive, encode, integer, octetString, oid, sequence, tag, text } from './der.ts'
import { encodeDistributionPoints } from './distribution-point.ts'
import { encodeNameConstraints, type NameConstraints, nameForm, rangeOctets, type Subtree } from './name-constraints.ts'
import { encodeHostNames, encodeName, encodeUri, type HostNames } from './names.ts'
import type { NameScope, Profile } from './profiles.ts'

/** One extension to be written. */
export interface NewExtension {
  oid: string
  critical: boolean
  value: Uint8Array
}

/** Where the standing of a certificate is told, each where given: `http:` URLs. */
export interface Publication {
  /** of the CRL that covers it */
  crl?: string
  /** of an OCSP responder */
  ocsp?: string
}

/** Host names and ranges of addresses that a PKI may issue for. */
export interface Zones {
  /** each with all below it */
  dns: readonly string[]
  /** such as `10.0.0.0/8`; `any`: no CA says anything of addresses, for clients that cannot read such constraints */
  ip: readonly string[] | 'any'
}

/** Names and addresses that no public CA certifies: what a head-end that keeps to itself needs. @see RFC 6761, RFC 1918, RFC 4193 */
export const privateZones: { dns: readonly string[]; ip: readonly string[] } = {
  dns: ['localhost', 'test', 'internal'],
  ip: ['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '::1/128', 'fc00::/7'],
}

export function authorityKeyId(keyId: Uint8Array): NewExtension {
  return {
    oid: extensionOid.authorityKeyId,
    critical: false,
    value: sequence(encode(contextPrimitive(0), keyId)),
  }
}

export function subjectKeyId(keyId: Uint8Array): NewExtension {
  return { oid: extensionOid.subjectKeyId, critical: false, value: octetString(keyId) }
}

/** What every certificate of a profile has: basic constraints, key usage, policies, extended key usage, no OCSP check. */
export function profileExtensions(profile: Profile & { revocation?: string }): NewExtension[] {
  const { pathLength, keyUsage, policies, extendedKeyUsage } = profile
  const basic = pathLength === undefined ? sequence() : sequence(boolean(true), integer(pathLength))
  const usages = bitList(keyUsage.map((usage) => keyUsageBit[usage]))
  const optional = (list: readonly unknown[], extension: () => NewExtension): NewExtension[] =>
    list.length === 0 ? [] : [extension()]
  return [
    { oid: extensionOid.basicConstraints, critical: true, value: basic },
    { oid: extensionOid.keyUsage, critical: true, value: usages },
    ...optional(policies, () => ({
      oid: extensionOid.certificatePolicies,
      critical: false,
      value: sequence(...policies.map((policy) => sequence(oid(policy)))),
    })),
    ...optional(extendedKeyUsage, () => ({
      oid: extensionOid.extendedKeyUsage,
      critical: false,
      value: sequence(...extendedKeyUsage.map(oid)),
    })),
    ...(profile.revocation === 'nocheck'
      ? [{ oid: extensionOid.ocspNoCheck, critical: false, value: encode(tag.null) }]
      : []),
  ]
}

export function constraintsExtension(constraints: NameConstraints): NewExtension {
  return { oid: extensionOid.nameConstraints, critical: true, value: encodeNameConstraints(constraints) }
}

/** @throws PkiError `REQUEST_NAMES` */
export function alternativeNames(profile: Profile, id: string, hosts: HostNames): NewExtension[] {
  if (profile.names === 'none') return []
  const value = profile.names === 'hosts' ? encodeHostNames(hosts) : encodeUri(`${profile.names.uri}${id}`)
  return [{ oid: extensionOid.subjectAlternativeName, critical: false, value }]
}

export function publicationExtensions({ crl, ocsp }: Publication): NewExtension[] {
  const points =
    crl === undefined
      ? []
      : [{ oid: extensionOid.crlDistributionPoints, critical: false, value: encodeDistributionPoints(crl) }]
  return ocsp === undefined ? points : [...points, ocspAccess(ocsp)]
}

/** @see RFC 5280, 4.2.2.1; RFC 6960, 3.1 */
function ocspAccess(uri: string): NewExtension {
  const value = sequence(sequence(oid('1.3.6.1.5.5.7.48.1'), text(contextPrimitive(6), uri)))
  return { oid: extensionOid.authorityInfoAccess, critical: false, value }
}

export function encodeExtension({ oid: type, critical, value }: NewExtension): Uint8Array {
  return sequence(oid(type), ...(critical ? [boolean(true)] : []), octetString(value))
}

/** A host that is permitted and excluded at once: nothing is left, which an empty subtree does not say for all forms. */
const nowhere = Buffer.from('invalid')

/**
 * A CA's constraints: subjects under its own unit alone; hosts and addresses within the zones or none; no e-mail address;
 * URIs any or none. A CA that may have no host has the empty DNS name and, unless they may be any, both whole address ranges
 * excluded.
 * @throws PkiError `REQUEST_NAMES`
 * @see RFC 5280, 4.2.1.10; RFC 2606, 2 (invalid)
 */
export function constraintsOf(scope: NameScope, organisation: string, zones: Zones): NameConstraints {
  const mail: Subtree = { form: nameForm.email, base: nowhere }
  const uri: Subtree[] = scope.uri === 'none' ? [{ form: nameForm.uri, base: nowhere }] : []
  const own: Subtree = { form: nameForm.directory, base: encodeName({ organisation, unit: scope.unit }) }
  const barring = [mail, ...uri]
  const hosts = scope.hosts === 'zones' ? hostSubtrees(zones) : []
  return {
    permitted: [own, ...hosts, ...barring],
    excluded:
      scope.hosts === 'zones'
        ? barring
        : [...hostSubtrees({ dns: [''], ip: zones.ip === 'any' ? [] : everyAddress }), ...barring],
  }
}

const everyAddress = ['0.0.0.0/0', '::/0']

function hostSubtrees({ dns, ip }: Zones): Subtree[] {
  return [
    ...dns.map((name) => ({ form: nameForm.dns, base: Buffer.from(name, 'latin1') })),
    ...(ip === 'any' ? [] : ip).map((range) => ({ form: nameForm.ip, base: rangeOctets(range) })),
  ]
}
