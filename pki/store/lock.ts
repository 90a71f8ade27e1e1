import { join } from 'node:path'
import { Lock } from '../audit/lock.ts'
import { PkiError } from '../errors.ts'

/** In the store's directory: held by whoever makes keys, and by whoever copies them all. */
export const lockFile = 'lock'

/** One at a time among all processes; issuing and revoking go on. @throws PkiError `STORE_BUSY` after 10 seconds */
export async function changingKeys<T>(dir: string, work: () => Promise<T>): Promise<T> {
  const lock = new Lock(join(dir, lockFile))
  let begun = false
  try {
    return await lock.hold(() => {
      begun = true
      return work()
    })
  } catch (cause) {
    if (begun || !(cause instanceof PkiError && cause.code === 'AUDIT_BUSY')) throw cause
    throw new PkiError('STORE_BUSY', 'another process makes keys or a backup here', { cause })
  } finally {
    await lock.close()
  }
}
