import { hash } from 'node:crypto'
import { statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { ConfigError } from '#gateway/errors.ts'
import { registerFile } from '#pki/enrolment/ca.ts'
import { readManifest } from '#pki/enrolment/inventory.ts'
import { manifestCharactersMax } from '#pki/enrolment/manifest.ts'
import { EnrolmentRegister, type Listed, listMax } from '#pki/enrolment/register.ts'
import { PkiError } from '#pki/errors.ts'
import { ManufacturerStore } from '#pki/manufacturers/store.ts'
import { tellAudit } from '#pki/store/audited.ts'
import { type Command, parse, UsageError } from '../command.ts'

const help = `usage: ami pki inventory import  --dir DIR [--json] FILE.csv
       ami pki inventory list    --dir DIR [--after CONCENTRATOR] [--quarantined] [--json]
       ami pki inventory quarantine --dir DIR [--reason TEXT] [--json] CONCENTRATOR
       ami pki inventory release --dir DIR [--json] CONCENTRATOR

Which devices may enrol, and as whom.

import   a shipment manifest, all of it or nothing: a line 'manufacturer,serial,concentrator' as header, then a line a device.
         The manufacturer is the organisation in the subject of a CA that 'ami pki manufacturers' took, or the first 8 or more
         digits of its fingerprint; the serial is the one in the device's certificate; the concentrator is its name here.
         The same manifest again does no harm; one that contradicts what is here is refused.
list     by name, at most ${listMax}; what is quarantined says why
quarantine  a device that was stolen, say: it gets no certificate, and within seconds the running CA revokes those it has
release  a quarantined device may enrol again, with a new key: look first which of the two is the copy

exit codes: 0 done; 1 refused; 64 usage; 78 the PKI's directory or the file is not in order
`

const options = {
  dir: { type: 'string' },
  after: { type: 'string', default: '' },
  reason: { type: 'string', default: 'by an operator' },
  quarantined: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const

/** As the audit log names it. */
const actor = 'cli'

type Values = ReturnType<typeof parse<typeof options>>['values']

export const command: Command = { summary: 'which devices may enrol: import, list, quarantine, release', help, run }

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  const [name = '', ...rest] = positionals
  const dir = values.dir
  if (dir === undefined) throw new UsageError('--dir is missing')
  const act = actOf(name, values, rest)
  if (!statSync(dir, { throwIfNoEntry: false })?.isDirectory()) throw new ConfigError([`${dir}: no such directory`])
  const register = new EnrolmentRegister(registerFile(dir))
  try {
    const { json, text } = await act(register, dir)
    process.stdout.write(values.json ? `${JSON.stringify(json)}\n` : text)
    return 0
  } catch (fault) {
    return refusal(fault, values.json)
  } finally {
    register.close()
  }
}

interface Said {
  json: object
  text: string
}
type Act = (register: EnrolmentRegister, dir: string) => Promise<Said>

function actOf(name: string, values: Values, [argument, ...more]: readonly string[]): Act {
  const takes = name === 'list' ? 0 : 1
  if (more.length > 0 || (argument === undefined) !== (takes === 0)) {
    throw new UsageError('pki inventory: import FILE, list, quarantine CONCENTRATOR, or release CONCENTRATOR')
  }
  if (name === 'import') return (register, dir) => take(register, dir, argument!)
  if (name === 'list') return async (register) => listed(register, values)
  if (name === 'quarantine') return (register, dir) => quarantine(register, dir, argument!, values)
  if (name === 'release') return (register, dir) => release(register, dir, argument!)
  throw new UsageError(`pki inventory: import, list, quarantine, release, not '${name}'`)
}

async function take(register: EnrolmentRegister, dir: string, file: string): Promise<Said> {
  const { size } = statSync(file, { throwIfNoEntry: false }) ?? { size: 0 }
  if (size > manifestCharactersMax * 4) throw new ConfigError([`${file}: over ${manifestCharactersMax} characters`])
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw new ConfigError([cause.message])
  })
  const shipped = readManifest(text, await new ManufacturerStore(dir).list())
  const added = register.import(shipped)
  const digest = hash('sha256', text)
  await tellAudit(dir, { kind: 'imported', actor, subject: 'shipment-manifest', digest })
  const known = shipped.length - added
  return { json: { added, known }, text: `${added} devices added, ${known} known before\n` }
}

function listed(register: EnrolmentRegister, { after, quarantined }: Values): Said {
  const devices = register.list(after).filter((one) => !quarantined || one.quarantined !== undefined)
  return { json: { devices }, text: devices.map(lineOf).join('') }
}

function lineOf({ concentrator, manufacturer, serial, quarantined }: Listed): string {
  const state = quarantined === undefined ? '' : `  quarantined: ${quarantined}`
  return `${concentrator}  ${manufacturer.slice(0, 16)}  ${serial}${state}\n`
}

async function quarantine(
  register: EnrolmentRegister,
  dir: string,
  concentrator: string,
  { reason }: Values,
): Promise<Said> {
  if (!/^[^\p{Cc}]{1,200}$/u.test(reason)) throw new UsageError('--reason: 1 to 200 characters, none of control')
  if (!register.quarantine(concentrator, reason)) {
    throw new PkiError('INVENTORY_STATE', `${concentrator} is no device here, or in quarantine already`)
  }
  await tellAudit(dir, {
    kind: 'enrolment-quarantined',
    actor,
    subject: `concentrator:${concentrator}`,
    reason: 'OPERATOR',
  })
  return { json: { quarantined: concentrator }, text: `${concentrator} gets no certificate until it is released\n` }
}

async function release(register: EnrolmentRegister, dir: string, concentrator: string): Promise<Said> {
  if (!register.release(concentrator)) {
    throw new PkiError('INVENTORY_STATE', `${concentrator} is not a device in quarantine`)
  }
  await tellAudit(dir, { kind: 'enrolment-released', actor, subject: `concentrator:${concentrator}` })
  return { json: { released: concentrator }, text: `${concentrator} may enrol again\n` }
}

function refusal(fault: unknown, json: boolean): number {
  if (!(fault instanceof PkiError)) throw fault
  const { code, message } = fault
  if (/^(STORE|PEM)_/.test(code)) throw new ConfigError([`${code}: ${message}`])
  if (json) process.stdout.write(`${JSON.stringify({ fault: { code, detail: message } })}\n`)
  else process.stderr.write(`ami: ${code}: ${message}\n`)
  return 1
}
