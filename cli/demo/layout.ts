import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ConduitId, conduit, defaultZonesFile, parseZones } from '#dmz-config/zones.ts'
import { ConfigError } from '#gateway/errors.ts'
import { PkiError } from '#pki/errors.ts'
import { type InitOptions, initPki, openPki, type Pki } from '#pki/store.ts'
import { type Curves, parseCurves } from '#simulator/curves.ts'
import { type FleetFile, prepareFleet } from '#simulator/prepare.ts'
import { curveSource } from '#simulator/source.ts'

/** What the demo was asked for; what it was not follows from the source. */
export interface DemoOptions {
  concentrators: number | undefined
  meters: number | undefined
  /** wall-clock seconds of one interval */
  intervalSeconds: number
  curvesFile: string | undefined
  /** how meters protect their pushes, in turn */
  protection?: FleetFile['protection']
  /** what everybody's keys are; without: P-256 */
  profileSet?: 'p256' | 'ml-dsa'
  /** where the CAs' keys lie; without: in encrypted files */
  keys?: InitOptions['keys']
  /** the one-way link has faults of its own: this share of its datagrams is lost */
  lossPercent?: number | undefined
}

export interface Layout {
  folder: string
  gatewayConfig: string
  mdmConfig: string
  studiesConfig: string
  simulatorConfig: string
  /** what the simulator was told is durable, a line an uplink */
  record: string
  mdmData: string
  rootFile: string
  pkiFolder: string
  /** where the gateway hears of revocations */
  feedSocket: string
  /** loopback ports of a simulated link between gateway and MDM; without one the gateway sends to the MDM */
  link: { from: number; to: number } | undefined
}

export const mainFile: string = fileURLToPath(new URL('../main.ts', import.meta.url))
const modelIntervalSeconds = 900
const secondsPerDay = 86_400
/** Days close this long after their end, by the wall: what came late by network or by load still counts. */
const graceWallSeconds = 6

/**
 * Everything the parts need, in one folder: a throwaway PKI, a fleet with its credentials, one configuration file a part.
 * @throws ConfigError
 */
export async function layOut(folder: string, options: DemoOptions): Promise<Layout> {
  const span = spanOf(options)
  const fleet = sizeOf(options, span.series)
  const passphraseFile = join(folder, 'passphrase')
  writeFileSync(passphraseFile, `${randomBytes(24).toString('base64')}\n`, { mode: 0o600 })
  const { curvesFile, profileSet = 'p256' } = options
  const pkiFolder = join(folder, 'pki')
  await initPki({ dir: pkiFolder, passphraseFile, profileSet, keys: options.keys ?? {} }).catch(keystoreFault)
  const issued = await enrolAll(folder, { dir: pkiFolder, passphraseFile }, fleet)
  const ports = await choosePorts()
  const layout: Layout = {
    folder,
    gatewayConfig: join(folder, 'gateway.json'),
    mdmConfig: join(folder, 'mdm.json'),
    studiesConfig: join(folder, 'studies.json'),
    simulatorConfig: join(folder, 'simulator.json'),
    record: join(folder, 'acknowledged.ndjson'),
    mdmData: join(folder, 'mdm'),
    rootFile: join(pkiFolder, 'root.pem'),
    pkiFolder,
    feedSocket: join(folder, 'feed.sock'),
    link: options.lossPercent === undefined ? undefined : { from: (await tryPort(0, 'udp'))!, to: ports.oneway },
  }
  const tickMs = Math.round(options.intervalSeconds * 1000)
  writeConfigs(layout, { ports, span, tickMs, curvesFile, profileSet, ...issued })
  importRegistry(layout)
  return layout
}

/** A token that is not there, or a PIN that does not open it, is the operator's to mend. */
function keystoreFault(cause: unknown): never {
  if (!(cause instanceof PkiError)) throw cause
  throw new ConfigError([`--keys: ${cause.code}: ${cause.message}`])
}

