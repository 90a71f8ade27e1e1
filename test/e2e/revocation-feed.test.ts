import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { Child } from '#cli/demo/child.ts'
import { openRevocationFeed } from '#gateway/io/revocation-feed.ts'
import { encodeIssuers, encodeRevoked, encodeState, feedAgeMsMax } from '#pki/revocation/feed.ts'
import { parseCertificate } from '#pki/verify.ts'
import { type FrontDoor, openFrontDoor } from '#test/support/front-door.ts'
import { LogTail } from '#test/support/log-tail.ts'
import { type FiledCertificate, type ThrowawayPki, throwawayPki } from '#test/support/pki.ts'
import { credentials, dial, type RawClient } from '#test/support/raw-client.ts'
import { tempFolder } from '#test/support/temp.ts'

let pki: ThrowawayPki
let gateway: FiledCertificate

beforeAll(async () => {
  pki = await throwawayPki()
  gateway = await pki.issue('gateway', 'gateway')
})
afterAll(() => pki.close())

interface Fed {
  door: FrontDoor
  path: string
  /** milliseconds that the gateway's clock is put forward by */
  forward: (milliseconds: number) => void
}

async function fedDoor(): Promise<Fed> {
  const path = join(tempFolder(), 'feed.sock')
  let ahead = 0
  const door = await openFrontDoor(pki, gateway, { feed: { path, clock: () => performance.now() + ahead } })
  return { door, path, forward: (milliseconds) => (ahead += milliseconds) }
}

/** `ami pki feed` as an operator runs it. */
async function feedProcess(path: string): Promise<Child> {
  const child = new Child(
    'feed',
    ['pki', 'feed', '--dir', pki.caDir, '--listener', path],
    join(tempFolder(), 'feed.log'),
  )
  onTestFinished(() => child.kill())
  await child.until('feed.connected')
  return child
}

async function revokeProcess(...args: string[]): Promise<void> {
  const line = ['pki', 'revoke', '--dir', pki.caDir, '--passphrase-file', pki.passphraseFile, ...args]
  const child = new Child('revoke', line, join(tempFolder(), 'revoke.log'))
  expect(await child.ended, child.complaint).toBe(0)
}

const dialAs = (door: FrontDoor, certificate: FiledCertificate, more: object = {}): Promise<RawClient> =>
  dial(door.port, { ...credentials(pki, certificate), ...more })
const openAs = async (door: FrontDoor, certificate: FiledCertificate): Promise<RawClient> =>
  (await dialAs(door, certificate)).open()

describe('a gateway with a revocation feed', () => {
  test('admits nobody before it was told all, and everybody good from then on', async () => {
    const { door, path } = await fedDoor()
    const own = await pki.issue('concentrator', 'dc-early')
    await (await dialAs(door, own)).closed
    await door.tail.until({ event: 'peer.refused', code: 'REVOCATION_UNKNOWN', concentrator: 'dc-early' })
    await feedProcess(path)
    await door.tail.until({ event: 'revocation.fresh' })
    const client = await openAs(door, own)
    expect(client.packets).toMatchObject([{ cmd: 'connack', returnCode: 0 }])
  })

  test('cuts all sessions of a revoked identity, what it was renewed to as well, and leaves the others; it comes in no more', async () => {
    const { door, path } = await fedDoor()
    await feedProcess(path)
    await door.tail.until({ event: 'revocation.fresh' })
    const [first, renewed] = [
      await pki.issue('concentrator', 'dc-stolen'),
      await pki.issue('concentrator', 'dc-stolen'),
    ]
    const others = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => openAs(door, await pki.issue('concentrator', `dc-good-${i}`))),
    )
    const cut = [await openAs(door, first), await openAs(door, renewed)]
    const session = cut[1]!.socket.getSession()
    await revokeProcess('--id', 'dc-stolen', '--reason', 'keyCompromise')
    await Promise.all(cut.map(({ closed }) => closed))
    await door.tail.until({ event: 'peer.refused', code: 'CERTIFICATE_REVOKED', serial: renewed.serial })
    for (const certificate of [first, renewed]) await (await dialAs(door, certificate)).closed
    const resuming = await dialAs(door, renewed, { session })
    await resuming.closed
    expect(resuming.packets).toEqual([])
    const refusals = (): number => door.tail.refusals().filter((code) => code === 'CERTIFICATE_REVOKED').length
    // The second took over the first's session: one that was cut, two that came anew, and the one that would resume.
    await expect.poll(refusals).toBe(4)
    expect(others.map(({ socket }) => socket.destroyed)).toEqual(others.map(() => false))
    expect(door.broker.status().sessions).toBe(others.length)
  })

  test('whose publisher was killed admits nobody after 5 s, keeps who is there, and goes on with the next publisher', async () => {
    const { door, path, forward } = await fedDoor()
    const feed = await feedProcess(path)
    await door.tail.until({ event: 'revocation.fresh' })
    const [here, late, bad] = [
      await pki.issue('concentrator', 'dc-here'),
      await pki.issue('concentrator', 'dc-late'),
      await pki.issue('concentrator', 'dc-bad'),
    ]
    const stays = await openAs(door, here)
    feed.kill()
    await feed.ended
    forward(feedAgeMsMax + 1_000)
    await (await dialAs(door, late)).closed
    await door.tail.until({ event: 'peer.refused', code: 'REVOCATION_UNKNOWN', concentrator: 'dc-late' })
    await door.tail.until({ event: 'revocation.stale' })
    expect(stays.socket.destroyed).toBe(false)
    await revokeProcess(bad.serial)
    await feedProcess(path)
    await openAs(door, late)
    await (await dialAs(door, bad)).closed
    await door.tail.until({ event: 'peer.refused', code: 'CERTIFICATE_REVOKED', concentrator: 'dc-bad' })
    expect(stays.socket.destroyed).toBe(false)
  })

  test('admits nobody by the feed of another PKI', async () => {
    const [own, other] = [await throwawayPki(), await throwawayPki()]
    onTestFinished(async () => {
      await own.close()
      await other.close()
    })
    const path = join(tempFolder(), 'feed.sock')
    const door = await openFrontDoor(own, await own.issue('gateway', 'gateway'), { feed: { path } })
    const { send } = await publisher(path)
    send(encodeIssuers(await keyIds(other)), encodeState(0))
    await door.tail.until({ event: 'revocation.malformed' })
    await (await dial(door.port, credentials(own, await own.issue('concentrator', 'dc-1')))).closed
    await door.tail.until({ event: 'peer.refused', code: 'REVOCATION_UNKNOWN', concentrator: 'dc-1' })
  })

  test('cuts everybody below a CA that is revoked', async () => {
    const own = await throwawayPki()
    onTestFinished(() => own.close())
    const path = join(tempFolder(), 'feed.sock')
    const door = await openFrontDoor(own, await own.issue('gateway', 'gateway'), { feed: { path } })
    const { line, send } = await publisher(path)
    const [device] = (await own.pki.list()).filter(({ id }) => id === 'device')
    send(encodeIssuers(await keyIds(own)), encodeState(0))
    await door.tail.until({ event: 'revocation.fresh' })
    const client = await (await dial(door.port, credentials(own, await own.issue('concentrator', 'dc-1')))).open()
    send(encodeRevoked(Buffer.from(device!.serial, 'hex')))
    await client.closed
    await door.tail.until({ event: 'peer.refused', code: 'CERTIFICATE_REVOKED', concentrator: 'dc-1' })
    line.destroy()
  })
})

