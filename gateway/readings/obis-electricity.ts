/** Value group C from 1 to 20; 21 to 40, 41 to 60 and 61 to 80 are the same of one phase. @see IEC 62056-61, table for A = 1 */
const quantities = [
  'active {p} import',
  'active {p} export',
  'reactive {p} import',
  'reactive {p} export',
  'reactive {p} QI',
  'reactive {p} QII',
  'reactive {p} QIII',
  'reactive {p} QIV',
  'apparent {p} import',
  'apparent {p} export',
  'current',
  'voltage',
  'power factor import',
  'supply frequency',
  'active {p} import + export',
  'active {p} import - export',
  'active {p} QI',
  'active {p} QII',
  'active {p} QIII',
  'active {p} QIV',
] as const

const others: Readonly<Record<number, string>> = {
  81: 'angle',
  82: 'unitless quantity',
  83: 'losses',
  84: 'power factor export',
  85: 'power factor export, L1',
  86: 'power factor export, L2',
  87: 'power factor export, L3',
  88: 'ampere-squared hours',
  89: 'volt-squared hours',
  90: 'sum of currents',
  91: 'current, neutral',
  92: 'voltage, neutral',
}

/** Value group D. @see IEC 62056-61, processing of measurement values */
const processings: Readonly<Record<number, string>> = {
  0: 'average over the billing period',
  1: 'cumulative minimum 1',
  2: 'cumulative maximum 1',
  3: 'minimum 1',
  4: 'current average 1',
  5: 'last average 1',
  6: 'maximum 1',
  7: 'instantaneous',
  8: '',
  9: 'since the billing period began',
  10: 'above the threshold',
  11: 'cumulative minimum 2',
  12: 'cumulative maximum 2',
  13: 'minimum 2',
  14: 'current average 2',
  15: 'last average 2',
  16: 'maximum 2',
  17: 'time integral 7',
  18: 'time integral 8',
  19: 'time integral 9',
  20: 'time integral 10',
  21: 'cumulative minimum 3',
  22: 'cumulative maximum 3',
  23: 'minimum 3',
  24: 'current average 3',
  25: 'last average 3',
  26: 'maximum 3',
  27: 'current average 5',
  28: 'current average 6',
  29: 'over the recording interval 1',
  30: 'over the recording interval 2',
  31: 'under limit, threshold',
  32: 'under limit, occurrences',
  33: 'under limit, duration',
  34: 'under limit, magnitude',
  35: 'over limit, threshold',
  36: 'over limit, occurrences',
  37: 'over limit, duration',
  38: 'over limit, magnitude',
  39: 'missing, threshold',
  40: 'missing, occurrences',
  41: 'missing, duration',
  42: 'missing, magnitude',
  43: 'under limit, time threshold',
  44: 'over limit, time threshold',
  45: 'missing, time threshold',
  46: 'contracted value',
  55: 'test average',
  58: 'test integral',
}

/** What is summed over time: power becomes energy. */
const integrals: ReadonlySet<number> = new Set([8, 9, 10, 17, 18, 19, 20, 29, 30, 58])

