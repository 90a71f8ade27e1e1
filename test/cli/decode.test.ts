import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { UsageError } from '#cli/command.ts'
import { command } from '#cli/decode.ts'
import { encodeApdu } from '#gateway/codec/apdu.ts'
import { encodeHdlcFrame, frameHdlc } from '#gateway/codec/hdlc.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { parseSystemTitle } from '#gateway/model.ts'
import { protect } from '#simulator/protect.ts'
import { profilePush } from '#simulator/push.ts'

const [ek, ak] = ['00112233445566778899aabbccddeeff', 'ffeeddccbbaa99887766554433221100']
const title = '414d490000000001'
const plain = profilePush({
  invokeId: 1,
  at: 1_704_067_200,
  capturePeriod: 900,
  channels: [{ obis: parseObis('1-0:1.29.0'), scaler: 0, unit: 30 }],
  rows: [{ end: 1_704_067_200, status: 0, values: [7] }],
})
const sealed = protect(plain, {
  systemTitle: parseSystemTitle(title),
  ek: Buffer.from(ek, 'hex'),
  ak: Buffer.from(ak, 'hex'),
  invocationCounter: 1,
})
const framed = hex(frameHdlc(sealed, { destination: Uint8Array.of(3), source: Uint8Array.of(5), control: 0x13 }, 1_000))

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}

/** Octets in one HDLC frame, behind an LLC header where they are an APDU. */
function frameOf(octets: string, control = 0x13): string {
  const information = Buffer.from((control === 0x13 ? 'e6e700' : '') + octets.replaceAll(' ', ''), 'hex')
  const ends = { destination: Uint8Array.of(3), source: Uint8Array.of(5) }
  return hex(encodeHdlcFrame({ ...ends, control, segmented: false, information }))
}

function seal(octets: Uint8Array, authenticationKey: Uint8Array): Uint8Array {
  return protect(octets, {
    systemTitle: parseSystemTitle(title),
    ek: Buffer.from(ek, 'hex'),
    ak: authenticationKey,
    invocationCounter: 1,
  })
}

const nothing = new Uint8Array()
const general = {
  apdu: 'general-ciphering',
  transactionId: nothing,
  originator: nothing,
  recipient: nothing,
  dateTime: nothing,
  otherInformation: nothing,
  keyInfo: undefined,
  invocationCounter: 0,
} as const

interface Outcome {
  status: number
  stdout: string
  stderr: string
}

