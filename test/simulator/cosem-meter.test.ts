import { spawn } from 'node:child_process'
import { createPrivateKey, createPublicKey, createSecretKey, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Data } from '#gateway/codec/axdr.ts'
import { decodeDateTime, encodeDateTime, utcSeconds } from '#gateway/codec/datetime.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import type { CaptureColumn, SelectiveAccess } from '#gateway/codec/selective-access.ts'
import { parseSystemTitle } from '#gateway/model.ts'
import type { Authentication } from '#gateway/session/association.ts'
import type { Ciphering } from '#gateway/session/association-channel.ts'
import { localDateTime } from '#simulator/clock-object.ts'
import { cosemMeter, profileEntriesMax } from '#simulator/cosem-meter.ts'
import { intervalEnergy } from '#simulator/household.ts'
import { type MeterServer, startMeterServer } from '#simulator/meter-server.ts'
import { listenAsMeter, titleOf } from '../../cli/simulate-meter.ts'
import { accessOf } from '../../cli/simulate-meter-options.ts'
import { MeterClient } from './meter-client.ts'

const seed = 7
const now = Date.UTC(2026, 2, 10, 12, 7, 30) / 1000
const quarter = Date.UTC(2026, 2, 10, 12) / 1000
const installed = quarter - 40 * 86_400
const keys = { ek: createSecretKey(new Uint8Array(16).fill(1)), ak: new Uint8Array(16).fill(2) }
const head = parseSystemTitle('4d4d4d0000000001')
const clockColumn: CaptureColumn = { classId: 8, obis: parseObis('0-0:1.0.0'), attribute: 2, dataIndex: 0 }
const importColumn: CaptureColumn = { classId: 3, obis: parseObis('1-0:1.8.0'), attribute: 2, dataIndex: 0 }
const opened: { close(): unknown }[] = []

afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()))
})

async function meter(
  authentication: Authentication = { mechanism: 'lowest' },
  ciphering?: Ciphering,
): Promise<MeterServer> {
  const server = await listenAsMeter({
    seed,
    authentication,
    ciphering,
    pduOctets: 512,
    host: '127.0.0.1',
    port: 0,
    now: () => now,
  })
  opened.push(server)
  return server
}

/** The meter's part of what its client has. */
function seenByMeter<T extends Authentication | Ciphering | undefined>(client: T): T {
  return client !== undefined && 'own' in client ? { ...client, own: titleOf(seed), peer: head } : client
}

async function associated(
  authentication: Authentication = { mechanism: 'lowest' },
  ciphering?: Ciphering,
): Promise<MeterClient> {
  const { port } = await meter(seenByMeter(authentication), seenByMeter(ciphering))
  const client = await MeterClient.connect(port, {
    authentication,
    receivePduOctetsMax: 512,
    ...(ciphering && { ciphering }),
  })
  opened.push(client)
  const event = { kind: 'open', challenge: randomBytes(16), counters: { sent: -1, received: -1 } } as const
  expect(await client.do(event)).toMatchObject({ kind: 'associated', pduOctets: 512 })
  return client
}

function elements(data: Data | undefined): Data[] {
  return data?.type === 'array' || data?.type === 'structure' ? data.elements : []
}

function time(data: Data | undefined): number | undefined {
  return data?.type === 'octet-string' ? utcSeconds(decodeDateTime(data.octets)) : undefined
}

function range(from: number, to: number, selected: CaptureColumn[] = []): SelectiveAccess {
  const at = (seconds: number): Data => ({ type: 'octet-string', octets: encodeDateTime(seconds) })
  return { kind: 'range', restricting: clockColumn, from: at(from), to: at(to), selected }
}

function entry(fromEntry: number, toEntry: number, fromValue = 1, toValue = 0): SelectiveAccess {
  return { kind: 'entry', fromEntry, toEntry, fromValue, toValue }
}

