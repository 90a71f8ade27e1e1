import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { certificatesFromPem, parseCrls, verifyChain } from '#pki/verify.ts'
import { parseFleetFile } from '#simulator/prepare.ts'
import { tempFolder } from '#test/support/temp.ts'

const program = join(import.meta.dirname, '..', '..', 'cli', 'main.ts')

function simulate(...args: readonly string[]): { code: number | null; out: string } {
  const { status, stdout } = spawnSync(process.execPath, [program, 'simulate', ...args], {
    encoding: 'utf8',
    timeout: 50_000,
  })
  return { code: status, out: stdout }
}

test('50 concentrators enrol from nothing in one command, and leave a fleet that can speak', {
  timeout: 60_000,
}, () => {
  const folder = join(tempFolder(), 'fleet')
  const size = ['--concentrators', '50', '--meters', '60', '--substations', '2']
  const { code, out } = simulate('enrol', '--out', folder, ...size, '--json')
  expect(code).toBe(0)
  expect(JSON.parse(out)).toMatchObject({ concentrators: 50, enrolled: 50, refused: {} })

  expect(parseFleetFile(readFileSync(join(folder, 'fleet.json'), 'utf8'))).toMatchObject({
    concentrators: 50,
    meters: 60,
  })
  expect(readFileSync(join(folder, 'registry.ndjson'), 'utf8').trim().split('\n')).toHaveLength(60)
  const crls = parseCrls(readFileSync(join(folder, 'pki', 'crl', 'crl.pem'), 'utf8'))
  const roots = certificatesFromPem(readFileSync(join(folder, 'pki', 'root.pem'), 'utf8'))
  for (let i = 1; i <= 50; i++) {
    const id = `dc-${String(i).padStart(5, '0')}`
    const path = join(folder, 'concentrators', id)
    const [leaf, ...intermediates] = certificatesFromPem(readFileSync(`${path}.chain.pem`, 'utf8'))
    const question = {
      leaf: leaf!,
      intermediates,
      roots,
      crls,
      at: Date.now() / 1_000,
      purpose: 'concentrator',
    } as const
    expect(verifyChain(question)).toMatchObject({ ok: true, uri: `urn:ami:concentrator:${id}` })
    expect(statSync(`${path}.key.pem`).mode & 0o777).toBe(0o600)
  }
  expect(existsSync(JSON.parse(readFileSync(join(folder, 'est.json'), 'utf8')).queueSocket)).toBe(false)
  expect(simulate('enrol', '--out', folder, ...size).code).toBe(78)
})
