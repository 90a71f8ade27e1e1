import { type Data, decodeData, elementsMax } from '../codec/axdr.ts'
import { dateTimeOctets } from '../codec/datetime.ts'
import { type DataNotification, dataNotificationTag } from '../codec/notification.ts'
import { decodeLength, OctetReader } from '../codec/octets.ts'
import { PeerError } from '../errors.ts'
import type { MeterProfile } from './meter-profile.ts'
import { type Layout, layoutOf, pushedProfiles, type Reader, type StatusSeries } from './profile.ts'
import { classOf, isScalerUnit, type PushObject, pushedScalers, pushObjects } from './push.ts'
import { readRows } from './row-reader.ts'

/** Pushes of different constants that are known at once: `setsMax` times `waysMax`. */
const setsMax = 64
const waysMax = 4
/** Constants of one push; with longer ones it is read plainly each time. All that are known: 256 KiB. */
const constantOctetsMax = 1_024
/** Of the constants, what chooses their set; all of it lies in front of the buffer. */
const sampleOctets = 64

/** What pushes of one meter family have in common: octets around a buffer, and what was made of them. */
interface Known {
  /** from the body's tag to the buffer */
  before: Buffer
  /** from the buffer to the end */
  behind: Buffer
  profile: MeterProfile | undefined
  layout: Layout
}

/**
 * Reads a push whose object list, capture objects, scalers and units are, octet by octet, those of one that was read
 * plainly before: then its rows alone are read. A meter says the same of itself with each push, so most are such.
 *
 * What is found here is what `interpret(decodeApdu(octets), …)` returns, for a body's constants decode to the same
 * wherever they stand and whoever sends them; whatever is unusual or wrong is left to the plain way, which says why. At
 * most 256 are known, of at most 1 KiB each; those that were not met for longest make room.
 */
export class KnownPushes {
  readonly #sets: Known[][] = Array.from({ length: setsMax }, () => [])

  /**
   * @param octets a data-notification with its tag
   * @returns `undefined` where it has to be read plainly
   */
  read(octets: Uint8Array, reader: Reader): StatusSeries[] | undefined {
    const at = bodyAt(octets)
    const known = at === undefined ? undefined : this.#find(octets, at, reader.profile)
    if (known === undefined) return undefined
    const span = { from: at! + known.before.length, to: octets.length - known.behind.length }
    return readRows(octets, span, { layout: known.layout, reader })
  }

  /**
   * Keeps what is constant in a push that was decoded plainly.
   * @param octets the same notification with its tag
   * @param profile the one that `read` was given
   */
  learn(octets: Uint8Array, { body, dialects }: DataNotification, profile: MeterProfile | undefined): void {
    const at = bodyAt(octets)
    if (at === undefined || octets.length - at < sampleOctets || dialects.length > 0) return
    if (this.#find(octets, at, profile) !== undefined) return // and its cells are such as are read plainly each time
    const place = bufferPlaceOrNone(body, profile)
    if (place === undefined) return
    const { from, to } = spanOf(octets, at, place.element)
    if (from - at < sampleOctets || from - at + octets.length - to > constantOctetsMax) return
    const [before, behind] = [Buffer.from(octets.slice(at, from)), Buffer.from(octets.slice(to))]
    const known = { before, behind, profile, layout: place.layout }
    const set = this.#set(octets, at)
    set.unshift(known)
    if (set.length > waysMax) set.pop()
  }

  /** Moved to the front of its set, so that what is met again stays. */
  #find(octets: Uint8Array, at: number, profile: MeterProfile | undefined): Known | undefined {
    if (octets.length - at < sampleOctets) return undefined
    const set = this.#set(octets, at)
    for (let way = 0; way < set.length; way++) {
      const known = set[way]!
      if (known.profile !== profile || !surrounds(known, octets, at)) continue
      if (way > 0) set.unshift(...set.splice(way, 1))
      return known
    }
    return undefined
  }

  #set(octets: Uint8Array, at: number): Known[] {
    let sum = 0
    for (let i = at; i < at + sampleOctets; i += 5) sum = (Math.imul(sum, 31) + octets[i]!) | 0
    return this.#sets[(sum ^ (sum >>> 16)) & (setsMax - 1)]!
  }
}

/** Where the body begins, behind a date-time or none; `undefined` for other APDUs and dialects. */
function bodyAt(octets: Uint8Array): number | undefined {
  if (octets[0] !== dataNotificationTag) return undefined
  if (octets[dateTimeAt] === 0) return dateTimeAt + 1
  return octets[dateTimeAt] === dateTimeOctets ? dateTimeAt + 1 + dateTimeOctets : undefined
}

/** Behind the tag and the long-invoke-id-and-priority. */
const dateTimeAt = 5

function surrounds({ before, behind }: Known, octets: Uint8Array, at: number): boolean {
  const end = octets.length - behind.length
  return end > at + before.length && holds(octets, at, before) && holds(octets, end, behind)
}

/** @param part that ends within the octets */
function holds(octets: Uint8Array, at: number, part: Buffer): boolean {
  return part.length === 0 || part.compare(octets, at, at + part.length) === 0
}

interface Place {
  /** which of the body's elements the buffer is */
  element: number
  layout: Layout
}

function bufferPlaceOrNone(body: Data, profile: MeterProfile | undefined): Place | undefined {
  try {
    return bufferPlace(body, profile)
  } catch (fault) {
    if (fault instanceof PeerError) return undefined // only another profile makes readings of it: nothing to keep
    throw fault
  }
}

/** The one buffer of a push in which all else is constant: capture objects, period, scalers and units. */
function bufferPlace(body: Data, profile: MeterProfile | undefined): Place | undefined {
  if (body.type !== 'structure' || profile?.lists.some(({ names }) => names.length === body.elements.length)) {
    return undefined
  }
  const objects = pushObjects(body)
  if (objects === undefined || !objects.every(isConstant)) return undefined
  const buffers = objects.filter(isBuffer)
  const element = buffers.length === 1 ? body.elements.indexOf(buffers[0]!.data) : -1
  if (element < 0) return undefined
  const layout = layoutOf(pushedProfiles(objects, profile)[0]!, pushedScalers(objects), profile)
  return layout.columns.length < 0x80 && isUnlikeDescriptors(layout) ? { element, layout } : undefined
}

/** Or the buffer itself: what makes no reading of its own, and changes only when the meter is set anew. */
function isConstant({ classId, attribute }: PushObject): boolean {
  return classId === classOf.profile || isScalerUnit(classId, attribute)
}

function isBuffer({ classId, attribute }: PushObject): boolean {
  return classId === classOf.profile && attribute === 2
}

/**
 * A descriptor is told by its first four elements. With a clock among them no rows can be taken for an object list, so
 * which element is the list does not hang on the buffer.
 */
function isUnlikeDescriptors({ columns }: Layout): boolean {
  return columns.slice(0, 4).some(({ kind }) => kind === 'clock')
}

/** Where an element of a body lies. @param at where the body does @param element which one, from 0 */
function spanOf(octets: Uint8Array, at: number, element: number): { from: number; to: number } {
  const reader = new OctetReader(octets, 0, at + 1)
  decodeLength(reader, elementsMax)
  for (let i = 0; i < element; i++) decodeData(reader)
  const from = reader.offset
  decodeData(reader)
  return { from, to: reader.offset }
}
