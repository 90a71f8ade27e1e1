import { connect, type Socket } from 'node:net'
import { controlLineOctetsMax, type Failure, type ReadAnswer, type ReadRequest } from '#gateway/command-request.ts'
import { ConfigError } from '#gateway/errors.ts'

/** The gateway's answer, or that there is no gateway to give one. */
export type ControlAnswer = ReadAnswer | { ok: false; fault: { code: 'GATEWAY_DOWN'; detail: string } }

/** What the gateway may take beyond the time of the command itself. */
const graceMs = 5_000

/**
 * Asks the gateway that runs on this machine.
 * @param path its control socket
 * @throws ConfigError where its socket is somebody else's
 */
export function askGateway(path: string, request: ReadRequest): Promise<ControlAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<ControlAnswer>()
  const line = `${JSON.stringify({ verb: 'read', ...request })}\n`
  const socket = connect(path, () => socket.write(line))
  const deadline = setTimeout(() => {
    resolve(down({ code: 'GATEWAY_DOWN', detail: 'the gateway does not answer' }))
    socket.destroy()
  }, request.timeoutMs + graceMs)
  socket.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code === 'EACCES') reject(new ConfigError([`${path}: only the gateway's own user may ask it`]))
    else resolve(down({ code: 'GATEWAY_DOWN', detail: `no gateway runs on this data folder (${code})` }))
  })
  readLine(socket, (answer) => resolve(answer))
  return promise.finally(() => {
    clearTimeout(deadline)
    socket.destroy()
  })
}

function down(fault: { code: 'GATEWAY_DOWN'; detail: string }): ControlAnswer {
  return { ok: false, fault }
}

function readLine(socket: Socket, settle: (answer: ControlAnswer) => void): void {
  let octets: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    octets = Buffer.concat([octets, chunk])
    const end = octets.indexOf(0x0a)
    if (end >= 0) settle(JSON.parse(octets.toString('utf8', 0, end)) as ReadAnswer)
    else if (octets.length >= controlLineOctetsMax) socket.destroy()
  })
  socket.on('close', () => settle(down({ code: 'GATEWAY_DOWN', detail: 'the gateway ended before it answered' })))
}

/** Which exit code tells of a fault: by what an operator would do next. */
export const exitCodes = { read: 0, partly: 1, refused: 2, silent: 3, wrong: 4, down: 69 } as const

const exits: Readonly<Partial<Record<Failure['code'] | 'GATEWAY_DOWN', number>>> = {
  REQUEST_MALFORMED: exitCodes.refused,
  METER_UNKNOWN: exitCodes.refused,
  CONCENTRATOR_UNKNOWN: exitCodes.refused,
  COMMAND_LIMIT: exitCodes.refused,
  KEY_EXHAUSTED: exitCodes.refused,
  SECURITY_SUITE: exitCodes.refused,
  METER_FOREIGN: exitCodes.refused,
  CONCENTRATOR_BUSY: exitCodes.refused,
  COMMAND_UNSUPPORTED: exitCodes.refused,
  ANSWER_LENGTH: exitCodes.refused,
  CONCENTRATOR_OFFLINE: exitCodes.silent,
  COMMAND_EXPIRED: exitCodes.silent,
  METER_SILENT: exitCodes.silent,
  GATEWAY_ENDING: exitCodes.down,
  GATEWAY_DOWN: exitCodes.down,
}

/** Any other fault is one of the meter's or of its concentrator's making. */
export function exitOf(code: Failure['code'] | 'GATEWAY_DOWN'): number {
  return exits[code] ?? exitCodes.wrong
}
