import { unframeAuto } from '#gateway/codec/framing.ts'
import type { SeenFrame } from '#gateway/codec/payload.ts'
import { explain, type Opener } from '#gateway/readings/explain.ts'
import { explainTree } from '#gateway/readings/explain-tree.ts'
import { treeText } from '#gateway/readings/tree.ts'
import { decipherUnverified, lenientPolicy, type Policy, unprotect } from '#gateway/session/unprotect.ts'
import type { Mutator } from '../mutate.ts'
import { ak, apdus, blocks, ek, meter, notifications, sealed, services, telegram } from '../seeds.ts'
import type { Target } from '../target.ts'
import { changeNotification, isPeerFault } from './dlms.ts'
import { frames } from './framing.ts'

const policy: Policy = { ...lenientPolicy, keySets: ['unicast', 'broadcast', 'dedicated', 'settled'], untitled: true }
const key = { ek, lastCounter: -1 }
const security = { ...key, systemTitle: meter, ak, broadcast: key, dedicated: key, settled: key }

/** The key for whatever the frame is under; of even counters the tag is not asked for, as without `--ak`. */
const open: Opener = (apdu) => {
  if (apdu.apdu === 'general-glo-ciphering' && apdu.invocationCounter % 2 === 0) {
    return decipherUnverified(apdu, meter, ek)
  }
  return unprotect(apdu, security, policy).plain
}

const seeds = (): Uint8Array[] => [
  telegram,
  ...apdus,
  ...services,
  ...notifications.slice(0, 6).map((plain) => sealed(plain)),
  ...Object.values(frames).map((frame) => frame(apdus[0]!, 60)),
]

/** Something changed and sealed, alone, twice, in blocks or in frames. */
function structured(octets: Uint8Array, mutator: Mutator): Uint8Array {
  const plain = mutator.one([
    () => changeNotification(mutator.one(notifications), mutator),
    () => mutator.octets(mutator.one(notifications)),
    () => mutator.octets(mutator.one(services)),
    () => mutator.octets(telegram),
  ])()
  return mutator.one<() => Uint8Array>([
    () => plain,
    () => sealed(plain),
    () => sealed(sealed(plain)),
    () => Buffer.concat(blocks(octets)),
    () => mutator.one(Object.values(frames))(plain, 10 + mutator.pick(200)),
  ])()
}

/** As `ami decode` reads a file. */
export const explainTarget: Target = {
  name: 'explain',
  octetsMax: 4_096,
  seeds,
  run: (octets) => {
    const explanation = explain(unframeAuto(octets).payloads, open)
    JSON.stringify(explanation)
    return `${explanation.apdus.slice(0, 3).join()} ${explanation.dialects.slice(0, 2).join()}`
  },
  isFault: isPeerFault,
  structured,
}

/** As `ami decode --explain`. */
export const treeTarget: Target = {
  name: 'tree',
  octetsMax: 4_096,
  seeds,
  run: (octets) => {
    const seen: SeenFrame[] = []
    const unframed = unframeAuto(octets, (frame) => seen.push(frame))
    const layers = explainTree(octets, unframed, { frames: seen, open })
    treeText(layers)
    return layers.map(({ kind, nodes }) => `${kind} ${nodes[0]?.name}`).join()
  },
  isFault: isPeerFault,
  structured,
}
