import { createHash } from 'node:crypto'
import { PeerError } from '../errors.ts'

/** Batches of one stream that the receiver lacks, both ends included. */
export interface Lacking {
  /** 32 bits */
  epoch: number
  /** from 1 */
  from: number
  to: number
}

/** Batches that one code may ask for, the most. */
export const lackingMax = 100_000
/** Characters of a code, separators too, the most that are read. */
export const codeCharactersMax = 64

/** Crockford's base 32: no I, L, O and U. */
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const groupCharacters = 4
const checkOctets = 3

/**
 * What a person carries from the receiver to the sender, since nothing else goes that way: epoch, first sequence, how many
 * more, and three octets of their SHA-256, in base 32 by groups of four. Of mistyped codes one in 16 million is taken, and only
 * where it names the stream.
 */
export function encodeReplayCode({ epoch, from, to }: Lacking): string {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(epoch)
  const body = Buffer.concat([head, varint(from), varint(to - from)])
  const text = toBase32(Buffer.concat([body, checkOf(body)]))
  return text.match(new RegExp(`.{1,${groupCharacters}}`, 'g'))!.join('-')
}

/**
 * A code as it was typed: in either case, with hyphens and spaces or without, and I, L for 1, O for 0.
 * @throws PeerError `REPLAY_CODE`
 */
export function decodeReplayCode(typed: string): Lacking {
  const refuse = (why: string): PeerError => new PeerError('REPLAY_CODE', why)
  const text = typed
    .slice(0, codeCharactersMax + 1)
    .toUpperCase()
    .replace(/[\s-]/g, '')
  if (typed.length > codeCharactersMax) throw refuse(`over ${codeCharactersMax} characters`)
  const octets = fromBase32(text.replace(/[IL]/g, '1').replaceAll('O', '0'))
  if (octets === undefined || octets.length < 6 + checkOctets)
    throw refuse('no code: it is of digits and letters, in fours')
  const body = octets.subarray(0, -checkOctets)
  if (!checkOf(body).equals(octets.subarray(-checkOctets))) throw refuse('mistyped: its check does not hold')
  const [from, next] = readVarint(body, 4)
  const [more, end] = readVarint(body, next)
  const isWhole = end === body.length && from >= 1 && more < lackingMax && Number.isSafeInteger(from + more)
  if (!isWhole) throw refuse(`not 1 to ${lackingMax} batches`)
  return { epoch: body.readUInt32BE(0), from, to: from + more }
}

/** Codes for what is missing, in order; a gap beyond `lackingMax` takes several. */
export function replayCodes(epoch: number, gaps: readonly (readonly [number, number])[], most: number): string[] {
  const codes: string[] = []
  for (const [first, last] of gaps) {
    for (let from = first; from <= last && codes.length < most; from += lackingMax) {
      codes.push(encodeReplayCode({ epoch, from, to: Math.min(last, from + lackingMax - 1) }))
    }
  }
  return codes
}

function checkOf(body: Uint8Array): Buffer {
  return createHash('sha256').update('replay ').update(body).digest().subarray(0, checkOctets)
}

/** Seven bits an octet, the lowest first. */
function varint(value: number): Uint8Array {
  const octets: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) octets.push((rest % 0x80) | 0x80)
  return Uint8Array.of(...octets, rest)
}

/** @returns the value, `NaN` where it does not end, and where it ends */
function readVarint(octets: Uint8Array, start: number): [value: number, end: number] {
  let [value, scale] = [0, 1]
  for (let at = start; at < octets.length && scale < 2 ** 56; at++, scale *= 0x80) {
    value += (octets[at]! % 0x80) * scale
    if (octets[at]! < 0x80) return [value, at + 1]
  }
  return [Number.NaN, octets.length]
}

function toBase32(octets: Uint8Array): string {
  const bits = [...octets].map((octet) => octet.toString(2).padStart(8, '0')).join('')
  const padded = bits.padEnd(Math.ceil(bits.length / 5) * 5, '0')
  return padded
    .match(/.{5}/g)!
    .map((five) => alphabet[Number.parseInt(five, 2)])
    .join('')
}

/** @returns `undefined` for other characters, or bits behind the last octet that are set or too many */
function fromBase32(text: string): Buffer | undefined {
  const values = [...text].map((character) => alphabet.indexOf(character))
  if (values.includes(-1)) return undefined
  const bits = values.map((value) => value.toString(2).padStart(5, '0')).join('')
  const whole = Math.floor(bits.length / 8) * 8
  if (bits.length - whole >= 5 || bits.slice(whole).includes('1')) return undefined
  return Buffer.from((bits.slice(0, whole).match(/.{8}/g) ?? []).map((eight) => Number.parseInt(eight, 2)))
}
