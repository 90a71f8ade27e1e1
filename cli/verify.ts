import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError, PeerError } from '#gateway/errors.ts'
import { isoTime, unitName } from '#mdm/ndjson.ts'
import {
  type ProvenSeries,
  proveReading,
  type ReadingName,
  type VerifiedBatch,
  verifyBatch,
  verifyProof,
} from '#mdm/verify.ts'
import { certificatesFromPem, PkiError } from '#pki/verify.ts'
import { type Command, parse, UsageError } from './command.ts'

const help = `ami verify: is this batch, or this one reading, what the gateway signed?

usage: ami verify BATCH --trust ROOT.pem [--reading METER,OBIS,END] [--extract DIR] [--json]
       ami verify PROOF.json --trust ROOT.pem [--json]

BATCH is a sealed batch as 'ami mdm receive' keeps it. Checked are its form, its Merkle root, its CMS signature, and
the signer's chain to ROOT.pem with the CRLs that it carries.

  --reading METER,OBIS,END  also checks that this reading stands under the signed root (system title, OBIS code,
                            interval end in UTC, as in the NDJSON), and shows it and no other. Without it a PROOF
                            shows all that it proves. The proof tells of no other meter.
  --extract DIR             writes header.pb and header.p7s, for other tools, and proof.json with --reading:
                            openssl cms -verify -binary -inform DER -in header.p7s -content header.pb -CAfile ROOT.pem
  --json                    one JSON line

A value is an integer, times ten to 'scaler', in 'unit'.

Exit 0: all of it holds. Exit 1: it does not, with the code of what failed. Exit 64: usage.
Exit 78: a file cannot be read, or ROOT.pem holds no certificate.
`

function read(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new ConfigError([`cannot read ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}

const utcPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/** @throws UsageError */
function parseReading(text: string): ReadingName {
  const [meter, obis, end, ...more] = text.split(',')
  const seconds = utcPattern.test(end ?? '') ? Date.parse(end!) / 1000 : Number.NaN
  if (meter === undefined || obis === undefined || !Number.isInteger(seconds) || more.length > 0) {
    throw new UsageError('--reading METER,OBIS,END: such as 414d49…,1-0:1.29.0,2026-01-01T00:15:00Z')
  }
  return { meter: meter.toLowerCase(), obis, end: seconds }
}

interface Asked {
  roots: Uint8Array[]
  reading: ReadingName | undefined
  extract: string | undefined
}

/** @throws PeerError what does not hold */
async function check(octets: Buffer, { roots, reading, extract }: Asked): Promise<Record<string, unknown>> {
  const now = Math.floor(Date.now() / 1000)
  if (octets[0] === 0x7b) return report(await verifyProof(parseJson(octets), roots, now), reading) // {
  const batch = await verifyBatch(octets, roots, now)
  const proof = reading === undefined ? undefined : proveReading(batch, reading)
  if (reading !== undefined && proof === undefined)
    throw new PeerError('PROOF_INVALID', 'no such reading in this batch')
  if (extract !== undefined) writeParts(extract, batch, proof)
  const proven = proof === undefined ? {} : report(await verifyProof(proof, roots, now), reading)
  const { sequence, epoch, readingCount: readings } = batch.header
  return { epoch, sequence, readings, signer: batch.signer, signedAt: isoTime(batch.signedAt), ...proven }
}

function parseJson(octets: Buffer): unknown {
  try {
    return JSON.parse(octets.toString('utf8'))
  } catch (cause) {
    throw new PeerError('PROOF_INVALID', 'not JSON', { cause })
  }
}

function trusted(file: string): Uint8Array[] {
  try {
    const roots = certificatesFromPem(read(file).toString('utf8'))
    if (roots.length === 0) throw new ConfigError([`--trust: ${file}: no certificate in it`])
    return roots
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    throw new ConfigError([`--trust: ${file}: ${error.message}`])
  }
}

/** @throws PeerError `PROOF_INVALID` when it proves another reading than the one asked for */
function report({ header, series, signer }: ProvenSeries, asked: ReadingName | undefined): Record<string, unknown> {
  const { meter, obis, scaler, ends, values } = series
  const unit = unitName(series.unit)
  const readings = ends.map((end, i) => ({ end: isoTime(end), value: String(values[i]) }))
  const common = { sequence: header.sequence, signer }
  if (asked === undefined) return { ...common, proven: { meter, obis, scaler, unit, readings } }
  const found = meter === asked.meter && obis === asked.obis ? readings[ends.indexOf(asked.end)] : undefined
  if (found === undefined) throw new PeerError('PROOF_INVALID', 'it proves another reading')
  return { ...common, reading: { meter, obis, ...found, scaler, unit } }
}

function writeParts(folder: string, { batch }: VerifiedBatch, proof: unknown): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'header.pb'), batch.header)
  writeFileSync(join(folder, 'header.p7s'), batch.signature)
  if (proof !== undefined) writeFileSync(join(folder, 'proof.json'), `${JSON.stringify(proof)}\n`)
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, {
    trust: { type: 'string' },
    reading: { type: 'string' },
    extract: { type: 'string' },
    json: { type: 'boolean', default: false },
  })
  const [file, ...more] = positionals
  if (file === undefined || more.length > 0) throw new UsageError('verify: one BATCH or PROOF')
  if (values.trust === undefined) throw new UsageError('verify: --trust ROOT.pem is required')
  const roots = trusted(values.trust)
  const reading = values.reading === undefined ? undefined : parseReading(values.reading)
  try {
    const facts = await check(read(file), { roots, reading, extract: values.extract })
    process.stdout.write(values.json ? `${JSON.stringify({ ok: true, ...facts })}\n` : `${lines(facts)}holds\n`)
    return 0
  } catch (error) {
    if (!(error instanceof PeerError)) throw error
    const { code, message } = error
    if (values.json) process.stdout.write(`${JSON.stringify({ ok: false, fault: { code, detail: message } })}\n`)
    else process.stderr.write(`ami: does not hold: ${code}: ${message}\n`)
    return 1
  }
}

function lines(facts: Record<string, unknown>): string {
  return Object.entries(facts)
    .map(([name, value]) => `${name.padEnd(10)} ${typeof value === 'object' ? JSON.stringify(value) : value}\n`)
    .join('')
}

export const command: Command = { summary: 'checks a delivered batch, or one reading in it', help, run }
