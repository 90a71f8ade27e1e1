import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { PkiError } from '#pki/errors.ts'
import { type EstCredentials, type EstServer, enrol } from '#pki/est/client.ts'
import { makeDeviceKey, makeRequest } from '#pki/est/request.ts'
import { toPem } from '#pki/pem.ts'
import { credentialFiles } from './prepare.ts'

/** Concentrators that enrol at one time, the most. */
export const atOnceMax = 1_024

/** A concentrator as it comes from the factory, for the first time on a network. */
export interface Newcomer {
  id: string
  factory: EstCredentials
}

export interface EnrolmentReport {
  concentrators: number
  enrolled: number
  /** refused or not reached, by code */
  refused: Record<string, number>
  seconds: number
  /** enrolled in a second, all of them */
  perSecond: number
  /** milliseconds from the connection's opening to the certificate, 0 when none came */
  latencyMs: { p50: number; p99: number; most: number }
}

export interface EnrolmentLoad {
  newcomers: readonly Newcomer[]
  server: EstServer
  /** a fleet's, where key and chain of each go */
  folder: string
  /** 1 to `atOnceMax` */
  atOnce: number
  onProgress: (enrolled: number, refused: number) => void
}

/** Enrols them all over real sockets, each with a connection and a key of its own that is on disk before it asks. */
export async function enrolAll(load: EnrolmentLoad): Promise<EnrolmentReport> {
  const { newcomers, atOnce, onProgress } = load
  const latencies: number[] = []
  const refused = new Map<string, number>()
  const coming = newcomers.values() // shared: each worker takes the next
  const worker = async (): Promise<void> => {
    for (const newcomer of coming) {
      const outcome = await enrolOne(newcomer, load)
      if (typeof outcome === 'number') latencies.push(outcome)
      else refused.set(outcome, (refused.get(outcome) ?? 0) + 1)
      onProgress(latencies.length, [...refused.values()].reduce(add, 0))
    }
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: Math.min(atOnce, newcomers.length) }, worker))
  const seconds = (performance.now() - began) / 1_000
  return {
    concentrators: newcomers.length,
    enrolled: latencies.length,
    refused: Object.fromEntries(refused),
    seconds: rounded(seconds),
    perSecond: rounded(latencies.length / seconds),
    latencyMs: latenciesOf(latencies),
  }
}

/** @returns milliseconds, or why not */
async function enrolOne({ id, factory }: Newcomer, { server, folder }: EnrolmentLoad): Promise<number | string> {
  const files = credentialFiles(folder, id)
  const key = makeDeviceKey()
  writeFileSync(files.key, key, { mode: 0o600 })
  const began = performance.now()
  try {
    const pause = (seconds: number): Promise<void> => sleep(seconds * 1_000)
    const chain = await enrol({ server, credentials: factory, csr: makeRequest(key), pause })
    writeFileSync(files.chain, chain.map((one) => toPem('CERTIFICATE', one)).join(''), { mode: 0o600 })
    return performance.now() - began
  } catch (fault) {
    if (fault instanceof PkiError) return /^([A-Z_]+):/.exec(fault.message)?.[1] ?? fault.code
    throw fault
  }
}

function latenciesOf(latencies: readonly number[]): EnrolmentReport['latencyMs'] {
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share: number): number => rounded(sorted[Math.ceil(sorted.length * share) - 1] ?? 0)
  return { p50: at(0.5), p99: at(0.99), most: at(1) }
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10
}

function add(a: number, b: number): number {
  return a + b
}
