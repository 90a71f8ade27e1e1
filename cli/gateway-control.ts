import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { dirname, join, resolve as resolvePath } from 'node:path'
import {
  controlLineOctetsMax,
  controlName,
  type Failure,
  type ReadAnswer,
  type ReadRequest,
} from '#gateway/command-request.ts'
import { parseGatewayConfig } from '#gateway/config.ts'
import { ConfigError } from '#gateway/errors.ts'
import type { ReplayAnswer } from '#gateway/replay.ts'

/** That there is no gateway to give an answer. */
export interface Down {
  ok: false
  fault: { code: 'GATEWAY_DOWN'; detail: string }
}

/** The gateway's answer, or that there is none. */
export type ControlAnswer = ReadAnswer | Down

/** What the gateway may take beyond the time of the command itself. */
const graceMs = 5_000

/**
 * Asks the gateway that runs on this machine to read a meter.
 * @param path its control socket
 * @throws ConfigError where its socket is somebody else's
 */
export function askGateway(path: string, request: ReadRequest): Promise<ControlAnswer> {
  return converse(path, { verb: 'read', ...request }, request.timeoutMs + graceMs)
}

/** As `askGateway`, to send once more what a code names. */
export function askReplay(path: string, code: string): Promise<ReplayAnswer | Down> {
  return converse(path, { verb: 'replay', code }, graceMs)
}

/** The control socket of the gateway that a configuration file is of. @throws ConfigError */
export function controlSocket(configFile: string): string {
  try {
    const config = parseGatewayConfig(readFileSync(configFile, 'utf8'), dirname(resolvePath(configFile)))
    return join(config.data, controlName)
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError([`cannot read ${configFile} (${(error as NodeJS.ErrnoException).code})`])
  }
}

/** One line there, one back. */
function converse<T>(path: string, request: object, timeoutMs: number): Promise<T | Down> {
  const { promise, resolve, reject } = Promise.withResolvers<T | Down>()
  const socket = connect(path, () => socket.write(`${JSON.stringify(request)}\n`))
  const deadline = setTimeout(() => {
    resolve(down({ code: 'GATEWAY_DOWN', detail: 'the gateway does not answer' }))
    socket.destroy()
  }, timeoutMs)
  socket.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code === 'EACCES') reject(new ConfigError([`${path}: only the gateway's own user may ask it`]))
    else resolve(down({ code: 'GATEWAY_DOWN', detail: `no gateway runs on this data folder (${code})` }))
  })
  readLine<T>(socket, resolve)
  return promise.finally(() => {
    clearTimeout(deadline)
    socket.destroy()
  })
}

function down(fault: Down['fault']): Down {
  return { ok: false, fault }
}

function readLine<T>(socket: Socket, settle: (answer: T | Down) => void): void {
  let octets: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    octets = Buffer.concat([octets, chunk])
    const end = octets.indexOf(0x0a)
    if (end >= 0) settle(JSON.parse(octets.toString('utf8', 0, end)) as T)
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
  REPLAY_CODE: exitCodes.refused,
  REPLAY_EPOCH: exitCodes.refused,
  REPLAY_UNKNOWN: exitCodes.refused,
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
