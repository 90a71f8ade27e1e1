import { type Data, decodeData, encodeData } from '#gateway/codec/axdr.ts'
import { OctetReader } from '#gateway/codec/octets.ts'
import { DerReader, encode } from '#pki/der.ts'
import type { Mutator } from './mutate.ts'
import { values } from './seeds.ts'

/** A value with one part exchanged, doubled, left out or changed in its octets; lengths and counts stay right. */
export function changeData(octets: Uint8Array, mutator: Mutator): Uint8Array {
  return encodeData(changed(decodeData(new OctetReader(octets)), mutator))
}

function changed(data: Data, mutator: Mutator): Data {
  if (!('elements' in data) || data.elements.length === 0 || mutator.pick(6) === 0) return exchanged(data, mutator)
  const at = mutator.pick(data.elements.length)
  const part = data.elements[at]!
  const parts = [[changed(part, mutator)], [changed(part, mutator)], [part, part], []]
  return { ...data, elements: data.elements.toSpliced(at, 1, ...mutator.one(parts)) }
}

function exchanged(data: Data, mutator: Mutator): Data {
  if ('octets' in data && data.type.endsWith('string') && data.type !== 'bit-string' && mutator.pick(2) === 0) {
    return { ...data, octets: mutator.octets(data.octets) }
  }
  if ('value' in data && typeof data.value === 'number' && mutator.pick(2) === 0)
    return { ...data, value: data.value ^ mutator.pick(256) } as Data
  return mutator.one(values)
}

/** DER with one element exchanged, doubled, left out or changed in its content; the lengths around it stay right. */
export function changeDer(octets: Uint8Array, mutator: Mutator, depth = 0): Uint8Array {
  const elements = elementsOf(octets)
  if (elements.length === 0) return mutator.octets(octets)
  const at = mutator.pick(elements.length)
  const { tag, content, octets: whole } = elements[at]!
  const isConstructed = (tag & 0x20) !== 0 && content.length > 0 && depth < 12
  const inner = isConstructed ? changeDer(content, mutator, depth + 1) : mutator.octets(content)
  const other = mutator.pick(16) === 0 ? tag ^ (1 << mutator.pick(8)) : tag
  const choices = [[encode(other, inner)], [encode(other, inner)], [encode(other, inner)], [whole, whole], []]
  return Buffer.concat(elements.map((element) => element.octets).toSpliced(at, 1, ...mutator.one(choices)))
}

function elementsOf(octets: Uint8Array): { tag: number; content: Uint8Array; octets: Uint8Array }[] {
  const reader = new DerReader(octets)
  const elements = []
  while (!reader.done) elements.push(reader.next())
  return elements
}