async function publisher(
  path: string,
): Promise<{ line: ReturnType<typeof connect>; send: (...frames: Uint8Array[]) => void }> {
  const line = connect(path)
  line.on('error', () => line.destroy())
  await new Promise((resolve) => line.once('connect', resolve))
  onTestFinished(() => void line.destroy())
  return { line, send: (...frames) => void line.write(Buffer.concat(frames)) }
}

async function keyIds(own: ThrowawayPki): Promise<string[]> {
  const authorities = (await own.pki.list()).filter(({ issuer }) => issuer === 'root')
  return authorities.map(({ certificate }) => parseCertificate(Buffer.from(certificate, 'base64')).subjectKeyId!)
}

describe('the gateway’s end of the feed', () => {
  test('closes on what is malformed, or counts more than was told, and does not believe itself fresh', async () => {
    const tail = new LogTail()
    const issuers = encodeIssuers(await keyIds(pki))
    for (const frames of [[Buffer.from('ffffffff', 'hex')], [issuers, encodeState(1)]]) {
      const path = join(tempFolder(), 'feed.sock')
      const revocation = await openRevocationFeed({
        path,
        authorities: pki.deviceTrustPem,
        log: tail.log,
        onRevoked: () => undefined,
      })
      onTestFinished(() => revocation.close())
      const { line, send } = await publisher(path)
      const closed = new Promise((resolve) => line.once('close', resolve))
      send(...frames)
      await closed
    }
    expect(tail.lines.filter(({ event }) => event === 'revocation.malformed')).toHaveLength(2)
    expect(tail.find({ event: 'revocation.fresh' })).toBeUndefined()
  })

  test('takes two publishers and no third', async () => {
    const path = join(tempFolder(), 'feed.sock')
    const revocation = await openRevocationFeed({
      path,
      authorities: pki.deviceTrustPem,
      log: new LogTail().log,
      onRevoked: () => undefined,
    })
    onTestFinished(() => revocation.close())
    const [first, second, third] = [await publisher(path), await publisher(path), await publisher(path)]
    await new Promise((resolve) => third.line.once('close', resolve))
    expect([first.line.destroyed, second.line.destroyed]).toEqual([false, false])
  })

  test('needs a place for its socket', async () => {
    const { log } = new LogTail()
    for (const path of [tempFolder(), join(tempFolder(), 'x'.repeat(100)), '/nowhere/feed.sock']) {
      await expect(
        openRevocationFeed({ path, authorities: pki.deviceTrustPem, log, onRevoked: () => undefined }),
      ).rejects.toThrow(/tls\.feedSocket/)
    }
  })
})
