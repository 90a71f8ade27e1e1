import { describe, expect, test } from 'vitest'
import { opener as openerOf, readKeys } from '#cli/decode/keys.ts'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import { type Data, encodeData } from '#gateway/codec/axdr.ts'
import { type GeneralBlockTransfer, reassemble } from '#gateway/codec/block.ts'
import type { GeneralGloCiphering } from '#gateway/codec/ciphering.ts'
import { decodeDateTime, utcSeconds } from '#gateway/codec/datetime.ts'
import { detectFraming, unframe } from '#gateway/codec/framing.ts'
import { decodeLinkParameters } from '#gateway/codec/hdlc-parameters.ts'
import type { DataNotification } from '#gateway/codec/notification.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import type { SeenFrame } from '#gateway/codec/payload.ts'
import type { Ciphered } from '#gateway/codec/protection.ts'
import { PeerError } from '#gateway/errors.ts'
import { systemTitle } from '#gateway/model.ts'
import { explain, type Opener } from '#gateway/readings/explain.ts'
import { interpret } from '#gateway/readings/interpret.ts'
import { hdlcControlWords } from '#gateway/readings/words.ts'
import {
  type CorpusCase,
  corpusCases,
  type ExpectedApdu,
  type ExpectedValue,
  hasCorpus,
  mustHaveCorpus,
  type Tree,
} from './corpus.ts'
import { dataCases, serviceCases } from './corpus-services.ts'

/** What is not taken to its values, with the fault that is its answer and why. One that opens after all fails its test. */
const notTaken: Record<string, readonly [code: string, why: string]> = {
  'dlmsparser-mbus-kmswest': ['KEY_MISSING', 'its key is not published: header alone'],
}

const cases = hasCorpus ? corpusCases() : []
const refused = cases.filter(
  ({ expected_error, verification }) => expected_error !== undefined || verification?.decodes === false,
)
/** Compared by `corpus-services.test.ts`. */
const elsewhere = [...serviceCases, ...dataCases]
const linked = cases.filter(
  ({ hdlc_frames, hdlc_u_frames }) => hdlc_frames !== undefined || hdlc_u_frames !== undefined,
)
const signed = cases.filter(({ id }) => id.startsWith('gbcs-'))
const greenBook = cases.filter(({ id }) => id.startsWith('greenbook-'))
const apart = [...refused, ...linked, ...signed, ...greenBook].map(({ id }) => id)
const values = cases.filter(({ id }) => !apart.includes(id) && !Object.hasOwn(notTaken, id) && !elsewhere.includes(id))
const pushes = values.filter(({ framing }) => framing !== 'p1-ciphered')
const counts = {
  taken: values.length + linked.length + signed.length + greenBook.length + elsewhere.length,
  'refused as expected': refused.length,
  'not taken, with a reason': Object.keys(notTaken).length,
}
const told = Object.entries(counts)
  .map(([what, count]) => `${count} ${what}`)
  .join(', ')

/** As `ami decode` opens it, with what was published: keys of the meter, or those to agree on one. */
function opener({ ek, ak, keys, ...entry }: CorpusCase, warn: (text: string) => void = () => {}): Opener {
  const isNamed = !entry.id.startsWith('gbcs-') // there the signed name counts
  return openerOf(
    readKeys({
      ek,
      ak,
      'system-title': isNamed ? entry.system_title : undefined,
      ...(keys?.ka_private_key && { 'agreement-key': keys.ka_private_key, 'peer-key': keys.ka_public_key_xy }),
    }),
    warn,
  )
}

/** The values in a tree, in order; those that are null in a list stand for nothing. */
function leaves(tree: Tree): unknown[] {
  const [[type, value] = ['', undefined]] = Object.entries(tree)
  if (type === 'compact-array') return leaves({ array: (value as { elements: Tree[] }).elements })
  if (!Array.isArray(value)) return [value]
  return value.filter((one) => !Object.hasOwn(one as Tree, 'null-data')).flatMap((one) => leaves(one as Tree))
}

function payloads({ hex }: CorpusCase) {
  const octets = Buffer.from(hex, 'hex')
  const unframed = unframe(octets, detectFraming(octets))
  if (unframed.payloads.length === 0 && unframed.faults[0] !== undefined) throw unframed.faults[0]
  return unframed.payloads
}

