import { ConfigError } from '#gateway/errors.ts'
import { registerFile, StoreCa } from '#pki/enrolment/ca.ts'
import { Clerk, type ClerkEvent } from '#pki/enrolment/clerk.ts'
import { drawQuestions, wantMax } from '#pki/enrolment/link.ts'
import { EnrolmentRegister } from '#pki/enrolment/register.ts'
import { PkiError } from '#pki/errors.ts'
import { type OpenOptions, openPki, type Pki } from '#pki/store.ts'
import { wholeNumber } from '../command.ts'
import type { Logger } from '../log.ts'

export interface EnrolmentCaOptions extends Pick<OpenOptions, 'dir' | 'passphraseFile'> {
  queue: string
  together: string
  signal: Promise<unknown>
  log: Logger
}

/** How often it is looked for CRLs that are half-way to their end, and for devices that an operator put into quarantine. */
const mendMs = { crl: 3_600_000, quarantine: 5_000 }

/** Draws and answers until the signal. @throws ConfigError, UsageError */
export async function runEnrolmentCa({ queue, together, signal, log, ...where }: EnrolmentCaOptions): Promise<void> {
  const bunch = wholeNumber('together', together, [1, wantMax])
  const now = (): number => Date.now() / 1_000
  const pki = await opened(where)
  const register = new EnrolmentRegister(registerFile(where.dir))
  const ca = new StoreCa(pki, { dir: where.dir, now })
  const onFault = (fault: Error): void => log.error({ event: 'enrolment.fault', detail: fault.message })
  const tell = async (event: ClerkEvent): Promise<void> => {
    logEvent(log, event)
    const act = actOf(event)
    if (act !== undefined) await pki.record(act)
  }
  const clerk = new Clerk({ register, ca, now, tell })
  await clerk.mend()
  const timers = [
    setInterval(() => void pki.mendCrl().catch(onFault), mendMs.crl),
    setInterval(() => void clerk.mend().catch(onFault), mendMs.quarantine),
  ]
  const drawing = drawQuestions(queue, {
    together: bunch,
    answer: (questions) => clerk.answer(questions),
    onChange: (up, why) => {
      if (up) log.info({ event: 'enrolment.drawing', queue })
      else if (why !== undefined) log.warn({ event: 'enrolment.line', detail: why.message })
    },
  })
  log.info({ event: 'enrolment.ready', together: bunch })
  await signal
  for (const timer of timers) clearInterval(timer)
  await drawing.close()
  register.close()
  await pki.close()
  log.info({ event: 'enrolment.closed' })
}

/** For the audit log, which hears from the CA itself what was issued and revoked. */
function actOf(event: ClerkEvent): Parameters<Pki['record']>[0] | undefined {
  if (event.kind === 'issued') return undefined
  const subject = event.concentrator === undefined ? {} : { subject: `concentrator:${event.concentrator}` }
  if (event.kind === 'clone') return { kind: 'enrolment-quarantined', reason: 'ENROLMENT_CLONE', ...subject }
  return { kind: 'refused', reason: event.code, ...subject }
}

function logEvent(log: Logger, { kind, ...fields }: ClerkEvent): void {
  const level = { issued: 'info', refused: 'warn', clone: 'error' } as const
  log[level[kind]]({ event: `enrolment.${kind}`, ...fields })
}

async function opened(where: Pick<OpenOptions, 'dir' | 'passphraseFile'>): Promise<Pki> {
  try {
    return await openPki({ ...where, actor: 'est' })
  } catch (fault) {
    if (fault instanceof PkiError) throw new ConfigError([`${fault.code}: ${fault.message}`])
    throw fault
  }
}
