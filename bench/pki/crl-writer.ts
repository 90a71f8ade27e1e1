import { generateKeyPairSync, sign } from 'node:crypto'
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { parseCertificate } from '#pki/certificate.ts'
import { encodeCrl } from '#pki/crl-writer.ts'
import { fromPem } from '#pki/pem.ts'
import { serve } from '../child.ts'
import { readPem } from './lab.ts'
import { revocations } from './revocations.ts'

export interface CrlOrder {
  caFile: string
  /** where the DER goes */
  file: string
  entries: number
}

export interface CrlRun {
  seconds: number
  cpuSeconds: number
  octets: number
}

async function write({ caFile, file, entries }: CrlOrder): Promise<CrlRun> {
  const issuer = parseCertificate(fromPem('CERTIFICATE', readPem(caFile))[0]!)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const [began, before] = [performance.now(), process.cpuUsage()]
  const head = { issuer, number: 1n, thisUpdate: 1_780_272_000, nextUpdate: 1_780_876_800 }
  const list = { [Symbol.iterator]: () => revocations(entries) }
  const der = await encodeCrl(head, list, (octets) => sign('sha256', octets, privateKey))
  const target = openSync(file, 'w')
  writeSync(target, der)
  fdatasyncSync(target)
  closeSync(target)
  const { user, system } = process.cpuUsage(before)
  return { seconds: (performance.now() - began) / 1000, cpuSeconds: (user + system) / 1e6, octets: der.length }
}

/** A process of its own, so that its memory is a CRL's and nothing else's. */
serve<CrlOrder>(write)
