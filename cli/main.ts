import { ConfigError, exitConfig } from '#gateway/errors.ts'
import { type Command, exitUsage, UsageError } from './command.ts'
import { version } from './version.ts'

/** Loaded only when asked for: `ami decode` needs no MQTT broker. */
const commands: Record<string, () => Promise<{ command: Command }>> = {
  demo: () => import('./demo.ts'),
  gateway: () => import('./gateway.ts'),
  mdm: () => import('./mdm.ts'),
  studies: () => import('./studies.ts'),
  simulate: () => import('./simulate.ts'),
  pki: () => import('./pki.ts'),
  dmz: () => import('./dmz.ts'),
  link: () => import('./link.ts'),
  decode: () => import('./decode.ts'),
  verify: () => import('./verify.ts'),
}

async function overview(): Promise<string> {
  const lines: string[] = []
  for (const [name, load] of Object.entries(commands)) {
    lines.push(`  ${name.padEnd(10)} ${(await load()).command.summary}`)
  }
  return `ami: a smart-meter head-end, version ${version()}

usage: ami COMMAND [--help]
       ami --version

${lines.join('\n')}
`
}

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(await overview())
    return name === undefined ? exitUsage : 0
  }
  if (name === '--version') {
    process.stdout.write(`${version()}\n`)
    return 0
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (load === undefined) throw new UsageError(`no command '${name}'`)
  const { command } = await load()
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write((await command.helpFor?.(args)) ?? command.help)
    return 0
  }
  return command.run(args)
}

/** Faults of the caller's in one line each; anything else is ours and keeps its stack. */
function report(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(
      `ami: ${error.message}\nami: 'ami --help' lists the commands, 'ami COMMAND --help' its options\n`,
    )
    return exitUsage
  }
  if (error instanceof ConfigError) {
    for (const fault of error.faults) process.stderr.write(`ami: ${fault}\n`)
    return exitConfig
  }
  throw error
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0) // the reader has seen enough
  throw error
})
process.exitCode = await main(process.argv.slice(2)).catch(report)
