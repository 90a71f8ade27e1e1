import { sign } from 'node:crypto'
import { type Certificate, extensionOid, parseCertificate } from '#pki/certificate.ts'
import { parseCrl } from '#pki/crl.ts'
import {
  bitList,
  bitString,
  boolean,
  context,
  DerReader,
  encode,
  integer,
  oid,
  sequence,
  tag,
  text,
  time,
} from '#pki/der.ts'
import {
  encodeDistributionPoints,
  encodeIssuingDistributionPoint,
  issuingDistributionPointOid,
} from '#pki/distribution-point.ts'
import { PkiError } from '#pki/errors.ts'
import { encodeNameConstraints, nameForm, type Subtree } from '#pki/name-constraints.ts'
import { encodeName } from '#pki/names.ts'
import { keyPurpose, policy } from '#pki/purpose.ts'
import { ecdsaSha256 } from '#pki/signature.ts'
import { type Cast, now } from './forge.ts'

/** One chain of three and the CRLs of its two issuers, each in DER. */
export interface FiveParts {
  leaf: Uint8Array
  ca: Uint8Array
  root: Uint8Array
  caCrl: Uint8Array
  rootCrl: Uint8Array
}

/** Below a bound, the next number of a seed's sequence. */
export type Numbers = (below: number) => number

/** Small and seeded, so that a failure can be had again. @see Knuth, TAOCP 3.3.4 */
export function numbers(seed: number): Numbers {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >> 8) % below
  }
}

/** An element and what it holds: members where it is constructed, or an octet string that holds one element. */
interface Node {
  tag: number
  content: Uint8Array
  members: Node[] | undefined
}

const constructed = 0x20

function treeOf(octets: Uint8Array): Node[] {
  const reader = new DerReader(octets)
  const nodes: Node[] = []
  while (!reader.done) {
    const { tag: identifier, content } = reader.next()
    const members = (identifier & constructed) !== 0 ? treeOf(content) : wrapped(identifier, content)
    nodes.push({ tag: identifier, content, members })
  }
  return nodes
}

function wrapped(identifier: number, content: Uint8Array): Node[] | undefined {
  if (identifier !== tag.octetString) return undefined
  try {
    const inner = treeOf(content)
    return inner.length === 1 ? inner : undefined
  } catch (cause) {
    if (cause instanceof PkiError) return undefined
    throw cause
  }
}

function octetsOf(node: Node): Uint8Array {
  return encode(node.tag, ...(node.members === undefined ? [node.content] : node.members.map(octetsOf)))
}

/** Every list of members in the tree, so that a place in it may be drawn. */
function listsOf(nodes: Node[]): Node[][] {
  return [nodes, ...nodes.flatMap(({ members }) => (members === undefined ? [] : listsOf(members)))]
}

function draw<T>(next: Numbers, from: readonly T[]): T {
  return from[next(from.length)]!
}

type Change = (tbs: Uint8Array, next: Numbers) => Uint8Array

/** One or two octets, by a bit or wholly. */
const changeOctets: Change = (tbs, next) => {
  const changed = Uint8Array.from(tbs)
  for (let left = 1 + next(2); left > 0; left -= 1) {
    const at = next(changed.length)
    changed[at] = next(2) === 0 ? changed[at]! ^ (1 << next(8)) : next(256)
  }
  return changed
}

const otherTags = [...Object.values(tag), context(0), context(1), 0x80, 0x81, 0x82, 0x86]

/** One element dropped, doubled, moved, given another type or other content; the lengths around it are right. */
const changeStructure: Change = (tbs, next) => {
  const tree = treeOf(tbs)
  const list = draw(next, listsOf(tree[0]!.members!))
  const at = next(Math.max(1, list.length))
  const node = list[at]
  if (node === undefined) list.push({ tag: tag.null, content: new Uint8Array(), members: undefined })
  else {
    const how = next(7)
    if (how === 0) list.splice(at, 1)
    else if (how === 1) list.splice(at, 0, node)
    else if (how === 2) list.splice(next(list.length), 0, ...list.splice(at, 1))
    else if (how === 3) list[at] = { ...node, tag: draw(next, otherTags) }
    else if (how === 4) list.splice(at, 0, { tag: tag.boolean, content: Uint8Array.of(0xff), members: undefined })
    else if (how === 5) list[at] = { ...node, members: undefined, content: node.content.subarray(0, next(4)) }
    else list[at] = { ...node, members: undefined, content: Buffer.concat([node.content, Uint8Array.of(next(256))]) }
  }
  return octetsOf(tree[0]!)
}

interface Drawn {
  oid: string
  value(next: Numbers): Uint8Array
}

const some = (next: Numbers, all: readonly string[]): Uint8Array[] =>
  Array.from({ length: 1 + next(3) }, () => oid(draw(next, all)))
const keyId = (next: Numbers): Uint8Array => Uint8Array.from({ length: 20 }, () => next(256))

const someUris = (next: Numbers): string[] =>
  [`http://crl.test/${next(2)}.crl`, 'http://crl.test/0.crl'].slice(0, 1 + next(2))
const someNames = ['urn:ami:concentrator:c1', 'c1.test', 'a@c1.test', 'https://c1.test/']
const someBases = ['', 'test', 'c1.test', '.test', 'invalid', 'a@c1.test']
const subtrees = (next: Numbers): Subtree[] =>
  Array.from({ length: 1 + next(2) }, () => {
    if (next(3) > 0) return { form: draw(next, [0x81, 0x82, 0x86]), base: Buffer.from(draw(next, someBases)) }
    return {
      form: nameForm.directory,
      base: encodeName({ organisation: 'Forged', ...(next(2) === 0 ? { unit: 'Devices' } : {}) }),
    }
  })

