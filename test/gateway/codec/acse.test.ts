import { describe, expect, test } from 'vitest'
import type { Aare, Aarq, Rlre, Rlrq } from '#gateway/codec/acse.ts'
import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import { associationResult, userDiagnostic } from '#gateway/codec/association-codes.ts'
import { codeName } from '#gateway/codec/results.ts'
import type { PeerFault } from '#gateway/errors.ts'

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'))
}

const request = {
  apdu: 'initiate-request',
  dedicatedKey: undefined,
  responseAllowed: true,
  qualityOfService: undefined,
  dlmsVersion: 6,
  conformance: 0x007e1f,
  receivePduOctetsMax: 1200,
} as const
const response = {
  apdu: 'initiate-response',
  qualityOfService: undefined,
  dlmsVersion: 6,
  conformance: 0x007c1f,
  receivePduOctetsMax: 1024,
  vaaName: 7,
} as const
const authentication = { bits: 1, octets: fromHex('80') }
const title = fromHex('4d4d4d0000bc614e')

/** Octets as the standard's tables say, and what they are. */
const known: readonly (readonly [string, string, Aarq | Aare | Rlrq | Rlre])[] = [
  [
    'an AARQ without security',
    '601d a109060760857405080101 be10040e 01000000065f1f0400007e1f04b0',
    { apdu: 'aarq', applicationContext: 'logical-name', userInformation: request },
  ],
  [
    'an AARQ with a password',
    `6036 a109060760857405080101 8a020780 8b0760857405080201 ac0a8008 3132333435363738
     be10040e 01000000065f1f0400007e1f04b0`,
    {
      apdu: 'aarq',
      applicationContext: 'logical-name',
      acseRequirements: authentication,
      mechanism: 'low',
      authenticationValue: ['charstring', fromHex('3132333435363738')],
      userInformation: request,
    },
  ],
  [
    'an AARQ with GMAC and ciphered user information',
    '6036 a109060760857405080103 a60a0408 4d4d4d0000bc614e 8a020780 8b0760857405080205 ac068004 01020304 be080406 21 04 20000000',
    {
      apdu: 'aarq',
      applicationContext: 'logical-name-ciphered',
      callingApTitle: title,
      acseRequirements: authentication,
      mechanism: 'high-gmac',
      authenticationValue: ['charstring', fromHex('01020304')],
      userInformation: fromHex('21 04 20000000'),
    },
  ],
  [
    'an AARE that accepts',
    '6129 a109060760857405080101 a203020100 a305a103020100 be10040e 0800065f1f0400007c1f04000007',
    {
      apdu: 'aare',
      applicationContext: 'logical-name',
      result: 0,
      diagnostic: ['user', 0],
      userInformation: response,
    },
  ],
  [
    'an AARE that refuses the DLMS version',
    '611f a109060760857405080101 a203020101 a305a103020101 be060404 0e010601',
    {
      apdu: 'aare',
      applicationContext: 'logical-name',
      result: 1,
      diagnostic: ['user', 1],
      userInformation: { apdu: 'confirmed-service-error', service: 'initiate', kind: 'initiate', code: 1 },
    },
  ],
  [
    'an AARE that asks for the second half of a handshake',
    '6138 a109060760857405080101 a203020100 a305a10302010e a40a0408 4d4d4d0000bc614e 88020780 890760857405080205 aa068004 0a0b0c0d',
    {
      apdu: 'aare',
      applicationContext: 'logical-name',
      result: 0,
      diagnostic: ['user', userDiagnostic['authentication-required']],
      respondingApTitle: title,
      acseRequirements: authentication,
      mechanism: 'high-gmac',
      authenticationValue: ['charstring', fromHex('0a0b0c0d')],
    },
  ],
  ['an RLRQ', '6203 800100', { apdu: 'rlrq', reason: 0 }],
  ['an RLRQ without a reason', '6200', { apdu: 'rlrq' }],
  [
    'an RLRE with user information',
    '6315 800100 be10040e 0800065f1f0400007c1f04000007',
    { apdu: 'rlre', reason: 0, userInformation: response },
  ],
]

