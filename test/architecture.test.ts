import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const tops = ['cli', 'gateway', 'mdm', 'studies', 'pki', 'simulator', 'dmz-config'] as const

/** Who may import whom, longest prefix first; a package is written `package`, Node's own modules `node:`. */
const rules: readonly { folder: string; may: readonly string[] }[] = [
  { folder: 'gateway/codec/', may: ['gateway/codec/', 'gateway/errors', 'gateway/model', 'protobufjs'] },
  { folder: 'gateway/errors', may: [] },
  { folder: 'gateway/model', may: ['gateway/errors'] },
  { folder: 'gateway/fields', may: ['gateway/errors', 'node:path'] },
  ...['session', 'readings', 'oneway'].map((part) => ({
    folder: `gateway/${part}/`,
    may: [`gateway/${part}/`, 'gateway/codec/', 'gateway/errors', 'gateway/model', 'node:crypto'],
  })),
  { folder: 'gateway/', may: ['gateway/', 'pki/verify', 'dmz-config/zones', 'package', 'node:'] },
  {
    folder: 'mdm/',
    may: [
      'mdm/',
      'gateway/codec/',
      'gateway/oneway/',
      'gateway/errors',
      'gateway/fields',
      'gateway/model',
      'pki/verify',
      'dmz-config/zones',
      'package',
      'node:',
    ],
  },
  {
    folder: 'studies/',
    may: ['studies/', 'gateway/errors', 'gateway/fields', 'gateway/model', 'dmz-config/zones', 'package', 'node:'],
  },
  { folder: 'pki/', may: ['pki/', 'package', 'node:'] },
  {
    folder: 'simulator/',
    may: [
      'simulator/',
      'pki/',
      'gateway/codec/',
      'gateway/errors',
      'gateway/fields',
      'gateway/model',
      'package',
      'node:',
    ],
  },
  { folder: 'dmz-config/', may: ['dmz-config/', 'gateway/errors', 'node:'] },
  { folder: 'cli/', may: [...tops.map((top) => `${top}/`), 'package', 'node:'] },
]

const sources: string[] = tops.flatMap((top) =>
  readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|mjs)$/.test(name))
    .map((name) => `${top}/${name.split('\\').join('/')}`),
)

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const found = text.matchAll(
    /^\s*(?:import|export)\b[^'"]*?from\s+'([^']+)'|^\s*import\s+'([^']+)'|import\('([^']+)'\)/gm,
  )
  return [...found].map((match) => resolve(file, (match[1] ?? match[2] ?? match[3])!))
}

function resolve(file: string, specifier: string): string {
  if (specifier.startsWith('#')) return specifier.slice(1)
  if (specifier.startsWith('.')) return posix.join(posix.dirname(file), specifier)
  return specifier
}

function allowed(may: readonly string[], target: string): boolean {
  const ours = tops.some((top) => target.startsWith(`${top}/`))
  return may.some(
    (entry) =>
      (entry === 'package' && !ours && !target.startsWith('node:')) ||
      (ours
        ? target.startsWith(entry)
        : target === entry || target.startsWith(entry.endsWith(':') ? entry : `${entry}/`)),
  )
}

/** The breaches of the table in one file, as sentences. */
function breaches(file: string, imports: readonly string[]): string[] {
  const rule = rules.find(({ folder }) => file.startsWith(folder))
  if (rule === undefined) return [`${file}: no rule`]
  return imports.filter((target) => !allowed(rule.may, target)).map((target) => `${file} may not import ${target}`)
}

function cycle(): string[] | undefined {
  const done = new Set<string>()
  const visit = (file: string, path: string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return undefined
    for (const target of importsOf(file).filter((target) => sources.includes(target))) {
      const found = visit(target, [...path, file])
      if (found !== undefined) return found
    }
    done.add(file)
    return undefined
  }
  for (const file of sources) {
    const found = visit(file, [])
    if (found !== undefined) return found
  }
  return undefined
}

describe('architecture', () => {
  test('every source file is seen', () => {
    expect(sources.length).toBeGreaterThan(3)
    expect(relative(root, import.meta.dirname)).toBe('test')
  })

  test.each(sources)('%s imports only what its folder may', (file) => {
    expect(breaches(file, importsOf(file))).toEqual([])
  })

  test('a breach is seen', () => {
    expect(breaches('gateway/codec/axdr.ts', ['node:fs'])).toHaveLength(1)
    expect(breaches('pki/verify.ts', ['gateway/main.ts'])).toHaveLength(1)
    expect(breaches('studies/api.ts', ['gateway/io/ledger.ts'])).toHaveLength(1)
  })

  test('no import cycle', () => {
    expect(cycle()).toBeUndefined()
  })

  test('no barrel', () => {
    expect(sources.filter((file) => file.endsWith('/index.ts'))).toEqual([])
  })
})
