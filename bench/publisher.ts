import { createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import { additionalData, nonce, tagOctets } from '#gateway/codec/ciphering.ts'
import { decodeUplink } from '#gateway/codec/uplink.ts'
import { type Obis, unitWh } from '#gateway/model.ts'
import { SimulatedConcentrator } from '#simulator/concentrator.ts'
import { makeFleet, type SimulatedMeter } from '#simulator/fleet.ts'
import type { FleetFile } from '#simulator/prepare.ts'
import { hash } from '#simulator/random.ts'
import type { Source } from '#simulator/source.ts'
import { serve } from './child.ts'
import { type Endpoint, encodePublish, type LeanSession, openSessions, windowMax } from './session.ts'

/** Publishes a fleet's readings as fast as they are acknowledged. What it sends is ciphered and encoded beforehand. */
export type PublisherRequest =
  | { kind: 'encode'; fleet: FleetFile; rowsEach: number; pushes: number; day: number }
  | { kind: 'open' }
  | { kind: 'publish'; endpoint: Endpoint }

export interface Encoded {
  readings: number
  frames: number
  uplinks: number
  octets: number
}

/** Of the bound: readings whose frames AES-GCM opened. */
export interface OpenRun {
  readings: number
  seconds: number
}

/** Wall-clock milliseconds: the first publish left, the last PUBACK came. */
export interface PublishRun {
  beganMs: number
  acknowledgedMs: number
  cpuSeconds: number
}

const intervalSeconds = 900
const channels = [
  { obis: '1-0:1.29.0' as Obis, scaler: 0, unit: unitWh },
  { obis: '1-0:2.29.0' as Obis, scaler: 0, unit: unitWh },
]
/** Frames that the bound opens, the most. */
const openedMax = 40_000

/** Values cost nothing to draw, so that encoding millions of them takes seconds. */
const source: Source = {
  intervalSeconds,
  start: 0,
  end: Number.POSITIVE_INFINITY,
  channels,
  read: ({ seed }, _ordinal, from) => [hash(seed, from, 0) & 0x3ff, hash(seed, from, 1) & 0xff],
}

interface Member {
  id: string
  packets: Buffer[]
}

let members: Member[] = []
let meters = new Map<string, SimulatedMeter>()
let payloads: Uint8Array[] = []

function encode({ fleet, rowsEach, pushes, day }: Extract<PublisherRequest, { kind: 'encode' }>): Encoded {
  const start = day * 86_400
  const counted: Encoded = { readings: 0, frames: 0, uplinks: 0, octets: 0 }
  const concentrators = makeFleet(fleet).substations.flatMap((substation) => substation.concentrators)
  meters = new Map(concentrators.flatMap(({ meters }) => meters.map((meter) => [meter.systemTitle, meter])))
  payloads = []
  members = concentrators.map(({ id, meters: own }, index) => {
    const placed = own.map((meter, i) => ({ meter, ordinal: index * own.length + i }))
    const concentrator = new SimulatedConcentrator({ id, meters: placed, source, firstCounter: 1, firstSequence: 1 })
    const packets: Buffer[] = []
    for (let push = 0; push < pushes; push++) {
      const first = start + push * rowsEach * intervalSeconds
      const intervals = Array.from({ length: rowsEach }, (_, i) => first + i * intervalSeconds)
      for (const { octets, readings } of concentrator.push(intervals, (first + rowsEach * intervalSeconds) * 1000)) {
        packets.push(encodePublish(id, Buffer.from(octets), (packets.length % 65_535) + 1))
        payloads.push(octets)
        counted.readings += readings
        counted.octets += octets.length
        counted.uplinks++
      }
      counted.frames += own.length
    }
    return { id, packets }
  })
  return counted
}

interface Sealed {
  key: KeyObject
  iv: Uint8Array
  aad: Uint8Array
  body: Uint8Array
  tag: Uint8Array
}

/** The same frames, taken apart before the clock starts, opened by node:crypto and nothing else. */
function open(encoded: Encoded): OpenRun {
  const sealed: Sealed[] = []
  for (let i = 0; i < payloads.length && sealed.length < openedMax; i++) sealed.push(...sealedIn(payloads[i]!))
  const began = performance.now()
  for (const { key, iv, aad, body, tag } of sealed) {
    const gcm = createDecipheriv('aes-128-gcm', key, iv, { authTagLength: tagOctets })
    gcm.setAAD(aad)
    gcm.setAuthTag(tag)
    gcm.update(body)
    gcm.final()
  }
  const seconds = (performance.now() - began) / 1000
  return { readings: (sealed.length * encoded.readings) / encoded.frames, seconds }
}

function sealedIn(payload: Uint8Array): Sealed[] {
  const { body } = decodeUplink(payload)
  if (body.kind !== 'reading-batch') return []
  return body.frames.map(({ systemTitle, apdu: octets }) => {
    const apdu = decodeApdu(octets)
    if (apdu.apdu !== 'general-glo-ciphering') throw new Error('a frame that is not ciphered')
    const { ek, ak } = meters.get(systemTitle)!
    const split = apdu.content.length - tagOctets
    return {
      key: createSecretKey(ek),
      iv: nonce(apdu.systemTitle, apdu.invocationCounter),
      aad: additionalData(apdu.securityControl, ak),
      body: apdu.content.subarray(0, split),
      tag: apdu.content.subarray(split),
    }
  })
}

async function publish(endpoint: Endpoint): Promise<PublishRun> {
  const sessions = await openSessions(
    members.map(({ id }) => id),
    endpoint,
  )
  const cpu = process.cpuUsage()
  const beganMs = Date.now()
  await Promise.all(sessions.map((session, i) => publishAll(session, members[i]!.packets)))
  const acknowledgedMs = Date.now()
  const { user, system } = process.cpuUsage(cpu)
  for (const session of sessions) session.close()
  return { beganMs, acknowledgedMs, cpuSeconds: (user + system) / 1e6 }
}

/** A full window until the packets are at their end. */
function publishAll(session: LeanSession, packets: readonly Buffer[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let [sent, acknowledged] = [0, 0]
  const send = (): void => {
    while (sent < packets.length && sent - acknowledged < windowMax) session.write(packets[sent++]!)
    if (acknowledged === packets.length) resolve()
  }
  session.onAcknowledged((count) => {
    acknowledged += count
    send()
  })
  send()
  return promise
}

let encoded: Encoded = { readings: 0, frames: 0, uplinks: 0, octets: 0 }

serve<PublisherRequest>(async (request): Promise<Encoded | OpenRun | PublishRun> => {
  if (request.kind === 'publish') return await publish(request.endpoint)
  if (request.kind === 'open') return open(encoded)
  encoded = encode(request)
  return encoded
})
