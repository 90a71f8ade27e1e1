import type { Line } from './child.ts'

/** What the parts said last. */
export interface Snapshot {
  simulator: Line | undefined
  gateway: Line | undefined
  mdm: Line | undefined
  /** only where the link has faults of its own */
  link: Line | undefined
  studies: string
  folder: string
  seconds: number
}

const number = (line: Line | undefined, key: string): number => Number(line?.[key] ?? 0)

/** Rates are means over this time. */
const rateSeconds = 5

/** Counts, rates, and the table that shows them. */
export class Table {
  readonly #past: { counts: Record<string, number>; seconds: number }[] = []

  /** One line of text a row. */
  rows(snapshot: Snapshot): string[] {
    const { simulator, gateway, mdm, link, studies, folder, seconds } = snapshot
    const counts = {
      acknowledged: number(simulator, 'acked'),
      opened: number(gateway, 'opened'),
      sealed: number(gateway, 'sealed'),
      delivered: number(mdm, 'delivered'),
      verified: number(mdm, 'readings'),
      quarantined: number(gateway, 'quarantined'),
    }
    const rates = this.#rates(counts, seconds)
    const gaps = gapsOf(mdm)
    const cells = (gateway?.cells ?? {}) as Record<string, number>
    const lagMs = mdm?.lagMs
    return [
      `ami demo  ${clock(seconds)}   sessions ${number(gateway, 'sessions')} of ${number(simulator, 'concentrators')}   ${spanOf(simulator)}`,
      '',
      `${'readings'.padEnd(14)}${'in all'.padStart(12)}${'a second'.padStart(12)}`,
      ...Object.entries(counts).map(
        ([name, count]) => name.padEnd(14) + grouped(count).padStart(12) + grouped(rates[name] ?? 0).padStart(12),
      ),
      '',
      `batches   sealed ${number(gateway, 'batchesSealed')}, delivered ${number(mdm, 'batches')}   gaps ${gaps}   lag ${lagMs === undefined ? '-' : `${lagMs} ms`}`,
      ...(link === undefined ? [] : [`link      ${lossOf(link)}`]),
      `cells     closed ${cells.closed ?? 0}, released ${cells.released ?? 0}, withheld ${cells.withheld ?? 0}`,
      '',
      `studies   ${studies}/                the page: a load curve per substation`,
      `          ${studies}/v1/substations  the API`,
      `files     ${folder}`,
      'Ctrl-C ends it.',
    ]
  }

  /** The same in one line, for a log. */
  line(snapshot: Snapshot): string {
    const { simulator, gateway, mdm, link, seconds } = snapshot
    return (
      `${clock(seconds)} sessions ${number(gateway, 'sessions')} acknowledged ${number(simulator, 'acked')} opened ${number(gateway, 'opened')} ` +
      `sealed ${number(gateway, 'sealed')} verified ${number(mdm, 'readings')} quarantined ${number(gateway, 'quarantined')} ` +
      `gaps ${gapsOf(mdm)} lag ${mdm?.lagMs ?? '-'} ms${link === undefined ? '' : ` link ${lossOf(link)}`}`
    )
  }

  /** Over the last seconds: the parts report each at its own moment of the second. */
  #rates(counts: Record<string, number>, seconds: number): Record<string, number> {
    this.#past.push({ counts, seconds })
    if (this.#past.length > rateSeconds + 1) this.#past.shift()
    const before = this.#past[0]!
    const elapsed = Math.max(1, seconds - before.seconds)
    return Object.fromEntries(
      Object.entries(counts).map(([name, count]) => [
        name,
        Math.round(Math.max(0, count - (before.counts[name] ?? 0)) / elapsed),
      ]),
    )
  }
}

/** Of a link with faults: datagrams that came to it, and how many of them it lost. */
export function linkCounts(link: Line | undefined): { datagrams: number; lost: number } {
  const lost = number(link, 'lost') + number(link, 'lostInBursts') + number(link, 'lostInOutage')
  return { datagrams: number(link, 'taken'), lost }
}

function lossOf(link: Line): string {
  const { datagrams, lost } = linkCounts(link)
  const percent = datagrams === 0 ? 0 : (100 * lost) / datagrams
  return `lost ${grouped(lost)} of ${grouped(datagrams)} datagrams (${percent.toFixed(1)} %)`
}

function gapsOf(mdm: Line | undefined): string {
  const streams = (mdm?.streams ?? []) as { gaps: [number, number][] }[]
  const gaps = streams.flatMap((stream) => stream.gaps)
  return gaps.length === 0 ? 'none' : gaps.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(' ')
}

function spanOf(simulator: Line | undefined): string {
  const [, end] = (simulator?.span ?? []) as number[]
  return end === undefined ? '' : `meters' time ${new Date(end * 1000).toISOString().slice(0, 16)}Z`
}

function clock(seconds: number): string {
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`
}

function grouped(count: number): string {
  return count.toLocaleString('en-US')
}
