import { localOffsetSeconds } from './local-time.ts'
import { normal, random, unit } from './random.ts'

/** What a household's meter counts in an interval, in whole Wh; netted within each quarter-hour. */
export interface IntervalEnergy {
  importWh: number
  exportWh: number
}

/** A time of day at which a household is busy; the curve of a bump is (1 - x²)² on its half-width. */
interface Bump {
  /** hours, local; at weekends `weekendHour` */
  hour: number
  weekendHour: number
  halfWidthHours: number
  /** share of a working day's activity; at weekends `weekendShare` */
  share: number
  weekendShare: number
}

/** What stays the same of a household. */
interface Household {
  seed: number
  standbyW: number
  fridge: { powerW: number; periodSeconds: number; onShare: number; phaseSeconds: number }
  /** on an average working day, at home */
  activityWh: number
  bumps: readonly Bump[]
  /** of what varies, the part that lasts for half an hour, 0.2 to 0.8 */
  briefShare: number
  /** 0 for five in six */
  solarPeakW: number
}

const stepSeconds = 900
const daySeconds = 86_400
const medianUseWh = 3_400_000
/** of the logarithm: 5 % near 1,450 kWh and 95 % near 7,700 kWh a year lie 1.645 deviations from the median */
const useDeviation = 0.51
const awayDayShare = 0.04
const awayWeekShare = 0.04
/** what runs while nobody is home */
const awayActivity = 0.05
const seasonSwing = 0.22
/** one weather for all, day by day */
const weatherSeed = 0x5eed
const latitude = (50.8 * Math.PI) / 180
const longitudeDays = 4.4 / 360

/** Coordinates of `unit`, so that no two draws share a number. */
const draw = { awayDay: 1, awayWeek: 2, vigour: 3, shift: 4, slot: 8, block: 9, cloud: 10, flicker: 11 } as const

/**
 * The energy of a household in `seconds` from `start`: any interval at once, and the same each time. Longer ones
 * are summed in steps of a quarter-hour.
 * @param start seconds since 1970-01-01T00:00Z
 */
export function intervalEnergy(meter: { readonly seed: number }, start: number, seconds: number): IntervalEnergy {
  const household = householdOf(meter)
  let importWh = 0
  let exportWh = 0
  for (let at = start; at < start + seconds; ) {
    const end = Math.min(start + seconds, (Math.floor(at / stepSeconds) + 1) * stepSeconds)
    const net = consumptionWh(household, at, end - at) - solarWh(household, at, end - at)
    if (net > 0) importWh += net
    else exportWh -= net
    at = end
  }
  return { importWh: Math.round(importWh), exportWh: Math.round(exportWh) }
}

const households = new WeakMap<object, Household>()

function householdOf(meter: { readonly seed: number }): Household {
  const known = households.get(meter)
  if (known !== undefined) return known
  const made = makeHousehold(meter.seed)
  households.set(meter, made)
  return made
}

function makeHousehold(seed: number): Household {
  const next = random(seed)
  const dailyWh = (medianUseWh / 365) * Math.exp(useDeviation * normal(next))
  const fridge = {
    powerW: 60 + 60 * next(),
    periodSeconds: 2_400 + 2_400 * next(),
    onShare: 0.25 + 0.2 * next(),
    phaseSeconds: 86_400 * next(),
  }
  const restWh = Math.max(0.5 * dailyWh, dailyWh - fridge.powerW * fridge.onShare * 24)
  const standbyShare = 0.2 + 0.25 * next()
  const bumps = makeBumps(next)
  const average = bumps.reduce((sum, { share, weekendShare }) => sum + (5 * share + 2 * weekendShare) / 7, 0)
  const home = 1 - (1 - awayActivity) * (1 - (1 - awayDayShare) * (1 - awayWeekShare))
  return {
    seed,
    fridge,
    standbyW: (restWh * standbyShare) / 24,
    activityWh: (restWh * (1 - standbyShare)) / (average * home),
    bumps,
    briefShare: 0.2 + 0.6 * next(),
    solarPeakW: next() < 1 / 6 ? 2_500 + 3_500 * next() : 0,
  }
}

/** Rising, the day at home, cooking, the evening; each household at its own hours. */
function makeBumps(next: () => number): Bump[] {
  const bump = (
    hour: number,
    halfWidthHours: number,
    share: number,
    weekend: { later: number; more: number },
  ): Bump => {
    const own = hour + 0.6 * normal(next)
    const ownShare = share * (0.4 + 1.2 * next())
    return {
      hour: own,
      halfWidthHours,
      share: ownShare,
      weekendHour: own + weekend.later,
      weekendShare: ownShare * weekend.more,
    }
  }
  return [
    bump(8.2, 2.2, 0.15, { later: 1.6, more: 1 }),
    bump(13, 5, 0.26, { later: -0.3, more: 1.4 }),
    bump(18, 3.4, 0.24, { later: 0, more: 0.95 }),
    bump(22, 4.6, 0.34, { later: 0, more: 0.95 }),
  ]
}

