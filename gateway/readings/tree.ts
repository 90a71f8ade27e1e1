import type { PeerFault } from '../errors.ts'

/** One line of an explanation and what is under it. */
export interface TreeNode {
  /** of its first octet in the octets of its layer, `null` where it has none of its own */
  offset: number | null
  /** as many octets, tag and length included, `null` where it has none of its own */
  octets: number | null
  /** a field's name or a place in a list, `[3]` */
  name: string
  /** an A-XDR type, `null` for what is no `Data` */
  type: string | null
  /** numbers beyond 2^53 as digits, octets as hex, `null` for what only has children */
  value: number | string | boolean | null
  /** in words, `null` where there is nothing to add */
  meaning: string | null
  children: TreeNode[]
}

/** Octets that were read, and what was found in them. */
export interface TreeLayer {
  /**
   * `frames`: the stream itself; `apdu`: the payload of its frames; `blocks`: put together from
   * general-block-transfer; `plain`: deciphered; `inside`: carried in clear by another APDU
   */
  kind: 'frames' | 'apdu' | 'blocks' | 'plain' | 'inside'
  /** where its octets come from */
  from: string
  octets: number
  nodes: TreeNode[]
  /** why nothing more could be read of it */
  fault?: { code: PeerFault; message: string; offset: number | null }
}

/** A node, with what is not said left out. */
export function node(name: string, rest: Partial<Omit<TreeNode, 'name'>> = {}): TreeNode {
  return { offset: null, octets: null, name, type: null, value: null, meaning: null, children: [], ...rest }
}

export function hex(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('hex')
}

/** Octets of a string that are printed; the machine form has all. */
const printedOctetsMax = 40

/** The layers as text, one line a node: offset in hexadecimal, indented name, type, value, meaning. */
export function treeText(layers: readonly TreeLayer[]): string {
  return layers.map(layerText).join('\n')
}

function layerText({ kind, from, octets, nodes, fault }: TreeLayer): string {
  const head = `${kind}: ${octets} octets, ${from}\n`
  const body = nodes.map((one) => nodeText(one, 0)).join('')
  if (fault === undefined) return head + body
  return `${head}${body}  ${offsetText(fault.offset)}  ! ${fault.code}: ${fault.message}\n`
}

function nodeText({ offset, name, type, value, meaning, children }: TreeNode, depth: number): string {
  const words = [name, type, value === null ? null : shortened(value)].filter((word) => word !== null).join(' ')
  const line = `  ${offsetText(offset)}  ${'  '.repeat(depth)}${words}${meaning === null ? '' : `  -- ${meaning}`}\n`
  return line + children.map((child) => nodeText(child, depth + 1)).join('')
}

function offsetText(offset: number | null): string {
  return offset === null ? '    ' : offset.toString(16).padStart(4, '0')
}

function shortened(value: number | string | boolean): string {
  const text = String(value)
  const most = 2 * printedOctetsMax
  return text.length <= most ? text : `${text.slice(0, most)}... (${text.length / 2} octets)`
}
