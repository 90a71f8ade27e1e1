import { join } from 'node:path'
import { fromPem } from '#pki/pem.ts'
import { openPki } from '#pki/store.ts'
import { serve } from '../child.ts'
import { readPem, requestName } from './lab.ts'

/** `one`: each with an fsync of its own; `many`: a thousand share one. */
export interface IssueOrder {
  kind: 'one' | 'many'
  dir: string
  passphraseFile: string
  /** folder of the requests */
  requests: string
  count: number
}

/** Certificates before the clock starts: a CA is a process that lives long, and its code is compiled. */
const warmUp = 500

export interface Issuing {
  seconds: number
  cpuSeconds: number
}

/** A process of its own that issues, as a CA does: requests are in memory, everything else is in the time. */
serve<IssueOrder>(async ({ kind, dir, passphraseFile, requests, count }): Promise<Issuing> => {
  const asked = Array.from({ length: count }, (_, n) => ({
    profile: 'concentrator' as const,
    id: `dc-${n}`,
    csr: fromPem('CERTIFICATE REQUEST', readPem(join(requests, requestName(n))))[0]!,
  }))
  const pki = await openPki({ dir, passphraseFile })
  await pki.issueMany(asked.slice(0, warmUp)) // again later: the same key for the same device is a renewal
  const [began, before] = [performance.now(), process.cpuUsage()]
  if (kind === 'many') await pki.issueMany(asked)
  else for (const one of asked) await pki.issue(one)
  const { user, system } = process.cpuUsage(before)
  const seconds = (performance.now() - began) / 1000
  await pki.close()
  return { seconds, cpuSeconds: (user + system) / 1e6 }
})
