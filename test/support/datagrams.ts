import { createSecretKey } from 'node:crypto'
import { type Datagram, DatagramReader, DatagramWriter } from '#gateway/oneway/datagram.ts'
import type { LinkKey } from '#gateway/oneway/mac.ts'
import { Pass } from '#gateway/oneway/pass.ts'

export const linkKey: LinkKey = { id: 5, key: createSecretKey(Buffer.alloc(32, 0x5a)) }

export interface SentObject {
  epoch: number
  sequence: number
  symbolOctets: number
  /** planned for: 0, and there is no repair symbol */
  lossShare?: number
  /** which pass, of three */
  pass?: number
  key?: LinkKey
}

/** The datagrams of one pass of an object, each in memory of its own. */
export function datagramsOf(
  object: Uint8Array,
  { epoch, sequence, symbolOctets, lossShare = 0, pass = 0, key = linkKey }: SentObject,
): Buffer[] {
  const sent = new Pass(object, pass, { symbolOctets, lossShare, passes: 3 })
  const writer = new DatagramWriter({ key, epoch, slots: 1, symbolOctets })
  return Array.from({ length: sent.length }, (_, at) => Buffer.from(writer.write({ sequence, ...sent.symbol(at) })))
}

const reader = new DatagramReader([linkKey], 8_388_608)

/** @throws PeerError */
export function readDatagram(octets: Buffer): Datagram {
  return reader.read(octets)
}
