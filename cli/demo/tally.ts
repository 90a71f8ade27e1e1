import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { createInterface } from 'node:readline'
import { PeerError } from '#gateway/errors.ts'
import { toNdjson } from '#mdm/ndjson.ts'
import { type VerifiedBatch, verifyBatch } from '#mdm/verify.ts'
import { certificatesFromPem } from '#pki/verify.ts'
import type { SentSeries } from '#simulator/concentrator.ts'

/**
 * The reckoning: every reading that the gateway acknowledged, by the simulator's own record, against every reading that
 * lies at the MDM, and every signature there once more. Nothing that a running part says of itself counts.
 */
export interface Tally {
  acked: number
  delivered: number
  /** readings of batches that verify and whose lines are what was signed */
  verified: number
  /** acknowledged and not delivered, or with another value */
  lost: number
  /** delivered more than once */
  duplicated: number
  /** delivered and never acknowledged as sent: not an error while a publish was under way, so it is only told */
  unrecorded: number
  batches: number
  batchesVerified: number
  gaps: number
}

export async function tally(recordFile: string, mdmData: string, rootFile: string): Promise<Tally> {
  const acknowledged = new Map<string, string>()
  const result = {
    acked: 0,
    delivered: 0,
    verified: 0,
    lost: 0,
    duplicated: 0,
    unrecorded: 0,
    batches: 0,
    batchesVerified: 0,
    gaps: 0,
  }
  for await (const line of lines(recordFile)) {
    for (const [name, value] of readingsOf((JSON.parse(line) as { series: SentSeries[] }).series)) {
      acknowledged.set(name, value)
      result.acked++
    }
  }
  await countDelivered(mdmData, acknowledged, result)
  result.lost = acknowledged.size
  await verifyAll(mdmData, rootFile, result)
  return result
}

function* readingsOf(series: readonly SentSeries[]): Generator<[string, string]> {
  for (const { meter, obis, scaler, ends, values } of series) {
    for (const [i, end] of ends.entries()) yield [`${meter} ${obis} ${end}`, `${values[i]}e${scaler}`]
  }
}

/** Takes what was delivered as it was acknowledged out of `acknowledged`: what stays is lost. */
async function countDelivered(mdmData: string, acknowledged: Map<string, string>, result: Tally): Promise<void> {
  const seen = new Set<string>()
  for (const file of filesOf(mdmData, '.ndjson')) {
    for await (const line of lines(file)) {
      const [name, value] = deliveredReading(line)
      result.delivered++
      if (seen.has(name)) result.duplicated++
      else if (acknowledged.get(name) === value) acknowledged.delete(name)
      else if (!acknowledged.has(name)) result.unrecorded++
      seen.add(name)
    }
  }
}

/** The value keeps all its digits: it is read from the text and not through a float. */
function deliveredReading(line: string): [string, string] {
  const { meter, obis, end, scaler } = JSON.parse(line) as { meter: string; obis: string; end: string; scaler: number }
  const digits = /"value":(-?\d+)/.exec(line)![1]
  return [`${meter} ${obis} ${Date.parse(end) / 1000}`, `${digits}e${scaler}`]
}

async function verifyAll(mdmData: string, rootFile: string, result: Tally): Promise<void> {
  const roots = certificatesFromPem(readFileSync(rootFile, 'utf8'))
  const sequences = new Map<number, number[]>()
  for (const file of filesOf(mdmData, '.batch')) {
    result.batches++
    const batch = await verified(file, roots)
    if (batch === undefined) continue
    const { header, series } = batch
    result.batchesVerified++
    if (linesBeside(file) === toNdjson(header.sequence, series)) result.verified += header.readingCount
    sequences.set(header.epoch, [...(sequences.get(header.epoch) ?? []), header.sequence])
  }
  for (const come of sequences.values()) result.gaps += come.reduce((a, b) => Math.max(a, b), 0) - new Set(come).size
}

/** @returns undefined for a batch that does not verify: it is counted as such */
async function verified(file: string, roots: readonly Uint8Array[]): Promise<VerifiedBatch | undefined> {
  try {
    return await verifyBatch(readFileSync(file), roots, Math.floor(Date.now() / 1000))
  } catch (error) {
    if (error instanceof PeerError) return undefined
    throw error
  }
}

/** What was written of a batch for those who load it. */
function linesBeside(batchFile: string): string {
  const file = batchFile.replace(`${sep}batches${sep}`, `${sep}readings${sep}`).replace(/\.batch$/, '.ndjson')
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

function filesOf(folder: string, ending: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending) && !name.startsWith('quarantine'))
    .sort()
    .map((name) => join(folder, name))
}

async function* lines(file: string): AsyncGenerator<string> {
  if (!existsSync(file)) return
  for await (const line of createInterface({ input: createReadStream(file) })) if (line !== '') yield line
}
