import { spawnSync } from 'node:child_process'
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ledgerIn } from '#test/support/ledger.ts'
import { meter } from '#test/support/meters.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

const project = fileURLToPath(new URL('../../', import.meta.url))
let pki: WithForeign
let [tls, sealer]: FiledCertificate[] = []
beforeAll(async () => {
  pki = await throwawayPki()
  tls = await pki.issue('gateway', 'gateway')
  sealer = await pki.issue('sealer', 'gw-1')
})
afterAll(() => pki.close())

/** A folder with a configuration that would start, were it not for `changes`. */
function folderWith(changes: object = {}): string {
  const folder = tempFolder()
  writeFileSync(join(folder, 'kek'), '5a'.repeat(32), { mode: 0o600 })
  writeFileSync(join(folder, 'link.key'), 'a5'.repeat(32), { mode: 0o600 })
  const config = {
    zonesFile: join(project, 'dmz-config', 'zones.json'),
    loopback: { uplink: 0, oneway: 9 },
    data: 'data',
    tls: {
      keyFile: tls!.keyFile,
      certificateFile: tls!.certificateFile,
      trustFile: pki.deviceTrustFile,
      crlFile: pki.crlFile,
    },
    sealer: { keyFile: sealer!.keyFile, certificateFile: sealer!.certificateFile },
    kekFile: 'kek',
    linkKey: { id: 0, file: 'link.key' },
    ...changes,
  }
  writeFileSync(join(folder, 'gateway.json'), JSON.stringify(config))
  return folder
}

/** Starts it in a process of its own, which is given 20 s to end by itself. */
function start(folder: string): { status: number | null; stderr: string } {
  const args = [join(project, 'cli', 'main.ts'), 'gateway', '--config', join(folder, 'gateway.json')]
  const { status, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 20_000,
    killSignal: 'SIGKILL',
  })
  return { status, stderr }
}

describe('a gateway that cannot start says why, and ends', () => {
  test.for([
    ['a TLS key that is not there', 'keyFile', () => ({ tls: { keyFile: 'none' } })],
    ['a trust file that is not there', 'trustFile', () => ({ tls: { trustFile: 'none' } })],
    ['a root alone to trust', 'trustFile', () => ({ tls: { trustFile: pki.rootFile } })],
    ['a CRL that is not there', 'none', () => ({ tls: { crlFile: 'none' } })],
    ['a sealer key that is not there', 'none', () => ({ sealer: { keyFile: 'none' } })],
  ] as const)('with %s: exit 78', ([, names, change]) => {
    const changes: { tls?: object; sealer?: object } = change()
    const folder = folderWith({
      tls: {
        keyFile: tls!.keyFile,
        certificateFile: tls!.certificateFile,
        trustFile: pki.deviceTrustFile,
        crlFile: pki.crlFile,
        ...changes.tls,
      },
      sealer: { keyFile: sealer!.keyFile, certificateFile: sealer!.certificateFile, ...changes.sealer },
    })
    const { status, stderr } = start(folder)
    expect(stderr).toContain(names)
    expect(status).toBe(78)
  })

  test.for([
    ['others may read', '5a'.repeat(32), 0o640],
    ['is too short', '5a'.repeat(31), 0o600],
  ] as const)('with a key of the link that %s: exit 78', ([, text, mode]) => {
    const folder = folderWith()
    writeFileSync(join(folder, 'link.key'), text)
    chmodSync(join(folder, 'link.key'), mode)
    const { status, stderr } = start(folder)
    expect({ status, stderr }).toMatchObject({ status: 78, stderr: expect.stringContaining('linkKey.file') })
    expect(stderr).not.toContain(text)
  })

  test('with a key-encryption key that others may read: exit 78', () => {
    const folder = folderWith()
    chmodSync(join(folder, 'kek'), 0o644)
    expect(start(folder)).toMatchObject({ status: 78, stderr: expect.stringContaining('chmod 600') })
  })

  test('with another key-encryption key than the one before: exit 78', () => {
    const folder = folderWith({ data: '.' })
    ledgerIn(folder, [meter(1)]).close()
    rmSync(join(folder, 'kek'))
    writeFileSync(join(folder, 'kek'), '00'.repeat(32), { mode: 0o600 })
    expect(start(folder)).toMatchObject({ status: 78, stderr: expect.stringContaining('kekFile') })
  })

  test('with its port taken: exit 78', async () => {
    const server = createServer()
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const { port } = server.address() as { port: number }
    const { status, stderr } = start(folderWith({ loopback: { uplink: port, oneway: 9 } }))
    server.close()
    expect(stderr).toContain('EADDRINUSE')
    expect(status).toBe(78)
  })
})
