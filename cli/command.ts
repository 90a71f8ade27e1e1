import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'

/** One subcommand of `ami`: arguments in, exit code out. */
export interface Command {
  /** one line, for the overview */
  summary: string
  /** what `--help` prints, ending with a line feed */
  help: string
  /** where a subcommand of it has a help of its own: that of these arguments */
  helpFor?(args: readonly string[]): Promise<string>
  run(args: readonly string[]): Promise<number>
}

/** `EX_USAGE` of sysexits.h */
export const exitUsage = 64

/** The command line is not understood: the message says which word, exit code 64. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

type Parsed<T extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ args: string[]; options: T; allowPositionals: true; strict: true }>
>

/** Options and positionals, strict. @throws UsageError with what is wrong */
export function parse<T extends ParseArgsOptionsConfig>(args: readonly string[], options: T): Parsed<T> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause })
  }
}

/** A whole number within bounds from an option's text. @throws UsageError */
export function wholeNumber(name: string, text: string, [min, max]: readonly [number, number]): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new UsageError(`--${name}: a whole number, ${min} to ${max}, not '${text}'`)
  }
  return value
}

/** A decimal number within bounds from an option's text. @throws UsageError */
export function decimalNumber(name: string, text: string, [min, max]: readonly [number, number]): number {
  const value = Number(text)
  if (!/^\d+(\.\d+)?$/.test(text) || value < min || value > max) {
    throw new UsageError(`--${name}: a number, ${min} to ${max}, not '${text}'`)
  }
  return value
}
