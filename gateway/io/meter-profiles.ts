import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseMeterProfile } from '../meters/parse.ts'
import type { MeterProfile } from '../readings/meter-profile.ts'

const folder = join(import.meta.dirname, '../meters')
let read: ReadonlyMap<string, MeterProfile> | undefined

/**
 * The meter profiles that come with the gateway, by name; read once in a process, so that all of a journal is read alike.
 * @throws ConfigError for a file that is no profile
 */
export function meterProfiles(): ReadonlyMap<string, MeterProfile> {
  read ??= new Map(
    readdirSync(folder)
      .filter((file) => file.endsWith('.json'))
      .map((file) => parseMeterProfile(readFileSync(join(folder, file), 'utf8')))
      .map((profile) => [profile.name, profile]),
  )
  return read
}