/** Extensions that are well formed and mostly wrong where they come to stand. */
const drawnExtensions: readonly Drawn[] = [
  { oid: extensionOid.keyUsage, value: (next) => bitList([next(9), next(9), 0].slice(0, 1 + next(3))) },
  {
    oid: extensionOid.basicConstraints,
    value: (next) => sequence(...(next(2) === 0 ? [boolean(true)] : []), ...(next(2) === 0 ? [integer(next(3))] : [])),
  },
  {
    oid: extensionOid.extendedKeyUsage,
    value: (next) => sequence(...some(next, [...Object.values(keyPurpose), '2.5.29.37.0'])),
  },
  {
    oid: extensionOid.certificatePolicies,
    value: (next) => sequence(...some(next, [...Object.values(policy), '2.5.29.32.0']).map((one) => sequence(one))),
  },
  {
    oid: extensionOid.authorityKeyId,
    value: (next) =>
      sequence(
        ...(next(2) === 0 ? [encode(0x80, keyId(next))] : []),
        ...(next(2) === 0 ? [encode(0x82, Uint8Array.of(1 + next(100)))] : []),
      ),
  },
  { oid: extensionOid.subjectKeyId, value: (next) => encode(tag.octetString, keyId(next)) },
  { oid: extensionOid.inhibitAnyPolicy, value: (next) => integer(next(3)) },
  { oid: extensionOid.crlNumber, value: (next) => integer(next(300)) },
  {
    oid: issuingDistributionPointOid,
    value: (next) => encodeIssuingDistributionPoint({ uris: someUris(next), onlyUser: next(2) === 0 }),
  },
  { oid: extensionOid.crlDistributionPoints, value: (next) => encodeDistributionPoints(draw(next, someUris(next))) },
  {
    oid: extensionOid.nameConstraints,
    value: (next) =>
      encodeNameConstraints({ permitted: subtrees(next), excluded: next(2) === 0 ? subtrees(next) : [] }),
  },
  {
    oid: extensionOid.subjectAlternativeName,
    value: (next) =>
      sequence(
        ...Array.from({ length: 1 + next(2) }, () => text(draw(next, [0x81, 0x82, 0x86]), draw(next, someNames))),
      ),
  },
  { oid: '2.5.29.27', value: (next) => integer(next(3)) }, // a delta CRL's base
  { oid: '1.2.3.4', value: () => sequence() },
]

/** An extension put in, put in another's place, or another's criticality turned. */
const changeExtension: Change = (tbs, next) => {
  const tree = treeOf(tbs)
  const fields = tree[0]!.members!
  const wrapper = fields.findLast(({ tag: identifier }) => (identifier & 0xe0) === 0xa0)
  const list = wrapper?.members?.[0]?.members
  if (list === undefined) return changeOctets(tbs, next)
  const at = next(list.length)
  const how = next(4)
  if (how === 0) list[at] = turned(list[at]!)
  else {
    const { oid: type, value } = draw(next, drawnExtensions)
    const critical = next(2) === 0 ? [boolean(true)] : []
    const made = treeOf(sequence(oid(type), ...critical, encode(tag.octetString, value(next))))[0]!
    const same = list.findIndex(({ members }) => Buffer.compare(octetsOf(members![0]!), oid(type)) === 0)
    if (how === 1) list.splice(at, 0, made)
    else if (same >= 0) list[same] = made
    else list.push(made)
  }
  return octetsOf(tree[0]!)
}

function turned(extension: Node): Node {
  const [type, ...rest] = extension.members!
  const value = rest.at(-1)!
  const flag: Node = { tag: tag.boolean, content: Uint8Array.of(0xff), members: undefined }
  return { ...extension, members: rest.length === 1 ? [type!, flag, value] : [type!, value] }
}

/** Both times drawn anew, about now. */
const changeTimes: Change = (tbs, next) => {
  const tree = treeOf(tbs)
  for (const list of listsOf(tree)) {
    for (const [at, node] of list.entries()) {
      if (node.tag === tag.utcTime && next(2) === 0) list[at] = treeOf(time(now + next(7) - 3))[0]!
    }
  }
  return octetsOf(tree[0]!)
}

const changes: readonly Change[] = [
  changeOctets,
  changeOctets,
  changeOctets,
  changeStructure,
  changeStructure,
  changeStructure,
  changeExtension,
  changeExtension,
  changeTimes,
]
const parts = ['leaf', 'leaf', 'leaf', 'ca', 'ca', 'root', 'caCrl', 'caCrl', 'rootCrl'] as const

/**
 * The chain of a seed: in one of its five parts something that is signed is changed, and the part signed as it should be. So
 * the signature holds, and what refuses it must be something else.
 */
export function mutantOf(good: FiveParts, people: Cast, seed: number): FiveParts {
  const next = numbers(seed)
  const part = draw(next, parts)
  const tbs = draw(next, changes)(tbsOf(part, good[part]), next)
  const key = part === 'leaf' || part === 'caCrl' ? people.ca.key : people.root.key
  return { ...good, [part]: sequence(tbs, ecdsaSha256, bitString(sign('sha256', tbs, key))) }
}

function tbsOf(part: (typeof parts)[number], der: Uint8Array): Uint8Array {
  const read: { tbs: Certificate['tbs'] } = part.endsWith('Crl') ? parseCrl(der) : parseCertificate(der)
  return read.tbs
}
