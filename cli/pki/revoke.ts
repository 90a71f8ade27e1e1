import { readFile } from 'node:fs/promises'
import { isProfileName, profiles } from '#pki/profiles.ts'
import { isRevocationReason, type RevocationReason, revocationReasons } from '#pki/revoke.ts'
import { parseCrls } from '#pki/verify.ts'
import { UsageError } from '../command.ts'
import { type Answer, opened, type Subcommand, store, type Values } from './subcommand.ts'

export const revoke: Subcommand = { takes: [...store, 'reason', 'id', 'profile'], positionals: [0, 1], run: runRevoke }
export const crl: Subcommand = { takes: [...store, 'root'], positionals: [0, 0], run: runCrl }

async function runRevoke(values: Values, serial: string): Promise<Answer> {
  const { reason } = values
  if (!isRevocationReason(reason)) {
    throw new UsageError(`--reason: ${Object.keys(revocationReasons).join(', ')}, not '${reason}'`)
  }
  if (values.id !== undefined) {
    if (serial !== '') throw new UsageError('pki revoke: a SERIAL or --id, not both')
    return revokeIdentity(values, values.id, reason)
  }
  if (serial === '') throw new UsageError('pki revoke: a SERIAL, or --id ID')
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

async function revokeIdentity(values: Values, id: string, reason: RevocationReason): Promise<Answer> {
  const { profile = 'concentrator' } = values
  if (!isProfileName(profile)) throw new UsageError(`--profile: ${Object.keys(profiles).join(', ')}, not '${profile}'`)
  return opened(values, async (pki) => {
    const serials = await pki.revokeIdentity(profile, id, reason)
    const text = `${serials.length} certificates of ${profile} ${id} are revoked; ${pki.crlFile} says so\n`
    return { ok: true, json: { serials, profile, id, crl: pki.crlFile }, text }
  })
}

async function runCrl(values: Values): Promise<Answer> {
  return opened(values, async (pki) => {
    for (const name of pki.generations()) if (values.root || name !== 'root') await pki.refreshCrl(name)
    const crls = parseCrls(await readFile(pki.crlFile, 'utf8')).map(({ thisUpdate, nextUpdate, serials }) => {
      return { thisUpdate, nextUpdate, revoked: serials.size }
    })
    return { ok: true, json: { file: pki.crlFile, crls }, text: `${pki.crlFile}\n` }
  })
}
