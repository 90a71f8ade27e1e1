import { createSecretKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import { type Data, encodeData } from '#gateway/codec/axdr.ts'
import { type GeneralBlockTransfer, reassemble } from '#gateway/codec/block.ts'
import type { GeneralGloCiphering } from '#gateway/codec/ciphering.ts'
import { decodeDateTime, utcSeconds } from '#gateway/codec/datetime.ts'
import { detectFraming, unframe } from '#gateway/codec/framing.ts'
import type { DataNotification } from '#gateway/codec/notification.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { PeerError } from '#gateway/errors.ts'
import { systemTitle } from '#gateway/model.ts'
import { explain, type Opener } from '#gateway/readings/explain.ts'
import { interpret } from '#gateway/readings/interpret.ts'
import { decipherUnverified, lenientPolicy, unprotect } from '#gateway/session/unprotect.ts'
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

const request = 'an association or a request, no push'
const gbcs = 'general-signing and general-ciphering with agreed keys are not taken'
const signed = 'no push of values: only its APDUs are compared'
const link = 'link control without an APDU'

/** Every case that is not taken, with what is said of it instead and why it is not. */
const notTaken: Record<string, readonly [code: string, why: string]> = {
  'amshan-hdlc-empty-info': ['nothing', link],
  'dlmsparser-mbus-kmswest': ['KEY_MISSING', 'its key is not published'],
  'gbcs-ecs20a-4-4-4-success-response': ['APDU_UNSUPPORTED', gbcs],
  'gbcs-ecs22a-4-8-3-success-response': ['APDU_UNSUPPORTED', gbcs],
  'gbcs-ecs35a-6-13-success-response': ['APDU_UNSUPPORTED', gbcs],
  'gbcs-ecs23b-4-10-success-response': ['APDU_UNSUPPORTED', gbcs],
  'gbcs-ecs68-na-8f0a-single-alert': ['its names', signed],
  'gbcs-ecs100-na-8f85-alert': ['its names', signed],
  'gbcs-ecs01a-1-1-1-8f66-future-dated-tou-block-success-alert-currency-unit': ['its names', signed],
  'gbcs-ecs08-2-1-cancellation-success-response': ['its names', signed],
  'gbcs-ecs26c-6-2-2-error-response': ['APDU_UNSUPPORTED', gbcs],
  'greenbook-glo-initiate-request': ['APDU_UNSUPPORTED', request],
  'greenbook-glo-initiate-response': ['APDU_UNSUPPORTED', request],
  'greenbook-glo-get-request-auth-enc': ['APDU_UNSUPPORTED', request],
  'greenbook-glo-get-request-enc': ['APDU_UNSUPPORTED', request],
  'jdlms-hdlc-ua-e650': ['nothing', link],
  'jdlms-hdlc-ua-kamstrup': ['nothing', link],
  'jdlms-hdlc-ua-iskra': ['nothing', link],
  'jdlms-hdlc-4octet-address-disc': ['FRAME_TRUNCATED', 'its length is one more than was published'],
  'jdlms-hdlc-4octet-address-rr': ['nothing', link],
  'pwitab-hdlc-snrm': ['nothing', link],
  'pwitab-hdlc-ua': ['nothing', link],
}

const cases = hasCorpus ? corpusCases() : []
const refused = cases.filter(({ expected_error }) => expected_error !== undefined)
/** Compared by `corpus-services.test.ts`. */
const elsewhere = [...serviceCases, ...dataCases]
const taken = cases.filter(
  ({ id, expected_error }) => expected_error === undefined && !Object.hasOwn(notTaken, id) && !elsewhere.includes(id),
)
const pushes = taken.filter(({ framing }) => framing !== 'p1-ciphered')

function opener({ ek, ak }: CorpusCase): Opener {
  return (apdu) => {
    if (apdu.apdu !== 'general-glo-ciphering') throw new PeerError('APDU_UNSUPPORTED', `${apdu.apdu} is not opened`)
    if (ek === undefined) throw new PeerError('KEY_MISSING', 'no key')
    const key = createSecretKey(Buffer.from(ek, 'hex'))
    const title = systemTitle(apdu.systemTitle)
    if (ak === undefined && apdu.securityControl === 0x30) return decipherUnverified(apdu, title, key)
    const security = { systemTitle: title, ek: key, ak: Buffer.from(ak ?? '', 'hex'), lastCounter: -1 }
    return unprotect(apdu, security, lenientPolicy).plain
  }
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
    test('no case goes missing', () => {
      expect(cases).toHaveLength(92)
      const counts = [taken.length, elsewhere.length, refused.length, Object.keys(notTaken).length]
      expect(counts).toEqual([45, 23, 2, 22])
      expect(Object.keys(notTaken).filter((id) => !cases.some((entry) => entry.id === id))).toEqual([])
    })

    test.each(taken.map((entry) => [entry.id, entry] as const))('%s: names, values, scalers and units', (_, entry) => {
      const { apdus, values } = explain(payloads(entry), opener(entry))
      expect(apdus).toEqual(entry.apdus!.flatMap((chain) => chain.split('>')))
      if (entry.expected === undefined) return
      const listed = entry.framing === 'p1-ciphered' ? values.filter(({ unit }) => unit !== null) : values
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
      const attempt = () => explain(payloads(entry), opener(entry))
      if (code === 'nothing') expect(attempt()).toMatchObject({ apdus: [], values: [] })
      else if (code === 'its names') expect(attempt().apdus).toEqual(entry.apdus!.flatMap((chain) => chain.split('>')))
      else expect(attempt).toThrow(expect.objectContaining({ name: 'PeerError', code }))
    })

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
