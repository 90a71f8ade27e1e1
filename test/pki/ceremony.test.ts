import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as soon } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mainFile } from '#cli/demo/layout.ts'
import { findEntries } from '#pki/audit/query.ts'
import { parseCeremony } from '#pki/ceremony/config.ts'
import { authorityNames, issuingNames } from '#pki/profiles.ts'
import { openPki, readRegister } from '#pki/store.ts'
import { tempFolder } from '#test/support/temp.ts'
import { allAt, type Cast, castCeremony } from './ceremony-cast.ts'
import { hasOpenssl, openssl, opensslNote } from './openssl.ts'
import { makeToken, softhsm, softhsmNote } from './softhsm.ts'
import { hasTool, toolNote } from './tools.ts'

interface Event {
  event: string
  name: string
  digest: string
  fingerprint: string
}

function events(store: string): Event[] {
  const text = readFileSync(join(store, 'ceremony', 'transcript.ndjson'), 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Event)
}

/** Paths below a folder, so that nothing written goes unseen. */
function listing(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted()
}

function digestOf(file: string): string {
  const { output } = openssl('x509', '-in', file, '-noout', '-fingerprint', '-sha256')
  return output.trim().split('=')[1]!.replaceAll(':', '').toLowerCase()
}

describe('a ceremony', () => {
  let cast: Cast
  beforeAll(() => {
    cast = castCeremony(mkdtempSync(join(tmpdir(), 'ami-ceremony-')))
    cast.approve()
    expect(cast.ami()).toMatchObject({ code: 0, err: '' })
  })
  afterAll(() => rmSync(cast.folder, { recursive: true, force: true }))
  const at = (...path: string[]): string => join(cast.store, ...path)

  test('makes a store that opens, with nothing beside it', async () => {
    const pki = await openPki({ dir: cast.store, passphraseFile: join(cast.folder, 'passphrase') })
    const { chainPem } = await pki.issue({ profile: 'concentrator', id: 'dc-1' })
    expect(chainPem).toContain('BEGIN CERTIFICATE')
    await pki.close()
    expect(readdirSync(cast.folder).filter((name) => name.startsWith('ca'))).toEqual(['ca'])
    expect(listing(cast.store).filter((name) => /lock-journal$|tmp$/.test(name))).toEqual([])
    const told = findEntries(at('audit')).filter(({ kind }) => kind === 'ceremony')
    expect(told).toMatchObject([{ actor: 'ceremony', subject: 'test-1' }])
  })

  test.runIf(hasOpenssl)(`is told in a transcript that openssl verifies with the root alone${opensslNote}`, () => {
    const verify = (content: string): boolean => {
      const how = ['-verify', '-binary', '-inform', 'DER', '-crl_check_all', '-no-CApath', '-no-CAstore']
      const files = ['-in', at('ceremony', 'transcript.cms'), '-content', content, '-CAfile', at('root.pem')]
      return openssl('cms', ...how, ...files, '-out', join(cast.folder, 'out')).ok
    }
    expect(verify(at('ceremony', 'transcript.ndjson'))).toBe(true)
    const forged = join(cast.folder, 'forged')
    writeFileSync(forged, readFileSync(at('ceremony', 'transcript.ndjson'), 'utf8').replace('A. Jansen', 'A. Janssen'))
    expect(verify(forged)).toBe(false)
  })

  test.runIf(hasOpenssl)(`approved by two whose signatures openssl verifies over what was kept${opensslNote}`, () => {
    for (const one of [1, 2]) {
      const how = ['-sha256', '-verify', at('ceremony', `approver-${one}.pem`), '-signature']
      const checked = openssl('dgst', ...how, at('ceremony', `approval-${one}.sig`), at('ceremony', 'config.json'))
      expect(checked).toMatchObject({ ok: true })
    }
  })

  test.runIf(hasOpenssl)('names every certificate and key as openssl sees them, each linted', () => {
    const all = events(cast.store)
    for (const name of authorityNames) {
      const file = name === 'root' ? at('root.pem') : at(name, 'certificate.pem')
      const told = all.filter((one) => one.event === 'certificate' && one.name === name)
      expect(told).toMatchObject([{ digest: digestOf(file), lint: { broken: [] } }])
      const { output } = openssl('x509', '-in', file, '-noout', '-pubkey')
      writeFileSync(join(cast.folder, 'key'), output)
      const der = join(cast.folder, 'key.der')
      openssl('pkey', '-pubin', '-in', join(cast.folder, 'key'), '-outform', 'DER', '-out', der)
      const fingerprint = openssl('dgst', '-sha256', '-r', der).output.split(' ')[0]
      expect(all.filter((one) => one.event === 'key' && one.name === name)).toMatchObject([{ fingerprint }])
    }
  })

  const both = hasOpenssl && hasTool('certtool')
  test.runIf(both)(`makes nothing that openssl or certtool refuses${opensslNote}${toolNote('certtool')}`, () => {
    const alone = ['-no-CApath', '-no-CAstore', '-CAfile', at('root.pem'), '-CRLfile', at('crl', 'crl.pem')]
    for (const name of issuingNames) {
      const file = at(name, 'certificate.pem')
      expect(openssl('verify', '-x509_strict', '-crl_check_all', ...alone, file)).toMatchObject({ ok: true })
      const chain = readFileSync(file, 'utf8') + readFileSync(at('root.pem'), 'utf8')
      expect(certtool(['--verify-chain'], chain)).toMatchObject({ status: 0 })
      expect(certtool(['--certificate-info'], readFileSync(file, 'utf8'))).toMatchObject({ status: 0 })
      const crl = certtool(['--crl-info'], readFileSync(at('crl', `${name}.pem`), 'utf8'))
      expect(crl).toMatchObject({ status: 0 })
      expect(openssl('crl', '-in', at('crl', `${name}.pem`), '-noout', '-CAfile', file).output).toContain('verify OK')
    }
    const p7 = ['--p7-verify', '--inder', '--load-ca-certificate', at('root.pem'), '--load-data']
    const signed = [...p7, at('ceremony', 'transcript.ndjson'), '--infile', at('ceremony', 'transcript.cms')]
    expect(certtool(signed, '')).toMatchObject({ status: 0 })
  })

  test('is not held again over what it made', () => {
    const before = listing(cast.store)
    const { code, err } = cast.ami()
    expect([code, err]).toEqual([78, expect.stringContaining('STORE_EXISTS')])
    expect(listing(cast.store)).toEqual(before)
  })
})

