import { readFileSync } from 'node:fs'
import { onTestFinished } from 'vitest'
import { type Broker, type BrokerLimits, type BrokerOptions, openBroker } from '#gateway/io/broker.ts'
import type { FrontDoorSet } from '#gateway/io/front-door.ts'
import { openRevocation } from '#gateway/io/revocation.ts'
import { openRevocationFeed } from '#gateway/io/revocation-feed.ts'
import { HeldJournal } from './held-journal.ts'
import { LogTail } from './log-tail.ts'
import type { FiledCertificate, ThrowawayPki } from './pki.ts'
import { tempFolder } from './temp.ts'

export interface FrontDoor {
  port: number
  broker: Broker
  journal: HeldJournal
  tail: LogTail
  /** what `onFailure` was called with */
  failures: Error[]
}

const roomy: BrokerLimits = {
  sessionsMax: 100,
  handshakesPerSecondMax: 1_000,
  handshakeDeadlineSeconds: 10,
  connectDeadlineSeconds: 10,
  keepAliveSecondsMax: 600,
  packetOctetsMax: 262_144,
}

export interface DoorOptions {
  limits?: Partial<BrokerLimits>
  /** another than the PKI's own */
  crlFile?: string
  port?: number
  /** the gateway hears of revocations here, and looks at no CRL */
  feed?: { path: string; clock?: () => number }
  staple?: BrokerOptions['staple']
  profileSet?: FrontDoorSet
  /** PEM of the classes let in, in place of the PKI's own concentrators */
  trustPem?: string
}

/** The gateway's front as it runs: broker, revocation, a journal in a temporary folder; closed when the test is finished. */
export async function openFrontDoor(
  pki: ThrowawayPki,
  gateway: FiledCertificate,
  {
    limits,
    crlFile = pki.crlFile,
    port = 0,
    feed,
    staple,
    profileSet = 'p256',
    trustPem = pki.deviceTrustPem,
  }: DoorOptions = {},
): Promise<FrontDoor> {
  const [tail, journal] = [new LogTail(), new HeldJournal(tempFolder())]
  const failures: Error[] = []
  const { log } = tail
  const revocation =
    feed === undefined
      ? openRevocation({ file: crlFile, log, onChange: () => broker.cut() })
      : await openRevocationFeed({
          ...feed,
          log,
          authorities: pki.deviceTrustPem,
          onRevoked: (serials) => broker.cutRevoked(serials),
        })
  const broker = await openBroker({
    host: '127.0.0.1',
    port,
    tls: {
      key: readFileSync(gateway.keyFile!),
      cert: readFileSync(gateway.certificateFile),
      ca: Buffer.from(trustPem),
    },
    profileSet,
    limits: { ...roomy, ...limits },
    staple,
    revocationFault: (certificate) => revocation.fault(certificate),
    journal,
    log,
    onFailure: (error) => failures.push(error),
  })
  onTestFinished(async () => {
    revocation.close()
    journal.letGo()
    await broker.close()
    await journal.close()
  })
  return { port: broker.port, broker, journal, tail, failures }
}
