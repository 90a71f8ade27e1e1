import { ConfigError } from '#gateway/errors.ts'
import { measure, publishMetrics } from '#pki/measure.ts'
import { renderMetrics } from '#pki/metrics.ts'
import { wholeNumber } from '../command.ts'
import { type Answer, needed, type Subcommand, type Values } from './subcommand.ts'

export const metrics: Subcommand = { takes: ['dir', 'out', 'expiring'], positionals: [0, 0], run }

/** Days before its end at which a certificate counts as expiring, unless told: what a CA's successor takes to arrange. */
const daysUsual = '30'
/** As far as one may look: the life of a root. */
const daysMax = 3_660

/** Whole days from the option. @throws UsageError */
export function daysOf({ expiring = daysUsual }: Values): number {
  return wholeNumber('expiring', expiring, [0, daysMax])
}

async function run(values: Values): Promise<Answer> {
  const { out } = values
  const measured = await measure(needed(values, 'dir'), { at: Date.now() / 1_000, days: daysOf(values) })
  const text = await renderMetrics(measured)
  if (out === undefined) return { ok: true, json: { metrics: text }, text }
  await publishMetrics(out, text).catch((cause: Error) => {
    throw new ConfigError([cause.message])
  })
  return { ok: true, json: { out }, text: '' }
}
