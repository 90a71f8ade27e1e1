import { parseCertificate } from '../certificate.ts'
import { PkiError } from '../errors.ts'
import type { KeyAlgorithm } from '../key-algorithm.ts'
import { provenKey } from '../request.ts'
import { keyDigest } from '../store/certify.ts'
import { type Decision, type Device, decide, type Presented } from './decide.ts'
import type { Shipped } from './manifest.ts'
import type { Answer, Question } from './queue.ts'
import type { Certified, EnrolmentRegister } from './register.ts'

/** A certificate that was presented, and judged. */
export type Identified =
  | { kind: 'manufacturer'; device: Pick<Shipped, 'manufacturer' | 'serial'> }
  | { kind: 'operational'; concentrator: string; serial: string }
  | { kind: 'refused'; detail: string }

/** What the clerk needs of the CA. Every act is durable when it is answered. */
export interface EnrolmentCa {
  /** reads what others did since: journal, CRLs, manufacturers */
  refresh(): Promise<void>
  /** judges a chain anew, leaf first, whatever the listener thought of it */
  identify(chain: readonly Uint8Array[]): Identified
  /** what the journal knows of the certificate for a key, by its SHA-256 in hex */
  certified(key: string): (Certified & { certificate: Uint8Array }) | undefined
  /** certificates for concentrators, in this order; a refused request is a `PkiError` in its place */
  issue(requests: readonly { id: string; csr: Uint8Array }[]): Promise<(Uint8Array | PkiError)[]>
  revoke(serial: string, reason: 'superseded' | 'keyCompromise'): Promise<void>
  /** DER of the certificates that stand behind an issued one, its issuer first */
  behind(certificate: Uint8Array): readonly Uint8Array[]
  /** the kind of key that it certifies for concentrators */
  readonly keys: KeyAlgorithm
}

/** What an operator, or the audit log, is told. */
export type ClerkEvent =
  | { kind: 'issued'; concentrator: string; serial: string; renewal: boolean }
  | { kind: 'refused'; concentrator: string | undefined; code: string; detail: string }
  /** two with one identity: an alarm */
  | { kind: 'clone'; concentrator: string; detail: string; revoked: readonly string[] }

/** A question on its way to an answer. */
interface Case {
  question: Question
  device: Device
  /** SHA-256 of the key asked for */
  key: string
  decision: Decision
}

/**
 * The CA's side of enrolment: takes questions in bunches, trusts nothing that the listener says of them, and answers each.
 * In a bunch a device has one question at most; a second one waits for the first one's effect.
 */
export class Clerk {
  readonly #register: EnrolmentRegister
  readonly #ca: EnrolmentCa
  readonly #now: () => number
  readonly #told: (event: ClerkEvent) => Promise<void> | void
  /** what the answers wait for */
  #telling: (Promise<void> | void)[] = []

  constructor(options: {
    register: EnrolmentRegister
    ca: EnrolmentCa
    /** seconds since 1970 */
    now: () => number
    /** an answer waits until it resolves */
    tell: (event: ClerkEvent) => Promise<void> | void
  }) {
    this.#register = options.register
    this.#ca = options.ca
    this.#now = options.now
    this.#told = options.tell
  }

  /** What a quarantined device holds is revoked: after a crash that came between, or when an operator quarantined it. */
  async mend(): Promise<void> {
    await this.#ca.refresh()
    for (const concentrator of this.#register.quarantined()) {
      const device = this.#register.concentrator(concentrator, (key) => this.#ca.certified(key))
      for (const { serial, revoked } of device?.given ?? []) {
        if (!revoked) await this.#ca.revoke(serial, 'keyCompromise')
      }
    }
  }

