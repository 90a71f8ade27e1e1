import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { BenchChild } from '../child.ts'
import { type Figure, figure, grouped, spread, table } from '../figures.ts'
import type { IssueOrder, Issuing } from './issuer.ts'
import { type PkiLab, requestName, writeRequests } from './lab.ts'
import { makeOpensslCa, opensslIssue } from './openssl-ca.ts'

/** Certificates by one way of issuing them. */
export interface IssuanceFigures {
  way: string
  certificates: number
  perSecond: Figure
  /** processor microseconds a certificate */
  cpuMicroseconds: Figure
  /** processor time of `openssl ca` to this one's, of the same round */
  ratio: Figure | undefined
}

interface Way {
  way: string
  certificates: number
  run: (round: number) => Promise<Issuing>
}

export interface IssuanceOptions {
  /** requests that are all issued in one go */
  count: number
  rounds: number
  progress: (text: string) => void
}

/** One after the other costs an fsync each: fewer of them take as long. */
const onePart = 5

export async function measureIssuance(lab: PkiLab, options: IssuanceOptions): Promise<IssuanceFigures[]> {
  const { count, rounds, progress } = options
  progress(`${count} requests`)
  const requests = writeRequests(lab, count)
  const ours = async (kind: IssueOrder['kind'], certificates: number): Promise<Issuing> => {
    const child = new BenchChild('pki/issuer')
    const { pki: dir, passphraseFile } = lab
    const issued = await child.ask<Issuing>({ kind, dir, passphraseFile, requests, count: certificates })
    await child.stop()
    return issued
  }
  const few = Math.ceil(count / onePart)
  const names = Array.from({ length: count }, (_, n) => requestName(n))
  const openssl = async (round: number): Promise<Issuing> => {
    const folder = await makeOpensslCa(lab, `openssl-ca-${round}`)
    const run = await opensslIssue(folder, requests, names)
    const issued = readdirSync(join(folder, 'issued')).length
    if (issued !== count) throw new Error(`openssl ca issued ${issued} of ${count}`)
    return run
  }
  const ways: Way[] = [
    { way: 'openssl ca', certificates: count, run: openssl },
    { way: 'issueMany', certificates: count, run: () => ours('many', count) },
    { way: 'issue', certificates: few, run: () => ours('one', few) },
  ]
  const turns: Turn[][] = []
  for (let round = 0; round < rounds; round++) {
    progress(`issuance, round ${round + 1} of ${rounds}`)
    const turn: Turn[] = []
    for (const way of ways) turn.push(turnOf(await way.run(round), way))
    turns.push(turn)
  }
  return ways.map(({ way, certificates }, at) => ({
    way,
    certificates,
    perSecond: figure(turns.map((turn) => turn[at]!.perSecond)),
    cpuMicroseconds: figure(turns.map((turn) => turn[at]!.cpuMicroseconds)),
    ratio: at === 0 ? undefined : figure(turns.map((turn) => turn[0]!.cpuMicroseconds / turn[at]!.cpuMicroseconds)),
  }))
}

interface Turn {
  perSecond: number
  cpuMicroseconds: number
}

function turnOf({ seconds, cpuSeconds }: Issuing, { certificates }: Way): Turn {
  return { perSecond: certificates / seconds, cpuMicroseconds: (cpuSeconds * 1e6) / certificates }
}

export function issuanceTable(all: readonly IssuanceFigures[]): string {
  const head = ['way', 'certificates', 'a second', 'CPU µs', 'a core second', 'ratio']
  const rows = all.map(({ way, certificates, perSecond, cpuMicroseconds, ratio }) => [
    way,
    grouped(certificates),
    grouped(perSecond.median),
    grouped(cpuMicroseconds.median),
    grouped(1e6 / cpuMicroseconds.median),
    ratio === undefined ? '' : spread(ratio),
  ])
  return table([head, ...rows])
}