describe('a simulated meter on loopback', () => {
  test.each([
    ['lowest', { mechanism: 'lowest' }],
    ['a password', { mechanism: 'low', password: Buffer.from('open') }],
    ['GMAC', { mechanism: 'high-gmac', own: head, peer: titleOf(seed), ...keys }],
  ] as const)('with %s tells its name, its clock and its registers, and is released', async (_, authentication) => {
    const client = await associated(authentication)
    expect(await client.get(1, '0-0:42.0.0', 2)).toMatchObject({
      octets: Uint8Array.from(Buffer.from('AMI0000000007')),
    })
    expect(time(await client.get(8, '0-0:1.0.0', 2))).toBe(Math.floor(now))
    const { importWh } = intervalEnergy({ seed }, installed, quarter - installed)
    const register = await client.get(3, '1-0:1.8.0', 2)
    expect(register.type === 'double-long-unsigned' && Math.abs(register.value - importWh)).toBeLessThan(2_000)
    expect(elements(await client.get(3, '1-0:2.8.0', 3))).toEqual([
      { type: 'integer', value: 0 },
      { type: 'enum', value: 30 },
    ])
    expect(await client.do({ kind: 'release' })).toEqual({ kind: 'released' })
  })

  test('gives its load profile by range, and the difference of two rows is what the household used', async () => {
    const client = await associated()
    const rows = elements(await client.get(7, '1-0:99.1.0', 2, range(quarter - 86_400, quarter)))
    expect(rows).toHaveLength(97)
    expect(client.turns).toBeGreaterThan(5) // in blocks
    const times = rows.map((row) => time(elements(row)[0]))
    expect(times).toEqual(Array.from({ length: 97 }, (_, i) => quarter - 86_400 + i * 900))
    const values = rows.map((row) => elements(row)[2]!).map((data) => ('value' in data ? Number(data.value) : -1))
    const used = Array.from({ length: 96 }, (_, i) => intervalEnergy({ seed }, times[i]!, 900).importWh)
    expect(values.slice(1).map((value, i) => value - values[i]!)).toEqual(used)
    expect(await client.get(3, '1-0:1.8.0', 2)).toEqual(elements(rows.at(-1))[2])
  })

  test('gives of a range the columns that were asked for, in that order', async () => {
    const client = await associated()
    const [row, ...more] = elements(
      await client.get(7, '1-0:99.1.0', 2, range(quarter, quarter, [importColumn, clockColumn])),
    )
    expect(more).toEqual([])
    expect(elements(row).map(({ type }) => type)).toEqual(['double-long-unsigned', 'octet-string'])
  })

  test('gives its load profile by entry: a month at most, the oldest first', async () => {
    const client = await associated()
    const whole = elements(await client.get(7, '1-0:99.1.0', 2))
    expect(whole).toHaveLength(profileEntriesMax)
    expect(time(elements(whole.at(-1))[0])).toBe(quarter)
    expect(elements(await client.get(7, '1-0:99.1.0', 2, entry(2, 4)))).toEqual(whole.slice(1, 4))
    const last = elements(await client.get(7, '1-0:99.1.0', 2, entry(profileEntriesMax, 0, 3, 4)))
    expect(last.map(elements)).toEqual([elements(whole.at(-1)).slice(2)])
    expect(await client.get(7, '1-0:99.1.0', 7)).toEqual({ type: 'double-long-unsigned', value: profileEntriesMax })
  })

  test('tells what its profiles capture, and lists every object that it has', async () => {
    const client = await associated()
    expect(elements(await client.get(7, '1-0:99.1.0', 3))).toHaveLength(4)
    expect(await client.get(7, '1-0:99.1.0', 4)).toEqual({ type: 'double-long-unsigned', value: 900 })
    expect(elements(await client.get(15, '0-0:40.0.0', 2))).toHaveLength(10)
  })

  test('keeps an event log that begins with the power coming, in the order of time', async () => {
    const client = await associated()
    const rows = elements(await client.get(7, '0-0:99.98.0', 2)).map(elements)
    expect(rows[0]).toEqual([
      { type: 'octet-string', octets: localDateTime(installed) },
      { type: 'unsigned', value: 2 },
    ])
    const times = rows.map(([at]) => time(at)!)
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    expect(rows.length).toBeGreaterThan(2)
  })

  test.each(['authenticated', 'authenticated-encrypted'] as const)(
    'with GMAC and every APDU %s gives a day of its load profile',
    async (protection) => {
      const names = { own: head, peer: titleOf(seed), suite: 0, ...keys }
      const client = await associated({ mechanism: 'high-gmac', ...names }, { ...names, protection })
      expect(elements(await client.get(7, '1-0:99.1.0', 2, range(quarter - 86_400, quarter)))).toHaveLength(97)
      expect(await client.do({ kind: 'release' })).toEqual({ kind: 'released' })
    },
  )

  test('knows the public client beside the management one, on one connection each, and no other', async () => {
    const { port } = await meter({ mechanism: 'low', password: Buffer.from('open') })
    const open = { kind: 'open', challenge: randomBytes(16), counters: { sent: -1, received: -1 } } as const
    const config = { authentication: { mechanism: 'lowest' }, receivePduOctetsMax: 512 } as const
    const seen = await Promise.all(
      [16, 1, 2].map(async (source) => {
        const client = await MeterClient.connect(port, config, source)
        opened.push(client)
        const effect = await client.do(open)
        return effect.kind === 'failed' ? effect.fault.code : effect.kind
      }),
    )
    expect(seen).toEqual(['associated', 'ASSOCIATION_REFUSED', 'ASSOCIATION_SEQUENCE'])
  })

  test('holds guesses off over all connections', async () => {
    const { port } = await meter({ mechanism: 'low', password: Buffer.from('open') })
    const open = { kind: 'open', challenge: randomBytes(16), counters: { sent: -1, received: -1 } } as const
    const attempt = async (password: string): Promise<string> => {
      const authentication = { mechanism: 'low', password: Buffer.from(password) } as const
      const client = await MeterClient.connect(port, { authentication, receivePduOctetsMax: 512 })
      opened.push(client)
      const effect = await client.do(open)
      return effect.kind === 'failed' ? effect.fault.message : effect.kind
    }
    expect(await attempt('open')).toBe('associated')
    for (let i = 0; i < 3; i++) expect(await attempt(`guess ${i}`)).toContain('result 1')
    expect(await attempt('open')).toContain('result 2, user diagnostic 13')
  })

  test('takes as many sessions as it may, and closes one that is no wrapper', async () => {
    const limits = { sessionsMax: 1 }
    const server = await startMeterServer({
      host: '127.0.0.1',
      port: 0,
      limits,
      open: () => () => ({ send: [], close: false }),
    })
    opened.push(server)
    const first = connect(server.port, '127.0.0.1')
    await once(first, 'connect')
    const second = connect(server.port, '127.0.0.1').on('error', () => {})
    await once(second, 'close')
    expect(first.destroyed).toBe(false)
    first.write('GET / HTTP/1.1\r\n\r\n')
    await once(first, 'close')
  })

  test('closes a session whose client is silent', async () => {
    const limits = { silenceMs: 20 }
    const server = await startMeterServer({
      host: '127.0.0.1',
      port: 0,
      limits,
      open: () => () => ({ send: [], close: false }),
    })
    opened.push(server)
    await once(connect(server.port, '127.0.0.1'), 'close')
  })
})

