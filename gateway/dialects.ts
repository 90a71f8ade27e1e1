import type { SpokenDialect } from './intake.ts'
import type { MeterId } from './model.ts'

export type DialectName = SpokenDialect['dialect']

/** A meter that was heard in a dialect for the first time. */
export interface NewDialect {
  meter: MeterId
  dialect: DialectName
}

/** Meters told of a stretch of the journal, the most: one more is told when it speaks again. */
const toldAtOnceMax = 20
/** Meters remembered as told of a dialect, the most: beyond, new ones are counted and not told. */
const rememberedMax = 200_000

/** Counts the pushes that departed from the standard, by dialect; each meter is told once. */
export class Dialects {
  readonly #counts: Partial<Record<DialectName, number>> = {}
  readonly #told = new Map<DialectName, Set<number>>()

  /** @returns who is to be told */
  note(spoken: readonly SpokenDialect[]): NewDialect[] {
    const fresh: NewDialect[] = []
    for (const { meter, dialect } of spoken) {
      this.#counts[dialect] = (this.#counts[dialect] ?? 0) + 1
      if (fresh.length < toldAtOnceMax && this.#isNew(dialect, meter.id)) fresh.push({ meter: meter.title, dialect })
    }
    return fresh
  }

  /** Pushes since the start. */
  counts(): Partial<Record<DialectName, number>> {
    return { ...this.#counts }
  }

  #isNew(dialect: DialectName, meter: number): boolean {
    const told = this.#told.get(dialect) ?? new Set()
    this.#told.set(dialect, told)
    if (told.has(meter) || told.size >= rememberedMax) return false
    told.add(meter)
    return true
  }
}
