import { PkiError } from '../errors.ts'
import { serialOctets } from './revoked-set.ts'

/**
 * What is pushed to every listener about revocation; nothing comes back. A frame: length of what follows, 32 bits; a type of one
 * octet; its body.
 *
 * | type | body | says |
 * | --- | --- | --- |
 * | 1 | version 1; each issuer: length of its key identifier, one octet; the identifier | whose certificates this feed knows of |
 * | 2 | serial numbers, 16 octets each | these are revoked, for ever |
 * | 3 | a number, 32 bits | so many are revoked in all, and you have been told of each; sent first when all is told, then each second |
 */
export type FeedMessage =
  /** subject key identifiers of the CAs, hex */
  { kind: 'issuers'; keyIds: string[] } | { kind: 'revoked'; serials: Uint8Array } | { kind: 'state'; count: number }

/** Octets of a frame behind its length, the most. */
export const feedFrameOctetsMax = 65_536
/** Milliseconds from one state to the next. */
export const feedBeatMs = 1_000
/** Milliseconds since the last state after which a listener admits nobody. */
export const feedAgeMsMax = 5_000
/** CAs, the most. */
export const feedIssuersMax = 256

const version = 1
const type = { issuers: 1, revoked: 2, state: 3 } as const
const keyIdOctetsMax = 64
const serialsTogether = Math.floor((feedFrameOctetsMax - 1) / serialOctets)

export function encodeIssuers(keyIds: readonly string[]): Uint8Array {
  if (keyIds.length > feedIssuersMax) throw new RangeError(`over ${feedIssuersMax} issuers`)
  const each = keyIds.map((id) => {
    const octets = Buffer.from(id, 'hex')
    if (octets.length === 0 || octets.length > keyIdOctetsMax) throw new RangeError(`'${id}' is no key identifier`)
    return Buffer.concat([Uint8Array.of(octets.length), octets])
  })
  return frame(type.issuers, Uint8Array.of(version), ...each)
}

/** As many frames as they need. @param serials 16 octets each */
export function encodeRevoked(serials: Uint8Array): Uint8Array {
  const frames: Uint8Array[] = []
  const step = serialsTogether * serialOctets
  for (let at = 0; at < serials.length; at += step) frames.push(frame(type.revoked, serials.subarray(at, at + step)))
  return Buffer.concat(frames)
}

export function encodeState(count: number): Uint8Array {
  const body = Buffer.alloc(4)
  body.writeUInt32BE(count)
  return frame(type.state, body)
}

function frame(kind: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(5)
  head.writeUInt32BE(body.length + 1)
  head[4] = kind
  return Buffer.concat([head, body])
}

/** Takes octets as they come, and gives the messages that are whole; holds one frame at most. */
export class FeedReader {
  #rest: Buffer = Buffer.alloc(0)

  /** @throws PkiError `FEED_MALFORMED` */
  take(chunk: Uint8Array): FeedMessage[] {
    const octets = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk])
    const messages: FeedMessage[] = []
    let at = 0
    while (octets.length - at >= 4) {
      const length = octets.readUInt32BE(at)
      if (length < 1 || length > feedFrameOctetsMax) throw malformed(`a frame of ${length} octets`)
      if (octets.length - at - 4 < length) break
      messages.push(decode(octets[at + 4]!, octets.subarray(at + 5, at + 4 + length)))
      at += 4 + length
    }
    this.#rest = octets.subarray(at)
    return messages
  }
}

function decode(kind: number, body: Buffer): FeedMessage {
  if (kind === type.issuers) return { kind: 'issuers', keyIds: decodeIssuers(body) }
  if (kind === type.state && body.length === 4) return { kind: 'state', count: body.readUInt32BE(0) }
  if (kind === type.revoked && body.length > 0 && body.length % serialOctets === 0)
    return { kind: 'revoked', serials: body }
  throw malformed(`type ${kind} with ${body.length} octets`)
}

function decodeIssuers(body: Buffer): string[] {
  if (body[0] !== version) throw malformed(`version ${body[0]}`)
  const keyIds: string[] = []
  for (let at = 1; at < body.length; ) {
    const length = body[at]!
    if (length === 0 || length > keyIdOctetsMax || at + 1 + length > body.length) throw malformed('a key identifier')
    if (keyIds.length >= feedIssuersMax) throw malformed(`over ${feedIssuersMax} issuers`)
    keyIds.push(body.toString('hex', at + 1, at + 1 + length))
    at += 1 + length
  }
  return keyIds
}

function malformed(detail: string): PkiError {
  return new PkiError('FEED_MALFORMED', detail)
}
