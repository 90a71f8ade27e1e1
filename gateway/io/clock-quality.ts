import { existsSync } from 'node:fs'
import type { ClockQuality } from '../oneway/heartbeat.ts'

/** A difference between the two clocks' progress that is no scheduling delay. */
const stepMs = 250
/** So long a step is told of. */
const steppedMs = 300_000
/** Where systemd-timesyncd says that it has set the clock since the system started. */
const timesync = '/run/systemd/timesync'

/**
 * What is known of the system's clock: that it has jumped lately, or what systemd-timesyncd says; `unknown` where nobody says
 * anything, for Node cannot ask the kernel.
 * @param now both clocks in milliseconds
 */
export function openClockQuality(
  now: () => { utcMs: number; monotonicMs: number },
  folder: string = timesync,
): () => ClockQuality {
  const difference = (): number => now().utcMs - now().monotonicMs
  let [before, steppedAtMs] = [difference(), Number.NEGATIVE_INFINITY]
  return () => {
    const [present, { monotonicMs }] = [difference(), now()]
    if (Math.abs(present - before) > stepMs) steppedAtMs = monotonicMs
    before = present
    if (monotonicMs - steppedAtMs < steppedMs) return 'stepped'
    if (!existsSync(folder)) return 'unknown'
    return existsSync(`${folder}/synchronized`) ? 'synchronised' : 'free'
  }
}
