import { randomBytes, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { Child } from '#cli/demo/child.ts'
import { openRevocationFeed } from '#gateway/io/revocation-feed.ts'
import { encodeIssuers, encodeRevoked, encodeState } from '#pki/revocation/feed.ts'
import { type IssuedCertificate, initPki, openPki, type Pki } from '#pki/store.ts'
import { certificatesFromPem, parseCertificate } from '#pki/verify.ts'
import { BenchChild } from './child.ts'
import { median, rounded } from './figures.ts'
import type { ClientsAnswer, ClientsRequest } from './revocation-clients.ts'
import type { DoorAnswer, DoorRequest } from './revocation-door.ts'

const help = `usage: npm run bench:revocation -- [--sessions N] [--trials N] [--revoked N] [--json]

Live sessions at a gateway's front (default 10,000); one identity after the other is revoked (default 200 trials), and it is
measured how long its session lives on: from the call to the CA, over its fsynced journal, 'ami pki feed' and the gateway, to
the close that the client sees. Then it may try to resume, and to come anew. Beside it: what the check of one certificate
costs with so many revoked (default 1,000,000), as a share of the processor time of the gateway's handshakes in this run.
`

interface Asked {
  sessions: number
  trials: number
  revoked: number
}

interface Outcome {
  asked: Asked
  milliseconds: { p50: number; p99: number; most: number }
  returned: number
  others: { before: number; after: number }
  handshakeCpuMs: number
  checkMicroseconds: number
  checkShare: number
  setMegabytes: number
}

const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!
const now = (): number => performance.timeOrigin + performance.now()

async function run(asked: Asked): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'ami-bench-'))
  const passphraseFile = join(folder, 'passphrase')
  writeFileSync(passphraseFile, `${randomBytes(24).toString('base64')}\n`, { mode: 0o600 })
  const dir = join(folder, 'pki')
  await initPki({ dir, passphraseFile })
  const pki = await openPki({ dir, passphraseFile })
  const [door, clients] = [new BenchChild('revocation-door'), new BenchChild('revocation-clients')]
  const feedSocket = join(folder, 'feed.sock')
  let feed: Child | undefined
  try {
    const ids = Array.from({ length: asked.sessions }, (_, i) => `dc-${i}`)
    const issued = await pki.issueMany(ids.map((id) => ({ profile: 'concentrator', id })))
    const tls = await pki.issue({ profile: 'gateway', id: 'gateway', names: { dns: ['localhost'], ip: ['127.0.0.1'] } })
    const ca = readFileSync(pki.trustFile('device'), 'utf8')
    const opened = await door.ask<DoorAnswer>({
      kind: 'open',
      key: tls.privateKeyPem!,
      cert: tls.chainPem,
      ca,
      feedSocket,
      sessionsMax: asked.sessions + 100,
    } satisfies DoorRequest)
    feed = new Child('feed', ['pki', 'feed', '--dir', dir, '--listener', feedSocket], join(folder, 'feed.log'))
    await feed.until('feed.connected')
    const before = await door.ask<DoorAnswer>({ kind: 'measure' } satisfies DoorRequest)
    const credentials = issued.map(({ privateKeyPem, chainPem }) => ({ key: privateKeyPem!, cert: chainPem }))
    await clients.ask<ClientsAnswer>({
      kind: 'open',
      port: opened.port,
      ca: pki.rootPem,
      credentials,
    } satisfies ClientsRequest)
    const after = await door.ask<DoorAnswer>({ kind: 'measure' } satisfies DoorRequest)
    const handshakeCpuMs = (after.cpuMs - before.cpuMs) / asked.sessions
    const { delays, returned } = await trials(pki, clients, issued, asked.trials)
    const others = await clients.ask<ClientsAnswer>({ kind: 'count' } satisfies ClientsRequest)
    const check = await measureCheck(
      join(folder, 'check.sock'),
      { issued, authorities: pki.certificatePem('device') },
      asked.revoked,
    )
    return {
      asked,
      milliseconds: {
        p50: rounded(median(delays)),
        p99: rounded(quantile(delays, 0.99)),
        most: rounded(delays.at(-1)!),
      },
      returned,
      others: { before: asked.sessions - asked.trials, after: others.open },
      handshakeCpuMs: rounded(handshakeCpuMs),
      checkMicroseconds: rounded(check.microseconds),
      checkShare: rounded(check.microseconds / 1_000 / handshakeCpuMs),
      setMegabytes: rounded(check.megabytes),
    }
  } finally {
    await feed?.stop()
    await Promise.all([door.stop(), clients.stop()])
    await pki.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function trials(
  pki: Pki,
  clients: BenchChild,
  issued: readonly IssuedCertificate[],
  count: number,
): Promise<{ delays: number[]; returned: number }> {
  const delays: number[] = []
  let returned = 0
  const step = Math.floor(issued.length / count)
  for (let trial = 0; trial < count; trial += 1) {
    const index = trial * step
    const closed = clients.ask<ClientsAnswer>({ kind: 'watch', index } satisfies ClientsRequest)
    const began = now()
    const revoking = pki.revokeIdentity('concentrator', `dc-${index}`, 'keyCompromise')
    delays.push((await closed).closedAt - began)
    await revoking
    const { admitted } = await clients.ask<ClientsAnswer>({ kind: 'return', index } satisfies ClientsRequest)
    if (admitted) returned += 1
  }
  return { delays: delays.sort((a, b) => a - b), returned }
}

/** Certificates not seen before, as at each handshake. */
async function measureCheck(
  path: string,
  { issued, authorities }: { issued: readonly IssuedCertificate[]; authorities: string },
  revoked: number,
): Promise<{ microseconds: number; megabytes: number }> {
  const held = process.memoryUsage().arrayBuffers
  const revocation = await openRevocationFeed({
    path,
    authorities,
    log: pino({ level: 'silent' }),
    onRevoked: () => undefined,
  })
  const line = connect(path)
  const certificates = issued.map(({ certificatePem }) => new X509Certificate(certificatePem))
  const [der] = certificatesFromPem(issued[0]!.certificatePem)
  const { authorityKeyId } = parseCertificate(der!)
  const serials = randomBytes(revoked * 16)
  for (const part of [encodeIssuers([authorityKeyId!]), encodeRevoked(serials), encodeState(revoked)]) line.write(part)
  const last = new X509Certificate(certificates[0]!.raw)
  while (revocation.fault(last) !== undefined) await new Promise((resolve) => setImmediate(resolve))
  const began = performance.now()
  for (const certificate of certificates)
    if (revocation.fault(certificate) !== undefined) throw new Error('not revoked')
  const microseconds = ((performance.now() - began) * 1_000) / certificates.length
  const megabytes = (process.memoryUsage().arrayBuffers - held - serials.length) / 1e6
  line.destroy()
  revocation.close()
  return { microseconds, megabytes }
}

function report({ asked, milliseconds, returned, others, ...rest }: Outcome): string {
  const { p50, p99, most } = milliseconds
  return `${asked.sessions} sessions, ${asked.trials} revoked one by one
closed after: p50 ${p50} ms, p99 ${p99} ms, most ${most} ms (goal: 1,000)
came back, resumed or anew: ${returned}; others left open: ${others.after} of ${others.before}
check with ${asked.revoked} revoked: ${rest.checkMicroseconds} us, ${rest.setMegabytes} MB; a handshake: ${rest.handshakeCpuMs} ms of processor
check / handshake: ${rest.checkShare} (goal: 0.01)
`
}

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '10000' },
    trials: { type: 'string', default: '200' },
    revoked: { type: 'string', default: '1000000' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) process.stdout.write(help)
else {
  const outcome = await run({
    sessions: Number(values.sessions),
    trials: Number(values.trials),
    revoked: Number(values.revoked),
  })
  process.stdout.write(values.json ? `${JSON.stringify(outcome)}\n` : report(outcome))
}