const folder = mkdtempSync(join(tmpdir(), 'ami-decode-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Runs the subcommand on a file that holds `input`. */
async function decode(input: string | Uint8Array, ...args: string[]): Promise<Outcome> {
  const file = join(folder, 'frames.hex')
  writeFileSync(file, input)
  const written = { stdout: '', stderr: '' }
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += String(text)
      return true
    }),
  )
  try {
    const status = await command.run([...args, file])
    return { status, ...written }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

describe('ami decode', () => {
  test('lists a ciphered frame from standard input, whatever white space it holds, as one JSON object', () => {
    const input = framed.replace(/(.{16})/g, '$1 \n\t')
    const ami = join(import.meta.dirname, '../../cli/ami.mjs')
    const args = [ami, 'decode', '--json', '--ek', ek, '--ak', ak, '--system-title', title, '-']
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { input, encoding: 'utf8' })
    expect([status, stderr]).toEqual([0, ''])
    expect(JSON.parse(stdout)).toEqual({
      apdus: ['general-glo-ciphering', 'data-notification'],
      time: '2024-01-01T00:00:00Z',
      values: [
        { obis: '0.0.1.0.0.255', value: '07e801010100000000000000', scaler: null, unit: null },
        { obis: '0.0.96.10.1.255', value: 0, scaler: null, unit: null },
        { obis: '1.0.1.29.0.255', value: 7, scaler: 0, unit: 'Wh' },
      ],
    })
  })

  test('prints a table', async () => {
    const { status, stdout } = await decode(hex(plain).toUpperCase())
    expect(status).toBe(0)
    expect(stdout).toMatch(/^data-notification {2}2024-01-01T00:00:00Z\n/)
    expect(stdout).toMatch(/^1\.0\.1\.29\.0\.255 +7 +Wh$/m)
  })

  test('without the authentication key reads on, and says that nobody vouches', async () => {
    const { status, stderr } = await decode(framed, '--json', '--ek', ek)
    expect([status, stderr]).toEqual([0, 'ami: the tag is not checked: no --ak was given\n'])
  })

  test.each<[string, string[], string, { code: string; offset: number }]>([
    ['no key', [], framed, { code: 'KEY_MISSING', offset: 11 }],
    ['the wrong key', ['--ek', ak, '--ak', ak], framed, { code: 'TAG_UNAUTHENTIC', offset: 11 }],
    [
      'another meter',
      ['--ek', ek, '--ak', ak, '--system-title', '0'.repeat(16)],
      framed,
      { code: 'SYSTEM_TITLE_FOREIGN', offset: 11 },
    ],
    ['a damaged frame', [], framed.replace(/.{6}$/, '00007e'), { code: 'FRAME_CHECKSUM', offset: 0 }],
    ['another framing', ['--framing', 'mbus'], '00', { code: 'FRAME_UNKNOWN', offset: 0 }],
    ['nothing that is known', [], 'ffff', { code: 'FRAME_UNKNOWN', offset: 0 }],
    ['an APDU cut short', ['--framing', 'apdu'], hex(plain).slice(0, 40), { code: 'DATA_COUNT', offset: 19 }],
    ['no octets', [], ' \n', { code: 'FRAME_TRUNCATED', offset: 0 }],
    ['half an octet', [], '0f0', { code: 'FRAME_TRUNCATED', offset: 1 }],
    ['no hex', [], '0f0g', { code: 'FRAME_FORMAT', offset: 1 }],
  ])('with %s ends with 2 and the fault', async (_, args, input, fault) => {
    const { status, stdout } = await decode(input, '--json', ...args)
    expect(status).toBe(2)
    expect(JSON.parse(stdout)).toEqual({ fault })
  })

  test('explains frames, protection and values layer by layer, with offsets', async () => {
    const { status, stdout, stderr } = await decode(framed, '--explain', '--ek', ek, '--ak', ak)
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout.match(/^[a-z]+: .*$/gm)).toEqual([
      `frames: ${framed.length / 2} octets, as received`,
      `apdu: ${sealed.length} octets, the payload of its frames, from 000b on`,
      `plain: ${plain.length} octets, deciphered from general-glo-ciphering`,
    ])
    expect(stdout).toMatch(/^ {2}0002 {4}systemTitle 414d490000000001 {2}-- manufacturer AMI$/m)
    expect(stdout).toMatch(/^ {2}0006 {4}dateTime 07e8.* = 2024-01-01T00:00:00Z, clock status 00: nothing set$/m)
    expect(stdout).toMatch(/ double-long-unsigned 7 {2}-- Register 1-0:1\.29\.0 active energy import, .* = 7 Wh$/m)
  })

  test('explains as one JSON object too', async () => {
    const { status, stdout } = await decode(hex(plain), '--explain', '--json')
    const { layers } = JSON.parse(stdout)
    expect([status, layers.length, layers[0].kind]).toEqual([0, 1, 'apdu'])
    expect(layers[0].nodes[0]).toMatchObject({ offset: 0, octets: plain.length, name: 'data-notification' })
  })

  test('explains what it can where a layer does not open, and ends with 2', async () => {
    const { status, stdout } = await decode(framed, '--explain')
    expect(status).toBe(2)
    expect(stdout).toMatch(/^ {2}0000 {2}general-glo-ciphering/m)
    expect(stdout).toMatch(/! KEY_MISSING: /)
  })

  test("reads what a push does not tell by its meter's profile", async () => {
    const push = '0f00000001000202' + '09060100010800ff' + '0600000007'
    const { stdout } = await decode(push, '--json', '--meter', 'kamstrup-no')
    expect(JSON.parse(stdout).values).toEqual([{ obis: '1.0.1.8.0.255', value: 7, scaler: 1, unit: 'Wh' }])
  })

  test.each<[string, (octets: Uint8Array) => string | Uint8Array]>([
    ['upper case', (octets) => hex(octets).toUpperCase()],
    ['lines and tabs', (octets) => hex(octets).replace(/(.{16})/g, '$1\r\n\t')],
    ['0x and commas', (octets) => Array.from(octets, (octet) => `0x${octet.toString(16).padStart(2, '0')}`).join(', ')],
    ['dashes', (octets) => hex(octets).replace(/(..)(?!$)/g, '$1-')],
    ['colons, in brackets', (octets) => `[${hex(octets).replace(/(..)(?!$)/g, '$1:')}]`],
    ['\\x', (octets) => `"${hex(octets).replace(/(..)/g, '\\x$1')}"`],
    ['the octets themselves', (octets) => octets],
  ])('takes a frame as %s', async (_, form) => {
    const { status, stdout } = await decode(form(Buffer.from(framed, 'hex')), '--json', '--ek', ek, '--ak', ak)
    expect([status, JSON.parse(stdout).values.at(-1).value]).toEqual([0, 7])
  })

  test.each(['auto', 'p1'])('takes P1 telegrams in a row as they are, with --framing %s', async (framing) => {
    const one = '/ABC5x\r\n\r\n0-0:1.0.0(230801120000S)\r\n1-0:1.8.1(000123.456*kWh)\r\n!\r\n'
    const { status, stdout } = await decode(one + one, '--json', '--framing', framing)
    expect(status).toBe(0)
    const kwh = { obis: '1.0.1.8.1.255', value: 123456, scaler: -3, unit: 'kWh' }
    const clock = { obis: '0.0.1.0.0.255', value: '230801120000S', scaler: null, unit: null }
    expect(JSON.parse(stdout)).toEqual({
      apdus: ['p1-ascii', 'p1-ascii'],
      time: '2023-08-01T12:00:00',
      values: [clock, kwh, clock, kwh],
    })
  })

  test('checks the tag of a telegram under the key that every port in Luxembourg has', async () => {
    const telegram = Buffer.from('/ABC5x\r\n\r\n1-0:1.7.0(7*W)\r\n!\r\n')
    const known = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
    const sealed = hex(seal(telegram, known))
    const { stdout, stderr } = await decode(sealed + sealed, '--json', '--ek', ek)
    expect([stderr, JSON.parse(stdout).apdus]).toEqual([
      '',
      ['general-glo-ciphering', 'p1-ascii', 'general-glo-ciphering', 'p1-ascii'],
    ])
  })

  test.each<[string, string, object]>([
    ['a read value', 'c401c10006000000a1', { apdus: ['get-response'], values: [{ obis: null, value: 161 }] }],
    ['an error', 'c401c10101', { apdus: ['get-response'], values: [] }],
    [
      'an event with its time',
      'c2010c07e801010100000000000000 0001 0000600b00ff 02 1105'.replaceAll(' ', ''),
      { time: '2024-01-01T00:00:00Z', values: [{ obis: '0.0.96.11.0.255', value: 5 }] },
    ],
    [
      'what is to be set',
      'c101c10008 0000010000ff 0200 090c07e801010100000000000000'.replaceAll(' ', ''),
      { apdus: ['set-request'], time: null, values: [{ obis: '0.0.1.0.0.255', value: '07e801010100000000000000' }] },
    ],
    [
      'an access-response with its time',
      'da00000001 0c07e801010100000000000000 00 01 1107 01 01 00'.replaceAll(' ', ''),
      { apdus: ['access-response'], time: '2024-01-01T00:00:00Z', values: [{ obis: null, value: 7 }] },
    ],
    [
      'a notification for a device behind a gateway',
      `e6 01 02 0102 ${hex(plain)}`.replaceAll(' ', ''),
      { apdus: ['gateway-request', 'data-notification'], time: '2024-01-01T00:00:00Z' },
    ],
    [
      'blocks that hold one value together',
      [1, 2].map((n) => frameOf(`c402c1 0${n - 1} 0000000${n} 00 03 ${['060000', '00070f'][n - 1]}`)).join(''),
      { apdus: ['get-response', 'get-response'], values: [] },
    ],
    [
      'blocks that hold one value together, and no octet more',
      ['00 00000001 00 03 060000', '01 00000002 00 02 0007'].map((block) => frameOf(`c402c1 ${block}`)).join(''),
      { apdus: ['get-response', 'get-response'], values: [{ obis: null, value: 7 }] },
    ],
    ['a data link that is set up', frameOf('', 0x93), { apdus: [], time: null, values: [] }],
  ])('%s', async (_, input, expected) => {
    const { status, stdout } = await decode(input, '--json')
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject(expected)
    expect(Object.keys(JSON.parse(stdout))).toEqual(['apdus', 'time', 'values'])
  })

  test('what is authenticated and not encrypted is read without its key, and it says that nobody vouches', async () => {
    const open = hex(
      encodeApdu({ ...general, securityControl: 0x11, content: Buffer.concat([plain, Buffer.alloc(12)]) }),
    )
    const { status, stdout, stderr } = await decode(open, '--json')
    expect([status, JSON.parse(stdout).apdus]).toEqual([0, ['general-ciphering', 'data-notification']])
    expect(stderr).toMatch(/nobody vouches/)
    const short = hex(encodeApdu({ ...general, securityControl: 0x11, content: Buffer.alloc(11) }))
    expect(JSON.parse((await decode(short, '--json')).stdout).fault.code).toBe('APDU_LENGTH')
    const closed = hex(encodeApdu({ ...general, securityControl: 0x31, content: Buffer.alloc(40) }))
    expect(JSON.parse((await decode(closed, '--json', '--system-title', title)).stdout).fault.code).toBe('KEY_MISSING')
  })

  test('a sender that is not named must be told', async () => {
    const unnamed = hex(
      encodeApdu({ apdu: 'glo-get-request', securityControl: 0x20, invocationCounter: 1, content: plain }),
    )
    const { status, stdout } = await decode(unnamed, '--json', '--ek', ek)
    expect([status, JSON.parse(stdout).fault.code]).toEqual([2, 'SYSTEM_TITLE'])
  })

  test("explains a time without a deviation by its meter's zone", async () => {
    const push = '0f00000001 0c 07e807010100000000 8000ff 0202 09060100010800ff 0600000007'.replaceAll(' ', '')
    const { stdout } = await decode(push, '--explain', '--meter', 'kamstrup-no')
    expect(stdout).toMatch(
      /2024-07-01 Mon 00:00:00, deviation unspecified, .* = 2024-06-30T22:00:00Z in Europe\/Oslo$/m,
    )
    expect((await decode(push, '--explain')).stdout).not.toMatch(/2024-06-30/)
    expect(JSON.parse((await decode(push, '--json', '--meter', 'kamstrup-no')).stdout).time).toBe(
      '2024-06-30T22:00:00Z',
    )
  })

  test('explains what a data link is set up with', async () => {
    const { stdout } = await decode(
      frameOf('81801205018006013e07040000000108040000000 1'.replaceAll(' ', ''), 0x73),
      '--explain',
    )
    expect(stdout).toMatch(/information {2}-- information to 128 octets sent and 62 taken, window 1 and 1/)
  })

  test('names framings and dialects in its help', () => {
    for (const word of [
      'auto',
      'apdu',
      'hdlc',
      'wrapper',
      'mbus',
      'p1',
      'tagged-date-time',
      'untagged-descriptors',
      'positional',
      'swapped-name-tags',
      'short-lengths',
      'invalid-date-time',
      'bare-data',
    ]) {
      expect(command.help).toMatch(new RegExp(`^  ${word} +\\S`, 'm'))
    }
  })

  test('without --json a fault is a line on stderr', async () => {
    const { status, stdout, stderr } = await decode('ffff')
    expect([status, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^ami: FRAME_UNKNOWN at octet 0: .+\n$/)
  })

  test.each([
    ['no file', []],
    ['two files', ['-', '-']],
    ['a framing that is none', ['--framing', 'x', '-']],
    ['a key of the wrong length', ['--ek', '00', '-']],
    ['a system title that is none', ['--system-title', 'x', '-']],
    ['one key for agreement without the other', ['--agreement-key', '01'.repeat(32), '-']],
    ['keys for agreement on two curves', ['--agreement-key', '01'.repeat(32), '--peer-key', '02'.repeat(96), '-']],
    ['a public key that is no point', ['--agreement-key', '01'.repeat(32), '--peer-key', '02'.repeat(64), '-']],
    ['a meter family that is none', ['--meter', '../fields', '-']],
    ['an option that is none', ['--xml', '-']],
    ['a file that is not there', [join(folder, 'nothing')]],
  ])('with %s is a fault of usage', async (_, args) => {
    await expect(command.run(args)).rejects.toThrow(UsageError)
  })
})
