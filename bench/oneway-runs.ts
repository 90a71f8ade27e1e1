import { type Diode, type DiodeCounters, gatewayAddress, linkPort, mdmAddress } from '#test/support/diode.ts'
import { BenchChild } from './child.ts'
import type { Received, ReceiveRequest } from './oneway-receive.ts'
import type { SendRequest, Sent } from './oneway-send.ts'

/** One measured stretch between the two ends, and what the link and the kernel did to it. */
export interface Run {
  sent: Sent
  received: Received
  /** by the diode's rules */
  lost: number
  /** by the receiving socket, whose buffer was full */
  kernelDrops: number
}

const bufferOctets = 4_194_304

/** Both ends as processes of their own on either side of the diode. */
export class Ends {
  readonly #diode: Diode
  readonly #sender: BenchChild
  readonly #receiver: BenchChild
  /** of the receive buffer that the kernel gave last */
  bufferOctets = 0

  /** @param execArgv for Node: to profile */
  constructor(diode: Diode, execArgv: readonly string[]) {
    this.#diode = diode
    this.#sender = new BenchChild('oneway-send', execArgv, diode.within('dmz'))
    this.#receiver = new BenchChild('oneway-receive', execArgv, diode.within('it'))
  }

  async run(what: Omit<SendRequest, 'to'>): Promise<Run> {
    const kind = { plain: what.plain !== undefined, objectOctets: what.objects?.octets ?? 0 }
    this.bufferOctets = await this.#ask<number>({
      do: 'begin',
      host: mdmAddress,
      port: linkPort,
      bufferOctets,
      ...kind,
    })
    const [before, dropped] = [this.#diode.counters(), this.#drops()]
    const to = { host: mdmAddress, port: linkPort, from: gatewayAddress }
    const sent = await this.#sender.ask<Sent>({ ...what, to })
    const received = await this.#ask<Received>({ do: 'end' })
    const after: DiodeCounters = this.#diode.counters()
    return { sent, received, lost: after.lost - before.lost, kernelDrops: this.#drops() - dropped }
  }

  async stop(): Promise<void> {
    await Promise.all([this.#sender.stop(), this.#receiver.stop()])
  }

  #ask<Answer>(request: ReceiveRequest): Promise<Answer> {
    return this.#receiver.ask<Answer>(request)
  }

  #drops(): number {
    return this.#diode.udp('it').RcvbufErrors
  }
}
