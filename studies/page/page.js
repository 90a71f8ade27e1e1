/** Fetches, chooses and shows. The address's fragment holds what is chosen, so that a view can be sent to a colleague. */
import { drawCurve } from './curve.js'
import { listenToPlot, showStudy } from './study.js'
import { energy, longDay, plural, ruleClause, shortDay, unitFor } from './words.js'

const refreshMilliseconds = 5_000
/** small curves of other substations; any further one is a choice away */
const cardsMax = 12

/** `day` empty: the latest, whichever that becomes. */
const chosen = { substation: '', day: '', quantity: 'import' }
/** what is on the page; a newer load makes an older one's answers void */
const shown = { answer: '', load: 0, view: undefined }
let timer

const at = (id) => document.getElementById(id)

async function getJson(path, query = {}) {
  const response = await fetch(`${path}?${new URLSearchParams(query)}`, { headers: { accept: 'application/json' } })
  const body = await response.json()
  if (!response.ok) throw new Error(body.error.message)
  return body
}

/** One UTC day of one substation. @returns `{ cells, from, to }`, seconds; `wh` is for drawing only */
async function getDay(substation, day, quantity) {
  const from = Date.parse(`${day}T00:00:00Z`) / 1000
  const to = from + 86_400
  const span = { from: `${day}T00:00Z`, to: `${new Date(to * 1000).toISOString().slice(0, 16)}Z` }
  const query = { substation, quantity, ...span }
  const { cells } = await getJson('/v1/demand', query)
  const drawn = cells.map((cell) => ({
    ...cell,
    end: Date.parse(cell.end) / 1000,
    wh: cell.energyWh === null ? null : Number(cell.energyWh),
  }))
  return { substation, day, quantity, query, from, to, cells: drawn }
}

/** Looks for news; `anew` draws even when there is none. */
async function refresh(anew) {
  const load = ++shown.load
  clearTimeout(timer)
  if (anew) shown.answer = '' // so that a choice that failed to load is tried again
  try {
    const answer = await getJson('/v1/substations')
    const text = JSON.stringify(answer)
    if (load === shown.load && text !== shown.answer) await showAll(load, answer)
    if (load !== shown.load) return
    shown.answer = text
    at('freshness').textContent = `Checked ${new Date().toISOString().slice(11, 19)} UTC`
    document.body.classList.remove('stale')
  } catch (error) {
    if (load !== shown.load) return
    at('freshness').textContent = `Cannot be reached, what you see may be old: ${error.message}`
    document.body.classList.add('stale')
  }
  timer = setTimeout(refresh, refreshMilliseconds, false)
}

async function showAll(load, { rule, substations }) {
  at('rule').textContent = ruleClause(rule)
  at('empty').hidden = substations.length > 0
  at('study').hidden = substations.length === 0
  if (substations.length === 0) return
  const substation = substations.find(({ id }) => id === chosen.substation) ?? mostReleased(substations)
  const { days } = await getJson('/v1/days', { substation: substation.id })
  const day = days.find(({ day }) => day === chosen.day)?.day ?? days[0]?.day ?? substation.lastEnd.slice(0, 10)
  const others = substations.slice(0, cardsMax).map(({ id }) => id)
  const { quantity } = chosen
  const [view, ...cards] = await Promise.all([substation.id, ...others].map((id) => getDay(id, day, quantity)))
  if (load !== shown.load) return
  chosen.substation = substation.id
  showControls(substations, days, day)
  showView({ ...view, rule })
  showCards(cards, substations.length)
}

/** Where there is most to see first. */
function mostReleased(substations) {
  return substations.reduce((best, one) => (one.released > best.released ? one : best))
}

function showView(view) {
  const before = shown.view
  shown.view = view
  showStudy(view)
  if (before !== undefined && (before.day !== view.day || before.substation !== view.substation)) {
    at('announce').textContent = `Substation ${view.substation}, ${longDay(view.day)}`
  }
}

