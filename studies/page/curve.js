/** A load curve in SVG: every released interval a step, every withheld one a hatched band, nothing in between guessed. */
import { clock, number, reasonLabel } from './words.js'

const namespace = 'http://www.w3.org/2000/svg'
/** The fill for a withheld cell. */
export function hatchOf(reason) {
  return reason === 'FEW_METERS' ? 'url(#hatch-few)' : 'url(#hatch-dominant)'
}

/** The smallest distance of two neighbouring ends, seconds; 0 for a lone cell: no length is known then. */
export function spacing(cells) {
  let least = Number.POSITIVE_INFINITY
  for (let i = 1; i < cells.length; i++) least = Math.min(least, cells[i].end - cells[i - 1].end)
  return Number.isFinite(least) ? least : 0
}

/** Stretches of cells that touch and are alike. A missing cell ends a stretch as a withheld one does. */
export function runsOf(cells) {
  const step = spacing(cells)
  const runs = []
  for (const cell of cells) {
    const run = runs.at(-1)
    const alike = run !== undefined && run.last.state === cell.state && run.last.reason === cell.reason
    if (alike && cell.end - run.last.end === step) {
      run.cells.push(cell)
      run.last = cell
    } else runs.push({ first: cell, last: cell, cells: [cell] })
  }
  return runs
}

/** Ticks from 0 to just above `max`, at round values, four to six of them. */
export function ticksUpTo(max) {
  if (!(max > 0)) return [0, 1]
  const power = 10 ** Math.floor(Math.log10(max / 4))
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => max / step <= 5)
  const count = Math.ceil(max / step - 1e-9)
  return Array.from({ length: count + 1 }, (_, i) => i * step)
}

/**
 * @param day `{ cells, from, to }`, seconds and Wh
 * @param size `{ width, height, unit, compact }`: compact leaves out the axes
 * @returns `{ svg, geometry }`; the geometry places a cell again, for the pointer
 */
export function drawCurve(day, size) {
  const geometry = geometryOf(day, size)
  const svg = element('svg', { width: size.width, height: size.height, viewBox: `0 0 ${size.width} ${size.height}` })
  svg.setAttribute('aria-hidden', 'true')
  const runs = runsOf(day.cells)
  for (const run of runs.filter(({ first }) => first.state === 'withheld')) svg.append(band(run, geometry))
  if (!size.compact) svg.append(...gridLines(geometry))
  for (const run of runs.filter(({ first }) => first.state === 'released')) svg.append(...steps(run, geometry))
  svg.append(size.compact ? baseline(geometry) : axes(day, geometry))
  if (!size.compact) svg.append(...gapLabels(runs, geometry))
  return { svg, geometry }
}

/** The cell under a horizontal position, or the nearest. */
export function cellAt(cells, x, geometry) {
  let best = 0
  for (let i = 1; i < cells.length; i++) {
    if (Math.abs(middle(cells[i], geometry) - x) < Math.abs(middle(cells[best], geometry) - x)) best = i
  }
  return best
}

/** A line and, on a released cell, a dot. */
export function drawCursor(cell, geometry) {
  const x = middle(cell, geometry)
  const group = element('g', { class: 'cursor' })
  group.append(element('line', { x1: x, x2: x, y1: geometry.top, y2: geometry.bottom }))
  if (cell.state === 'released') group.append(element('circle', { cx: x, cy: geometry.y(cell.wh), r: 4.5 }))
  return group
}

function geometryOf({ cells, from, to }, { width, height, unit, compact }) {
  const max = cells.reduce((most, { wh }) => Math.max(most, wh ?? 0), 0)
  const ticks = ticksUpTo(max / unit.wh)
  const widest = Math.max(...ticks.map((tick) => tickText(tick, ticks).length))
  const [left, right, top] = compact ? [0, width, 3] : [16 + widest * 7.5, width - 20, 10]
  const bottom = height - (compact ? 2 : 30)
  const top100 = compact ? max || 1 : ticks.at(-1) * unit.wh
  return {
    ...{ width, left, right, top, bottom, ticks, unit, empty: max === 0 },
    step: spacing(cells),
    from,
    x: (time) => round(left + ((Math.max(time, from) - from) / (to - from)) * (right - left)),
    y: (wh) => round(bottom - (Math.max(wh, 0) / top100) * (bottom - top)),
  }
}

function steps({ cells }, { x, y, step, bottom }) {
  const first = cells[0]
  const outline = cells.map((cell) => `V${y(cell.wh)}H${x(cell.end)}`).join('')
  const start = `M${x(first.end - step)}`
  return [
    element('path', { class: 'area', d: `${start} ${bottom}${outline}V${bottom}Z` }),
    element('path', { class: 'line', d: `${start} ${y(first.wh)}${outline}` }),
  ]
}

function band({ first, last }, { x, step, top, bottom }) {
  const left = x(first.end - step)
  const width = Math.max(x(last.end) - left, 2)
  return element('rect', { class: 'gap', x: left, y: top, width, height: bottom - top, fill: hatchOf(first.reason) })
}

/** In words on the gap itself, where it is wide enough to hold them. */
function gapLabels(runs, { x, step, top, bottom }) {
  const labelled = runs.filter(
    ({ first, last }) => first.state === 'withheld' && x(last.end) - x(first.end - step) > 190,
  )
  return labelled.map(({ first, last }) => {
    const place = {
      x: round((x(first.end - step) + x(last.end)) / 2),
      y: round((top + bottom) / 2),
      'text-anchor': 'middle',
    }
    return text(`withheld: ${reasonLabel(first.reason)}`, { class: 'gap-label', ...place })
  })
}

function gridLines({ left, right, y, ticks, unit }) {
  return ticks
    .slice(1)
    .map((tick) =>
      element('line', { class: 'grid', x1: left, x2: right, y1: y(tick * unit.wh), y2: y(tick * unit.wh) }),
    )
}

function baseline({ left, right, bottom }) {
  return element('line', { class: 'base', x1: left, x2: right, y1: bottom, y2: bottom })
}

function axes({ from, to }, geometry) {
  const { left, right, bottom, x, y, ticks, unit, empty } = geometry
  const group = element('g', { class: 'axes' })
  group.append(baseline(geometry))
  for (const tick of empty ? [] : ticks) {
    group.append(text(tickText(tick, ticks), { x: left - 8, y: y(tick * unit.wh) + 4, 'text-anchor': 'end' }))
  }
  const every = (right - left > 560 ? 2 : right - left > 380 ? 3 : 6) * 3600
  for (let time = from; time <= to; time += every) {
    group.append(element('line', { class: 'base', x1: x(time), x2: x(time), y1: bottom, y2: bottom + 5 }))
    group.append(text(clock(time, from), { x: x(time), y: bottom + 21, 'text-anchor': 'middle' }))
  }
  return group
}

function tickText(tick, ticks) {
  const step = ticks[1]
  const digits = [0, 1, 2, 3].find((digits) => Math.abs(step - Number(step.toFixed(digits))) < step / 1e6) ?? 4
  return number(tick, digits)
}

function middle({ end }, { x, step }) {
  return round((x(end) + x(end - step)) / 2)
}

function round(value) {
  return Math.round(value * 10) / 10
}

function text(content, attributes) {
  const node = element('text', attributes)
  node.textContent = content
  return node
}

function element(name, attributes) {
  const node = document.createElementNS(namespace, name)
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value))
  return node
}
