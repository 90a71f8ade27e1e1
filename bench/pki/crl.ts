import { createWriteStream, statSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { BenchChild } from '../child.ts'
import { grouped, rounded, table } from '../figures.ts'
import type { CrlOrder, CrlRun } from './crl-writer.ts'
import type { PkiLab } from './lab.ts'
import { makeOpensslCa, opensslCrl } from './openssl-ca.ts'
import { residentMost, runProgram } from './program.ts'
import { revocations } from './revocations.ts'

export interface CrlFigures {
  who: string
  entries: number
  seconds: number
  cpuSeconds: number
  /** octets */
  residentMost: number
  /** DER, or PEM of openssl's */
  octets: number
}

export async function measureCrl(
  lab: PkiLab,
  entries: number,
  progress: (text: string) => void,
): Promise<CrlFigures[]> {
  progress(`a CRL of ${grouped(entries)} entries`)
  const ours = await ourCrl(lab, entries)
  progress('the same by openssl ca -gencrl')
  const folder = await makeOpensslCa(lab, 'openssl-crl')
  await pipeline(indexLines(entries), createWriteStream(join(folder, 'index.txt')))
  const run = await opensslCrl(folder)
  const octets = statSync(join(folder, 'crl.pem')).size
  return [ours, { who: 'openssl ca', entries, octets, ...measured(run) }]
}

async function ourCrl({ folder, caFile }: PkiLab, entries: number): Promise<CrlFigures> {
  const child = new BenchChild('pki/crl-writer')
  const file = join(folder, 'ours.crl')
  const order: CrlOrder = { caFile, file, entries }
  const run = await child.ask<CrlRun>(order)
  const most = residentMost(child.pid)
  await child.stop()
  await runProgram('openssl', ['crl', '-inform', 'DER', '-in', file, '-noout', '-crlnumber'], folder) // it reads it
  return { who: 'ours', entries, octets: run.octets, ...measured({ ...run, residentMost: most }) }
}

type Measured = Pick<CrlFigures, 'seconds' | 'cpuSeconds' | 'residentMost'>

function measured({ seconds, cpuSeconds, residentMost: most }: Measured): Measured {
  return { seconds: rounded(seconds), cpuSeconds: rounded(cpuSeconds), residentMost: most }
}

/** The database of `openssl ca`, a line a certificate. */
function* indexLines(entries: number): Generator<string> {
  let lines = ''
  for (const { serial, reason } of revocations(entries)) {
    const why = reason === 'unspecified' ? '' : `,${reason}`
    lines += `R\t360101000000Z\t260601000000Z${why}\t${serial}\tunknown\t/CN=dc\n`
    if (lines.length < 1_000_000) continue
    yield lines
    lines = ''
  }
  yield lines
}

export function crlTable(all: readonly CrlFigures[]): string {
  const head = ['CRL', 'entries', 'seconds', 'CPU seconds', 'resident MB', 'file MB']
  const rows = all.map(({ who, entries, seconds, cpuSeconds, residentMost: most, octets }) => [
    who,
    grouped(entries),
    seconds.toFixed(2),
    cpuSeconds.toFixed(2),
    grouped(most / 1e6),
    grouped(octets / 1e6),
  ])
  return table([head, ...rows])
}
