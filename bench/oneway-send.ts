/** The bench's sending end of the one-way link, within its namespace. */
import { setTimeout as sleep } from 'node:timers/promises'
import { openSender, type Sender, sendingMax } from '#gateway/io/sender.ts'
import { DatagramWriter, headerOctetsMax } from '#gateway/oneway/datagram.ts'
import { Pass } from '#gateway/oneway/pass.ts'
import { interleaved, Pace } from '#gateway/oneway/schedule.ts'
import { random } from '#simulator/random.ts'
import { serve } from './child.ts'
import { burstOctetsMax, epoch, key, newObject, plannedLoss, stamp, turnMs } from './oneway-object.ts'

export interface SendRequest {
  to: { host: string; port: number; from: string }
  bitsPerSecond: number
  /** datagrams of so many octets, nothing in them */
  plain?: { datagrams: number; octets: number }
  objects?: {
    count: number
    octets: number
    symbolOctets: number
    /** they come into being at random, this far apart on average; 0: all are there */
    everyMs: number
  }
}

export interface Sent {
  datagrams: number
  faults: number
  /** processor time */
  seconds: number
  wallMs: number
}

/** What goes next: undefined when all has gone, 'later' while nothing is there to go. */
type Next = () => Buffer | 'later' | undefined

async function send({ to, bitsPerSecond, plain, objects }: SendRequest): Promise<Sent> {
  const sender = openSender(to)
  const octets = plain?.octets ?? objects!.symbolOctets + headerOctetsMax
  const next = plain === undefined ? symbolsOf(objects!) : plainOf(plain)
  const [cpu, began] = [process.cpuUsage(), performance.now()]
  await paced(sender, next, new Pace({ bitsPerSecond, burstOctets: burstOctetsMax, nowMs: Date.now() }), octets)
  await sender.close()
  const { user, system } = process.cpuUsage(cpu)
  const { sent, faults } = sender
  return { datagrams: sent + faults, faults, seconds: (user + system) / 1e6, wallMs: performance.now() - began }
}

async function paced(sender: Sender, next: Next, pace: Pace, octets: number): Promise<void> {
  for (;;) {
    if (sender.sending >= sendingMax || !pace.take(octets, Date.now())) {
      await sleep(turnMs)
      continue
    }
    const datagram = next()
    if (datagram === undefined) return
    if (datagram === 'later') await sleep(turnMs)
    else sender.send(datagram)
  }
}

function plainOf({ datagrams, octets }: { datagrams: number; octets: number }): Next {
  const datagram = Buffer.alloc(octets)
  let sent = 0
  return () => (sent++ < datagrams ? datagram : undefined)
}

/** Two objects by turns, as the forwarder has them. */
function symbolsOf({ count, octets, symbolOctets, everyMs }: NonNullable<SendRequest['objects']>): Next {
  const writer = new DatagramWriter({ key, epoch, slots: sendingMax + 1, symbolOctets })
  const births = birthsOf(count, everyMs)
  const spare = Array.from({ length: interleaved }, () => newObject(octets))
  const lanes: { sequence: number; pass: Pass; at: number; object: Buffer }[] = []
  let begun = 0
  return () => {
    while (lanes.length < interleaved && begun < count && births[begun]! <= Date.now()) {
      const object = spare.pop()!
      stamp(object, births[begun]!)
      const pass = new Pass(object, 0, { symbolOctets, lossShare: plannedLoss, passes: 1 })
      lanes.push({ sequence: ++begun, pass, at: 0, object })
    }
    const lane = lanes.shift()
    if (lane === undefined) return begun === count ? undefined : 'later'
    const datagram = writer.write({ sequence: lane.sequence, ...lane.pass.symbol(lane.at++) })
    if (lane.at < lane.pass.length) lanes.push(lane)
    else spare.push(lane.object)
    return datagram
  }
}

/** When each comes into being. */
function birthsOf(count: number, everyMs: number): number[] {
  const draw = random(1)
  let at = Date.now()
  return Array.from({ length: count }, () => {
    at += -Math.log(1 - draw()) * everyMs
    return at
  })
}

serve<SendRequest>(send)
