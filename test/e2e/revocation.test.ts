import { copyFile, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { openRevocation } from '#gateway/io/revocation.ts'
import { type FrontDoor, openFrontDoor } from '#test/support/front-door.ts'
import { LogTail } from '#test/support/log-tail.ts'
import { type FiledCertificate, throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { credentials, dial, publishPacket, type RawClient } from '#test/support/raw-client.ts'
import { tempFolder } from '#test/support/temp.ts'

let pki: WithForeign
let gateway: FiledCertificate
let own: FiledCertificate
beforeAll(async () => {
  pki = await throwawayPki()
  gateway = await pki.issue('gateway', 'gateway')
})
beforeEach(async () => {
  own = await pki.issue('concentrator', 'dc-1')
})
afterAll(() => pki.close())

const dialIn = (door: FrontDoor, certificate = own): Promise<RawClient> =>
  dial(door.port, credentials(pki, certificate))
const open = async (door: FrontDoor, certificate = own): Promise<RawClient> => (await dialIn(door, certificate)).open()

async function refused(door: FrontDoor, code: string): Promise<void> {
  const client = await dialIn(door)
  await client.closed
  await door.tail.until({ event: 'peer.refused', code, concentrator: 'dc-1', serial: own.serial })
  expect(client.packets).toEqual([])
}

/** The bundle's lists: the root's, the Device CA's, and those of the others. */
async function lists(): Promise<string[]> {
  const pem = await readFile(pki.crlFile, 'utf8')
  return pem.match(/-----BEGIN X509 CRL-----[\s\S]*?-----END X509 CRL-----\n/g)!
}

/** As an operator's copy would: beside it, then into its place. */
async function replace(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

/** The look every second, and what a busy machine adds. */
const cutWithinMs = 2_000

describe('a certificate that runs out', () => {
  test('ends the session that is open, and no other', async () => {
    const validMs = 86_400_000
    const lastingMs = 4_000
    const past = await throwawayPki({ now: () => (Date.now() - validMs + lastingMs) / 1_000 })
    onTestFinished(() => past.close())
    const door = await openFrontDoor(past, await past.issue('gateway', 'gateway'))
    const dialAs = async (id: string, days: number): Promise<RawClient> => {
      const certificate = await past.issue('concentrator', id, { days })
      return (await dial(door.port, credentials(past, certificate))).open()
    }
    const brief = await dialAs('dc-brief', 1)
    const lasting = await dialAs('dc-lasting', 2)
    door.broker.cut()
    expect(door.broker.status().sessions).toBe(2)
    const sessionsLeft = (): number => {
      door.broker.cut()
      return door.broker.status().sessions
    }
    await expect.poll(sessionsLeft, { timeout: 10_000 }).toBe(1)
    await brief.closed
    await door.tail.until({ event: 'peer.refused', code: 'CERTIFICATE_EXPIRED', concentrator: 'dc-brief' })
    expect(lasting.socket.destroyed).toBe(false)
  })
})

describe('revocation', () => {
  test('destroys the live session within two seconds, lets no new one in, and leaves the others alone', async () => {
    const door = await openFrontDoor(pki, gateway)
    const neighbour = await open(door, await pki.issue('concentrator', 'dc-2'))
    const client = await open(door)
    await pki.revoke(own.serial)
    const began = performance.now()
    await client.closed
    expect(performance.now() - began).toBeLessThan(cutWithinMs)
    await door.tail.until({
      event: 'peer.refused',
      code: 'CERTIFICATE_REVOKED',
      concentrator: 'dc-1',
      serial: own.serial,
    })
    await refused(door, 'CERTIFICATE_REVOKED')
    neighbour.send(publishPacket('dc-2'))
    await neighbour.until(2)
    expect(door.broker.status()).toMatchObject({ sessions: 1, refused: { CERTIFICATE_REVOKED: 2 } })
  })

  test('by a list that came garbled changes nothing, until a good one comes', async () => {
    const crlFile = join(tempFolder(), 'crl.pem')
    await copyFile(pki.crlFile, crlFile)
    const door = await openFrontDoor(pki, gateway, { crlFile })
    const client = await open(door)
    const revoked = await pki.issue('concentrator', 'dc-3')
    await pki.revoke(revoked.serial)
    const good = await readFile(pki.crlFile, 'utf8')
    await replace(crlFile, good.replace(/MII/, 'MIJ'))
    await door.tail.until({ event: 'crl.unreadable', level: 'error' })
    await open(door, await pki.issue('concentrator', 'dc-4'))
    client.send(publishPacket('dc-1'))
    await client.until(2)
    await replace(crlFile, good)
    await door.tail.until({ event: 'crl.loaded' })
    await (await dialIn(door, revoked)).closed
    await door.tail.until({ event: 'peer.refused', code: 'CERTIFICATE_REVOKED', serial: revoked.serial })
  })

  test.for([
    ['is cut short', (pem: string) => pem.slice(0, pem.length / 2)],
    ['is empty', () => ''],
    ['is a certificate', () => pki.rootPem],
    ["lost one CA's list", (pem: string) => pem.slice(pem.indexOf('-----BEGIN', 1))],
  ] as const)('by a file that %s leaves the old state in force', async ([, garble]) => {
    const crlFile = join(tempFolder(), 'crl.pem')
    await copyFile(pki.crlFile, crlFile)
    const door = await openFrontDoor(pki, gateway, { crlFile })
    await replace(crlFile, garble(await readFile(crlFile, 'utf8')))
    await door.tail.until({ event: 'crl.unreadable' })
    await open(door)
    expect(door.tail.refusals()).toEqual([])
  })

  test.for([0, 1])("refuses everybody when the bundle lacks one CA's list (%i)", async (missing) => {
    const crlFile = join(tempFolder(), 'crl.pem')
    await writeFile(crlFile, (await lists()).toSpliced(missing, 1).join(''))
    await refused(await openFrontDoor(pki, gateway, { crlFile }), 'REVOCATION_UNKNOWN')
  })

  test('of the Device CA destroys the sessions under it and lets no new one in', async () => {
    const withRoot = await throwawayPki()
    try {
      own = await withRoot.issue('concentrator', 'dc-1')
      const door = await openFrontDoor(withRoot, await withRoot.issue('gateway', 'gateway'))
      const client = await (await dial(door.port, credentials(withRoot, own))).open()
      const { serial } = (await withRoot.pki.list()).find(({ profile }) => profile === 'device')!
      await withRoot.revoke(serial, 'cACompromise')
      await client.closed
      await door.tail.until({ event: 'peer.refused', code: 'CERTIFICATE_REVOKED', concentrator: 'dc-1' })
      await (await dial(door.port, credentials(withRoot, own))).closed
      expect(door.tail.refusals()).toEqual(['CERTIFICATE_REVOKED', 'CERTIFICATE_REVOKED'])
    } finally {
      await withRoot.close()
    }
  })

  test('refuses everybody when the list has run out', async () => {
    const old = await throwawayPki({ now: () => Math.floor(Date.now() / 1000) - 80 * 86_400 })
    try {
      own = await old.issue('concentrator', 'dc-1')
      const door = await openFrontDoor({ ...old }, await pki.issue('gateway', 'gateway'))
      const client = await dial(door.port, credentials(pki, own))
      await client.closed
      await door.tail.until({ event: 'peer.refused', code: 'REVOCATION_UNKNOWN', concentrator: 'dc-1' })
    } finally {
      await old.close()
    }
  })

  test('needs a readable list to begin with', () => {
    const [folder, { log }] = [tempFolder(), new LogTail()]
    const begin = (file: string) => openRevocation({ file, log, onChange: () => {} })
    expect(() => begin(join(folder, 'none.pem'))).toThrow(/tls\.crlFile: .*ENOENT/)
    expect(() => begin(pki.rootFile)).toThrow(/tls\.crlFile/)
  })
})
