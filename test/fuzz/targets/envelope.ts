import { decodeHeader, decodeSealedBatch, decodeSeries, encodeSealedBatch } from '#gateway/codec/batch.ts'
import { decodeDownlink, encodeDownlink } from '#gateway/codec/downlink.ts'
import { decodeUplink, encodeUplink } from '#gateway/codec/uplink.ts'
import { PeerError } from '#gateway/errors.ts'
import { macAt } from '#gateway/oneway/datagram.ts'
import { blockOctetsMax, payloadOctets } from '#gateway/oneway/fec/block.ts'
import { decoderOctets } from '#gateway/oneway/fec/decoder.ts'
import { sealMac } from '#gateway/oneway/mac.ts'
import { openBatch } from '#gateway/oneway/seal.ts'
import { linkKey, readDatagram } from '#test/support/datagrams.ts'
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

/** Almost every mutant dies at the MAC; those within the form get a new one, and reach what is behind. */
export const datagramTarget: Target = {
  name: 'datagram',
  octetsMax: 512,
  seeds: () => datagrams,
  run: (octets) => {
    const before = Buffer.from(octets)
    const { payload, symbol, shape } = readDatagram(before)
    if (Buffer.compare(before, octets) !== 0) throw new Broken('the datagram was changed')
    if (symbol >= shape.symbols || payload.length !== payloadOctets(shape, symbol))
      throw new Broken('a symbol beyond its object')
    if (decoderOctets(shape) > blockOctetsMax) throw new Broken('an object too large to be held')
    return `${shape.fecId} ${symbol * shape.symbolOctets < shape.objectOctets ? 'source' : 'repair'}`
  },
  isFault: isPeerFault,
  structured: (octets, mutator) => {
    const changed = Buffer.from(mutator.octets(octets))
    changed[macAt - 2] = (linkKey.id << 4) | (changed[macAt - 2]! & 15)
    sealMac(changed, macAt, linkKey.key)
    return changed
  },
}

export const downlinkTarget: Target = {
  name: 'downlink',
  octetsMax: 4_096,
  seeds: () => downlinks,
  run: (octets) => stable(octets, decodeDownlink, encodeDownlink).framing,
  isFault: isPeerFault,
}
