import { createPrivateKey, randomBytes, sign } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Certificate, parseCertificate } from '#pki/certificate.ts'
import { listenOcsp, type OcspListener } from '#pki/ocsp/listener.ts'
import { encodeCertId, encodeOcspRequest } from '#pki/ocsp/request.ts'
import { OcspResponder } from '#pki/ocsp/responder.ts'
import { JournalStatuses } from '#pki/ocsp/statuses.ts'
import { fromPem } from '#pki/pem.ts'
import { serve } from '../child.ts'
import { type Filed, readPem } from './lab.ts'

/** `listen` first; `answer` asks it within the process, with a nonce or without. */
export type OcspOrder =
  | { kind: 'listen'; dir: string; caFile: string; responder: Filed }
  | { kind: 'answer'; serial: string; nonce: boolean; seconds: number }

/** Then the journal is looked at, as between requests from outside: a responder that cannot look answers nothing. */
const turnAnswers = 256

export interface Answering {
  answers: number
  cpuSeconds: number
}

let responder: OcspResponder
let issuer: Certificate
let listener: OcspListener

function certificateIn(file: string): Certificate {
  return parseCertificate(fromPem('CERTIFICATE', readPem(file))[0]!)
}

/** As `ami pki ocsp` runs it: the statuses are the journal's. */
async function listen({ dir, caFile, responder: own }: OcspOrder & { kind: 'listen' }): Promise<number> {
  issuer = certificateIn(caFile)
  const statuses = await JournalStatuses.open(dir, onFault)
  const key = createPrivateKey(readPem(own.keyFile))
  const one = {
    certificate: issuer,
    responder: certificateIn(own.chainFile),
    sign: (octets: Uint8Array): Uint8Array => sign('sha256', octets, key),
    statusOf: (serial: string) => statuses.statusOf(issuer, serial),
  }
  const now = (): number => Date.now() / 1000
  responder = new OcspResponder({ issuers: [one], now, onFault, ready: () => statuses.ready() })
  listener = await listenOcsp({ host: '127.0.0.1', port: 0, responder })
  return listener.port
}

function onFault(cause: unknown): never {
  throw cause
}

async function answer({ serial, nonce, seconds }: OcspOrder & { kind: 'answer' }): Promise<Answering> {
  const certId = encodeCertId({ issuer, serial, hash: 'sha1' })
  const request = encodeOcspRequest([certId], nonce ? randomBytes(16) : undefined)
  const [until, before] = [performance.now() + seconds * 1000, process.cpuUsage()]
  let answers = 0
  for (; performance.now() < until; answers++) {
    const { status } = await responder.answer(request)
    if (status !== 'successful') throw new Error(status)
    if (answers % turnAnswers === 0) await nextTurn()
  }
  const { user, system } = process.cpuUsage(before)
  return { answers, cpuSeconds: (user + system) / 1e6 }
}

serve<OcspOrder>(async (order) => (order.kind === 'listen' ? listen(order) : answer(order)))
