/** Forward error correction by FEC encoding id: none (0), LDPC-Staircase (3), Reed-Solomon over GF(2^8) (5). @see RFC 5052 */
export type FecId = 0 | 3 | 5

/** All that both ends must know of an object to code it: it travels in every datagram (EXT_FTI). One block an object. */
export interface ObjectShape {
  fecId: FecId
  /** octets of the object, from 1 */
  objectOctets: number
  /** octets of each encoding symbol; the last source symbol is sent without its padding */
  symbolOctets: number
  /** encoding symbols there are: source and repair */
  symbols: number
  /** LDPC only: ones in each column of the matrix's left side, 3 to 10; 0 otherwise */
  n1: number
}

export function sourceSymbols({
  objectOctets,
  symbolOctets,
}: Pick<ObjectShape, 'objectOctets' | 'symbolOctets'>): number {
  return Math.max(1, Math.ceil(objectOctets / symbolOctets))
}

/** Source symbols and all symbols, the most, by FEC encoding id: what the wire can number, or what decoding may cost. */
export const symbolLimits: Record<FecId, { sourceMax: number; symbolsMax: number }> = {
  0: { sourceMax: 65_536, symbolsMax: 65_536 }, // encoding symbol ids of 16 bits. @see RFC 5445, 3
  3: { sourceMax: 16_384, symbolsMax: 65_536 }, // ids of 20 bits; fewer, for elimination is cubic in what is lost
  5: { sourceMax: 254, symbolsMax: 255 }, // @see RFC 5510, 8.2
}

/** Octets of all symbols of one object, the most; what its decoder holds. */
export const blockOctetsMax = 41_943_040

/** Octets sent in encoding symbol `symbol`. */
export function payloadOctets(shape: ObjectShape, symbol: number): number {
  const last = symbol === sourceSymbols(shape) - 1
  return last ? shape.objectOctets - symbol * shape.symbolOctets : shape.symbolOctets
}
