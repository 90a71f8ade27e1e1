import { spawnSync } from 'node:child_process'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mainFile } from '#cli/demo/layout.ts'
import type { KeyPlace } from '#pki/keystore/keystore.ts'

/** A ceremony's folder: two approvers with their keys, a passphrase, and the file. */
export interface Cast {
  folder: string
  config: string
  store: string
  keys: readonly [KeyObject, KeyObject]
  /** runs `ami pki ceremony … --config FILE` */
  ami(...args: readonly string[]): { code: number | null; out: string; err: string }
  /** both approve, by our own command, with these keys */
  approve(keys?: readonly number[]): void
}

/** What a test may want otherwise: fields of the file. */
export function castCeremony(folder: string, changes: Record<string, unknown> = {}): Cast {
  const file = (name: string): string => join(folder, name)
  const pairs = [0, 1].map(() => generateKeyPairSync('ec', { namedCurve: 'P-256' }))
  for (const [at, { privateKey, publicKey }] of pairs.entries()) {
    writeFileSync(file(`approver-${at}.key`), privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 })
    writeFileSync(file(`approver-${at}.pem`), publicKey.export({ format: 'pem', type: 'spki' }))
  }
  writeFileSync(file('passphrase'), 'a passphrase for a ceremony\n', { mode: 0o600 })
  const approver = (name: string, at: number): object => {
    return { name, key: `approver-${at}.pem`, approval: `approval-${at}.sig` }
  }
  const iso = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z/, 'Z')
  const value = {
    ceremony: 'test-1',
    organisation: 'Test Grid',
    profileSet: 'p256',
    store: 'ca',
    passphraseFile: 'passphrase',
    window: { from: iso(Date.now() - 3_600_000), to: iso(Date.now() + 3_600_000) },
    approvers: [approver('A. Jansen', 0), approver('B. de Vries', 1)],
    ...changes,
  }
  const config = file('ceremony.json')
  writeFileSync(config, JSON.stringify(value, null, 2))
  const ami: Cast['ami'] = (...args) => {
    const line = [mainFile, 'pki', 'ceremony', ...args, '--config', config]
    const { status, stdout, stderr } = spawnSync(process.execPath, line, { encoding: 'utf8', timeout: 60_000 })
    return { code: status, out: stdout, err: stderr }
  }
  const approve = (numbers: readonly number[] = [0, 1]): void => {
    for (const at of numbers) {
      const { code, err } = ami('approve', '--key', file(`approver-${at}.key`), '--out', file(`approval-${at}.sig`))
      if (code !== 0) throw new Error(err)
    }
  }
  return { folder, config, store: file('ca'), keys: [pairs[0]!.privateKey, pairs[1]!.privateKey], ami, approve }
}

/** Every CA's key at one place. */
export function allAt(place: KeyPlace): Record<string, KeyPlace> {
  return Object.fromEntries(['root', 'device', 'infrastructure', 'signing', 'people'].map((name) => [name, place]))
}
