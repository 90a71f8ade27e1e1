/**
 * Pieces of one memory, given and taken back: what is held can never be more than the memory, and nothing waits for the garbage
 * collector. Pages that were never written to take no room. First fit; for some dozens of pieces at a time.
 */
export class Arena {
  readonly #memory: Uint8Array
  /** in order of where they begin */
  readonly #pieces: Uint8Array[] = []
  #held = 0

  constructor(octets: number) {
    this.#memory = new Uint8Array(octets)
  }

  /** Octets of all pieces. */
  get held(): number {
    return this.#held
  }

  /** @returns a piece with whatever was in it before, or undefined where there is no gap as long */
  take(octets: number): Uint8Array | undefined {
    let [at, from] = [0, 0]
    for (; at < this.#pieces.length && this.#pieces[at]!.byteOffset - from < octets; at++) {
      from = this.#pieces[at]!.byteOffset + this.#pieces[at]!.length
    }
    if (from + octets > this.#memory.length) return undefined
    const piece = this.#memory.subarray(from, from + octets)
    this.#pieces.splice(at, 0, piece)
    this.#held += octets
    return piece
  }

  /** @param piece as it was taken: it is not to be used any more */
  give(piece: Uint8Array): void {
    const at = this.#pieces.indexOf(piece)
    if (at < 0) return
    this.#pieces.splice(at, 1)
    this.#held -= piece.length
  }
}
