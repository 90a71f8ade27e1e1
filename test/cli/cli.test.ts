import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readKek } from '#gateway/io/keys.ts'
import { openLedger } from '#gateway/io/ledger.ts'
import { concentratorId, parseSystemTitle } from '#gateway/model.ts'
import { tempFolder } from '#test/support/temp.ts'

const root = join(import.meta.dirname, '../..')

interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

function ami(...args: string[]): Outcome {
  const run = spawnSync(process.execPath, [join(root, 'cli/ami.mjs'), ...args], { encoding: 'utf8', timeout: 20_000 })
  return { code: run.status, stdout: run.stdout, stderr: run.stderr }
}

const commands = ['demo', 'gateway', 'mdm', 'studies', 'simulate', 'pki', 'dmz', 'link', 'decode', 'verify']
const usage = "ami: 'ami --help' lists the commands, 'ami COMMAND --help' its options\n"

describe('ami', () => {
  test('--help lists every command, each with its summary', () => {
    const { code, stdout, stderr } = ami('--help')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const listed = [...stdout.matchAll(/^ {2}(\w+) +\S.*$/gm)].map(([, name]) => name)
    expect(listed).toEqual(commands)
  })

  test('--version says that of package.json alone, and --help says it too', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    expect(version).toMatch(/^\d+\.\d+\.\d+$/)
    expect(ami('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
    const { stdout } = ami('--help')
    expect(stdout).toMatch(/^ +ami --version$/m)
    expect(stdout.split('\n')[0]).toBe(`ami: a smart-meter head-end, version ${version}`)
  })

  test.for(commands)('%s --help says how it is used and exits 0', (command) => {
    const { code, stdout, stderr } = ami(command, '--help')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(new RegExp(`^usage: ami ${command}`, 'm'))
    expect(stdout.endsWith('\n')).toBe(true)
  })

  test.for([
    ['no command', []],
    ['an unknown command', ['frobnicate']],
    ['a name that every object has', ['constructor']],
    ['an unknown option', ['demo', '--frobnicate']],
    ['an option without its value', ['demo', '--duration']],
    ['an option out of its range', ['demo', '--meters', '0']],
    ['a number that is none', ['demo', '--interval', '1e3']],
    ['an argument too many', ['demo', 'now']],
    ['a gateway without its configuration', ['gateway']],
    ['a verb that the gateway lacks', ['gateway', 'export', '--config', 'x.json']],
    ['mdm without its verb', ['mdm', '--config', 'x.json']],
    ['studies without its configuration', ['studies']],
    ['simulate without a verb', ['simulate']],
    ['pki without a verb', ['pki']],
    ['dmz without a verb', ['dmz']],
  ] as const)('%s exits 64, and stderr says what is wrong', ([, args]) => {
    const { code, stdout, stderr } = ami(...args)
    expect(code).toBe(64)
    if (args.length === 0) expect(stdout).toMatch(/^ami: a smart-meter head-end/)
    else expect(stderr).toMatch(new RegExp(`^ami: .+\\n(${usage})?$`, 's'))
  })
})

/** A gateway's configuration with its secrets, as far as the offline commands need it. */
function configure(): { folder: string; config: string } {
  const folder = tempFolder()
  writeFileSync(join(folder, 'kek'), `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  const config = join(folder, 'gateway.json')
  const named = (...names: string[]): Record<string, string> => Object.fromEntries(names.map((name) => [name, name]))
  const text = {
    zonesFile: join(root, 'dmz-config/zones.json'),
    data: '.',
    tls: named('keyFile', 'certificateFile', 'trustFile', 'crlFile'),
    sealer: named('keyFile', 'certificateFile'),
    kekFile: 'kek',
    linkKey: { id: 0, file: 'link.key' },
  }
  writeFileSync(config, JSON.stringify(text))
  return { folder, config }
}

describe.each([
  ['gateway', ['gateway']],
  ['gateway import', ['gateway', 'import', 'registry.ndjson']],
  ['gateway quarantine', ['gateway', 'quarantine']],
  ['mdm receive', ['mdm', 'receive']],
  ['studies', ['studies']],
  ['simulate run', ['simulate', 'run']],
] as const)('the configuration of ami %s', (_, command) => {
  test('exits 78 when it cannot be read, with its name', () => {
    const { code, stderr } = ami(...command, '--config', join(tempFolder(), 'none.json'))
    expect(code).toBe(78)
    expect(stderr).toMatch(/^ami: .*\n$/)
    expect(stderr).toMatch(/ENOENT/)
  })

  test('exits 78 when it is no JSON', () => {
    const file = join(tempFolder(), 'broken.json')
    writeFileSync(file, '{"data": ')
    const { code, stderr } = ami(...command, '--config', file)
    expect(code).toBe(78)
    if (command[1] !== 'import') expect(stderr).toMatch(/^ami: configuration: not JSON/)
  })
})

describe('a wrong configuration', () => {
  test('is told with all its faults at once', () => {
    const { folder } = configure()
    const file = join(folder, 'wrong.json')
    writeFileSync(file, JSON.stringify({ zonesFile: 7, tls: { keyfile: 'k' }, seal: { intervalMs: 1 }, surplus: 1 }))
    const { code, stdout, stderr } = ami('gateway', '--config', file)
    expect({ code, stdout }).toEqual({ code: 78, stdout: '' })
    const faults = stderr.trimEnd().split('\n')
    expect(faults.every((line) => line.startsWith('ami: '))).toBe(true)
    for (const key of [
      'zonesFile',
      'data',
      'tls.keyFile',
      'tls.keyfile',
      'sealer',
      'kekFile',
      'linkKey',
      'seal.intervalMs',
      'surplus',
    ])
      expect(stderr).toContain(`ami: ${key}`)
  })
})

const meter = (n: number, more: object = {}): string =>
  JSON.stringify({ meter: `414d49000000000${n}`, substation: 'sub-1', ek: '0'.repeat(32), ak: 'f'.repeat(32), ...more })

describe('ami gateway import', () => {
  test('registers meters, and again without harm', () => {
    const { folder, config } = configure()
    const file = join(folder, 'registry.ndjson')
    writeFileSync(file, `${meter(1)}\n${meter(2)}\n\n`, { mode: 0o600 })
    const expected = { code: 0, stdout: '2 meters imported, 2 registered\n', stderr: '' }
    expect(ami('gateway', 'import', '--config', config, file)).toEqual(expected)
    expect(ami('gateway', 'import', '--config', config, file)).toEqual(expected)
  })

  test('names every bad line, shows no key, and registers none', () => {
    const { folder, config } = configure()
    const file = join(folder, 'registry.ndjson')
    const secret = 'c0ffee'.repeat(5)
    const bad = ['{', meter(3, { ek: secret }), meter(4, { meter: 'xyz' }), meter(5, { name: 'J. Doe' })]
    writeFileSync(file, [meter(1), ...bad, meter(2)].join('\n'), { mode: 0o600 })
    const { code, stdout, stderr } = ami('gateway', 'import', '--config', config, file)
    expect({ code, stdout }).toEqual({ code: 78, stdout: '' })
    expect([...stderr.matchAll(/, line (\d+): /g)].map(([, line]) => Number(line))).toEqual([2, 3, 4, 5])
    expect(stderr).not.toContain(secret)
    writeFileSync(file, meter(1))
    expect(ami('gateway', 'import', '--config', config, file).stdout).toBe('1 meters imported, 1 registered\n')
  })

  test('refuses keys in a file that others may read', () => {
    const { folder, config } = configure()
    const file = join(folder, 'registry.ndjson')
    writeFileSync(file, meter(1))
    chmodSync(file, 0o644)
    const { code, stderr } = ami('gateway', 'import', '--config', config, file)
    expect(code).toBe(78)
    expect(stderr).toMatch(/^ami: registry: .* is open to others \(644\): chmod 600\n$/)
  })

  test('refuses a key-encryption key that others may read, or that is none', () => {
    const { folder, config } = configure()
    const file = join(folder, 'registry.ndjson')
    writeFileSync(file, meter(1), { mode: 0o600 })
    chmodSync(join(folder, 'kek'), 0o640)
    expect(ami('gateway', 'import', '--config', config, file)).toMatchObject({ code: 78, stdout: '' })
    writeFileSync(join(folder, 'kek'), 'not hex')
    chmodSync(join(folder, 'kek'), 0o600)
    const { code, stderr } = ami('gateway', 'import', '--config', config, file)
    expect(code).toBe(78)
    expect(stderr).toMatch(/^ami: kekFile: 32 octets as 64 hex digits\n$/)
  })
})

describe('ami gateway quarantine', () => {
  test('lists nothing where there is nothing', () => {
    const { config } = configure()
    expect(ami('gateway', 'quarantine', '--config', config)).toEqual({ code: 0, stdout: '', stderr: '' })
  })

  test('lists the newest first, as lines for people and as JSON with all octets, up to the limit', () => {
    const { folder, config } = configure()
    const ledger = openLedger(join(folder, 'ledger.sqlite'), readKek(join(folder, 'kek')))
    const common = { concentrator: concentratorId('dc-1'), detail: 'the tag does not hold' }
    const first = {
      ...common,
      atMs: 1_000,
      meter: parseSystemTitle('414d490000000001'),
      code: 'TAG_UNAUTHENTIC',
    } as const
    const second = { ...common, atMs: 2_000, meter: undefined, code: 'UPLINK_MALFORMED' } as const
    const quarantine = [first, second].map((one) => ({ ...one, octets: Buffer.from('00ff', 'hex') }))
    ledger.commit({ position: 0, uplinks: [], counters: [], heard: [], series: [], quarantine })
    ledger.close()

    const text = ami('gateway', 'quarantine', '--config', config)
    expect(text.code).toBe(0)
    expect(text.stdout.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^1970-01-01T00:00:02.000Z {2}dc-1 +- +UPLINK_MALFORMED +the tag does not hold$/),
      expect.stringMatching(/^1970-01-01T00:00:01.000Z {2}dc-1 +414d490000000001 +TAG_UNAUTHENTIC +the tag/),
    ])
    const json = ami('gateway', 'quarantine', '--config', config, '--json', '--limit', '1')
    expect(
      json.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      {
        ...{ at: '1970-01-01T00:00:02.000Z', concentrator: 'dc-1', meter: null, code: 'UPLINK_MALFORMED' },
        ...{ detail: 'the tag does not hold', octets: '00ff' },
      },
    ])
    expect(ami('gateway', 'quarantine', '--config', config, '--limit', '0').code).toBe(64)
  })
})
