import type { Target } from './target.ts'
import { apduTarget, dataTarget, interpretTarget } from './targets/dlms.ts'
import { batchTarget, datagramTarget, uplinkTarget } from './targets/envelope.ts'
import { explainTarget, treeTarget } from './targets/explain.ts'
import { autoTarget, hdlcTarget, mbusTarget, wrapperTarget } from './targets/framing.ts'
import { certificateTarget, crlTarget, detachedTarget } from './targets/pki.ts'

/** Every entry for octets from outside. */
export const targets: readonly Target[] = [
  dataTarget,
  apduTarget,
  hdlcTarget,
  wrapperTarget,
  mbusTarget,
  autoTarget,
  explainTarget,
  treeTarget,
  interpretTarget,
  uplinkTarget,
  batchTarget,
  datagramTarget,
  certificateTarget,
  crlTarget,
  detachedTarget,
]