/** Objects of an electricity meter that measure nothing. */
const general: readonly (readonly [pattern: RegExp, words: string])[] = [
  [/^0\.0\.([0-9])$/, 'electricity id $1'],
  [/^0\.1\.0$/, 'billing period counter'],
  [/^0\.1\.2$/, 'time of the last billing period'],
  [/^0\.2\.0$/, 'firmware version'],
  [/^0\.2\.1$/, 'parameter record number'],
  [/^0\.2\.8$/, 'firmware signature'],
  [/^0\.2\.129$/, 'version of the push list'],
  [/^0\.2\.(\d+)$/, 'program entry $1'],
  [/^0\.3\.(\d+)$/, 'pulse constant $1'],
  [/^0\.4\.2$/, 'current transformer ratio'],
  [/^0\.4\.3$/, 'voltage transformer ratio'],
  [/^0\.4\.(\d+)$/, 'reading factor $1'],
  [/^0\.6\.(\d+)$/, 'nominal value $1'],
  [/^0\.8\.0$/, 'demand period 1'],
  [/^0\.8\.4$/, 'recording interval of load profile 1'],
  [/^0\.8\.5$/, 'recording interval of load profile 2'],
  [/^0\.8\.(\d+)$/, 'measurement period $1'],
  [/^0\.9\.1$/, 'local time'],
  [/^0\.9\.2$/, 'local date'],
  [/^0\.(\d+\.\d+)$/, 'general object $1'],
  [/^9[34]\.(\d+\.\d+)$/, 'consortium or country object $1'],
  [/^96\.1\.(\d+)$/, 'device id, object $1'],
  [/^96\.5\.(\d+)$/, 'internal operating status $1'],
  [/^96\.10\.(\d+)$/, 'profile status $1'],
  [/^96\.(\d+\.\d+)$/, 'service object $1'],
  [/^97\.97\.(\d+)$/, 'error object $1'],
  [/^97\.(\d+\.\d+)$/, 'error or alarm object $1'],
  [/^98\.1\.(\d+)$/, 'billing period data $1'],
  [/^98\.(\d+\.\d+)$/, 'list $1'],
  [/^99\.1\.(\d+)$/, 'load profile 1, object $1'],
  [/^99\.2\.(\d+)$/, 'load profile 2, object $1'],
  [/^99\.1[0-3]\.(\d+)$/, 'power quality profile, object $1'],
  [/^99\.97\.(\d+)$/, 'power failure event log $1'],
  [/^99\.98\.(\d+)$/, 'event log $1'],
  [/^99\.(\d+\.\d+)$/, 'profile $1'],
]

/**
 * What a code of an electricity meter stands for, without its channel.
 * @param groups six, A to F
 * @returns `undefined` for another medium and for what is not known
 */
export function electricityName([a, , c, d, e, f]: readonly number[]): string | undefined {
  if (a !== 1) return undefined
  const found = general.find(([pattern]) => pattern.test(`${c}.${d}.${e}`))
  if (found !== undefined) return `${c}.${d}.${e}`.replace(...found)
  const quantity = quantityOf(c!, d!)
  const processing = processingOf(c!, d!)
  if (c! >= 128 && c! <= 240) return `manufacturer-specific object ${c}.${d}.${e}`
  if (quantity === undefined || processing === undefined) return undefined
  return [quantity, processing, rateOf(c!, d!, e!), periodOf(f!)].filter((words) => words !== '').join(', ')
}

/** Of voltage those of limits have names of their own. @see IEC 62056-61; EN 50160 */
function processingOf(c: number, d: number): string | undefined {
  const isVoltage = c <= 80 && (c - 1) % 20 === 11
  if (!isVoltage) return processings[d]
  return processings[d]?.replace('under limit', 'sag').replace('over limit', 'swell').replace('missing', 'cut')
}

function quantityOf(c: number, d: number): string | undefined {
  if (c > 80 || c === 0) return others[c]
  const phase = Math.floor((c - 1) / 20)
  const words = quantities[(c - 1) % 20]!.replace('{p}', integrals.has(d) ? 'energy' : 'power')
  return phase === 0 ? words : `${words}, L${phase}`
}

/** Value group E: a tariff, or with instantaneous voltage and current a harmonic, or between which phases an angle lies. */
function rateOf(c: number, d: number, e: number): string {
  if (c === 81) return `from ${phasor(e % 10)} to ${phasor(Math.floor(e / 10))}`
  const isWave = c <= 80 && ((c - 1) % 20 === 10 || (c - 1) % 20 === 11)
  if (isWave && (d === 7 || d === 24) && e > 0) {
    return e === 124 ? 'total harmonic distortion' : `harmonic ${e}`
  }
  if (e === 0) return integrals.has(d) ? 'total' : ''
  return `tariff ${e}`
}

function phasor(digit: number): string {
  return ['U(L1)', 'U(L2)', 'U(L3)', '?', 'I(L1)', 'I(L2)', 'I(L3)', 'I(N)'][digit] ?? '?'
}

/** Value group F: a billing period, 255 the value of now, from 101 on how many of the last ones. */
function periodOf(f: number): string {
  if (f === 255) return ''
  if (f < 100) return `billing period ${f}`
  if (f === 100 || f > 125) return 'billing periods'
  return f === 101 ? 'the last billing period' : `the last ${f - 100} billing periods`
}
