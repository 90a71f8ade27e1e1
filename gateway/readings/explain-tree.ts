import { type Apdu, decodeApdu } from '../codec/apdu.ts'
import { type GeneralBlockTransfer, reassemble } from '../codec/block.ts'
import { decodeDateTime } from '../codec/datetime.ts'
import type { SeenFrame, Unframed } from '../codec/payload.ts'
import { Trace } from '../codec/trace.ts'
import { PeerError } from '../errors.ts'
import { layersMax, type Opener, pushedValues } from './explain.ts'
import { bareData, isCarrier } from './explain-apdu.ts'
import { type MeterClock, zonedSeconds } from './local-time.ts'
import type { MeterProfile } from './meter-profile.ts'
import { listedValues } from './push.ts'
import { isTelegram, readTelegram, type TelegramValue, telegramTimeText } from './telegram.ts'
import { node, type TreeLayer, type TreeNode } from './tree.ts'
import { dataNode, type Meanings, meaningsOf, obisWords } from './tree-data.ts'
import { FieldTree } from './tree-fields.ts'
import { frameNode } from './tree-frames.ts'
import type { Fields } from './tree-places.ts'
import { dateTimeWords } from './words.ts'

const tagOctets = 1

export interface TreeOptions {
  /** those that held */
  frames: readonly SeenFrame[]
  open: Opener
  /** of the meter, for the units and places that its push does not tell */
  profile?: MeterProfile | undefined
}

/**
 * All that a stream holds as trees, a layer for the frames and one for each APDU, those inside others behind them.
 * What cannot be read or opened ends its layer with the fault; the others are shown all the same.
 * @param stream octets of the stream
 */
export function explainTree(
  stream: Uint8Array,
  { payloads, faults }: Unframed,
  { frames, open, profile }: TreeOptions,
): TreeLayer[] {
  const layers: TreeLayer[] = []
  if (frames.length > 0 || faults.length > 0) {
    const lost = faults.map((fault) =>
      node('passed over', { offset: fault.offset ?? null, meaning: `${fault.code}: ${fault.message}` }),
    )
    const nodes = [...frames.map(frameNode), ...lost].toSorted((a, b) => (a.offset ?? 0) - (b.offset ?? 0))
    layers.push({ kind: 'frames', from: 'as received', octets: stream.length, nodes })
  }
  const builder = new Layers(layers, open, profile)
  const kind = frames.length === 0 ? 'as received' : 'the payload of its frames'
  builder.add(
    payloads.map(({ octets, offset }) => ({
      octets,
      from: `${kind}, from ${offset.toString(16).padStart(4, '0')} on`,
    })),
    'apdu',
  )
  return layers
}

interface Piece {
  octets: Uint8Array
  from: string
}

/** Layers in the order in which they are met. */
class Layers {
  readonly #layers: TreeLayer[]
  readonly #open: Opener
  readonly #profile: MeterProfile | undefined
  #depth = 0

  constructor(layers: TreeLayer[], open: Opener, profile: MeterProfile | undefined) {
    this.#profile = profile
    this.#layers = layers
    this.#open = open
  }

