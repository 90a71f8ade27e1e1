import { Worker } from 'node:worker_threads'
import type { Logger } from 'pino'
import type { FromPipeline, PipelineOptions, PipelineStatus, ToPipeline } from './pipeline.ts'

/** The second thread from the first one's side. */
export class PipelineThread {
  readonly #worker: Worker
  readonly #log: Logger
  readonly #drained = Promise.withResolvers<undefined>()
  readonly #failed = Promise.withResolvers<Error>()
  #told = 0
  status: PipelineStatus | undefined

  constructor(workerData: PipelineOptions, log: Logger) {
    this.#log = log
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
    else {
      this.status = message.status
      if (message.kind === 'drained') this.#drained.resolve(undefined)
    }
  }

  #hearSealing(fault: string | undefined): void {
    if (fault === undefined) this.#log.info({ event: 'sealing.resumed' })
    else this.#log.error({ event: 'sealing.held', detail: fault })
  }
}