interface Span {
  historyStart: number
  liveStart: number
  intervalSeconds: number
  /** series in the curves' file, undefined for the model */
  series: number | undefined
}

/** A day of history goes first, so that there is a closed day to look at; live begins at a midnight. */
function spanOf({ curvesFile }: DemoOptions): Span {
  if (curvesFile === undefined) {
    const liveStart = Math.floor(Date.now() / 1000 / secondsPerDay) * secondsPerDay
    return {
      historyStart: liveStart - secondsPerDay,
      liveStart,
      intervalSeconds: modelIntervalSeconds,
      series: undefined,
    }
  }
  const curves = readCurves(curvesFile)
  const { start, intervalSeconds } = curveSource(curves)
  const liveStart = (Math.floor(start / secondsPerDay) + 1) * secondsPerDay
  return { historyStart: start, liveStart, intervalSeconds, series: curves.series.size }
}

/** @throws ConfigError that names the file */
function readCurves(file: string): Curves {
  try {
    return parseCurves(readFileSync(file, 'utf8'))
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(error.faults.map((fault) => `${file}: ${fault}`))
    throw new ConfigError([`--load-curves: cannot read ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}

/** Fifty meters a substation, twenty-five a concentrator, unless told; and one substation too small to be released. */
function sizeOf(options: DemoOptions, series: number | undefined): FleetFile {
  const asked = options.meters ?? series ?? (options.concentrators ?? 8) * 25
  const meters = Math.min(asked, series ?? Number.POSITIVE_INFINITY)
  const concentrators = options.concentrators ?? Math.ceil(meters / 25)
  if (concentrators > meters)
    throw new ConfigError([`--concentrators: ${concentrators} are more than ${meters} meters`])
  const smallSubstation = series === undefined && concentrators >= 2 && meters >= Math.max(40, concentrators + 6)
  const large = smallSubstation ? concentrators - 1 : concentrators
  const substations = Math.max(1, Math.min(Math.round(meters / 50), large, 999))
  return { seed: 1, substations, concentrators, meters, smallSubstation, protection: options.protection }
}

async function enrolAll(
  folder: string,
  opened: { dir: string; passphraseFile: string },
  fleet: FleetFile,
): Promise<{ crlFile: string; deviceTrustFile: string }> {
  const pki = await openPki(opened)
  await credentials(folder, pki)
  await prepareFleet(fleet, pki, join(folder, 'fleet'))
  await pki.close()
  return { crlFile: pki.crlFile, deviceTrustFile: pki.trustFile('device') }
}

async function credentials(folder: string, pki: Pki): Promise<void> {
  const names = { dns: ['gateway.ami.test', 'localhost'], ip: ['127.0.0.1'] }
  const tls = await pki.issue({ profile: 'gateway', id: 'gateway', names })
  const sealer = await pki.issue({ profile: 'sealer', id: 'gateway' })
  for (const [name, { privateKeyPem, chainPem }] of Object.entries({ tls, sealer })) {
    writeFileSync(join(folder, `${name}.key.pem`), privateKeyPem!, { mode: 0o600 })
    writeFileSync(join(folder, `${name}.chain.pem`), chainPem)
  }
  for (const name of ['kek', 'link.key']) {
    writeFileSync(join(folder, name), `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  }
}

type Ports = Record<'uplink' | 'oneway' | 'studies', number>

/** The zones file's ports where they are free, others where not, and for every demo but the first. */
async function choosePorts(): Promise<Ports> {
  const zones = parseZones(readFileSync(defaultZonesFile, 'utf8'))
  const first = await isFirst()
  const choose = async (id: ConduitId): Promise<number> => {
    const { port, protocol } = conduit(zones, id)
    const usual = first ? await tryPort(port, protocol) : undefined
    return usual ?? (await tryPort(0, protocol))!
  }
  return { uplink: await choose('uplink'), oneway: await choose('oneway'), studies: await choose('studies') }
}

/**
 * Two demos that start together would both find the usual ports free. The first one holds a name in Linux's abstract
 * sockets for as long as its process lives; elsewhere that name cannot be had and every demo takes other ports.
 */
function isFirst(): Promise<boolean> {
  return new Promise((resolve) => {
    const holder = createServer()
    holder.once('error', () => resolve(false))
    holder.listen('\0ami-demo', () => resolve(true))
    holder.unref()
  })
}

/** @returns the port when it can be had on loopback */
function tryPort(port: number, protocol: 'tcp' | 'udp'): Promise<number | undefined> {
  return protocol === 'tcp' ? tryTcp(port) : tryUdp(port)
}

function tryUdp(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.once('error', () => {
      socket.close()
      resolve(undefined)
    })
    socket.bind({ address: '127.0.0.1', port, exclusive: true }, () => {
      const chosen = socket.address().port
      socket.close(() => resolve(chosen))
    })
  })
}

