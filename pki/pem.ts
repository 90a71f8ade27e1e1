import { PkiError } from './errors.ts'

/** The octets of every block with this label, in order; text around the blocks is ignored. @see RFC 7468 */
export function fromPem(label: string, pem: string): Uint8Array[] {
  const pattern = new RegExp(`-----BEGIN ${label}-----\\s([A-Za-z0-9+/=\\s]*)-----END ${label}-----`, 'g')
  const blocks = [...pem.matchAll(pattern)].map((match) => new Uint8Array(Buffer.from(match[1]!, 'base64')))
  const begun = pem.split(`-----BEGIN ${label}-----`).length - 1
  if (blocks.length !== begun) throw new PkiError('PEM_MALFORMED', `a ${label} block does not end`)
  return blocks
}

/** One block, 64 characters a line, ending with a line feed. */
export function toPem(label: string, octets: Uint8Array): string {
  const lines =
    Buffer.from(octets)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
