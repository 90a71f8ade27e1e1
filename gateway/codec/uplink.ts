import { PeerError } from '../errors.ts'
import { type ConcentratorId, concentratorId, type SystemTitle, systemTitle } from '../model.ts'
import { type CommandResult, decodeCommandResult, encodeCommandResult } from './command-result.ts'
import { count, decodeMessage, expectWire, type Reader, Writer } from './protobuf.ts'

/** How a meter's APDU is wrapped; the numbers are those of `ami.proto`. */
export const framings = ['apdu', 'hdlc', 'wrapper', 'mbus'] as const
export type Framing = (typeof framings)[number]

/** Quality of the G3-PLC route a frame came by. @see ITU-T G.9903 */
export interface PlcLink {
  /** link quality indicator, 0 to 255 */
  lqi: number
  hops: number
}

export interface MeterFrame {
  systemTitle: SystemTitle
  framing: Framing
  apdu: Uint8Array
  /** milliseconds since 1970-01-01T00:00Z, by the concentrator's clock */
  receivedAtMs: number
  link: PlcLink
}

/** One entry of a reading batch that is no `MeterFrame`: its neighbours are read all the same. */
export interface RefusedFrame {
  fault: PeerError
  octets: Uint8Array
}

/** Bodies that this gateway keeps and does not yet interpret. */
export type OtherBody = 'event' | 'topology'

export type UplinkBody =
  | { kind: 'reading-batch'; frames: MeterFrame[]; refused?: RefusedFrame[] }
  | { kind: 'heartbeat'; uptimeSeconds: number; metersRegistered: number; framesWaiting: number }
  | ({ kind: 'command-result' } & CommandResult)
  | { kind: OtherBody; octets: Uint8Array }

/** One publish of a concentrator. @see ami.proto, `ami.v1.Uplink` */
export interface Uplink {
  concentrator: ConcentratorId
  /** grows by one for each new uplink; a repeat carries the same */
  sequence: number
  sentAtMs: number
  body: UplinkBody
}

/** Frames in one uplink, the most. */
export const uplinkFramesMax = 1_000
/** Octets of one meter's frame, the most; a 96-row profile of four channels takes about 2,000. */
export const frameOctetsMax = 65_536

const fault = 'UPLINK_MALFORMED'
const otherBodies: Record<number, OtherBody> = { 11: 'event', 12: 'topology' }
const bodyField = { 'reading-batch': 10, event: 11, topology: 12, heartbeat: 13, 'command-result': 14 } as const

/**
 * @throws PeerError `UPLINK_MALFORMED`, `UPLINK_LIMIT`, `UPLINK_IDENTITY`, `SYSTEM_TITLE`
 */
export function decodeUplink(octets: Uint8Array): Uplink {
  let id = ''
  let sequence = 0
  let sentAtMs = 0
  let body: UplinkBody | undefined
  decodeMessage(octets, fault, (field, reader, wire) => {
    if (field === 1) id = text(reader, wire)
    else if (field === 2) sequence = whole(reader, wire)
    else if (field === 3) sentAtMs = whole(reader, wire)
    else if (field >= 10 && field <= 14) body = decodeBody(field, bytes(reader, wire))
    else return false
    return true
  })
  if (body === undefined) throw new PeerError(fault, 'an uplink without a body')
  return { concentrator: concentratorId(id), sequence, sentAtMs, body }
}

export function encodeUplink({ concentrator, sequence, sentAtMs, body }: Uplink): Uint8Array {
  const writer = Writer.create()
  writer.uint32(10).string(concentrator)
  if (sequence !== 0) writer.uint32(16).uint64(sequence)
  if (sentAtMs !== 0) writer.uint32(24).uint64(sentAtMs)
  writer.uint32((bodyField[body.kind] << 3) | 2)
  if (body.kind === 'reading-batch') encodeFrames(writer.fork(), body.frames).ldelim()
  else if (body.kind === 'heartbeat') encodeHeartbeat(writer.fork(), body).ldelim()
  else if (body.kind === 'command-result') writer.bytes(encodeCommandResult(body))
  else writer.bytes(body.octets)
  return writer.finish()
}

function decodeBody(field: number, octets: Uint8Array): UplinkBody {
  if (field === 10) return decodeFrames(octets)
  if (field === 13) return decodeHeartbeat(octets)
  if (field === 14) return { kind: 'command-result', ...decodeCommandResult(octets) }
  return { kind: otherBodies[field]!, octets }
}