function certtool(args: readonly string[], input: string): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync('certtool', args, { input, encoding: 'utf8', timeout: 20_000 })
  return { status, output: stdout + stderr }
}

describe('a ceremony is refused', () => {
  /** @returns the code of its one refusal */
  function refusal({ ami, folder }: Cast): string {
    const before = listing(folder)
    const { code, out } = ami('--json')
    expect(code).toBe(1)
    expect(listing(folder)).toEqual(before)
    return (JSON.parse(out) as { fault: { code: string } }).fault.code
  }

  test('while an approval is missing', () => {
    const cast = castCeremony(tempFolder())
    expect(refusal(cast)).toBe('CEREMONY_APPROVAL_MISSING')
  })

  test('when anything in its file was changed since, but not for the file’s layout', () => {
    const cast = castCeremony(tempFolder())
    cast.approve()
    const text = readFileSync(cast.config, 'utf8')
    writeFileSync(cast.config, text.replace('"Test Grid"', '"Text Grid"'))
    expect(refusal(cast)).toBe('CEREMONY_APPROVAL_DIGEST')
    const { ceremony, ...rest } = JSON.parse(text) as Record<string, unknown>
    writeFileSync(cast.config, JSON.stringify({ ...rest, ceremony }))
    expect(cast.ami()).toMatchObject({ code: 0 })
  })

  test('when another key lies in an approver’s file', () => {
    const cast = castCeremony(tempFolder())
    cast.approve()
    const other = castCeremony(tempFolder())
    writeFileSync(join(cast.folder, 'approver-0.pem'), readFileSync(join(other.folder, 'approver-0.pem')))
    expect(refusal(cast)).toBe('CEREMONY_APPROVAL_DIGEST')
    const { code, err } = cast.ami('approve', '--key', join(cast.folder, 'approver-0.key'), '--out', 'x')
    expect([code, err]).toEqual([1, expect.stringContaining('CEREMONY_APPROVER')])
  })

  test.each([
    [
      'one person approves twice',
      'CEREMONY_SAME_PERSON',
      [
        ['A. Jansen', 0],
        ['a.  JANSEN ', 1],
      ],
    ],
    [
      'two people share a key',
      'CEREMONY_SAME_KEY',
      [
        ['A. Jansen', 0],
        ['B. de Vries', 0],
      ],
    ],
  ] as const)('when %s', (_, code, people) => {
    const approvers = people.map(([name, at]) => {
      return { name, key: `approver-${at}.pem`, approval: `approval-${at}.sig` }
    })
    const cast = castCeremony(tempFolder(), { approvers })
    cast.approve(people.map(([, at]) => at))
    expect(refusal(cast)).toBe(code)
  })

  test.each([
    ['before', '2001-01-01T00:00:00Z', '2001-01-02T00:00:00Z'],
    ['after', '2101-01-01T00:00:00Z', '2101-01-02T00:00:00Z'],
  ])('when it is not the time: the window lies %s', (_, from, to) => {
    const cast = castCeremony(tempFolder(), { window: { from, to } })
    cast.approve()
    expect(refusal(cast)).toBe('CEREMONY_WINDOW')
  })

  test('with everything that is wrong with its file at once', () => {
    const cast = castCeremony(tempFolder(), {
      organisation: '',
      colour: 'red',
      window: { from: 'now', to: '2101-01-02T00:00:00Z', zone: 'CET' },
      keys: { device: { kind: 'cloud' }, king: { kind: 'pkcs8' } },
      zones: { ip: ['10.0.0.0'] },
      publication: { crl: 'ftp://x' },
      profileSet: 'ml-dsa',
    })
    const { code, err } = cast.ami()
    expect(code).toBe(78)
    const named = err.trimEnd().split('\n')
    for (const path of [
      'organisation',
      'colour',
      'window.from',
      'window.zone',
      'keys.device.kind',
      'keys.king',
      'zones.ip',
      'publication.crl',
      'profileSet',
    ]) {
      expect(named.filter((line) => line.includes(`: ${path}: `))).toHaveLength(1)
    }
    expect(named).toHaveLength(9)
  })

  test('with a sentence for every field that is missing, and for what is no object', () => {
    const faults = (text: string): string[] => {
      const found = parseCeremony(text)
      return 'faults' in found ? found.faults : []
    }
    expect(faults('{}').map((fault) => fault.split(':')[0])).toEqual([
      'ceremony',
      'window',
      'approvers',
      'store',
      'organisation',
      'profileSet',
    ])
    expect(faults('{')).toHaveLength(1)
    expect(faults('[]')).toHaveLength(1)
    expect(faults(`"${'x'.repeat(70_000)}"`)).toEqual(['over 65536 octets'])
  })
})

