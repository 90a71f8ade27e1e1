import { decodeHeader, decodeSealedBatch, decodeSeries, encodeSealedBatch } from '#gateway/codec/batch.ts'
import { decodeDownlink, encodeDownlink } from '#gateway/codec/downlink.ts'
import { decodeUplink, encodeUplink } from '#gateway/codec/uplink.ts'
import { PeerError } from '#gateway/errors.ts'
import { datagramHeaderOctets, decodeDatagram } from '#gateway/oneway/datagram.ts'
import { openBatch } from '#gateway/oneway/seal.ts'
import { batches, batchOf, datagrams, downlinks, uplinks } from '../seeds.ts'
import { Broken, type Target } from '../target.ts'
import { isPeerFault, stable } from './dlms.ts'

export const uplinkTarget: Target = {
  name: 'uplink',
  octetsMax: 4_096,
  seeds: () => uplinks,
  run: (octets) => {
    const { body } = stable(octets, decodeUplink, encodeUplink)
    return body.kind === 'reading-batch' ? `${body.kind} ${body.refused?.[0]?.fault.code}` : body.kind
  },
  isFault: isPeerFault,
}

/** Form, root and counts; header and series also one by one, for a root that does not hold hides them. */
export const batchTarget: Target = {
  name: 'batch',
  octetsMax: 4_096,
  seeds: () => batches,
  run: (octets) => {
    const { header, series } = stable(octets, decodeSealedBatch, encodeSealedBatch)
    const parts = [() => decodeHeader(header), ...series.map((leaf) => () => decodeSeries(leaf))].map(outcome)
    const opened = outcome(() => openBatch(octets))
    if (opened === 'read' && parts.some((part) => part !== 'read'))
      throw new Broken('a batch of parts that are refused')
    return `${parts.slice(0, 2).join()} ${opened}`
  },
  isFault: isPeerFault,
  structured: (octets, mutator) => {
    const { series } = decodeSealedBatch(octets)
    const at = mutator.pick(series.length)
    const leaves = series.toSpliced(at, 1, mutator.octets(series[at]!))
    const readings = leaves.reduce((sum, leaf) => sum + readingsOf(leaf), 0)
    return batchOf(leaves, readings, 1 + mutator.pick(2))
  },
}

function outcome(read: () => unknown): string {
  try {
    read()
    return 'read'
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    return fault.message
  }
}

function readingsOf(leaf: Uint8Array): number {
  try {
    return decodeSeries(leaf).ends.length
  } catch {
    return 1 // refused as it will be: any number does
  }
}

const objectOctetsMax = 1_048_576

export const datagramTarget: Target = {
  name: 'datagram',
  octetsMax: 512,
  seeds: () => datagrams,
  run: (octets) => {
    const { payload, symbol, symbolOctets, objectOctets } = decodeDatagram(Buffer.from(octets), objectOctetsMax)
    if (symbol * symbolOctets + payload.length > objectOctets) throw new Broken('a symbol beyond its object')
    if (payload.length !== octets.length - datagramHeaderOctets) throw new Broken('octets lost')
    return symbol === 0 ? 'first' : 'later'
  },
  isFault: isPeerFault,
}

export const downlinkTarget: Target = {
  name: 'downlink',
  octetsMax: 4_096,
  seeds: () => downlinks,
  run: (octets) => stable(octets, decodeDownlink, encodeDownlink).framing,
  isFault: isPeerFault,
}