function decodeFrames(octets: Uint8Array): UplinkBody {
  const [frames, refused]: [MeterFrame[], RefusedFrame[]] = [[], []]
  decodeMessage(octets, fault, (field, reader, wire) => {
    if (field !== 1) return false
    if (frames.length + refused.length >= uplinkFramesMax) {
      throw new PeerError('UPLINK_LIMIT', `over ${uplinkFramesMax} frames`)
    }
    const entry = bytes(reader, wire)
    try {
      frames.push(decodeFrame(entry))
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      refused.push({ fault: error, octets: entry })
    }
    return true
  })
  return { kind: 'reading-batch', frames, ...(refused.length > 0 ? { refused } : {}) }
}

function decodeFrame(octets: Uint8Array): MeterFrame {
  const frame = { title: new Uint8Array(0), framing: 0, apdu: new Uint8Array(0), at: 0, link: { lqi: 0, hops: 0 } }
  decodeMessage(octets, fault, (field, reader, wire) => {
    if (field === 1) frame.title = bytes(reader, wire)
    else if (field === 2) frame.framing = small(reader, wire)
    else if (field === 3) frame.apdu = bytes(reader, wire)
    else if (field === 4) frame.at = whole(reader, wire)
    else if (field === 5) frame.link = decodeLink(bytes(reader, wire))
    else return false
    return true
  })
  const framing = framings[frame.framing]
  if (framing === undefined) throw new PeerError(fault, `framing ${frame.framing}`)
  if (frame.apdu.length > frameOctetsMax) throw new PeerError('UPLINK_LIMIT', `a frame of ${frame.apdu.length} octets`)
  return { systemTitle: systemTitle(frame.title), framing, apdu: frame.apdu, receivedAtMs: frame.at, link: frame.link }
}

function decodeLink(octets: Uint8Array): PlcLink {
  const link = { lqi: 0, hops: 0 }
  decodeMessage(octets, fault, (field, reader, wire) => {
    if (field === 1) link.lqi = small(reader, wire)
    else if (field === 2) link.hops = small(reader, wire)
    else return false
    return true
  })
  return link
}

function decodeHeartbeat(octets: Uint8Array): UplinkBody {
  const body = { kind: 'heartbeat' as const, uptimeSeconds: 0, metersRegistered: 0, framesWaiting: 0 }
  decodeMessage(octets, fault, (field, reader, wire) => {
    if (field === 1) body.uptimeSeconds = whole(reader, wire)
    else if (field === 2) body.metersRegistered = small(reader, wire)
    else if (field === 3) body.framesWaiting = small(reader, wire)
    else return false
    return true
  })
  return body
}

function encodeFrames(writer: Writer, frames: readonly MeterFrame[]): Writer {
  for (const { systemTitle, framing, apdu, receivedAtMs, link } of frames) {
    writer.uint32(10).fork()
    writer.uint32(10).bytes(Buffer.from(systemTitle, 'hex'))
    if (framing !== 'apdu') writer.uint32(16).uint32(framings.indexOf(framing))
    writer.uint32(26).bytes(apdu)
    if (receivedAtMs !== 0) writer.uint32(32).uint64(receivedAtMs)
    writer.uint32(42).fork()
    if (link.lqi !== 0) writer.uint32(8).uint32(link.lqi)
    if (link.hops !== 0) writer.uint32(16).uint32(link.hops)
    writer.ldelim().ldelim()
  }
  return writer
}

function encodeHeartbeat(writer: Writer, body: Extract<UplinkBody, { kind: 'heartbeat' }>): Writer {
  if (body.uptimeSeconds !== 0) writer.uint32(8).uint64(body.uptimeSeconds)
  if (body.metersRegistered !== 0) writer.uint32(16).uint32(body.metersRegistered)
  if (body.framesWaiting !== 0) writer.uint32(24).uint32(body.framesWaiting)
  return writer
}

function bytes(reader: Reader, wire: number): Uint8Array<ArrayBuffer> {
  expectWire(wire, 2, fault)
  return reader.bytes() as Uint8Array<ArrayBuffer>
}

function text(reader: Reader, wire: number): string {
  expectWire(wire, 2, fault)
  return reader.string()
}

function whole(reader: Reader, wire: number): number {
  expectWire(wire, 0, fault)
  return count(reader.uint64(), fault)
}

function small(reader: Reader, wire: number): number {
  expectWire(wire, 0, fault)
  return reader.uint32()
}
