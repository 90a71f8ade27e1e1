import { existsSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { type Control, type ControlOptions, openControl } from '#gateway/io/control.ts'
import { tempFolder } from '#test/support/temp.ts'

async function open(options: Partial<ControlOptions> = {}): Promise<{ path: string; control: Control }> {
  const path = join(tempFolder(), 'control.sock')
  const control = await openControl({ path, answer: async (line) => `heard ${line}`, busy: 'busy', ...options })
  onTestFinished(() => control.close())
  return { path, control }
}

/** What comes back until the connection is closed. */
function send(path: string, text: string | undefined): Promise<string> {
  const socket = dial(path)
  if (text !== undefined) socket.write(text)
  return heardOf(socket)
}

function dial(path: string): Socket {
  const socket = connect(path)
  socket.on('error', () => {}) // closed by the other side is one way of being refused
  onTestFinished(() => void socket.destroy())
  return socket
}

function heardOf(socket: Socket): Promise<string> {
  let heard = ''
  socket.on('data', (chunk) => (heard += chunk))
  return new Promise((resolve) => socket.on('close', () => resolve(heard)))
}

describe('the control socket', () => {
  test("is its owner's alone, and gone when it is closed", async () => {
    const { path, control } = await open()
    expect(statSync(path).mode & 0o777).toBe(0o600)
    await control.close()
    expect(existsSync(path)).toBe(false)
  })

  test('answers one line with one line', async () => {
    const { path } = await open()
    expect(await send(path, 'one\ntwo\n')).toBe('heard one\n')
  })

  test('closes on a line that is too long, and takes one of the most', async () => {
    const { path } = await open({ limits: { lineOctetsMax: 100 } })
    expect(await send(path, `${'x'.repeat(99)}\n`)).toBe(`heard ${'x'.repeat(99)}\n`)
    expect(await send(path, `${'x'.repeat(100)}\n`)).toBe('')
    expect(await send(path, 'x'.repeat(101))).toBe('')
  })

  test('closes on who says nothing, and on who says half a line', async () => {
    const { path } = await open({ limits: { lineDeadlineMs: 20 } })
    expect(await send(path, undefined)).toBe('')
    expect(await send(path, 'half')).toBe('')
  })

  test('ends a connection whose answer does not come, and says that whoever asked is gone', async () => {
    const gone = Promise.withResolvers<void>()
    const answer: ControlOptions['answer'] = (_line, signal) => {
      signal.addEventListener('abort', () => gone.resolve())
      return new Promise(() => {})
    }
    const { path } = await open({ answer, limits: { deadlineMs: 20 } })
    expect(await send(path, 'one\n')).toBe('')
    await gone.promise
  })

  test('says that whoever asked has hung up', async () => {
    const [asked, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const { path } = await open({
      answer: (_line, signal) => {
        signal.addEventListener('abort', () => gone.resolve())
        asked.resolve()
        return new Promise(() => {})
      },
    })
    const socket = dial(path)
    socket.write('one\n')
    await asked.promise
    socket.destroy()
    await gone.promise
  })

  test('takes four at a time, and tells a fifth that it is busy', async () => {
    const answers: ((line: string) => void)[] = []
    const four = Promise.withResolvers<void>()
    const answer = (): Promise<string> =>
      new Promise((resolve) => {
        if (answers.push(resolve) === 4) four.resolve()
      })
    const { path } = await open({ answer })
    const waiting = [1, 2, 3, 4].map((i) => send(path, `${i}\n`))
    await four.promise
    expect(await send(path, undefined)).toBe('busy\n')
    for (const resolve of answers) resolve('done')
    expect(await Promise.all(waiting)).toEqual(Array(4).fill('done\n'))
  })

  test('takes the place of one that a killed gateway left, and of no other file', async () => {
    const path = join(tempFolder(), 'control.sock')
    const left = createServer()
    await new Promise<void>((resolve) => left.listen(path, resolve))
    const control = await openControl({ path, answer: async () => 'new', busy: '' }) // the old one still holds its own
    expect(await send(path, 'x\n')).toBe('new\n')
    await control.close()
    left.close()
    writeFileSync(path, 'data')
    await expect(openControl({ path, answer: async () => '', busy: '' })).rejects.toThrow(ConfigError)
  })

  test("whose path is too long for a socket is the operator's fault", async () => {
    const path = join(tempFolder(), 'x'.repeat(100))
    await expect(openControl({ path, answer: async () => '', busy: '' })).rejects.toThrow(/107 octets/)
  })
})
