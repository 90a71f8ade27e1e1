/** A way for sealed batches beside the datagrams: it takes them whole. */
export interface Carrier {
  /** as the log and the status call it; the same after a restart */
  readonly name: string
  /**
   * Resolves when the bundle is out of our hands, as far as this side can tell.
   * @throws CarrierHeld when it cannot be handed over now
   */
  carry(bundle: Framed, stop: AbortSignal): Promise<void>
}

export interface Framed {
  /** header and batch */
  frame: Buffer
  /** of a file that holds it */
  name: string
}

/** A carrier cannot go on for now: its folder is full or away, its proxy is down. Nothing is lost by it. */
export class CarrierHeld extends Error {
  override readonly name = 'CarrierHeld'
}

/** What a disk, a mount or a line says is for an operator to mend, and holds a carrier up; any other error is ours, and passes. */
export function heldBy(error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException
  return code !== undefined && syscall !== undefined ? new CarrierHeld(`${syscall}: ${code}`, { cause: error }) : error
}
