import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Layout } from '#cli/demo/layout.ts'
import { askGateway, type ControlAnswer } from '#cli/gateway-control.ts'
import { openFleetMeter } from '#cli/simulate-fleet.ts'
import type { CommandResult } from '#gateway/codec/command-result.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { controlName, type ReadRequest } from '#gateway/command-request.ts'
import { CommandDesk } from '#simulator/commands.ts'
import { SimulatedConcentrator } from '#simulator/concentrator.ts'
import { parseSimulatorConfig } from '#simulator/config.ts'
import { type FleetConcentrator, makeFleet } from '#simulator/fleet.ts'
import { Session } from '#simulator/load.ts'
import { parseFleetFile } from '#simulator/prepare.ts'
import { modelSource } from '#simulator/source.ts'

/** The concentrators of a head-end's fleet, with their meters. */
export function fleetOf({ folder }: Layout): FleetConcentrator[] {
  const size = parseFleetFile(readFileSync(join(folder, 'fleet', 'fleet.json'), 'utf8'))
  return makeFleet(size).substations.flatMap(({ concentrators }) => concentrators)
}

/** Asks the gateway of a head-end for a register, or for what else is named. */
export function ask(
  { folder }: Layout,
  request: Pick<ReadRequest, 'meter'> & Partial<ReadRequest>,
): Promise<ControlAnswer> {
  const attributes = [{ classId: 3, obis: parseObis('1-0:1.8.0'), attribute: 2 }]
  const path = join(folder, 'gateway', controlName)
  return askGateway(path, { attributes, range: undefined, timeoutMs: 10_000, association: 'gmac', ...request })
}

/** What to do with a command: nothing is answered but by this. */
export type OnCommand = (octets: Uint8Array, self: HeldConcentrator) => void

/** A concentrator of the fleet within the test: it speaks as the simulator's do, and answers as it is told. */
export class HeldConcentrator {
  readonly #concentrator: SimulatedConcentrator
  readonly #session: Session
  readonly #desk: CommandDesk
  onCommand: OnCommand

  constructor({ folder, simulatorConfig, rootFile }: Layout, { id, meters }: FleetConcentrator, onCommand: OnCommand) {
    this.onCommand = onCommand
    const config = parseSimulatorConfig(readFileSync(simulatorConfig, 'utf8'), folder)
    const { historyStart: start, intervalSeconds, liveStart, gateway } = config
    const now = Date.now()
    this.#concentrator = new SimulatedConcentrator({
      id,
      meters: meters.map((meter, ordinal) => ({ meter, ordinal })),
      source: modelSource({ start, intervalSeconds }),
      firstCounter: Math.floor((now - 1_700_000_000_000) / 100),
      firstSequence: now,
    })
    const clock = { installed: start, now: () => liveStart }
    this.#desk = new CommandDesk({ meters, open: openFleetMeter, ...clock, counter: this.#concentrator })
    this.#session = new Session({
      id,
      ...gateway,
      trust: readFileSync(rootFile),
      key: readFileSync(join(folder, 'fleet', 'concentrators', `${id}.key.pem`)),
      certificate: readFileSync(join(folder, 'fleet', 'concentrators', `${id}.chain.pem`)),
      onAcknowledged: () => {},
      onCommand: (octets) => this.onCommand(octets, this),
    })
    onTestFinished(() => this.#session.close())
    this.#session.offer(this.#concentrator.push([start], now))
  }

  /** Everything sent is acknowledged. */
  drained(): Promise<void> {
    return this.#session.drained()
  }

  /** What its meter makes of it. */
  take(octets: Uint8Array, nowMs: number = Date.now()): CommandResult {
    return this.#desk.take(octets, nowMs)!
  }

  /** As an uplink of its own: a repeat has another sequence. */
  send(result: CommandResult): void {
    this.#session.offer([this.#concentrator.result(result, Date.now())])
  }
}

/** As a concentrator does that means well. */
export const answering: OnCommand = (octets, self) => self.send(self.take(octets))
