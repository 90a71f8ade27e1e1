import { existsSync } from 'node:fs'
import { pino } from 'pino'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { releaseRule } from '#gateway/model.ts'
import { type Studies, startStudies } from '#studies/main.ts'
import { Released, seconds, streetDay } from './released.ts'

const executablePath = '/usr/bin/chromium'
const present = existsSync(executablePath)
/** Without a browser the tests are skipped, and say so; in CI they run and fail. */
const skipped = !present && process.env.CI === undefined

const day = '2026-01-12'
const street = 'oosterhout-noord-014'
const gaps = (hour: number): string | undefined => {
  if (hour > 23) return 'FEW_METERS'
  return hour > 1 && hour < 3 ? 'DOMINANT_METER' : undefined
}

describe.skipIf(skipped)(skipped ? `page (skipped: no ${executablePath})` : 'page', () => {
  let browser: Browser
  let released: Released
  let studies: Studies
  const complaints: string[] = []

  beforeAll(async () => {
    const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking']
    browser = await chromium.launch({ executablePath, args })
  })

  beforeEach(async () => {
    released = new Released().create()
    studies = await startStudies(released.configure(), pino({ level: 'silent' }))
  })

  afterEach(async () => {
    for (const context of browser.contexts()) await context.close()
    await studies.close()
    released[Symbol.dispose]()
    expect(complaints.splice(0)).toEqual([])
  })

  afterAll(async () => browser?.close())

  /** Opens the page with a clock in our hand; whatever the browser complains of fails the test. */
  async function open(fragment: string, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext({ viewport: { width: 1000, height: 800 }, ...options })
    const page = await context.newPage()
    page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`))
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('response', (answer) => answer.status() >= 400 && complaints.push(`${answer.status()} ${answer.url()}`))
    await page.clock.install()
    await page.goto(`${studies.address}/${fragment}`)
    await page.locator('#freshness', { hasText: 'Checked' }).waitFor()
    return page
  }

  const wide = (page: Page): Promise<unknown> => page.evaluate('document.documentElement.scrollWidth - innerWidth')

  test('a curve is drawn, broken by a hatched gap at every withheld stretch, with nothing under the hatch', async () => {
    released.close(street, day, streetDay(street, day, { meters: 64, reason: gaps }))
    const page = await open(`#substation=${street}`)
    expect(await page.locator('h1').innerText()).toMatch(/Substation oosterhout-noord-014\s+Monday,? 12 January 2026/)
    expect(await page.title()).toContain(`${street}, Monday`)
    const gap = page.locator('#plot rect.gap')
    expect(await gap.evaluateAll((all) => all.map((one) => one.getAttribute('fill')))).toEqual([
      'url(#hatch-dominant)',
      'url(#hatch-few)',
    ])
    const reach = `[...document.querySelectorAll('#plot path.line')].map((line) => { const { x, width } = line.getBBox(); return [x, x + width] })`
    const lines = (await page.evaluate(reach)) as [number, number][]
    const bands = `[...document.querySelectorAll('#plot rect.gap')].map(({ x, width }) => [x.baseVal.value, x.baseVal.value + width.baseVal.value])`
    const [first, last] = (await page.evaluate(bands)) as [number, number][]
    expect(lines).toHaveLength(2)
    expect(lines[0]![1]).toBeCloseTo(first![0], 1)
    expect(lines[1]![0]).toBeCloseTo(first![1], 1)
    expect(lines[1]![1]).toBeCloseTo(last![0], 1)
    expect(await page.locator('#axis').innerText()).toMatch(/^kWh per interval/)
  })

  test('it says in words how much is withheld and why, and how many meters contribute', async () => {
    released.close(street, day, streetDay(street, day, { meters: 64, reason: gaps }))
    const page = await open('')
    expect(await page.locator('#withheld-summary').innerText()).toMatch(/^12 of 96 intervals of this day are withheld/)
    const reasons = await page.locator('#withheld-reasons li').allInnerTexts()
    expect(reasons[0]).toMatch(
      /8 intervals because one meter held more than 15 % of the sum DOMINANT_METER\s+Ending 01:15 to 03:00/,
    )
    expect(reasons[1]).toMatch(
      /4 intervals because fewer than 10 meters contributed FEW_METERS\s+Ending 23:15 to 24:00/,
    )
    expect(await page.locator('#facts').innerText()).toMatch(/Contributing meters\s+62 to 64\s+in an interval/)
  })

  test('the rule in its words is the one that the API tells, not one of its own', async () => {
    released.close(street, day, streetDay(street, day, { meters: 64, reason: gaps }))
    const page = await open('')
    const { metersMin, sharePercentMax } = releaseRule
    expect(await page.locator('footer').innerText()).toContain(
      `at least ${metersMin} meters contribute to with none holding more than ${sharePercentMax}\u00a0%`,
    )
    await page.route('**/v1/substations*', async (route) => {
      const response = await route.fetch()
      await route.fulfill({
        response,
        json: { ...(await response.json()), rule: { metersMin: 23, sharePercentMax: 7 } },
      })
    })
    await page.clock.runFor(5_000)
    await page.locator('footer', { hasText: 'at least 23 meters contribute' }).waitFor()
    expect(await page.locator('#rule').innerText()).toMatch(/none holding more than 7\s% of the sum$/)
    const reasons = page.locator('#withheld-reasons')
    await reasons.filter({ hasText: 'fewer than 23 meters contributed' }).waitFor()
    expect(await reasons.innerText()).toContain('one meter held more than 7 % of the sum')
    await page.locator('#plot').focus()
    await page.keyboard.press('End')
    expect(await page.locator('#readout').innerText()).toMatch(/withheld, fewer than 23 meters contributed$/)
  })

  test('a substation with too few meters shows no line and no number at all', async () => {
    released.close('small', day, streetDay('small', day, { meters: 8, reason: () => 'FEW_METERS' }))
    const page = await open('')
    expect(await page.locator('#plot path.line').count()).toBe(0)
    expect(await page.locator('#axis').innerText()).toMatch(/^Nothing is released on this day/)
    expect(await page.locator('#facts').innerText()).toMatch(/Contributing meters\s+not released/)
    expect(await page.locator('#withheld-summary').innerText()).toMatch(/^All 96 intervals/)
  })

  test('neighbours that are withheld for different reasons are two gaps', async () => {
    const reason = (hour: number): string | undefined =>
      hour < 6 ? 'FEW_METERS' : hour < 9 ? 'DOMINANT_METER' : undefined
    released.close(street, day, streetDay(street, day, { meters: 64, reason }))
    const page = await open('')
    expect(await page.locator('#plot rect.gap').count()).toBe(2)
    expect(await page.locator('#plot .gap-label').allTextContents()).toEqual(['withheld: few meters'])
  })

  test('an interval without any cell is a break too, and not hatched', async () => {
    const cells = streetDay(street, day, { meters: 64 }).filter(({ end }) => end !== seconds(day) + 43_200)
    released.close(street, day, cells)
    const page = await open('')
    expect([await page.locator('#plot path.line').count(), await page.locator('#plot rect.gap').count()]).toEqual([
      2, 0,
    ])
  })

  test('a day that closes while one watches appears by itself; a chosen day stays', async () => {
    const page = await open('')
    expect(await page.locator('#empty').isVisible()).toBe(true)
    for (const [closing, shown] of [
      [day, 'Monday'],
      ['2026-01-13', 'Tuesday'],
    ] as const) {
      released.close(street, closing, streetDay(street, closing, { meters: 64 }))
      await page.clock.runFor(5_000)
      await page.locator('#title-day', { hasText: shown }).waitFor()
    }
    await page.evaluate(`kept = document.querySelector('#substation option')`)
    await page.selectOption('#day', day)
    await page.locator('#title-day', { hasText: 'Monday' }).waitFor()
    released.close(street, '2026-01-14', streetDay(street, '2026-01-14', { meters: 64 }))
    await page.clock.runFor(5_000)
    await page.locator('#day option[value="2026-01-14"]').waitFor({ state: 'attached' })
    expect(await page.locator('#title-day').innerText()).toContain('Monday')
    expect(page.url()).toContain(`day=${day}`)
    // a list that has not changed is left alone: it may be open
    expect(await page.evaluate(`kept === document.querySelector('#substation option')`)).toBe(true)
  })

  test('the keyboard chooses quantity, day and interval', async () => {
    const exported = streetDay(street, day, { meters: 14 }).map((row) => ({ ...row, quantity: 'export' as const }))
    released.close(street, day, [...streetDay(street, day, { meters: 64, reason: gaps }), ...exported])
    released.close(street, '2026-01-13', streetDay(street, '2026-01-13', { meters: 64 }))
    const page = await open('')
    await page.locator('#earlier').focus()
    await page.keyboard.press('Enter')
    await page.locator('#title-day', { hasText: 'Monday' }).waitFor()
    await page.locator('#plot').focus()
    await page.keyboard.press('Home')
    for (let i = 0; i < 4; i++) await page.keyboard.press('ArrowRight')
    expect(await page.locator('#plot').getAttribute('aria-valuetext')).toMatch(
      /^Interval ending 01:15: withheld, one meter held/,
    )
    await page.keyboard.press('ArrowLeft')
    expect(await page.locator('#readout').innerText()).toMatch(/^Interval ending 01:00: \d\.\d\d kWh from 6\d meters$/)
    await page.locator('input[value=import]').focus()
    await page.keyboard.press('ArrowRight')
    await page.locator('#subtitle', { hasText: 'exported' }).waitFor()
    expect(await page.locator('#facts').innerText()).toMatch(/12 to 14/)
  })

  test('the table holds every digit, and the CSV link gives the day that is shown', async () => {
    const sum = 9_223_372_036_854_775_807n
    const cell = { substation: street, quantity: 'import', end: seconds(day) + 900 } as const
    released.close(street, day, [
      { ...cell, sum, scaler: -3, meters: 12 },
      { ...cell, end: cell.end + 900, reason: 'FEW_METERS' },
    ])
    const page = await open('')
    await page.locator('summary').click()
    expect(await page.locator('#rows tr').allInnerTexts()).toEqual([
      '00:15\t9223372036854775.807\t12\treleased',
      '00:30\t\t\twithheld: few meters',
    ])
    const csv = await page.request.get(
      new URL((await page.locator('#csv').getAttribute('href'))!, studies.address).href,
    )
    expect((await csv.text()).split('\r\n')[1]).toBe('2026-01-12T00:15:00Z,released,9223372036854775.807,12,')
  })

  test.each([
    [360, 'light'],
    [360, 'dark'],
    [1400, 'light'],
  ] as const)(
    'at %i pixels, %s, nothing scrolls sideways, with the longest of names and the table open',
    async (width, colorScheme) => {
      const long = 'w'.repeat(64)
      released.close(long, day, streetDay(long, day, { meters: 64, reason: gaps }))
      const page = await open('', { viewport: { width, height: 740 }, colorScheme })
      await page.locator('summary').click()
      expect(await wide(page)).toBe(0)
    },
  )

  test('when the service cannot be reached the page says so, keeps what it shows, and catches up later', async () => {
    released.close(street, day, streetDay(street, day, { meters: 64 }))
    const page = await open('')
    await page.route('**/v1/**', (route) =>
      route.fulfill({ status: 503, json: { error: { code: 'X', message: 'resting' } } }),
    )
    await page.clock.runFor(5_000)
    await page.locator('#freshness', { hasText: 'Cannot be reached, what you see may be old: resting' }).waitFor()
    expect(await page.locator('#plot path.line').count()).toBe(1)
    await page.locator('input[value=export]').check()
    await page.unroute('**/v1/**')
    await page.clock.runFor(5_000)
    await page.locator('#subtitle', { hasText: 'exported' }).waitFor()
    expect(complaints.splice(0).every((complaint) => complaint.includes('503'))).toBe(true)
  })
})
