import { expect, test } from 'vitest'
import { sqlite } from '../../src/database/sqlite/index.ts'
import { onefold, topic } from '../../src/index.ts'
import { until } from '../support/until.ts'
import { Place } from './run-onefold.ts'

test('onefold status shows schedules: pattern, time zone, the next instant, and what was fired and missed', async () => {
  const place = new Place()
  const app = onefold({ database: sqlite(place.path('onefold.db')) })
  const reports = topic<number>('reports')
  app.schedule(reports, { name: 'new-year', cron: '@yearly', timeZone: 'Europe/Berlin', data: 1 })
  await app.start()
  await until(async () => (await app.status()).schedules.length === 1, 'it')
  await app.stop()
  const next = `${new Date().getUTCFullYear()}-12-31T23:00:00Z`
  const { code, stdout } = await place.onefold('status')
  expect(code).toBe(0)
  expect(stdout).toMatch(/Schedules\n +NAME +TOPIC +PATTERN +TIME ZONE +DECIDED UP TO +NEXT +FIRED +MISSED\n/)
  expect(stdout).toMatch(new RegExp(`new-year +reports +@yearly +Europe/Berlin +20\\S+Z +${next} +0 +0\\n`))
  const { document } = await place.json('status')
  expect(document.schedules).toMatchObject([
    { name: 'new-year', topic: 'reports', fired: 0, missed: 0, nextMs: Date.parse(next) },
  ])
})
