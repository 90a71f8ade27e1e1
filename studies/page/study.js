/** One substation's day on the page: title, facts, curve, what is withheld, table. */
import { cellAt, drawCursor, drawCurve, hatchOf, runsOf } from './curve.js'
import {
  cellWords,
  clock,
  energy,
  longDay,
  number,
  plural,
  range,
  reasonClause,
  reasonLabel,
  stretches,
  unitFor,
} from './words.js'

const at = (id) => document.getElementById(id)
const hint = 'Point at the curve, or focus it and use the arrow keys, to read an interval.'

/** what is drawn, for the cursor and for a new width */
const drawn = { view: undefined, unit: undefined, geometry: undefined, place: undefined }

/** @param view `{ substation, day, quantity, query, from, to, cells, rule }` */
export function showStudy(view) {
  const released = view.cells.filter(({ state }) => state === 'released')
  const same = drawn.view?.substation === view.substation && drawn.view?.query.from === view.query.from
  drawn.unit = unitFor(released.reduce((most, { wh }) => Math.max(most, wh), 0))
  drawn.place = same && drawn.view.quantity === view.quantity ? drawn.place : undefined
  drawn.view = view
  showTitle(view)
  showFacts(view.cells, released, view.from)
  showPlot()
  showWithheld(view)
  showTable(view)
}

function showTitle({ substation, day, quantity }) {
  const direction = quantity === 'import' ? 'Energy imported from the grid' : 'Energy exported to the grid'
  at('title-substation').textContent = `Substation ${substation}`
  at('title-day').textContent = longDay(day)
  at('subtitle').textContent = `${direction}, all contributing meters together.`
  document.title = `${substation}, ${longDay(day)}, ${quantity}: released demand`
}

function showFacts(cells, released, from) {
  const { unit } = drawn
  const total = released.reduce((sum, { wh }) => sum + wh, 0)
  const peak = released.reduce((most, cell) => (most === undefined || cell.wh > most.wh ? cell : most), undefined)
  const facts = [
    [
      'Contributing meters',
      released.length === 0 ? 'not released' : range(released.map(({ meters }) => meters)),
      'in an interval',
    ],
    [
      'Released intervals',
      `${number(released.length)} of ${number(cells.length)}`,
      `${number(cells.length - released.length)} withheld`,
    ],
    [
      'Highest interval',
      peak === undefined ? 'not released' : energy(peak.wh, unit),
      peak === undefined ? '' : `ending ${clock(peak.end, from)} UTC`,
    ],
    ['Energy released', peak === undefined ? 'none' : energy(total, unitFor(total)), 'sum of the released intervals'],
  ]
  at('facts').replaceChildren(
    ...facts.map(([name, value, note]) => {
      const group = document.createElement('div')
      group.append(tag('dt', name), tag('dd', value), tag('dd', note))
      return group
    }),
  )
}

function showPlot() {
  const { view, unit } = drawn
  const plot = at('plot')
  const width = Math.max(plot.clientWidth, 240)
  const { svg, geometry } = drawCurve(view, { width, height: width > 700 ? 340 : 260, unit, compact: false })
  drawn.geometry = geometry
  const anything = view.cells.some(({ state }) => state === 'released')
  at('axis').textContent = anything
    ? `${unit.name} per interval, by the time of day in UTC`
    : 'Nothing is released on this day. Time of day in UTC'
  plot.replaceChildren(svg)
  plot.setAttribute('aria-valuemax', String(Math.max(view.cells.length - 1, 0)))
  showCursor(drawn.place)
}

/** @param place index of a cell, or undefined for none */
function showCursor(place) {
  const { view, unit, geometry } = drawn
  const cell = view?.cells[place]
  drawn.place = cell === undefined ? undefined : place
  const words = cell === undefined ? hint : cellWords(cell, view, unit)
  at('readout').textContent = words
  at('plot').setAttribute('aria-valuenow', String(drawn.place ?? 0))
  at('plot').setAttribute('aria-valuetext', words)
  const svg = at('plot').firstElementChild
  svg?.querySelector('.cursor')?.remove()
  if (cell !== undefined) svg?.append(drawCursor(cell, geometry))
}

