import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { sendTagged } from './tagged.ts'

/** The page's own files; there are no others, so no path of a request ever reaches the file system. */
const files: Record<string, { name: string; type: string }> = {
  '/': { name: 'page.html', type: 'text/html; charset=utf-8' },
  '/style.css': { name: 'style.css', type: 'text/css; charset=utf-8' },
  '/page.js': { name: 'page.js', type: 'text/javascript; charset=utf-8' },
  '/study.js': { name: 'study.js', type: 'text/javascript; charset=utf-8' },
  '/curve.js': { name: 'curve.js', type: 'text/javascript; charset=utf-8' },
  '/words.js': { name: 'words.js', type: 'text/javascript; charset=utf-8' },
  '/icon.svg': { name: 'icon.svg', type: 'image/svg+xml' },
}

/** Reads the files once, at the start. */
export function addPage(app: FastifyInstance): void {
  const folder = join(import.meta.dirname, 'page')
  const schema = { querystring: { type: 'object', additionalProperties: false } }
  for (const [path, { name, type }] of Object.entries(files)) {
    const text = readFileSync(join(folder, name), 'utf8')
    app.get(path, { schema }, (request, reply) => sendTagged(request, reply, { type, text }))
  }
}
