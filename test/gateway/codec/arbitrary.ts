import fc from 'fast-check'
import type { AuthenticationValue, Diagnostic } from '#gateway/codec/acse.ts'
import type { ActionOutcome } from '#gateway/codec/action.ts'
import type { Apdu } from '#gateway/codec/apdu.ts'
import type { BitString } from '#gateway/codec/ber.ts'
import type { DataBlock, GetDataBlock } from '#gateway/codec/data-block.ts'
import type { AttributeDescriptor, MethodDescriptor, SelectedAttribute } from '#gateway/codec/descriptor.ts'
import { decodeObis } from '#gateway/codec/obis.ts'
import type { GetResult } from '#gateway/codec/results.ts'
import type { CaptureColumn, SelectiveAccess } from '#gateway/codec/selective-access.ts'
import { failedServices, type ServiceErrorKind, serviceErrors } from '#gateway/codec/service-error.ts'
import type { ServiceApdu } from '#gateway/codec/services.ts'
import type { ReadResult, VariableAccess, WriteResult } from '#gateway/codec/short-name.ts'
import type { Obis } from '#gateway/model.ts'
import { anyData, octets, simpleData } from './arbitrary-data.ts'

const u8 = fc.nat(0xff)
const i8 = fc.integer({ min: -128, max: 127 })
const u16 = fc.nat(0xffff)
const u24 = fc.nat(0xffffff)
const u32 = fc.integer({ min: 0, max: 0xffffffff })
const few = { maxLength: 3 }
const list = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(one, few)
const or = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(one, { nil: undefined })
const is = <const T>(value: T): fc.Arbitrary<T> => fc.constant(value)
const dateTime = octets(12, 12)

export const anyObis: fc.Arbitrary<Obis> = octets(6, 6).map(decodeObis)

const column: fc.Arbitrary<CaptureColumn> = fc.record({ classId: u16, obis: anyObis, attribute: i8, dataIndex: u16 })

/** `other` with a selector that no class of ours has, for one that looks like a range is read as a range. */
export const anySelectiveAccess: fc.Arbitrary<SelectiveAccess> = fc.oneof(
  fc.record({ kind: is('range'), restricting: column, from: anyData, to: anyData, selected: list(column) }),
  fc.record({ kind: is('entry'), fromEntry: u32, toEntry: u32, fromValue: u16, toValue: u16 }),
  fc.record({ kind: is('other'), selector: fc.integer({ min: 3, max: 255 }), parameters: anyData }),
  fc.record({ kind: is('other'), selector: fc.constantFrom(1, 2), parameters: simpleData }),
)

const attribute: fc.Arbitrary<AttributeDescriptor> = fc.record({ classId: u16, obis: anyObis, attribute: i8 })
const method: fc.Arbitrary<MethodDescriptor> = fc.record({ classId: u16, obis: anyObis, method: i8 })
const selected: fc.Arbitrary<SelectedAttribute> = fc.record({
  classId: u16,
  obis: anyObis,
  attribute: i8,
  selection: or(anySelectiveAccess),
})
const block: fc.Arbitrary<DataBlock> = fc.record({ last: fc.boolean(), number: u32, octets: octets(0, 300) })
const getBlock: fc.Arbitrary<GetDataBlock> = fc.oneof(block, fc.record({ last: fc.boolean(), number: u32, result: u8 }))
export const anyGetResult: fc.Arbitrary<GetResult> = fc.oneof(
  fc.record({ kind: is('data'), data: anyData }),
  fc.record({ kind: is('error'), result: u8 }),
)
const outcome: fc.Arbitrary<ActionOutcome> = fc.record({ result: u8, returned: or(anyGetResult) })

function service<const N extends ServiceApdu['apdu'], T extends object>(
  apdu: N,
  rest: { [K in keyof T]: fc.Arbitrary<T[K]> },
) {
  return fc.record({ apdu: is(apdu), ...rest }) as unknown as fc.Arbitrary<{ apdu: N } & T>
}

function confirmed<const N extends ServiceApdu['apdu'], const C extends string, T extends object>(
  apdu: N,
  choice: C,
  rest: { [K in keyof T]: fc.Arbitrary<T[K]> },
) {
  return fc.record({ apdu: is(apdu), invokeId: u8, choice: is(choice), ...rest }) as unknown as fc.Arbitrary<
    { apdu: N; invokeId: number; choice: C } & T
  >
}

const get: fc.Arbitrary<ServiceApdu> = fc.oneof(
  confirmed('get-request', 'normal', { attribute: selected }),
  confirmed('get-request', 'next', { blockNumber: u32 }),
  confirmed('get-request', 'with-list', { attributes: list(selected) }),
  confirmed('get-response', 'normal', { result: anyGetResult }),
  confirmed('get-response', 'with-datablock', { block: getBlock }),
  confirmed('get-response', 'with-list', { results: list(anyGetResult) }),
)

