import { PeerError } from '../errors.ts'

/**
 * A transaction identifier as an unsigned number, most significant octet first, if it is above the last. A key that comes
 * with its message has no counter to compare, and a signature has none at all; so the identifier must rise.
 * @throws PeerError `COUNTER_REPLAYED`
 */
export function nextTransaction(transactionId: Uint8Array, last: bigint): bigint {
  const hex = Buffer.from(transactionId.buffer, transactionId.byteOffset, transactionId.length).toString('hex')
  const transaction = BigInt(`0x0${hex}`)
  if (transaction <= last) throw new PeerError('COUNTER_REPLAYED', `transaction ${transaction} after ${last}`)
  return transaction
}
