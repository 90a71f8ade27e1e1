/** Symbols of the DLMS units by their code. @see Blue Book, table of enumerated values for physical units */
const symbols: readonly (readonly [code: number, symbol: string])[] = [
  ...'a mo wk d h min s ° °C currency m m/s m³ m³ m³/h m³/h m³/d m³/d l kg N Nm Pa bar J J/h W VA var Wh VAh varh A C V V/m'
    .split(' ')
    .map((symbol, i) => [i + 1, symbol] as const),
  ...'F Ω Ωm²/m Wb T A/m H Hz 1/Wh 1/varh 1/VAh V²h A²h kg/s S K 1/V²h 1/A²h 1/m³ % Ah'
    .split(' ')
    .map((symbol, i) => [i + 37, symbol] as const),
  [60, 'Wh/m³'],
  [61, 'J/m³'],
  [62, 'mol%'],
  [63, 'g/m³'],
  [64, 'Pa s'],
  [65, 'J/kg'],
  [66, 'g/cm²'],
  [67, 'atm'],
  [70, 'dBm'],
  [71, 'dBµV'],
  [72, 'dB'],
]
const symbolOf = new Map(symbols)

/** 254 is some other unit, 255 none: a count. */
const unitless: ReadonlySet<number> = new Set([0, 254, 255])

/** The symbol of a unit, `null` where there is none, and the code itself where it has no symbol here. */
export function unitSymbol(code: number): string | null {
  return unitless.has(code) ? null : (symbolOf.get(code) ?? `unit ${code}`)
}
