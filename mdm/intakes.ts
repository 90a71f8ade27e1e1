import type { Logger } from 'pino'
import { batchOctetsMax } from '#gateway/codec/batch.ts'
import { FrameReader } from '#gateway/oneway/frame.ts'
import type { LinkKey } from '#gateway/oneway/mac.ts'
import { FileIntake } from './file-intake.ts'
import type { Intake, IntakeStatus, TakeBundle } from './intake.ts'
import type { IntakeConfig } from './intake-config.ts'
import { openTcpIntake } from './tcp-intake.ts'

export interface IntakesOptions {
  keys: readonly LinkKey[]
  take: TakeBundle
  log: Logger
  /** the receiver cannot store */
  onFailure: (error: Error) => void
}

/** A file that has not changed for so long, and is no bundle, will not become one. */
const staleMs = 600_000

/** Every way in beside the datagrams. @throws ConfigError where one cannot listen */
export async function openIntakes(
  configs: readonly IntakeConfig[],
  { keys, ...options }: IntakesOptions,
): Promise<Intakes> {
  const reader = new FrameReader(keys, batchOctetsMax)
  const open: Intake[] = []
  try {
    for (const config of configs) {
      if (config.kind === 'tcp') open.push(await openTcpIntake({ ...config, reader, ...options }))
      else open.push(new FileIntake({ ...config, staleMs, reader, ...options }).start())
    }
  } catch (error) {
    await new Intakes(open).close()
    throw error
  }
  return new Intakes(open)
}

export class Intakes {
  readonly #open: readonly Intake[]

  constructor(open: readonly Intake[]) {
    this.#open = open
  }

  get status(): IntakeStatus[] {
    return this.#open.map((one) => one.status())
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.map((one) => one.close()))
  }
}