  add(pieces: readonly Piece[], kind: TreeLayer['kind']): void {
    const blocks: GeneralBlockTransfer[] = []
    for (const { octets, from } of pieces) {
      const layer: TreeLayer = { kind, from, octets: octets.length, nodes: [] }
      this.#layers.push(layer)
      guarded(layer, () => this.#read(layer, octets, blocks))
    }
    if (blocks.length === 0) return
    const joined: TreeLayer = { kind: 'blocks', from: `out of ${blocks.length} blocks`, octets: 0, nodes: [] }
    guarded(joined, () => this.#inside(reassemble(blocks), 'blocks', joined.from))
    if (joined.fault !== undefined) this.#layers.push(joined)
  }

  #read(layer: TreeLayer, octets: Uint8Array, blocks: GeneralBlockTransfer[]): void {
    if (isTelegram(octets)) {
      layer.nodes = readTelegram(octets).map((value) => telegramNode(value, this.#profile?.clock))
      return
    }
    const trace = new Trace()
    const bare = this.#depth === 0 ? bareData(octets, trace.open) : undefined
    if (bare !== undefined) {
      layer.nodes = [dataNode('data', bare, trace, meaningsOf(listedValues(bare)))]
      return
    }
    const apdu = decodeApdu(octets, 0, trace.open)
    const found = apduNode(apdu, octets, { trace, meanings: meanings(apdu, this.#profile) })
    layer.nodes = [this.#profile?.clock === undefined ? found : zoned(found, this.#profile.clock)]
    if (apdu.apdu === 'general-block-transfer') blocks.push(apdu)
    else if (isCarrier(apdu)) this.#inside([apdu.content], 'inside', `carried by ${apdu.apdu}`)
    else if ('securityControl' in apdu) this.#inside([this.#open(apdu)], 'plain', `deciphered from ${apdu.apdu}`)
  }

  #inside(octets: readonly Uint8Array[], kind: TreeLayer['kind'], from: string): void {
    if (this.#depth === layersMax) {
      throw new PeerError('APDU_UNSUPPORTED', `more than ${layersMax} APDUs in each other`)
    }
    this.#depth++
    this.add(
      octets.map((one) => ({ octets: one, from })),
      kind,
    )
    this.#depth--
  }
}

function guarded(layer: TreeLayer, read: () => void): void {
  try {
    read()
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    layer.fault = { code: fault.code, message: fault.message, offset: fault.offset ?? null }
  }
}

function apduNode(apdu: Apdu, octets: Uint8Array, { trace, meanings }: { trace: Trace; meanings: Meanings }): TreeNode {
  const dialects =
    'dialects' in apdu && apdu.dialects.length > 0 ? `, as in the dialect ${apdu.dialects.join(', ')}` : ''
  const fields: Fields = 'dialects' in apdu ? { ...apdu, dialects: undefined } : { ...apdu }
  return node(apdu.apdu, {
    offset: 0,
    octets: octets.length,
    meaning: `tag ${octets[0]!.toString(16).padStart(2, '0')}${dialects}`,
    children: new FieldTree(fields, trace, { meanings, from: tagOctets }).nodes(),
  })
}

/** What a push says of its own values; one that cannot be understood is shown without. */
function meanings(apdu: Apdu, profile: MeterProfile | undefined): Meanings {
  if (apdu.apdu !== 'data-notification') return new Map()
  try {
    return meaningsOf(pushedValues(apdu.body, profile))
  } catch (fault) {
    if (fault instanceof PeerError) return new Map()
    throw fault
  }
}

function telegramNode({ obis, value, scaler, unit, captured }: TelegramValue, clock: MeterClock | undefined): TreeNode {
  const scaled = scaler === null ? '' : `, times 10^${scaler}`
  const time = captured === undefined ? '' : `, captured ${telegramTimeText(captured, clock) ?? captured}`
  return node(obis, { value, meaning: `${obisWords(obis)}${scaled}${unit === null ? '' : `, ${unit}`}${time}` })
}

/** Times that do not say how they lie to UTC, with what the zone of their meter says of it. */
function zoned(one: TreeNode, clock: MeterClock): TreeNode {
  const children = one.children.map((child) => zoned(child, clock))
  const utc = zonedText(one, clock)
  if (utc === undefined) return { ...one, children }
  return { ...one, meaning: `${one.meaning} = ${utc} in ${clock.zone}`, children }
}

/** Only of what was told to be a time: twelve octets of another kind may look like one. */
function zonedText({ value, meaning }: TreeNode, clock: MeterClock): string | undefined {
  if (typeof value !== 'string' || meaning === null || !/^[0-9a-f]{24}$/.test(value)) return undefined
  const octets = Buffer.from(value, 'hex')
  const words = dateTimeWords(octets)
  if (words === undefined || !meaning.includes(words)) return undefined
  if (decodeDateTime(octets).deviationMinutes !== undefined) return undefined
  const seconds = zonedSeconds(octets, clock)
  return seconds === undefined ? undefined : new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}
