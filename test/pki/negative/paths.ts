import { encode, octetString } from '#pki/der.ts'
import { authorityProfiles } from '#pki/profiles.ts'
import { type Cast, forge, forgeCa, forgeCrl, forgeLeaf, forgeRoot, now, party } from '../forge.ts'
import type { AskedChain } from '../openssl-many.ts'
import { type Code, chainOf, type Negative, negative, people, right, stranger } from './base.ts'

const { root, ca, leaf } = people
const crls = [right.rootCrl, right.caCrl]

function spoilt(name: string, code: Code, chain: Partial<AskedChain>): Negative {
  return negative(`path: ${name}`, code, { ...chainOf(), ...chain })
}

/** A CA below the device CA, or below another of these, with what it issued and its CRL. */
async function below(issuer: Cast['ca'], name: string): Promise<{ who: Cast['ca']; der: Uint8Array; crl: Uint8Array }> {
  const who = party(name)
  const der = forge({ profile: authorityProfiles.device, subject: who, issuer })
  return { who, der, crl: await forgeCrl(der, who.key) }
}
const low = await below(ca, 'Low CA')
const lower = await below(low.who, 'Lower CA')
const lowest = await below(lower.who, 'Lowest CA')
const ofLeaf = party('c2')
const leafCrl = await forgeCrl(right.leaf, leaf.key)
const decoy = forgeCa({ ...people, ca: party('Forged CA') })
const otherClass = ['infrastructure', 'signing', 'people'] as const
const anchor = forgeRoot(stranger)

const lengths: Negative[] = [
  spoilt('a CA below one of path length 0', 'PATH_LENGTH', {
    leaf: forgeLeaf(people, { issuer: low.who }),
    intermediates: [low.der, right.ca],
    crls: [...crls, low.crl],
  }),
  spoilt('two CAs below one of path length 0', 'PATH_LENGTH', {
    leaf: forgeLeaf(people, { issuer: lower.who }),
    intermediates: [lower.der, low.der, right.ca],
    crls: [...crls, low.crl, lower.crl],
  }),
  spoilt('a chain of six', 'ISSUER_UNKNOWN', {
    leaf: forgeLeaf(people, { issuer: lowest.who }),
    intermediates: [lowest.der, lower.der, low.der, right.ca],
    crls: [...crls, low.crl, lower.crl, lowest.crl],
  }),
  spoilt('more intermediates than are followed', 'CHAIN_LENGTH', { intermediates: new Array(9).fill(right.ca) }),
  spoilt('a leaf issued by a leaf', 'NOT_A_CA', {
    leaf: forgeLeaf(people, { subject: ofLeaf, issuer: leaf }),
    intermediates: [right.leaf, right.ca],
    crls: [...crls, leafCrl],
  }),
]

const anchors: Negative[] = [
  spoilt('no root', 'ISSUER_UNKNOWN', { roots: [] }),
  spoilt('a root of another name', 'ISSUER_UNKNOWN', { roots: [forgeRoot({ ...people, root: party('Stranger') })] }),
  spoilt('a root of the same name and another key', 'KEY_ID', { roots: [anchor] }),
  spoilt('the CA in the root’s place', 'ISSUER_UNKNOWN', { roots: [right.ca] }),
  spoilt('the leaf in the root’s place', 'ISSUER_UNKNOWN', { roots: [right.leaf] }),
  spoilt('the root among the intermediates alone', 'ISSUER_UNKNOWN', {
    roots: [forgeRoot({ ...people, root: party('Other') })],
    intermediates: [right.ca, right.root],
  }),
  spoilt('no intermediate', 'ISSUER_UNKNOWN', { intermediates: [] }),
  spoilt('another CA of the same name', 'KEY_ID', { intermediates: [decoy] }),
  spoilt('the root as a leaf', 'KEY_USAGE', { leaf: right.root }),
  spoilt('the CA as a leaf', 'KEY_USAGE', { leaf: right.ca }),
  spoilt('a leaf that issued itself', 'ISSUER_UNKNOWN', { leaf: forgeLeaf(people, { issuer: leaf }) }),
]

const classFault = { people: 'POLICY', signing: 'EXTENDED_KEY_USAGE', infrastructure: 'NAME_CONSTRAINTS' } as const
const classes: Negative[] = otherClass.map((name) =>
  spoilt(`a concentrator under the ${name} CA`, classFault[name], {
    leaf: forgeLeaf(people, { subject: party('c1', 'P-256', authorityProfiles[name].scope!.unit) }),
    intermediates: [forgeCa(people, { profile: authorityProfiles[name] })],
  }),
)

const lists: Negative[] = [
  spoilt('no CRL', 'CRL_MISSING', { crls: [] }),
  spoilt('no CRL of the CA', 'CRL_MISSING', { crls: [right.rootCrl] }),
  spoilt('no CRL of the root', 'CRL_MISSING', { crls: [right.caCrl] }),
  spoilt('the CA’s CRL twice, and none of the root', 'CRL_MISSING', { crls: [right.caCrl, right.caCrl] }),
  spoilt('a CRL that lists the leaf beside one that does not', 'REVOKED', {
    crls: [...crls, await forgeCrl(right.ca, ca.key, { revoked: [right.leaf] })],
  }),
  spoilt('a stale CRL that lists the leaf beside a good one', 'REVOKED', {
    crls: [...crls, await forgeCrl(right.ca, ca.key, { revoked: [right.leaf], to: now - 1 })],
  }),
  spoilt('a CRL that lists the CA beside one that does not', 'CA_REVOKED', {
    crls: [...crls, await forgeCrl(right.root, root.key, { revoked: [right.ca] })],
  }),
  spoilt('a CRL signed by the leaf', 'CRL_SIGNATURE', { crls: [right.rootCrl, await forgeCrl(right.ca, leaf.key)] }),
  spoilt('a CRL of the CA signed by the root', 'CRL_SIGNATURE', {
    crls: [right.rootCrl, await forgeCrl(right.ca, root.key)],
  }),
  spoilt('a CRL of a successor of the CA’s name', 'CRL_SIGNATURE', {
    crls: [right.rootCrl, await forgeCrl(decoy, stranger.ca.key)],
  }),
]

const nothing = spoilt('nothing for the leaf', 'CERTIFICATE_MALFORMED', { leaf: new Uint8Array() })
const wholes: Negative[] = (['leaf', 'ca', 'root'] as const).flatMap((part) => {
  const chain = (octets: Uint8Array): Partial<AskedChain> =>
    part === 'leaf' ? { leaf: octets } : part === 'ca' ? { intermediates: [octets] } : { roots: [octets] }
  const der = right[part]
  return [
    spoilt(`half of the ${part}`, 'CERTIFICATE_MALFORMED', chain(der.subarray(0, der.length / 2))),
    spoilt(
      `an octet string behind the ${part}`,
      'CERTIFICATE_MALFORMED',
      chain(Buffer.concat([der, octetString(new Uint8Array())])),
    ),
    spoilt(`a ${part} of over 16 KiB`, 'CERTIFICATE_MALFORMED', chain(Buffer.concat([der, new Uint8Array(16_384)]))),
    spoilt(`a CRL for the ${part}`, 'CERTIFICATE_MALFORMED', chain(right.caCrl)),
    spoilt(`a ${part} of indefinite length`, 'CERTIFICATE_MALFORMED', chain(indefinite(der))),
  ]
})

/** BER that is no DER: the outer length left open. */
function indefinite(der: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(0x30, 0x80), der.subarray(4), encode(0)])
}

export const pathNegatives: readonly Negative[] = [...lengths, ...anchors, ...classes, ...lists, nothing, ...wholes]
