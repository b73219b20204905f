import { performance } from 'node:perf_hooks'
import { beforeAll, expect, test } from 'vitest'
import { topic } from '../../src/index.ts'
import { TemporaryFile } from '../support/temporary.ts'

const stored = 1_000_000
const visits = topic<{ n: number }>('visits', { id: (visit) => `visit-${visit.n}`, key: (visit) => `page-${visit.n % 1000}` })

/** Start-up, status and stop of an app that consumes, in ms each: the middle of five. */
async function times(file: TemporaryFile): Promise<{ start: number; status: number }> {
  const runs: { start: number; status: number }[] = []
  for (let run = 0; run < 5; run++) {
    const app = file.app()
    app.consume(visits, { group: 'tail', startFrom: 'latest', apply: () => undefined })
    const begun = performance.now()
    await app.start()
    const started = performance.now()
    await app.status()
    runs.push({ start: started - begun, status: performance.now() - started })
    await app.stop()
  }
  const middle = (of: 'start' | 'status'): number => runs.map((run) => run[of]).toSorted((a, b) => a - b)[2] as number
  return { start: middle('start'), status: middle('status') }
}

const million = new TemporaryFile('')

beforeAll(async () => {
  const app = million.app()
  for (let from = 0; from < stored; from += 10_000) {
    await app.publishMany(
      visits,
      Array.from({ length: 10_000 }, (_, index) => ({ data: { n: from + index } })),
    )
  }
  await app.stop()
}, 240_000)

test('a million stored messages: start-up and status take at most 200 ms more than on an empty file', async () => {
  const empty = await times(new TemporaryFile(''))
  const full = await times(million)
  console.log(
    `start-up +${(full.start - empty.start).toFixed(0)} ms, status +${(full.status - empty.status).toFixed(0)} ms with ${stored} messages`,
  )
  expect(full.start - empty.start).toBeLessThan(200)
  expect(full.status - empty.status).toBeLessThan(200)
}, 60_000)

test('a million remembered ids: old and new duplicates are recognised after a restart, new ids are new', async () => {
  const app = million.app()
  const status = async (n: number): Promise<string> => (await app.publish(visits, { n })).status
  expect(await status(0)).toBe('duplicate')
  expect(await status(499_999)).toBe('duplicate')
  expect(await status(stored - 1)).toBe('duplicate')
  expect(await status(stored)).toBe('accepted')
  await app.stop()
}, 60_000)
