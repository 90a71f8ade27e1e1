import { PeerError } from '../errors.ts'
import { decodeMessage, expectWire, Writer } from './protobuf.ts'

/** What became of a command at its concentrator; the numbers are those of `ami.proto`. */
export const commandStatus = {
  done: 0,
  expired: 1,
  foreign: 2,
  silent: 3,
  busy: 4,
  unsupported: 5,
  failed: 6,
} as const

/** A concentrator's answer to one `Downlink`. @see ami.proto, `ami.v1.CommandResult` */
export interface CommandResult {
  /** `commandIdOctets` of them */
  commandId: Uint8Array
  /** a `commandStatus`; what else a concentrator may write is to be taken for `failed`. 0 to 2^32 - 1 */
  status: number
  /** the meter's answer, in the framing of the downlink; empty where there is none */
  apdu: Uint8Array
}

export const commandIdOctets = 16
/** Octets of one APDU in its frame, either way, the most: an APDU of 65,535 octets and the wrapper's header. */
export const commandApduOctetsMax = 65_543

const fault = 'UPLINK_MALFORMED'

/** @throws PeerError `UPLINK_MALFORMED`, `UPLINK_LIMIT` */
export function decodeCommandResult(octets: Uint8Array): CommandResult {
  const result: CommandResult = { commandId: new Uint8Array(0), status: 0, apdu: new Uint8Array(0) }
  decodeMessage(octets, fault, (field, reader, wire) => {
    if (field < 1 || field > 3) return false
    expectWire(wire, field === 2 ? 0 : 2, fault)
    if (field === 1) result.commandId = reader.bytes()
    else if (field === 2) result.status = reader.uint32()
    else result.apdu = reader.bytes()
    return true
  })
  if (result.commandId.length !== commandIdOctets) {
    throw new PeerError(fault, `a command id of ${result.commandId.length} octets, it has ${commandIdOctets}`)
  }
  if (result.apdu.length > commandApduOctetsMax) {
    throw new PeerError('UPLINK_LIMIT', `an answer of ${result.apdu.length} octets`)
  }
  return result
}

/** @see decodeCommandResult */
export function encodeCommandResult({ commandId, status, apdu }: CommandResult): Uint8Array {
  const writer = Writer.create()
  writer.uint32(10).bytes(commandId)
  if (status !== 0) writer.uint32(16).uint32(status)
  if (apdu.length > 0) writer.uint32(26).bytes(apdu)
  return writer.finish()
}