function showWithheld({ cells, from, rule }) {
  const runs = runsOf(cells).filter(({ first }) => first.state === 'withheld')
  const withheld = cells.filter(({ state }) => state === 'withheld')
  at('withheld-summary').textContent = summary(cells.length, withheld.length)
  const reasons = [...new Set(withheld.map(({ reason }) => reason))]
  at('withheld-reasons').replaceChildren(
    ...reasons.map((reason) => {
      const of = runs.filter(({ first }) => first.reason === reason)
      const count = withheld.filter((cell) => cell.reason === reason).length
      const item = document.createElement('li')
      const why = document.createElement('p')
      why.append(
        tag('strong', plural(count, 'interval')),
        ` because ${reasonClause(reason, rule)} `,
        tag('code', reason),
      )
      item.append(swatch(reason), why, tag('span', `Ending ${stretches(of, from)}`))
      return item
    }),
  )
}

/** A piece of the hatch that the curve's gaps of this reason are drawn with. */
function swatch(reason) {
  const namespace = 'http://www.w3.org/2000/svg'
  const [svg, rect] = ['svg', 'rect'].map((name) => document.createElementNS(namespace, name))
  svg.setAttribute('class', 'swatch')
  svg.setAttribute('aria-hidden', 'true')
  for (const [key, value] of Object.entries({ width: '100%', height: '100%', fill: hatchOf(reason) }))
    rect.setAttribute(key, value)
  svg.append(rect)
  return svg
}

function summary(total, withheld) {
  if (total === 0) return 'There is nothing of this quantity on this day: neither released nor withheld.'
  if (withheld === 0) return `Nothing: all ${plural(total, 'interval')} of this day are released.`
  const share =
    withheld === total
      ? `All ${plural(total, 'interval')} of this day are`
      : `${number(withheld)} of ${plural(total, 'interval')} of this day ${withheld === 1 ? 'is' : 'are'}`
  return `${share} withheld, to protect the people behind the meters. The curve has gaps there; nothing is estimated in their place.`
}

function showTable({ substation, day, quantity, query, cells, from }) {
  at('table-caption').textContent = `${substation}, ${longDay(day)}, ${quantity}`
  at('rows').replaceChildren(
    ...cells.map((cell) => {
      const row = document.createElement('tr')
      const head = tag('th', clock(cell.end, from))
      head.scope = 'row'
      const state = cell.state === 'released' ? 'released' : `withheld: ${reasonLabel(cell.reason)}`
      row.append(head, tag('td', cell.energyWh ?? ''), tag('td', cell.meters ?? ''), tag('td', state))
      row.className = cell.state
      return row
    }),
  )
  at('csv').href = `/v1/demand?${new URLSearchParams({ ...query, format: 'csv' })}`
  at('json').href = `/v1/demand?${new URLSearchParams({ ...query, format: 'json' })}`
}

function tag(name, text) {
  const node = document.createElement(name)
  node.textContent = String(text)
  return node
}

/** Where an arrow or a page key leads; undefined for any other key. */
function moved(key, place, count) {
  const moves = {
    ArrowLeft: -1,
    ArrowDown: -1,
    ArrowRight: 1,
    ArrowUp: 1,
    PageDown: -8,
    PageUp: 8,
    Home: -count,
    End: count,
  }
  if (moves[key] === undefined || count === 0) return undefined
  return Math.min(Math.max((place ?? (moves[key] > 0 ? -1 : count)) + moves[key], 0), count - 1)
}

/** Pointer, keys and width; once, when the page starts. */
export function listenToPlot() {
  const plot = at('plot')
  plot.addEventListener('pointermove', ({ clientX }) => {
    if (drawn.view === undefined || drawn.view.cells.length === 0) return
    showCursor(cellAt(drawn.view.cells, clientX - plot.getBoundingClientRect().left, drawn.geometry))
  })
  plot.addEventListener('pointerleave', () => document.activeElement !== plot && showCursor(undefined))
  plot.addEventListener('blur', () => showCursor(undefined))
  plot.addEventListener('keydown', (event) => {
    const place = moved(event.key, drawn.place, drawn.view?.cells.length ?? 0)
    if (place === undefined) return
    event.preventDefault()
    showCursor(place)
  })
  new ResizeObserver(
    () => drawn.view !== undefined && drawn.geometry?.width !== plot.clientWidth && showPlot(),
  ).observe(plot)
}
