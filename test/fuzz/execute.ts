import { getHeapStatistics } from 'node:v8'
import { allocationLimit, Broken, type Target, timeLimit } from './target.ts'

/** What does not hold of an entry, with an input that shows it. */
export interface Finding {
  kind: 'exception' | 'property' | 'slow' | 'large' | 'hang' | 'memory'
  /** the same for inputs that show the same */
  signature: string
  octets: Uint8Array
}

/** Times that an input over a limit runs again. */
const repeats = 3

/** @returns what came of it, or what does not hold */
export async function execute(target: Target, octets: Uint8Array): Promise<string | Finding> {
  const first = await once(target, octets)
  if (typeof first.outcome !== 'string') return first.outcome
  const kinds = (['slow', 'large'] as const).filter((kind) => first[kind])
  for (const kind of kinds) if (await confirmed(target, octets, kind)) return { kind, signature: kind, octets }
  return first.outcome
}

/**
 * Slow must be so each time, for others use the machine and code is compiled at first; large, at least once more: a
 * collection meanwhile hides what was allocated, and nothing makes it seem more.
 */
async function confirmed(target: Target, octets: Uint8Array, kind: 'slow' | 'large'): Promise<boolean> {
  const again: boolean[] = []
  for (let i = 0; i < repeats; i++) again.push((await once(target, octets))[kind])
  return kind === 'slow' ? again.every(Boolean) : again.some(Boolean)
}

interface Once {
  outcome: string | Finding
  slow: boolean
  large: boolean
}

async function once(target: Target, octets: Uint8Array): Promise<Once> {
  const allocated = allocatedOctets()
  const began = performance.now()
  let outcome: string | Finding
  try {
    const result = target.run(octets)
    outcome = typeof result === 'string' ? result : await result
  } catch (thrown) {
    outcome = target.isFault(thrown) ? faultWord(thrown as Error) : findingOf(thrown, octets)
  }
  const slow = performance.now() - began > timeLimit(octets.length)
  const large = allocatedOctets() - allocated > allocationLimit(octets.length)
  return { outcome, slow, large }
}

/** Less after a collection: what is seen is the least that was allocated. */
function allocatedOctets(): number {
  const { used_heap_size, external_memory } = getHeapStatistics()
  return used_heap_size + external_memory
}

function faultWord(fault: Error): string {
  return `${'code' in fault ? fault.code : ''} ${wordless(fault.message)}`
}

/** Numbers and quoted text differ from input to input. */
function wordless(message: string): string {
  return message.replace(/'[^']*'|[0-9a-f]*\d[0-9a-f]*/g, '#').slice(0, 80)
}

function findingOf(thrown: unknown, octets: Uint8Array): Finding {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  const frame = error.stack?.split('\n').find((line) => line.includes('file://') || line.includes('.ts:'))
  const place = /([\w-]+\.ts:\d+)/.exec(frame ?? '')?.[1] ?? ''
  const cause = error.cause instanceof Error ? `: ${wordless(error.cause.message)}` : ''
  const signature = `${error.name} ${wordless(error.message)}${cause} ${place}`
  return { kind: error instanceof Broken ? 'property' : 'exception', signature, octets }
}
