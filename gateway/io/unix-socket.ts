import { lstatSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:net'
import { ConfigError } from '../errors.ts'

/** Octets of the path, the most that Linux takes. @see unix(7) */
const pathOctetsMax = 107

/**
 * Listens on a Unix domain socket that its owner alone may open, from the first moment on. One that lies there is of a gateway that
 * was killed, and makes way; nothing else of the name does.
 * @param key how the configuration calls it
 * @throws ConfigError where the socket cannot be had
 */
export async function listenUnix(server: Server, path: string, key: string): Promise<void> {
  if (Buffer.byteLength(path) > pathOctetsMax) {
    throw new ConfigError([`${key}: ${path}: a socket's path has ${pathOctetsMax} octets at most`])
  }
  removeStale(path, key)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  const before = process.umask(0o177)
  server.listen(path, resolve)
  process.umask(before)
  await promise.catch(({ code }: NodeJS.ErrnoException) => {
    throw new ConfigError([`${key}: cannot listen on ${path} (${code})`])
  })
  server.off('error', reject)
}

function removeStale(path: string, key: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) throw new ConfigError([`${key}: ${path} is there and no socket`])
  unlinkSync(path)
}
