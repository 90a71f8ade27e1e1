import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A published telegram and what it must be read as. Field meanings are in the corpus's own README. */
export interface CorpusCase {
  id: string
  framing: 'raw-apdu' | 'hdlc' | 'wrapper' | 'mbus' | 'p1-ciphered' | 'raw-axdr'
  hex: string
  apdus?: string[]
  ek?: string
  ak?: string
  expected?: ExpectedValue[]
  expected_structure?: ExpectedApdu | ExpectedApdu[]
  expected_error?: string
  /** of the ciphering header, or as the source tells it */
  system_title?: string
  keys?: { ka_private_key?: string; ka_public_key_xy?: string }
  /** frames that carry no APDU */
  hdlc_frames?: { segmented: boolean; length: number; dst: string; src: string; control: number }[]
  hdlc_u_frames?: {
    frame: string
    max_info_transmit: number
    max_info_receive: number
    window_transmit: number
    window_receive: number
  }[]
  verification?: { decodes?: boolean }
}

export interface ExpectedValue {
  obis: string
  type: string
  raw?: number | string
  value: unknown
  scaler?: number
  unit?: string
  unit_code?: number
}

export interface ExpectedApdu {
  apdu: string
  inner?: ExpectedApdu
  /** what was deciphered */
  plain_hex?: string
  /** what general-signing holds */
  content?: { apdu: string; body?: Tree; data?: Tree[] }
  date_time?: { local: string; deviation_minutes: number | null; utc?: string } | null
  body?: Tree
}

/** `{ type: value }`, integers beyond 2^53 and octets as text. */
export type Tree = Record<string, unknown>

const folder = join(import.meta.dirname, '../../../../shared/corpus/dlms')

/** The corpus lies beside the project; without it the tests that need it are skipped, but never on CI. */
export const hasCorpus: boolean = existsSync(folder)
export const mustHaveCorpus: boolean = process.env.CI !== undefined

/** Every case that has octets, in the order of files and of cases in them. */
export function corpusCases(): CorpusCase[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json') && !name.endsWith('-crypto-vectors.json'))
  return files.sort().flatMap((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as CorpusCase[])
}
