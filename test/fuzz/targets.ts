import type { Target } from './target.ts'
import { clientTarget, serverTarget } from './targets/associations.ts'
import { apduTarget, dataTarget, interpretTarget } from './targets/dlms.ts'
import { batchTarget, datagramTarget, downlinkTarget, uplinkTarget } from './targets/envelope.ts'
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
  serverTarget,
  clientTarget,
  uplinkTarget,
  downlinkTarget,
  batchTarget,
  datagramTarget,
  certificateTarget,
  crlTarget,
  detachedTarget,
]
