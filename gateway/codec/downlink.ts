import { PeerError } from '../errors.ts'
import { type SystemTitle, systemTitle } from '../model.ts'
import { commandApduOctetsMax, commandIdOctets } from './command-result.ts'
import { count, decodeMessage, expectWire, Writer } from './protobuf.ts'
import { type Framing, framings } from './uplink.ts'

/** One APDU on its way to a meter, published on its concentrator's command topic. @see ami.proto, `ami.v1.Downlink` */
export interface Downlink {
  /** random, new for each APDU: the answer bears it. `commandIdOctets` of them */
  commandId: Uint8Array
  /** milliseconds since 1970-01-01T00:00Z; past it the meter must not hear of it */
  expiresAtMs: number
  meter: SystemTitle
  framing: Framing
  /** in that framing, 1 to `commandApduOctetsMax` octets */
  apdu: Uint8Array
}

const fault = 'DOWNLINK_MALFORMED'
const wires: Readonly<Record<number, 0 | 2>> = { 1: 2, 2: 0, 3: 2, 4: 0, 5: 2 }

/** @throws PeerError `DOWNLINK_MALFORMED` */
export function decodeDownlink(octets: Uint8Array): Downlink {
  const none = new Uint8Array(0)
  const raw = { commandId: none, expiresAtMs: 0, title: none, framing: 0, apdu: none }
  decodeMessage(octets, fault, (field, reader, wire) => {
    const expected = wires[field]
    if (expected === undefined) return false
    expectWire(wire, expected, fault)
    if (field === 1) raw.commandId = octetsOf(reader.bytes())
    else if (field === 2) raw.expiresAtMs = count(reader.uint64(), fault)
    else if (field === 3) raw.title = octetsOf(reader.bytes())
    else if (field === 4) raw.framing = reader.uint32()
    else raw.apdu = octetsOf(reader.bytes())
    return true
  })
  const { commandId, expiresAtMs, title, apdu } = raw
  const framing = framings[raw.framing]
  const isWhole = commandId.length === commandIdOctets && title.length === 8 && framing !== undefined
  if (!isWhole || apdu.length < 1 || apdu.length > commandApduOctetsMax) {
    const lengths = `id ${commandId.length}, system title ${title.length}, APDU ${apdu.length} octets`
    throw new PeerError(fault, `${lengths}, framing ${raw.framing}`)
  }
  return { commandId, expiresAtMs, meter: systemTitle(title), framing, apdu }
}

function octetsOf(octets: Uint8Array): Uint8Array<ArrayBuffer> {
  return octets as Uint8Array<ArrayBuffer>
}

/** @see decodeDownlink */
export function encodeDownlink({ commandId, expiresAtMs, meter, framing, apdu }: Downlink): Uint8Array {
  const writer = Writer.create()
  writer.uint32(10).bytes(commandId)
  if (expiresAtMs !== 0) writer.uint32(16).uint64(expiresAtMs)
  writer.uint32(26).bytes(Buffer.from(meter, 'hex'))
  if (framing !== 'apdu') writer.uint32(32).uint32(framings.indexOf(framing))
  writer.uint32(42).bytes(apdu)
  return writer.finish()
}
