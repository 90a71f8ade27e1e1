import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mainFile } from '#cli/demo/layout.ts'
import { standings } from '#pki/expiry.ts'
import { measure } from '#pki/measure.ts'
import { renderMetrics } from '#pki/metrics.ts'
import type { Listed } from '#pki/store.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

const day = 86_400
let pki: WithForeign
beforeAll(async () => {
  pki = await throwawayPki()
  await pki.issue('concentrator', 'dc-1', { days: 10 })
  await pki.issue('concentrator', 'dc-2', { days: 10 })
  await pki.issue('concentrator', 'dc-2') // its renewal
  await pki.issue('concentrator', 'dc-3')
  await pki.revoke((await pki.issue('concentrator', 'dc-4')).serial)
  await pki.issue('operator', 'op-1')
  await pki.pki.checkpoint()
})
afterAll(() => pki.close())

/** Samples by name and labels, once seen to be lines of the format. */
function samples(text: string): Map<string, number> {
  const line = /^(ami_pki_[a-z_]+(?:\{[a-z]+="[a-z0-9-]+"(?:,[a-z]+="[a-z0-9-]+")*\})?) (-?[0-9.e+]+)$/
  const found = new Map<string, number>()
  for (const one of text.trimEnd().split('\n')) {
    if (/^# (HELP|TYPE) ami_pki_[a-z_]+ ./.test(one) || one === '') continue
    const match = line.exec(one)
    expect(match, one).not.toBeNull()
    found.set(match![1]!, Number(match![2]))
  }
  return found
}

function ami(...args: readonly string[]): { code: number | null; out: string } {
  const line = [mainFile, 'pki', ...args]
  const { status, stdout } = spawnSync(process.execPath, line, { encoding: 'utf8', timeout: 60_000 })
  return { code: status, out: stdout }
}

describe('the metrics of a PKI', () => {
  test('count certificates by profile and state, the renewed not as expiring', async () => {
    const at = Date.now() / 1_000
    const counts = async (later: number): Promise<number[]> => {
      const found = samples(await renderMetrics(await measure(pki.caDir, { at: at + later, days: 30 })))
      return ['live', 'expiring', 'expired', 'revoked'].map((state) => {
        return found.get(`ami_pki_certificates{profile="concentrator",state="${state}"}`)!
      })
    }
    expect(await counts(0)).toEqual([4, 1, 0, 1])
    expect(await counts(20 * day)).toEqual([2, 0, 2, 1])
    expect(await counts(70 * day)).toEqual([2, 2, 2, 1])
    expect(await counts(100 * day)).toEqual([0, 0, 4, 1])
  })

  test('tell when each CRL and the checkpoint were made, and when the first certificate ends', async () => {
    const at = Math.floor(Date.now() / 1_000) + day
    const found = samples(await renderMetrics(await measure(pki.caDir, { at, days: 30 })))
    for (const ca of ['root', 'device', 'infrastructure', 'signing', 'people']) {
      const begun = found.get(`ami_pki_crl_this_update_timestamp_seconds{ca="${ca}"}`)!
      expect(found.get(`ami_pki_crl_age_seconds{ca="${ca}"}`)).toBe(at - begun)
      const days = (found.get(`ami_pki_crl_next_update_timestamp_seconds{ca="${ca}"}`)! - begun) / day
      expect(Math.round(days)).toBe(ca === 'root' ? 365 : 7)
    }
    expect(found.get('ami_pki_crl_entries{ca="device"}')).toBe(1)
    const signed = found.get('ami_pki_audit_checkpoint_timestamp_seconds')!
    expect(found.get('ami_pki_audit_checkpoint_age_seconds')).toBe(at - signed)
    expect(found.get('ami_pki_audit_checkpoint_entries')).toBeGreaterThanOrEqual(16)
    const end = found.get('ami_pki_earliest_end_timestamp_seconds{profile="concentrator"}')!
    expect(Math.round((end - at) / day)).toBe(9)
  })

  test('are written to a file as a whole, which others may read, or to standard output', () => {
    const folder = tempFolder()
    const file = join(folder, 'pki.prom')
    for (let round = 0; round < 2; round += 1) {
      expect(ami('metrics', '--store', pki.caDir, '--out', file)).toEqual({ code: 0, out: '' })
    }
    expect(readdirSync(folder)).toEqual(['pki.prom'])
    expect(statSync(file).mode & 0o777).toBe(0o644)
    const shown = samples(ami('metrics', '--dir', pki.caDir).out)
    expect([...samples(readFileSync(file, 'utf8')).keys()]).toEqual([...shown.keys()])
    expect(ami('metrics', '--dir', join(folder, 'none')).code).toBe(78)
    expect(ami('metrics', '--dir', pki.caDir, '--expiring', 'soon').code).toBe(64)
  })
})

test('list --expiring names what is live, ends in time and has no successor, the first to end first', () => {
  const ids = (days: string): string[] => {
    const { out } = ami('list', '--dir', pki.caDir, '--expiring', days, '--json')
    return (JSON.parse(out) as { certificates: Listed[] }).certificates.map(({ id }) => id)
  }
  expect(ids('0')).toEqual([])
  expect(ids('9')).toEqual(['op-1'])
  expect(ids('30')).toEqual(['op-1', 'dc-1'])
  expect(ids('100')).toEqual(['op-1', 'dc-1', 'dc-2', 'dc-3'])
  expect(ami('list', '--dir', pki.caDir, '--expiring', '30').out).toMatch(/op-1 {2}valid\n.* dc-1 {2}valid\n$/)
})

test('what signed a ceremony’s transcript is never expiring, for nobody renews it', () => {
  const one = { profile: 'ceremony', id: 'first', notAfter: 100, revoked: undefined } as Listed
  expect([99, 101].map((at) => standings([one], { at, days: 1 })(one))).toEqual(['live', 'expired'])
})

test('a certificate is expiring up to and with its last second', () => {
  const one = { profile: 'mdm', id: 'm', notAfter: 100 + day, revoked: undefined } as Listed
  const standing = (at: number): string => standings([one], { at, days: 1 })(one)
  expect([standing(99), standing(100), standing(100 + day), standing(101 + day)]).toEqual([
    'live',
    'expiring',
    'expiring',
    'expired',
  ])
})
