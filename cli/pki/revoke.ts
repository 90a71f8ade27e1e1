import { readFile } from 'node:fs/promises'
import { authorityNames, issuingNames } from '#pki/profiles.ts'
import { isRevocationReason, revocationReasons } from '#pki/revoke.ts'
import { parseCrls } from '#pki/verify.ts'
import { UsageError } from '../command.ts'
import { type Answer, opened, type Subcommand, store, type Values } from './subcommand.ts'

export const revoke: Subcommand = { takes: [...store, 'reason'], positionals: [1, 1], run: runRevoke }
export const crl: Subcommand = { takes: [...store, 'root'], positionals: [0, 0], run: runCrl }

async function runRevoke(values: Values, serial: string): Promise<Answer> {
  const { reason } = values
  if (!isRevocationReason(reason)) {
    throw new UsageError(`--reason: ${Object.keys(revocationReasons).join(', ')}, not '${reason}'`)
  }
  return opened(values, async (pki) => {
    await pki.revoke(serial, reason)
    const { revoked, profile, id } = await pki.find(serial)
    return {
      ok: true,
      json: { revoked, profile, id, crl: pki.crlFile },
      text: `${profile} ${id} is revoked; ${pki.crlFile} says so\n`,
    }
  })
}

async function runCrl(values: Values): Promise<Answer> {
  return opened(values, async (pki) => {
    for (const name of values.root ? authorityNames : issuingNames) await pki.refreshCrl(name)
    const crls = parseCrls(await readFile(pki.crlFile, 'utf8')).map(({ thisUpdate, nextUpdate, serials }) => {
      return { thisUpdate, nextUpdate, revoked: serials.size }
    })
    return { ok: true, json: { file: pki.crlFile, crls }, text: `${pki.crlFile}\n` }
  })
}
