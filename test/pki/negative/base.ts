import { type KeyObject, sign } from 'node:crypto'
import type { ChainFault } from '#pki/chain-fault.ts'
import { bitString } from '#pki/der.ts'
import { publicationExtensions } from '#pki/extensions.ts'
import { type Cast, cast, forgeCa, forgeCrl, forgeLeaf, forgeRoot } from '../forge.ts'
import type { FiveParts } from '../mutants.ts'
import type { AskedChain } from '../openssl-many.ts'
import { whyOpensslAccepts } from './accepted.ts'
import { assemble, assembleCrl, type CertificateAnatomy, type CrlAnatomy, dissect, dissectCrl } from './anatomy.ts'

export type CertificatePart = 'leaf' | 'ca' | 'root'
export type CrlPart = 'caCrl' | 'rootCrl'

/** What must refuse it; a CRL that cannot be read is refused before a chain is judged. */
export type Code = ChainFault | 'CRL_MALFORMED'

/** One chain that is wrong in one way. */
export interface Negative {
  name: string
  code: Code
  /** why OpenSSL 3.0 accepts it all the same; without: it refuses too */
  accepted: string | undefined
  chain: AskedChain
}

/** What is the same for all parts, or said of each. */
export type ForParts<P extends string, T> = T | Partial<Record<P, T>>

/** One way to spoil a certificate or a CRL. Everything else about it stays right, its signature too. */
export interface Mutation<A, P extends string> {
  what: string
  change(anatomy: A, part: P): A
  code: ForParts<P, Code>
  /** the parts that it spoils; without: all */
  parts?: readonly P[]
}
export type CertificateMutation = Mutation<CertificateAnatomy, CertificatePart>
export type CrlMutation = Mutation<CrlAnatomy, CrlPart>

export const people: Cast = cast()
export const shardUri = 'http://crl.test/0.crl'
/** A stranger's key, for signatures that do not hold. */
export const stranger: Cast = cast()

const root = forgeRoot(people)
const ca = forgeCa(people)
const published = publicationExtensions({ crl: shardUri, ocsp: 'http://ocsp.test' })
const leaf = forgeLeaf(people, { extensions: (usual) => [...usual, ...published] })

/** The chain from which all others are made: accepted as it is. */
export const right: FiveParts = {
  root,
  ca,
  leaf,
  caCrl: await forgeCrl(ca, people.ca.key, { revoked: [root] }), // a serial that is neither the leaf's nor the CA's
  rootCrl: await forgeCrl(root, people.root.key, { revoked: [leaf] }),
}

export function chainOf(change: Partial<FiveParts> = {}): AskedChain {
  const all = { ...right, ...change }
  return { leaf: all.leaf, intermediates: [all.ca], roots: [all.root], crls: [all.rootCrl, all.caCrl] }
}

export const shown: Readonly<Record<CertificatePart | CrlPart, string>> = {
  leaf: 'leaf',
  ca: 'CA',
  root: 'root',
  caCrl: 'CA’s CRL',
  rootCrl: 'root’s CRL',
}

export function signerOf(part: CertificatePart | CrlPart): KeyObject {
  return part === 'leaf' || part === 'caCrl' ? people.ca.key : people.root.key
}

/** DER of a BIT STRING with a signature of somebody else. */
export function foreignSignature(): Uint8Array {
  return bitString(sign('sha256', Buffer.from('something else'), stranger.leaf.key))
}

export function negative(name: string, code: Code, chain: AskedChain): Negative {
  return { name, code, accepted: whyOpensslAccepts(name), chain }
}

function negativesOf<A, P extends CertificatePart | CrlPart>(
  mutations: readonly Mutation<A, P>[],
  parts: readonly P[],
  make: (mutation: Mutation<A, P>, part: P) => Uint8Array,
): Negative[] {
  return mutations.flatMap((mutation) =>
    (mutation.parts ?? parts).map((part) => {
      const { what, code } = mutation
      const chain = chainOf({ [part]: make(mutation, part) })
      return negative(`${shown[part]}: ${what}`, typeof code === 'object' ? code[part]! : code, chain)
    }),
  )
}

export function certificateNegatives(mutations: readonly CertificateMutation[]): Negative[] {
  return negativesOf(mutations, ['leaf', 'ca', 'root'], ({ change }, part) =>
    assemble(change(dissect(right[part]), part), signerOf(part)),
  )
}

export function crlNegatives(mutations: readonly CrlMutation[]): Negative[] {
  return negativesOf(mutations, ['caCrl', 'rootCrl'], ({ change }, part) =>
    assembleCrl(change(dissectCrl(right[part]), part), signerOf(part)),
  )
}
