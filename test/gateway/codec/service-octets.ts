import { parseObis } from '#gateway/codec/obis.ts'
import type { ServiceApdu } from '#gateway/codec/services.ts'

/** Spaces are for the eye. */
export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))
}

const clock = { classId: 8, obis: parseObis('0-0:1.0.0'), attribute: 2 }
const whole = { ...clock, selection: undefined }
/** The descriptor of the clock's time. */
export const clockOctets = '0008 0000010000ff 02'
const disconnect = { classId: 70, obis: parseObis('0-0:96.3.0'), method: 1 }
const firstBlock = { last: false, number: 1, octets: fromHex('0f') }
const u8 = (value: number) => ({ type: 'unsigned', value }) as const

/** By their tags 0 to 7. */
const serviceErrorKinds = [
  'application-reference',
  'hardware-resource',
  'vde-state-error',
  'service',
  'definition',
  'access',
  'initiate',
  'load-data-set',
] as const

/** Octets as the standard's tables say, and what they are. */
export const known: readonly (readonly [string, ServiceApdu])[] = [
  [`c0 01 c1 ${clockOctets} 00`, { apdu: 'get-request', invokeId: 0xc1, choice: 'normal', attribute: whole }],
  ['c0 02 c1 00000002', { apdu: 'get-request', invokeId: 0xc1, choice: 'next', blockNumber: 2 }],
  [
    `c0 03 c1 02 ${clockOctets} 00 ${clockOctets} 00`,
    { apdu: 'get-request', invokeId: 0xc1, choice: 'with-list', attributes: [whole, whole] },
  ],
  [
    'c4 01 c1 00 1105',
    { apdu: 'get-response', invokeId: 0xc1, choice: 'normal', result: { kind: 'data', data: u8(5) } },
  ],
  ['c4 01 c1 01 03', { apdu: 'get-response', invokeId: 0xc1, choice: 'normal', result: { kind: 'error', result: 3 } }],
  [
    'c4 02 c1 00 00000001 00 02 0102',
    {
      apdu: 'get-response',
      invokeId: 0xc1,
      choice: 'with-datablock',
      block: { last: false, number: 1, octets: fromHex('0102') },
    },
  ],
  [
    'c4 02 c1 01 00000001 01 10',
    { apdu: 'get-response', invokeId: 0xc1, choice: 'with-datablock', block: { last: true, number: 1, result: 16 } },
  ],
  [
    'c4 03 c1 02 00 1105 01 04',
    {
      apdu: 'get-response',
      invokeId: 0xc1,
      choice: 'with-list',
      results: [
        { kind: 'data', data: u8(5) },
        { kind: 'error', result: 4 },
      ],
    },
  ],
  [
    `c1 01 c1 ${clockOctets} 00 1105`,
    { apdu: 'set-request', invokeId: 0xc1, choice: 'normal', attribute: whole, data: u8(5) },
  ],
  [
    `c1 02 c1 ${clockOctets} 00 00 00000001 01 09`,
    {
      apdu: 'set-request',
      invokeId: 0xc1,
      choice: 'with-first-datablock',
      attribute: whole,
      block: { last: false, number: 1, octets: fromHex('09') },
    },
  ],
  [
    'c1 03 c1 01 00000002 01 0a',
    {
      apdu: 'set-request',
      invokeId: 0xc1,
      choice: 'with-datablock',
      block: { last: true, number: 2, octets: fromHex('0a') },
    },
  ],
  [
    `c1 04 c1 01 ${clockOctets} 00 01 1105`,
    { apdu: 'set-request', invokeId: 0xc1, choice: 'with-list', attributes: [whole], data: [u8(5)] },
  ],
  [
    `c1 05 c1 01 ${clockOctets} 00 00 00000001 00`,
    {
      apdu: 'set-request',
      invokeId: 0xc1,
      choice: 'with-list-and-first-datablock',
      attributes: [whole],
      block: { last: false, number: 1, octets: new Uint8Array() },
    },
  ],
  ['c5 01 c1 00', { apdu: 'set-response', invokeId: 0xc1, choice: 'normal', result: 0 }],
  ['c5 02 c1 00000001', { apdu: 'set-response', invokeId: 0xc1, choice: 'datablock', blockNumber: 1 }],
  [
    'c5 03 c1 0c 00000002',
    { apdu: 'set-response', invokeId: 0xc1, choice: 'last-datablock', result: 12, blockNumber: 2 },
  ],
  [
    'c5 04 c1 02 00 0c 00000002',
    { apdu: 'set-response', invokeId: 0xc1, choice: 'last-datablock-with-list', results: [0, 12], blockNumber: 2 },
  ],
  ['c5 05 c1 02 00 03', { apdu: 'set-response', invokeId: 0xc1, choice: 'with-list', results: [0, 3] }],
  [
    'c3 01 c1 0046 0000600300ff 01 01 0f00',
    {
      apdu: 'action-request',
      invokeId: 0xc1,
      choice: 'normal',
      method: disconnect,
      parameters: { type: 'integer', value: 0 },
    },
  ],
  [
    'c7 01 c1 00 00',
    { apdu: 'action-response', invokeId: 0xc1, choice: 'normal', outcome: { result: 0, returned: undefined } },
  ],
  [
    'c7 02 c1 01 00000001 01 0a',
    {
      apdu: 'action-response',
      invokeId: 0xc1,
      choice: 'with-pblock',
      block: { last: true, number: 1, octets: fromHex('0a') },
    },
  ],
  [
    'c7 03 c1 02 00 01 00 1105 0c 00',
    {
      apdu: 'action-response',
      invokeId: 0xc1,
      choice: 'with-list',
      outcomes: [
        { result: 0, returned: { kind: 'data', data: u8(5) } },
        { result: 12, returned: undefined },
      ],
    },
  ],
  ['c3 02 c1 00000003', { apdu: 'action-request', invokeId: 0xc1, choice: 'next-pblock', blockNumber: 3 }],
  [
    'c3 03 c1 01 0046 0000600300ff 01 01 0f00',
    {
      apdu: 'action-request',
      invokeId: 0xc1,
      choice: 'with-list',
      methods: [disconnect],
      parameters: [{ type: 'integer', value: 0 }],
    },
  ],
  [
    'c3 04 c1 0046 0000600300ff 01 00 00000001 01 0f',
    { apdu: 'action-request', invokeId: 0xc1, choice: 'with-first-pblock', method: disconnect, block: firstBlock },
  ],
  [
    'c3 05 c1 01 0046 0000600300ff 01 00 00000001 01 0f',
    {
      apdu: 'action-request',
      invokeId: 0xc1,
      choice: 'with-list-and-first-pblock',
      methods: [disconnect],
      block: firstBlock,
    },
  ],
  ['c3 06 c1 00 00000001 01 0f', { apdu: 'action-request', invokeId: 0xc1, choice: 'with-pblock', block: firstBlock }],
  ['c7 04 c1 00000003', { apdu: 'action-response', invokeId: 0xc1, choice: 'next-pblock', blockNumber: 3 }],
  [
    `c2 01 0c 07e80101 01 000000 00 0000 00 ${clockOctets} 1105`,
    {
      apdu: 'event-notification',
      time: fromHex('07e80101 01 000000 00 0000 00'),
      attribute: clock,
      data: u8(5),
    },
  ],
  ['10 00000001 00', { apdu: 'data-notification-confirm', longInvokeId: 1, dateTime: undefined }],
  ['d8 01 02', { apdu: 'exception-response', stateError: 1, serviceError: 2, invocationCounter: undefined }],
  ['d8 01 06 00000102', { apdu: 'exception-response', stateError: 1, serviceError: 6, invocationCounter: 0x102 }],
  ['0e 01 06 02', { apdu: 'confirmed-service-error', service: 'initiate', kind: 'initiate', code: 2 }],
  [
    '01 00 00 00 06 5f1f0400 007e1f 04b0',
    {
      apdu: 'initiate-request',
      dedicatedKey: undefined,
      responseAllowed: true,
      qualityOfService: undefined,
      dlmsVersion: 6,
      conformance: 0x007e1f,
      receivePduOctetsMax: 1200,
    },
  ],
  [
    '08 00 06 5f1f0400 1c0320 01f4 fa00',
    {
      apdu: 'initiate-response',
      qualityOfService: undefined,
      dlmsVersion: 6,
      conformance: 0x1c0320,
      receivePduOctetsMax: 500,
      vaaName: 0xfa00,
    },
  ],
  [
    `d9 40000001 00 02 01 ${clockOctets} 04 ${clockOctets} 02 0204 06 00000001 06 00000004 12 0001 12 0000 02 00 00`,
    {
      apdu: 'access-request',
      longInvokeId: 0x40000001,
      dateTime: undefined,
      specifications: [
        { kind: 'get', attribute: clock },
        {
          kind: 'get-with-selection',
          attribute: clock,
          selection: { kind: 'entry', fromEntry: 1, toEntry: 4, fromValue: 1, toValue: 0 },
        },
      ],
      data: [{ type: 'null-data' }, { type: 'null-data' }],
    },
  ],
  [
    'da 40000001 00 00 02 1105 00 02 01 00 03 0c',
    {
      apdu: 'access-response',
      longInvokeId: 0x40000001,
      dateTime: undefined,
      requested: undefined,
      data: [u8(5), { type: 'null-data' }],
      specifications: [
        { kind: 'get', result: 0 },
        { kind: 'action', result: 12 },
      ],
    },
  ],
  [
    'c0 01 81 0007 0100630100ff 02 01 01 0204 0204 12 0008 09 06 0000010000ff 0f 02 12 0000 1101 1102 0100',
    {
      apdu: 'get-request',
      invokeId: 0x81,
      choice: 'normal',
      attribute: {
        classId: 7,
        obis: parseObis('1-0:99.1.0'),
        attribute: 2,
        selection: { kind: 'range', restricting: { ...clock, dataIndex: 0 }, from: u8(1), to: u8(2), selected: [] },
      },
    },
  ],
  ['0e 05 05 03', { apdu: 'confirmed-service-error', service: 'read', kind: 'access', code: 3 }],
  ['0e 06 09 02', { apdu: 'confirmed-service-error', service: 'write', kind: 'task', code: 2 }],
  ...serviceErrorKinds.map(
    (kind, i) => [`0e 01 0${i} 00`, { apdu: 'confirmed-service-error', service: 'initiate', kind, code: 0 }] as const,
  ),
  [
    '05 04 04 0120 01 1105 05 0002 06 01 0003 01 aa 07 00 0004',
    {
      apdu: 'read-request',
      variables: [
        { kind: 'parameterized', name: 0x0120, selector: 1, parameter: u8(5) },
        { kind: 'block-number', blockNumber: 2 },
        { kind: 'read-data-block', last: true, blockNumber: 3, octets: fromHex('aa') },
        { kind: 'write-data-block', last: false, blockNumber: 4 },
      ],
    },
  ],
  [
    '0c 02 02 01 0001 01 aa 03 0002',
    {
      apdu: 'read-response',
      results: [
        { kind: 'data-block', last: true, blockNumber: 1, octets: fromHex('aa') },
        { kind: 'block-number', blockNumber: 2 },
      ],
    },
  ],
  ['0d 01 02 0003', { apdu: 'write-response', results: [{ kind: 'block-number', blockNumber: 3 }] }],
  ['05 01 02 0120', { apdu: 'read-request', variables: [{ kind: 'name', name: 0x0120 }] }],
  [
    '0c 02 00 1105 01 03',
    {
      apdu: 'read-response',
      results: [
        { kind: 'data', data: u8(5) },
        { kind: 'error', result: 3 },
      ],
    },
  ],
  ['06 01 02 0120 01 1105', { apdu: 'write-request', variables: [{ kind: 'name', name: 0x0120 }], data: [u8(5)] }],
  ['0d 02 00 01 03', { apdu: 'write-response', results: [{ kind: 'success' }, { kind: 'error', result: 3 }] }],
  [
    '16 01 02 0120 01 1105',
    { apdu: 'unconfirmed-write-request', variables: [{ kind: 'name', name: 0x0120 }], data: [u8(5)] },
  ],
  [
    '18 00 01 02 0120 01 1105',
    {
      apdu: 'information-report-request',
      currentTime: undefined,
      variables: [{ kind: 'name', name: 0x0120 }],
      data: [u8(5)],
    },
  ],
  [
    'e6 00 05 3132333435 c00281 00000001',
    {
      apdu: 'gateway-request',
      networkId: 0,
      address: fromHex('3132333435'),
      content: fromHex('c00281 00000001'),
    },
  ],
]
