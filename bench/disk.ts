import { randomBytes } from 'node:crypto'
import { closeSync, fdatasyncSync, openSync, rmSync, writevSync } from 'node:fs'
import { join } from 'node:path'
import { type Journal, journalDefaults, openJournal } from '#gateway/io/journal.ts'
import type { ConcentratorId } from '#gateway/model.ts'
import { serve } from './child.ts'

/** What the same messages cost without sockets: through the journal, and as plain octets written and synced. */
export interface DiskRequest {
  kind: 'journal' | 'plain'
  folder: string
  octets: number
  /** messages under way at one time, as many as all sessions' windows hold */
  inFlight: number
  seconds: number
}

export interface DiskRun {
  messages: number
  seconds: number
  cpuSeconds: number
}

const releaseIntervalMs = 500
const buffersMax = 1_000 // under IOV_MAX

async function throughJournal({ folder, octets, inFlight, seconds }: DiskRequest): Promise<number> {
  const journal = openJournal(folder)
  const releasing = setInterval(() => journal.release(journal.durable), releaseIntervalMs)
  const payload = randomBytes(octets)
  const until = performance.now() + seconds * 1000
  const counts = await Promise.all(Array.from({ length: inFlight }, () => appendUntil(journal, payload, until)))
  clearInterval(releasing)
  await journal.close()
  return counts.reduce((sum, count) => sum + count, 0)
}

/** One publish after the other, as one place in a session's window. */
async function appendUntil(journal: Journal, payload: Buffer, until: number): Promise<number> {
  let count = 0
  while (performance.now() < until) {
    if (journal.full) await journal.drained()
    await journal.append({ concentrator: 'dc-00001' as ConcentratorId, receivedAtMs: Date.now(), payload })
    count++
  }
  return count
}

/** Half of what is under way is written while the other half gathers: groups of the size that the journal meets. */
function plainly({ folder, octets, inFlight, seconds }: DiskRequest): number {
  const payload = randomBytes(octets)
  const group = Array.from({ length: Math.max(1, Math.min(buffersMax, inFlight >> 1)) }, () => payload)
  const path = join(folder, 'plain')
  const until = performance.now() + seconds * 1000
  let [count, written, fd] = [0, 0, openSync(path, 'a')]
  while (performance.now() < until) {
    written += writevSync(fd, group)
    fdatasyncSync(fd)
    count += group.length
    if (written < journalDefaults.segmentOctets) continue
    closeSync(fd)
    rmSync(path)
    ;[written, fd] = [0, openSync(path, 'a')]
  }
  closeSync(fd)
  rmSync(path)
  return count
}

serve<DiskRequest>(async (request): Promise<DiskRun> => {
  const [began, cpu] = [performance.now(), process.cpuUsage()]
  const messages = request.kind === 'journal' ? await throughJournal(request) : plainly(request)
  const { user, system } = process.cpuUsage(cpu)
  return { messages, seconds: (performance.now() - began) / 1000, cpuSeconds: (user + system) / 1e6 }
})
