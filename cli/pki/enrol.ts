import { open, readFile, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigError } from '#gateway/errors.ts'
import { parseCertificate } from '#pki/certificate.ts'
import { PkiError } from '#pki/errors.ts'
import { enrol as ask, type EstServer } from '#pki/est/client.ts'
import { makeDeviceKey, makeRequest } from '#pki/est/request.ts'
import { isProfileSetName, type ProfileSetName, profileSets } from '#pki/key-algorithm.ts'
import { toPem } from '#pki/pem.ts'
import { writeDurably } from '#pki/store/files.ts'
import { type Command, parse, UsageError } from '../command.ts'

const help = `usage: ami pki enrol --url https://HOST:PORT --trust FILE --cert FILE --key FILE --out-key FILE --out FILE [--json]
       ami pki renew --url https://HOST:PORT --trust FILE --cert FILE --key FILE --out-key FILE --out FILE [--json]

What a device does (EST, RFC 7030). enrol comes with the manufacturer's certificate, renew with the one that is to be renewed.

  --url URL       of the enrolment listener; its certificate must lead to --trust
  --trust FILE    PEM of the root
  --cert, --key   what the device has: certificate with its chain, and private key
  --out-key FILE  the new private key, made before anything is asked, readable by its owner only. One that is there already is
                  used: an answer that was lost is asked for again with the same key, and is the same
  --profile-set SET  of the new key: p256 (default), brainpool or ml-dsa, as the PKI is
  --out FILE      the new certificate, then its CA's; replaced as a whole

It comes again when it is told to, for up to 20 times.
exit codes: 0 done; 1 refused or not reached (with --json {"fault": {"code", "detail"}}); 64 usage; 78 a file is not in order
`

const options = {
  url: { type: 'string' },
  trust: { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
  'out-key': { type: 'string' },
  out: { type: 'string' },
  'profile-set': { type: 'string', default: 'p256' },
  json: { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof parse<typeof options>>['values']

export const enrol: Command = { summary: 'a device enrols with its manufacturer certificate', help, run }
export const renew: Command = { summary: 'a device renews its certificate', help, run }

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  if (positionals.length > 0) throw new UsageError(`no argument '${positionals[0]}'`)
  const server = serverAt(needed(values, 'url'))
  const files = {
    trust: needed(values, 'trust'),
    cert: needed(values, 'cert'),
    key: needed(values, 'key'),
    outKey: needed(values, 'out-key'),
    out: needed(values, 'out'),
    profileSet: profileSetOf(values['profile-set']),
  }
  try {
    const { serial, notAfter } = await enrolWith(server, files)
    const json = JSON.stringify({ serial, notAfter, out: files.out })
    process.stdout.write(values.json ? `${json}\n` : `${serial}\n`)
    return 0
  } catch (fault) {
    if (!(fault instanceof PkiError)) throw fault
    const { code, message } = fault
    if (values.json) process.stdout.write(`${JSON.stringify({ fault: { code, detail: message } })}\n`)
    else process.stderr.write(`ami: ${code}: ${message}\n`)
    return 1
  }
}

interface DeviceFiles {
  trust: string
  cert: string
  key: string
  outKey: string
  out: string
  profileSet: ProfileSetName
}

async function enrolWith(
  server: Omit<EstServer, 'trust'>,
  { trust, cert, key, outKey, out, profileSet }: DeviceFiles,
): Promise<{ serial: string; notAfter: number }> {
  const credentials = { cert: await read(cert), key: await read(key) }
  const [der, ...behind] = await ask({
    server: { ...server, trust: await read(trust) },
    credentials,
    csr: makeRequest(await keyIn(outKey, profileSet)),
    pause: (seconds) => sleep(seconds * 1_000),
  })
  await writeDurably(out, [der!, ...behind].map((one) => toPem('CERTIFICATE', one)).join('')).catch(unfit)
  const { serial, notAfter } = parseCertificate(der!)
  return { serial, notAfter }
}

/** The key of a question that was asked before, or a new one, on disk before it is used. @throws ConfigError */
async function keyIn(file: string, profileSet: ProfileSetName): Promise<string> {
  const found = await stat(file).catch(() => undefined)
  if (found !== undefined) {
    if ((found.mode & 0o077) !== 0) throw new ConfigError([`${file}: open to others than its owner`])
    return read(file)
  }
  const pem = makeDeviceKey(profileSet)
  const handle = await open(file, 'wx', 0o600).catch(unfit)
  try {
    await handle.writeFile(pem)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return pem
}

function profileSetOf(name: string): ProfileSetName {
  if (isProfileSetName(name)) return name
  throw new UsageError(`--profile-set: ${Object.keys(profileSets).join(', ')}, not '${name}'`)
}

function serverAt(url: string): Omit<EstServer, 'trust'> {
  const { protocol, hostname, port, pathname } = URL.canParse(url) ? new URL(url) : new URL('none:')
  if (protocol !== 'https:' || pathname !== '/') throw new UsageError(`--url: https://HOST:PORT, not '${url}'`)
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? 443 : Number(port) }
}

function needed(values: Values, name: Exclude<keyof Values, 'json'>): string {
  const value = values[name]
  if (value === undefined) throw new UsageError(`--${name} is missing`)
  return value
}

async function read(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(unfit)
}

function unfit(cause: Error): never {
  throw new ConfigError([cause.message])
}
