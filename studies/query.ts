import { type SubstationId, substationId } from '#gateway/model.ts'
import { limits } from './limits.ts'
import { Refusal } from './refusal.ts'
import { type Span, secondsPerDay } from './span.ts'
import { type Quantity, quantities } from './store.ts'

const formats = ['json', 'csv'] as const
export type Format = (typeof formats)[number]

/** Query strings of one value each; the API's schema has already refused other keys and repeats. */
export interface DemandQuery {
  substation?: string
  from?: string
  to?: string
  quantity?: string
  format?: string
}

/** A demand query that is understood. */
export interface Demand {
  substation: SubstationId
  quantity: Quantity
  /** undefined: the latest closed day */
  span: Span | undefined
  /** undefined: as the Accept header field says */
  format: Format | undefined
}

/** @throws Refusal `QUERY_INVALID`, `SPAN_INVALID`, `SPAN_TOO_LONG` */
export function parseDemand(query: DemandQuery): Demand {
  return {
    substation: parseSubstation(query.substation),
    quantity: oneOf('quantity', quantities, query.quantity) ?? 'import',
    span: parseSpan(query.from, query.to),
    format: oneOf('format', formats, query.format),
  }
}

/** @throws Refusal `QUERY_INVALID` */
export function parseSubstation(text: string | undefined): SubstationId {
  if (text === undefined) throw new Refusal('QUERY_INVALID', 'substation: required')
  try {
    return substationId(text)
  } catch (cause) {
    throw new Refusal('QUERY_INVALID', 'substation: 1 to 64 of A-Z a-z 0-9 . _ -', { cause })
  }
}

function oneOf<T extends string>(name: string, all: readonly T[], text: string | undefined): T | undefined {
  if (text === undefined) return undefined
  const found = all.find((one) => one === text)
  if (found === undefined) throw new Refusal('QUERY_INVALID', `${name}: ${all.join(' or ')}`)
  return found
}

function parseSpan(from: string | undefined, to: string | undefined): Span | undefined {
  if (from === undefined && to === undefined) return undefined
  if (from === undefined || to === undefined) throw new Refusal('SPAN_INVALID', 'from and to: both or neither')
  const span = { from: parseTime('from', from), to: parseTime('to', to) }
  if (span.to <= span.from) throw new Refusal('SPAN_INVALID', 'to: after from')
  if (span.to - span.from > limits.spanDaysMax * secondsPerDay) {
    throw new Refusal('SPAN_TOO_LONG', `from and to: at most ${limits.spanDaysMax} days apart`)
  }
  return span
}

const timePattern = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?Z)?$/

/** Whole seconds since 1970. Only times that exist: `Date` would take the 30th of February for a day in March. */
function parseTime(name: string, text: string): number {
  const time = timePattern.test(text) ? new Date(text) : new Date(Number.NaN)
  if (Number.isNaN(time.getTime()) || !time.toISOString().startsWith(text.replace('Z', ''))) {
    throw new Refusal('QUERY_INVALID', `${name}: a UTC time as 2026-01-31 or 2026-01-31T12:15Z`)
  }
  return time.getTime() / 1000
}

/**
 * What the client would rather have: CSV only when it is named and preferred to JSON.
 * @param accept an Accept header field @see RFC 9110, 12.5.1
 */
export function preferredFormat(accept: string | undefined): Format {
  const weights = { 'text/csv': 0, 'application/json': 0 }
  for (const part of (accept ?? '').split(',')) {
    const [type, ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase())
    const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1'
    if (type === 'text/csv' || type === 'application/json') weights[type] = Number(quality) || 0
  }
  return weights['text/csv'] > weights['application/json'] ? 'csv' : 'json'
}
