import type { ExactInteger } from '../model.ts'

/** Codes 1 to 57 in order: symbol, quantity. @see Blue Book, enumerated values for physical units */
const first = `a:time|mo:time|wk:time|d:time|h:time|min:time|s:time|°:phase angle|°C:temperature|currency:money|m:length
m/s:speed|m³:volume|m³:volume, corrected|m³/h:volume flow|m³/h:volume flow, corrected|m³/d:volume flow
m³/d:volume flow, corrected|l:volume|kg:mass|N:force|Nm:energy|Pa:pressure|bar:pressure|J:energy|J/h:thermal power
W:active power|VA:apparent power|var:reactive power|Wh:active energy|VAh:apparent energy|varh:reactive energy|A:current
C:charge|V:voltage|V/m:electric field strength|F:capacitance|Ω:resistance|Ωm²/m:resistivity|Wb:magnetic flux
T:magnetic flux density|A/m:magnetic field strength|H:inductance|Hz:frequency|1/Wh:active energy meter constant
1/varh:reactive energy meter constant|1/VAh:apparent energy meter constant|V²h:volt-squared hours|A²h:ampere-squared hours
kg/s:mass flow|S:conductance|K:temperature|1/V²h:volt-squared hour meter constant|1/A²h:ampere-squared hour meter constant
1/m³:volume meter constant|%:percentage|Ah:ampere-hours`

/** Codes from 60; those between and behind are reserved. */
const second = `60:Wh/m³:energy per volume|61:J/m³:calorific value|62:mol%:molar fraction|63:g/m³:mass density
64:Pa s:dynamic viscosity|65:J/kg:specific energy|66:g/cm²:pressure|67:atm:pressure|70:dBm:signal strength
71:dBµV:signal strength|72:dB:ratio`

/** Codes from 128 in order, outside the SI; those behind are reserved. */
const third = `in:length|ft:length|lb:mass|°F:temperature|°R:temperature|in²:area|ft²:area|acre:area|in³:volume|ft³:volume
acre ft:volume|gal (imp):volume|gal (US):volume|lbf:force|psi:pressure|lb/ft³:density|lb/(ft s):dynamic viscosity
ft²/s:kinematic viscosity|Btu:energy|thm (EC):energy|thm (US):energy|Btu/lb:calorific value of mass
Btu/ft³:calorific value of volume|1/ft³:volume meter constant|ft/s:speed|ft³/s:volume flow|ft³/min:volume flow
ft³/h:volume flow|ft³/d:volume flow|acre ft/s:volume flow|acre ft/min:volume flow|acre ft/h:volume flow
acre ft/d:volume flow|1/gal (imp):volume meter constant|gal (imp)/s:volume flow|gal (imp)/min:volume flow
gal (imp)/h:volume flow|gal (imp)/d:volume flow|1/gal (US):volume meter constant|gal (US)/s:volume flow
gal (US)/min:volume flow|gal (US)/h:volume flow|gal (US)/d:volume flow|Btu/s:energy flow|Btu/min:energy flow
Btu/h:energy flow|Btu/d:energy flow`

interface Unit {
  symbol: string
  quantity: string
}

const units: ReadonlyMap<number, Unit> = new Map([
  ...rows(first).map(([symbol, quantity], i) => [i + 1, { symbol: symbol!, quantity: quantity! }] as const),
  ...rows(second).map(([code, symbol, quantity]) => [Number(code), { symbol: symbol!, quantity: quantity! }] as const),
  ...rows(third).map(([symbol, quantity], i) => [i + 128, { symbol: symbol!, quantity: quantity! }] as const),
])

/** 253 stands for a table of more units that nothing here refers to, 254 is some other unit, 255 none: a count. */
const unitless: ReadonlySet<number> = new Set([0, 253, 254, 255])

function rows(table: string): string[][] {
  return table.split(/[|\n]/).map((row) => row.split(':'))
}

/** The symbol of a unit, `null` where there is none, and the code itself where it has no symbol here. */
export function unitSymbol(code: number): string | null {
  return unitless.has(code) ? null : (units.get(code)?.symbol ?? `unit ${code}`)
}

/** What is measured in a unit, `undefined` where the code is reserved or stands for none. */
export function unitQuantity(code: number): string | undefined {
  return units.get(code)?.quantity
}

/**
 * The code of a unit by its symbol, the lowest where several share it (13 for m³, 14 is corrected volume); `count` is
 * 255; digits are the code itself.
 * @returns `undefined` for what is neither
 */
export function unitCode(text: string): number | undefined {
  if (text === 'count') return 255
  if (/^\d{1,3}$/.test(text)) return Number(text) <= 255 ? Number(text) : undefined
  return [...units].find(([, { symbol }]) => symbol === text)?.[0]
}

/** An integer times a power of ten in decimal digits, without loss: 2347 and -1 are `234.7`. */
export function scaledText(value: ExactInteger, scaler: number): string {
  const digits = (value < 0 ? -BigInt(value) : BigInt(value)).toString()
  const sign = value < 0 ? '-' : ''
  if (scaler >= 0) return sign + (digits === '0' ? '0' : digits + '0'.repeat(scaler))
  const padded = digits.padStart(1 - scaler, '0')
  return `${sign}${padded.slice(0, scaler)}.${padded.slice(scaler)}`
}
