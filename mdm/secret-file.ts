import { readFileSync, statSync } from 'node:fs'
import { ConfigError } from '#gateway/errors.ts'

/** @param name how the configuration calls it @throws ConfigError when it cannot be read */
export function readText(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError([`${name}: cannot read ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}

/** A file that only its owner may read. @throws ConfigError; the message holds nothing of it */
export function readSecret(name: string, file: string): string {
  const text = readText(name, file)
  const mode = statSync(file).mode & 0o777
  if ((mode & 0o077) !== 0)
    throw new ConfigError([`${name}: ${file} is open to others (${mode.toString(8)}): chmod 600`])
  return text
}
