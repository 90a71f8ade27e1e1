import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { defaultZonesFile } from '#dmz-config/zones.ts'

const folder = mkdtempSync(join(tmpdir(), 'ami-dmz-'))
afterAll(() => rmSync(folder, { recursive: true }))

const rulesFile = new URL('../../dmz-config/rules/gateway.nft', import.meta.url)

/** `ami dmz` as its own process: exit code, stdout, stderr. */
function dmz(...args: string[]): { code: number | null; out: string; err: string } {
  const main = join(import.meta.dirname, '../../cli/main.ts')
  const run = spawnSync(process.execPath, [main, 'dmz', ...args], { encoding: 'utf8' })
  return { code: run.status, out: run.stdout, err: run.stderr }
}

/** The committed zones with another uplink port. */
function zonesWithPort(port: number): string {
  const file = join(folder, `zones-${port}.json`)
  writeFileSync(file, readFileSync(defaultZonesFile, 'utf8').replace('8883', String(port)))
  return file
}

test('render prints the committed rules', () => {
  expect(dmz('render')).toEqual({ code: 0, out: readFileSync(rulesFile, 'utf8'), err: '' })
})

test('render --check is content with them, and tells when they are stale', () => {
  expect(dmz('render', '--check').code).toBe(0)
  const stale = dmz('render', '--check', '--zones', zonesWithPort(8884))
  expect([stale.code, stale.out]).toEqual([1, ''])
  expect(stale.err).toContain('dmz-config/rules/gateway.nft is stale')
})

test('render --out writes what render --out --check then accepts', () => {
  const [zones, out] = [zonesWithPort(8885), join(folder, 'out.nft')]
  expect(dmz('render', '--zones', zones, '--out', out).out).toBe('')
  expect(readFileSync(out, 'utf8')).toContain('tcp dport 8885')
  expect(dmz('render', '--zones', zones, '--out', out, '--check').code).toBe(0)
  expect(dmz('render', '--out', out, '--check').code).toBe(1)
})

test('show lists the conduits, and --json gives the checked file', () => {
  expect(dmz('show').out).toContain('oneway: gateway > mdm 192.0.2.140 2001:db8:1::140 udp 9700')
  expect(JSON.parse(dmz('show', '--json').out).conduits.operations.enabled).toBe(false)
})

test.for<[args: string[], code: number, word: string]>([
  [[], 64, 'one of render, show'],
  [['constructor'], 64, 'one of render, show'],
  [['render', 'twice'], 64, 'one of render, show'],
  [['render', '--json'], 64, 'render takes no --json'],
  [['show', '--check'], 64, 'show takes neither'],
  [['show', '--zones', 'absent.json'], 78, 'absent.json'],
  [['render', '--out', 'absent/file'], 78, 'absent/file'],
  [['show', '--zones', zonesWithPort(99_999)], 78, 'conduits.uplink.port: a whole number, 1 to 65535, not 99999'],
])('%j is refused with exit code %i', ([args, code, word]) => {
  const refused = dmz(...args)
  expect(refused.code).toBe(code)
  expect(refused.err).toContain(word)
})
