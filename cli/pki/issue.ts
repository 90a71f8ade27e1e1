import { open, unlink } from 'node:fs/promises'
import { ConfigError } from '#gateway/errors.ts'
import { PkiError } from '#pki/errors.ts'
import { fromPem } from '#pki/pem.ts'
import { type IssuingName, isProfileName, issuingNames, profiles } from '#pki/profiles.ts'
import { UsageError, wholeNumber } from '../command.ts'
import {
  type Answer,
  needed,
  opened,
  readInput,
  type Subcommand,
  store,
  type Values,
  writeOutput,
} from './subcommand.ts'

export const issue: Subcommand = {
  takes: [...store, 'profile', 'id', 'dns', 'ip', 'days', 'issuer', 'out-key', 'csr', 'out'],
  positionals: [0, 0],
  run,
}

/** `device`, or `device-1` for one of its keys. @throws UsageError */
function issuerOf(text: string): { issuer: IssuingName; keyNumber?: number } {
  const [, name, number] = /^([a-z]+)(?:-([1-9]\d{0,2}))?$/.exec(text) ?? []
  const issuer = issuingNames.find((one) => one === name)
  if (issuer === undefined) throw new UsageError(`--issuer: ${issuingNames.join(', ')}, not '${text}'`)
  return { issuer, ...(number === undefined ? {} : { keyNumber: Number(number) }) }
}

async function run(values: Values): Promise<Answer> {
  const profile = needed(values, 'profile')
  if (!isProfileName(profile)) throw new UsageError(`--profile: ${Object.keys(profiles).join(', ')}, not '${profile}'`)
  if ((values['out-key'] === undefined) === (values.csr === undefined)) {
    throw new UsageError('pki issue: either --out-key for a new key, or --csr with one that exists')
  }
  const { days, dns = [], ip = [], out, issuer } = values
  const request = {
    profile,
    id: needed(values, 'id'),
    ...(profile === 'gateway' || dns.length + ip.length > 0 ? { names: { dns, ip } } : {}),
    ...(days === undefined ? {} : { days: wholeNumber('days', days, [1, profiles[profile].days ?? 1]) }),
    ...(issuer === undefined ? {} : issuerOf(issuer)),
    ...(values.csr === undefined ? {} : { csr: requestOctets(await readInput(values.csr)) }),
  }
  return opened(values, (pki) =>
    withKeyFile(values['out-key'], async (keep) => {
      const { privateKeyPem, chainPem, serial } = await pki.issue(request)
      if (privateKeyPem !== undefined) await keep(privateKeyPem)
      if (out !== undefined) await writeOutput(out, chainPem)
      const written = out === undefined ? { chain: chainPem } : { out }
      return {
        ok: true,
        json: { serial, profile, id: request.id, ...written },
        text: out === undefined ? chainPem : `${serial}\n`,
      }
    }),
  )
}

function requestOctets(input: Buffer): Uint8Array {
  const text = input.toString('latin1')
  if (!text.includes('-----BEGIN')) return input
  const [der] = [...fromPem('CERTIFICATE REQUEST', text), ...fromPem('NEW CERTIFICATE REQUEST', text)]
  if (der === undefined) throw new PkiError('REQUEST_MALFORMED', 'no certificate request in the file')
  return der
}

/** Makes the file before the key exists, so that no key is made that cannot be kept; removes it when nothing came of it. */
async function withKeyFile<T>(
  path: string | undefined,
  use: (keep: (pem: string) => Promise<void>) => Promise<T>,
): Promise<T> {
  if (path === undefined) return use(async () => undefined)
  const file = await open(path, 'wx', 0o600).catch((cause: Error) => {
    throw new ConfigError([cause.message])
  })
  let kept = false
  try {
    return await use(async (pem) => {
      await file.writeFile(pem)
      await file.sync()
      kept = true
    })
  } finally {
    await file.close()
    if (!kept) await unlink(path)
  }
}