/** The one notification of a case. */
function notification(entry: CorpusCase): DataNotification {
  const blocks: GeneralBlockTransfer[] = []
  for (const { octets } of payloads(entry)) {
    const apdu = decodeApdu(octets)
    if (apdu.apdu !== 'general-block-transfer') return opened(entry, octets)
    blocks.push(apdu)
  }
  return opened(entry, reassemble(blocks)[0]!)
}

function opened(entry: CorpusCase, octets: Uint8Array): DataNotification {
  const apdu = decodeApdu(octets)
  if (apdu.apdu === 'data-notification') return apdu
  return opened(entry, opener(entry)(apdu as GeneralGloCiphering))
}

const texts = new Set(['visible-string', 'utf8-string'])

/** The corpus's tree as our data. */
function data(tree: Tree): Data {
  const [[type, value] = ['', undefined]] = Object.entries(tree)
  if (type === 'null-data') return { type }
  if (Array.isArray(value)) return { type, elements: value.map(data) } as Data
  if (texts.has(type)) return { type, octets: Buffer.from(value as string) } as Data
  if (type === 'octet-string') return { type, octets: Buffer.from(value as string, 'hex') }
  return { type, value: type.startsWith('long64') ? BigInt(value as string) : value } as Data
}

/** Where the corpus says nothing about octets, the value is the number or text itself. */
function asSent({ raw, value }: ExpectedValue): unknown {
  if (raw !== undefined) return raw
  return typeof value === 'object' ? Buffer.from(encodeData(data(value as Tree))).toString('hex') : value
}

function structureOf({ expected_structure }: CorpusCase): ExpectedApdu | undefined {
  const outer = Array.isArray(expected_structure) ? expected_structure[0] : expected_structure
  return outer?.inner ?? outer
}

/** The clock's time where one was pushed and it can be told in UTC, else the notification's. */
function timeOf(entry: CorpusCase): string | undefined {
  const clock = entry.expected?.find(({ obis }) => obis === '0.0.1.0.0.255')?.value as { utc?: string } | undefined
  return clock?.utc ?? structureOf(entry)?.date_time?.utc
}

function hexOf(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}