function tryTcp(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : undefined))
    })
  })
}

interface Parts {
  ports: Ports
  span: Span
  tickMs: number
  curvesFile: string | undefined
  profileSet: 'p256' | 'ml-dsa'
  crlFile: string
  deviceTrustFile: string
}

function writeConfigs(
  layout: Layout,
  { ports, span, tickMs, curvesFile, profileSet, crlFile, deviceTrustFile }: Parts,
): void {
  const { folder, rootFile, feedSocket } = layout
  const { historyStart, liveStart, intervalSeconds } = span
  const rate = Math.max(1, Math.round((intervalSeconds * 1000) / tickMs))
  const zonesFile = fileURLToPath(defaultZonesFile)
  const write = (file: string, config: unknown): void => writeFileSync(file, `${JSON.stringify(config, null, 2)}\n`)
  write(layout.gatewayConfig, {
    zonesFile,
    loopback: { uplink: ports.uplink, oneway: layout.link?.from ?? ports.oneway },
    data: 'gateway',
    tls: {
      keyFile: 'tls.key.pem',
      certificateFile: 'tls.chain.pem',
      trustFile: deviceTrustFile,
      crlFile,
      feedSocket,
      profileSet,
    },
    sealer: { keyFile: 'sealer.key.pem', certificateFile: 'sealer.chain.pem' },
    kekFile: 'kek',
    linkKey: { id: 0, file: 'link.key' },
    // Everything within half a minute, where a real link takes its time.
    seal: { intervalMs: 250, urgentMs: 200 },
    forward: { passesAfterMs: [0, 2_000, 30_000], carouselRestSeconds: 60, manifestMs: 2_000 },
    release: { graceSeconds: Math.min(30 * secondsPerDay, graceWallSeconds * rate) },
    clock: { wallStartMs: Date.now(), startMs: liveStart * 1000, rate },
  })
  write(layout.mdmConfig, {
    zonesFile,
    loopback: { oneway: ports.oneway },
    data: layout.mdmData,
    trustFile: rootFile,
    linkKeys: [{ id: 0, file: 'link.key' }],
    allowSmallBuffer: true, // most systems give 208 KiB to whoever has not set more; the log says so
  })
  write(layout.studiesConfig, {
    zonesFile,
    loopback: { studies: ports.studies },
    released: join(folder, 'gateway', 'released.sqlite'),
  })
  write(layout.simulatorConfig, {
    gateway: { host: '127.0.0.1', port: ports.uplink, servername: 'gateway.ami.test' },
    trustFile: rootFile,
    fleet: 'fleet',
    historyStart,
    liveStart,
    intervalSeconds,
    tickMs,
    ...(curvesFile === undefined ? {} : { curvesFile }),
    recordFile: layout.record,
  })
}

/** By the command an operator would use; the file with the keys in the clear is the simulator's own. */
function importRegistry({ folder, gatewayConfig }: Layout): void {
  mkdirSync(join(folder, 'gateway'), { mode: 0o700 })
  const args = [mainFile, 'gateway', 'import', '--config', gatewayConfig, join(folder, 'fleet', 'registry.ndjson')]
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`gateway import ended with ${status}: ${stderr}`)
}
