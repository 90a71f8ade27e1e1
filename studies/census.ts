import type { StatementSync } from 'node:sqlite'
import { spanOfDay } from './span.ts'

/** A substation with a closed day; the ends are absent while it has no cell. */
export interface Substation {
  id: string
  /** closed days */
  days: number
  firstEnd: number | undefined
  lastEnd: number | undefined
  released: number
  withheld: number
}

export const daysText = 'SELECT substation, day FROM day'

/** Of one substation, between two ends. */
export const dayCountText: string = `SELECT min(interval_end) AS firstEnd, max(interval_end) AS lastEnd, coalesce(sum(state = 'released'), 0) AS released,
    coalesce(sum(state = 'withheld'), 0) AS withheld FROM cell
    WHERE substation = ? AND quantity IN ('import', 'export') AND interval_end > ? AND interval_end <= ?`

/** `version` tells whether the writer has committed since. */
export type CensusStatements = Record<'version' | 'days' | 'dayCount', StatementSync>

interface DayCount {
  firstEnd: number | null
  lastEnd: number | null
  released: number
  withheld: number
}

/** Counts each closed day once, since it never changes again: a list costs the days that closed after the last one. */
export class Census {
  #version: unknown
  readonly #counted = new Set<string>()
  readonly #substations = new Map<string, Substation>()

  /** In order of id. */
  list({ version, days, dayCount }: CensusStatements): Substation[] {
    const { data_version: latest } = version.get() as { data_version: unknown }
    if (this.#version !== latest) {
      for (const row of days.iterate()) {
        const { substation, day } = row as { substation: string; day: string }
        const key = `${day} ${substation}`
        if (this.#counted.has(key)) continue
        const { from, to } = spanOfDay(day)
        this.#add(substation, dayCount.get(substation, from, to) as unknown as DayCount)
        this.#counted.add(key)
      }
    }
    this.#version = latest
    return [...this.#substations.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  #add(id: string, { firstEnd, lastEnd, released, withheld }: DayCount): void {
    const before = this.#substations.get(id)
    this.#substations.set(id, {
      id,
      days: (before?.days ?? 0) + 1,
      firstEnd: least(before?.firstEnd, firstEnd ?? undefined),
      lastEnd: most(before?.lastEnd, lastEnd ?? undefined),
      released: (before?.released ?? 0) + released,
      withheld: (before?.withheld ?? 0) + withheld,
    })
  }
}

function least(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b)
}

function most(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.max(a, b)
}