test('a dry run does everything, writes nothing, and says what is still missing', () => {
  const cast = castCeremony(tempFolder())
  const before = listing(cast.folder)
  const { code, out } = cast.ami('--dry-run', '--json')
  expect(code).toBe(0)
  const { faults, transcript } = JSON.parse(out) as { faults: { code: string }[]; transcript: Event[] }
  expect(faults.map((fault) => fault.code)).toEqual(['CEREMONY_APPROVAL_MISSING', 'CEREMONY_APPROVAL_MISSING'])
  const made = (event: string): string[] => transcript.filter((one) => one.event === event).map(({ name }) => name)
  expect(made('key')).toEqual([...authorityNames, 'audit'])
  expect(made('certificate')).toEqual([...authorityNames, 'ceremony'])
  expect(made('crl')).toEqual(authorityNames)
  expect(listing(cast.folder)).toEqual(before)
  writeFileSync(join(cast.folder, 'passphrase'), 'short\n')
  expect(cast.ami('--dry-run').code).toBe(78)
})

test.runIf(hasOpenssl)('a ceremony with brainpool keys is signed with one, which openssl verifies', () => {
  const cast = castCeremony(tempFolder(), { profileSet: 'brainpool' })
  cast.approve()
  expect(cast.ami()).toMatchObject({ code: 0, err: '' })
  const at = (name: string): string => join(cast.store, name)
  const files = ['-in', at('ceremony/transcript.cms'), '-content', at('ceremony/transcript.ndjson')]
  const how = ['-verify', '-binary', '-inform', 'DER', '-CAfile', at('root.pem'), '-out', join(cast.folder, 'out')]
  expect(openssl('cms', ...how, ...files)).toMatchObject({ ok: true })
})