  /** @returns an answer for each question, in their order */
  async answer(questions: readonly Question[]): Promise<Answer[]> {
    const answers = new Map<Question, Answer>()
    for (let open = questions; open.length > 0; ) open = await this.#round(open, answers)
    await Promise.all(this.#telling.splice(0))
    return questions.map((question) => answers.get(question)!)
  }

  /** One question of each device. @returns those that wait for the next round */
  async #round(questions: readonly Question[], answers: Map<Question, Answer>): Promise<Question[]> {
    await this.#ca.refresh()
    const cases = new Map<string, Case>()
    const keys = new Set<string>()
    const later: Question[] = []
    for (const question of questions) {
      const one = this.#judge(question)
      if ('kind' in one) answers.set(question, one)
      else if (cases.has(one.device.concentrator) || keys.has(one.key)) later.push(question)
      else {
        cases.set(one.device.concentrator, one)
        keys.add(one.key)
      }
    }
    const toIssue = [...cases.values()].filter(({ decision }) => decision.kind === 'issue')
    await this.#issue(toIssue, answers)
    for (const one of cases.values()) {
      if (!answers.has(one.question)) answers.set(one.question, await this.#settle(one))
    }
    return later
  }

  #judge(question: Question): Case | Answer {
    const certified = (key: string): Certified | undefined => this.#ca.certified(key)
    const identified = this.#ca.identify(question.chain)
    if (identified.kind === 'refused') return this.#refuse(undefined, 'ENROLMENT_CERTIFICATE', identified.detail)
    let key: string
    try {
      key = keyDigest(provenKey(question.request, [this.#ca.keys]))
    } catch (fault) {
      if (!(fault instanceof PkiError)) throw fault
      return this.#refuse(undefined, fault.code, fault.message)
    }
    const device =
      identified.kind === 'manufacturer'
        ? this.#register.device(identified.device, certified)
        : this.#register.concentrator(identified.concentrator, certified)
    if (device === undefined) return this.#refuse(undefined, 'ENROLMENT_UNKNOWN', 'no manifest lists this device')
    const isOthers = certified(key) !== undefined && !device.given.some((one) => one.key === key)
    if (isOthers) return this.#refuse(device.concentrator, 'ENROLMENT_KEY', 'the key is certified for another')
    return { question, device, key, decision: decide(device, presentedOf(identified), key, this.#now()) }
  }

  async #issue(cases: readonly Case[], answers: Map<Question, Answer>): Promise<void> {
    if (cases.length === 0) return
    this.#register.promise(
      cases.map(({ device: { concentrator }, key, decision }) => ({
        key,
        concentrator,
        parent: decision.kind === 'issue' ? decision.parent : undefined,
      })),
    )
    const issued = await this.#ca.issue(
      cases.map(({ device, question }) => ({ id: device.concentrator, csr: question.request })),
    )
    for (const [i, one] of cases.entries()) {
      const certificate = issued[i]!
      answers.set(
        one.question,
        certificate instanceof PkiError
          ? this.#refuse(one.device.concentrator, certificate.code, certificate.message)
          : await this.#given(one, certificate),
      )
    }
  }

  async #given({ device, decision }: Case, certificate: Uint8Array): Promise<Answer> {
    if (decision.kind !== 'issue') throw new TypeError('only what is to be issued is given')
    for (const serial of decision.supersede) await this.#ca.revoke(serial, 'superseded')
    const { serial } = parseCertificate(certificate)
    const renewal = decision.parent !== undefined
    this.#tell({ kind: 'issued', concentrator: device.concentrator, serial, renewal })
    return this.#certificates(certificate)
  }

  async #settle({ device, key, decision }: Case): Promise<Answer> {
    const { concentrator } = device
    switch (decision.kind) {
      case 'again': {
        for (const serial of decision.supersede) await this.#ca.revoke(serial, 'superseded')
        return this.#certificates(this.#ca.certified(key)!.certificate)
      }
      case 'quarantine': {
        const { detail, revoke } = decision
        this.#register.quarantine(concentrator, detail)
        for (const serial of revoke) await this.#ca.revoke(serial, 'keyCompromise')
        this.#tell({ kind: 'clone', concentrator, detail, revoked: revoke })
        return { kind: 'refused', code: decision.code, detail: 'the device waits for an operator' }
      }
      case 'refuse':
        return this.#refuse(concentrator, decision.code, decision.detail)
      case 'issue':
        throw new TypeError('what is to be issued has its answer')
    }
  }

  #certificates(certificate: Uint8Array): Answer {
    return { kind: 'certificates', certificates: [certificate, ...this.#ca.behind(certificate)] }
  }

  #tell(event: ClerkEvent): void {
    this.#telling.push(this.#told(event))
  }

  #refuse(concentrator: string | undefined, code: string, detail: string): Answer {
    this.#tell({ kind: 'refused', concentrator, code, detail })
    return { kind: 'refused', code, detail }
  }
}

function presentedOf(identified: Exclude<Identified, { kind: 'refused' }>): Presented {
  return identified.kind === 'manufacturer'
    ? { kind: 'manufacturer' }
    : { kind: 'operational', serial: identified.serial }
}
