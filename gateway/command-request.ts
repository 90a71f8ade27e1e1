import type { AttributeDescriptor } from './codec/descriptor.ts'
import { parseObis } from './codec/obis.ts'
import { PeerError, type PeerFault } from './errors.ts'
import { type ConcentratorId, parseSystemTitle, type SystemTitle } from './model.ts'

/**
 * What an operator asks of the running gateway over its control socket, and what it answers: one JSON object on a line
 * each way, `controlLineOctetsMax` octets at most.
 */
export interface ReadRequest {
  meter: SystemTitle
  /** `attributesMax`, the most */
  attributes: readonly AttributeDescriptor[]
  /** rows of a profile's buffer whose clock lies within, seconds since 1970-01-01T00:00Z, both inclusive */
  range: { from: number; to: number } | undefined
  /** from the request to its answer, `timeoutMsBounds` */
  timeoutMs: number
  association: AssociationName
}

/** As whom the meter is asked: its public client, or under its keys. */
export const associations = ['gmac', 'lowest'] as const
export type AssociationName = (typeof associations)[number]

/** The control socket, in the gateway's data folder. */
export const controlName = 'control.sock'
/** Octets of a line either way, its line feed too. */
export const controlLineOctetsMax = 65_536
/** Attributes that one request names, the most. */
export const attributesMax = 16
export const timeoutMsBounds = [1_000, 300_000] as const

/** Why there is no answer to a request; stable codes, as `PeerFault`, which are those of a meter that answers wrongly. */
export type CommandFault =
  | PeerFault
  // refused before anything was sent
  | 'REQUEST_MALFORMED'
  | 'CONCENTRATOR_UNKNOWN'
  | 'COMMAND_LIMIT'
  | 'KEY_EXHAUSTED'
  | 'GATEWAY_ENDING'
  // nobody answered
  | 'CONCENTRATOR_OFFLINE'
  | 'COMMAND_EXPIRED'
  | 'METER_SILENT'
  // the concentrator, or the answer, would not have it
  | 'METER_FOREIGN'
  | 'CONCENTRATOR_BUSY'
  | 'COMMAND_UNSUPPORTED'
  | 'COMMAND_FAILED'
  | 'ANSWER_LENGTH'
  // a replay that cannot be
  | 'REPLAY_EPOCH'
  | 'REPLAY_UNKNOWN'

/** An attribute and what the meter said: A-XDR data in base64, or a `dataAccessResult`. */
export type ReadObject = AttributeDescriptor & ({ data: string } | { result: number })

export interface Failure {
  code: CommandFault
  detail: string
}

export type ReadAnswer =
  | {
      ok: true
      meter: SystemTitle
      concentrator: ConcentratorId
      /** name of the meter's profile, `null` where the registry names none */
      profile: string | null
      /** when the last of it came, milliseconds since 1970-01-01T00:00Z */
      readAtMs: number
      /** what was asked for, and behind it what was read beside to make sense of it */
      objects: readonly ReadObject[]
    }
  | { ok: false; fault: Failure }

export function refusal(code: CommandFault, detail: string): { ok: false; fault: Failure } {
  return { ok: false, fault: { code, detail } }
}

/**
 * A request from its line: `{"verb":"read","meter":"…16 hex…","attributes":[{"classId":3,"obis":"1-0:1.8.0","attribute":2}],
 * "range":{"from":…,"to":…}?,"timeoutMs":30000,"association":"gmac"}`.
 * @throws TypeError that says what is wrong
 */
export function parseReadRequest(line: string): ReadRequest {
  const { verb, meter, attributes, range, timeoutMs, association, ...rest } = parseLine(line)
  const [extra] = Object.keys(rest)
  if (extra !== undefined) throw new TypeError(`unknown key '${extra.slice(0, 32)}'`)
  if (verb !== 'read') throw new TypeError('verb: read')
  if (!Array.isArray(attributes) || attributes.length < 1 || attributes.length > attributesMax) {
    throw new TypeError(`attributes: 1 to ${attributesMax}`)
  }
  const described = attributes.map(descriptor)
  const names = described.map(({ classId, obis, attribute }) => `${classId} ${obis} ${attribute}`)
  if (new Set(names).size < names.length) throw new TypeError('attributes: each once')
  const known = associations.find((name) => name === association)
  if (known === undefined) throw new TypeError(`association: ${associations.join(' or ')}`)
  return {
    meter: named('meter', meter, parseSystemTitle),
    attributes: described,
    range: range === undefined ? undefined : rangeOf(range),
    timeoutMs: whole('timeoutMs', timeoutMs, timeoutMsBounds),
    association: known,
  }
}

/** The object on a line of the control socket. @throws TypeError */
export function parseLine(line: string): Record<string, unknown> {
  return object('the request', parseJson(line))
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (cause) {
    throw new TypeError('not JSON', { cause })
  }
}

function object(name: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError(`${name}: a JSON object`)
  return value as Record<string, unknown>
}

function descriptor(entry: unknown): AttributeDescriptor {
  const { classId, obis, attribute } = object('attributes', entry)
  return {
    classId: whole('classId', classId, [0, 65_535]),
    obis: named('obis', obis, parseObis),
    attribute: whole('attribute', attribute, [1, 127]),
  }
}

/** Until the year 9999: what lies beyond has no date that a meter reads. */
const secondsMax = 253_402_300_799

function rangeOf(value: unknown): { from: number; to: number } {
  const range = object('range', value)
  const [from, to] = [whole('from', range.from, [0, secondsMax]), whole('to', range.to, [0, secondsMax])]
  if (from > to) throw new TypeError('range: from is after to')
  return { from, to }
}

function whole(name: string, value: unknown, [min, max]: readonly [number, number]): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw new TypeError(`${name}: a whole number, ${min} to ${max}`)
}

function named<T>(name: string, value: unknown, parse: (text: string) => T): T {
  try {
    if (typeof value === 'string') return parse(value)
  } catch (cause) {
    if (!(cause instanceof PeerError)) throw cause
    throw new TypeError(`${name}: ${cause.message}`, { cause })
  }
  throw new TypeError(`${name}: a text`)
}
