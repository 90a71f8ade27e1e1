import { lstat, rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { PkiError } from '../errors.ts'
import type { Answer, RequestQueue, Waiting } from './queue.ts'

/**
 * Between listener and CA, who run apart: the CA opens a Unix socket of the listener's and asks for as many questions as it
 * can take. Lines of JSON, octets in base64.
 *
 * ```
 * CA        {"want": 100}
 * listener  {"id", "chain": [..], "request"}            as many as were wanted
 * CA        {"id", "certificates": [..]} or {"id", "code", "detail"}
 * ```
 */

/** Octets of one line, the most: eight certificates and a request in base64 fit. */
export const lineOctetsMax = 262_144
/** Questions that the CA may have at one time, the most. */
export const wantMax = 1_000
/** Milliseconds from one look at the queue to the next while the CA waits. */
const lookMs = 10
const reconnectMs = 500

interface FromCa {
  want?: unknown
  id?: unknown
  certificates?: unknown
  code?: unknown
  detail?: unknown
}

export interface QueueServer {
  /** is a CA there? */
  readonly attended: boolean
  close(): Promise<void>
}

/**
 * Lets one CA at a time draw from the queue. What it took and did not answer goes back when it is gone.
 * @param path of the socket: who may open it decides who is the CA, so its folder must be open to nobody else
 * @throws NodeJS.ErrnoException when another kind of file is there, or the path is too long for a socket
 */
export async function serveQueue(queue: RequestQueue, path: string): Promise<QueueServer> {
  await removeSocket(path)
  let current: Socket | undefined
  const server = createServer((socket) => {
    socket.on('error', () => undefined) // told by close
    if (current !== undefined) {
      socket.destroy()
      return
    }
    current = socket
    const stop = serveCa(queue, socket)
    socket.once('close', () => {
      stop()
      current = undefined
      queue.putBack()
    })
  })
  await listening(server, path)
  return {
    get attended() {
      return current !== undefined
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        current?.destroy()
      }),
  }
}

/** What an ended listener left; nothing else that bears the name. */
async function removeSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (found?.isSocket()) await rm(path)
}

async function listening(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const before = process.umask(0o117) // the owner and its group, from the first moment on
  server.once('error', reject)
  server.listen(path, resolve)
  process.umask(before)
  await promise
  server.off('error', reject)
}

function serveCa(queue: RequestQueue, socket: Socket): () => void {
  let wanted = 0
  const give = (): void => {
    for (const question of queue.take(wanted)) {
      wanted--
      socket.write(lineOf(questionLine(question)))
    }
  }
  const timer = setInterval(give, lookMs)
  onLines(socket, (line: FromCa) => {
    if (typeof line.want === 'number') wanted = Math.min(wantMax, Math.max(0, Math.trunc(line.want)))
    else if (typeof line.id === 'string') queue.answer(line.id, answerOf(line))
    give()
  })
  return () => clearInterval(timer)
}

function questionLine({ id, chain, request }: Waiting): object {
  return { id, chain: chain.map(base64), request: base64(request) }
}

function answerOf({ certificates, code, detail }: FromCa): Answer {
  if (Array.isArray(certificates)) {
    return { kind: 'certificates', certificates: certificates.map((one) => Buffer.from(String(one), 'base64')) }
  }
  return { kind: 'refused', code: String(code), detail: String(detail) }
}

export interface Drawing {
  close(): Promise<void>
}

export interface DrawOptions {
  /** questions in one bunch, the most, 1 to `wantMax` */
  together: number
  answer: (questions: readonly Waiting[]) => Promise<Answer[]>
  /** the line is up, or down and why, where there is a reason; `answer` failing is one */
  onChange?: (up: boolean, why: Error | undefined) => void
}

/**
 * The CA's side: draws questions, hands them over in bunches, sends each answer back. Connects again until it is closed. A
 * listener that sends more than it was asked for, or what is no question, is cut off.
 */
export function drawQuestions(path: string, { together, answer, onChange = () => undefined }: DrawOptions): Drawing {
  let socket: Socket | undefined
  let timer: NodeJS.Timeout | undefined
  let working: Promise<void> = Promise.resolve()
  let closed = false
  const open = (): void => {
    const here = connect(path)
    socket = here
    const waiting: Waiting[] = []
    const end = (cause: unknown): void => void here.destroy(cause as Error)
    const work = async (): Promise<void> => {
      while (waiting.length > 0 && !here.destroyed) {
        const bunch = waiting.splice(0, together)
        for (const [i, one] of (await answer(bunch)).entries()) here.write(lineOf(answerLine(bunch[i]!.id, one)))
        here.write(lineOf({ want: together }))
      }
    }
    let why: Error | undefined
    here.on('error', (cause) => {
      why = cause
    })
    here.once('connect', () => {
      here.write(lineOf({ want: together }))
      onChange(true, undefined)
    })
    here.once('close', () => {
      if (!closed) timer = setTimeout(open, reconnectMs)
      onChange(false, why)
    })
    onLines(here, (line: { id: string; chain: string[]; request: string }) => {
      if (waiting.length >= 2 * together) throw new PkiError('EST_BODY', `over ${2 * together} questions at once`)
      waiting.push({ id: line.id, chain: line.chain.map(octets), request: octets(line.request) })
      if (waiting.length === 1) working = working.then(work).catch(end)
    })
  }
  open()
  return {
    async close() {
      closed = true
      clearTimeout(timer)
      await working
      socket?.destroy()
    },
  }
}

function answerLine(id: string, answer: Answer): object {
  if (answer.kind === 'certificates') return { id, certificates: answer.certificates.map(base64) }
  return { id, code: answer.code, detail: answer.detail }
}

/** Each line as JSON; a peer whose line is none, or too long, is cut off. */
function onLines<T>(socket: Socket, take: (line: T) => void): void {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    try {
      for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a)) {
        const line = rest.subarray(0, end)
        rest = rest.subarray(end + 1)
        take(JSON.parse(line.toString('utf8')) as T)
      }
      if (rest.length > lineOctetsMax) throw new PkiError('EST_BODY', `a line of over ${lineOctetsMax} octets`)
    } catch (cause) {
      socket.destroy(cause as Error)
    }
  })
}

function lineOf(value: object): string {
  return `${JSON.stringify(value)}\n`
}

function base64(value: Uint8Array): string {
  return Buffer.from(value).toString('base64')
}

function octets(text: string): Uint8Array {
  return Buffer.from(text, 'base64')
}