const set: fc.Arbitrary<ServiceApdu> = fc.oneof(
  confirmed('set-request', 'normal', { attribute: selected, data: anyData }),
  confirmed('set-request', 'with-first-datablock', { attribute: selected, block }),
  confirmed('set-request', 'with-datablock', { block }),
  confirmed('set-request', 'with-list', { attributes: list(selected), data: list(anyData) }),
  confirmed('set-request', 'with-list-and-first-datablock', { attributes: list(selected), block }),
  confirmed('set-response', 'normal', { result: u8 }),
  confirmed('set-response', 'datablock', { blockNumber: u32 }),
  confirmed('set-response', 'last-datablock', { result: u8, blockNumber: u32 }),
  confirmed('set-response', 'last-datablock-with-list', { results: list(u8), blockNumber: u32 }),
  confirmed('set-response', 'with-list', { results: list(u8) }),
)

const action: fc.Arbitrary<ServiceApdu> = fc.oneof(
  confirmed('action-request', 'normal', { method, parameters: or(anyData) }),
  confirmed('action-request', 'next-pblock', { blockNumber: u32 }),
  confirmed('action-request', 'with-list', { methods: list(method), parameters: list(anyData) }),
  confirmed('action-request', 'with-first-pblock', { method, block }),
  confirmed('action-request', 'with-list-and-first-pblock', { methods: list(method), block }),
  confirmed('action-request', 'with-pblock', { block }),
  confirmed('action-response', 'normal', { outcome }),
  confirmed('action-response', 'with-pblock', { block }),
  confirmed('action-response', 'with-list', { outcomes: list(outcome) }),
  confirmed('action-response', 'next-pblock', { blockNumber: u32 }),
)

const specification = fc.oneof(
  fc.record({ kind: fc.constantFrom('get', 'set'), attribute }),
  fc.record({ kind: is('action'), method }),
  fc.record({
    kind: fc.constantFrom('get-with-selection', 'set-with-selection'),
    attribute,
    selection: anySelectiveAccess,
  }),
)

const access: fc.Arbitrary<ServiceApdu> = fc.oneof(
  service('access-request', {
    longInvokeId: u32,
    dateTime: or(dateTime),
    specifications: list(specification),
    data: list(anyData),
  }),
  service('access-response', {
    longInvokeId: u32,
    dateTime: or(dateTime),
    requested: or(list(specification)),
    data: list(anyData),
    specifications: list(fc.record({ kind: fc.constantFrom('get', 'set', 'action'), result: u8 })),
  }),
)

const initiateRequest = service('initiate-request', {
  dedicatedKey: or(octets(16, 32)),
  responseAllowed: fc.boolean(),
  qualityOfService: or(i8),
  dlmsVersion: u8,
  conformance: u24,
  receivePduOctetsMax: u16,
})
const initiateResponse = service('initiate-response', {
  qualityOfService: or(i8),
  dlmsVersion: u8,
  conformance: u24,
  receivePduOctetsMax: u16,
  vaaName: u16,
})
const confirmedServiceError = service('confirmed-service-error', {
  service: fc.constantFrom(...failedServices),
  kind: fc.constantFrom(...(Object.keys(serviceErrors) as ServiceErrorKind[])),
  code: u8,
})

const others: fc.Arbitrary<ServiceApdu> = fc.oneof(
  initiateRequest,
  initiateResponse,
  confirmedServiceError,
  service('event-notification', { time: or(dateTime), attribute, data: anyData }),
  service('data-notification-confirm', { longInvokeId: u32, dateTime: or(dateTime) }),
  service('exception-response', {
    stateError: u8,
    serviceError: u8.filter((code) => code !== 6),
    invocationCounter: is(undefined),
  }),
  service('exception-response', { stateError: u8, serviceError: is(6), invocationCounter: u32 }),
  ...(['gateway-request', 'gateway-response'] as const).map((apdu) =>
    service(apdu, { networkId: u8, address: octets(0, 20), content: octets(1, 300) }),
  ),
)

