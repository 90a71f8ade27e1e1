import { describe, expect, test } from 'vitest'
import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import { decodeData, encodeData } from '#gateway/codec/axdr.ts'
import { BlockAssembler } from '#gateway/codec/block-assembler.ts'
import { detectFraming, unframe } from '#gateway/codec/framing.ts'
import { OctetReader } from '#gateway/codec/octets.ts'
import { type CorpusCase, corpusCases, hasCorpus, mustHaveCorpus, type Tree } from './corpus.ts'
import { dataCases, serviceCases } from './corpus-services.ts'
import { apduTree, treeOf } from './corpus-tree.ts'

/** Octets that are not as we would write them, and why. */
const notCanonical: Readonly<Record<string, string>> = {
  'jdlms-hdlc-aare-sn': 'three of its lengths are one short; they are written right',
  'jdlms-kamstrup-object-list': 'its first count is in two octets (82007b) where one does (7b)',
}

/** One APDU in the corpus's own words. */
interface Expected {
  apdu: string
  fields?: { tag: number; hex: string }[]
  plain_hex?: string
  inner?: object
  /** beside the last block */
  reassembled_data?: Tree
}

/** What general-signing holds in a case of the GB reference data, and what closes it. */
interface Signed {
  content: Expected
  mac?: string
  signature?: string
}

const cases = hasCorpus ? corpusCases() : []
const byId = new Map(cases.map((entry) => [entry.id, entry]))
const structures = <T>({ expected_structure }: CorpusCase): T[] =>
  (Array.isArray(expected_structure) ? expected_structure : [expected_structure]) as T[]
const services = cases.filter(({ id }) => serviceCases.includes(id))
const associations = services.filter((entry) => structures<Expected>(entry)[0]?.fields !== undefined)
const requests = services.filter((entry) => !associations.includes(entry))
const plains = cases.filter(({ id }) => id.startsWith('greenbook-'))
const accesses = cases.filter(({ id, apdus }) => id.startsWith('gbcs-') && apdus?.[0]?.endsWith('access-response'))

function named(entries: readonly CorpusCase[]): [string, CorpusCase][] {
  return entries.map((entry) => [entry.id, entry])
}

function payloads({ hex }: CorpusCase): Uint8Array[] {
  const octets = Buffer.from(hex, 'hex')
  return unframe(octets, detectFraming(octets)).payloads.map((payload) => payload.octets)
}

function hexOf(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}

/** The APDU out of general-signing, which may be in general-ciphering without encryption: up to the signature or MAC. */
function signedContent(entry: CorpusCase): string {
  const { mac, signature } = structures<Signed>(entry)[0]!
  const end = signature === undefined ? `00${mac}` : `40${signature}`
  expect(entry.hex.endsWith(end)).toBe(true)
  return entry.hex.slice(entry.hex.indexOf('da2000'), -end.length)
}

describe.skipIf(!hasCorpus && !mustHaveCorpus)(
  `services of the DLMS corpus${hasCorpus ? '' : ' (skipped: it does not lie beside the project)'}`,
  () => {
    test('no case goes missing', () => {
      expect([requests.length, associations.length, plains.length, accesses.length]).toEqual([17, 4, 4, 6])
      expect(services).toHaveLength(serviceCases.length)
      expect(dataCases.every((id) => byId.has(id))).toBe(true)
    })

    test.each(named(requests))('%s: the whole structure', (_, entry) => {
      const expected = structures<Expected>(entry).map(({ reassembled_data: _, ...apdu }) => apdu)
      expect(payloads(entry).map((octets) => apduTree(decodeApdu(octets)))).toEqual(expected)
    })

    test.each(named(associations))('%s: its fields, and what they say', (_, entry) => {
      const { apdu, fields } = structures<Expected>(entry)[0]!
      const found = decodeApdu(payloads(entry)[0]!)
      const contents = fields!.map(({ tag, hex }) => {
        const octets = Buffer.from(hex, 'hex')
        return hexOf(Uint8Array.of(tag, octets.length, ...octets))
      })
      const isShort = entry.id === 'jdlms-hdlc-aare-sn'
      expect(found).toMatchObject({
        apdu,
        applicationContext: isShort ? 'short-name' : 'logical-name',
        ...(apdu === 'aarq' ? {} : { result: 0, diagnostic: ['user', 0] }),
        userInformation: { dlmsVersion: 6 },
      })
      if (isShort) expect(found).toMatchObject({ dialect: 'short-lengths', userInformation: { vaaName: 0xfa00 } })
      else expect(hexOf(encodeApdu(found)).slice(4)).toBe(contents.join(''))
    })

    test.each(named(services))('%s: written again it is what was sent', (id, entry) => {
      const sent = payloads(entry)
      const written = sent.map((octets) => encodeApdu(decodeApdu(octets)))
      if (Object.hasOwn(notCanonical, id)) expect(written.map(hexOf)).not.toEqual(sent.map(hexOf))
      else expect(written.map(hexOf)).toEqual(sent.map(hexOf))
    })

    test.each(dataCases)('%s: the whole data, and back', (id) => {
      const entry = byId.get(id)!
      const reader = new OctetReader(Buffer.from(entry.hex, 'hex'))
      const data = decodeData(reader)
      reader.end()
      expect(treeOf(data)).toEqual(structures<Tree>(entry)[0])
      const canonical = Object.hasOwn(notCanonical, id) ? entry.hex.replace(/^0182007b/, '017b') : entry.hex
      expect(hexOf(encodeData(data))).toBe(canonical)
    })

    test.each(named(plains))('%s: what it holds in clear, both ways', (_, entry) => {
      const { plain_hex, inner } = structures<Expected>(entry)[0]!
      const apdu = decodeApdu(Buffer.from(plain_hex!, 'hex'))
      expect(apduTree(apdu)).toEqual(inner)
      expect(hexOf(encodeApdu(apdu))).toBe(plain_hex)
    })

    test.each(named(accesses))('%s: the access-response that was signed, both ways', (_, entry) => {
      const content = signedContent(entry)
      const apdu = decodeApdu(Buffer.from(content, 'hex'))
      expect(apduTree(apdu)).toEqual(structures<Signed>(entry)[0]!.content)
      expect(hexOf(encodeApdu(apdu))).toBe(content)
    })

    test('the capture objects that came in nine blocks are those expected', () => {
      const entry = byId.get('wireshark-capture-objects-datablocks')!
      const assembler = new BlockAssembler()
      const ends = payloads(entry).map((octets) => {
        const apdu = decodeApdu(octets)
        if (apdu.apdu !== 'get-response' || apdu.choice !== 'with-datablock' || 'result' in apdu.block) throw apdu
        return assembler.add(apdu.block)
      })
      expect(ends.map(({ kind }) => kind)).toEqual([...Array.from({ length: 8 }, () => 'more'), 'whole'])
      const end = ends[8]!
      const list = decodeData(new OctetReader(end.kind === 'whole' ? end.octets : new Uint8Array()))
      expect(treeOf(list)).toEqual(structures<Expected>(entry)[8]!.reassembled_data)
    })
  },
)
