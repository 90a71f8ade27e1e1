/**
 * An invoke-id-and-priority is kept as the number that travels, 0 to 255, so that an answer can repeat it.
 * @see IEC 62056-5-3, Invoke-Id-And-Priority
 */
export interface Invocation {
  /** which request an answer answers: 0 to 15, long 0 to 2^24 - 1 */
  id: number
  /** the sender waits for an answer */
  confirmed: boolean
  highPriority: boolean
}

const confirmedBit = 0x40
const highPriorityBit = 0x80

/** What the octet of an invoke-id-and-priority says; bits 4 and 5 are reserved and say nothing. */
export function invocation(octet: number): Invocation {
  return { id: octet & 0x0f, confirmed: (octet & confirmedBit) !== 0, highPriority: (octet & highPriorityBit) !== 0 }
}

/** The octet of an invoke-id-and-priority. @param id 0 to 15 */
export function invokeId({ id, confirmed, highPriority }: Invocation): number {
  if (!Number.isInteger(id) || id < 0 || id > 0x0f) throw new RangeError(`invoke-id ${id}, 0 to 15`)
  return id | (confirmed ? confirmedBit : 0) | (highPriority ? highPriorityBit : 0)
}

/** What a long-invoke-id-and-priority adds, in its most significant octet. */
export interface LongInvocation extends Invocation {
  /** the answer says again what was asked */
  selfDescriptive: boolean
  /** a list ends with its first fault, instead of going on */
  breakOnError: boolean
}

const selfDescriptiveBit = 0x10
const breakOnErrorBit = 0x20

/** What a long-invoke-id-and-priority says. @param long 0 to 2^32 - 1 @see IEC 62056-5-3, Long-Invoke-Id-And-Priority */
export function longInvocation(long: number): LongInvocation {
  const high = Math.floor(long / 2 ** 24)
  return {
    ...invocation(high),
    id: long % 2 ** 24,
    selfDescriptive: (high & selfDescriptiveBit) !== 0,
    breakOnError: (high & breakOnErrorBit) !== 0,
  }
}

/** The 32 bits of a long-invoke-id-and-priority. @param id 0 to 2^24 - 1 */
export function longInvokeId({ id, selfDescriptive, breakOnError, ...rest }: LongInvocation): number {
  if (!Number.isInteger(id) || id < 0 || id >= 2 ** 24) throw new RangeError(`long invoke-id ${id}, 0 to 2^24 - 1`)
  const high =
    invokeId({ ...rest, id: 0 }) | (selfDescriptive ? selfDescriptiveBit : 0) | (breakOnError ? breakOnErrorBit : 0)
  return high * 2 ** 24 + id
}
