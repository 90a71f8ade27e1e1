import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { encodeFrame } from '#gateway/oneway/frame.ts'
import { connectionsMax, openTcpIntake, type TcpIntake } from '#mdm/tcp-intake.ts'
import { bundleOf, octetsMax, reader, Shelf } from '#test/support/bundles.ts'
import { linkKey } from '#test/support/datagrams.ts'

interface Lab {
  shelf: Shelf
  intake: TcpIntake
  failures: Error[]
}

async function lab(more: { msMax?: number; take?: () => Promise<'stored'> } = {}): Promise<Lab> {
  const [shelf, failures] = [new Shelf(), [] as Error[]]
  const intake = await openTcpIntake({
    host: '127.0.0.1',
    port: 0,
    reader,
    take: shelf.take,
    log: pino({ level: 'silent' }),
    onFailure: (error) => failures.push(error),
    ...more,
  })
  onTestFinished(() => intake.close())
  return { shelf, intake, failures }
}

/** A connection, and what came back on it. */
function proxy({ port }: TcpIntake): { socket: Socket; closed: Promise<void>; answered: () => number } {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  let answered = 0
  socket.on('data', ({ length }) => (answered += length))
  socket.on('error', () => undefined)
  socket.on('end', () => socket.end())
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  onTestFinished(() => void socket.destroy())
  return { socket, closed, answered: () => answered }
}

describe('the intake over TCP', () => {
  test('takes a bundle a connection, in pieces of any size, and answers nothing', async () => {
    const { shelf, intake } = await lab()
    for (const [n, size] of [
      [1, 1],
      [2, 71],
      [3, 72],
      [4, 73],
      [5, 100_000],
    ] as const) {
      const { frame } = bundleOf(n, Buffer.alloc(n === 5 ? 300_000 : 50, n))
      const { socket, closed, answered } = proxy(intake)
      for (let at = 0; at < frame.length; at += size) {
        await new Promise((sent) => socket.write(frame.subarray(at, at + size), sent))
      }
      socket.end()
      await closed
      expect(answered()).toBe(0)
    }
    expect([...shelf.batches.keys()]).toEqual([1, 2, 3, 4, 5])
    expect(shelf.batches.get(5)).toBe('\x05'.repeat(300_000))
    expect(intake.status()).toMatchObject({ stored: 5, refused: {} })
  })

  const { frame } = bundleOf(1)
  const changed = (at: number): Buffer => {
    const octets = Buffer.from(frame)
    octets[at]! ^= 1
    return octets
  }
  test.for([
    ['nothing', 'BUNDLE_TRUNCATED', Buffer.alloc(0)],
    ['half a header', 'BUNDLE_TRUNCATED', frame.subarray(0, 40)],
    ['half a batch', 'BUNDLE_TRUNCATED', frame.subarray(0, -1)],
    ['an octet too many', 'BUNDLE_TRAILING', Buffer.concat([frame, Buffer.of(0)])],
    ['two bundles', 'BUNDLE_TRAILING', Buffer.concat([frame, bundleOf(2).frame])],
    ['something else', 'BUNDLE_MALFORMED', Buffer.from(`GET / HTTP/1.1\r\n${'x'.repeat(100)}`)],
    ['another MAC', 'BUNDLE_UNAUTHENTIC', changed(60)],
    ['another batch', 'BUNDLE_DIGEST', changed(frame.length - 1)],
    ['another key', 'BUNDLE_KEY', encodeFrame(bundleOf(1), { ...linkKey, id: 3 }).frame],
    ['too large a batch', 'BUNDLE_LIMIT', bundleOf(1, Buffer.alloc(octetsMax + 1)).frame.subarray(0, 72)],
  ] as const)('refuses a connection that brings %s by %s, and takes the next', async ([, code, octets]) => {
    const { shelf, intake } = await lab()
    const bad = proxy(intake)
    bad.socket.end(octets)
    await bad.closed
    await vi.waitFor(() => expect(intake.status()).toMatchObject({ stored: 0, refused: { [code]: 1 } }))
    const good = proxy(intake)
    good.socket.end(bundleOf(2).frame)
    await good.closed
    expect([...shelf.batches.keys()]).toEqual([2])
    expect(intake.status()).toMatchObject({ stored: 1, refused: { [code]: 1 } })
  })

  test('gives a connection its time and no more, and notices one that is reset', async () => {
    const { intake } = await lab({ msMax: 50 })
    const slow = proxy(intake)
    slow.socket.write(frame.subarray(0, 80))
    await slow.closed
    expect(intake.status().refused).toEqual({ BUNDLE_LATE: 1 })
    const cut = proxy(intake)
    await once(cut.socket, 'connect')
    cut.socket.resetAndDestroy()
    await vi.waitFor(() => expect(intake.status().refused).toEqual({ BUNDLE_LATE: 1, BUNDLE_TRUNCATED: 1 }))
  })

  test('takes no more connections than its limit, a bundle that is being stored counts as one', async () => {
    const stored = Promise.withResolvers<'stored'>()
    const { intake } = await lab({ take: () => stored.promise })
    const busy = Array.from({ length: connectionsMax }, () => proxy(intake))
    for (const { socket } of busy) socket.end(frame)
    await Promise.all(busy.map(({ socket }) => once(socket, 'finish')))
    const over = proxy(intake)
    await over.closed
    await vi.waitFor(() => expect(intake.status().refused).toEqual({ BUNDLE_CONNECTIONS: 1 }))
    stored.resolve('stored')
    await Promise.all(busy.map(({ closed }) => closed))
    expect(intake.status().stored).toBe(connectionsMax)
  })

  test('when it is closed stores what it has whole, and lets go of the rest', async () => {
    const stored = Promise.withResolvers<'stored'>()
    const asked = Promise.withResolvers<void>()
    const { intake } = await lab({
      take: () => {
        asked.resolve()
        return stored.promise
      },
    })
    const [whole, half] = [proxy(intake), proxy(intake)]
    half.socket.write(frame.subarray(0, 80))
    whole.socket.end(frame)
    await asked.promise
    const closing = intake.close()
    await half.closed
    stored.resolve('stored')
    await closing
    expect(intake.status()).toMatchObject({ stored: 1, refused: {} })
  })

  test('tells when the receiver cannot store', async () => {
    const { intake, failures } = await lab({ take: () => Promise.reject(new Error('no space left')) })
    const { socket, closed } = proxy(intake)
    socket.end(frame)
    await closed
    await vi.waitFor(() => expect(failures).toEqual([new Error('no space left')]))
  })

  test('does not start where it cannot listen', async () => {
    const { intake } = await lab()
    const { port } = intake
    const again = openTcpIntake({
      host: '127.0.0.1',
      port,
      reader,
      take: async () => 'stored',
      log: pino({ level: 'silent' }),
      onFailure: () => undefined,
    })
    await expect(again).rejects.toThrow(ConfigError)
  })
})
