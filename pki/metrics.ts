import { Gauge, Registry } from 'prom-client'
import type { Checkpoint } from './audit/checkpoint.ts'
import type { Crl } from './crl.ts'
import { type Horizon, type Standing, standings } from './expiry.ts'
import type { Generation } from './profiles.ts'
import type { Listed } from './store/register.ts'

/** What is measured, as it was read at one moment. */
export interface Measured extends Horizon {
  list: readonly Listed[]
  /** of each key of each CA that has not ended */
  crls: ReadonlyMap<Generation, Crl>
  /** the audit log's last; `undefined` where there is none */
  checkpoint: Checkpoint | undefined
}

const shown: readonly Standing[] = ['live', 'expiring', 'expired', 'revoked']

/**
 * Prometheus text. Times are told as such, beside the ages that they had when this was written: whoever scrapes a file sees it
 * later.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export function renderMetrics(measured: Measured): Promise<string> {
  const { at, checkpoint } = measured
  const registry = new Registry()
  const gauge = (name: string, help: string, labelNames: string[] = []): Gauge =>
    new Gauge({ name: `ami_pki_${name}`, help, labelNames, registers: [registry] })
  certificates(measured, gauge)
  crls(measured, gauge)
  if (checkpoint !== undefined) {
    gauge('audit_checkpoint_entries', 'Entries of the audit log beneath its last signed checkpoint').set(
      checkpoint.size,
    )
    gauge('audit_checkpoint_timestamp_seconds', 'When the last checkpoint was signed').set(checkpoint.time)
    gauge('audit_checkpoint_age_seconds', 'The same, before this was written').set(Math.floor(at) - checkpoint.time)
  }
  gauge('written_timestamp_seconds', 'When these were read').set(Math.floor(at))
  return registry.metrics()
}

type Make = (name: string, help: string, labelNames?: string[]) => Gauge

/** A live one that is expiring counts as both: `live` is how many may speak. */
function certificates({ list, ...horizon }: Measured, gauge: Make): void {
  const count = gauge(
    'certificates',
    `Certificates by profile and state; expiring: live, to end within ${horizon.days} days, and not renewed`,
    ['profile', 'state'],
  )
  const end = gauge('earliest_end_timestamp_seconds', 'When the first live certificate that is not renewed ends', [
    'profile',
  ])
  const standing = standings(list, horizon)
  const lapsing = standings(list, { at: horizon.at, days: Number.POSITIVE_INFINITY })
  const ends = new Map<string, number>()
  for (const profile of new Set(list.map((one) => one.profile))) {
    for (const state of shown) count.set({ profile, state }, 0)
  }
  for (const one of list) {
    const state = standing(one)
    count.inc({ profile: one.profile, state })
    if (state === 'expiring') count.inc({ profile: one.profile, state: 'live' })
    if (lapsing(one) === 'expiring') {
      ends.set(one.profile, Math.min(one.notAfter, ends.get(one.profile) ?? Number.POSITIVE_INFINITY))
    }
  }
  for (const [profile, at] of ends) end.set({ profile }, at)
}

function crls({ crls: all, at }: Measured, gauge: Make): void {
  const begun = gauge('crl_this_update_timestamp_seconds', 'From when on a CRL counts', ['ca'])
  const ends = gauge('crl_next_update_timestamp_seconds', 'Until when a CRL counts', ['ca'])
  const age = gauge('crl_age_seconds', 'Seconds that a CRL counted before this was written', ['ca'])
  const entries = gauge('crl_entries', 'Certificates that a CRL names', ['ca'])
  for (const [ca, { thisUpdate, nextUpdate, serials }] of all) {
    begun.set({ ca }, thisUpdate)
    if (nextUpdate !== undefined) ends.set({ ca }, nextUpdate)
    age.set({ ca }, Math.floor(at) - thisUpdate)
    entries.set({ ca }, serials.size)
  }
}
