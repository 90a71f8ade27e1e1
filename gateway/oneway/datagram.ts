import { PeerError } from '../errors.ts'

/**
 * One datagram: an LCT header, EXT_FTI, a FEC payload id and one symbol. The session is the stream's epoch (TSI, 32 bits),
 * the object is a sealed batch (TOI, its sequence, 64 bits). FEC encoding id 0, Compact No-Code: no repair symbols yet; a
 * code of its own takes another id and leaves this header as it is.
 *
 * ```
 *  0      V=1 C=0 PSI=0 S=1 O=10 H=0 A B | header length in 32-bit words | codepoint (FEC encoding id)
 *  4      congestion control information, 0: the sender paces by itself
 *  8      TSI: epoch                        12  TOI: sequence (64 bits)
 * 20      EXT_FTI (HET 64, 4 words): transfer length 48 bits | reserved 16 | symbol octets 16 | block length 32
 * 36      source block number 16 | encoding symbol id 16
 * 40      symbol
 * ```
 * @see RFC 5651 (LCT), RFC 5775 (ALC), RFC 5445 section 3 (Compact No-Code, FTI)
 */
export interface Datagram {
  epoch: number
  sequence: number
  /** octets of the whole object */
  objectOctets: number
  /** octets of each symbol but the last */
  symbolOctets: number
  /** which symbol, from 0 */
  symbol: number
  payload: Uint8Array
}

export const datagramHeaderOctets = 40
/** Largest symbol a link with jumbo frames takes. */
export const symbolOctetsMax = 8_900
/** Symbols of one object: SBN and ESI are 16 bits each, one block is used. */
export const symbolsMax = 65_536

/** V=1, S=1, O=2 (64 bits), 9 words (the FEC payload id is behind the LCT header), codepoint 0. @see RFC 5651, 5.1 */
const firstOctets = 0x10_c0_09_00
const extFti = 0x40_04
/** IPv4 and UDP leave this much of a datagram's 65,535 octets. */
const datagramOctetsMax = 65_507

export function symbolCount(objectOctets: number, symbolOctets: number): number {
  return Math.max(1, Math.ceil(objectOctets / symbolOctets))
}

/** @param symbol 0 to `symbolCount` - 1 */
export function encodeDatagram(
  object: Uint8Array,
  { epoch, sequence, symbolOctets, symbol }: Pick<Datagram, 'epoch' | 'sequence' | 'symbolOctets' | 'symbol'>,
): Buffer {
  const payload = object.subarray(symbol * symbolOctets, (symbol + 1) * symbolOctets)
  const octets = Buffer.alloc(datagramHeaderOctets + payload.length)
  octets.writeUInt32BE(firstOctets, 0)
  octets.writeUInt32BE(epoch, 8)
  octets.writeUInt32BE(Math.floor(sequence / 2 ** 32), 12)
  octets.writeUInt32BE(sequence >>> 0, 16)
  octets.writeUInt16BE(extFti, 20)
  octets.writeUIntBE(object.length, 22, 6)
  octets.writeUInt16BE(symbolOctets, 30)
  octets.writeUInt32BE(symbolCount(object.length, symbolOctets), 32)
  octets.writeUInt16BE(symbol, 38)
  octets.set(payload, datagramHeaderOctets)
  return octets
}

/**
 * @param objectOctetsMax larger objects are refused before anything is kept of them
 * @throws PeerError `DATAGRAM_MALFORMED`
 */
export function decodeDatagram(octets: Buffer, objectOctetsMax: number): Datagram {
  const refuse = (why: string): never => {
    throw new PeerError('DATAGRAM_MALFORMED', why)
  }
  if (octets.length < datagramHeaderOctets || octets.length > datagramOctetsMax) refuse(`${octets.length} octets`)
  const fixed =
    octets.readUInt32BE(0) === firstOctets && octets.readUInt32BE(4) === 0 && octets.readUInt16BE(20) === extFti
  if (!fixed || octets.readUInt16BE(28) !== 0 || octets.readUInt16BE(36) !== 0) refuse('not a header of this session')
  const sequence = octets.readUInt32BE(12) * 2 ** 32 + octets.readUInt32BE(16)
  if (sequence === 0 || !Number.isSafeInteger(sequence)) refuse('no such sequence')
  const [objectOctets, symbolOctets] = [octets.readUIntBE(22, 6), octets.readUInt16BE(30)]
  if (objectOctets === 0 || objectOctets > objectOctetsMax) refuse(`an object of ${objectOctets} octets`)
  if (symbolOctets === 0 || symbolOctets > symbolOctetsMax) refuse(`a symbol of ${symbolOctets} octets`)
  const [count, symbol] = [symbolCount(objectOctets, symbolOctets), octets.readUInt16BE(38)]
  if (count > symbolsMax || octets.readUInt32BE(32) !== count || symbol >= count) refuse('a symbol outside its object')
  const expected = symbol === count - 1 ? objectOctets - symbol * symbolOctets : symbolOctets
  if (octets.length - datagramHeaderOctets !== expected) refuse('a symbol of another length')
  const payload = octets.subarray(datagramHeaderOctets)
  return { epoch: octets.readUInt32BE(8), sequence, objectOctets, symbolOctets, symbol, payload }
}
