import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { mainFile } from '#cli/demo/layout.ts'
import type { ProbeResult, StepSent } from '#gateway/oneway/probe.ts'
import { Diode, linkPort, mdmAddress, whyNoDiode } from '#test/support/diode.ts'
import { OnewayLink } from '#test/support/oneway-link.ts'
import { freePorts } from '#test/support/relay.ts'
import { tempFolder } from '#test/support/temp.ts'

const reason = whyNoDiode()

interface Ended {
  code: number
  out: string
  err: string
}

class Probe {
  readonly ended: Promise<Ended>
  readonly #process: ChildProcess
  readonly #said: Promise<void>

  constructor(launcher: readonly string[], ...args: string[]) {
    const [program, ...rest] = [...launcher, process.execPath, mainFile, 'link', 'probe', ...args] as [
      string,
      ...string[],
    ]
    this.#process = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
    onTestFinished(() => void this.#process.kill('SIGKILL'))
    const { stdout, stderr } = this.#process
    this.#said = new Promise((resolve) => stderr!.once('data', () => resolve()))
    this.ended = Promise.all([once(this.#process, 'close'), text(stdout!), text(stderr!)]).then(
      ([[code], out, err]) => ({
        code,
        out,
        err,
      }),
    )
  }

  /** It has said where it listens, or has ended. */
  async listens(): Promise<void> {
    await Promise.race([this.#said, this.ended])
  }

  interrupt(): void {
    this.#process.kill('SIGINT')
  }
}

function keyFile(folder: string, digit = '5'): string {
  const file = join(folder, `key-${digit}`)
  writeFileSync(file, digit.repeat(64), { mode: 0o600 })
  return file
}

describe.skipIf(reason !== undefined)(`ami link probe through a diode${reason ? ` (skipped: ${reason})` : ''}`, () => {
  test('shows the knee of a link that takes so many datagrams a second; nothing comes back', {
    timeout: 90_000,
  }, async () => {
    const diode = new Diode()
    onTestFinished(() => diode.close())
    diode.narrow(2_400) // of 1,460 octets: 28 Mbit/s
    const key = keyFile(tempFolder())
    const listen = [`--listen=${mdmAddress}:${linkPort}`, '--key-file', key, '--key-id=3']
    const receiver = new Probe(diode.within('it'), 'receive', ...listen)
    await receiver.listens()
    const ramp = ['--from-mbit=5', '--to-mbit=80', '--step=15', '--seconds=1', '--json']
    const to = [`--to=${mdmAddress}:${linkPort}`, '--key-file', key, '--key-id=3']
    const sender = new Probe(diode.within('dmz'), 'send', ...to, ...ramp)
    const [sent, received] = await Promise.all([sender.ended, receiver.ended])
    expect(sent).toMatchObject({ code: 0, err: '' })
    const { steps } = JSON.parse(sent.out) as { steps: StepSent[] }
    expect(steps.map(({ kbitPerSecond }) => kbitPerSecond)).toEqual([5, 20, 35, 50, 65, 80].map((mbit) => mbit * 1000))
    expect(received.code).toBe(0)
    const knee = Number(/knee: (\d+\.\d) Mbit\/s/.exec(received.out)![1])
    expect(knee).toBeGreaterThan(1)
    expect(knee).toBeLessThan(30)
    const { admitted, lost, returned, passedBack } = diode.counters()
    expect(lost).toBeGreaterThan(0)
    expect(admitted + lost).toBe(steps.reduce((sum, { datagrams }) => sum + datagrams, 0) + 20)
    expect({ returned, passedBack }).toEqual({ returned: 0, passedBack: 0 })
  })
})

describe('ami link probe', () => {
  test("by both ends' configuration files says of each step what was sent and what came", {
    timeout: 60_000,
  }, async () => {
    const [port] = (await freePorts(1)) as [number]
    const { layout } = await OnewayLink.layOut(tempFolder(), {
      batches: 0,
      octets: 1_000,
      bitsPerSecond: 10_000_000,
      passesAfterMs: [0],
      loopback: { gateway: port, mdm: port },
    })
    const receiver = new Probe([], 'receive', '--config', layout.mdmConfig, '--json', '--loss-limit=100')
    const ramp = ['--from-mbit=2', '--to-mbit=4', '--step=1', '--seconds=0.5', '--json']
    const sender = new Probe([], 'send', '--config', layout.gatewayConfig, ...ramp)
    const sent = await sender.ended
    expect(sent).toMatchObject({ code: 0, err: '' })
    const {
      run,
      steps: left,
      datagramOctets,
    } = JSON.parse(sent.out) as { run: string; steps: StepSent[]; datagramOctets: number }
    expect(datagramOctets).toBe(1_460)
    const received = await receiver.ended
    expect(received.code).toBe(0)
    const result = JSON.parse(received.out) as ProbeResult
    expect(result).toMatchObject({ run, datagramOctets, complete: true, refused: {}, foreign: 0 })
    expect(result.steps.map(({ sent }) => sent)).toEqual(left.map(({ datagrams }) => datagrams))
    expect(result.steps.map(({ mbit }) => mbit)).toEqual([2, 3, 4])
  })

  test('of another key takes nothing, says why, and ends with 1', { timeout: 30_000 }, async () => {
    const folder = tempFolder()
    const [port] = (await freePorts(1)) as [number]
    const receiver = new Probe([], 'receive', `--listen=127.0.0.1:${port}`, '--key-file', keyFile(folder), '--wait=600')
    await receiver.listens()
    const ramp = ['--from-mbit=1', '--to-mbit=1', '--seconds=0.2']
    await new Probe([], 'send', `--to=127.0.0.1:${port}`, '--key-file', keyFile(folder, '6'), ...ramp).ended
    receiver.interrupt()
    const { code, out } = await receiver.ended
    expect(code).toBe(1)
    expect(out).toMatch(/nothing came; refused: \{"DATAGRAM_UNAUTHENTIC":\d+\}/)
  })

  test.for([
    ['send'],
    ['send', '--to', 'mdm.example:9700', '--key-file', '/dev/null'],
    [
      'send',
      '--to',
      '127.0.0.1:9700',
      '--key-file',
      '/dev/null',
      '--from-mbit',
      '1',
      '--to-mbit',
      '200',
      '--step',
      '1',
    ],
    ['receive', '--listen', '127.0.0.1:9700'],
    ['receive', '--wait', '0'],
    ['both'],
  ])('refuses %j', async (args) => {
    const { code, out, err } = await new Probe([], ...args).ended
    expect({ code, out }).toEqual({ code: err.includes('hex digits') || err.includes('chmod') ? 78 : 64, out: '' })
    expect(err).toMatch(/^ami: /)
  })
})