describe('ami simulate meter', () => {
  const run = (...args: string[]) =>
    spawn(process.execPath, [join(import.meta.dirname, '../../cli/ami.mjs'), 'simulate', 'meter', ...args])

  test('says where it listens, is read, and ends with 0 on SIGTERM', async () => {
    const child = run('--listen', '127.0.0.1:0', '--seed', '7')
    opened.push({ close: () => child.kill('SIGKILL') })
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const said = /^meter 414d490000000007 on 127\.0\.0\.1:(\d+)\n$/.exec(line.toString())
    const config = { authentication: { mechanism: 'lowest' }, receivePduOctetsMax: 65_535 } as const
    const client = await MeterClient.connect(Number(said?.[1]), config)
    opened.push(client)
    await client.do({ kind: 'open', challenge: randomBytes(16), counters: { sent: -1, received: -1 } })
    const clock = time(await client.get(8, '0-0:1.0.0', 2))
    expect(Math.abs(clock! - Date.now() / 1000)).toBeLessThan(30)
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  test('writes the keys of the seed where only their owner reads them, and a client that has them reads the meter', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'meter-'))
    opened.push({ close: () => rmSync(folder, { recursive: true }) })
    const file = join(folder, 'keys.json')
    const child = run(
      '--listen=127.0.0.1:0',
      '--authentication=ecdsa',
      '--suite=2',
      '--protection=both',
      `--keys-out=${file}`,
    )
    opened.push({ close: () => child.kill('SIGKILL') })
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const told = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>
    expect(line.toString()).not.toContain(told.ek)
    const names = { own: parseSystemTitle(told.client!), peer: parseSystemTitle(told.meter!), suite: 2 } as const
    const privateKey = createPrivateKey(told.clientPrivateKey!)
    const peerKey = createPublicKey(told.meterPublicKey!)
    const ek = createSecretKey(Buffer.from(told.ek!, 'hex'))
    const ak = Buffer.from(told.ak!, 'hex')
    const port = Number(/:(\d+)\n$/.exec(line.toString())?.[1])
    const client = await MeterClient.connect(port, {
      authentication: { mechanism: 'high-ecdsa', ...names, privateKey, peerKey },
      ciphering: { ...names, ek, ak, protection: 'authenticated-encrypted' },
      receivePduOctetsMax: 1_024,
    })
    opened.push(client)
    const dedicatedKey = randomBytes(32)
    const event = {
      kind: 'open',
      challenge: randomBytes(32),
      counters: { sent: -1, received: -1 },
      dedicatedKey,
    } as const
    expect(await client.do(event)).toMatchObject({ kind: 'associated' })
    expect(elements(await client.get(7, '1-0:99.1.0', 2, entry(1, 96)))).toHaveLength(96)
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  test('says of a weak mechanism that it is weak', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'meter-'))
    opened.push({ close: () => rmSync(folder, { recursive: true }) })
    const other = run('--listen=127.0.0.1:0', '--authentication=md5', `--keys-out=${join(folder, 'keys')}`)
    opened.push({ close: () => other.kill('SIGKILL') })
    const [said] = (await once(other.stderr, 'data')) as [Buffer]
    expect(said.toString()).toContain('md5 is weak')
  })

  test.each([
    ['no address', 64, []],
    ['a password that is not there', 64, ['--listen', '127.0.0.1:0', '--authentication', 'lls']],
    [
      'a key file that is not there',
      78,
      ['--listen=127.0.0.1:0', '--authentication=gmac', '--ek-file=no', '--ak-file=no'],
    ],
  ] as const)('with %s exits %i', async (_, code, args) => {
    const child = run(...args)
    opened.push({ close: () => child.kill('SIGKILL') })
    expect(await once(child, 'exit')).toEqual([code, null])
  })
})

