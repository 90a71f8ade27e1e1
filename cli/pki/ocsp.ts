import { createPublicKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { ConfigError } from '#gateway/errors.ts'
import { type Certificate, parseCertificate } from '#pki/certificate.ts'
import { PkiError } from '#pki/errors.ts'
import { publicKeyOctets } from '#pki/issue.ts'
import { signWith } from '#pki/key-algorithm.ts'
import { listenOcsp } from '#pki/ocsp/listener.ts'
import { type OcspIssuer, OcspResponder } from '#pki/ocsp/responder.ts'
import { JournalStatuses } from '#pki/ocsp/statuses.ts'
import { delegateFault } from '#pki/ocsp/verify.ts'
import { fromPem } from '#pki/pem.ts'
import { equalOctets } from '#pki/signature.ts'
import { decryptKey, readPassphrase } from '#pki/store/keys.ts'
import { algorithmOf } from '#pki/unsigned.ts'
import { type Command, parse, UsageError } from '../command.ts'
import { type Logger, openLog } from '../log.ts'
import { untilSignal } from '../signals.ts'

const help = `usage: ami pki ocsp --dir DIR --listen HOST:PORT --passphrase-file FILE
                    (--issuer FILE --responder FILE --key FILE)...

Answers over HTTP, by GET and POST, whether certificates of the PKI in DIR are good, revoked or unknown: what DIR's journal
says, read on every second. No CA key is opened. When the journal cannot be read for 5 seconds, it answers nothing.

  --listen HOST:PORT      port 0 lets the system choose; the log line 'ocsp.listening' says which
  --issuer FILE           certificate of a CA that is answered for, PEM
  --responder FILE        certificate of the responder that this CA named, PEM
  --key FILE              the responder's private key, PKCS#8
  --passphrase-file FILE  its first line opens the responders' keys

For several CAs the last three come again, in the same order. SIGINT or SIGTERM ends it.
`

const options = {
  dir: { type: 'string' },
  listen: { type: 'string' },
  issuer: { type: 'string', multiple: true },
  responder: { type: 'string', multiple: true },
  key: { type: 'string', multiple: true },
  'passphrase-file': { type: 'string' },
} as const

export const command: Command = { summary: 'answers over HTTP which certificates are revoked', help, run }

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  if (positionals.length > 0) throw new UsageError(`pki ocsp: no argument '${positionals[0]}'`)
  const { dir, listen, issuer = [], responder = [], key = [], 'passphrase-file': passphraseFile } = values
  if (dir === undefined || listen === undefined || passphraseFile === undefined) {
    throw new UsageError('pki ocsp: --dir, --listen and --passphrase-file are required')
  }
  if (issuer.length === 0 || issuer.length !== responder.length || issuer.length !== key.length) {
    throw new UsageError('pki ocsp: --issuer, --responder and --key, each as often as the others')
  }
  const address = addressOf(listen)
  const signal = untilSignal()
  const served = issuer.map((file, at) => ({ issuer: file, responder: responder[at]!, key: key[at]! }))
  await serve({ dir, passphraseFile, served, address, signal, log: openLog('pki') }).catch(operatorFault)
  return 0
}

function operatorFault(cause: unknown): never {
  if (cause instanceof PkiError) throw new ConfigError([`${cause.code}: ${cause.message}`])
  throw cause
}

function addressOf(text: string): { host: string; port: number } {
  const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  if (found === null || Number(found[3]) > 65_535) throw new UsageError(`--listen: HOST:PORT, not '${text}'`)
  return { host: (found[1] ?? found[2])!, port: Number(found[3]) }
}

interface Service {
  dir: string
  passphraseFile: string
  served: readonly ServedFiles[]
  address: { host: string; port: number }
  signal: Promise<unknown>
  log: Logger
}

interface ServedFiles {
  issuer: string
  responder: string
  key: string
}

async function serve({ dir, passphraseFile, served, address, signal, log }: Service): Promise<void> {
  const onFault = (cause: unknown): void => log.error({ event: 'ocsp.fault', detail: (cause as Error).message })
  const passphrase = await readPassphrase(passphraseFile)
  const statuses = await JournalStatuses.open(dir, onFault)
  try {
    const issuers = await Promise.all(served.map((files) => readServed(files, passphrase, statuses)))
    const now = (): number => Date.now() / 1_000
    const responder = new OcspResponder({ issuers, now, onFault, ready: () => statuses.ready() })
    const listener = await listenOcsp({ ...address, responder }).catch((cause: NodeJS.ErrnoException) => {
      throw new ConfigError([`--listen: ${cause.message}`])
    })
    log.info({ event: 'ocsp.listening', host: address.host, port: listener.port, issuers: issuers.length })
    await signal
    await listener.close()
    log.info({ event: 'ocsp.closed' })
  } finally {
    await statuses.close()
  }
}

async function readServed(files: ServedFiles, passphrase: string, statuses: JournalStatuses): Promise<OcspIssuer> {
  const certificate = await readCertificate(files.issuer)
  const responder = await readCertificate(files.responder)
  const key = decryptKey((await readInput(files.key)).toString('latin1'), passphrase)
  const fault = delegateFault(responder, certificate, Date.now() / 1_000)
  if (fault !== undefined) throw new ConfigError([`${files.responder}: ${fault}`])
  if (!equalOctets(publicKeyOctets(createPublicKey(key)), responder.publicKey)) {
    throw new ConfigError([`${files.key}: not the key of ${files.responder}`])
  }
  return {
    certificate,
    responder,
    sign: (octets) => signWith(algorithmOf(responder.publicKey), octets, key),
    statusOf: (serial) => statuses.statusOf(certificate, serial),
  }
}

async function readCertificate(file: string): Promise<Certificate> {
  const [der] = fromPem('CERTIFICATE', (await readInput(file)).toString('latin1'))
  if (der === undefined) throw new ConfigError([`${file}: no certificate`])
  return parseCertificate(der)
}

async function readInput(file: string): Promise<Buffer> {
  return readFile(file).catch((cause: Error) => {
    throw new ConfigError([cause.message])
  })
}