function showControls(substations, days, day) {
  setOptions(
    at('substation'),
    substations.map(({ id }) => ({ value: id, label: id })),
    chosen.substation,
  )
  const latest = days.length > 0 ? [{ value: '', label: `Latest: ${shortDay(days[0].day)}` }] : []
  setOptions(at('day'), [...latest, ...days.map(({ day }) => ({ value: day, label: shortDay(day) }))], chosen.day)
  const place = days.findIndex((one) => one.day === day)
  setStep(at('earlier'), days[place + 1]?.day)
  setStep(at('later'), place > 0 ? days[place - 1].day : undefined)
  document.querySelector(`input[name=quantity][value=${chosen.quantity}]`).checked = true
}

function setStep(button, day) {
  button.disabled = day === undefined
  button.value = day ?? ''
}

/** Only when they differ: an open list must not close under the reader's hand. */
function setOptions(select, options, value) {
  const key = JSON.stringify(options)
  if (select.dataset.key !== key) {
    select.replaceChildren(...options.map(({ value, label }) => new Option(label, value)))
    select.dataset.key = key
  }
  select.value = value
}

function showCards(days, total) {
  at('overview-note').textContent =
    total > days.length
      ? `The first ${days.length} of ${total}; choose any other above. Each curve has its own scale.`
      : 'Each curve has its own scale.'
  const places = [...at('cards').querySelectorAll('button')]
  const focused = places.indexOf(document.activeElement)
  at('cards').replaceChildren(...days.map(card))
  if (focused >= 0) at('cards').querySelectorAll('button')[focused]?.focus()
}

function card(day) {
  const button = document.createElement('button')
  button.type = 'button'
  button.setAttribute('aria-pressed', String(day.substation === chosen.substation))
  button.addEventListener('click', () => choose({ substation: day.substation }))
  const name = document.createElement('span')
  name.className = 'card-name'
  name.textContent = day.substation
  const note = document.createElement('span')
  note.className = 'card-note'
  note.textContent = cardNote(day)
  const { svg } = drawCurve(day, { width: 300, height: 64, unit: { name: 'Wh', wh: 1 }, compact: true })
  svg.setAttribute('preserveAspectRatio', 'none')
  button.append(name, svg, note)
  const item = document.createElement('li')
  item.append(button)
  return item
}

function cardNote({ cells }) {
  const released = cells.filter(({ state }) => state === 'released')
  if (cells.length === 0) return 'no cell of this quantity'
  if (released.length === 0) return `all ${plural(cells.length, 'interval')} withheld`
  const max = Math.max(...released.map(({ wh }) => wh))
  const withheld = cells.length - released.length
  return `peak ${energy(max, unitFor(max))}, ${withheld === 0 ? 'none withheld' : `${withheld} of ${cells.length} withheld`}`
}

function choose(change) {
  Object.assign(chosen, change)
  const fragment = Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== ''))
  history.replaceState(null, '', `#${new URLSearchParams(fragment)}`)
  refresh(true)
}

function readFragment() {
  const fragment = new URLSearchParams(location.hash.slice(1))
  const quantity = fragment.get('quantity') === 'export' ? 'export' : 'import'
  Object.assign(chosen, { substation: fragment.get('substation') ?? '', day: fragment.get('day') ?? '', quantity })
}

function listen() {
  at('substation').addEventListener('change', ({ target }) => choose({ substation: target.value }))
  at('day').addEventListener('change', ({ target }) => choose({ day: target.value }))
  for (const id of ['earlier', 'later'])
    at(id).addEventListener('click', ({ currentTarget }) => choose({ day: currentTarget.value }))
  for (const input of document.querySelectorAll('input[name=quantity]')) {
    input.addEventListener('change', () => choose({ quantity: input.value }))
  }
  addEventListener('hashchange', () => {
    readFragment()
    refresh(true)
  })
  document.addEventListener('visibilitychange', () => (document.hidden ? clearTimeout(timer) : refresh(false)))
}

readFragment()
listen()
listenToPlot()
refresh(true)
