import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { defaultZonesFile } from '#dmz-config/zones.ts'
import { releasedSchema } from '#studies/schema.ts'

/** A cell as the gateway would write it; what is absent is NULL. */
export interface Row {
  substation: string
  quantity: 'import' | 'export'
  end: number
  reason?: string
  sum?: bigint
  scaler?: number
  meters?: number
  state?: 'released' | 'withheld'
}

/** What tests change of a zones file. */
export interface ZonesJson {
  zones: { dmz: { networks: string[] } }
  hosts: { gateway: { addresses: string[] } }
  conduits: { studies: { enabled: boolean; port: number; limits: Record<string, number> } }
}

/** The gateway's side of the contract: a released.sqlite in a folder of its own. */
export class Released implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'studies-'))
  readonly path: string = join(this.folder, 'released.sqlite')
  #database: DatabaseSync | undefined

  create(): this {
    this.#database = new DatabaseSync(this.path)
    this.#database.exec('PRAGMA journal_mode = WAL')
    this.#database.exec(releasedSchema)
    return this
  }

  get database(): DatabaseSync {
    return this.#database!
  }

  /** One closed day, in one transaction as the gateway does it. @param day `YYYY-MM-DD` */
  close(substation: string, day: string, rows: readonly Row[]): this {
    this.database.exec('BEGIN')
    const insert = this.database.prepare('INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
    for (const { quantity, end, state, reason, sum, scaler, meters } of rows) {
      const outcome = state ?? (reason === undefined ? 'released' : 'withheld')
      insert.run(substation, quantity, end, outcome, reason ?? null, sum ?? null, scaler ?? null, meters ?? null)
    }
    this.database.prepare('INSERT INTO day VALUES (?, ?, ?)').run(substation, day, seconds(day) + 86_700)
    this.database.exec('COMMIT')
    return this
  }

  /** A configuration file beside it: on loopback, any free port; `settings` replace, and `undefined` takes away. */
  configure(settings: object = {}): string {
    const zonesFile = fileURLToPath(defaultZonesFile)
    const config = { zonesFile, loopback: { studies: 0 }, released: 'released.sqlite', ...settings }
    return this.#write('studies.json', config)
  }

  /** A zones file beside it: the committed one but for what `change` does to it. */
  zones(change: (zones: ZonesJson) => void): string {
    const zones = JSON.parse(readFileSync(defaultZonesFile, 'utf8')) as ZonesJson
    change(zones)
    return this.#write('zones.json', zones)
  }

  #write(name: string, value: object): string {
    const path = join(this.folder, name)
    writeFileSync(path, JSON.stringify(value))
    return path
  }

  [Symbol.dispose](): void {
    this.#database?.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** @param day `YYYY-MM-DD` @returns seconds of its first instant, UTC */
export function seconds(day: string): number {
  return Date.parse(`${day}T00:00:00Z`) / 1000
}

/** What the weekday of a street of `meters` households looks like, in quarter-hours, with a few gaps where asked. */
export function streetDay(
  substation: string,
  day: string,
  options: { meters: number; reason?: (hour: number) => string | undefined },
): Row[] {
  const { meters, reason = () => undefined } = options
  return Array.from({ length: 96 }, (_, i): Row => {
    const hour = (i + 0.5) / 4
    const cell: Row = { substation, quantity: 'import', end: seconds(day) + (i + 1) * 900 }
    const why = reason(hour)
    if (why !== undefined) return { ...cell, reason: why }
    const present = meters - ((i * 7) % 3)
    return { ...cell, sum: BigInt(Math.round(present * householdWh(hour, i) * 10)), scaler: -1, meters: present }
  })
}

/** Base load, a breakfast and a supper, and some unrest; Wh in a quarter-hour. */
function householdWh(hour: number, i: number): number {
  const bump = (at: number, width: number): number => Math.exp(-(((hour - at) / width) ** 2))
  const unrest = 1 + 0.07 * Math.sin(i * 12.9898) + 0.04 * Math.sin(i * 78.233)
  return (38 + 70 * bump(7.4, 1) + 40 * bump(12.6, 1.4) + 165 * bump(18.6, 1.9) + 45 * bump(21.6, 1.4)) * unrest
}
