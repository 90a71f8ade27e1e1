import { standings } from '#pki/expiry.ts'
import { toPem } from '#pki/pem.ts'
import { type Listed, readRegister } from '#pki/store.ts'
import { daysOf } from './metrics.ts'
import { type Answer, isoTime, needed, type Subcommand, type Values } from './subcommand.ts'

export const list: Subcommand = { takes: ['dir', 'expiring'], positionals: [0, 0], run: runList }
export const show: Subcommand = { takes: ['dir'], positionals: [1, 1], run: runShow }

function stateOf({ revoked, notAfter }: Listed, now: number): string {
  if (revoked !== undefined) return `revoked ${isoTime(revoked.at)} ${revoked.reason}`
  return now > notAfter ? 'expired' : 'valid'
}

function described(listed: Listed): object {
  const { event, certificate, ...fields } = listed
  return { ...fields, state: stateOf(listed, Date.now() / 1_000).split(' ')[0] }
}

/** With `--expiring`, those alone, the first to end first. */
function expiring(all: Listed[], values: Values): Listed[] {
  if (values.expiring === undefined) return all
  const standing = standings(all, { at: Date.now() / 1_000, days: daysOf(values) })
  return all.filter((one) => standing(one) === 'expiring').toSorted((one, other) => one.notAfter - other.notAfter)
}

async function runList(values: Values): Promise<Answer> {
  const all = expiring((await readRegister(needed(values, 'dir'))).list(), values)
  const lines = all.map((one) => {
    return `${one.serial}  ${one.profile.padEnd(12)}  ${isoTime(one.notAfter)}  ${one.id}  ${stateOf(one, Date.now() / 1_000)}\n`
  })
  return { ok: true, json: { certificates: all.map(described) }, text: lines.join('') }
}

async function runShow(values: Values, serial: string): Promise<Answer> {
  const listed = (await readRegister(needed(values, 'dir'))).find(serial)
  const pem = toPem('CERTIFICATE', Buffer.from(listed.certificate, 'base64'))
  const line = `${listed.profile} ${listed.id}, ${isoTime(listed.notBefore)} to ${isoTime(listed.notAfter)}`
  return {
    ok: true,
    json: { ...described(listed), pem },
    text: `${line}: ${stateOf(listed, Date.now() / 1_000)}\n${pem}`,
  }
}
