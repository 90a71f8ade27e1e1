import type { FrameHeader } from './frame.ts'

type Named = Pick<FrameHeader, 'epoch' | 'sequence' | 'digest'>

const digestCharacters = 16

/**
 * The file that holds a bundle: `ami-EPOCH-SEQUENCE-DIGEST.bundle`, decimal, decimal, and the first eight octets of its batch's
 * SHA-256 in hex. Another content has another name, so that no mover can put one over the other.
 */
export function bundleName({ epoch, sequence, digest }: Named): string {
  const start = Buffer.from(digest).toString('hex', 0, digestCharacters / 2)
  return `ami-${String(epoch).padStart(10, '0')}-${String(sequence).padStart(16, '0')}-${start}.bundle`
}

/** What a bundle's file is called until it is whole: hidden, and of another ending, so that a mover leaves it alone. */
export function partialName(name: string): string {
  return `.${name}.partial`
}

const form = /^ami-\d{10}-\d{16}-[0-9a-f]{16}\.bundle$/

export function isBundleName(name: string): boolean {
  return form.test(name)
}

export function isPartialName(name: string): boolean {
  return name.startsWith('.') && name.endsWith('.partial') && form.test(name.slice(1, -'.partial'.length))
}
