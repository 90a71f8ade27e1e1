import { BlockList, isIP } from 'node:net'

/** IP version 4 or 6. */
export type Family = 4 | 6

/** A network: `address/prefix` with no bit set beyond the prefix. */
export interface Network {
  family: Family
  address: string
  prefix: number
}

/** @returns the IP version of a bare address (no zone index, no port), undefined where it is none */
export function familyOf(address: string): Family | undefined {
  const family = address.includes('%') ? 0 : isIP(address)
  return family === 0 ? undefined : (family as Family)
}

/** @returns undefined where the text is not `address/prefix`, or has bits beyond its prefix. @see RFC 4632, 3.1 */
export function parseNetwork(text: string): Network | undefined {
  const [, address = '', digits = ''] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? []
  const family = familyOf(address)
  const prefix = Number(digits)
  if (family === undefined || prefix > widthOf(family)) return undefined
  const hostBits = (1n << BigInt(widthOf(family) - prefix)) - 1n
  return (toInteger(address, family) & hostBits) === 0n ? { family, address, prefix } : undefined
}

/** Whether an address lies in a network; false across families. */
export function contains(network: Network, address: string): boolean {
  const family = familyOf(address)
  if (family !== network.family) return false
  const list = new BlockList()
  list.addSubnet(network.address, network.prefix, `ipv${network.family}`)
  return list.check(address, `ipv${family}`)
}

/** Two networks overlap exactly when one holds the other's first address. */
export function overlap(a: Network, b: Network): boolean {
  return contains(a, b.address) || contains(b, a.address)
}

function widthOf(family: Family): number {
  return family === 4 ? 32 : 128
}

/** @param address known to be of `family` */
function toInteger(address: string, family: Family): bigint {
  if (family === 4) return address.split('.').reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n)
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address)
  const text = dotted === null ? address : dotted[1]! + hexGroups(toInteger(dotted[2]!, 4))
  const [head = '', tail] = text.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const [first, last] = [groups(head), groups(tail ?? '')]
  const all = [...first, ...Array<string>(8 - first.length - last.length).fill('0'), ...last]
  return all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n)
}

function hexGroups(ipv4: bigint): string {
  return `${(ipv4 >> 16n).toString(16)}:${(ipv4 & 0xffffn).toString(16)}`
}
