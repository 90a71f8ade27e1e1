import type { TLSSocket } from 'node:tls'

/**
 * Groups that a TLS listener agrees on keys by. The hybrid one (ML-KEM beside X25519) stands in a tuple of its own: a client that
 * has it and sent a share of another is asked for it, so that nobody on the way can talk the two down to less. X25519 and P-256
 * are for clients that do not know it.
 * @see SSL_CTX_set1_groups_list(3) of OpenSSL 3.5; draft-ietf-tls-ecdhe-mlkem
 */
export const keyExchangeGroups = 'X25519MLKEM768/X25519:P-256'

/** @see IANA, TLS Supported Groups */
const groupNames: Readonly<Record<number, string>> = { 4588: 'X25519MLKEM768', 29: 'X25519', 23: 'P-256' }

export interface HandshakeCount {
  /** `completed`: TLS let the peer in; whether we do is asked later. `failed`: it did not come to its end */
  outcome: 'completed' | 'failed'
  /** as Node names it, `none` where it was not agreed on */
  protocol: string
  /** of the key exchange, `none` where it is not known: a failed handshake leaves no session behind */
  group: string
  count: number
}

/** TLS handshakes by how they ended. Of three groups and one protocol there are few lines. */
export class Handshakes {
  readonly #counts = new Map<string, HandshakeCount>()

  completed(socket: TLSSocket): void {
    this.#note({ outcome: 'completed', protocol: socket.getProtocol() ?? 'none', group: groupOf(socket) })
  }

  failed(): void {
    this.#note({ outcome: 'failed', protocol: 'none', group: 'none' })
  }

  counts(): HandshakeCount[] {
    return [...this.#counts.values()].map((one) => ({ ...one }))
  }

  #note(seen: Omit<HandshakeCount, 'count'>): void {
    const key = Object.values(seen).join(' ')
    const count = this.#counts.get(key)?.count ?? 0
    this.#counts.set(key, { ...seen, count: count + 1 })
  }
}

/**
 * Node tells a client which group was agreed on, and a server nothing (`getEphemeralKeyInfo`). OpenSSL notes it in the
 * session; its octets hold secrets too and are wiped at once.
 */
function groupOf(socket: TLSSocket): string {
  const session = socket.getSession()
  if (!session) return 'none'
  const group = sessionGroup(session)
  session.fill(0)
  return group === undefined ? 'none' : (groupNames[group] ?? 'other')
}

/** `kex_group [19] EXPLICIT INTEGER` of OpenSSL's SSL_SESSION. */
const groupTag = 0xb3
const sequenceTag = 0x30

/**
 * The number of the key exchange's group in what OpenSSL writes of a session.
 * @returns undefined where it does not stand there
 * @see OpenSSL 3, `SSL_SESSION_ASN1` of ssl/ssl_asn1.c
 */
export function sessionGroup(session: Uint8Array): number | undefined {
  const whole = element(session, 0)
  if (whole?.tag !== sequenceTag) return undefined
  for (let at = whole.from; at < whole.to; ) {
    const field = element(session, at)
    if (field === undefined || field.to > whole.to) return undefined
    if (field.tag === groupTag) {
      const number = element(session, field.from)
      return number === undefined ? undefined : unsigned(session.subarray(number.from, number.to))
    }
    at = field.to
  }
  return undefined
}

/** A DER element's tag and where its content lies. @returns undefined where the octets end before it does */
function element(octets: Uint8Array, at: number): { tag: number; from: number; to: number } | undefined {
  const [tag, first] = [octets[at], octets[at + 1]]
  if (tag === undefined || first === undefined) return undefined
  const width = first < 0x80 ? 0 : first & 0x7f
  const from = at + 2 + width
  if (width > 4 || from > octets.length) return undefined
  const to = from + (width === 0 ? first : unsigned(octets.subarray(at + 2, from)))
  return to <= octets.length ? { tag, from, to } : undefined
}

function unsigned(octets: Uint8Array): number {
  return octets.reduce((sum, octet) => sum * 256 + octet, 0)
}
