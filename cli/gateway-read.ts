import { decodeData } from '#gateway/codec/axdr.ts'
import type { AttributeDescriptor } from '#gateway/codec/descriptor.ts'
import { dottedObis, parseObis } from '#gateway/codec/obis.ts'
import { OctetReader } from '#gateway/codec/octets.ts'
import { codeName, dataAccessResult } from '#gateway/codec/results.ts'
import {
  associations,
  attributesMax,
  type ReadAnswer,
  type ReadObject,
  type ReadRequest,
  timeoutMsBounds,
} from '#gateway/command-request.ts'
import { PeerError } from '#gateway/errors.ts'
import { meterProfiles } from '#gateway/io/meter-profiles.ts'
import { type Obis, parseSystemTitle, type SystemTitle } from '#gateway/model.ts'
import { explainObjects, type ReadValue } from '#gateway/readings/explain-objects.ts'
import type { PushObject } from '#gateway/readings/push.ts'
import { usualClass } from '#gateway/readings/usual-class.ts'
import { UsageError, wholeNumber } from './command.ts'
import { askGateway, type ControlAnswer, controlSocket, exitCodes, exitOf } from './gateway-control.ts'

/** The options of `ami gateway read`, as text. */
export const readOptions = {
  meter: { type: 'string' },
  attribute: { type: 'string', default: '2' },
  class: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
  timeout: { type: 'string', default: '30' },
  association: { type: 'string', default: 'gmac' },
} as const

export const readHelp: string = `read        asks a meter through its concentrator, by the gateway that runs on this machine: its registers, clock, profiles.
            OBIS is 1-0:1.8.0 or 1.0.1.8.0.255; up to ${attributesMax} of them.
              --meter TITLE       system title of the meter, 16 hex digits
              --attribute N       of each object (default 2, its value; a profile's buffer)
              --class N           interface class; without it the one that objects of such a code usually have
              --from T --to T     of a profile's buffer the rows within, such as 2026-01-31T00:00:00Z or …+01:00
              --association NAME  gmac: under the meter's keys, HLS 5 (default); lowest: as its public client
              --timeout S         for all of it, ${timeoutMsBounds[0] / 1000} to ${timeoutMsBounds[1] / 1000} seconds (default 30)
              --json              one line: {"ok", "meter", "concentrator", "readAt", "values": [{"obis", "name", "value",
                                  "scaler", "unit", "time"}], "refused": [{"obis", "class", "attribute", "result"}]},
                                  or {"ok": false, "fault": {"code", "detail"}}
            Only the data folder's owner may. Exit 0: all of it was read; 1: the meter refused some of it; 2: refused
            before or by the concentrator (unknown meter, a limit); 3: no answer (concentrator offline, meter silent, too
            late); 4: an answer that does not hold (keys, protocol); 69: no gateway runs.
`

type Values = Partial<Record<keyof typeof readOptions | 'config', string | undefined>> & { json: boolean }

/** @returns the exit code @throws UsageError, ConfigError */
export async function readMeter(values: Values, codes: readonly string[]): Promise<number> {
  const request = requestOf(values, codes)
  const answer = await askGateway(controlSocket(values.config!), request)
  return answer.ok ? printRead(answer, request, values.json) : printFault(answer, values.json)
}

/** @throws UsageError */
function requestOf(values: Values, codes: readonly string[]): ReadRequest {
  if (codes.length < 1 || codes.length > attributesMax) {
    throw new UsageError(`gateway read: 1 to ${attributesMax} OBIS codes`)
  }
  const association = associations.find((name) => name === values.association)
  if (association === undefined) {
    throw new UsageError(`--association: ${associations.join(' or ')}, not '${values.association}'`)
  }
  const classId = values.class === undefined ? undefined : wholeNumber('class', values.class, [0, 65_535])
  const attribute = wholeNumber('attribute', values.attribute!, [1, 127])
  const attributes = [...new Set(codes.map(parseCode))].map((obis) => ({
    classId: classId ?? usualClass(obis),
    obis,
    attribute,
  }))
  const [min, max] = timeoutMsBounds.map((ms) => ms / 1000) as [number, number]
  const timeoutMs = wholeNumber('timeout', values.timeout!, [min, max]) * 1000
  return { meter: parseTitle(values.meter), attributes, range: rangeOf(values, attributes), timeoutMs, association }
}

