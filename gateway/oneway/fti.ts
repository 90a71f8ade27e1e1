import { PeerError } from '../errors.ts'
import { blockOctetsMax, type FecId, type ObjectShape, sourceSymbols, symbolLimits } from './fec/block.ts'

/**
 * EXT_FTI, the FEC object transmission information, and the FEC payload id, by FEC encoding id. One block an object: its source
 * block number is 0 and its length is the object's, so that the number of all its symbols is max_n.
 *
 * ```
 * id 0  HET 64, HEL 4 | transfer length 48 | reserved 16 | E 16 | B 32              payload id: SBN 16 | ESI 16
 * id 3  HET 64, HEL 4 | transfer length 48 | E 16 | N1-3 3 | G 5 | B 20 | max_n 20   payload id: SBN 12 | ESI 20
 * id 5  HET 64, HEL 3 | transfer length 48 | E 16 | B 8 | max_n 8                    payload id: SBN 24 | ESI 8
 * ```
 * @see RFC 5445, 3.2 (0); RFC 5170, 4.1 and 4.2 (3); RFC 5510, 5.1 and 5.2 (5)
 */
interface Layout {
  /** of EXT_FTI */
  octets: number
  /** of the encoding symbol id; the source block number is above */
  symbolBits: number
  write(octets: Buffer, at: number, shape: ObjectShape, source: number): void
  /** @returns source symbols, all symbols and N1 as they stand there; undefined where a field is not as it must be */
  read(octets: Buffer, at: number): { symbolOctets: number; source: number; symbols: number; n1: number } | undefined
}

const extFti = 64
/** One symbol a datagram. */
const group = 1
const n1Min = 3

const layouts: Record<FecId, Layout> = {
  0: {
    octets: 16,
    symbolBits: 16,
    write: (octets, at, { symbolOctets }, source) => {
      octets.writeUInt16BE(0, at + 8)
      octets.writeUInt16BE(symbolOctets, at + 10)
      octets.writeUInt32BE(source, at + 12)
    },
    read: (octets, at) => {
      if (octets.readUInt16BE(at + 8) !== 0) return undefined
      const source = octets.readUInt32BE(at + 12)
      return { symbolOctets: octets.readUInt16BE(at + 10), source, symbols: source, n1: 0 }
    },
  },
  3: {
    octets: 16,
    symbolBits: 20,
    write: (octets, at, { symbolOctets, symbols, n1 }, source) => {
      octets.writeUInt16BE(symbolOctets, at + 8)
      octets.writeUInt8(((n1 - n1Min) << 5) | group, at + 10)
      octets.writeUIntBE(source * 2 ** 20 + symbols, at + 11, 5)
    },
    read: (octets, at) => {
      const bits = octets.readUInt8(at + 10)
      if ((bits & 0x1f) !== group) return undefined
      const counts = octets.readUIntBE(at + 11, 5)
      const [source, symbols] = [Math.floor(counts / 2 ** 20), counts % 2 ** 20]
      return { symbolOctets: octets.readUInt16BE(at + 8), source, symbols, n1: (bits >> 5) + n1Min }
    },
  },
  5: {
    octets: 12,
    symbolBits: 8,
    write: (octets, at, { symbolOctets, symbols }, source) => {
      octets.writeUInt16BE(symbolOctets, at + 8)
      octets.writeUInt8(source, at + 10)
      octets.writeUInt8(symbols, at + 11)
    },
    read: (octets, at) => ({
      symbolOctets: octets.readUInt16BE(at + 8),
      source: octets.readUInt8(at + 10),
      symbols: octets.readUInt8(at + 11),
      n1: 0,
    }),
  },
}

export function isFecId(id: number): id is FecId {
  return Object.hasOwn(layouts, id)
}

export function ftiOctets(fecId: FecId): number {
  return layouts[fecId].octets
}

export function writeFti(octets: Buffer, at: number, shape: ObjectShape): void {
  const layout = layouts[shape.fecId]
  octets.writeUInt8(extFti, at)
  octets.writeUInt8(layout.octets / 4, at + 1)
  octets.writeUIntBE(shape.objectOctets, at + 2, 6)
  layout.write(octets, at, shape, sourceSymbols(shape))
}

/** @throws PeerError `DATAGRAM_MALFORMED` its form, `DATAGRAM_LIMIT` an object that is not to be held */
export function readFti(octets: Buffer, at: number, fecId: FecId, objectOctetsMax: number): ObjectShape {
  const layout = layouts[fecId]
  if (octets.readUInt8(at) !== extFti || octets.readUInt8(at + 1) * 4 !== layout.octets) {
    throw new PeerError('DATAGRAM_MALFORMED', 'no EXT_FTI where it is due')
  }
  const fields = layout.read(octets, at)
  if (fields === undefined) throw new PeerError('DATAGRAM_MALFORMED', 'EXT_FTI of another form')
  const { source, symbolOctets, symbols, n1 } = fields
  const shape = { fecId, objectOctets: octets.readUIntBE(at + 2, 6), symbolOctets, symbols, n1 }
  if (!isHoldable(shape, source, objectOctetsMax)) {
    throw new PeerError('DATAGRAM_LIMIT', `an object of ${shape.objectOctets} octets in ${symbols} symbols`)
  }
  return shape
}

/** Largest symbol a link with jumbo frames takes. */
export const symbolOctetsMax = 8_900

/** Whether the lengths agree, are within the limits, and the code's matrix exists: LDPC needs as many rows as ones in a column. */
function isHoldable(shape: ObjectShape, source: number, objectOctetsMax: number): boolean {
  const { fecId, objectOctets, symbolOctets, symbols, n1 } = shape
  if (objectOctets === 0 || objectOctets > objectOctetsMax) return false
  if (symbolOctets === 0 || symbolOctets > symbolOctetsMax) return false
  if (source !== sourceSymbols(shape) || symbols < source + n1) return false
  const { sourceMax, symbolsMax } = symbolLimits[fecId]
  return source <= sourceMax && symbols <= symbolsMax && symbols * symbolOctets <= blockOctetsMax
}

/** The FEC payload id of a symbol of block 0. */
export const payloadIdOctets = 4

/** @returns the encoding symbol id, or undefined where it is of another block than 0 */
export function readPayloadId(octets: Buffer, at: number, fecId: FecId): number | undefined {
  const id = octets.readUInt32BE(at)
  return id < 2 ** layouts[fecId].symbolBits ? id : undefined
}