describe.skipIf(!hasCorpus && !mustHaveCorpus)(
  `DLMS corpus${hasCorpus ? '' : ' (skipped: it does not lie beside the project)'}`,
  () => {
    test(`every case has its place: ${told}`, () => {
      process.stdout.write(`DLMS corpus: ${told}, of ${cases.length}\n`)
      expect(cases).toHaveLength(92)
      expect(Object.values(counts)).toEqual([88, 3, 1])
      expect(Object.keys(notTaken).filter((id) => !cases.some((entry) => entry.id === id))).toEqual([])
    })

    test.each(values.map((entry) => [entry.id, entry] as const))('%s: names, values, scalers and units', (_, entry) => {
      const { apdus, values: found } = explain(payloads(entry), opener(entry))
      expect(apdus).toEqual(entry.apdus!.flatMap((chain) => chain.split('>')))
      if (entry.expected === undefined) return
      const listed = entry.framing === 'p1-ciphered' ? found.filter(({ unit }) => unit !== null) : found
      expect(listed).toEqual(
        entry.expected.map((one) => {
          return { obis: one.obis, value: asSent(one), scaler: one.scaler ?? null, unit: one.unit ?? null }
        }),
      )
    })

    test.each(pushes.map((entry) => [entry.id, entry] as const))('%s: the whole body, octet for octet', (_, entry) => {
      const { body } = structureOf(entry)!
      const found = notification(entry)
      if (body === undefined) expect(found.dialects).toContain('untagged-descriptors')
      else expect(hexOf(encodeData(found.body))).toBe(hexOf(encodeData(data(body))))
    })

    test.each(pushes.map((entry) => [entry.id, entry] as const))('%s: its time', (_, entry) => {
      const { dateTime } = notification(entry)
      const told = structureOf(entry)?.date_time ?? undefined
      expect(dateTime === undefined).toBe(told === undefined)
      if (dateTime === undefined) return
      const time = decodeDateTime(dateTime)
      expect(time.deviationMinutes ?? null).toBe(told!.deviation_minutes)
      const seconds = told!.utc === undefined ? undefined : Math.floor(Date.parse(told!.utc) / 1000)
      expect(utcSeconds(time)).toBe(seconds)
      expect(explain(payloads(entry), opener(entry)).time).toBe(told!.utc ?? told!.local)
    })

    test.each(refused.map((entry) => [entry.id, entry] as const))('%s is refused', (_, entry) => {
      expect(() => explain(payloads(entry), opener(entry))).toThrow(PeerError)
    })

    test.each(Object.entries(notTaken))('%s is answered with %s', (id, [code]) => {
      const entry = cases.find((one) => one.id === id)!
      const fault = expect.objectContaining({ name: 'PeerError', code })
      expect(() => explain(payloads(entry), opener(entry))).toThrow(fault)
      const { apdu, ...header } = structureOf(entry) as unknown as Record<string, unknown>
      const found = decodeApdu(payloads(entry)[0]!.octets) as GeneralGloCiphering
      expect(found).toMatchObject({
        apdu,
        securityControl: header.security_control,
        invocationCounter: header.invocation_counter,
      })
      expect(hexOf(found.systemTitle)).toBe(header.system_title)
    })

    test.each(linked.map((entry) => [entry.id, entry] as const))('%s: its frames', (_, entry) => {
      const frames: SeenFrame[] = []
      const { payloads: none } = unframe(Buffer.from(entry.hex, 'hex'), 'hdlc', (frame) => frames.push(frame))
      expect(none).toEqual([])
      for (const [i, { segmented, length, dst, src, control }] of (entry.hdlc_frames ?? []).entries()) {
        const { octets, fields } = frames[i]!
        expect([octets - 2, fields.segmented, fields.control]).toEqual([length, segmented, control])
        expect([fields.destination, fields.source].map((one) => hexOf(one as Uint8Array))).toEqual([dst, src])
      }
      for (const [i, expected] of (entry.hdlc_u_frames ?? []).entries()) {
        const { control, information } = frames[i]!.fields as { control: number; information: Uint8Array }
        expect(hdlcControlWords(control)).toMatch(expected.frame)
        expect(decodeLinkParameters(information)).toEqual({
          transmitOctetsMax: expected.max_info_transmit,
          receiveOctetsMax: expected.max_info_receive,
          transmitWindow: expected.window_transmit,
          receiveWindow: expected.window_receive,
        })
      }
    })

    test.each(signed.map((entry) => [entry.id, entry] as const))(
      '%s: opens under the agreed key where there is one, with names and values',
      (_, entry) => {
        const warnings: string[] = []
        const found = explain(
          payloads(entry),
          opener(entry, (text) => warnings.push(text)),
        )
        expect(warnings).toEqual([])
        expect(found.apdus).toEqual(entry.apdus!.flatMap((chain) => chain.split('>')))
        const { body, data = [body!] } = structureOf(entry)!.content!
        expect(found.values.map(({ value }) => value)).toEqual(data.flatMap(leaves))
        expect(found.values.every(({ obis }) => obis === null)).toBe(true)
      },
    )

    test.each(greenBook.map((entry) => [entry.id, entry] as const))(
      '%s: names, and the octets in clear',
      (_, entry) => {
        const open = opener(entry)
        const names = entry.apdus!.flatMap((chain) => chain.split('>')).map((name) => name.replace(/:.*/, ''))
        expect(explain(payloads(entry), open).apdus).toEqual(names)
        const [outer] = Array.isArray(entry.expected_structure) ? entry.expected_structure : [entry.expected_structure]
        expect(hexOf(open(decodeApdu(payloads(entry)[0]!.octets) as Ciphered))).toBe(outer!.plain_hex)
      },
    )

    test.each(pushes.map((entry) => [entry.id, entry] as const))('%s: readings, or why there are none', (_, entry) => {
      const found = notification(entry)
      const meter = systemTitle(new Uint8Array(8))
      const quantities = (entry.expected ?? []).filter(({ unit_code }) => unit_code !== undefined)
      const utc = timeOf(entry)
      if (quantities.length === 0) {
        const code = expect.stringMatching(/^PUSH_(FORM|VALUE|TIME)$/)
        expect(() => interpret(found, meter)).toThrow(expect.objectContaining({ code }))
      } else if (utc === undefined) {
        expect(() => interpret(found, meter)).toThrow(expect.objectContaining({ code: 'PUSH_TIME' }))
      } else {
        expect(interpret(found, meter)).toEqual(
          quantities.map(({ obis, raw, scaler, unit_code }) => ({
            meter,
            obis: parseObis(obis.replace(/^(\d+)\.(\d+)\.(\d+\.\d+\.\d+)\.(\d+)$/, '$1-$2:$3*$4')),
            scaler,
            unit: unit_code,
            ends: [Math.floor(Date.parse(utc) / 1000)],
            values: [raw],
            qualities: [0],
          })),
        )
      }
    })
  },
)
