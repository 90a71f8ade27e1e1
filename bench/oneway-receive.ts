/** The bench's receiving end of the one-way link, within its namespace: what `ami mdm` does with a datagram until its object is whole. */
import { createSocket } from 'node:dgram'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Assembled, Assembler } from '#gateway/oneway/assemble.ts'
import { DatagramReader } from '#gateway/oneway/datagram.ts'
import { serve } from './child.ts'
import { isIntact, key, newObject, stampOf } from './oneway-object.ts'

export type ReceiveRequest =
  | { do: 'begin'; host: string; port: number; bufferOctets: number; plain: boolean; objectOctets: number }
  | { do: 'end' }

export interface Received {
  datagrams: number
  /** objects: whole, of those with another octet than was sent, and made to make room */
  whole: number
  spoilt: number
  evicted: number
  /** from an object's birth until it was whole, in order */
  lagsMs: number[]
  /** processor time */
  seconds: number
}

/** The line is still: what was sent has come, or never will. */
const stillMs = 300
const objectOctetsMax = 8_388_608
const limits = { openMax: 64, octetsMax: 67_108_864 }

/** One run: from an open socket to a closed one. */
class Receiver {
  readonly #socket = createSocket('udp4')
  readonly #reader = new DatagramReader([key], objectOctetsMax)
  readonly #assembler = new Assembler(limits)
  readonly #done = new Set<number>()
  readonly #counts = { datagrams: 0, whole: 0, spoilt: 0 }
  readonly #lagsMs: number[] = []
  readonly #plain: boolean
  readonly #like: Buffer
  #cpu = process.cpuUsage()

  constructor(plain: boolean, objectOctets: number) {
    this.#plain = plain
    this.#like = newObject(objectOctets)
    this.#socket.on('message', (octets) => this.#take(octets))
  }

  /** @returns octets of the buffer that the kernel gives */
  async listen(host: string, port: number, bufferOctets: number): Promise<number> {
    await new Promise<void>((resolve) => this.#socket.bind({ address: host, port, exclusive: true }, resolve))
    this.#socket.setRecvBufferSize(bufferOctets)
    this.#cpu = process.cpuUsage()
    return this.#socket.getRecvBufferSize() / 2 // Linux tells twice what it gives
  }

  async end(): Promise<Received> {
    for (let before = -1; before !== this.#counts.datagrams; await sleep(stillMs)) before = this.#counts.datagrams
    const { user, system } = process.cpuUsage(this.#cpu)
    await new Promise<void>((resolve) => this.#socket.close(resolve))
    const lagsMs = this.#lagsMs.sort((a, b) => a - b)
    return { ...this.#counts, evicted: this.#assembler.evicted, lagsMs, seconds: (user + system) / 1e6 }
  }

  #take(octets: Buffer): void {
    this.#counts.datagrams++
    if (this.#plain) return
    const datagram = this.#reader.read(octets)
    if (this.#done.has(datagram.sequence)) return
    const whole = this.#assembler.take(datagram)
    if (whole !== undefined) this.#complete(whole)
  }

  #complete(whole: Assembled): void {
    this.#assembler.settled(whole)
    this.#done.add(whole.sequence)
    this.#counts.whole++
    if (!isIntact(whole.octets, this.#like)) this.#counts.spoilt++
    this.#lagsMs.push(Date.now() - stampOf(whole.octets))
  }
}

let receiver = new Receiver(true, 0)

serve<ReceiveRequest>(async (request) => {
  if (request.do === 'end') return receiver.end()
  receiver = new Receiver(request.plain, request.objectOctets)
  return receiver.listen(request.host, request.port, request.bufferOctets)
})
