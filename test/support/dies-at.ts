import fs from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

/**
 * For a process that is to be killed at a chosen point: from now on it counts each write, sync and rename of files, and kills
 * itself with SIGKILL instead of doing the one of the given number, 1 being the next.
 * @returns how many there were so far
 */
export async function dieAt(step: number): Promise<() => number> {
  let count = 0
  const counted = <Args extends unknown[], Result>(
    act: (this: unknown, ...args: Args) => Result,
  ): ((this: unknown, ...args: Args) => Result) =>
    function counting(this: unknown, ...args: Args): Result {
      count += 1
      if (count === step) process.kill(process.pid, 'SIGKILL')
      return act.apply(this, args)
    }
  const handle = await open(import.meta.filename)
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  Object.assign(prototype, {
    write: counted(prototype.write),
    writeFile: counted(prototype.writeFile),
    sync: counted(prototype.sync),
    datasync: counted(prototype.datasync),
    truncate: counted(prototype.truncate),
  })
  Object.assign(fs.promises, { rename: counted(fs.promises.rename) })
  syncBuiltinESMExports()
  return () => count
}
