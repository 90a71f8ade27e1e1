import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { ConfigError } from '#gateway/errors.ts'
import { registerFile } from '#pki/enrolment/ca.ts'
import { readManifest } from '#pki/enrolment/inventory.ts'
import { EnrolmentRegister } from '#pki/enrolment/register.ts'
import { createMaker, type Maker } from '#pki/manufacturers/maker.ts'
import { ManufacturerStore } from '#pki/manufacturers/store.ts'
import { initPki, openPki } from '#pki/store.ts'
import { type EnrolmentReport, enrolAll, type Newcomer } from '#simulator/enrol.ts'
import { type FleetFile, writeFleet } from '#simulator/prepare.ts'
import { Child } from './demo/child.ts'

export interface SimulatedEnrolment {
  /** new or empty */
  folder: string
  size: FleetFile
  /** concentrators that enrol at one time */
  atOnce: number
  json: boolean
}

const manufacturer = 'Simulated Factory'
const progressMs = 500

/** @returns the exit code: 0 when all are enrolled @throws ConfigError */
export async function simulateEnrolment({ size, atOnce, json, ...asked }: SimulatedEnrolment): Promise<number> {
  const folder = emptyFolder(asked.folder)
  const say = (text: string): void => void (json || process.stderr.write(text))
  say('a PKI, a factory and a fleet …\n')
  const ids = writeFleet(size, folder)
  const site = await makeSite(folder)
  const newcomers = await manufacture(site, ids)
  const report = await withProcesses(site, (port) =>
    enrolAll({
      newcomers,
      server: { host: '127.0.0.1', port, trust: readFileSync(join(site.pki, 'root.pem'), 'utf8') },
      folder,
      atOnce,
      onProgress: progress(say, ids.length),
    }),
  )
  say('\n')
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : sentence(report, folder))
  return report.enrolled === ids.length ? 0 : 1
}

interface Site {
  folder: string
  pki: string
  passphraseFile: string
  maker: Maker
}

async function makeSite(folder: string): Promise<Site> {
  const [pki, passphraseFile] = [join(folder, 'pki'), join(folder, 'passphrase')]
  writeFileSync(passphraseFile, `${randomBytes(24).toString('base64')}\n`, { mode: 0o600 })
  await initPki({ dir: pki, passphraseFile })
  const now = (): number => Date.now() / 1_000
  const maker = await createMaker(manufacturer, now)
  await new ManufacturerStore(pki).add(maker.caPem, now())
  const opened = await openPki({ dir: pki, passphraseFile })
  const own = await opened.issue({ profile: 'gateway', id: 'est', names: { dns: ['localhost'], ip: ['127.0.0.1'] } })
  await opened.close()
  writeFileSync(join(folder, 'est.key.pem'), own.privateKeyPem!, { mode: 0o600 })
  writeFileSync(join(folder, 'est.chain.pem'), own.chainPem, { mode: 0o600 })
  return { folder, pki, passphraseFile, maker }
}

/** The factory gives each its identity, and says in a manifest what it shipped. */
async function manufacture({ folder, pki, maker }: Site, ids: readonly string[]): Promise<Newcomer[]> {
  const known = await new ManufacturerStore(pki).list()
  const lines = ids.map((id) => `${known[0]!.fingerprint},SN-${id},${id}\n`)
  const manifest = `manufacturer,serial,concentrator\n${lines.join('')}`
  writeFileSync(join(folder, 'manifest.csv'), manifest, { mode: 0o600 })
  const register = new EnrolmentRegister(registerFile(pki))
  register.import(readManifest(manifest, known))
  register.close()
  const newcomers: Newcomer[] = []
  for (const id of ids) {
    const { chainPem, privateKeyPem } = await maker.make(`SN-${id}`)
    newcomers.push({ id, factory: { cert: chainPem, key: privateKeyPem } })
  }
  return newcomers
}

/** Listener and CA as an operator would run them; both are ended however `use` ends. */
async function withProcesses<T>(site: Site, use: (port: number) => Promise<T>): Promise<T> {
  const { folder, pki, passphraseFile } = site
  const queueFolder = mkdtempSync(join(tmpdir(), 'ami-enrol-')) // a socket's path must be short
  const queueSocket = join(queueFolder, 'ca.sock')
  const config = join(folder, 'est.json')
  writeFileSync(config, JSON.stringify(configOf(queueSocket)), { mode: 0o600 })
  const est = new Child('est', ['pki', 'est', '--config', config], join(folder, 'est.log'))
  const where = ['--dir', pki, '--passphrase-file', passphraseFile, '--queue', queueSocket]
  const ca = new Child('ca', ['pki', 'est', 'ca', ...where], join(folder, 'ca.log'))
  try {
    const [{ port }] = await Promise.all([est.until('est.listening'), ca.until('enrolment.drawing')])
    return await use(Number(port))
  } finally {
    await Promise.all([est.stop(), ca.stop()])
    rmSync(queueFolder, { recursive: true, force: true })
  }
}

function configOf(queueSocket: string): object {
  return {
    host: '127.0.0.1',
    port: 0,
    keyFile: 'est.key.pem',
    certificateFile: 'est.chain.pem',
    clientTrustFiles: ['pki/trust/manufacturers.pem', 'pki/trust/device.pem'],
    caCertificatesFile: 'pki/root.pem',
    queueSocket,
  }
}

/** One line over itself on a terminal; elsewhere nothing. */
function progress(say: (text: string) => void, total: number): (enrolled: number, refused: number) => void {
  let last = 0
  return (enrolled, refused) => {
    const now = performance.now()
    if (!process.stderr.isTTY || (now - last < progressMs && enrolled + refused < total)) return
    last = now
    say(`\r\u001b[2K${enrolled} of ${total} enrolled, ${refused} refused`)
  }
}

function sentence(
  { concentrators, enrolled, seconds, perSecond, latencyMs, refused }: EnrolmentReport,
  folder: string,
): string {
  const { p50, p99, most } = latencyMs
  const codes = Object.entries(refused).map(([code, count]) => `, ${count} ${code}`)
  return `${enrolled} of ${concentrators} enrolled in ${seconds} s: ${perSecond}/s, latency p50 ${p50} ms, p99 ${p99} ms, most ${most} ms${codes.join('')}; all in ${folder}\n`
}

/** @throws ConfigError */
function emptyFolder(dir: string): string {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    if (readdirSync(dir).length > 0) throw new ConfigError([`--out: ${dir} is not empty`])
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    throw new ConfigError([`--out: ${(cause as Error).message}`])
  }
  return resolve(dir)
}
