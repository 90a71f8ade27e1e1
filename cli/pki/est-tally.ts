import type { EstOutcome } from '#pki/est/front.ts'

/** How requests ended since the start. */
export interface EstCounts {
  /** certificates given */
  enrolled: number
  /** told to come again: the CA did not answer in time, or the queue was full */
  pending: number
  busy: number
  /** by code */
  refused: Readonly<Record<string, number>>
  /** `cacerts` and `csrattrs` */
  asked: number
}

/** Codes that are counted apart, the most; others are counted as `other`. */
const codesMax = 64

/** Counts the outcomes of the enrolment listener. */
export class EstTally {
  #enrolled = 0
  #pending = 0
  #busy = 0
  #asked = 0
  readonly #refused = new Map<string, number>()

  add({ path, status, code = `HTTP_${status}` }: EstOutcome): void {
    if (status === 200 && path.endsWith('enroll')) this.#enrolled++
    else if (status === 200) this.#asked++
    else if (status === 202) this.#pending++
    else if (status === 503) this.#busy++
    else this.#refuse(this.#refused.has(code) || this.#refused.size < codesMax ? code : 'other')
  }

  #refuse(code: string): void {
    this.#refused.set(code, (this.#refused.get(code) ?? 0) + 1)
  }

  counts(): EstCounts {
    return {
      enrolled: this.#enrolled,
      pending: this.#pending,
      busy: this.#busy,
      refused: Object.fromEntries(this.#refused),
      asked: this.#asked,
    }
  }
}