describe('ACSE', () => {
  test.each(known)('%s is read and written as the standard says', (_, hex, apdu) => {
    const octets = fromHex(hex)
    expect(decodeApdu(octets)).toEqual(apdu)
    expect(encodeApdu(apdu)).toEqual(octets)
  })

  test('an object identifier that is none of DLMS/COSEM comes as its octets, so that it can be answered', () => {
    const apdu = decodeApdu(fromHex('6009 a107060560857405 09'))
    expect(apdu).toMatchObject({ applicationContext: fromHex('6085740509') })
    expect(decodeApdu(fromHex('600c a10a06086085740508010100'))).toMatchObject({
      applicationContext: fromHex('6085740508010100'),
    })
    expect(decodeApdu(fromHex('600b a109060760857405080109'))).toMatchObject({
      applicationContext: expect.any(Uint8Array),
    })
  })

  test('results and diagnostics have names', () => {
    expect(codeName(associationResult, 1)).toBe('rejected-permanent')
    expect(codeName(userDiagnostic, 13)).toBe('authentication-failure')
  })

  test.each<[string, string, PeerFault, number]>([
    ['no application context', '6203 a203020100', 'APDU_CHOICE', 2],
    ['an AARQ without one', '6000', 'DATA_VALUE', 1],
    ['an AARE without a diagnostic', '6110 a109060760857405080101 a203020100', 'DATA_VALUE', 1],
    ['a field twice', '6016 a109060760857405080101 a109060760857405080101', 'APDU_CHOICE', 13],
    ['a field out of order', '600f 8b0760857405080201 80020780 8000', 'APDU_CHOICE', 11],
    ['a field that an AARE does not have', '6102 8b00', 'APDU_CHOICE', 2],
    ['a field longer than the APDU', '6003 a1090607', 'APDU_TRUNCATED', 4],
    ['a string longer than its field', '600b a109060860857405080101', 'APDU_TRUNCATED', 6],
    ['a string shorter than its field', '600b a109060660857405080101', 'APDU_TRAILING', 12],
    ['a field that is no object identifier', '600b a109040760857405080101', 'APDU_CHOICE', 4],
    ['a field without what it must hold', '6102 a200', 'APDU_TRUNCATED', 4],
    ['an integer of five octets', '6207 8005 0000000000', 'APDU_LENGTH', 4],
    ['a bit string with nine unused bits', '6005 8003 09ffff', 'DATA_VALUE', 4],
    ['a bit string with unused bits of no octets', '6003 8001 01', 'DATA_VALUE', 4],
    ['octets behind it', '6203 800100 00', 'APDU_TRAILING', 5],
    ['octets behind its initiate-request', '6213 be11040f 01000000065f1f0400007e1f04b000', 'APDU_TRAILING', 20],
    ['a length without end', '6280', 'APDU_LENGTH', 1],
  ])('%s is refused where it stands', (_, hex, code, offset) => {
    expect(() => decodeApdu(fromHex(hex))).toThrow(expect.objectContaining({ code, offset }))
  })
})

describe('an AARE whose three lengths are one short', () => {
  const fields = 'a109060760857405080102 a203020100 a305a103020100'
  const initiate = '0800065f1f0400180220 0960 fa00'
  const short = fromHex(`6128 ${fields} be0f040d ${initiate}`)

  test('is read as if they were right, and said; it is written with them right', () => {
    const apdu = decodeApdu(short)
    expect(apdu).toMatchObject({ dialect: 'short-lengths', userInformation: { vaaName: 0xfa00 } })
    expect(encodeApdu(apdu)).toEqual(fromHex(`6129 ${fields} be10040e ${initiate}`))
  })

  test.each<[string, string, PeerFault, number]>([
    ['an AARE that is right with an octet behind it', `6129 ${fields} be10040e ${initiate} 00`, 'APDU_TRAILING', 43],
    [
      'ciphered user information, where nothing tells',
      `6122 ${fields} be090407 28062000000001 aa`,
      'APDU_TRAILING',
      36,
    ],
    ['two lengths one short, the third two', `6128 ${fields} be0f040c ${initiate}`, 'APDU_TRUNCATED', 41],
  ])('%s is not one', (_, hex, code, offset) => {
    expect(() => decodeApdu(fromHex(hex))).toThrow(expect.objectContaining({ code, offset }))
  })
})
