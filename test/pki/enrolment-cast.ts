import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EstCredentials, type EstServer, enrol } from '#pki/est/client.ts'
import { makeDeviceKey, makeRequest } from '#pki/est/request.ts'
import { createMaker, type Maker } from '#pki/manufacturers/maker.ts'
import { ManufacturerStore } from '#pki/manufacturers/store.ts'
import { toPem } from '#pki/pem.ts'
import { type ThrowawayOptions, throwawayPki, type WithForeign } from '#test/support/pki.ts'

const program = join(import.meta.dirname, '..', '..', 'cli', 'main.ts')

type Line = { event: string } & Record<string, unknown>

/** A process of ours, as an operator would start it. */
export class Process {
  readonly lines: Line[] = []
  readonly ended: Promise<number | null>
  readonly #child: ChildProcess
  readonly #waiting = new Set<() => void>()

  constructor(...args: readonly string[]) {
    this.#child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.ended = once(this.#child, 'close').then(([code]) => {
      this.#tell()
      return code as number | null
    })
    createInterface({ input: this.#child.stdout! }).on('line', (text) => {
      this.lines.push(JSON.parse(text) as Line)
      this.#tell()
    })
  }

  /** The first such line from `after` on. */
  async until(event: string, after = 0): Promise<Line> {
    for (;;) {
      const found = this.lines.slice(after).find((line) => line.event === event)
      if (found !== undefined) return found
      if (this.#child.exitCode !== null) throw new Error(`it ended with ${this.#child.exitCode} before ${event}`)
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  #tell(): void {
    for (const look of this.#waiting) look()
    this.#waiting.clear()
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    this.#child.kill(signal)
    return this.ended
  }
}

/** One command to its end. */
export function ami(...args: readonly string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    timeout: 25_000,
  })
  return { code: status, out: stdout, err: stderr }
}

export interface Stage extends WithForeign {
  maker: Maker
  /** lists devices of the maker in the inventory: serial `SN-<id>`, concentrator `<id>` */
  ship(...ids: string[]): void
  /** starts the listener; port 0 unless it comes back after an end */
  listener(over?: { port?: number; waitingMax?: number; waitMs?: number }): Promise<{ est: Process; server: EstServer }>
  /** starts the CA's side */
  clerk(): Promise<Process>
}

/** A PKI that is closed while others use it, a maker that it trusts, and the two processes of enrolment to be started. */
export async function enrolmentStage(options: ThrowawayOptions = {}): Promise<Stage> {
  const pki = await throwawayPki(options)
  const { dir, caDir, passphraseFile } = pki
  const maker = await createMaker('Acme', () => Date.now() / 1_000)
  await new ManufacturerStore(caDir).add(maker.caPem, Date.now() / 1_000)
  const own = await pki.issue('gateway', 'est')
  const queueFolder = join(dir, 'queue')
  mkdirSync(queueFolder, { mode: 0o700 })
  const queueSocket = join(queueFolder, 'ca.sock')
  let manifests = 0
  return {
    ...pki,
    maker,
    ship(...ids: string[]) {
      const file = join(dir, `manifest-${++manifests}.csv`)
      const lines = ids.map((id) => `Acme,SN-${id},${id}`)
      writeFileSync(file, `manufacturer,serial,concentrator\n${lines.join('\n')}\n`)
      const { code, err } = ami('pki', 'inventory', 'import', '--dir', caDir, file)
      if (code !== 0) throw new Error(err)
    },
    async listener(over: { port?: number; waitingMax?: number; waitMs?: number } = {}) {
      const file = join(dir, 'est.json')
      const config = {
        host: '127.0.0.1',
        port: 0,
        keyFile: own.keyFile,
        certificateFile: own.certificateFile,
        clientTrustFiles: [join(caDir, 'trust', 'manufacturers.pem'), join(caDir, 'trust', 'device.pem')],
        caCertificatesFile: pki.rootFile,
        queueSocket,
        ...over,
      }
      writeFileSync(file, JSON.stringify(config))
      const est = new Process('pki', 'est', '--config', file)
      const { port } = await est.until('est.listening')
      return { est, server: { host: '127.0.0.1', port: port as number, trust: pki.rootPem } }
    },
    async clerk() {
      const where = ['--dir', caDir, '--passphrase-file', passphraseFile]
      const clerk = new Process('pki', 'est', 'ca', ...where, '--queue', queueSocket)
      await clerk.until('enrolment.drawing')
      return clerk
    },
  }
}

/** What a device holds after it enrolled: DER first, and credentials to renew with. */
export interface Enrolled {
  der: Uint8Array
  key: string
  credentials: EstCredentials
}

/** Enrols or renews as a device does, with this key or a new one. */
export async function enrolled(
  server: EstServer,
  credentials: EstCredentials,
  key: string = makeDeviceKey(),
): Promise<Enrolled> {
  const pause = async (seconds: number): Promise<void> => sleep(Math.min(100, seconds * 1_000))
  const [der, ...behind] = await enrol({ server, credentials, csr: makeRequest(key), pause })
  const cert = [der!, ...behind].map((one) => toPem('CERTIFICATE', one)).join('')
  return { der: der!, key, credentials: { cert, key } }
}

/** As the factory made it. */
export async function fromFactory(maker: Maker, id: string): Promise<EstCredentials> {
  const { chainPem, privateKeyPem } = await maker.make(`SN-${id}`)
  return { cert: chainPem, key: privateKeyPem }
}
