import { decodeLinkParameters } from '../codec/hdlc-parameters.ts'
import type { SeenFrame } from '../codec/payload.ts'
import { PeerError } from '../errors.ts'
import { hex, node, type TreeNode } from './tree.ts'
import { hdlcAddressWords, hdlcControlWords, hexOctet, mbusControlWords } from './words.ts'

const names = { hdlc: 'HDLC frame', wrapper: 'wrapper', mbus: 'M-Bus long frame' } as const

/** Where the fields of fixed place lie, in octets behind the first of the frame. */
const places: Readonly<Record<SeenFrame['framing'], Readonly<Record<string, number>>>> = {
  hdlc: { destination: 3 },
  wrapper: { source: 2, destination: 4, length: 6 },
  mbus: { control: 4, address: 5, segment: 6, last: 6, source: 7, destination: 8, data: 9 },
}

/** A frame and its fields. Offsets count in the stream. */
export function frameNode({ framing, offset, octets, fields }: SeenFrame): TreeNode {
  const at = { ...places[framing], ...(framing === 'hdlc' ? hdlcPlaces(fields) : {}) }
  const children = Object.entries(fields).map(([name, value]) => {
    const long = value instanceof Uint8Array && (name === 'information' || name === 'data')
    return node(name, {
      offset: at[name] === undefined ? null : offset + at[name],
      octets: value instanceof Uint8Array ? value.length : null,
      value: value instanceof Uint8Array ? (long ? null : hex(value)) : value,
      meaning: long ? (linkWords(fields) ?? `${value.length} octets`) : (fieldWords(framing, name, value) ?? null),
    })
  })
  children.sort((a, b) => (a.offset ?? offset) - (b.offset ?? offset))
  return node(names[framing], { offset, octets, meaning: `${octets} octets`, children })
}

const setup: ReadonlySet<number> = new Set([0x83, 0x63]) // SNRM, UA
const pollBit = 0x10

/** What a data link is set up with, `undefined` for the information of any other frame. */
function linkWords({ control, information }: SeenFrame['fields']): string | undefined {
  if (typeof control !== 'number' || !setup.has(control & ~pollBit) || !(information instanceof Uint8Array)) {
    return undefined
  }
  try {
    const { transmitOctetsMax = 128, receiveOctetsMax = 128, ...windows } = decodeLinkParameters(information)
    const { transmitWindow = 1, receiveWindow = 1 } = windows
    return `information to ${transmitOctetsMax} octets sent and ${receiveOctetsMax} taken, window ${transmitWindow} and ${receiveWindow}`
  } catch (fault) {
    if (fault instanceof PeerError) return undefined
    throw fault
  }
}

function hdlcPlaces(fields: SeenFrame['fields']): Readonly<Record<string, number>> {
  const [destination, source, information] = ['destination', 'source', 'information'].map((name) => {
    const field = fields[name]
    return field instanceof Uint8Array ? field.length : 0
  }) as [number, number, number]
  const control = 3 + destination + source
  return {
    source: 3 + destination,
    control,
    segmented: 1, // a bit of the format field
    ...(information === 0 ? {} : { information: control + 3 }),
  }
}

function fieldWords(framing: string, name: string, value: unknown): string | undefined {
  if (framing === 'hdlc' && value instanceof Uint8Array) return hdlcAddressWords(value)
  if (name === 'segmented') return value === true ? 'more segments follow' : 'the last segment'
  if (name === 'last') return value === true ? 'the last segment' : 'more segments follow'
  if (name === 'control' && typeof value === 'number') {
    return `${hexOctet(value)}: ${framing === 'hdlc' ? hdlcControlWords(value) : mbusControlWords(value)}`
  }
  return framing === 'wrapper' && name !== 'length' && typeof value === 'number' ? portWords(value) : undefined
}

/** Ports of the wrapper are COSEM addresses. @see IEC 62056-47, wrapper port numbers */
function portWords(port: number): string | undefined {
  const known: Readonly<Record<number, string>> = {
    1: 'management logical device or client',
    16: 'public client',
  }
  return known[port]
}
