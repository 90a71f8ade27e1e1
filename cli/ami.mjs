#!/usr/bin/env node
// Plain JavaScript, so that any Node can read it: it finds the pinned Node 24 and hands over to cli/main.ts.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const exitConfig = 78
const main = join(dirname(fileURLToPath(import.meta.url)), 'main.ts')

/** The path of the Node that package.json pins, or undefined when its install step did not run. */
function pinnedNode() {
  const require = createRequire(import.meta.url)
  try {
    const path = join(dirname(require.resolve('node/package.json')), 'bin', 'node')
    return existsSync(path) ? path : undefined
  } catch {
    return undefined
  }
}

if (Number(process.versions.node.split('.')[0]) === 24) {
  await import(main)
} else {
  const node = pinnedNode()
  if (node === undefined) {
    console.error(`ami needs Node 24, this is ${process.version}. Run "npm ci" (without --ignore-scripts) first.`)
    process.exit(exitConfig)
  }
  // The child shares the terminal: Ctrl-C reaches it directly, and we wait for its own clean end. The channel tells it when
  // we are gone.
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT') // no terminal has told it
  })
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.once('close', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))
}
