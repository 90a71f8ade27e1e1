import { createSecretKey } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as moment } from 'node:timers/promises'
import { Forwarder } from '#gateway/io/forwarder.ts'
import { openLedger } from '#gateway/io/ledger.ts'
import { openSender } from '#gateway/io/sender.ts'

/**
 * What the carousel costs: a backlog of 1 MB batches goes round over loopback to nobody, at the default pace. Says the share of
 * one core, and what left a second; then the same with a rest that lets nothing go.
 */
const seconds = Number(process.argv[2] ?? 10)
const batches = 100
const bitsPerSecond = 50_000_000

const folder = mkdtempSync(join(tmpdir(), 'ami-bench-'))
const ledger = openLedger(join(folder, 'ledger.sqlite'), Buffer.alloc(32, 1))
for (let sequence = 1; sequence <= batches; sequence++) {
  const batch = {
    sequence,
    digest: Buffer.alloc(32),
    sealedAtMs: Date.now(),
    octets: Buffer.alloc(1_048_576, sequence),
  }
  ledger.outbox.seal({ upTo: 0, leaves: [], readings: 0, full: false }, batch)
  ledger.outbox.passDone({ sequence, sealedAtMs: 0, passesDone: 3 })
}
const key = { id: 0, key: createSecretKey(Buffer.alloc(32, 2)) }
for (const [name, carouselRestMs] of Object.entries({ 'going round': 1, resting: 3_600_000 })) {
  const sender = openSender({ host: '127.0.0.1', port: 9, from: '127.0.0.1' })
  const link = { outbox: ledger.outbox, sender, key, symbolOctets: 1_400, lossShare: 0.1, bitsPerSecond }
  const forwarder = new Forwarder({ ...link, passesAfterMs: [0, 60_000, 900_000], carouselRestMs })
  if (name === 'resting') await untilAllWentOnce(forwarder)
  const [before, sent] = [process.cpuUsage(), sender.handed.octets]
  await moment(seconds * 1_000)
  const { user, system } = process.cpuUsage(before)
  const [share, megabits] = [(user + system) / seconds / 1e6, ((sender.handed.octets - sent) * 8) / seconds / 1e6]
  console.log(`${name.padEnd(12)} ${(share * 100).toFixed(1).padStart(6)} % of a core, ${megabits.toFixed(1)} Mbit/s`)
  forwarder.close()
  await sender.close()
}
ledger.close()
rmSync(folder, { recursive: true })

/** What is new to it goes round once before it rests. */
async function untilAllWentOnce(forwarder: Forwarder): Promise<void> {
  while (forwarder.carouselRounds < batches) await moment(100)
}
