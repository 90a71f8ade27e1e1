import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { Child, type Line } from '#cli/demo/child.ts'
import { type Layout, layOut } from '#cli/demo/layout.ts'
import { defaultZonesFile } from '#dmz-config/zones.ts'
import { fillOutbox } from './large-batches.ts'

export interface LinkOptions {
  batches: number
  /** of each batch, about */
  octets: number
  bitsPerSecond: number
  passesAfterMs: readonly number[]
  /** on loopback, the ports that the gateway sends to and the MDM listens on; without it, the zones file's addresses */
  loopback?: { gateway: number; mdm: number }
}

/** What `mdm.status` says of one stream. */
interface Stream {
  highest: number
  missing: number
}

/**
 * `ami gateway` with an outbox full of sealed batches and `ami mdm receive`, each started as an operator would, wherever the test
 * wants them: what the gateway has to do at its start is to send.
 */
export class OnewayLink {
  readonly layout: Layout
  /** readings in each batch */
  readonly readings: number
  readonly #children = new Set<Child>()

  private constructor(layout: Layout, readings: number) {
    this.layout = layout
    this.readings = readings
    onTestFinished(async () => {
      for (const child of this.#children) child.kill()
      await Promise.all([...this.#children].map(({ ended }) => ended))
    })
  }

  static async layOut(folder: string, options: LinkOptions): Promise<OnewayLink> {
    const layout = await layOut(folder, { concentrators: 1, meters: 1, intervalSeconds: 1, curvesFile: undefined })
    const zonesFile = join(folder, 'zones.json')
    const zones = JSON.parse(readFileSync(defaultZonesFile, 'utf8'))
    zones.conduits.oneway.limits.bitsPerSecondMax = options.bitsPerSecond
    writeFileSync(zonesFile, JSON.stringify(zones))
    const { gateway, mdm } = options.loopback ?? {}
    rewrite(layout.gatewayConfig, {
      zonesFile,
      loopback: gateway === undefined ? undefined : { uplink: 0, oneway: gateway },
      forward: { passesAfterMs: options.passesAfterMs },
    })
    rewrite(layout.mdmConfig, { zonesFile, loopback: mdm === undefined ? undefined : { oneway: mdm } })
    return new OnewayLink(layout, await fillOutbox(layout, options))
  }

  /** @param launcher see `Child` */
  async gateway(launcher: readonly string[] = []): Promise<Child> {
    const { folder, gatewayConfig } = this.layout
    const child = new Child('gateway', ['gateway', '--config', gatewayConfig], join(folder, 'gateway.log'), {
      launcher,
    })
    return this.#started(child, 'gateway.listening')
  }

  async mdm(launcher: readonly string[] = []): Promise<Child> {
    const { folder, mdmConfig } = this.layout
    const child = new Child('mdm', ['mdm', 'receive', '--config', mdmConfig], join(folder, 'mdm.log'), { launcher })
    return this.#started(child, 'mdm.listening')
  }

  async #started(child: Child, event: string): Promise<Child> {
    this.#children.add(child)
    child.ended.then(() => this.#children.delete(child))
    await child.until(event)
    return child
  }
}

/** @returns batches that have come, without those that are missing */
export function received(status: Line | undefined): number {
  const [stream] = (status?.streams ?? []) as Stream[]
  return stream === undefined ? 0 : stream.highest - stream.missing
}

/** Keys of a configuration file replaced, or taken away where undefined. */
function rewrite(file: string, changes: object): void {
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...changes }))
}