function parseTitle(text: string | undefined): SystemTitle {
  if (text === undefined || !/^[0-9a-fA-F]{16}$/.test(text)) {
    throw new UsageError('gateway read: --meter TITLE, 16 hex digits, is required')
  }
  return parseSystemTitle(text)
}

function parseCode(text: string): Obis {
  const dotted = /^(\d+)\.(\d+)\.(\d+\.\d+\.\d+)\.(\d+)$/.exec(text)
  try {
    return parseObis(dotted === null ? text : `${dotted[1]}-${dotted[2]}:${dotted[3]}*${dotted[4]}`)
  } catch (cause) {
    if (!(cause instanceof PeerError)) throw cause
    throw new UsageError(`gateway read: ${cause.message}`, { cause })
  }
}

const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/

function rangeOf({ from, to }: Values, attributes: readonly AttributeDescriptor[]): ReadRequest['range'] {
  if (from === undefined && to === undefined) return undefined
  if (from === undefined || to === undefined) throw new UsageError('gateway read: --from and --to go together')
  if (!attributes.some(({ classId, attribute }) => classId === 7 && attribute === 2)) {
    throw new UsageError("gateway read: --from and --to are for a profile's buffer: class 7, attribute 2")
  }
  const range = { from: seconds('from', from), to: seconds('to', to) }
  if (range.from > range.to) throw new UsageError('gateway read: --from is after --to')
  return range
}

function seconds(name: string, text: string): number {
  const ms = timePattern.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms) || ms < 0) throw new UsageError(`--${name}: such as 2026-01-31T00:00:00Z, not '${text}'`)
  return Math.floor(ms / 1000)
}

type Read = Extract<ReadAnswer, { ok: true }>
type Refused = Extract<ReadObject, { result: number }>

/** What was read, and what the meter said no to. @returns the exit code */
function printRead(answer: Read, { attributes }: ReadRequest, json: boolean): number {
  const wanted = answer.objects.slice(0, attributes.length)
  const refused = wanted.filter((object): object is Refused => 'result' in object).map(refusedOf)
  const { meter, concentrator } = answer
  const readAt = new Date(answer.readAtMs).toISOString()
  try {
    const values = valuesOf(answer, attributes.length)
    if (json) print(JSON.stringify({ ok: true, meter, concentrator, readAt, values, refused }))
    else print(`${meter} through ${concentrator}, ${readAt}`, ...table(values))
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault // it answered, and not as its class has it
    return printFault({ ok: false, fault: { code: fault.code, detail: fault.message } }, json)
  }
  for (const { obis, class: classId, attribute, result } of refused) {
    process.stderr.write(`ami: ${obis}, class ${classId}, attribute ${attribute}: ${result}\n`)
  }
  return refused.length > 0 ? exitCodes.partly : exitCodes.read
}

function refusedOf({ classId, obis, attribute, result }: Refused): Record<string, string | number> {
  const name = codeName(dataAccessResult, result) ?? `result ${result}`
  return { obis: dottedObis(obis), class: classId, attribute, result: name }
}

/** @throws PeerError */
function valuesOf({ objects, profile }: Read, asked: number): ReadValue[] {
  const data = (object: ReadObject): PushObject[] =>
    'data' in object ? [{ ...object, data: decodeData(new OctetReader(Buffer.from(object.data, 'base64'))) }] : []
  const wanted = objects.slice(0, asked).flatMap(data)
  const beside = objects.slice(asked).flatMap(data)
  const known = profile === null ? undefined : meterProfiles().get(profile)
  return explainObjects([...wanted, ...beside], wanted.length, known)
}

function table(values: readonly ReadValue[]): string[] {
  const rows = values.map(({ obis, value, scaler, unit, name, time }) => [
    time ?? '-',
    obis ?? '-',
    String(value),
    scaler === null || scaler === 0 ? '' : `10^${scaler}`,
    unit ?? '',
    name ?? '',
  ])
  const widths = [0, 1, 2, 3, 4].map((i) => rows.reduce((width, row) => Math.max(width, row[i]!.length), 0))
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

function print(...lines: string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''))
}

function printFault(answer: Extract<ControlAnswer, { ok: false }>, json: boolean): number {
  const { code, detail } = answer.fault
  if (json) print(JSON.stringify(answer))
  else process.stderr.write(`ami: ${code}: ${detail}\n`)
  return exitOf(code)
}