/** @param seconds within one quarter-hour */
function consumptionWh(household: Household, start: number, seconds: number): number {
  const local = start + localOffsetSeconds(start)
  const day = Math.floor(local / daySeconds)
  const activityW = household.activityWh * dayFactor(household.seed, day) * shape(household, local + seconds / 2, day)
  const steadyWh = (household.standbyW * seconds) / 3_600 + fridgeWh(household.fridge, start, seconds)
  return steadyWh + (activityW * liveliness(household, start) * seconds) / 3_600
}

/** The fridge runs for the first part of each period: its running time in an interval is a difference of two sums. */
function fridgeWh(
  { powerW, periodSeconds, onShare, phaseSeconds }: Household['fridge'],
  start: number,
  seconds: number,
): number {
  const onSeconds = onShare * periodSeconds
  const ranUntil = (time: number): number => {
    const periods = Math.floor(time / periodSeconds)
    return periods * onSeconds + Math.min(onSeconds, time - periods * periodSeconds)
  }
  const from = start + phaseSeconds
  return (powerW * (ranUntil(from + seconds) - ranUntil(from))) / 3_600
}

/** How busy a day is: season, whether anybody is home, and chance. */
function dayFactor(seed: number, day: number): number {
  const away =
    unit(seed, day, draw.awayDay) < awayDayShare || unit(seed, Math.floor(day / 7), draw.awayWeek) < awayWeekShare
  const season = 1 + seasonSwing * Math.cos((2 * Math.PI * (day - 15)) / 365.25)
  return season * (away ? awayActivity : 0.7 + 0.6 * unit(seed, day, draw.vigour))
}

/** Activity at a time of day, per hour; its integral over a working day is the sum of the shares. */
function shape({ seed, bumps }: Household, local: number, day: number): number {
  const weekday = (day + 4) % 7
  const weekend = weekday === 0 || weekday === 6
  const hour = (local - day * daySeconds) / 3_600 + 0.8 * (unit(seed, day, draw.shift) - 0.5)
  let sum = 0
  for (const { hour: usual, weekendHour, halfWidthHours, share, weekendShare } of bumps) {
    const distance = Math.abs(hour - (weekend ? weekendHour : usual))
    const x = Math.min(distance, 24 - distance) / halfWidthHours
    if (x < 1) sum += ((weekend ? weekendShare : share) * (1 - x * x) ** 2 * (15 / 16)) / halfWidthHours
  }
  return sum
}

/** Chance within the day, 1 on average: what is switched on for half an hour, and what lasts for two. */
function liveliness({ seed, briefShare }: Household, start: number): number {
  const brief = spike(unit(seed, Math.floor(start / 1_800), draw.slot))
  const long = spike(unit(seed, Math.floor(start / 7_200), draw.block))
  return 0.1 + briefShare * brief + (0.9 - briefShare) * long
}

/** A heavy-tailed number of mean 1: an exponential one to the power of 1.5, over its mean, the gamma function at 2.5. */
function spike(uniform: number): number {
  const exponential = -Math.log(1 - uniform)
  return (exponential * Math.sqrt(exponential)) / 1.329_340_388
}

/** Sun by declination and hour angle; one cloud cover a day for all, and passing clouds for each. */
function solarWh({ seed, solarPeakW }: Household, start: number, seconds: number): number {
  if (solarPeakW === 0) return 0
  const days = (start + seconds / 2) / daySeconds
  const declination = 0.4091 * Math.sin((2 * Math.PI * (days - 80)) / 365.25)
  const hourAngle = 2 * Math.PI * (days - Math.floor(days) + longitudeDays - 0.5)
  const height =
    Math.sin(latitude) * Math.sin(declination) + Math.cos(latitude) * Math.cos(declination) * Math.cos(hourAngle)
  if (height <= 0) return 0
  const clear = unit(weatherSeed, Math.floor(days), draw.cloud)
  const flicker = 1 + 2 * clear * (1 - clear) * (unit(seed, Math.floor(start / stepSeconds), draw.flicker) - 0.5)
  return (solarPeakW * 0.85 * height * (0.15 + 0.85 * clear) * flicker * seconds) / 3_600
}
