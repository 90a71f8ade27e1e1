import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** A file of the corpus that lies beside the project. */
export function corpusFile(path: string): string {
  return join(import.meta.dirname, '../../../shared/corpus', path)
}

/** For the name of a test that needs the file; on CI it must be there. */
export function corpusNote(path: string): string {
  if (existsSync(corpusFile(path))) return ''
  if (process.env.CI !== undefined) throw new Error(`the corpus lacks ${path}, and CI needs it`)
  return ' (skipped: the corpus is not here)'
}
