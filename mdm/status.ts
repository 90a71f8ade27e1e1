import type { RingAssemblerStatus } from './assemble.ts'
import type { ReceiverStatus } from './receive.ts'

/** What the assembler says of itself each second, in its log and in its status file. */
export interface AssemblerStatus extends ReceiverStatus {
  /** ms since 1970 */
  at: number
  pid: number
  ring: RingAssemblerStatus
}