const shortNameBlock = { last: fc.boolean(), blockNumber: u16, octets: octets(0, 300) }
const variable: fc.Arbitrary<VariableAccess> = fc.oneof(
  fc.record({ kind: is('name'), name: u16 }),
  fc.record({ kind: is('parameterized'), name: u16, selector: u8, parameter: anyData }),
  fc.record({ kind: is('block-number'), blockNumber: u16 }),
  fc.record({ kind: is('read-data-block'), ...shortNameBlock }),
  fc.record({ kind: is('write-data-block'), last: fc.boolean(), blockNumber: u16 }),
)
const readResult: fc.Arbitrary<ReadResult> = fc.oneof(
  anyGetResult,
  fc.record({ kind: is('data-block'), ...shortNameBlock }),
  fc.record({ kind: is('block-number'), blockNumber: u16 }),
)
const writeResult: fc.Arbitrary<WriteResult> = fc.oneof(
  fc.record({ kind: is('success') }),
  fc.record({ kind: is('error'), result: u8 }),
  fc.record({ kind: is('block-number'), blockNumber: u16 }),
)
const written = { variables: list(variable), data: list(anyData) }

const shortName: fc.Arbitrary<ServiceApdu> = fc.oneof(
  service('read-request', { variables: list(variable) }),
  service('read-response', { results: list(readResult) }),
  service('write-request', written),
  service('unconfirmed-write-request', written),
  service('write-response', { results: list(writeResult) }),
  service('information-report-request', { currentTime: or(octets(0, 20)), ...written }),
)

/** An object identifier that is none of the DLMS UA's. */
const foreignOid = octets(0, 9).filter((oid) => oid[0] !== 0x60)
const bitString: fc.Arbitrary<BitString> = fc
  .tuple(octets(0, 3), fc.nat(7))
  .map(([octets, unused]) => ({ bits: Math.max(0, octets.length * 8 - unused), octets }))
  .filter(({ bits, octets }) => octets.length * 8 - bits < 8)
const integer = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const context = fc.oneof(
  fc.constantFrom('logical-name', 'short-name', 'logical-name-ciphered', 'short-name-ciphered'),
  foreignOid,
)
const mechanism = fc.oneof(
  fc.constantFrom('lowest', 'low', 'high', 'high-md5', 'high-sha1', 'high-gmac', 'high-sha256', 'high-ecdsa'),
  foreignOid,
)
const authenticationValue: fc.Arbitrary<AuthenticationValue> = fc.tuple(
  fc.constantFrom('charstring', 'bitstring', 'external', 'other'),
  octets(0, 64),
)
const diagnostic: fc.Arbitrary<Diagnostic> = fc.tuple(fc.constantFrom('user', 'provider'), integer)
const ciphered = octets(0, 60).map((content) => Uint8Array.of(0x21, ...content))
const requestInformation = fc.oneof(initiateRequest, ciphered)
const responseInformation = fc.oneof(initiateResponse, confirmedServiceError, ciphered)
const anyFields = {
  protocolVersion: bitString,
  acseRequirements: bitString,
  mechanism,
  authenticationValue,
  implementationInformation: octets(0, 9),
}

/** With any of its optional fields, and without. */
const acse: fc.Arbitrary<ServiceApdu> = fc.oneof(
  fc.record(
    {
      apdu: is('aarq'),
      applicationContext: context,
      ...anyFields,
      calledApTitle: octets(0, 9),
      calledAeQualifier: octets(0, 9),
      calledApInvocationId: integer,
      calledAeInvocationId: integer,
      callingApTitle: octets(8, 8),
      callingAeQualifier: octets(0, 300),
      callingApInvocationId: integer,
      callingAeInvocationId: integer,
      userInformation: requestInformation,
    },
    { requiredKeys: ['apdu', 'applicationContext'] },
  ),
  fc.record(
    {
      apdu: is('aare'),
      applicationContext: context,
      result: integer,
      diagnostic,
      ...anyFields,
      respondingApTitle: octets(8, 8),
      respondingAeQualifier: octets(0, 300),
      respondingApInvocationId: integer,
      respondingAeInvocationId: integer,
      userInformation: responseInformation,
    },
    { requiredKeys: ['apdu', 'applicationContext', 'result', 'diagnostic'] },
  ),
  fc.record({ apdu: is('rlrq'), reason: integer, userInformation: requestInformation }, { requiredKeys: ['apdu'] }),
  fc.record({ apdu: is('rlre'), reason: integer, userInformation: responseInformation }, { requiredKeys: ['apdu'] }),
) as fc.Arbitrary<ServiceApdu>

/** Every APDU of `services.ts`, by chapter. */
export const serviceApdus: Readonly<Record<string, fc.Arbitrary<ServiceApdu>>> = {
  get,
  set,
  action,
  access,
  others,
  shortName,
  acse,
}

/** Any APDU of `services.ts`. */
export const anyServiceApdu: fc.Arbitrary<ServiceApdu> = fc.oneof(...Object.values(serviceApdus))

/** A data-notification in the standard's form. */
export const anyDataNotification: fc.Arbitrary<Apdu> = fc.record({
  apdu: is('data-notification'),
  longInvokeId: u32,
  dateTime: or(dateTime),
  body: anyData,
  dialects: is([]),
})