/** Seen in the draft, or in the store itself, when the kill comes. */
const moments = [
  'ca.ceremony',
  'ca.ceremony/store.json',
  'ca.ceremony/root/key.pem',
  'ca.ceremony/people/key.pem',
  'ca.ceremony/device/certificate.pem',
  'ca.ceremony/crl/crl.pem',
  'ca.ceremony/ceremony/config.json',
  'ca.ceremony/ceremony/transcript.cms',
  'ca.ceremony/journal.ndjson',
  'ca.ceremony/audit/entries.ndjson',
  'ca',
]

/** Kills a ceremony as soon as a file is there. */
async function killAt({ folder, config }: Cast, moment: string): Promise<void> {
  const line = [mainFile, 'pki', 'ceremony', '--config', config]
  const child = spawn(process.execPath, line, { stdio: 'ignore' })
  const gone = once(child, 'close')
  while (!existsSync(join(folder, moment)) && child.exitCode === null) await soon()
  child.kill('SIGKILL')
  await gone
}

describe('killed during a ceremony', { timeout: 120_000 }, () => {
  test.each(moments)('when %s is there: no store or a whole one, and the next goes through', async (moment) => {
    const cast = castCeremony(tempFolder())
    cast.approve()
    await killAt(cast, moment)
    if (!existsSync(cast.store)) expect(cast.ami()).toMatchObject({ code: 0, err: '' })
    await expectWhole(cast)
  })

  test.runIf(softhsm !== undefined)(`with keys on a token, none is left there twice${softhsmNote}`, async () => {
    const folder = tempFolder()
    const place = makeToken(folder, 'ceremony')
    for (const [round, moment] of ['ca.ceremony/store.json', 'ca.ceremony/crl/root.pem'].entries()) {
      const below = join(folder, String(round))
      mkdirSync(below)
      const cast = castCeremony(below, { keys: allAt(place), passphraseFile: undefined })
      cast.approve()
      await killAt(cast, moment)
      expect(cast.ami()).toMatchObject({ code: 0, err: '' })
      const pki = await openPki({ dir: cast.store })
      await pki.issue({ profile: 'sealer', id: 'sealer-1' })
      await pki.refreshCrl('root')
      await pki.close()
      expect(readdirSync(join(cast.store, 'root'))).toEqual([])
    }
    const listing = ['--module', place.module, '--token-label', place.token, '--login', '--pin', '7391']
    if (!hasTool('pkcs11-tool')) return
    const { stdout } = spawnSync('pkcs11-tool', [...listing, '--list-objects', '--type', 'privkey'], {
      encoding: 'utf8',
      timeout: 20_000,
    })
    expect(stdout.match(/Private Key Object/g)).toHaveLength(12) // two stores of five CAs and an audit log
  })
})

async function expectWhole({ store, folder }: Cast): Promise<void> {
  expect(readdirSync(folder).filter((name) => name.startsWith('ca'))).toEqual(['ca'])
  const pki = await openPki({ dir: store, passphraseFile: join(folder, 'passphrase') })
  await pki.refreshCrl('root')
  await pki.close()
  const list = (await readRegister(store)).list()
  expect(list.map(({ profile }) => profile)).toEqual([...authorityNames, 'ceremony'])
  expect(new Set(list.map(({ key }) => key)).size).toBe(6)
  const audit = ['pki', 'audit', 'verify', '--dir', join(store, 'audit'), '--key', join(store, 'audit', 'public.pem')]
  expect(spawnSync(process.execPath, [mainFile, ...audit], { timeout: 60_000 }).status).toBe(0)
}
