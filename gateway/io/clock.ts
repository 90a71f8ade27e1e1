/** Milliseconds since 1970-01-01T00:00Z, as this system is to take them. */
export type Clock = () => number

/** A clock that runs faster than the wall's, so that days close while one watches. For demos and tests. */
export interface AcceleratedClock {
  /** when the wall's clock says this … */
  wallStartMs: number
  /** … this one says that, … */
  startMs: number
  /** … and runs this many times as fast */
  rate: number
}

export function openClock(accelerated?: AcceleratedClock): Clock {
  if (accelerated === undefined) return Date.now
  const { wallStartMs, startMs, rate } = accelerated
  return () => startMs + Math.max(0, Date.now() - wallStartMs) * rate
}
