import { Worker } from 'node:worker_threads'
import type { Logger } from 'pino'
import type { ReadAnswer, ReadRequest } from './command-request.ts'
import { refusal } from './command-request.ts'
import type { Outgoing } from './commands.ts'
import type { NewDialect } from './dialects.ts'
import { Refusals } from './io/refusals.ts'
import type { Lacking } from './oneway/replay-code.ts'
import type { FromPipeline, PipelineOptions, PipelineStatus, ToPipeline } from './pipeline-messages.ts'
import type { ReplayAnswer } from './replay.ts'

/** The second thread from the first one's side. */
export class PipelineThread {
  readonly #worker: Worker
  readonly #log: Logger
  readonly #drained = Promise.withResolvers<undefined>()
  readonly #failed = Promise.withResolvers<Error>()
  readonly #refusals: Refusals
  /** whoever asked, by number */
  readonly #asked = new Map<number, (answer: ReadAnswer) => void>()
  readonly #replaying = new Map<number, (answer: ReplayAnswer) => void>()
  #numbered = 0
  #told = 0
  /** publishes on a concentrator's command topic. @returns false where no session takes it */
  onPublish: (downlink: Outgoing) => boolean = () => false
  status: PipelineStatus | undefined

  constructor(workerData: PipelineOptions, log: Logger) {
    this.#log = log
    this.#refusals = new Refusals(log)
    this.#worker = new Worker(new URL('./pipeline.ts', import.meta.url), { workerData })
    this.#worker.on('message', (message: FromPipeline) => this.#hear(message))
    this.#worker.on('error', (error) => this.#failed.resolve(error as Error))
    this.#worker.on('exit', (code) => {
      if (code !== 0) this.#failed.resolve(new Error(`the pipeline ended with ${code}`))
    })
  }

  get failed(): Promise<Error> {
    return this.#failed.promise
  }

  durable(position: number): void {
    if (position <= this.#told) return
    this.#told = position
    this.#post({ kind: 'durable', position })
  }

  /** One answer, in the time that the request gives. @param gone whoever asked has hung up */
  ask(request: ReadRequest, gone: AbortSignal): Promise<ReadAnswer> {
    const id = ++this.#numbered
    const { promise, resolve } = Promise.withResolvers<ReadAnswer>()
    this.#asked.set(id, resolve)
    gone.addEventListener('abort', () => {
      if (this.#asked.delete(id)) this.#post({ kind: 'cancel', id })
      resolve(refusal('GATEWAY_ENDING', 'nobody waits any more'))
    })
    this.#post({ kind: 'ask', id, request })
    return promise
  }

  /** Has batches sent once more. */
  replay(lacking: Lacking): Promise<ReplayAnswer> {
    const id = ++this.#numbered
    const { promise, resolve } = Promise.withResolvers<ReplayAnswer>()
    this.#replaying.set(id, resolve)
    this.#post({ kind: 'replay', id, lacking })
    return promise
  }

  /** @returns the fault that kept it from its end */
  drain(position: number): Promise<Error | undefined> {
    this.#post({ kind: 'drain', position })
    return Promise.race([this.#drained.promise, this.#failed.promise])
  }

  /** Ends it as a crash would: nothing is lost by that. */
  async abandon(): Promise<void> {
    await this.#worker.terminate()
  }

  #post(message: ToPipeline): void {
    this.#worker.postMessage(message)
  }

  #hear(message: FromPipeline): void {
    if (message.kind === 'unhandled') this.#log.error({ event: 'frame.unhandled', stack: message.stack })
    else if (message.kind === 'sealing') this.#hearSealing(message.fault)
    else if (message.kind === 'carrier') this.#hearCarrier(message)
    else if (message.kind === 'dialect') this.#hearDialect(message)
    else if (message.kind === 'publish') this.#publish(message)
    else if (message.kind === 'answer') this.#answer(message)
    else if (message.kind === 'replayed') this.#replayed(message)
    else if (message.kind === 'result-refused') {
      const { concentrator, detail } = message
      this.#refusals.note({ code: 'COMMAND_UNKNOWN', message: detail }, { concentrator })
    } else {
      this.status = message.status
      if (message.kind === 'drained') this.#drained.resolve(undefined)
    }
  }

  #publish({ concentrator, commandId, octets }: Outgoing): void {
    if (!this.onPublish({ concentrator, commandId, octets })) this.#post({ kind: 'undeliverable', commandId })
  }

  #answer({ id, answer }: { id: number; answer: ReadAnswer }): void {
    this.#asked.get(id)?.(answer)
    this.#asked.delete(id)
  }

  #replayed({ id, answer }: { id: number; answer: ReplayAnswer }): void {
    this.#replaying.get(id)?.(answer)
    this.#replaying.delete(id)
  }

  #hearDialect({ meter, dialect }: NewDialect): void {
    this.#log.info({ event: 'meter.dialect', meter, dialect })
  }

  #hearSealing(fault: string | undefined): void {
    if (fault === undefined) this.#log.info({ event: 'sealing.resumed' })
    else this.#log.error({ event: 'sealing.held', detail: fault })
  }

  #hearCarrier({ carrier, fault }: { carrier: string; fault: string | undefined }): void {
    if (fault === undefined) this.#log.info({ event: 'carrier.resumed', carrier })
    else this.#log.error({ event: 'carrier.held', carrier, detail: fault })
  }
}
