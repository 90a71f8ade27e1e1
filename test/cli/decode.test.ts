import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { UsageError } from '#cli/command.ts'
import { command } from '#cli/decode.ts'
import { frameHdlc } from '#gateway/codec/hdlc.ts'
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

interface Outcome {
  status: number
  stdout: string
  stderr: string
}

const folder = mkdtempSync(join(tmpdir(), 'ami-decode-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Runs the subcommand on a file that holds `input`. */
async function decode(input: string, ...args: string[]): Promise<Outcome> {
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
    ['a meter family that is none', ['--meter', '../fields', '-']],
    ['an option that is none', ['--xml', '-']],
    ['a file that is not there', [join(folder, 'nothing')]],
  ])('with %s is a fault of usage', async (_, args) => {
    await expect(command.run(args)).rejects.toThrow(UsageError)
  })
})
