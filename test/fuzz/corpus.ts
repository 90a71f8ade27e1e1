import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Octets of one kept input, the most. */
export const keptOctetsMax = 4_096
/** Kept inputs of one target, the most; findings are not counted. */
export const keptMax = 40

const root = join(import.meta.dirname, 'corpus')

export interface Kept {
  file: string
  octets: Uint8Array
}

/** The inputs kept for a target, findings among them; none where none was kept yet. */
export function readCorpus(target: string): Kept[] {
  const folder = join(root, target)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .sort()
    .map((file) => ({ file, octets: Uint8Array.from(readFileSync(join(folder, file))) }))
}

/** Replaces the inputs kept for coverage; findings stay. @param inputs first those that matter most */
export function replaceCorpus(target: string, inputs: readonly Uint8Array[]): void {
  for (const { file } of readCorpus(target)) {
    if (!file.startsWith('finding-')) rmSync(join(root, target, file))
  }
  for (const octets of inputs.slice(0, keptMax)) write(target, nameOf(octets), octets)
}

/** @returns the file's name */
export function keepFinding(target: string, kind: string, octets: Uint8Array): string {
  const file = `finding-${kind}-${nameOf(octets)}`
  write(target, file, octets)
  return file
}

function nameOf(octets: Uint8Array): string {
  return createHash('sha256').update(octets).digest('hex').slice(0, 12)
}

function write(target: string, file: string, octets: Uint8Array): void {
  mkdirSync(join(root, target), { recursive: true })
  writeFileSync(join(root, target, file), octets)
}
