import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KeyPlace } from '#pki/keystore/keystore.ts'
import { hasTool, toolNote } from './tools.ts'

const library = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so'].find(existsSync)

/** File of the library, `undefined` where the software token is not installed. */
export const softhsm: string | undefined = hasTool('softhsm2-util') ? library : undefined

/** For the name of a test that cannot run. */
export const softhsmNote: string = softhsm === undefined ? toolNote('softhsm2-util') : ''

/** A fresh token, of this process and of those it starts. Its PIN is 7391. */
export function makeToken(folder: string, token: string): Extract<KeyPlace, { kind: 'pkcs11' }> {
  mkdirSync(join(folder, 'tokens'))
  const conf = join(folder, 'softhsm2.conf')
  writeFileSync(conf, `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\n`)
  process.env.SOFTHSM2_CONF = conf
  writeFileSync(join(folder, 'pin'), '7391\n', { mode: 0o600 })
  const making = ['--init-token', '--free', '--label', token, '--so-pin', '1234', '--pin', '7391']
  const { status, stderr } = spawnSync('softhsm2-util', making, { encoding: 'utf8', timeout: 20_000 })
  if (status !== 0) throw new Error(stderr)
  return { kind: 'pkcs11', module: softhsm!, token, pinFile: join(folder, 'pin') }
}