describe('the options of a meter', () => {
  const none = {
    listen: undefined,
    passwordFile: undefined,
    secretFile: undefined,
    ekFile: undefined,
    akFile: undefined,
    clientKeyFile: undefined,
    keysOut: undefined,
  }
  const given = { ...none, seed, suite: 0, authentication: 'lowest', protection: 'none', general: false, clear: false }

  test.each([
    ['a mechanism that there is not', { authentication: 'sha512' }, 'sha512'],
    ['a protection that there is not', { protection: 'all' }, 'all'],
    ['ECDSA in suite 0', { authentication: 'ecdsa', keysOut: 'keys' }, '--suite 1 or 2'],
    ['ECDSA without a place for the meter’s key', { authentication: 'ecdsa', suite: 1 }, '--keys-out'],
    ['GMAC without one of its keys', { authentication: 'gmac', ekFile: 'ek' }, '--ak-file'],
    ['protection without keys', { protection: 'both' }, '--ek-file and --ak-file'],
    ['SHA-256 without a secret', { authentication: 'sha256' }, '--secret-file'],
  ])('with %s are refused, and say what is missing', (_, more, said) => {
    const files = 'ekFile' in more ? { ...more, ekFile: ekFile() } : more
    expect(() => accessOf({ ...given, ...files })).toThrow(said)
  })

  function ekFile(): string {
    const folder = mkdtempSync(join(tmpdir(), 'meter-'))
    opened.push({ close: () => rmSync(folder, { recursive: true }) })
    writeFileSync(join(folder, 'ek'), '00'.repeat(16), { mode: 0o600 })
    return join(folder, 'ek')
  }
})

describe('the objects of a meter', () => {
  const objects = cosemMeter({ seed, systemTitle: titleOf(seed), installed, now: () => now })
  const get = (classId: number, obis: string, attribute: number, selection?: SelectiveAccess) =>
    objects.get({ classId, obis: parseObis(obis), attribute, selection })
  const badTime: SelectiveAccess = {
    ...range(0, 0),
    from: { type: 'octet-string', octets: new Uint8Array(12).fill(0xff) },
  } as SelectiveAccess

  test.each([
    ['an object that it lacks', 3, '1-0:9.9.9', 2, undefined, 4],
    ['a class that the object is not', 4, '1-0:1.8.0', 2, undefined, 9],
    ['an attribute that the object lacks', 3, '1-0:1.8.0', 9, undefined, 11],
    ['a selection where there is none', 3, '1-0:1.8.0', 2, entry(1, 1), 13],
    ['entry 0', 7, '1-0:99.1.0', 2, entry(0, 1), 13],
    ['a column that the profile lacks', 7, '1-0:99.1.0', 2, entry(1, 1, 1, 9), 13],
    ['a range without a time', 7, '1-0:99.1.0', 2, badTime, 12],
  ] as const)('%s is refused with its code', (_, classId, obis, attribute, selection, result) => {
    expect(get(classId, obis, attribute, selection)).toEqual({ kind: 'error', result })
  })

  test('a range that ends before it begins holds no row', () => {
    expect(get(7, '1-0:99.1.0', 2, range(quarter, quarter - 1))).toEqual({
      kind: 'data',
      data: { type: 'array', elements: [] },
    })
  })
})
